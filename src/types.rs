//! The vocabulary every floor shares: partitions, offsets with metadata, identifiers, small enums.
//!
//! Nothing here does I/O or knows of another module. Offsets are `i64` and partitions `i32`, as in
//! Kafka's own clients, so that code moves between them without casts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One partition of one topic. Cheap to clone.
///
/// ```
/// use logreel::TopicPartition;
/// let tp = TopicPartition::new("orders", 2);
/// assert_eq!(tp.to_string(), "orders-2");
/// assert_eq!(tp, ("orders", 2).into());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: i32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`; checks nothing.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition's number, from 0.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    pub(crate) fn shared_topic(&self) -> Arc<str> {
        Arc::clone(&self.topic)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl<T: Into<Arc<str>>> From<(T, i32)> for TopicPartition {
    fn from((topic, partition): (T, i32)) -> Self {
        Self::new(topic, partition)
    }
}

impl From<&TopicPartition> for TopicPartition {
    fn from(tp: &TopicPartition) -> Self {
        tp.clone()
    }
}

/// A committed position: the *next* offset to read, with the text the committer attached.
///
/// ```
/// use logreel::OffsetAndMetadata;
/// let position = OffsetAndMetadata::new(42).with_metadata("by worker 3");
/// let position = position.with_leader_epoch(Some(0));
/// assert_eq!((position.offset(), position.metadata()), (42, "by worker 3"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    offset: i64,
    leader_epoch: Option<i32>,
    metadata: String,
}

impl OffsetAndMetadata {
    /// A position without metadata.
    #[must_use]
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }

    /// Attaches a text that comes back unchanged with the commit, at most 4096 bytes.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Attaches the leader epoch of the last record processed.
    #[must_use]
    pub fn with_leader_epoch(mut self, epoch: Option<i32>) -> Self {
        self.leader_epoch = epoch;
        self
    }

    /// The next offset to read.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The leader epoch, when the committer knew it.
    #[must_use]
    pub fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }

    /// The text attached to the commit; empty when there is none.
    #[must_use]
    pub fn metadata(&self) -> &str {
        &self.metadata
    }
}

impl From<i64> for OffsetAndMetadata {
    fn from(offset: i64) -> Self {
        Self::new(offset)
    }
}

/// Positions per partition, in the order of topic and partition.
///
/// ```
/// use logreel::Offsets;
/// let mut offsets = Offsets::new();
/// offsets.set(("orders", 0), 42);
/// assert_eq!(offsets.get(&("orders", 0).into()).map(|o| o.offset()), Some(42));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets(BTreeMap<TopicPartition, OffsetAndMetadata>);

impl Offsets {
    /// No positions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the position of one partition, replacing an earlier one.
    pub fn set(&mut self, tp: impl Into<TopicPartition>, position: impl Into<OffsetAndMetadata>) {
        self.0.insert(tp.into(), position.into());
    }

    /// The position of one partition.
    #[must_use]
    pub fn get(&self, tp: &TopicPartition) -> Option<&OffsetAndMetadata> {
        self.0.get(tp)
    }

    /// All positions, ordered by topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &OffsetAndMetadata)> {
        self.0.iter()
    }

    /// How many partitions have a position.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no partition has a position.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Offsets {
    type Item = (&'a TopicPartition, &'a OffsetAndMetadata);
    type IntoIter = std::collections::btree_map::Iter<'a, TopicPartition, OffsetAndMetadata>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Into<TopicPartition>, O: Into<OffsetAndMetadata>> FromIterator<(T, O)> for Offsets {
    fn from_iter<I: IntoIterator<Item = (T, O)>>(iter: I) -> Self {
        Self(iter.into_iter().map(|(tp, o)| (tp.into(), o.into())).collect())
    }
}

/// A place in a partition, asked for by meaning rather than by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The log start offset.
    Earliest,
    /// The end: high watermark, or last stable offset for a `read_committed` reader.
    Latest,
    /// The record with the largest timestamp (the first such, when several share it).
    MaxTimestamp,
    /// The first record whose timestamp, in milliseconds since 1970, is at least this.
    Timestamp(i64),
    /// Exactly this offset.
    At(i64),
}

