//! Ending a poll from another thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::wait::WaitQueue;

/// What other threads tell a poll.
#[derive(Debug, Default)]
pub(super) struct Wakeups {
    pending: AtomicBool,
    /// The polls that wait; woken too when partitions are resumed, sought in or given up.
    pub(super) waiting: WaitQueue,
}

impl Wakeups {
    fn ask(&self) {
        self.pending.store(true, Ordering::SeqCst);
        self.waiting.wake_all();
    }

    /// Fails once for all that was asked before.
    pub(super) fn check(&self) -> Result<()> {
        if self.pending.swap(false, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Wakeup, "the poll was ended by a wake-up"));
        }
        Ok(())
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::SeqCst)
    }
}

/// Ends the polls of a consumer from other threads: for shutting down. Cheap to clone; it keeps
/// neither the consumer nor the broker alive.
///
/// ```
/// use std::time::Duration;
/// use logreel::{Broker, ErrorKind};
/// let broker = Broker::in_memory();
/// let consumer = broker.consumer().build()?;
/// consumer.assign([("jobs", 0)])?;
/// let stop = consumer.wakeup_handle();
/// let worker = std::thread::spawn(move || loop {
///     match consumer.poll(Duration::MAX) {
///         Ok(jobs) => println!("{} jobs", jobs.len()),
///         Err(error) if error.kind() == ErrorKind::Wakeup => return consumer.close(),
///         Err(error) => return Err(error),
///     }
/// });
/// stop.wakeup();
/// worker.join().unwrap()?;
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone)]
pub struct WakeupHandle {
    wakeups: Arc<Wakeups>,
}

impl WakeupHandle {
    pub(super) fn new(wakeups: Arc<Wakeups>) -> Self {
        Self { wakeups }
    }

    /// Ends the poll that runs, or else the next one, with [`ErrorKind::Wakeup`]. Exactly one poll
    /// ends so, however often this is called before it does. Does not block.
    pub fn wakeup(&self) {
        self.wakeups.ask();
    }
}

impl fmt::Debug for WakeupHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WakeupHandle(pending: {})", self.wakeups.is_pending())
    }
}
