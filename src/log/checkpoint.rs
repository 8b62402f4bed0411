//! Kafka's small text files: offset checkpoints, leader epochs, partition metadata.
//!
//! They are caches or hints. A damaged one reads as `None`, is reported, and is rebuilt.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::error::Result;
use crate::storage::{FileName, FilePath, Storage, TooLarge};
use crate::types::{TopicId, TopicPartition};

/// The offset below which everything has been synced, per partition.
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// The log start offset, for partitions that start behind their first segment's base.
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
/// Where the last cleaning of each compacted partition ended.
pub(crate) const CLEANER_OFFSETS: &str = "cleaner-offset-checkpoint";
/// The epochs of one partition and where they began.
pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
/// The topic's id, in each partition's directory.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

/// Checkpoint files are read whole: a hundred thousand partitions with long names fit.
const CHECKPOINT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// In memory an entry takes some 150 bytes, many times what a short line does.
const ENTRIES_MAX: usize = 1_000_000;

/// A checkpoint file that cannot be what it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

impl From<TooLarge> for Damaged {
    fn from(_: TooLarge) -> Self {
        Self
    }
}

/// Offsets per partition, as a checkpoint file beside the partitions holds them.
pub(crate) type PartitionOffsets = BTreeMap<TopicPartition, i64>;

/// The lines of a checkpoint after its version and count; Kafka's readers are as strict.
fn lines(text: &[u8]) -> Result<Vec<&str>, Damaged> {
    let text = str::from_utf8(text).map_err(|_| Damaged)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = text.strip_suffix('\n').ok_or(Damaged)?.split('\n');
    if lines.next() != Some("0") {
        return Err(Damaged);
    }
    let count: usize = lines.next().and_then(|count| count.parse().ok()).ok_or(Damaged)?;
    if count > ENTRIES_MAX {
        return Err(Damaged);
    }
    // One more than there should be shows that there are too many.
    let lines: Vec<&str> = lines.take(count + 1).collect();
    if lines.len() == count { Ok(lines) } else { Err(Damaged) }
}

pub(crate) fn parse_offsets(text: &[u8]) -> Result<PartitionOffsets, Damaged> {
    let mut offsets = PartitionOffsets::new();
    for line in lines(text)? {
        let mut words = line.split(' ');
        let (Some(topic), Some(partition), Some(offset), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Damaged);
        };
        let partition = partition.parse().map_err(|_| Damaged)?;
        let offset: i64 = offset.parse().map_err(|_| Damaged)?;
        if offset < 0 || offsets.insert(TopicPartition::new(topic, partition), offset).is_some() {
            return Err(Damaged);
        }
    }
    Ok(offsets)
}

pub(crate) fn format_offsets(offsets: &PartitionOffsets) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for (tp, offset) in offsets {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {} {offset}", tp.topic(), tp.partition());
    }
    text
}

/// Where an epoch of a partition began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochEntry {
    pub(crate) epoch: i32,
    pub(crate) start_offset: i64,
}

pub(crate) fn parse_epochs(text: &[u8]) -> Result<Vec<EpochEntry>, Damaged> {
    let mut entries: Vec<EpochEntry> = Vec::new();
    for line in lines(text)? {
        let (epoch, start) = line.split_once(' ').ok_or(Damaged)?;
        let entry = EpochEntry {
            epoch: epoch.parse().map_err(|_| Damaged)?,
            start_offset: start.parse().map_err(|_| Damaged)?,
        };
        let ascends = entries
            .last()
            .is_none_or(|l| l.epoch < entry.epoch && l.start_offset <= entry.start_offset);
        if entry.epoch < 0 || entry.start_offset < 0 || !ascends {
            return Err(Damaged);
        }
        entries.push(entry);
    }
    Ok(entries)
}

pub(crate) fn format_epochs(entries: &[EpochEntry]) -> String {
    let mut text = format!("0\n{}\n", entries.len());
    for entry in entries {
        let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
    }
    text
}

