//! What a test may look at in a topic, and do to it.

use std::sync::Arc;

use super::control::Testing;
use super::expect::Expect;
use crate::broker::{Broker, RawRecord};
use crate::consumer::Record;
use crate::error::Result;
use crate::log::Log;
use crate::types::IsolationLevel;

impl Testing {
    /// What a test may look at in a topic, and do to it. The topic need not exist yet.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// broker.producer().build()?.send(ProducerRecord::to("bills").key("o-1").value("5")).wait()?;
    /// let bills = broker.testing().topic("bills");
    /// assert_eq!(bills.records()?.len(), 1);
    /// bills.expect().key("o-1").once();
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn topic(&self, name: impl Into<Arc<str>>) -> TopicProbe {
        TopicProbe { broker: self.broker.clone(), name: name.into() }
    }
}

/// What a test may look at in a topic, and do to it: below producers, consumers and faults.
#[derive(Clone, Debug)]
pub struct TopicProbe {
    broker: Broker,
    name: Arc<str>,
}

impl TopicProbe {
    #[cfg(feature = "json")]
    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    #[cfg(feature = "json")]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Every record that is there, by partitions and offsets: also those of transactions that are
    /// open or were aborted.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `CORRUPT_MESSAGE`.
    pub fn records(&self) -> Result<Vec<Record>> {
        self.read(IsolationLevel::ReadUncommitted)
    }

    /// Every record that a consumer with `read_committed` is given.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let mut producer = broker.producer().build_transactional("p")?;
    /// let transaction = producer.begin()?;
    /// transaction.send(ProducerRecord::to("t").value("never")).wait()?;
    /// transaction.abort()?;
    /// let topic = broker.testing().topic("t");
    /// assert_eq!((topic.records()?.len(), topic.committed_records()?.len()), (1, 0));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records).
    pub fn committed_records(&self) -> Result<Vec<Record>> {
        self.read(IsolationLevel::ReadCommitted)
    }

    fn read(&self, isolation: IsolationLevel) -> Result<Vec<Record>> {
        let topic = self.broker.topic(&self.name)?;
        let mut records = Vec::new();
        for partition in topic.partitions() {
            records.extend(partition.read_all(isolation)?);
        }
        Ok(records)
    }

    /// Begins an expectation of what is in the topic, or will be.
    pub fn expect(&self) -> Expect {
        Expect::new(self.broker.clone(), Arc::clone(&self.name))
    }

    /// Fills an empty partition from an offset on, as if older records had been removed. The topic
    /// is made if it is missing.
    ///
    /// ```
    /// use logreel::Broker;
    /// let broker = Broker::in_memory();
    /// let orders = broker.testing().topic("orders");
    /// orders.seed(0, 5_000_000_000, [(Some("o-1"), Some("new")), (Some("o-1"), None)])?;
    /// let log = broker.topic("orders")?.partition(0)?;
    /// assert_eq!((log.log_start_offset(), log.log_end_offset()), (5_000_000_000, 5_000_000_002));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `IllegalState` when the partition holds records, or ends
    /// behind `first_offset`; as [`Partition::append`](crate::Partition::append).
    pub fn seed<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        partition: i32,
        first_offset: i64,
        records: impl IntoIterator<Item = (Option<K>, Option<V>)>,
    ) -> Result<()> {
        self.broker.handle().topic_or_create(&self.name)?;
        let partition = self.broker.topic(&self.name)?.partition(partition)?;
        self.broker.handle().begin_at(&partition.log, first_offset)?;
        let records: Vec<_> = records.into_iter().collect();
        if records.is_empty() {
            return Ok(());
        }
        let raw = records.iter().map(|(key, value)| {
            RawRecord::new(key.as_ref().map(AsRef::as_ref), value.as_ref().map(AsRef::as_ref))
        });
        partition.append(raw).map(|_| ())
    }

    /// Seals the active segment of every partition, so that it can be compacted, or removed.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`; I/O errors.
    pub fn roll_segments(&self) -> Result<()> {
        self.logs()?.iter().try_for_each(|log| log.roll_now())
    }

    /// Compacts the sealed segments now, however little there is to gain. `min.compaction.lag.ms`
    /// and `delete.retention.ms` hold.
    ///
    /// ```
    /// use logreel::{Broker, CleanupPolicy, NewTopic, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// broker.create_topic(NewTopic::new("users").cleanup_policy(CleanupPolicy::Compact))?;
    /// let producer = broker.producer().build()?;
    /// for name in ["Ann", "Anne"] {
    ///     producer.send(ProducerRecord::to("users").key("u-1").value(name)).wait()?;
    /// }
    /// let users = broker.testing().topic("users");
    /// users.roll_segments()?;
    /// users.compact()?;
    /// assert_eq!(users.records()?.len(), 1);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IllegalState` unless the topic is compacted; `UNKNOWN_TOPIC_OR_PARTITION`; damage; I/O
    /// errors.
    pub fn compact(&self) -> Result<()> {
        self.logs()?.iter().try_for_each(|log| self.broker.handle().clean_now(log))
    }

    /// Removes now what `retention.ms`, `retention.bytes` and deleted records do not keep.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`; I/O errors.
    pub fn apply_retention(&self) -> Result<()> {
        self.broker.handle().retain_now(&self.logs()?)
    }

    fn logs(&self) -> Result<Vec<Arc<Log>>> {
        let topic = self.broker.topic(&self.name)?;
        Ok(topic.partitions().iter().map(|partition| Arc::clone(&partition.log)).collect())
    }
}
