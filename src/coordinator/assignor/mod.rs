//! Which member of a group gets which partitions: Kafka's assignors, byte for byte their answers.
//!
//! An assignor is a pure function of the topics' partition counts and the members' subscriptions.

mod range;

mod round_robin;

mod claims;

mod constrained;

mod general;

mod sticky;

use std::collections::BTreeMap;

pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;
pub use sticky::{CooperativeStickyAssignor, StickyAssignor};

use crate::types::TopicPartition;

/// What an assignor knows of a member.
///
/// ```
/// use logreel::consumer::Subscription;
/// let member = Subscription::new("billing-1", ["orders"]).owned([("orders", 0)]).generation(7);
/// assert_eq!(member.member_id(), "billing-1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) topics: Vec<String>,
    pub(super) owned: Vec<TopicPartition>,
    pub(super) generation: Option<i32>,
}

impl Subscription {
    /// A member that subscribed to these topics and owns nothing yet.
    pub fn new<T: Into<String>>(
        member_id: impl Into<String>,
        topics: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            member_id: member_id.into(),
            instance_id: None,
            topics: topics.into_iter().map(Into::into).collect(),
            owned: Vec::new(),
            generation: None,
        }
    }

    /// Makes it a static member (KIP-345).
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use logreel::consumer::{Assignor, RangeAssignor, Subscription};
    /// let topics = BTreeMap::from([("t".to_owned(), 1)]);
    /// let members = [
    ///     Subscription::new("a", ["t"]),
    ///     Subscription::new("z", ["t"]).instance_id("static-1"),
    /// ];
    /// // Static members come first.
    /// assert_eq!(RangeAssignor.assign(&topics, &members)["z"], [("t", 0).into()]);
    /// ```
    #[must_use]
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    /// The partitions it had in its last generation.
    #[must_use]
    pub fn owned<T: Into<TopicPartition>>(mut self, owned: impl IntoIterator<Item = T>) -> Self {
        self.owned = owned.into_iter().map(Into::into).collect();
        self
    }

    /// The generation in which it had them (KIP-792).
    #[must_use]
    pub fn generation(mut self, generation: i32) -> Self {
        self.generation = Some(generation);
        self
    }

    /// The member's id.
    #[must_use]
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The topics it subscribed to.
    #[must_use]
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The partitions it had.
    #[must_use]
    pub fn owned_partitions(&self) -> &[TopicPartition] {
        &self.owned
    }

    /// The generation in which it had them.
    pub(crate) fn last_generation(&self) -> Option<i32> {
        self.generation
    }

    /// Static members come first, by instance id; the others by member id.
    fn order(&self) -> (bool, &str, &str) {
        match &self.instance_id {
            Some(instance) => (false, instance, &self.member_id),
            None => (true, &self.member_id, ""),
        }
    }

    fn wants(&self, topic: &str) -> bool {
        self.topics.iter().any(|wanted| wanted == topic)
    }
}

/// The partitions of each member, by member id. Members without any are there, too.
pub type Assignment = BTreeMap<String, Vec<TopicPartition>>;

/// How partitions change hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebalanceProtocol {
    /// Everybody gives everything back before anybody gets anything.
    Eager,
    /// Only what moves is given back, in a rebalance of its own (KIP-429).
    Cooperative,
}

/// Decides which member of a group gets which partitions (Kafka: `ConsumerPartitionAssignor`).
///
/// Give one to [`ConsumerBuilder::assignor`](crate::consumer::ConsumerBuilder::assignor). It runs
/// on the thread of the member that leads the group, inside a call of that consumer, with no lock
/// held. What it answers is checked: a partition given out twice, or one that does not exist, comes
/// out of that call as [`ErrorKind::UserCode`](crate::ErrorKind::UserCode), as does a panic.
///
/// ```
/// use std::collections::BTreeMap;
/// use logreel::consumer::{Assignor, RangeAssignor, Subscription};
/// let partitions = BTreeMap::from([("orders".to_owned(), 7)]);
/// let members = ["a", "b", "c"].map(|id| Subscription::new(id, ["orders"]));
/// let assignment = RangeAssignor.assign(&partitions, &members);
/// let numbers = |id| assignment[id].iter().map(|tp| tp.partition()).collect::<Vec<_>>();
/// assert_eq!((numbers("a"), numbers("b"), numbers("c")), (vec![0, 1, 2], vec![3, 4], vec![5, 6]));
/// ```
pub trait Assignor: Send + Sync {
    /// Its name, by which members agree on one.
    fn name(&self) -> &str;

    /// How partitions change hands under it. Default: eager.
    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    /// Gives partitions to members. `partitions` has the partition count of every topic that
    /// exists; what members want besides is passed over.
    fn assign(&self, partitions: &BTreeMap<String, i32>, members: &[Subscription]) -> Assignment;
}

/// An assignment in which every member has nothing.
fn empty(members: &[Subscription]) -> Assignment {
    members.iter().map(|member| (member.member_id.clone(), Vec::new())).collect()
}

/// The partitions of the topics that somebody wants, by topic and number.
fn wanted_partitions(
    partitions: &BTreeMap<String, i32>,
    members: &[Subscription],
) -> Vec<TopicPartition> {
    partitions
        .iter()
        .filter(|(topic, _)| members.iter().any(|member| member.wants(topic)))
        .flat_map(|(topic, count)| (0..*count).map(|p| TopicPartition::new(topic.as_str(), p)))
        .collect()
}

#[cfg(test)]
mod tests;
