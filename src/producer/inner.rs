//! What the clones of one producer share: from a record to its batch.

use std::sync::Arc;
use std::time::Duration;

use super::accumulator::{Added, Place, usual_limit};
use super::at_work::Rests;
use super::client::Client;
use super::config::{Acks, ProducerConfig};
use super::delivery::{Delivery, Pending};
use super::drive::{Until, drive};
use super::limit::BlockLimit;
use super::memory::Reservation;
use super::murmur::partition_of_key;
use super::partitioner::TopicPartitions;
use super::queue::{PartitionQueue, sync};
use super::record::ProducerRecord;
use super::session::Session;
use super::slot::{BatchSlot, Run, Runner as _, Ticket, in_callback};
use super::sticky::Choice;
use super::topics::{Known, TopicQueues, Topics};
use crate::broker::{Duty, Shared};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::log::names;
use crate::record::BatchBuilder;
use crate::wait::Waiter;

/// A producer.
pub(super) struct Inner {
    pub(super) client: Arc<Client>,
    pub(super) topics: Topics,
    /// See `usual`.
    pub(super) usual_limit: Option<usize>,
}

/// A record that passed the checks, with what they found.
pub(super) struct Checked<'a> {
    pub(super) queue: &'a Arc<PartitionQueue>,
    /// The topic whose sticky partition this is.
    pub(super) sticky: Option<&'a Arc<TopicQueues>>,
    /// An upper bound.
    pub(super) size: usize,
    pub(super) timestamp: i64,
}

impl Inner {
    pub(super) fn new(
        broker: Arc<Shared>,
        config: ProducerConfig,
        session: Option<Arc<Session>>,
    ) -> Self {
        // A transaction has to know of each record's partition.
        let threads = broker.config.has_threads();
        let usual_limit = usual_limit(&config, threads).filter(|_| session.is_none());
        let client = Client::new(broker, config, session);
        Self { topics: Topics::new(Arc::clone(&client)), client, usual_limit }
    }

    pub(super) fn config(&self) -> &ProducerConfig {
        &self.client.config
    }

    pub(super) fn free_memory(&self) -> usize {
        self.client.memory.free()
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.topics.is_closed() {
            return Err(Error::closed("producer"));
        }
        self.client.broker.check_open()
    }

    /// Sends a record with this time, if it has none. An error is one that came before the record
    /// was taken.
    pub(super) fn send(
        &self,
        record: &ProducerRecord<'_>,
        now: i64,
        may_block: bool,
    ) -> Result<Delivery> {
        let mut limit = self.block_limit(may_block);
        loop {
            let (known, mut found) = (self.topics.current(), None);
            let checked = self.check(record, now, known.as_deref(), &mut found, &mut limit)?;
            if let Some(delivery) = self.send_to(&checked, record, &mut limit)? {
                return Ok(delivery);
            }
            // The topic was deleted in between: it is looked up again.
            self.check_open()?;
        }
    }

    /// Adds a record to its batch; `None` if its partition takes no more.
    #[inline]
    fn send_to(
        &self,
        checked: &Checked<'_>,
        record: &ProducerRecord<'_>,
        limit: &mut BlockLimit<'_>,
    ) -> Result<Option<Delivery>> {
        let Checked { queue, sticky, size, timestamp } = *checked;
        let threads = self.client.broker.config.has_threads();
        let _working = self.client.work();
        let mut reservation = None;
        let place = loop {
            if !threads {
                // Nobody else may have looked: no record joins a batch that is past its deadline.
                queue.expire_before(self.client.clock().monotonic());
            }
            let material = queue.material();
            match queue.accumulator.add(record, timestamp, size, reservation.take(), &material) {
                Ok(Added::To(place)) => break place,
                Ok(Added::NeedsMemory { size, filled }) => {
                    self.run_after_add(queue, false, filled);
                    reservation = Some(self.reserve(size, limit)?);
                }
                Err(error) if error.kind() == ErrorKind::Closed => return Ok(None),
                Err(error) => {
                    // It may have found no room in the batch before.
                    self.run_after_add(queue, false, true);
                    return Err(error);
                }
            }
        };
        if let Some(topic) = sticky {
            let (partition, is_open) = (queue.log.tp.partition(), !place.closes_batch);
            topic.sticky.sent(partition, size, self.config().batch_size, is_open);
        }
        let Place { slot, ticket, filled, opened, .. } = place;
        self.intercept(&slot, ticket);
        if opened || filled || !threads {
            self.run_after_add(queue, opened, filled);
        }
        if self.config().acks == Acks::None {
            if !self.config().interceptors.is_empty() {
                self.config().interceptors.on_acknowledgement(&Ok(slot.unasked(ticket)));
            }
            return Ok(Some(Delivery::unasked(slot, ticket)));
        }
        Ok(Some(Delivery::pending(Pending(slot), ticket)))
    }

