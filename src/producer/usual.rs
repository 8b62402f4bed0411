//! What nearly every record goes through: its topic is known, and so is its partition (by number,
//! by its key, or as that of the last record without one), and the open batch there has room. One
//! lock, nothing allocated. All else about sending is in `inner`, which also says why a record is
//! refused.
//!
//! The parts of a record and what becomes of it go in registers. A record that is put together in
//! memory and moved is written in words and read in larger pieces at once, for which the processor
//! waits until the words are through: that took a third of the time a record takes.

use std::sync::Arc;

use super::config::Acks;
use super::delivery::{Delivery, Pending};
use super::inner::Inner;
use super::murmur::partition_of_key;
use super::queue::PartitionQueue;
use super::slot::{BatchSlot, Ticket};
use super::sticky::Sticky;
use super::topics::TopicQueues;
use crate::record::{BatchBuilder, Header};

impl Inner {
    /// The timestamp of a record: the one it was given, or the clock's.
    #[inline]
    pub(super) fn timestamp(&self, given: Option<i64>) -> i64 {
        match given {
            Some(given) => given,
            None => self.now(),
        }
    }

    #[inline(never)]
    fn now(&self) -> i64 {
        self.client.clock().wall_millis()
    }

    /// Adds a record to the open batch of its partition, if that is all there is to do; does
    /// nothing else. Answers the slot of the batch, and which of its records this is.
    #[inline(never)]
    pub(super) fn join(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
        timestamp: i64,
    ) -> Option<(Arc<BatchSlot>, i32)> {
        let limit = self.usual_limit?;
        let (queue, sticky) = self.usual_queue(topic, partition, key)?;
        let joined = queue.accumulator.join(limit, timestamp, key, value, headers)?;
        if let Some(sticky) = sticky {
            let size = BatchBuilder::record_size_max(key, value, headers);
            sticky.sent(queue.log.tp.partition(), size, self.config().batch_size, true);
        }
        Some(joined)
    }

    /// A topic that is known, with settings that want nothing else to be done.
    #[inline]
    pub(super) fn usual_topic(&self, name: &str) -> Option<&TopicQueues> {
        self.usual_limit?;
        self.topics.first(name).map(|topic| &**topic)
    }

    /// The queue of the partition that a record goes to, in a topic that is known, with settings
    /// that want nothing else to be done. With it comes what chose it, if neither the record nor
    /// its key did.
    #[inline]
    pub(super) fn usual_queue(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
    ) -> Option<(&Arc<PartitionQueue>, Option<&Sticky>)> {
        self.queue_in(self.usual_topic(topic)?, partition, key)
    }

    /// The same in a topic that was found.
    #[inline]
    pub(super) fn queue_in<'t>(
        &self,
        topic: &'t TopicQueues,
        partition: Option<i32>,
        key: Option<&[u8]>,
    ) -> Option<(&'t Arc<PartitionQueue>, Option<&'t Sticky>)> {
        let key = key.filter(|_| !self.config().partitioner_ignore_keys);
        let (partition, sticky) = match (partition, key) {
            (Some(partition), _) => (partition, None),
            (None, Some(key)) => (partition_of_key(key, topic.count()), None),
            (None, None) => (topic.sticky.current()?, Some(&topic.sticky)),
        };
        Some((topic.queue(partition)?, sticky))
    }

    /// The delivery of a record that joined a batch.
    #[inline]
    pub(super) fn joined(&self, slot: Arc<BatchSlot>, index: i32, timestamp: i64) -> Delivery {
        let ticket = Ticket { index, timestamp };
        match self.config().acks {
            Acks::None => Delivery::unasked(slot, ticket),
            Acks::Leader | Acks::All => Delivery::pending(Pending(slot), ticket),
        }
    }
}
