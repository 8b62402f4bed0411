//! What to reset, and to where.

use std::sync::Arc;
use std::time::Duration;

use crate::types::TopicPartition;

/// To where a reset sets a group, in each of the partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetTo {
    /// The log start (`--to-earliest`).
    Earliest,
    /// The log end (`--to-latest`): what is there now is skipped.
    Latest,
    /// This offset, or the end of the log that is nearer (`--to-offset`).
    Offset(i64),
    /// So many offsets after what was committed, before it if negative, or the end of the log that
    /// is nearer (`--shift-by`). Fails where nothing was committed.
    ShiftBy(i64),
    /// The first record whose timestamp, in milliseconds since 1970, is at least this, or the log
    /// end if there is none (`--to-datetime`).
    Timestamp(i64),
    /// The same for the time that was so long ago, by the broker's clock (`--by-duration`).
    ByDuration(Duration),
    /// What was committed, as it is, or the log end where nothing was (`--to-current`): for an
    /// export, or to give the rest of a topic's partitions a commit.
    Current,
}

/// Of which partitions a group is reset.
///
/// ```
/// use logreel::admin::ResetScope;
/// let all = ResetScope::all_topics();
/// let some = ResetScope::topics(["orders", "users"]).and(ResetScope::partitions([("jobs", 3)]));
/// assert_ne!(all, some);
/// assert_eq!(ResetScope::from("orders"), ResetScope::topics(["orders"]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetScope(pub(super) Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Committed,
    Topic(Arc<str>),
    Partition(TopicPartition),
}

impl ResetScope {
    /// Every partition that the group has committed (`--all-topics`).
    #[must_use]
    pub fn all_topics() -> Self {
        Self(vec![Part::Committed])
    }

    /// All partitions of these topics (`--topic T`), committed or not.
    #[must_use]
    pub fn topics<T: Into<Arc<str>>>(topics: impl IntoIterator<Item = T>) -> Self {
        Self(topics.into_iter().map(|topic| Part::Topic(topic.into())).collect())
    }

    /// These partitions (`--topic T:P,P`), committed or not.
    #[must_use]
    pub fn partitions<P: Into<TopicPartition>>(partitions: impl IntoIterator<Item = P>) -> Self {
        Self(partitions.into_iter().map(|tp| Part::Partition(tp.into())).collect())
    }

    /// These partitions and others.
    #[must_use]
    pub fn and(mut self, others: impl Into<Self>) -> Self {
        self.0.extend(others.into().0);
        self
    }
}

/// All partitions of a topic.
impl From<&str> for ResetScope {
    fn from(topic: &str) -> Self {
        Self::topics([topic])
    }
}

/// One partition.
impl From<TopicPartition> for ResetScope {
    fn from(tp: TopicPartition) -> Self {
        Self::partitions([tp])
    }
}
