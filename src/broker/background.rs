//! The broker's own threads, for what nobody waits for.
//!
//! `logreel-sender` runs lingering batches, syncs that were asked for and nobody waits for, and the
//! timers of groups. `logreel-cleaner` does the upkeep, which may take long. Each starts at the
//! first thing it has to do, sleeps until the next is due, and holds no broker open. With manual
//! housekeeping or a mock clock neither ever starts: `run_due` does the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::time::Clock;
use crate::types::TopicPartition;
use crate::wait::{Waiter, contain};

/// Something with work that becomes due: a producer with lingering batches.
pub(crate) trait Duty: Send + Sync {
    /// When something is due next.
    fn next_due(&self) -> Option<Duration>;
    /// Does what is due.
    fn run_due(&self);
    /// The broker is closing: does everything, due or not, and ends what cannot be done.
    fn close(&self);
    /// If it is a producer, how many bytes it holds.
    fn buffered_bytes(&self) -> Option<usize> {
        None
    }
}

/// Which thread does a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// What clients wait for in the end.
    Sender,
    /// What may take long.
    Cleaner,
}

impl Role {
    fn thread_name(self) -> &'static str {
        match self {
            Self::Sender => "logreel-sender",
            Self::Cleaner => "logreel-cleaner",
        }
    }
}

/// What the threads run: the broker.
pub(crate) trait Work: Send + Sync {
    /// When something is due next for this thread.
    fn next_due(&self, role: Role) -> Option<Duration>;
    /// Does what is due.
    fn run_due(&self, role: Role);
}

/// How long the thread sleeps when it was woken and found that others had done the work: while
/// callers wait for their own deliveries, nobody pays for waking it. Twice as long each time, up to
/// a limit.
const NAP: Duration = Duration::from_micros(200);
const NAP_MAX: Duration = Duration::from_millis(2);

/// The thread and what it is asked to do.
#[derive(Debug)]
pub(crate) struct Background {
    role: Role,
    enabled: bool,
    clock: Clock,
    waiter: Arc<Waiter>,
    thread: Mutex<Option<JoinHandle<()>>>,
    signs: Arc<Signs>,
    /// Which thread it is; stays when it is joined.
    id: Arc<OnceLock<ThreadId>>,
    /// Partitions to sync, and when.
    syncs: Mutex<BTreeMap<TopicPartition, Duration>>,
}

impl Background {
    pub(crate) fn new(role: Role, enabled: bool, clock: Clock) -> Self {
        Self {
            role,
            enabled,
            clock,
            waiter: Waiter::new(),
            thread: Mutex::new(None),
            signs: Arc::default(),
            id: Arc::default(),
            syncs: Mutex::default(),
        }
    }

    /// Asks for a partition to be synced at a time; the earliest wish counts.
    pub(crate) fn ask_sync(&self, tp: &TopicPartition, due: Duration) {
        let mut syncs = self.syncs.lock();
        syncs.entry(tp.clone()).and_modify(|at| *at = due.min(*at)).or_insert(due);
    }

    /// Takes the partitions whose sync is due.
    pub(crate) fn take_due_syncs(&self, now: Duration) -> Vec<TopicPartition> {
        let mut syncs = self.syncs.lock();
        let due: Vec<TopicPartition> =
            syncs.iter().filter(|(_, at)| **at <= now).map(|(tp, _)| tp.clone()).collect();
        for tp in &due {
            syncs.remove(tp);
        }
        due
    }

    pub(crate) fn next_sync(&self) -> Option<Duration> {
        self.syncs.lock().values().min().copied()
    }

