//! The last offset of each key in the dirty part of a log.
//!
//! Keys are known by a hash of 128 bits under a key of the broker's own, so that nobody can make up
//! two that collide. The map grows with the keys that are there, up to a ceiling; a log with more
//! is cleaned in several rounds.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use siphasher::sip128::SipHasher13;

/// An entry with the map's own byte for it.
const ENTRY_BYTES: usize = size_of::<(KeyHash, i64)>() + 1;

#[derive(Clone, Copy, PartialEq, Eq)]
struct KeyHash(u64, u64);

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Hands on what is a hash already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {}
}

/// The last offsets of keys.
pub(super) struct LastOffsets {
    offsets: HashMap<KeyHash, i64, BuildHasherDefault<Same>>,
    hasher: SipHasher13,
    limit: usize,
    /// What was read ends here: nothing is known of records from here on.
    end: i64,
}

impl LastOffsets {
    /// An empty map of at most `bytes`, for records from `start` on.
    pub(super) fn new(bytes: usize, hash_keys: (u64, u64), start: i64) -> Self {
        Self {
            offsets: HashMap::default(),
            hasher: SipHasher13::new_with_keys(hash_keys.0, hash_keys.1),
            limit: entries_max(bytes),
            end: start,
        }
    }

    /// Whether there is room for more. What one batch adds always has room.
    pub(super) fn is_full(&self) -> bool {
        self.offsets.len() >= self.limit
    }

    /// Takes note of a record; later ones come later.
    pub(super) fn add(&mut self, key: &[u8], offset: i64) {
        let hash = self.hash(key);
        self.offsets.insert(hash, offset);
    }

    /// Everything below `end` was read.
    pub(super) fn read_up_to(&mut self, end: i64) {
        self.end = self.end.max(end);
    }

    /// Where what was read ends.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Whether no later record with this key was read.
    pub(super) fn is_last(&self, key: &[u8], offset: i64) -> bool {
        self.offsets.get(&self.hash(key)).is_none_or(|last| offset >= *last)
    }

    fn hash(&self, key: &[u8]) -> KeyHash {
        let hash = self.hasher.hash(key);
        KeyHash(hash.h1, hash.h2)
    }
}

/// How many entries a map of at most `bytes` may have. It doubles when it is seven eighths full,
/// and holds the old half while it does.
fn entries_max(bytes: usize) -> usize {
    let slots = bytes / (ENTRY_BYTES + ENTRY_BYTES.div_ceil(2));
    let slots = if slots.is_power_of_two() { slots } else { slots.next_power_of_two() / 2 };
    (slots / 8 * 7).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_counts() {
        let mut map = LastOffsets::new(1 << 20, (1, 2), 5);
        map.add(b"a", 5);
        map.add(b"b", 6);
        map.add(b"a", 9);
        map.read_up_to(10);
        assert_eq!(map.end(), 10);
        assert!(!map.is_last(b"a", 5));
        assert!(map.is_last(b"a", 9));
        assert!(map.is_last(b"b", 6));
        assert!(!map.is_last(b"b", 4));
        assert!(map.is_last(b"c", 0), "a key that was not seen");
    }

    #[test]
    fn the_map_stays_within_its_ceiling() {
        assert_eq!(ENTRY_BYTES, 25);
        for bytes in [1_000, 100_000, 128 << 20] {
            let entries = entries_max(bytes);
            let slots = (entries * 8 / 7).next_power_of_two();
            assert!(slots * ENTRY_BYTES * 3 / 2 <= bytes, "{bytes}: {entries} entries");
            assert!(slots * ENTRY_BYTES * 3 > bytes / 2, "{bytes}: only {entries} entries");
        }
        assert_eq!(entries_max(0), 1, "one batch always goes in");
        let mut map = LastOffsets::new(1_000, (1, 2), 0);
        let room = map.limit;
        for i in 0..room {
            assert!(!map.is_full());
            map.add(&i.to_be_bytes(), 1);
        }
        assert!(map.is_full());
    }
}
