//! Kafka's hash of keys.

/// Kafka's hash of keys: `murmur2`, 32 bits, as in its `Utils` class.
///
/// ```
/// assert_eq!(logreel::producer::murmur2(b"foobar"), -790332482);
/// ```
#[must_use]
pub fn murmur2(key: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    // Kafka's arrays are indexed by 32 bits.
    let len = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut h = SEED ^ len;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        // The algorithm reads little-endian words, on every machine.
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * index);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    (h ^ (h >> 15)).cast_signed()
}

/// The partition of a key among `count`: the hash without its sign bit, not its absolute value.
#[inline]
pub(crate) fn partition_of_key(key: &[u8], count: i32) -> i32 {
    if count == 1 {
        return 0;
    }
    (murmur2(key) & i32::MAX).checked_rem(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t076_keys_hash_as_in_kafka() {
        let vectors: [(&str, i32, [i32; 5]); 13] = [
            ("", 275_646_681, [0, 3, 1, 9, 31]),
            ("a", -1_563_381_124, [1, 4, 4, 4, 24]),
            ("21", -973_932_308, [0, 0, 0, 0, 40]),
            ("abc", 479_470_107, [0, 3, 7, 3, 7]),
            ("key", -1_079_937_367, [1, 1, 1, 1, 31]),
            ("key-0", 29_210_041, [1, 1, 1, 1, 41]),
            ("key-1", 193_331_640, [0, 0, 0, 0, 40]),
            ("user-42", 1_459_644_460, [1, 4, 0, 4, 10]),
            ("foobar", -790_332_482, [0, 0, 6, 6, 16]),
            ("\u{e9}", 186_971_271, [0, 3, 1, 3, 21]),
            ("a-little-bit-long-string", -985_981_536, [2, 2, 2, 8, 12]),
            ("a-little-bit-longer-string", -1_486_304_829, [2, 5, 9, 11, 19]),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971, [2, 5, 7, 5, 27]),
        ];
        for (key, hash, partitions) in vectors {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
            for (count, partition) in [3, 6, 10, 12, 50].into_iter().zip(partitions) {
                assert_eq!(partition_of_key(key.as_bytes(), count), partition, "{key} of {count}");
            }
        }
    }
}
