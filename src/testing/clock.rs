//! A clock that stands still until it is moved.

use std::sync::Arc;
use std::time::Duration;

use crate::time::{Clock, MockTime};

/// A clock that stands still until it is moved. Clones are the same clock.
///
/// Moving it runs everything that becomes due, in the order of time, on the thread that moves it:
/// lingering batches, syncs, checkpoints. A blocking call that has nothing to do moves the clock
/// itself, from timer to timer up to its own deadline, so that single-threaded tests never hang
/// and never sleep.
///
/// ```
/// use std::time::Duration;
/// use logreel::{Broker, OffsetReset};
/// use logreel::testing::MockClock;
///
/// let clock = MockClock::at_millis(1_700_000_000_000);
/// let broker = Broker::builder().clock(&clock).topic("orders").open()?;
/// let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
/// consumer.assign([("orders", 0)])?;
/// // An hour passes at once: nothing was there to wait for.
/// assert!(consumer.poll(Duration::from_secs(3600))?.is_empty());
/// assert_eq!(clock.wall_millis(), 1_700_000_000_000 + 3_600_000);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone)]
pub struct MockClock(Arc<MockTime>);

impl MockClock {
    /// A clock that shows this many milliseconds since 1970.
    #[must_use]
    pub fn at_millis(wall_millis: i64) -> Self {
        Self(Arc::new(MockTime::new(wall_millis, false)))
    }

    /// The same, but blocking calls park until another thread moves the clock.
    #[must_use]
    pub fn manual(wall_millis: i64) -> Self {
        Self(Arc::new(MockTime::new(wall_millis, true)))
    }

    /// Moves the clock, running every timer that becomes due on the way, each at its time.
    pub fn advance(&self, by: Duration) {
        self.0.advance_to(self.0.monotonic().saturating_add(by));
    }

    /// Steps the wall clock, as an administrator or NTP does; timeouts do not notice.
    pub fn set_wall_millis(&self, wall_millis: i64) {
        self.0.set_wall(wall_millis);
    }

    /// What the wall clock shows, in milliseconds since 1970.
    #[must_use]
    pub fn wall_millis(&self) -> i64 {
        Clock::from(self).wall_millis()
    }
}

impl From<&MockClock> for Clock {
    fn from(clock: &MockClock) -> Self {
        Self::mock(Arc::clone(&clock.0))
    }
}

impl From<MockClock> for Clock {
    fn from(clock: MockClock) -> Self {
        Self::from(&clock)
    }
}

impl std::fmt::Debug for MockClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MockClock({} ms)", self.wall_millis())
    }
}
