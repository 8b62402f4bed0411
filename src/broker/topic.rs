//! The handle to a topic.

use std::sync::Arc;

use super::partition::Partition;
use super::shared::Handle;
use super::topic_state::TopicState;
use crate::error::Result;
use crate::log::TopicConfig;
use crate::types::TopicId;

/// A handle to a topic. Cheap to clone; it keeps the broker open.
///
/// ```
/// use logreel::{Broker, NewTopic};
/// let broker = Broker::in_memory();
/// let topic = broker.create_topic(NewTopic::new("orders").partitions(3))?;
/// assert_eq!((topic.name(), topic.partition_count()), ("orders", 3));
/// for partition in topic.partitions() {
///     assert_eq!(partition.log_end_offset(), 0);
/// }
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Topic {
    handle: Handle,
    state: Arc<TopicState>,
}

impl Topic {
    pub(crate) fn new(handle: Handle, state: Arc<TopicState>) -> Self {
        Self { handle, state }
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// The id of this incarnation of the topic.
    #[must_use]
    pub fn id(&self) -> TopicId {
        self.state.id
    }

    /// How many partitions it has now.
    #[must_use]
    pub fn partition_count(&self) -> i32 {
        self.state.partition_count()
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<TopicConfig> {
        self.state.config()
    }

    /// One partition.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION` when there is none of that number.
    pub fn partition(&self, number: i32) -> Result<Partition> {
        Ok(Partition::new(self.handle.clone(), self.state.log(number)?))
    }

    /// All partitions, in the order of their numbers.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        let handle = |log: &Arc<_>| Partition::new(self.handle.clone(), Arc::clone(log));
        self.state.logs().iter().map(handle).collect()
    }
}
