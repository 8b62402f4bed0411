//! The checksum of batches and of producer snapshots: CRC-32C.

/// CRC-32C (Castagnoli) of all bytes, as Kafka computes it over a batch from its attributes on.
#[inline]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut word = 0x9e37_79b9_u32;
        let step = |_| {
            word ^= word << 13;
            word ^= word >> 17;
            word ^= word << 5;
            word.to_le_bytes()[1]
        };
        (0..len).map(step).collect()
    }

    #[test]
    fn the_check_value_is_that_of_the_catalogue() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    /// What is fast takes another way for each range of lengths, and for what is not aligned.
    #[test]
    fn another_implementation_agrees_at_every_length_and_alignment() {
        let noise = noise((1 << 20) + 64);
        let large = [4096, 8192, 12_288, 16_384, 65_536, 1 << 18, 1 << 20];
        let around = large.iter().flat_map(|size| size - 3..=size + 3);
        for len in (0..2100).chain(around) {
            for start in [0, 1, 7, 8, 15, 16, 31, 33] {
                let bytes = &noise[start..start + len];
                assert_eq!(crc32c(bytes), crc32c::crc32c(bytes), "{len} bytes from {start} on");
            }
        }
    }

    #[test]
    fn every_flipped_bit_shows() {
        let mut bytes = noise(300);
        let whole = crc32c(&bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(crc32c(&bytes), whole, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
