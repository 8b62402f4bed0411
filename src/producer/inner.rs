//! What the clones of one producer share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::config::{Acks, ProducerConfig};
use super::delivery::{Delivery, Pending};
use super::partitioner::{Sticky, partition_of_key};
use super::queue::{PartitionQueue, Run};
use super::record::{ProducerRecord, RecordMetadata};
use super::slot::BatchSlot;
use crate::broker::{Duty, Shared};
use crate::error::{Error, ErrorCode, Result};
use crate::log::names;
use crate::record::BatchBuilder;
use crate::types::TopicId;
use crate::wait::Waiter;

/// A topic as this producer knows it.
struct TopicQueues {
    id: TopicId,
    partitions: Vec<Arc<PartitionQueue>>,
    sticky: Sticky,
}

/// A producer.
pub(crate) struct Inner {
    /// No handle: the background thread holds a producer for a moment, and must not be the one that
    /// keeps the broker open.
    broker: Arc<Shared>,
    config: ProducerConfig,
    /// Leaf lock, held for a look.
    topics: RwLock<BTreeMap<Arc<str>, Arc<TopicQueues>>>,
    /// The broker's topics when `topics` was last checked against them.
    seen_version: AtomicU64,
    closed: AtomicBool,
}

impl Inner {
    pub(crate) fn new(broker: Arc<Shared>, config: ProducerConfig) -> Self {
        let seen_version = AtomicU64::new(broker.topics_version.load(Ordering::Acquire));
        Self {
            broker,
            config,
            topics: RwLock::default(),
            seen_version,
            closed: AtomicBool::new(false),
        }
    }

    fn clock(&self) -> &crate::time::Clock {
        &self.broker.context.clock
    }

    /// The queues of a topic. Topics that came, grew or were made anew since are looked up again.
    fn queues(&self, topic: &str) -> Result<Arc<TopicQueues>> {
        let version = self.broker.topics_version.load(Ordering::Acquire);
        if self.seen_version.load(Ordering::Acquire) == version
            && let Some(known) = self.topics.read().get(topic)
        {
            return Ok(Arc::clone(known));
        }
        let state = self.broker.topic_or_create(topic)?;
        let logs = state.logs();
        let mut topics = self.topics.write();
        let replaced = topics.get(topic).filter(|known| known.id != state.id).cloned();
        let known = topics.get(topic).filter(|known| known.id == state.id).cloned();
        let mut partitions = known.as_ref().map_or(Vec::new(), |known| known.partitions.clone());
        if partitions.len() == logs.len()
            && let Some(known) = known
        {
            // Another topic changed. The version is taken when all that is cached is current.
            if topics.values().all(|cached| self.is_current(cached)) {
                self.seen_version.store(version, Ordering::Release);
            }
            return Ok(known);
        }
        for log in logs.iter().skip(partitions.len()) {
            let queue = PartitionQueue::new(Arc::clone(log), self.config);
            if self.closed.load(Ordering::Acquire) {
                queue.close();
            }
            partitions.push(Arc::new(queue));
        }
        let new = Arc::new(TopicQueues { id: state.id, partitions, sticky: Sticky::default() });
        topics.insert(Arc::clone(&state.name), Arc::clone(&new));
        if topics.values().all(|cached| self.is_current(cached)) {
            self.seen_version.store(version, Ordering::Release);
        }
        drop(topics);
        // What was sent to a topic that was deleted meanwhile fails now, not never.
        for queue in replaced.iter().flat_map(|replaced| &replaced.partitions) {
            self.run(queue, Run::All, true);
        }
        Ok(new)
    }

    fn is_current(&self, cached: &TopicQueues) -> bool {
        cached.partitions.first().is_some_and(|queue| {
            self.broker.topic(queue.log.tp.topic()).is_some_and(|topic| {
                topic.id == cached.id && topic.logs().len() == cached.partitions.len()
            })
        })
    }

    pub(crate) fn send(&self, record: &ProducerRecord<'_>) -> Delivery {
        self.try_send(record).unwrap_or_else(|error| Delivery::ready(Err(error)))
    }

