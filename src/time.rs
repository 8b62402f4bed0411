//! Time as a parameter.
//!
//! A [`Clock`] tells two times, as the operating system does: the wall clock (milliseconds since
//! 1970, what records are stamped with, may jump) and a monotonic one (what timeouts are measured
//! on, never jumps). Only this module reads the system's clocks.
//!
//! With a [`MockClock`](crate::testing::MockClock) time stands still until it is moved. Brokers
//! then own no threads: moving the clock runs what has become due, on the thread that moves it.

use std::fmt;
#[cfg(feature = "testing")]
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

#[cfg(feature = "testing")]
use parking_lot::Mutex;

mod ticks;

mod wall;

/// The clock a broker lives by. [`Clock::system`] unless a test chose otherwise.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System(Instant),
    #[cfg(feature = "testing")]
    Mock(Arc<MockTime>),
}

/// How a thread that has nothing to do lets time pass.
pub(crate) enum Idle {
    /// Sleep; the operating system wakes it.
    Sleep,
    /// Move the mock clock to the next timer or the deadline instead of sleeping.
    #[cfg(feature = "testing")]
    Advance(Arc<MockTime>),
    /// Sleep until another thread moves the mock clock.
    #[cfg(feature = "testing")]
    Parked(Arc<MockTime>),
}

#[cfg(feature = "testing")]
/// Something with timers that a mock clock must run when it moves (a broker).
pub(crate) trait Timers: Send + Sync {
    /// The monotonic time at which something becomes due.
    fn next_due(&self) -> Option<Duration>;
    /// The same for what a caller may be waiting for. Nobody waits for old records to go.
    fn next_awaited(&self) -> Option<Duration>;
    /// Does everything that is due.
    fn run_due(&self);
}

/// A thread parked on a manual mock clock, to be told that the clock moved.
#[cfg(feature = "testing")]
pub(crate) trait Poke: Send + Sync {
    /// Makes the thread look at the clock again.
    fn poke(&self);
}

/// Lets the system's time pass, where somebody else's work is waited for and nobody can tell us.
pub(crate) fn rest(duration: Duration) {
    std::thread::sleep(duration);
}

/// Lets other threads run until `is_over`, for so long at most. This one stays awake.
pub(crate) fn let_others_run(limit: Duration, is_over: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_over() && began.elapsed() < limit {
        std::thread::yield_now();
    }
}

/// What the operating system's wall clock shows: milliseconds since 1970, and how many nanoseconds
/// of the last one have passed.
fn precise_millis() -> (i64, u32) {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => {
            let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            let millis = seconds.saturating_mul(1000).saturating_add(since.subsec_millis().into());
            (millis, since.subsec_nanos() % 1_000_000)
        }
        Err(before) => {
            let before = i64::try_from(before.duration().as_millis());
            (before.map_or(i64::MIN, |millis| -millis), 0)
        }
    }
}

impl Clock {
    /// The operating system's clocks.
    ///
    /// ```
    /// use logreel::{Broker, Clock};
    /// let clock = Clock::system();
    /// assert!(clock.wall_millis() > 1_700_000_000_000);
    /// Broker::builder().clock(clock).open()?; // what it does by default
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(Instant::now()))
    }

    /// Milliseconds since 1970, negative before; saturates at the ends of `i64`.
    #[must_use]
    pub fn wall_millis(&self) -> i64 {
        match &self.0 {
            Source::System(_) => wall::millis(precise_millis),
            #[cfg(feature = "testing")]
            Source::Mock(mock) => mock.now.lock().wall_millis(),
        }
    }

    /// Time since some fixed moment; never goes back.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System(origin) => origin.elapsed(),
            #[cfg(feature = "testing")]
            Source::Mock(mock) => mock.now.lock().monotonic,
        }
    }

    /// The monotonic time at which `timeout` from now is over; `None` when that never happens.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Duration> {
        self.monotonic().checked_add(timeout).filter(|at| *at < Duration::MAX)
    }

    /// Whether the clock moves only when told, so that brokers must not own threads.
    pub(crate) fn is_mock(&self) -> bool {
        !matches!(self.0, Source::System(_))
    }

    pub(crate) fn idle(&self) -> Idle {
        match &self.0 {
            Source::System(_) => Idle::Sleep,
            #[cfg(feature = "testing")]
            Source::Mock(mock) if mock.manual => Idle::Parked(Arc::clone(mock)),
            #[cfg(feature = "testing")]
            Source::Mock(mock) => Idle::Advance(Arc::clone(mock)),
        }
    }

    /// Whether a future that has to wait leaves its waker and is woken. Else polling it does what a
    /// blocking call would do, so that any executor gets to its end.
    pub(crate) fn wakes_futures(&self, has_threads: bool) -> bool {
        match self.idle() {
            Idle::Sleep => has_threads,
            #[cfg(feature = "testing")]
            Idle::Advance(_) => false,
            #[cfg(feature = "testing")]
            Idle::Parked(_) => true,
        }
    }

    /// Has a mock clock run these timers when it moves. The system clock ignores it.
    #[cfg(feature = "testing")]
    pub(crate) fn attach(&self, timers: Weak<dyn Timers>) {
        if let Source::Mock(mock) = &self.0 {
            let mut attached = mock.timers.lock();
            attached.retain(|t| t.strong_count() > 0);
            attached.push(timers);
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn mock(mock: Arc<MockTime>) -> Self {
        Self(Source::Mock(mock))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_mock() { "Clock::mock" } else { "Clock::system" })
    }
}