    /// Has the thread look for work, starting it the first time. Costs an atomic operation while it
    /// is awake.
    pub(crate) fn wake<W: Work + 'static>(&self, work: &Weak<W>) -> Result<()> {
        if !self.enabled || self.signs.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        self.signs.asked.store(true, Ordering::SeqCst);
        if self.signs.started.load(Ordering::Acquire) {
            let is_parked = self.signs.parked.load(Ordering::SeqCst);
            if is_parked && self.signs.parked.swap(false, Ordering::SeqCst) {
                self.waiter.signal();
            }
            return Ok(());
        }
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let work: Weak<dyn Work> = Weak::<W>::clone(work);
            let waiter = Arc::clone(&self.waiter);
            let (clock, signs) = (self.clock.clone(), Arc::clone(&self.signs));
            let (id, role) = (Arc::clone(&self.id), self.role);
            let body = move || {
                let _ = id.set(thread::current().id());
                run(role, &work, &waiter, &clock, &signs);
            };
            // Before it looks for work the first time: who plans some later wakes it.
            self.signs.started.store(true, Ordering::Release);
            let started = thread::Builder::new().name(role.thread_name().to_owned()).spawn(body);
            *thread = Some(started.map_err(|error| {
                self.signs.started.store(false, Ordering::Release);
                Error::new(crate::error::ErrorKind::Io, "cannot start a background thread")
                    .because(error)
            })?);
        }
        Ok(())
    }

    /// Whether there is a thread.
    pub(crate) fn is_started(&self) -> bool {
        self.signs.started.load(Ordering::Acquire)
    }

    /// Whether the caller runs on the thread.
    pub(crate) fn is_this_thread(&self) -> bool {
        self.id.get() == Some(&thread::current().id())
    }

    /// Ends the thread and waits for it, unless this is that thread.
    pub(crate) fn stop(&self) {
        self.signs.stopped.store(true, Ordering::Release);
        self.waiter.signal();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && !self.is_this_thread()
        {
            // It catches no panics of its own; there is nothing to hand on.
            let _ = thread.join();
        }
    }
}

/// What the thread and those who wake it tell each other.
#[derive(Debug, Default)]
struct Signs {
    /// There is a thread.
    started: AtomicBool,
    /// There may be work that the thread has not seen.
    asked: AtomicBool,
    /// The thread sleeps until it is signalled.
    parked: AtomicBool,
    stopped: AtomicBool,
}

/// The thread: does what is due, and sleeps.
fn run(role: Role, work: &Weak<dyn Work>, waiter: &Arc<Waiter>, clock: &Clock, signs: &Signs) {
    let mut nap = NAP;
    while !signs.stopped.load(Ordering::Acquire) {
        let Some(work) = work.upgrade() else { return };
        let asked = signs.asked.swap(false, Ordering::SeqCst);
        let now = clock.monotonic();
        let due = work.next_due(role);
        if due.is_some_and(|due| due <= now) {
            // A panic must not end the thread. What it kept from being done is still due.
            contain(|| work.run_due(role));
            nap = NAP;
            continue;
        }
        drop(work);
        if asked {
            let end = now.saturating_add(nap);
            nap = NAP_MAX.min(nap * 2);
            waiter.park(clock, Some(due.map_or(end, |due| due.min(end))));
            continue;
        }
        nap = NAP;
        // Whoever asks after this sees that the thread is parked; who asked before is seen here.
        signs.parked.store(true, Ordering::SeqCst);
        if !signs.asked.load(Ordering::SeqCst) && !signs.stopped.load(Ordering::SeqCst) {
            waiter.park(clock, due);
        }
        signs.parked.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    /// Panics more often than starting and waking the thread make it run.
    struct Panics {
        runs: AtomicUsize,
        told: mpsc::Sender<usize>,
    }

    impl Work for Panics {
        fn next_due(&self, _: Role) -> Option<Duration> {
            (self.runs.load(Ordering::SeqCst) <= 5).then_some(Duration::ZERO)
        }

        fn run_due(&self, _: Role) {
            let run = self.runs.fetch_add(1, Ordering::SeqCst);
            assert!(run >= 5, "a panic, as this test wants it");
            self.told.send(run).unwrap();
        }
    }

    /// A panic in what the thread ran left the rest for the next time that somebody woke it.
    #[test]
    fn what_a_panic_kept_from_being_done_is_done_at_once() {
        let (told, hear) = mpsc::channel();
        let work = Arc::new(Panics { runs: AtomicUsize::new(0), told });
        let weak = Arc::downgrade(&work);
        let background = Background::new(Role::Sender, true, Clock::system());
        background.wake(&weak).unwrap();
        assert_eq!(hear.recv_timeout(Duration::from_secs(10)), Ok(5));
        background.stop();
    }
}
