//! The one source of randomness of a broker: seeded, so that a run with a fixed seed repeats.

use parking_lot::Mutex;

/// A seeded generator (`SplitMix64`). Good for ids, jitter and hash keys; not for secrets.
#[derive(Debug)]
pub(crate) struct Random(Mutex<u64>);

impl Random {
    /// The same seed gives the same numbers.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// Seeded by the operating system.
    pub(crate) fn from_system() -> Self {
        // Without a source of randomness ids still differ by where this value lies in memory.
        Self::seeded(getrandom::u64().unwrap_or_else(|_| {
            let here = 0u8;
            std::ptr::from_ref(&here).addr() as u64
        }))
    }

    pub(crate) fn next_u64(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn next_u128(&self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// A number from 0 to `bound - 1`; 0 when the bound is 0.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_repeats() {
        let (a, b) = (Random::seeded(7), Random::seeded(7));
        for _ in 0..100 {
            assert_eq!(a.next_u64(), b.next_u64());
        }
        assert_ne!(Random::seeded(7).next_u64(), Random::seeded(8).next_u64());
        assert_eq!(a.below(0), 0);
        assert!((0..100).all(|_| a.below(3) < 3));
    }
}