/// The state behind a mock clock.
#[cfg(feature = "testing")]
pub(crate) struct MockTime {
    /// Blocking calls park instead of moving the clock.
    manual: bool,
    now: Mutex<Now>,
    timers: Mutex<Vec<Weak<dyn Timers>>>,
    parked: Mutex<Vec<Arc<dyn Poke>>>,
}

#[cfg(feature = "testing")]
struct Now {
    /// What the wall clock showed when it was last set, and when that was.
    wall_set: (i64, Duration),
    monotonic: Duration,
}

#[cfg(feature = "testing")]
impl Now {
    fn wall_millis(&self) -> i64 {
        let (shown, at) = self.wall_set;
        let since = self.monotonic.saturating_sub(at).as_millis();
        shown.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }
}

#[cfg(feature = "testing")]
impl MockTime {
    pub(crate) fn new(wall_millis: i64, manual: bool) -> Self {
        Self {
            manual,
            now: Mutex::new(Now {
                wall_set: (wall_millis, Duration::ZERO),
                monotonic: Duration::ZERO,
            }),
            timers: Mutex::new(Vec::new()),
            parked: Mutex::new(Vec::new()),
        }
    }

    /// Moves both clocks to `until`, stopping at every timer on the way to run it.
    pub(crate) fn advance_to(&self, until: Duration) {
        while self.run_next(Some(until)) {}
        self.move_to(until);
        let parked = self.parked.lock().clone();
        for thread in parked {
            thread.poke();
        }
    }

    /// Moves to the next timer due by `limit` and runs it, or to `limit`. Says whether a timer ran.
    /// Without a limit time passes only while there is something to wait for.
    pub(crate) fn run_next(&self, limit: Option<Duration>) -> bool {
        let timers: Vec<Arc<dyn Timers>> =
            self.timers.lock().iter().filter_map(Weak::upgrade).collect();
        if limit.is_none() && timers.iter().all(|timers| timers.next_awaited().is_none()) {
            return false;
        }
        let due = timers.iter().filter_map(|t| t.next_due().map(|at| (at, t))).min_by_key(|x| x.0);
        match due {
            Some((at, timer)) if limit.is_none_or(|limit| at <= limit) => {
                self.move_to(at);
                timer.run_due();
                true
            }
            _ => {
                if let Some(limit) = limit {
                    self.move_to(limit);
                }
                false
            }
        }
    }

    pub(crate) fn monotonic(&self) -> Duration {
        self.now.lock().monotonic
    }

    pub(crate) fn set_wall(&self, wall_millis: i64) {
        let mut now = self.now.lock();
        now.wall_set = (wall_millis, now.monotonic);
    }

    pub(crate) fn park(&self, thread: Arc<dyn Poke>) {
        self.parked.lock().push(thread);
    }

    pub(crate) fn unpark(&self, thread: &Arc<dyn Poke>) {
        self.parked.lock().retain(|parked| !Arc::ptr_eq(parked, thread));
    }

    fn move_to(&self, to: Duration) {
        let mut now = self.now.lock();
        now.monotonic = now.monotonic.max(to);
    }
}
