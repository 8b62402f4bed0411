//! Holding on to a fault that is set.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use super::rule::Rule;
use super::switch::Faults;
use crate::error::{Error, ErrorCode, Result};

/// A fault that is set. Dropping it changes nothing.
#[derive(Clone)]
pub struct FaultHandle {
    pub(super) faults: Faults,
    pub(super) rule: Arc<Rule>,
}

impl FaultHandle {
    /// How often it struck.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.rule.hits()
    }

    /// Blocks until it has struck so often, at most this long on the operating system's clock; says
    /// whether it has.
    #[must_use]
    pub fn wait(&self, hits: u64, timeout: Duration) -> bool {
        self.rule.wait(hits, timeout)
    }

    /// Takes it back.
    pub fn remove(&self) {
        self.faults.remove(&self.rule);
    }
}

impl fmt::Debug for FaultHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultHandle({:?})", self.rule)
    }
}

/// Operations held back by [`pause`](super::FaultBuilder::pause). Dropping it lets them go.
///
/// ```
/// use std::time::Duration;
/// use logreel::testing::OpKind;
/// use logreel::{Broker, ProducerRecord};
///
/// let broker = Broker::in_memory();
/// let barrier = broker.testing().faults().on(OpKind::Produce).topic("orders").pause();
/// let producer = broker.producer().build()?;
/// let sending = std::thread::spawn(move || {
///     producer.send(ProducerRecord::to("orders").value("1")).wait()
/// });
/// barrier.wait_entered(Duration::from_secs(10))?;
/// // Whatever the test does now happens before the record is written.
/// assert_eq!(broker.topic("orders")?.partition(0)?.log_end_offset(), 0);
/// barrier.release();
/// assert!(sending.join().is_ok_and(|sent| sent.is_ok()));
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping a Barrier lets go of what it holds back"]
pub struct Barrier {
    pub(super) gate: Arc<Gate>,
    pub(super) handle: FaultHandle,
}

impl Barrier {
    /// Blocks until an operation waits here, at most this long on the operating system's clock.
    ///
    /// # Errors
    ///
    /// `REQUEST_TIMED_OUT`.
    pub fn wait_entered(&self, timeout: Duration) -> Result<()> {
        if self.gate.wait_entered(timeout) {
            return Ok(());
        }
        let message = format!("no operation came to the barrier within {timeout:?}");
        Err(Error::kafka(ErrorCode::RequestTimedOut, message))
    }

    /// How many operations have come here.
    #[must_use]
    pub fn entered(&self) -> u64 {
        self.gate.entered()
    }

    /// Lets go of all that wait, and holds back no more.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        self.handle.remove();
        self.gate.open();
    }
}
