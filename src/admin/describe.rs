//! What a group is at this moment: its state and its members.

use std::sync::Arc;
use std::time::Duration;

use super::group::{ConsumerGroup, FOLLOW_INTERVAL};
use crate::coordinator::{GroupState, GroupView, HOST, MemberView};
use crate::error::{Error, ErrorCode, Result};
use crate::types::TopicPartition;
use crate::wait::Waiter;

/// A group as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// How far it has come.
    pub state: GroupState,
    /// How often its partitions have been shared out, or it became empty.
    pub generation: i32,
    /// The assignor its members agreed on; `None` before they have.
    pub assignor: Option<Arc<str>>,
    /// The id of the member that shares out the partitions.
    pub leader: Option<Arc<str>>,
    /// Its members, in the order of their ids. Static members that are away count until their
    /// session ends.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// The id the group gave it: its `client.id` or `group.instance.id` and a random part.
    pub member_id: Arc<str>,
    /// Its `group.instance.id`, if it is static.
    pub instance_id: Option<Arc<str>>,
    /// Its `client.id`.
    pub client_id: Arc<str>,
    /// Where Kafka tells the client's address. All members are in this process.
    pub host: &'static str,
    /// The topics it subscribed to.
    pub subscription: Vec<Arc<str>>,
    /// The partitions it was given.
    pub assignment: Vec<TopicPartition>,
}

impl From<MemberView> for GroupMember {
    fn from(view: MemberView) -> Self {
        Self {
            member_id: view.id,
            instance_id: view.instance_id,
            client_id: view.client_id,
            host: HOST,
            subscription: view.topics,
            assignment: view.assignment,
        }
    }
}

impl From<GroupView> for GroupDescription {
    fn from(view: GroupView) -> Self {
        Self {
            state: view.state,
            generation: view.generation,
            assignor: view.protocol,
            leader: view.leader,
            members: view.members.into_iter().map(GroupMember::from).collect(),
        }
    }
}

impl ConsumerGroup {
    /// The group's state and members. A read-only broker tells of the members that another process
    /// has, as they were when their partitions were last shared out.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::Broker;
    /// use logreel::admin::GroupState;
    /// let broker = Broker::in_memory();
    /// let group = broker.group("billing");
    /// let member = group.join(["orders"])?;
    /// member.poll(Duration::ZERO)?;
    /// let described = group.describe()?;
    /// assert_eq!(described.state, GroupState::Stable);
    /// assert_eq!(described.assignor.as_deref(), Some("range"));
    /// assert_eq!(described.members[0].assignment, [("orders", 0).into()]);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `GROUP_ID_NOT_FOUND`; `COORDINATOR_NOT_AVAILABLE` when the group's part of the offsets topic
    /// is damaged; `Closed`.
    pub fn describe(&self) -> Result<GroupDescription> {
        let view = self.broker.handle().describe_group(&self.name)?;
        view.map(GroupDescription::from).ok_or_else(|| {
            let message = format!("group {} does not exist", self.name);
            Error::kafka(ErrorCode::GroupIdNotFound, message)
        })
    }

    /// How far the group has come in sharing out its partitions.
    ///
    /// ```
    /// use logreel::{Broker, admin::GroupState};
    /// let group = Broker::in_memory().group("billing");
    /// let member = group.join(["orders"])?;
    /// member.poll(std::time::Duration::ZERO)?;
    /// assert_eq!(group.state()?, GroupState::Stable);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`describe`](Self::describe).
    pub fn state(&self) -> Result<GroupState> {
        self.describe().map(|described| described.state)
    }

    /// The group's members, in the order of their ids.
    ///
    /// # Errors
    ///
    /// As [`describe`](Self::describe).
    pub fn members(&self) -> Result<Vec<GroupMember>> {
        self.describe().map(|described| described.members)
    }

    /// Blocks until the group is stable with this many members, for up to `timeout`, and answers
    /// what it then is. Members join and share out partitions inside their polls, so somebody has
    /// to poll on other threads. With 0 it waits until the group is empty.
    ///
    /// ```
    /// use std::time::Duration;
    /// let group = logreel::Broker::in_memory().group("billing");
    /// let member = group.join(["orders"])?;
    /// member.poll(Duration::ZERO)?;
    /// assert_eq!(group.wait_stable(1, Duration::from_secs(5))?.members.len(), 1);
    /// drop(member);
    /// group.wait_stable(0, Duration::from_secs(5))?;
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `REQUEST_TIMED_OUT`; as [`describe`](Self::describe), but a group that does not exist is
    /// waited for.
    pub fn wait_stable(&self, members: usize, timeout: Duration) -> Result<GroupDescription> {
        let broker = self.broker.handle();
        let deadline = broker.deadline(timeout);
        let signs = broker.group_signs(&self.name)?;
        loop {
            let waiter = Waiter::new();
            signs.changed.add(&waiter);
            // A broker that closes wakes these.
            broker.commits_changed().add(&waiter);
            let outcome = match self.describe() {
                Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => None,
                Err(error) => Some(Err(error)),
                Ok(described) => is_settled(&described, members).then_some(Ok(described)),
            };
            let now = broker.context.clock.monotonic();
            let outcome = outcome.or_else(|| {
                let is_over = deadline.is_some_and(|deadline| now >= deadline);
                is_over.then(|| Err(self.not_stable(members)))
            });
            if outcome.is_none() {
                let follow = broker.read_only.then(|| broker.deadline(FOLLOW_INTERVAL)).flatten();
                let until = [deadline, follow].into_iter().flatten().min();
                waiter.park(&broker.context.clock, until);
            }
            signs.changed.remove(&waiter);
            broker.commits_changed().remove(&waiter);
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    fn not_stable(&self, members: usize) -> Error {
        let is = match self.describe() {
            Ok(described) => format!("{} with {}", described.state, described.members.len()),
            Err(_) => "not there".to_owned(),
        };
        let message = format!("group {} is not stable with {members} members: {is}", self.name);
        Error::kafka(ErrorCode::RequestTimedOut, message)
    }

    /// Removes a member, as if it had left: its partitions go to the others. The consumer notices
    /// at its next poll, and joins anew. For a static member that does not come back before its
    /// session ends.
    ///
    /// ```
    /// use std::time::Duration;
    /// let group = logreel::Broker::in_memory().group("billing");
    /// let member = group.member().group_instance_id("b-1").build()?;
    /// member.subscribe(["orders"])?;
    /// member.poll(Duration::ZERO)?;
    /// drop(member); // it may come back until its session ends
    /// for member in group.members()? {
    ///     group.remove_member(&member.member_id)?;
    /// }
    /// assert!(group.members()?.is_empty());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `UNKNOWN_MEMBER_ID`; `COORDINATOR_NOT_AVAILABLE`; `ReadOnly`; `Closed`; what stops the
    /// offsets topic's storage.
    pub fn remove_member(&self, member_id: &str) -> Result<()> {
        let broker = self.broker.handle();
        broker.check_writable("removing a member")?;
        broker.remove_member(&self.name, member_id)
    }
}

fn is_settled(described: &GroupDescription, members: usize) -> bool {
    let wanted = if members == 0 { GroupState::Empty } else { GroupState::Stable };
    described.state == wanted && described.members.len() == members
}
