//! Where records without a key go: one partition until it got about a batch, then another, so that
//! batches fill (KIP-480), by bytes and not by records, and less often to partitions that lag
//! behind (KIP-794).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::random::Random;

/// The partition that gets the records without a key of one topic. Only a hint, so that every
/// thread may change it without a lock.
#[derive(Debug, Default)]
pub(super) struct Sticky(AtomicU64);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stuck {
    partition: Option<u32>,
    bytes: u32,
}

impl Stuck {
    /// In one word: the partition counted from one, then the bytes.
    fn packed(self) -> u64 {
        let above = self.partition.map_or(0, |partition| u64::from(partition) + 1);
        above << 32 | u64::from(self.bytes)
    }

    fn unpacked(word: u64) -> Self {
        let above = word >> 32;
        let partition = above.checked_sub(1).and_then(|partition| u32::try_from(partition).ok());
        Self { partition, bytes: u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0) }
    }
}

/// What a new partition is chosen by.
pub(super) struct Choice<'a> {
    /// How many full batches each partition has that nobody has written yet; `None` for one that
    /// takes no records.
    pub(super) backlogs: &'a dyn Fn() -> Vec<Option<usize>>,
    /// Whether partitions with a shorter backlog are chosen more often.
    pub(super) adaptive: bool,
    pub(super) random: &'a Random,
}

impl Sticky {
    /// The partition of the next record, if that is known already.
    #[inline]
    pub(super) fn current(&self) -> Option<i32> {
        let stuck = Stuck::unpacked(self.0.load(Ordering::Relaxed));
        stuck.partition.and_then(|partition| i32::try_from(partition).ok())
    }

    /// The partition of the next record.
    pub(super) fn partition(&self, count: i32, choice: &Choice<'_>) -> i32 {
        loop {
            let word = self.0.load(Ordering::Relaxed);
            if let Some(partition) = self.current().filter(|partition| *partition < count) {
                return partition;
            }
            let chosen = choose(choice);
            let stuck = Stuck { partition: u32::try_from(chosen).ok(), bytes: 0 };
            // Else another thread has chosen meanwhile.
            if self.change(word, stuck) {
                return chosen;
            }
        }
    }

    /// Counts a record of `size` bytes that went to `partition`. Moves on after a batch's worth of
    /// bytes, but not while a batch is open that more could go to, unless it is twice as much.
    #[inline]
    pub(super) fn sent(&self, partition: i32, size: usize, batch_size: usize, batch_is_open: bool) {
        let (size, batch_size) = (limited(size), limited(batch_size.max(1)));
        loop {
            let word = self.0.load(Ordering::Relaxed);
            let mut stuck = Stuck::unpacked(word);
            if stuck.partition != u32::try_from(partition).ok() {
                return;
            }
            stuck.bytes = stuck.bytes.saturating_add(size);
            let enough = stuck.bytes >= batch_size;
            let too_much = stuck.bytes >= batch_size.saturating_mul(2);
            if too_much || (enough && !batch_is_open) {
                stuck = Stuck::default();
            }
            if self.change(word, stuck) {
                return;
            }
        }
    }

    fn change(&self, from: u64, to: Stuck) -> bool {
        self.0.compare_exchange(from, to.packed(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn limited(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Uniformly among the partitions that take records (all, if none does), or weighted by how much
/// shorter than the longest their backlog is.
fn choose(choice: &Choice<'_>) -> i32 {
    let backlogs = (choice.backlogs)();
    let longest = backlogs.iter().flatten().max().copied();
    let weight = |backlog: &Option<usize>| match (longest, backlog) {
        (None, _) => 1,
        (Some(_), None) => 0,
        (Some(longest), Some(backlog)) if choice.adaptive => (longest - backlog + 1) as u64,
        (Some(_), Some(_)) => 1,
    };
    let total = backlogs.iter().map(weight).sum();
    let mut drawn = choice.random.below(total);
    for (partition, backlog) in (0..).zip(&backlogs) {
        match drawn.checked_sub(weight(backlog)) {
            Some(rest) => drawn = rest,
            None => return partition,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(sticky: &Sticky, random: &Random, size: usize, open: bool) -> i32 {
        let backlogs = || vec![Some(0); 8];
        let choice = Choice { backlogs: &backlogs, adaptive: true, random };
        let partition = sticky.partition(8, &choice);
        sticky.sent(partition, size, 1000, open);
        partition
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        for partition in [None, Some(0), Some(1), Some(7), Some(i32::MAX.cast_unsigned())] {
            for bytes in [0, 1, 16_384, u32::MAX] {
                let stuck = Stuck { partition, bytes };
                assert_eq!(Stuck::unpacked(stuck.packed()), stuck);
            }
        }
        assert_eq!(Sticky::default().current(), None);
    }

    #[test]
    fn t080_keyless_records_stay_together_for_a_batch_and_then_move() {
        let (sticky, random) = (Sticky::default(), Random::seeded(1));
        let chosen: Vec<i32> = (0..400).map(|_| next(&sticky, &random, 100, false)).collect();
        for batch in chosen.chunks(10) {
            assert!(batch.iter().all(|p| p == &batch[0]));
        }
        let mut seen = chosen.clone();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 8, "all partitions get some");
    }

    #[test]
    fn an_open_batch_is_filled_before_moving_on_but_not_for_ever() {
        let (sticky, random) = (Sticky::default(), Random::seeded(1));
        let chosen: Vec<i32> = (0..400).map(|_| next(&sticky, &random, 100, true)).collect();
        for batches in chosen.chunks(20) {
            assert!(batches.iter().all(|p| p == &batches[0]));
        }
    }

    fn draws(backlogs: &[Option<usize>], adaptive: bool) -> Vec<usize> {
        let random = Random::seeded(3);
        let given = || backlogs.to_vec();
        let choice = Choice { backlogs: &given, adaptive, random: &random };
        let mut counts = vec![0; backlogs.len()];
        for _ in 0..10_000 {
            counts[usize::try_from(choose(&choice)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn partitions_that_lag_behind_get_less() {
        let counts = draws(&[Some(0), Some(3), Some(3)], true);
        // Weights 4, 1, 1.
        assert!((6000..7300).contains(&counts[0]), "{counts:?}");
        let even = draws(&[Some(0), Some(3), Some(3)], false);
        assert!(even.iter().all(|count| (3000..3700).contains(count)), "{even:?}");
    }

    #[test]
    fn partitions_that_take_nothing_get_nothing_unless_none_takes_anything() {
        assert_eq!(draws(&[Some(0), None, Some(0)], true)[1], 0);
        assert!(draws(&[None, None], true).iter().all(|count| *count > 4500));
    }
}
