//! The handle everything else is made from.

use std::time::Duration;

use super::report::RecoveryReport;
use super::shared::{Handle, Shared};
use super::topic::Topic;
use super::topics::NewTopic;
use crate::error::{Error, Result};
use crate::faults::persist;
use crate::log::config_change::ConfigChange;
use crate::types::{Offsets, TopicPartition};

/// A directory of topics, open in this process. Cheap to clone, shared between threads.
///
/// The directory stays open until [`close`](Self::close), or until the last `Broker`, `Topic`,
/// `Partition`, `Producer`, `Consumer` and `ConsumerGroup` made from it is gone; that does the same
/// and swallows errors.
///
/// ```
/// use std::time::Duration;
/// use logreel::{Broker, NewTopic, OffsetReset, ProducerRecord};
///
/// let broker = Broker::in_memory();                       // or Broker::open("./data")?
/// broker.create_topic(NewTopic::new("orders").partitions(3))?;
///
/// let producer = broker.producer().build()?;
/// let order = ProducerRecord::to("orders").key("customer-7").value("new order");
/// let placed = producer.send(order).wait()?;
/// assert_eq!(placed.offset(), Some(0));
///
/// let consumer =
///     broker.consumer().group_id("billing").auto_offset_reset(OffsetReset::Earliest).build()?;
/// consumer.subscribe(["orders"])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     assert_eq!(record.value(), Some(&b"new order"[..]));
/// }
/// consumer.commit()?;
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Broker {
    handle: Handle,
}

impl Broker {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Makes a topic. Durable on return.
    ///
    /// # Errors
    ///
    /// `TOPIC_ALREADY_EXISTS`; `INVALID_TOPIC_EXCEPTION` for a name outside Kafka's rules or one
    /// that differs from an existing one only by `.` and `_`; `INVALID_PARTITIONS`,
    /// `INVALID_REPLICATION_FACTOR`, `INVALID_CONFIG`; I/O errors.
    pub fn create_topic(&self, topic: impl Into<NewTopic>) -> Result<Topic> {
        let topic = topic.into();
        let state = persist(&self.handle.context.clock, || self.handle.create_topic(&topic))?;
        Ok(Topic::new(self.handle.clone(), state))
    }

    /// Whether a topic could be made as it is: Kafka's `validate_only`. Makes nothing.
    ///
    /// ```
    /// use logreel::{Broker, NewTopic};
    /// let broker = Broker::in_memory();
    /// broker.validate_topic(NewTopic::new("orders").partitions(3))?;
    /// assert!(broker.validate_topic(NewTopic::new("orders").set("retention.ms", "x")).is_err());
    /// assert!(broker.topics()?.is_empty());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`create_topic`](Self::create_topic), but for those of writing.
    pub fn validate_topic(&self, topic: impl Into<NewTopic>) -> Result<()> {
        self.handle.validate_topic(&topic.into())
    }

    /// Changes the configuration of a topic, the coordinators' own included:
    /// [`Topic::alter_config`], by name.
    ///
    /// ```
    /// use logreel::{Broker, ConfigChange};
    /// let broker = Broker::in_memory();
    /// let topic = broker.create_topic("orders")?;
    /// broker.alter_topic_config("orders", [ConfigChange::set("retention.ms", "1000")])?;
    /// assert_eq!(topic.config().get("retention.ms"), Some("1000"));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Topic::alter_config`].
    pub fn alter_topic_config(
        &self,
        topic: &str,
        changes: impl IntoIterator<Item = ConfigChange>,
    ) -> Result<()> {
        let changes: Vec<ConfigChange> = changes.into_iter().collect();
        self.handle.alter_config(topic, None, &changes)
    }

    /// A topic by name.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION` when it does not exist.
    pub fn topic(&self, name: &str) -> Result<Topic> {
        self.handle.check_open()?;
        self.refresh()?;
        let state = self.handle.topic(name).ok_or_else(|| Error::unknown_topic(name))?;
        Ok(Topic::new(self.handle.clone(), state))
    }

