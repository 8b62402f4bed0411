//! The handle to a topic.

use std::sync::Arc;

use super::partition::Partition;
use super::shared::Handle;
use super::topic_state::TopicState;
use crate::error::Result;
use crate::log::config_change::ConfigChange;
use crate::log::{TopicConfig, names};
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
#[derive(Clone)]
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

    /// Changes the configuration while the topic is in use: all of these changes or none. Durable
    /// on return, and then in force: for the next append, the next roll of a segment, the next
    /// clean, and for partitions that are added. Segments that are there keep the indexes they
    /// have, and batches their codec and timestamps.
    ///
    /// ```
    /// use logreel::{Broker, ConfigChange};
    /// let topic = Broker::in_memory().create_topic("orders")?;
    /// topic.alter_config([ConfigChange::set("max.message.bytes", "100")])?;
    /// let log = topic.partition(0)?;
    /// assert!(log.append([(None, Some("x".repeat(100).as_str()))]).is_err());
    /// topic.alter_config([ConfigChange::delete("max.message.bytes")])?;
    /// assert!(log.append([(None, Some("x".repeat(100).as_str()))]).is_ok());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` for a key that topics do not have, a value it may not have, or words added
    /// to what is no list; `INVALID_REQUEST` for a key that is named twice;
    /// `UNKNOWN_TOPIC_OR_PARTITION` when the topic was deleted; `ReadOnly`; `Closed`; I/O errors.
    pub fn alter_config(&self, changes: impl IntoIterator<Item = ConfigChange>) -> Result<()> {
        let changes: Vec<ConfigChange> = changes.into_iter().collect();
        self.handle.alter_config(&self.state.name, Some(self.state.id), &changes)
    }

    /// Whether the topic belongs to the coordinators.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        names::is_internal(&self.state.name)
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

/// Name, id and partitions.
impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name())
            .field("id", &self.id())
            .field("partitions", &self.partition_count())
            .finish_non_exhaustive()
    }
}
