//! A member of a group, as the group knows it, and what it asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::protocol::MemberMetadata;
use crate::error::{Error, ErrorCode, Result};
use crate::types::TopicPartition;

/// Who a request comes from: the member, and the generation it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    /// `None` while it has not been in one.
    pub(crate) generation: Option<i32>,
}

/// Which member of a group somebody is, and in which generation: what a commit on its behalf has to
/// name (Kafka: `ConsumerGroupMetadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    pub(crate) group_id: Arc<str>,
    /// `None` for who commits without being a member.
    pub(crate) member: Option<Member>,
}

impl GroupMetadata {
    /// A group that is used without members, only to keep positions in: by a consumer that chose
    /// its partitions itself.
    ///
    /// ```
    /// use logreel::consumer::GroupMetadata;
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let mut producer = broker.producer().build_transactional("copier")?;
    /// let transaction = producer.begin()?;
    /// transaction.send(ProducerRecord::to("out").value("v")).forget();
    /// let done = [(("out", 0), 1)].into_iter().collect();
    /// transaction.send_offsets(&done, &GroupMetadata::without_members("copiers"))?;
    /// transaction.commit()?;
    /// assert_eq!(broker.committed_offsets("copiers")?, done);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn without_members(group_id: impl Into<Arc<str>>) -> Self {
        Self { group_id: group_id.into(), member: None }
    }

    /// The group's name.
    #[must_use]
    pub fn group_id(&self) -> &str {
        &self.group_id
    }

    /// The id that the group gave the member; `None` without one.
    #[must_use]
    pub fn member_id(&self) -> Option<&str> {
        self.member.as_ref().map(|member| &*member.id)
    }

    /// The member's `group.instance.id`, if it is static.
    #[must_use]
    pub fn group_instance_id(&self) -> Option<&str> {
        self.member.as_ref()?.instance_id.as_deref()
    }

    /// The generation in which the member got its partitions; `None` while it has not got any.
    #[must_use]
    pub fn generation(&self) -> Option<i32> {
        self.member.as_ref()?.generation
    }
}

/// The assignors a member knows, the one it likes best first, and what it tells each.
pub(crate) type Protocols = Vec<(Arc<str>, MemberMetadata)>;

/// How a member wants to be in the group (Kafka's `JoinGroup`).
#[derive(Clone, Debug)]
pub(crate) struct JoinRequest {
    /// The id it was given before; `None` for a newcomer.
    pub(crate) member_id: Option<Arc<str>>,
    /// What it is called when it comes back (KIP-345).
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    /// How long the others wait for it in a rebalance: its `max.poll.interval.ms`.
    pub(crate) rebalance_timeout: Duration,
    pub(crate) session_timeout: Duration,
    pub(crate) protocols: Protocols,
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The group asks everybody to join again.
    MustRejoin,
    /// It has joined; others have not.
    Joining,
    /// All have joined; it decides who gets what.
    Leads(Lead),
    /// All have joined; the leader has not decided yet.
    Syncing,
    /// It has its partitions.
    Stable {
        generation: i32,
        /// The assignor that was used.
        protocol: Arc<str>,
        assignment: Vec<TopicPartition>,
        /// For the leader: the topics it watches for new partitions, and how many were given out.
        watched: Option<BTreeMap<String, i32>>,
    },
}

/// What the leader needs to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(crate) generation: i32,
    /// The assignor that the members agreed on.
    pub(crate) protocol: Arc<str>,
    /// Members in the order of their ids: id, instance id, what each wants.
    pub(crate) members: Vec<(Arc<str>, Option<Arc<str>>, MemberMetadata)>,
}

/// Whether somebody stands behind a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// A consumer of this process.
    Present {
        /// It has joined since the rebalance began.
        joined: bool,
        /// It has asked for its assignment since the join ended.
        synced: bool,
    },
    /// A static member that went away; it may come back until its session ends. `None` where
    /// nobody counts: in a directory that is only read.
    Absent { until: Option<Duration> },
}

/// A member in the group's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) rebalance_timeout: Duration,
    pub(super) session_timeout: Duration,
    pub(super) protocols: Protocols,
    pub(super) assignment: Vec<TopicPartition>,
    pub(super) presence: Presence,
    /// Members lead in the order in which they came.
    pub(super) place: u64,
}

impl Entry {
    pub(super) fn is_present(&self) -> bool {
        matches!(self.presence, Presence::Present { .. })
    }

    /// Whether a rebalance need not wait for it.
    pub(super) fn has_joined(&self) -> bool {
        !matches!(self.presence, Presence::Present { joined: false, .. })
    }

    pub(super) fn has_synced(&self) -> bool {
        !matches!(self.presence, Presence::Present { synced: false, .. })
    }

    /// When a static member that is away is given up.
    pub(super) fn session_end(&self) -> Option<Duration> {
        match self.presence {
            Presence::Absent { until } => until,
            Presence::Present { .. } => None,
        }
    }

    /// What it told an assignor.
    pub(super) fn metadata(&self, protocol: &str) -> Option<&MemberMetadata> {
        self.protocols.iter().find(|(name, _)| &**name == protocol).map(|(_, metadata)| metadata)
    }

    /// The topics it wants: the same for every assignor.
    pub(super) fn topics(&self) -> &[Arc<str>] {
        self.protocols.first().map_or(&[], |(_, metadata)| &metadata.topics)
    }
}

/// What is told about a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemberView {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) assignment: Vec<TopicPartition>,
}

/// The error for a member that the group does not know, or no longer.
pub(crate) fn unknown_member(group: &str, id: &str) -> Error {
    Error::kafka(
        ErrorCode::UnknownMemberId,
        format!("group {group} has no member {id}: it left, or did not poll in time"),
    )
}

/// Fails unless the static member is still the one that was given this id.
pub(super) fn check_instance(instance: &str, present: &str, id: &str) -> Result<()> {
    if present == id {
        return Ok(());
    }
    Err(Error::kafka(
        ErrorCode::FencedInstanceId,
        format!("another member took over group.instance.id {instance}; close this consumer"),
    ))
}