/// Kafka takes the second word of each of the two lines.
pub(crate) fn parse_partition_metadata(text: &[u8]) -> Result<TopicId, Damaged> {
    let text = str::from_utf8(text).map_err(|_| Damaged)?;
    let mut words = text.lines().map(|line| line.split_whitespace().nth(1));
    let version = words.next().flatten().and_then(|word| word.parse::<i32>().ok());
    let id = words.next().flatten().and_then(TopicId::from_text);
    match (version, id) {
        (Some(0..), Some(id)) => Ok(id),
        _ => Err(Damaged),
    }
}

pub(crate) fn format_partition_metadata(id: TopicId) -> String {
    format!("version: 0\ntopic_id: {id}")
}

/// Reads a file beside the partitions, or in one of them. A file that is not there is `Ok(None)`.
pub(crate) fn read<T>(
    storage: &Storage,
    dir: Option<&FileName>,
    name: &str,
    parse: impl Fn(&[u8]) -> Result<T, Damaged>,
) -> Result<Option<Result<T, Damaged>>> {
    let path = path(dir, name);
    let text = storage.read_all(&path, CHECKPOINT_BYTES_MAX)?;
    Ok(text.map(|text| parse(&text?)))
}

/// Atomically replaces a file beside the partitions, or in one of them; durable on return.
pub(crate) fn replace(
    storage: &Storage,
    dir: Option<&FileName>,
    name: &str,
    text: &str,
) -> Result<()> {
    storage.replace(&path(dir, name), text.as_bytes())
}

pub(crate) fn path(dir: Option<&FileName>, name: &str) -> FilePath {
    // The names above are valid by construction.
    let name = FileName::new(name).unwrap_or_else(|| crate::log::names::SegmentFile::Log.name(0));
    FilePath { dir: dir.cloned(), name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_round_trip_in_kafkas_text() {
        let offsets: PartitionOffsets = [(("a", 0).into(), 7), (("b-c", 12).into(), 0)].into();
        let text = format_offsets(&offsets);
        assert_eq!(text, "0\n2\na 0 7\nb-c 12 0\n");
        assert_eq!(parse_offsets(text.as_bytes()), Ok(offsets));
        assert_eq!(parse_offsets(b""), Ok(PartitionOffsets::new()), "an empty file has no entries");
    }

    #[test]
    fn malformed_checkpoints_are_damaged() {
        for bad in [
            "1\n0\n",
            "0\n1\n",
            "0\n0\na 0 1\n",
            "0\n1\na 0 1",
            "0\n1\na 0\n",
            "0\n1\na 0 1 2\n",
            "0\n1\na 0 -5\n",
            "0\n2\na 0 1\n\n",
            "0\n2\na 0 1\na 0 2\n",
            "x",
            "0\nx\n",
        ] {
            assert_eq!(parse_offsets(bad.as_bytes()), Err(Damaged), "{bad:?}");
        }
        assert_eq!(parse_offsets(&[0xff, 0xfe]), Err(Damaged));
        for bad in ["0\n1\n0\n", "0\n2\n1 0\n0 5\n", "0\n1\n-1 0\n", "0\n2\n0 9\n1 5\n"] {
            assert_eq!(parse_epochs(bad.as_bytes()), Err(Damaged), "{bad:?}");
        }
    }

    #[test]
    fn a_checkpoint_has_an_end() {
        let with = |count: usize| {
            let lines: String = (0..count).map(|n| format!("t {n} 1\n")).collect();
            parse_offsets(format!("0\n{count}\n{lines}").as_bytes())
        };
        assert_eq!(with(ENTRIES_MAX).map(|offsets| offsets.len()), Ok(ENTRIES_MAX));
        assert_eq!(with(ENTRIES_MAX + 1), Err(Damaged));
        assert_eq!(parse_offsets(b"0\n18446744073709551615\nt 0 1\n"), Err(Damaged));
    }

    #[test]
    fn partition_metadata_is_read_as_kafka_reads_it() {
        let id = TopicId::from_u128(12345).unwrap();
        let text = format_partition_metadata(id);
        assert_eq!(parse_partition_metadata(text.as_bytes()), Ok(id));
        assert_eq!(parse_partition_metadata(format!("{text}\n").as_bytes()), Ok(id));
        for bad in [
            "",
            "version: 0",
            "version: 0\ntopic_id: x",
            "version: -1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAg",
        ] {
            assert_eq!(parse_partition_metadata(bad.as_bytes()), Err(Damaged), "{bad:?}");
        }
    }
}