impl From<i64> for OffsetSpec {
    fn from(offset: i64) -> Self {
        Self::At(offset)
    }
}

/// An offset and the timestamp of the record there, as a lookup by time answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// The record's offset.
    pub offset: i64,
    /// The record's timestamp in milliseconds since 1970; `None` where the record has none.
    pub timestamp: Option<i64>,
}

/// Who sets a record's timestamp (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer, when it creates the record.
    #[default]
    CreateTime,
    /// The log, when it appends the record.
    LogAppendTime,
}

impl TimestampType {
    /// The name as it stands in a topic's configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        }
    }
}

/// Which records a reader may see while transactions are open (`isolation.level`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IsolationLevel {
    /// Everything up to the high watermark, aborted and open transactions included.
    #[default]
    ReadUncommitted,
    /// Nothing of an aborted transaction, and nothing past the last stable offset.
    ReadCommitted,
}

/// The identity of one incarnation of a topic (KIP-516): a random 128-bit number, written as 22
/// characters of URL-safe base64. A topic deleted and created again gets another one.
///
/// ```
/// use logreel::TopicId;
/// let id: TopicId = "zHLuMTX0QISyLYj8Dw5BLA".parse()?;
/// assert_eq!(id.to_string(), "zHLuMTX0QISyLYj8Dw5BLA");
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(u128);

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl TopicId {
    /// The id with this number, unless Kafka reserves it: zero, one, and ids whose text would
    /// start with a dash are never handed out.
    ///
    /// ```
    /// use logreel::TopicId;
    /// let id = TopicId::from_u128(42).expect("not reserved");
    /// assert_eq!((id.as_u128(), TopicId::from_u128(0)), (42, None));
    /// ```
    #[must_use]
    pub fn from_u128(number: u128) -> Option<Self> {
        (number > 1 && (number >> 122) != 62).then_some(Self(number))
    }

    /// The id as a number, most significant byte first on disk.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// Decodes the 22-character text; `None` for anything else and for the reserved zero.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        if text.len() != 22 {
            return None;
        }
        let mut value: u128 = 0;
        for (index, byte) in text.bytes().enumerate() {
            let digit = BASE64_URL.iter().position(|b| *b == byte)? as u128;
            // 22 characters carry 132 bits; the last four are padding and must be zero.
            value = if index == 21 {
                if digit & 0xf != 0 {
                    return None;
                }
                (value << 2) | (digit >> 4)
            } else {
                (value << 6) | digit
            };
        }
        (value != 0).then_some(Self(value))
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for index in 0..22u32 {
            let digit =
                if index == 21 { (self.0 << 4) & 0x3f } else { self.0 >> (122 - 6 * index) };
            let byte = BASE64_URL.get((digit & 0x3f) as usize).copied().unwrap_or(b'A');
            write!(f, "{}", char::from(byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_id_text_round_trips() {
        for number in [2u128, 0x1234, u128::MAX, 0x018b_cfe5_6800_ffff << 64] {
            let id = TopicId(number);
            assert_eq!(TopicId::from_text(&id.to_string()), Some(id), "{number:x}");
        }
        assert_eq!(TopicId::from_text("AAAAAAAAAAAAAAAAAAAAAA"), None);
        assert_eq!(TopicId::from_text("AAAAAAAAAAAAAAAAAAAAAB"), None, "padding bits set");
        assert_eq!(TopicId::from_text("AAAAAAAAAAAAAAAAAAAA=="), None);
        assert_eq!(TopicId::from_text("short"), None);
    }

    #[test]
    fn reserved_ids_are_never_generated() {
        assert_eq!(TopicId::from_u128(0), None);
        assert_eq!(TopicId::from_u128(1), None);
        assert_eq!(TopicId::from_u128(62u128 << 122), None, "its text starts with a dash");
        assert!(TopicId::from_u128(u128::MAX).is_some());
    }
}