    /// All topics, the coordinators' own included, in the order of their names.
    ///
    /// # Errors
    ///
    /// When the broker is closed, or a read-only directory cannot be read.
    pub fn topics(&self) -> Result<Vec<Topic>> {
        self.handle.check_open()?;
        self.refresh()?;
        let topics = self.handle.topics.read();
        Ok(topics.values().map(|t| Topic::new(self.handle.clone(), t.clone())).collect())
    }

    /// Brings a read-only broker up to what the directory holds now.
    pub(crate) fn refresh(&self) -> Result<()> {
        if self.handle.read_only { self.handle.refresh_topics() } else { Ok(()) }
    }

    /// Adds partitions to a topic until it has `total`. Keys map to other partitions from then on;
    /// records stay where they are.
    ///
    /// ```
    /// use logreel::Broker;
    /// let broker = Broker::in_memory();
    /// broker.create_topic("orders")?;
    /// broker.create_partitions("orders", 3)?;
    /// assert_eq!(broker.topic("orders")?.partition_count(), 3);
    /// broker.delete_topic("orders")?;
    /// assert!(broker.topic("orders").is_err());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `INVALID_PARTITIONS` unless `total` is more than there are; `UNKNOWN_TOPIC_OR_PARTITION`.
    pub fn create_partitions(&self, topic: &str, total: i32) -> Result<()> {
        let clock = &self.handle.context.clock;
        persist(clock, || self.handle.create_partitions(topic, total))
    }

    /// Deletes a topic with its records and what groups committed for it. Batches that readers hold
    /// stay valid. Producers and consumers that go on make a new topic of that name, with default
    /// settings, unless `auto.create.topics.enable` is false.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `INVALID_TOPIC_EXCEPTION` for the coordinators' own topics;
    /// `COORDINATOR_NOT_AVAILABLE` when the offsets topic is damaged; I/O errors. After an error
    /// the topic is wholly there, or it is gone and the next open finishes the deletion.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        persist(&self.handle.context.clock, || self.handle.delete_topic(name))
    }

    /// The names of the groups that have committed offsets or members.
    ///
    /// # Errors
    ///
    /// `COORDINATOR_NOT_AVAILABLE` when the offsets topic is damaged.
    pub fn groups(&self) -> Result<Vec<String>> {
        self.handle.group_names()
    }

    /// What a group has committed.
    ///
    /// # Errors
    ///
    /// `COORDINATOR_NOT_AVAILABLE` when the group's part of the offsets topic is damaged.
    pub fn committed_offsets(&self, group: &str) -> Result<Offsets> {
        self.handle.all_committed(group)
    }

    /// What the open found and did.
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.handle.report
    }

    /// Does everything that is due, on this thread, retention and compaction included, and says
    /// when to call again: for
    /// [`Housekeeping::Manual`](crate::Housekeeping::Manual). `None` when nothing is planned.
    pub fn run_due(&self) -> Option<Duration> {
        self.handle.run_due();
        let now = self.handle.context.clock.monotonic();
        self.handle.next_due().map(|due| due.saturating_sub(now))
    }

    /// Closes the broker for all its handles: open batches are written, everything is synced, what
    /// the next open needs is written down, threads are joined (unless called on one of them), and
    /// the directory is unlocked. Later calls on any handle that
    /// would read or write answer `Closed`. Close consumers first if auto-commit is to commit.
    /// Further calls wait for the first and answer as it did; on a thread that the first waits for,
    /// inside a callback, they return at once.
    ///
    /// # Errors
    ///
    /// What could not be made durable. The directory is unlocked all the same.
    pub fn close(self) -> Result<()> {
        self.handle.close()
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whether the broker was opened read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.handle.read_only
    }

    /// The partition with this name.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    pub fn partition(&self, tp: &TopicPartition) -> Result<super::partition::Partition> {
        self.topic(tp.topic())?.partition(tp.partition())
    }
}

impl Shared {
    /// The moment that `timeout` from now is over.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Duration> {
        self.context.clock.deadline(timeout)
    }
}
