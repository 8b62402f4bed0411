//! What comes back.

use crate::types::TopicPartition;

/// Where a record was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    pub(crate) topic_partition: TopicPartition,
    pub(crate) offset: Option<i64>,
    pub(crate) timestamp: i64,
}

impl RecordMetadata {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.topic_partition.topic()
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.topic_partition.partition()
    }

    /// Topic and partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The offset; `None` with `acks=0`, which does not wait to learn it.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        self.offset
    }

    /// The record's timestamp, in milliseconds since 1970: the log's with `LogAppendTime`.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Where the record is that follows in the same batch, so many records later.
    pub(super) fn record(&self, later: usize) -> Self {
        Self {
            offset: self.offset.map(|offset| offset.saturating_add(later as i64)),
            ..self.clone()
        }
    }
}