    /// Has the interceptors see a result before the callbacks do. With `acks=0` there is none to
    /// come.
    pub(super) fn intercept(&self, slot: &BatchSlot, ticket: Ticket) {
        if !self.config().interceptors.is_empty() && self.config().acks != Acks::None {
            let interceptors = self.config().interceptors.clone();
            let acknowledge = move |result| interceptors.on_acknowledgement(&result);
            slot.add_callback(ticket, Box::new(acknowledge));
        }
    }

    /// Who adds a record has the thread look at a batch that it opened or filled, and runs the one
    /// that it filled itself.
    pub(super) fn run_after_add(&self, queue: &Arc<PartitionQueue>, opened: bool, filled: bool) {
        let threads = self.client.broker.config.has_threads();
        if opened {
            // Who waits for memory can run it.
            self.client.memory.wake_first();
        }
        if threads && (opened || filled) {
            // Without the thread the batch is run by who waits, flushes or closes.
            let _ = self.client.broker.wake_background();
        }
        if !threads && self.config().linger.is_zero() {
            self.run(queue, Run::All, true);
        } else if filled {
            // Not if another thread is at it: batches fill while others are being written.
            let now = self.client.clock().monotonic();
            if let Some(end) = queue.run(Run::Full, now, Some(Duration::ZERO), None) {
                self.sync(queue, end, !threads);
            }
        }
    }

