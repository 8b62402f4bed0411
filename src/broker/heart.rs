//! What a member and its group tell each other without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::wait::WaitQueue;

/// A moment that does not come.
pub(super) const NEVER: u64 = u64::MAX;

/// A moment in nanoseconds on the monotonic clock: enough for five hundred years.
pub(super) fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(NEVER)
}

/// Tells members that their group moved.
#[derive(Debug, Default)]
pub(crate) struct GroupSigns {
    /// How often it has.
    pub(super) moves: AtomicU64,
    /// The members that wait.
    pub(crate) changed: WaitQueue,
}

impl GroupSigns {
    /// Changes whenever a member may stand elsewhere than before.
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }
}

/// When a member polled last. Kafka's clients leave the group themselves when
/// `max.poll.interval.ms` has passed; here the broker sees to that.
#[derive(Debug)]
pub(crate) struct Heart {
    /// Nanoseconds.
    interval: u64,
    /// When the last poll ended; `NEVER` while one goes on.
    polled: AtomicU64,
}

impl Heart {
    pub(super) fn new(interval: Duration, now: Duration) -> Self {
        Self { interval: nanos(interval), polled: AtomicU64::new(nanos(now)) }
    }

    /// A poll begins: it may last as long as it likes.
    pub(super) fn begin(&self) {
        self.polled.store(NEVER, Ordering::SeqCst);
    }

    /// A poll ends. Answers when the next one must have begun.
    pub(super) fn end(&self, now: Duration) -> u64 {
        self.polled.store(nanos(now), Ordering::SeqCst);
        nanos(now).saturating_add(self.interval)
    }

    /// When the member has failed to poll.
    pub(super) fn due(&self) -> u64 {
        self.polled.load(Ordering::SeqCst).saturating_add(self.interval)
    }
}
