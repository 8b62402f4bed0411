//! Which segments compaction may have left gaps in.
//!
//! Kafka's checksum does not cover a batch's base offset. In a log of ours offsets follow without
//! gaps, which proves it, until compaction takes records out. Before the first compacted segment
//! takes the place of another this file says, durably, below which offset gaps are no damage.

use super::checkpoint::{self, Damaged, PartitionOffsets};
use super::framed::{self, Decoded};
use crate::error::Result;
use crate::storage::Storage;

pub(crate) const COMPACTED: &str = "logreel.compacted";
const VERSION: u32 = 1;
/// As many partitions as in the checkpoints beside it.
const COMPACTED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Replaces the file; durable on return.
pub(crate) fn write(storage: &Storage, offsets: &PartitionOffsets) -> Result<()> {
    let text = framed::encode("compacted", VERSION, &checkpoint::format_offsets(offsets));
    checkpoint::replace(storage, None, COMPACTED, &text)
}

/// Reads the file; nothing was compacted where there is none. After damage every segment may have
/// gaps.
pub(crate) fn read(storage: &Storage) -> Result<Result<PartitionOffsets, Damaged>> {
    let path = checkpoint::path(None, COMPACTED);
    let bytes = match storage.read_all(&path, COMPACTED_BYTES_MAX)? {
        Some(Ok(bytes)) => bytes,
        Some(Err(too_large)) => return Ok(Err(too_large.into())),
        None => return Ok(Ok(PartitionOffsets::new())),
    };
    Ok(match framed::decode("compacted", VERSION, &bytes) {
        Ok(Decoded::Body(body)) => checkpoint::parse_offsets(body.as_bytes()),
        Ok(Decoded::Newer(_)) | Err(Damaged) => Err(Damaged),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_seen() {
        let storage = Storage::memory();
        assert_eq!(read(&storage).unwrap(), Ok(PartitionOffsets::new()));
        let offsets: PartitionOffsets = [(("t", 1).into(), 40)].into();
        write(&storage, &offsets).unwrap();
        assert_eq!(read(&storage).unwrap(), Ok(offsets));
        checkpoint::replace(&storage, None, COMPACTED, "x").unwrap();
        assert_eq!(read(&storage).unwrap(), Err(Damaged));
    }
}
