//! The names of topics, partition directories and segment files, as Kafka spells them.

use crate::error::{Error, ErrorCode, Result};
use crate::storage::FileName;
use crate::types::TopicPartition;

/// The longest topic name (Kafka: `Topic.MAX_NAME_LENGTH`); leaves room for `-<partition>`.
pub(crate) const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Topics that belong to the coordinators; users may read them, not append to them.
pub(crate) const CONSUMER_OFFSETS: &str = "__consumer_offsets";
pub(crate) const TRANSACTION_STATE: &str = "__transaction_state";
/// The log of a Kafka controller; ignored when a directory is adopted.
pub(crate) const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Whether a topic is one of the coordinators' own.
pub(crate) fn is_internal(topic: &str) -> bool {
    topic == CONSUMER_OFFSETS || topic == TRANSACTION_STATE
}

/// Checks a topic name against Kafka's rules: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` or `..`.
pub(crate) fn check_topic_name(name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty".to_owned()
    } else if name == "." || name == ".." {
        "it is . or ..".to_owned()
    } else if name.len() > TOPIC_NAME_BYTES_MAX {
        format!("it has {} bytes, at most {TOPIC_NAME_BYTES_MAX} are allowed", name.len())
    } else if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        "only ASCII letters, digits, '.', '_' and '-' are allowed".to_owned()
    } else {
        return Ok(());
    };
    // The name may be hostile or huge: quote it, and only its beginning.
    let shown: String = name.chars().take(60).collect();
    Err(Error::kafka(ErrorCode::InvalidTopic, format!("topic name {shown:?} is invalid: {reason}")))
}

/// Whether two names differ only by `.` and `_`, which Kafka's metric names cannot tell apart.
pub(crate) fn collide(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .all(|(x, y)| x == y || (matches!(x, b'.' | b'_') && matches!(y, b'.' | b'_')))
}

/// The directory of a partition.
pub(crate) fn partition_dir(tp: &TopicPartition) -> Result<FileName> {
    check_topic_name(tp.topic())?;
    FileName::new(&tp.to_string()).ok_or_else(|| {
        Error::kafka(ErrorCode::InvalidTopic, format!("{tp} cannot be a directory name"))
    })
}

/// The partition whose directory has this name; the number is after the last dash.
pub(crate) fn parse_partition_dir(name: &str) -> Option<TopicPartition> {
    let (topic, number) = name.rsplit_once('-')?;
    let canonical = number == "0" || !number.starts_with('0');
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    if !canonical || !digits || check_topic_name(topic).is_err() {
        return None;
    }
    Some(TopicPartition::new(topic, number.parse().ok()?))
}

/// Whether a directory is a topic being deleted: Kafka's `<topic>-<n>.<32 hex>-delete`.
pub(crate) fn is_deleted_dir(name: &str) -> bool {
    let Some(rest) = name.strip_suffix("-delete") else { return false };
    rest.rsplit_once('.')
        .is_some_and(|(_, hex)| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The name a partition's directory gets when its topic is deleted. Cut so that it stays a name.
pub(crate) fn deleted_dir(tp: &TopicPartition, unique: u128) -> Result<FileName> {
    let tail = format!(".{unique:032x}-delete");
    let head: String = tp.to_string().chars().take(255 - tail.len()).collect();
    FileName::new(&format!("{head}{tail}")).ok_or_else(|| {
        Error::kafka(ErrorCode::InvalidTopic, format!("{tp} cannot be a directory name"))
    })
}

/// What a file of a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SegmentFile {
    Log,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    /// Producer state *before* the offset in the name.
    Snapshot,
    /// What the bytes of a compacted segment are. Not one of Kafka's files, which leaves it alone.
    Digest,
}

impl SegmentFile {
    pub(crate) const ALL: [Self; 6] = [
        Self::Log,
        Self::OffsetIndex,
        Self::TimeIndex,
        Self::TxnIndex,
        Self::Snapshot,
        Self::Digest,
    ];

    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TxnIndex => ".txnindex",
            Self::Snapshot => ".snapshot",
            Self::Digest => ".digest",
        }
    }

    /// The file's name: the offset in 20 digits, and the suffix.
    pub(crate) fn name(self, offset: i64) -> FileName {
        let name = format!("{offset:020}{}", self.suffix());
        // Digits and a fixed suffix are always a name.
        FileName::new(&name).unwrap_or_else(|| FileName::new("_").unwrap_or_else(|| self.name(0)))
    }

    /// The kind and offset of a file name; `None` for every other file.
    pub(crate) fn parse(name: &str) -> Option<(Self, i64)> {
        let (digits, _) = name.split_once('.')?;
        if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let offset = digits.parse().ok()?;
        let kind = Self::ALL.into_iter().find(|kind| name.get(20..) == Some(kind.suffix()))?;
        Some((kind, offset))
    }
}

/// The first offset a `.swap` file (or other suffixed segment file) belongs to.
pub(crate) fn parse_suffixed(name: &str, suffix: &str) -> Option<(SegmentFile, i64)> {
    SegmentFile::parse(name.strip_suffix(suffix)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rules() {
        for good in ["a", "orders", "a.b_c-D9", &"x".repeat(249), "..."] {
            assert!(check_topic_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../x", "a/b", "a b", "a\0", "\u{e9}", &"x".repeat(250)] {
            let error = check_topic_name(bad).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::InvalidTopic), "{bad:?}");
        }
    }

    #[test]
    fn names_collide_when_only_dots_and_underscores_differ() {
        assert!(collide("a.b", "a_b"));
        assert!(collide("a.b", "a.b"));
        assert!(!collide("a.b", "a-b"));
        assert!(!collide("a.b", "a.bc"));
    }

    #[test]
    fn partition_directories_round_trip() {
        let tp = TopicPartition::new("my-topic-1", 12);
        assert_eq!(partition_dir(&tp).unwrap().as_str(), "my-topic-1-12");
        assert_eq!(parse_partition_dir("my-topic-1-12"), Some(tp));
        for other in ["lost+found", "t", "t-", "t-x", "t-01", "-0", "t-99999999999", ".git"] {
            assert_eq!(parse_partition_dir(other), None, "{other}");
        }
    }

    #[test]
    fn deleted_directories_are_recognised_even_for_the_longest_topic() {
        let tp = TopicPartition::new("x".repeat(249), 999);
        let name = deleted_dir(&tp, 0xabc).unwrap();
        assert!(name.as_str().len() <= 255);
        assert!(is_deleted_dir(name.as_str()));
        assert!(!is_deleted_dir("orders-0"));
        assert_eq!(parse_partition_dir(name.as_str()), None);
    }

    #[test]
    fn segment_file_names_round_trip() {
        let name = SegmentFile::TimeIndex.name(42);
        assert_eq!(name.as_str(), "00000000000000000042.timeindex");
        assert_eq!(SegmentFile::parse(name.as_str()), Some((SegmentFile::TimeIndex, 42)));
        assert_eq!(SegmentFile::Log.name(i64::MAX).as_str(), "09223372036854775807.log");
        for other in ["42.log", "0000000000000000004x.log", "00000000000000000042.log.swap", ".log"]
        {
            assert_eq!(SegmentFile::parse(other), None, "{other}");
        }
        assert_eq!(SegmentFile::parse("99999999999999999999.log"), None, "past i64");
        assert_eq!(
            parse_suffixed("00000000000000000042.log.swap", ".swap"),
            Some((SegmentFile::Log, 42))
        );
    }
}
