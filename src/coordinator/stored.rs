//! A group and its record in `__consumer_offsets`: what is written, what a restart makes of it,
//! when it is forgotten.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::group::Group;
use super::member::{Entry, MemberView, Presence};
use super::offsets::{GroupMember, GroupValue};
use super::phase::Phase;
use super::protocol::{MemberMetadata, decode_assignment, encode_assignment};
use crate::types::TopicPartition;

/// What Kafka stores where a client's address would be.
pub(crate) const HOST: &str = "/127.0.0.1";

/// How far a group has come in sharing out its partitions (Kafka's classic group states). Prints as
/// Kafka's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupState {
    /// No members. What it committed stays.
    Empty,
    /// Members are to join again, and some have not polled yet.
    PreparingRebalance,
    /// All have joined; the leader has not shared out the partitions yet.
    CompletingRebalance,
    /// Every member has been given its partitions, and takes them up at its next poll.
    Stable,
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What is told about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupView {
    pub(crate) state: GroupState,
    pub(crate) generation: i32,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) leader: Option<Arc<str>>,
    pub(crate) members: Vec<MemberView>,
}

impl Group {
    /// Takes in what the log says of the group itself: members as they were. Who may write goes on
    /// with [`restart`](Self::restart).
    pub(crate) fn replay(&mut self, value: &GroupValue) {
        self.generation = value.generation;
        self.protocol_type = Some(value.protocol_type.clone()).filter(|kind| !kind.is_empty());
        self.protocol = value.protocol.as_deref().map(Arc::from);
        self.leader = value.leader.as_deref().map(Arc::from);
        self.since = value.state_timestamp;
        self.members.clear();
        self.phase = if value.members.is_empty() { Phase::Empty } else { Phase::Stable };
        let protocol = value.protocol.as_deref().unwrap_or_default();
        for (place, stored) in (0..).zip(&value.members) {
            let metadata = MemberMetadata::decode(&stored.subscription, protocol);
            let entry = Entry {
                instance_id: stored.instance_id.as_deref().map(Arc::from),
                client_id: Arc::from(stored.client_id.as_str()),
                rebalance_timeout: millis(stored.rebalance_timeout_ms),
                session_timeout: millis(stored.session_timeout_ms),
                protocols: vec![(Arc::from(protocol), metadata.unwrap_or_default())],
                assignment: decode_assignment(&stored.assignment).unwrap_or_default(),
                presence: Presence::Absent { until: None },
                place,
            };
            self.members.insert(Arc::from(stored.member_id.as_str()), entry);
        }
        self.begin_after(value.members.len());
    }

    /// Its tombstone: only commits are left of it.
    pub(crate) fn forget(&mut self) {
        let commits = std::mem::take(&mut self.commits);
        *self = Self::default();
        self.commits = commits;
    }

    /// The process that had the members is gone, and with it the dynamic ones. Static ones may come
    /// back until their session ends. `now` on the monotonic clock, `wall` since 1970.
    pub(crate) fn restart(&mut self, now: Duration, wall: i64) {
        let before = self.members.len();
        let owed = self.members.keys().any(|id| self.owes(id));
        self.members.retain(|_, entry| entry.instance_id.is_some());
        for entry in self.members.values_mut() {
            let until = now.saturating_add(entry.session_timeout);
            entry.presence = Presence::Absent { until: Some(until) };
            for (_, metadata) in &mut entry.protocols {
                metadata.owned.clone_from(&entry.assignment);
            }
        }
        if self.members.is_empty() && before > 0 {
            (self.phase, self.since) = (Phase::Empty, Some(wall));
            (self.protocol, self.leader) = (None, None);
        } else if self.members.len() < before || owed {
            // What the others had, or what was to be given back, is nobody's: the next to join
            // begins a rebalance.
            self.phase = Phase::PreparingRebalance { until: None, gathering: None };
        }
    }

    /// The record that says what the group is now.
    pub(crate) fn value(&self) -> GroupValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter().map(|(id, entry)| GroupMember {
            member_id: id.to_string(),
            instance_id: entry.instance_id.as_deref().map(str::to_owned),
            client_id: entry.client_id.to_string(),
            client_host: HOST.to_owned(),
            rebalance_timeout_ms: as_millis(entry.rebalance_timeout),
            session_timeout_ms: as_millis(entry.session_timeout),
            subscription: entry
                .metadata(protocol)
                .map(|metadata| metadata.encode(protocol))
                .unwrap_or_default(),
            assignment: encode_assignment(&entry.assignment),
        });
        GroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.as_deref().map(str::to_owned),
            leader: self.leader.as_deref().map(str::to_owned),
            state_timestamp: self.since,
            members: members.collect(),
        }
    }

    pub(crate) fn state(&self) -> GroupState {
        match self.phase {
            Phase::Empty => GroupState::Empty,
            Phase::PreparingRebalance { .. } => GroupState::PreparingRebalance,
            Phase::CompletingRebalance => GroupState::CompletingRebalance,
            Phase::Stable => GroupState::Stable,
        }
    }

    pub(crate) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// What is told about it.
    pub(crate) fn view(&self) -> GroupView {
        let members = self.members.iter().map(|(id, entry)| MemberView {
            id: Arc::clone(id),
            instance_id: entry.instance_id.clone(),
            client_id: Arc::clone(&entry.client_id),
            topics: entry.topics().to_vec(),
            assignment: entry.assignment.clone(),
        });
        GroupView {
            state: self.state(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
        }
    }

    /// The commits that have expired (KIP-211): those of an empty group, counted from when it
    /// became empty; those of a group with members only for topics that nobody subscribes to;
    /// those of a group that never had members, each from its own time.
    pub(crate) fn expired_commits(&self, now: i64, retention_ms: i64) -> Vec<TopicPartition> {
        let times = self.commits.expiries(self.expiry_base(), retention_ms);
        let is_old = |(tp, at): &(&TopicPartition, i64)| now >= *at && self.may_expire(tp);
        times.filter(is_old).map(|(tp, _)| tp.clone()).collect()
    }

    /// Whether it is empty and has committed nothing: only its generation is left of it.
    pub(crate) fn is_bare(&self) -> bool {
        self.phase == Phase::Empty && self.protocol_type.is_some() && self.commits.is_empty()
    }

    /// Whether that has been so for so long, in milliseconds.
    pub(crate) fn has_been_bare(&self, now: i64, millis: i64) -> bool {
        self.is_bare() && self.since.is_none_or(|since| now.saturating_sub(since) >= millis)
    }

    /// When the first commit expires if nothing happens to the group, in milliseconds since 1970.
    pub(crate) fn next_expiry(&self, retention_ms: i64) -> Option<i64> {
        let times = self.commits.expiries(self.expiry_base(), retention_ms);
        times.filter(|(tp, _)| self.may_expire(tp)).map(|(_, at)| at).min()
    }

    /// From when on an empty group's commits count; others count each from its own time.
    fn expiry_base(&self) -> Option<i64> {
        self.since.filter(|_| self.phase == Phase::Empty && self.protocol_type.is_some())
    }

    fn may_expire(&self, tp: &TopicPartition) -> bool {
        let settled = matches!(self.phase, Phase::Empty | Phase::Stable);
        settled && !self.is_subscribed_to(tp.topic())
    }
}

fn millis(stored: i32) -> Duration {
    Duration::from_millis(u64::try_from(stored).unwrap_or(0))
}

fn as_millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
