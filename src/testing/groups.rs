//! What a test may do to a group.

use std::sync::Arc;

use super::control::Testing;
use crate::broker::Broker;
use crate::consumer::Consumer;
use crate::coordinator::Forced;
use crate::error::{Error, ErrorKind, Result};
use crate::types::TopicPartition;

impl Testing {
    /// What a test may do to a group.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::{Broker, ErrorCode};
    /// let broker = Broker::in_memory();
    /// broker.create_topic("orders")?;
    /// let member = broker.group("billing").join(["orders"])?;
    /// member.poll(Duration::ZERO)?;
    ///
    /// broker.testing().group("billing").trigger_rebalance()?;
    /// member.poll(Duration::ZERO)?;
    /// assert_eq!(member.group_metadata().and_then(|group| group.generation()), Some(2));
    ///
    /// broker.testing().group("billing").expire(&member)?;
    /// let position = [(("orders", 0), 1)].into_iter().collect();
    /// let error = member.commit_offsets(&position).unwrap_err();
    /// assert_eq!(error.code(), Some(ErrorCode::UnknownMemberId));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn group(&self, name: impl Into<Arc<str>>) -> GroupControl {
        GroupControl { broker: self.broker.clone(), name: name.into() }
    }
}

/// What a test may do to a group. The members find out in their next poll, as from a broker.
#[derive(Clone, Debug)]
pub struct GroupControl {
    broker: Broker,
    name: Arc<str>,
}

impl GroupControl {
    /// Begins a rebalance: every member joins again in its next poll, and the generation goes up by
    /// one. Until all have, commits of the old generation are taken, as by Kafka.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the group has no members.
    pub fn trigger_rebalance(&self) -> Result<()> {
        self.broker.handle().force_rebalance(&self.name)
    }

    /// Removes a member, as when its session has ended: its next commit answers
    /// `UNKNOWN_MEMBER_ID`, its next poll calls `on_lost` and joins again.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_MEMBER_ID`.
    pub fn expire_member(&self, member_id: &str) -> Result<()> {
        self.broker.handle().remove_member(&self.name, member_id)
    }

    /// [Removes](Self::expire_member) the member that a consumer is.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the consumer has not joined; `UNKNOWN_MEMBER_ID`.
    pub fn expire(&self, consumer: &Consumer) -> Result<()> {
        self.expire_member(&member_id(consumer)?)
    }

    /// Has another process take the place of a static member (`group.instance.id`): what the
    /// consumer does next answers `FENCED_INSTANCE_ID`. The other one is not seen again, and its
    /// session ends after `session.timeout.ms`.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the consumer has not joined; `INVALID_REQUEST` when it is not static;
    /// `UNKNOWN_MEMBER_ID`.
    pub fn fence(&self, consumer: &Consumer) -> Result<()> {
        self.broker.handle().fence_member(&self.name, &member_id(consumer)?)
    }

    /// Begins a rebalance, and from then on decides, in the place of the assignor, who gets which
    /// partitions; members that are not named get none. That no partition has two owners is up to
    /// the test. In force until [`clear_assignment`](Self::clear_assignment), or until nothing is
    /// left of the group.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::{Broker, NewTopic};
    /// let broker = Broker::in_memory();
    /// broker.create_topic(NewTopic::new("orders").partitions(3))?;
    /// let (a, b) = (broker.group("g").join(["orders"])?, broker.group("g").join(["orders"])?);
    /// let settle = || (0..4).try_for_each(|_| {
    ///     a.poll(Duration::ZERO).and(b.poll(Duration::ZERO)).map(drop)
    /// });
    /// settle()?;
    /// let all = [("orders", 0), ("orders", 1), ("orders", 2)];
    /// broker.testing().group("g").set_assignment([(&b, all)])?;
    /// settle()?;
    /// assert_eq!((a.assignment().len(), b.assignment().len()), (0, 3));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IllegalState` when the group has no members.
    pub fn set_assignment<'a, P: Into<TopicPartition>>(
        &self,
        to: impl IntoIterator<Item = (&'a Consumer, impl IntoIterator<Item = P>)>,
    ) -> Result<()> {
        let share = |(consumer, partitions): (&'a Consumer, _)| {
            let partitions: Vec<TopicPartition> = into_vec(partitions);
            (Arc::clone(&consumer.client_id), partitions)
        };
        let forced: Forced = to.into_iter().map(share).collect();
        self.broker.handle().force_assignment(&self.name, Some(forced))
    }

    /// Lets the assignor decide again, beginning with a rebalance.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the group has no members.
    pub fn clear_assignment(&self) -> Result<()> {
        self.broker.handle().force_assignment(&self.name, None)
    }
}

fn into_vec<P: Into<TopicPartition>>(
    partitions: impl IntoIterator<Item = P>,
) -> Vec<TopicPartition> {
    partitions.into_iter().map(Into::into).collect()
}

fn member_id(consumer: &Consumer) -> Result<Arc<str>> {
    let group = consumer.group_metadata();
    let id = group.as_ref().and_then(|group| group.member_id());
    id.map(Arc::from).ok_or_else(|| {
        Error::new(ErrorKind::IllegalState, "the consumer has not joined its group: poll first")
    })
}
