//! Whether batches stand among bytes that are no batch: then those are damage in front of more of a
//! log, or at least worth keeping, and not just its torn end.

use crate::record::{BATCH_HEADER_LEN, BatchHeader};

/// Bytes may be made to look like a great many large batches; so much is checksummed.
const CHECKSUM_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A search that may go over several files, for batches of an offset from `from_offset` on.
#[derive(Debug)]
pub(super) struct BatchSearch {
    from_offset: i64,
    /// How many bytes may still be checksummed.
    left: usize,
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// A sound batch.
    Batch,
    Nothing,
    /// The bytes were made to look like more batches than anybody could check.
    GaveUp,
}

impl BatchSearch {
    pub(super) fn new(from_offset: i64) -> Self {
        Self { from_offset, left: CHECKSUM_BYTES_MAX }
    }

    /// Looks for a sound batch anywhere in these bytes.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Sought {
        let mut rest = bytes;
        while rest.len() >= BATCH_HEADER_LEN {
            if let Ok(header) = BatchHeader::parse(rest)
                && header.base_offset() >= self.from_offset
                && let Some(batch) = rest.get(..header.size())
            {
                let Some(left) = self.left.checked_sub(batch.len()) else { return Sought::GaveUp };
                self.left = left;
                if header.verify_crc(batch).is_ok() {
                    return Sought::Batch;
                }
            }
            // The magic byte of the next candidate; everything before it can be skipped.
            let magic = rest.iter().skip(17).position(|byte| *byte == 2);
            rest = rest.get(magic.map_or(rest.len(), |at| at + 1)..).unwrap_or_default();
        }
        Sought::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;

    fn batch(offset: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.append(Some(5), None, Some(b"value"), &[]).unwrap();
        let mut sealed = builder.seal().unwrap();
        sealed.assign(offset, 0);
        sealed.into_bytes()
    }

    fn look(bytes: &[u8], from_offset: i64) -> Sought {
        BatchSearch::new(from_offset).look(bytes)
    }

    #[test]
    fn a_batch_behind_bad_bytes_is_seen() {
        let whole = [batch(0), batch(1)].concat();
        assert_eq!(look(&whole[1..], 0), Sought::Batch);
        assert_eq!(look(&whole, 2), Sought::Nothing, "of an earlier life of the file");
        let torn = &whole[..whole.len() - 1];
        assert_eq!(look(&torn[1..], 0), Sought::Nothing);
        assert_eq!(look(&[0; 4096], 0), Sought::Nothing);
        let behind = [&[0xff; 333][..], &batch(7)].concat();
        assert_eq!(look(&behind, 3), Sought::Batch);
    }

    /// Every 64 bytes what looks like a batch of eight millions.
    #[test]
    fn bytes_that_look_like_many_batches_are_not_all_checksummed() {
        let mut header = batch(9)[..BATCH_HEADER_LEN].to_vec();
        header[8..12].copy_from_slice(&8_000_000i32.to_be_bytes());
        header.resize(64, 0);
        let mut search = BatchSearch::new(0);
        assert_eq!(search.look(&header.repeat(1 << 18)), Sought::GaveUp);
        assert!(search.left < 8_000_012, "{search:?}");
        // What is left goes for the next file: small batches still fit, large ones do not.
        assert_eq!(search.look(&header.repeat(1 << 18)), Sought::GaveUp);
        assert_eq!(search.look(&batch(9)), Sought::Batch);
    }
}
