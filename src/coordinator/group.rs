//! One group: its generation, its member, its committed offsets.
//!
//! For now a group has at most one member at a time; what it writes and what it refuses is what a
//! classic Kafka group with one member would.

use std::collections::BTreeMap;

use super::offsets::{CommitValue, GroupMember, GroupValue, OffsetsKey};
use crate::error::{Error, ErrorCode, Result};
use crate::types::{OffsetAndMetadata, TopicPartition};

/// Kafka's `offset.metadata.max.bytes`.
const METADATA_BYTES_MAX: usize = 4096;

/// Who a commit comes from: the member and the generation it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) generation: i32,
}

/// The state of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    generation: i32,
    member: Option<String>,
    offsets: BTreeMap<TopicPartition, CommitValue>,
    /// Commits of transactions that are still open, by producer id.
    pending: BTreeMap<i64, Vec<(TopicPartition, CommitValue)>>,
}

impl Group {
    /// Takes in a record of the log. Returns whether the group still exists.
    pub(crate) fn replay_commit(
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
            (None, _) => {
                self.offsets.remove(&tp);
            }
        }
    }

    /// Takes in what the log says of the group itself. Members of an earlier process are gone; the
    /// generation goes on.
    pub(crate) fn replay_group(&mut self, value: &GroupValue) {
        self.generation = value.generation;
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

    pub(crate) fn committed(&self, tp: &TopicPartition) -> Option<&OffsetAndMetadata> {
        self.offsets.get(tp).map(|value| &value.position)
    }

    pub(crate) fn offsets(&self) -> impl Iterator<Item = (&TopicPartition, &OffsetAndMetadata)> {
        self.offsets.iter().map(|(tp, value)| (tp, &value.position))
    }

    /// The time of the newest commit.
    pub(crate) fn newest_commit(&self) -> Option<i64> {
        self.offsets.values().map(|value| value.timestamp).max()
    }

    /// Whether there is anything to tell of the group. One that was joined once stays.
    pub(crate) fn exists(&self) -> bool {
        let committed = !self.offsets.is_empty() || !self.pending.is_empty();
        committed || self.member.is_some() || self.generation > 0
    }

    pub(crate) fn has_member(&self) -> bool {
        self.member.is_some()
    }

    /// The only member joins: a new generation begins.
    pub(crate) fn join(&mut self, group: &str, member_id: &str) -> Result<Member> {
        if self.member.is_some() {
            return Err(Error::kafka(
                ErrorCode::GroupMaxSizeReached,
                format!(
                    "group {group} has a member already; groups of several members are not \
                     supported yet"
                ),
            ));
        }
        self.next_generation();
        self.member = Some(member_id.to_owned());
        Ok(Member { id: member_id.to_owned(), generation: self.generation })
    }

    /// The member leaves; answers whether it was there. The empty group is a generation of its own.
    pub(crate) fn leave(&mut self, member: &Member) -> bool {
        let was = self.member.as_deref() == Some(member.id.as_str());
        if was {
            self.member = None;
            self.next_generation();
        }
        was
    }

    /// A stored generation may be anything.
    fn next_generation(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(0).max(0);
    }

    /// Checks a commit by Kafka's rules (`ClassicGroup.validateOffsetCommit`).
    pub(crate) fn check_commit(&self, group: &str, by: Option<&Member>) -> Result<()> {
        match (&self.member, by) {
            (None, None) => Ok(()),
            (Some(present), Some(by)) if *present == by.id => {
                if by.generation == self.generation {
                    return Ok(());
                }
                Err(Error::kafka(
                    ErrorCode::IllegalGeneration,
                    format!(
                        "group {group} is in generation {}, the commit comes from {}",
                        self.generation, by.generation
                    ),
                ))
            }
            (Some(_), None) => Err(Error::kafka(
                ErrorCode::UnknownMemberId,
                format!("group {group} has members; only they may commit"),
            )),
            (_, Some(by)) => Err(Error::kafka(
                ErrorCode::UnknownMemberId,
                format!("group {group} has no member {}", by.id),
            )),
        }
    }

    pub(crate) fn apply_commit(&mut self, tp: &TopicPartition, value: CommitValue) {
        self.offsets.insert(tp.clone(), value);
    }

    /// The record that says what the group is now.
    pub(crate) fn value(&self, now: i64, subscription: &[u8], assignment: &[u8]) -> GroupValue {
        let members = self.member.iter().map(|id| GroupMember {
            member_id: id.clone(),
            instance_id: None,
            client_id: "logreel".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: subscription.to_vec(),
            assignment: assignment.to_vec(),
        });
        GroupValue {
            protocol_type: "consumer".to_owned(),
            generation: self.generation,
            protocol: self.member.as_ref().map(|_| "range".to_owned()),
            leader: self.member.clone(),
            state_timestamp: Some(now),
            members: members.collect(),
        }
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
    fn only_the_member_of_this_generation_commits() {
        let mut group = Group::default();
        assert!(group.check_commit("g", None).is_ok(), "an empty group takes plain commits");
        let member = group.join("g", "m-1").unwrap();
        assert!(group.check_commit("g", Some(&member)).is_ok());
        let code = |by: Option<&Member>| group.check_commit("g", by).unwrap_err().code();
        assert_eq!(code(None), Some(ErrorCode::UnknownMemberId));
        let stale = Member { generation: member.generation - 1, ..member.clone() };
        assert_eq!(code(Some(&stale)), Some(ErrorCode::IllegalGeneration));
        let other = Member { id: "m-2".into(), ..member.clone() };
        assert_eq!(code(Some(&other)), Some(ErrorCode::UnknownMemberId));
        assert_eq!(
            group.join("g", "m-2").unwrap_err().code(),
            Some(ErrorCode::GroupMaxSizeReached)
        );
        assert!(group.leave(&member));
        assert!(!group.leave(&member));
        assert_eq!(group.join("g", "m-2").unwrap().generation, member.generation + 2);
    }

    /// A generation that was stored as the largest there is, or as none there can be, ended the
    /// process that joined.
    #[test]
    fn any_stored_generation_has_a_next() {
        for (stored, next) in [(7, 8), (i32::MAX - 1, i32::MAX), (i32::MAX, 0), (-5, 0)] {
            let mut group = Group::default();
            group.replay_group(&GroupValue { generation: stored, ..GroupValue::default() });
            let member = group.join("g", "m").unwrap();
            assert_eq!(member.generation, next, "after {stored}");
            assert!(group.check_commit("g", Some(&member)).is_ok());
            assert!(group.leave(&member));
            assert!(group.join("g", "m").unwrap().generation >= 0);
        }
    }

    #[test]
    fn transactional_commits_count_at_their_marker() {
        let mut group = Group::default();
        let tp = TopicPartition::new("t", 0);
        group.replay_commit(tp.clone(), Some(value(5)), None);
        group.replay_commit(tp.clone(), Some(value(9)), Some(77));
        assert!(group.is_pending(&tp));
        assert_eq!(group.committed(&tp).unwrap().offset(), 5);
        group.end_transaction(77, true);
        assert_eq!(group.committed(&tp).unwrap().offset(), 9);
        group.replay_commit(tp.clone(), Some(value(11)), Some(78));
        group.end_transaction(78, false);
        assert_eq!(group.committed(&tp).unwrap().offset(), 9);
        group.replay_commit(tp.clone(), None, None);
        assert_eq!(group.committed(&tp), None);
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