    fn try_send(&self, record: &ProducerRecord<'_>) -> Result<Delivery> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed("producer"));
        }
        self.broker.check_open()?;
        let topic = &*record.topic;
        if names::is_internal(topic) {
            return Err(Error::kafka(
                ErrorCode::InvalidTopic,
                format!("topic {topic} belongs to the coordinators"),
            ));
        }
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let size = BatchBuilder::record_size_max(key, value, &record.headers);
        if size > self.config.max_request_size {
            return Err(Error::kafka(
                ErrorCode::MessageTooLarge,
                format!(
                    "a record of up to {size} bytes is over max.request.size = {}",
                    self.config.max_request_size
                ),
            ));
        }
        let timestamp = record.timestamp.unwrap_or_else(|| self.clock().wall_millis());
        if timestamp < 0 {
            return Err(Error::kafka(
                ErrorCode::InvalidTimestamp,
                format!("timestamp {timestamp} is negative"),
            ));
        }
        let queues = self.queues(topic)?;
        let queue = self.choose(record, &queues, size)?;
        let added = queue.add(record, timestamp)?;
        let threads = self.broker.config.has_threads();
        let lingers = !self.config.linger.is_zero();
        if !threads && !lingers {
            self.run(queue, Run::All, true);
        } else if added.filled {
            self.run(queue, Run::Full, !threads);
        }
        if added.first && threads {
            // Without the thread the batch is run by who waits, flushes or closes.
            let _ = self.broker.wake_background();
        }
        if self.config.acks == Acks::None {
            let topic_partition = queue.log.tp.clone();
            return Ok(Delivery::ready(Ok(RecordMetadata {
                topic_partition,
                offset: None,
                timestamp,
            })));
        }
        Ok(Delivery::pending(Pending {
            slot: added.slot,
            ticket: added.ticket,
            queue: Arc::downgrade(queue),
            clock: self.clock().clone(),
            threads,
        }))
    }

    fn choose<'a>(
        &self,
        record: &ProducerRecord<'_>,
        topic: &'a TopicQueues,
        size: usize,
    ) -> Result<&'a Arc<PartitionQueue>> {
        let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        let random = &self.broker.context.random;
        let chosen = match (record.partition, record.key.as_deref()) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of_key(key, count),
            (None, None) => topic.sticky.next(size, self.config.batch_size, count, random),
        };
        let queue = usize::try_from(chosen).ok().and_then(|index| topic.partitions.get(index));
        queue.ok_or_else(|| {
            Error::kafka(
                ErrorCode::UnknownTopicOrPartition,
                format!("topic {} has {count} partitions, none is {chosen}", record.topic),
            )
        })
    }

    /// Runs batches of one partition, and their sync here or by the sender thread.
    fn run(&self, queue: &Arc<PartitionQueue>, which: Run, sync_here: bool) {
        if let Some(end) = queue.run(which) {
            if sync_here {
                // A failure is told by the deliveries it fails.
                let _ = queue.log.sync_to(end);
            } else {
                queue.log.sync_later();
            }
        }
    }

    fn all_queues(&self) -> Vec<Arc<PartitionQueue>> {
        let topics = self.topics.read();
        topics.values().flat_map(|topic| topic.partitions.iter().cloned()).collect()
    }

    /// Runs everything and waits until all that was sent before is decided.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<()> {
        let deadline = self.clock().deadline(timeout);
        let queues = self.all_queues();
        let sent: Vec<Arc<BatchSlot>> = queues.iter().flat_map(|queue| queue.undecided()).collect();
        self.run_all(&queues);
        for slot in sent {
            self.await_slot(&slot, deadline)?;
        }
        Ok(())
    }

    fn await_slot(&self, slot: &BatchSlot, deadline: Option<Duration>) -> Result<()> {
        let waiter = Waiter::new();
        slot.add_waiter(&waiter);
        loop {
            if slot.is_decided() {
                return Ok(());
            }
            if let Some((log, end)) = slot.wanted_sync() {
                // Another thread may have synced and not told us yet: it will wake us.
                let _ = log.sync_to(end);
            }
            if !slot.is_decided() && !waiter.park(self.clock(), deadline) {
                return Err(Error::kafka(ErrorCode::RequestTimedOut, "flush took too long"));
            }
        }
    }

    fn run_all(&self, queues: &[Arc<PartitionQueue>]) {
        for queue in queues {
            self.run(queue, Run::All, true);
        }
    }

    /// Takes no more records and runs those that were taken.
    pub(crate) fn finish(&self, sync_here: bool) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let queues = self.all_queues();
        for queue in &queues {
            queue.close();
            self.run(queue, Run::All, sync_here);
        }
    }
}

impl Duty for Inner {
    fn next_due(&self) -> Option<Duration> {
        self.all_queues().iter().filter_map(|queue| queue.next_due()).min()
    }

    fn run_due(&self) {
        for queue in self.all_queues() {
            self.run(&queue, Run::Due, true);
        }
    }

    fn close(&self) {
        self.finish(true);
        // Its last handle may be in the middle of the same.
        self.run_all(&self.all_queues());
    }
}
