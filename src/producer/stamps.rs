//! The timestamps of the records of one call.

use crate::time::Clock;

/// So many records share a look at the clock at most: the look takes a twentieth of the time of a
/// record, of one for sixteen nothing is left to be measured.
const SHARE_MAX: u32 = 16;

/// Tells the time for records that are taken one after the other. As long as they come within a
/// millisecond of each other, twice as many share each next look at the clock; where one came
/// later, every record is looked at by itself again.
pub(super) struct Stamps<'a> {
    clock: &'a Clock,
    seen: i64,
    /// For how many records what was seen is good, and for how many of them it is still.
    share: u32,
    left: u32,
}

impl<'a> Stamps<'a> {
    pub(super) fn new(clock: &'a Clock) -> Self {
        Self { clock, seen: 0, share: 0, left: 0 }
    }

    /// The timestamp of the next record.
    #[inline(always)]
    pub(super) fn next(&mut self) -> i64 {
        if self.left == 0 {
            self.look();
        }
        self.left -= 1;
        self.seen
    }

    #[inline(never)]
    fn look(&mut self) {
        let now = self.clock.wall_millis();
        // A clock that is moved by hand shows a test what it was set to.
        let quick = self.share > 0 && now == self.seen && !self.clock.is_mock();
        self.share = if quick { (self.share * 2).min(SHARE_MAX) } else { 1 };
        (self.seen, self.left) = (now, self.share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn records_that_come_slowly_are_as_old_as_they_are() {
        let clock = Clock::system();
        let mut stamps = Stamps::new(&clock);
        for _ in 0..5 {
            let before = clock.wall_millis();
            assert!((before..=clock.wall_millis() + 1).contains(&stamps.next()));
            crate::time::rest(Duration::from_millis(3));
        }
    }

    #[test]
    fn quick_records_share_a_look_and_a_pause_is_seen_within_sixteen() {
        let clock = Clock::system();
        let mut stamps = Stamps::new(&clock);
        let mut shares = Vec::new();
        while shares.last() != Some(&SHARE_MAX) && shares.len() < 100_000 {
            stamps.next();
            shares.push(stamps.share);
        }
        assert_eq!(shares.last(), Some(&SHARE_MAX));
        crate::time::rest(Duration::from_millis(3));
        let after = clock.wall_millis();
        let late = (0..SHARE_MAX).take_while(|_| stamps.next() < after).count();
        assert!(late < SHARE_MAX as usize, "{late}");
        assert_eq!(stamps.share, 1, "it goes slowly now");
    }
}
