//! Whether bytes that are no batch are the torn end of a log, or damage in front of more of it.

use crate::error::Result;
use crate::record::{BATCH_HEADER_LEN, BatchHeader};
use crate::storage::File;

/// So far behind the bad bytes sound batches are looked for: a batch is rarely larger.
const LOOK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes may be made to look like a great many large batches; so much is checksummed.
const CHECKSUM_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Whether a sound batch of an offset from `next_offset` on begins behind `position`.
pub(super) fn holds_batch(file: &File, position: u64, next_offset: i64) -> Result<bool> {
    let bytes = file.read_at(position.saturating_add(1), LOOK_BYTES_MAX)?;
    let mut rest = &bytes[..];
    let mut checksummed = 0;
    while rest.len() >= BATCH_HEADER_LEN {
        if let Ok(header) = BatchHeader::parse(rest)
            && header.base_offset() >= next_offset
            && let Some(batch) = rest.get(..header.size())
        {
            checksummed += batch.len();
            if header.verify_crc(batch).is_ok() {
                return Ok(true);
            }
            if checksummed > CHECKSUM_BYTES_MAX {
                return Ok(false);
            }
        }
        // The magic byte of the next candidate; everything before it can be skipped.
        let skip = rest.iter().skip(17).position(|byte| *byte == 2).map_or(rest.len(), |at| at + 1);
        rest = rest.get(skip..).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;
    use crate::storage::{FileName, FilePath, Open, Storage};

    fn batch(offset: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.append(Some(5), None, Some(b"value"), &[]).unwrap();
        let mut sealed = builder.seal().unwrap();
        sealed.assign(offset, 0);
        sealed.into_bytes()
    }

    fn file(bytes: &[u8]) -> File {
        let storage = Storage::memory();
        let path = FilePath::root(FileName::new("f").unwrap());
        let file = storage.open(&path, Open::CreateNew).unwrap();
        file.write_all_at(0, bytes).unwrap();
        file
    }

    #[test]
    fn a_batch_behind_bad_bytes_is_seen() {
        let whole = [batch(0), batch(1)].concat();
        assert!(holds_batch(&file(&whole), 0, 0).unwrap());
        assert!(!holds_batch(&file(&whole), 0, 2).unwrap(), "of an earlier life of the file");
        let torn = &whole[..whole.len() - 1];
        assert!(!holds_batch(&file(torn), 0, 0).unwrap());
        assert!(!holds_batch(&file(&[0; 4096]), 0, 0).unwrap());
        let behind = [&[0xff; 333][..], &batch(7)].concat();
        assert!(holds_batch(&file(&behind), 0, 3).unwrap());
    }

    #[test]
    fn bytes_that_look_like_many_batches_do_not_take_for_ever() {
        // Each byte position could be the magic of a batch that reaches far.
        let mut hostile = vec![2; LOOK_BYTES_MAX];
        for chunk in hostile.chunks_mut(64) {
            let mut header = batch(9)[..BATCH_HEADER_LEN.min(chunk.len())].to_vec();
            if let Some(length) = header.get_mut(8..12) {
                length.copy_from_slice(&8_000_000i32.to_be_bytes());
            }
            chunk[..header.len()].copy_from_slice(&header);
        }
        assert!(!holds_batch(&file(&hostile), 0, 0).unwrap());
    }
}
