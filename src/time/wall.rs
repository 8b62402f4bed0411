//! The wall clock in milliseconds, for who asks for every record.
//!
//! Asking the operating system costs as much as everything else that a record costs. So each thread
//! remembers its last answer, and until which count of the processor's counter the millisecond
//! lasts. Within it the answer is the same, to the millisecond; after it the system is asked. A
//! counter that does not run evenly, or differs between cores, makes an answer late by a few
//! milliseconds, never more: the remembered time is that short, and no speed is believed that no
//! processor has.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Instant;
use super::ticks::ticks;

/// How far the two sides of a reading of the counter may lie apart for it to tell its speed.
const READING_MAX: Duration = Duration::from_micros(10);
/// Between which distances two readings tell the speed of the counter.
const DISTANCE: (Duration, Duration) = (Duration::from_micros(500), Duration::from_secs(1));
const NANOS_PER_MILLI: u64 = 1_000_000;
/// No counter runs faster than this many counts in a millisecond: 10 GHz.
const SPEED_MAX: u64 = 10_000_000;

/// What a thread remembers.
#[derive(Clone, Copy)]
struct Seen {
    millis: i64,
    /// Counts between which it is that millisecond.
    from: u64,
    until: u64,
    /// When the counter was read last.
    read: Option<(u64, Instant)>,
}

/// Counts in a millisecond, as some thread measured it last; 0 while it is not known.
static SPEED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static SEEN: Cell<Seen> = const {
        Cell::new(Seen { millis: 0, from: 0, until: 0, read: None })
    };
}

/// The wall clock in milliseconds. `precise` asks the system: milliseconds, and the nanoseconds
/// that have passed of the last one.
#[inline]
pub(super) fn millis(precise: fn() -> (i64, u32)) -> i64 {
    let Some(now) = ticks() else { return precise().0 };
    let seen = SEEN.get();
    if (seen.from..seen.until).contains(&now) { seen.millis } else { ask(precise) }
}

#[cold]
fn ask(precise: fn() -> (i64, u32)) -> i64 {
    let mut seen = SEEN.get();
    let before = Instant::now();
    let now = ticks().unwrap_or(0);
    if before.elapsed() > READING_MAX {
        // Something came in between: this is no measure.
        seen.read = None;
    } else {
        if let Some((last, at)) = seen.read {
            let passed = at.elapsed();
            if (DISTANCE.0..=DISTANCE.1).contains(&passed) {
                let counts = now.saturating_sub(last).saturating_mul(NANOS_PER_MILLI);
                let nanos = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX).max(1);
                // A system that slept counts on while its monotonic clock stands still.
                if counts / nanos <= SPEED_MAX {
                    SPEED.store(counts / nanos, Ordering::Relaxed);
                }
            }
        }
        seen.read = Some((now, before));
    }
    let (millis, nanos) = precise();
    // Counted from before the system was asked, and with a reserve of a sixteenth.
    let left = NANOS_PER_MILLI.saturating_sub(u64::from(nanos));
    let lasts = SPEED.load(Ordering::Relaxed).saturating_mul(left) / NANOS_PER_MILLI;
    (seen.millis, seen.from, seen.until) = (millis, now, now.saturating_add(lasts - lasts / 16));
    SEEN.set(seen);
    millis
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Clock;

    #[test]
    fn the_answer_is_always_the_millisecond_it_is() {
        let clock = Clock::system();
        let began = Instant::now();
        let (mut asked, mut same) = (0, 0);
        let mut last = 0;
        while began.elapsed() < Duration::from_millis(60) {
            let before = super::super::precise_millis().0;
            let millis = clock.wall_millis();
            let after = super::super::precise_millis().0;
            assert!((before..=after).contains(&millis), "{before} <= {millis} <= {after}");
            asked += 1;
            same += i32::from(millis == last);
            last = millis;
        }
        assert!(asked > 1000 && same > 0, "{same} of {asked}");
    }

    #[test]
    fn a_thread_that_slept_asks_again() {
        let clock = Clock::system();
        for pause in [0, 1, 3, 20] {
            let before = clock.wall_millis();
            std::thread::sleep(Duration::from_millis(pause));
            let after = clock.wall_millis();
            assert!(after - before >= i64::try_from(pause).unwrap(), "{before} {after}");
        }
    }
}