    pub(super) fn block_limit(&self, may_block: bool) -> BlockLimit<'_> {
        let max = if may_block { self.config().max_block } else { Duration::ZERO };
        BlockLimit::new(self.client.clock(), max)
    }

    /// Everything that can be wrong with a record before it is added to a batch. One without a
    /// time gets `now`. Its topic is taken from what is `known`, or looked up and put into `found`.
    #[inline]
    pub(super) fn check<'a>(
        &self,
        record: &ProducerRecord<'_>,
        now: i64,
        known: Option<&'a Arc<Known>>,
        found: &'a mut Option<Arc<TopicQueues>>,
        limit: &mut BlockLimit<'_>,
    ) -> Result<Checked<'a>> {
        self.check_open()?;
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let size = BatchBuilder::record_size_max(key, value, record.headers());
        if size > self.record_size_limit() {
            return Err(self.too_large(size));
        }
        let timestamp = record.timestamp.unwrap_or(now);
        if timestamp < 0 {
            return Err(Error::kafka(
                ErrorCode::InvalidTimestamp,
                format!("timestamp {timestamp} is negative"),
            ));
        }
        let topic = match known.and_then(|known| known.get(&*record.topic)) {
            Some(topic) => topic,
            None => found.insert(self.topic(&record.topic, limit)?),
        };
        let chosen = self.choose(record, topic)?;
        let partition = chosen.unwrap_or_else(|| self.stick(topic));
        let Some(queue) = topic.queue(partition) else {
            return Err(no_partition(&record.topic, partition, topic.count()));
        };
        if let Some(session) = &self.client.session {
            session.join(&self.client.broker, &queue.log.tp)?;
        }
        let sticky = chosen.is_none().then_some(topic);
        Ok(Checked { queue, sticky, size, timestamp })
    }

    /// How large a record may be.
    #[inline]
    pub(super) fn record_size_limit(&self) -> usize {
        self.config().max_request_size.min(self.config().buffer_memory)
    }

    #[cold]
    fn too_large(&self, size: usize) -> Error {
        let (request, memory) = (self.config().max_request_size, self.config().buffer_memory);
        let (key, max) =
            if size > request { ("max.request.size", request) } else { ("buffer.memory", memory) };
        let message = format!("a record of up to {size} bytes is over {key} = {max}");
        Error::kafka(ErrorCode::MessageTooLarge, message)
    }

    /// A topic, once it exists.
    #[cold]
    fn topic(&self, name: &str, limit: &mut BlockLimit<'_>) -> Result<Arc<TopicQueues>> {
        // So that no such topic is ever known.
        if names::is_internal(name) {
            return Err(Error::kafka(
                ErrorCode::InvalidTopic,
                format!("topic {name} belongs to the coordinators"),
            ));
        }
        let look = || -> Result<Arc<TopicQueues>> {
            let found = self.topics.find(name);
            for queue in found.gone.iter().flat_map(|topic| &topic.partitions) {
                self.run(queue, Run::Last, true);
            }
            found.topic
        };
        let is_missing = |error: &Error| error.code() == Some(ErrorCode::UnknownTopicOrPartition);
        let first = look();
        if limit.never_blocks() || !first.as_ref().is_err_and(is_missing) {
            return first;
        }
        // It may come: another part of the program may be about to make it.
        let waiter = Waiter::new();
        self.client.broker.topics_changed.add(&waiter);
        let outcome = loop {
            match look() {
                Err(error) if is_missing(&error) => {
                    if let Err(closed) = self.check_open() {
                        break Err(closed);
                    }
                    if limit.is_over() {
                        break Err(limit.no_topic(name));
                    }
                    waiter.park(self.client.clock(), limit.deadline());
                }
                found => break found,
            }
        };
        self.client.broker.topics_changed.remove(&waiter);
        outcome
    }

    /// The partition that the record, the user's partitioner or the key asks for, if any does.
    fn choose(&self, record: &ProducerRecord<'_>, topic: &TopicQueues) -> Result<Option<i32>> {
        if record.partition.is_some() {
            return Ok(record.partition);
        }
        if let Some(partitioner) = &self.config().partitioner {
            let is_available =
                |p: i32| topic.queue(p).is_some_and(|queue| queue.log.halt().is_none());
            let partitions = TopicPartitions::new(topic.count(), &is_available);
            return partitioner.choose(record, &partitions).map(Some);
        }
        let key = record.key.as_deref().filter(|_| !self.config().partitioner_ignore_keys);
        Ok(key.map(|key| partition_of_key(key, topic.count())))
    }

    /// The partition that records without a key go to for now.
    fn stick(&self, topic: &TopicQueues) -> i32 {
        let backlogs = || -> Vec<Option<usize>> {
            let backlog = |queue: &Arc<PartitionQueue>| {
                let takes = queue.log.halt().is_none();
                takes.then(|| queue.accumulator.backlog())
            };
            topic.partitions.iter().map(backlog).collect()
        };
        let random = &self.client.broker.context.random;
        let choice = Choice { backlogs: &backlogs, adaptive: self.config().adaptive, random };
        topic.sticky.partition(topic.count(), &choice)
    }

    /// Waits for memory, up to `max.block.ms`. This thread does what frees it.
    pub(super) fn reserve(&self, size: usize, limit: &mut BlockLimit<'_>) -> Result<Reservation> {
        let memory = &self.client.memory;
        let full = || {
            let total = memory.total();
            Error::new(ErrorKind::QueueFull, format!("buffer.memory = {total} is in use"))
        };
        if limit.never_blocks() {
            return memory.try_reserve(size).ok_or_else(full);
        }
        if in_callback() {
            return Ok(memory.try_reserve(size).unwrap_or_else(|| memory.overdraw(size)));
        }
        let place = memory.queue();
        let mut rests = Rests::default();
        loop {
            self.run_all(Run::All, limit.deadline());
            if let Some(reservation) = place.try_reserve(size) {
                return Ok(reservation);
            }
            self.check_open()?;
            if limit.is_over() {
                return Err(limit.no_memory(full()));
            }
            // In this order: a batch that is not due any more was taken by who is at work by then.
            let until = [self.next_due(), limit.deadline()].into_iter().flatten().min();
            if self.client.let_others_work(&mut rests) {
                continue;
            }
            // Who has waited longest moves a mock clock on; the others follow.
            let until = until.filter(|_| !self.client.clock().is_mock() || place.is_first());
            self.client.park(&place.waiter, until);
        }
    }

    /// Runs batches of one partition, and their sync here or by the sender thread.
    fn run(&self, queue: &Arc<PartitionQueue>, which: Run, sync_here: bool) {
        let now = self.client.clock().monotonic();
        if let Some(end) = queue.run(which, now, None, None) {
            self.sync(queue, end, sync_here);
        }
    }

    fn sync(&self, queue: &Arc<PartitionQueue>, end: i64, here: bool) {
        let _working = self.client.work();
        if here {
            // A failure is told by the deliveries it fails.
            let _ = queue.log.sync_to(end);
        } else {
            queue.log.sync_later();
        }
    }

    /// Has what lingers run at once by the broker, for who waits for its memory.
    pub(super) fn hurry(&self) {
        let now = self.client.clock().monotonic();
        for queue in self.topics.all_queues() {
            queue.accumulator.hurry(now);
        }
        // Without the thread the broker is closed, which ends the wait.
        let _ = self.client.broker.wake_background();
    }

    /// Runs batches of all partitions, then syncs them, waiting for no other thread's work after
    /// `deadline`.
    fn run_all(&self, which: Run, deadline: Option<Duration>) {
        let clock = self.client.clock();
        let patience = || deadline.map(|deadline| deadline.saturating_sub(clock.monotonic()));
        let mut syncs = Vec::new();
        let _working = self.client.work();
        for queue in self.topics.all_queues() {
            if let Some(end) = queue.run(which, clock.monotonic(), patience(), None) {
                syncs.push((queue, end));
            }
        }
        for (queue, end) in syncs {
            sync(&queue.log, end, patience());
            queue.look_after();
        }
    }

    /// Runs everything and waits until all that was sent before is decided and called back.
    pub(super) fn flush(&self, timeout: Duration) -> Result<()> {
        let deadline = self.client.clock().deadline(timeout);
        // A callback that waited for callbacks would wait for itself.
        let until = if in_callback() { Until::Decided } else { Until::Delivered };
        let queues = self.topics.all_queues();
        let sent: Vec<_> = queues.iter().map(|queue| queue.accumulator.outstanding()).collect();
        self.run_all(Run::All, deadline);
        for slots in sent {
            for slot in slots {
                if !drive(&slot, Run::All, until, deadline) {
                    let message = "not everything was delivered in time";
                    return Err(Error::kafka(ErrorCode::RequestTimedOut, message));
                }
            }
        }
        Ok(())
    }

    /// Takes no more records, flushes, and gives up what is left after `timeout`.
    pub(super) fn close(&self, timeout: Duration) -> Result<()> {
        self.topics.close();
        self.wake_blocked();
        let flushed = self.flush(timeout);
        if flushed.is_err() {
            let what = "the producer was closed before the record was delivered";
            self.abort(&Error::new(ErrorKind::Closed, what));
        }
        flushed
    }

    /// Whoever waits for memory or a topic looks again, and finds the producer closed.
    fn wake_blocked(&self) {
        self.client.memory.wake_all();
        self.client.broker.topics_changed.wake_all();
    }

    fn abort(&self, error: &Error) {
        for queue in self.topics.all_queues() {
            queue.abort(error);
        }
    }

    /// Gives up what is not written yet, and waits for what is being written.
    pub(super) fn discard(&self) {
        let what = "the transaction was aborted before the record was written";
        let error = Error::new(ErrorKind::TransactionAborted, what);
        for queue in self.topics.all_queues() {
            queue.discard(&error);
        }
    }

    /// Takes no more records and runs those that were taken, for the last time.
    pub(super) fn finish(&self, sync_here: bool) {
        if self.topics.close() {
            self.wake_blocked();
            for queue in self.topics.all_queues() {
                self.run(&queue, Run::Last, sync_here);
            }
        }
    }
}

fn no_partition(topic: &str, partition: i32, count: i32) -> Error {
    Error::kafka(
        ErrorCode::UnknownTopicOrPartition,
        format!("topic {topic} has {count} partitions, none is {partition}"),
    )
}

impl Duty for Inner {
    fn buffered_bytes(&self) -> Option<usize> {
        let memory = &self.client.memory;
        let used = memory.total().saturating_sub(memory.free());
        (used > 0 || !self.topics.is_closed()).then_some(used)
    }

    fn next_due(&self) -> Option<Duration> {
        self.topics.all_queues().iter().filter_map(|queue| queue.accumulator.next_due()).min()
    }

    fn run_due(&self) {
        let now = self.client.clock().monotonic();
        for queue in self.topics.all_queues() {
            if queue.accumulator.next_due().is_some_and(|due| due <= now) {
                self.run(&queue, Run::Due, true);
            }
        }
    }

    fn close(&self) {
        self.finish(true);
        // Its last handle may be in the middle of the same.
        self.run_all(Run::Last, None);
        self.abort(&Error::closed("broker"));
    }
}
