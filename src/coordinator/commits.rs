//! What a group has committed, and when that is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use super::offsets::{CommitValue, OffsetsKey};
use crate::error::{Error, ErrorCode, Result};
use crate::types::{OffsetAndMetadata, TopicPartition};

/// Kafka's `offset.metadata.max.bytes`.
const METADATA_BYTES_MAX: usize = 4096;

/// The committed offsets of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Commits {
    offsets: BTreeMap<TopicPartition, CommitValue>,
    /// Commits of transactions that are still open, by producer id.
    pending: BTreeMap<i64, Vec<(TopicPartition, CommitValue)>>,
}

impl Commits {
    /// Takes in a record of the log; one without a value is a tombstone.
    pub(crate) fn replay(
        &mut self,
        tp: TopicPartition,
        value: Option<CommitValue>,
        transaction: Option<i64>,
    ) {
        match (value, transaction) {
            (Some(value), Some(producer)) => {
                self.pending.entry(producer).or_default().push((tp, value));
            }
            (Some(value), None) => {
                self.offsets.insert(tp, value);
            }
            // Of a topic that is gone: it takes what is pending for it along, or the marker to come
            // would have it back.
            (None, _) => {
                self.offsets.remove(&tp);
                for pending in self.pending.values_mut() {
                    pending.retain(|(of, _)| *of != tp);
                }
                self.pending.retain(|_, pending| !pending.is_empty());
            }
        }
    }

    /// A transaction ended: its commits count, or are dropped.
    pub(crate) fn end_transaction(&mut self, producer: i64, commit: bool) {
        let pending = self.pending.remove(&producer).unwrap_or_default();
        if commit {
            self.offsets.extend(pending);
        }
    }

    /// Whether a transaction has a commit pending for this partition.
    pub(crate) fn is_pending(&self, tp: &TopicPartition) -> bool {
        self.pending.values().flatten().any(|(pending, _)| pending == tp)
    }

    /// The partitions of a topic that have a commit, or one pending.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<TopicPartition> {
        let pending = self.pending.values().flatten().map(|(tp, _)| tp);
        let all: BTreeSet<&TopicPartition> = self.offsets.keys().chain(pending).collect();
        all.into_iter().filter(|tp| tp.topic() == topic).cloned().collect()
    }

    /// Whether there is nothing, not even of an open transaction.
    pub(crate) fn is_empty(&self) -> bool {
        self.offsets.is_empty() && self.pending.is_empty()
    }

    pub(crate) fn get(&self, tp: &TopicPartition) -> Option<&OffsetAndMetadata> {
        self.offsets.get(tp).map(|value| &value.position)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &OffsetAndMetadata)> {
        self.offsets.iter().map(|(tp, value)| (tp, &value.position))
    }

    /// The time of the newest commit.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.offsets.values().map(|value| value.timestamp).max()
    }

    pub(crate) fn insert(&mut self, tp: &TopicPartition, value: CommitValue) {
        self.offsets.insert(tp.clone(), value);
    }

    /// When each commit expires: `retention_ms` after `since` where that is given, else after the
    /// commit. A commit with an expiry of its own goes by that. What a transaction is about to
    /// change stays.
    pub(super) fn expiries(
        &self,
        since: Option<i64>,
        retention_ms: i64,
    ) -> impl Iterator<Item = (&TopicPartition, i64)> {
        let settled = self.offsets.iter().filter(|(tp, _)| !self.is_pending(tp));
        settled.map(move |(tp, value)| {
            let base = since.unwrap_or(value.timestamp);
            (tp, value.expires.unwrap_or(base.saturating_add(retention_ms)))
        })
    }
}

/// Checks one position of a commit.
pub(crate) fn check_position(tp: &TopicPartition, position: &OffsetAndMetadata) -> Result<()> {
    if position.offset() < 0 {
        return Err(Error::kafka(
            ErrorCode::InvalidRequest,
            format!("offset {} cannot be committed: it is negative", position.offset()),
        )
        .on(tp));
    }
    let len = position.metadata().len();
    if len > METADATA_BYTES_MAX {
        return Err(Error::kafka(
            ErrorCode::OffsetMetadataTooLarge,
            format!("metadata of {len} bytes is over {METADATA_BYTES_MAX}"),
        )
        .on(tp));
    }
    Ok(())
}

/// The record of one committed offset.
pub(crate) fn commit_record(
    group: &str,
    tp: &TopicPartition,
    value: &CommitValue,
) -> (Vec<u8>, Option<Vec<u8>>) {
    let key = OffsetsKey::Commit { group: group.to_owned(), tp: tp.clone() };
    (key.encode(), Some(value.encode()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(offset: i64) -> CommitValue {
        CommitValue { position: offset.into(), timestamp: 1, expires: None }
    }

    #[test]
    fn transactional_commits_count_at_their_marker() {
        let mut commits = Commits::default();
        let tp = TopicPartition::new("t", 0);
        commits.replay(tp.clone(), Some(value(5)), None);
        commits.replay(tp.clone(), Some(value(9)), Some(77));
        assert!(commits.is_pending(&tp));
        assert_eq!(commits.get(&tp).unwrap().offset(), 5);
        commits.end_transaction(77, true);
        assert_eq!(commits.get(&tp).unwrap().offset(), 9);
        commits.replay(tp.clone(), Some(value(11)), Some(78));
        commits.end_transaction(78, false);
        assert_eq!(commits.get(&tp).unwrap().offset(), 9);
        commits.replay(tp.clone(), None, None);
        assert_eq!(commits.get(&tp), None);
    }

    #[test]
    fn a_tombstone_takes_along_what_is_pending() {
        let mut commits = Commits::default();
        let tp = TopicPartition::new("t", 0);
        commits.replay(tp.clone(), Some(value(9)), Some(77));
        commits.replay(TopicPartition::new("u", 0), Some(value(9)), Some(77));
        assert_eq!(commits.of_topic("t"), std::slice::from_ref(&tp));
        commits.replay(tp.clone(), None, None);
        commits.end_transaction(77, true);
        assert_eq!(commits.get(&tp), None);
        assert_eq!(commits.of_topic("u").len(), 1);
    }

    #[test]
    fn commits_expire_by_their_age_or_their_own_word() {
        let mut commits = Commits::default();
        let tp = |number| TopicPartition::new("t", number);
        commits.insert(&tp(0), value(5));
        commits.insert(&tp(1), CommitValue { expires: Some(50), ..value(6) });
        commits.insert(&tp(2), CommitValue { timestamp: 40, ..value(7) });
        commits.replay(tp(0), Some(value(8)), Some(9));
        let expired = |now, since| -> Vec<i32> {
            let times = commits.expiries(since, 20).filter(|(_, at)| now >= *at);
            times.map(|(tp, _)| tp.partition()).collect()
        };
        assert_eq!(expired(49, None), [] as [i32; 0], "one is pending, one young, one has time");
        assert_eq!(expired(50, None), [1]);
        assert_eq!(expired(60, None), [1, 2]);
        assert_eq!(expired(60, Some(45)), [1], "counted from another moment");
    }

    #[test]
    fn positions_are_checked() {
        let tp = TopicPartition::new("t", 0);
        let at = |len: usize| OffsetAndMetadata::new(0).with_metadata("x".repeat(len));
        assert!(check_position(&tp, &at(4096)).is_ok());
        let error = check_position(&tp, &at(4097)).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OffsetMetadataTooLarge));
        assert!(check_position(&tp, &(-1).into()).is_err());
    }
}
