//! Many records with one call.

use std::borrow::Cow;
use std::sync::Arc;

use super::batch_delivery::{BatchDelivery, Sent};
use super::config::Acks;
use super::delivery::Pending;
use super::inner::{Checked, Inner};
use super::limit::BlockLimit;
use super::metadata::RecordMetadata;
use super::queue::PartitionQueue;
use super::record::{ProducerRecord, headers_of};
use super::slot::Ticket;
use super::topics::TopicQueues;
use crate::error::{Error, ErrorCode, Result};
use crate::record::{BATCH_HEADER_LEN, BatchBuilder, Header};

/// The records of one call for one partition, encoded.
struct Group {
    queue: Arc<PartitionQueue>,
    sticky: Option<Arc<TopicQueues>>,
    builder: BatchBuilder,
    /// An upper bound.
    size: usize,
    /// Why they cannot be a batch.
    failed: Option<Error>,
}

/// What a call has gathered so far.
pub(super) struct Gathering<'a, 'r> {
    inner: &'a Inner,
    limit: BlockLimit<'a>,
    /// The topic of a record before, by the name that this had. A name at the same place is the
    /// same, as names that are lent stay where they are until the call ends.
    last: Option<(&'r str, &'a TopicQueues)>,
    groups: Vec<Group>,
    sent: Vec<Sent>,
}

impl<'a, 'r> Gathering<'a, 'r> {
    pub(super) fn new(inner: &'a Inner) -> Self {
        let limit = inner.block_limit(true);
        Self { inner, limit, last: None, groups: Vec::new(), sent: Vec::new() }
    }

    /// Adds a record. What it takes to add most of them happens in registers; see `usual`.
    #[inline(always)]
    pub(super) fn add(&mut self, record: ProducerRecord<'r>) {
        let ProducerRecord { topic, partition, key, value, headers, timestamp } = record;
        let (key_bytes, value_bytes) = (key.as_deref(), value.as_deref());
        // Where records come slowly each is as old as it is.
        let now = self.inner.timestamp(timestamp);
        let list = headers_of(headers.as_deref());
        let known = match topic {
            Cow::Borrowed(name) => self.known(name),
            Cow::Owned(ref name) => self.inner.usual_topic(name),
        };
        let joined = known
            .is_some_and(|known| self.join(known, partition, key_bytes, value_bytes, list, now));
        if !joined {
            let record = ProducerRecord {
                topic: Cow::Borrowed(&topic),
                partition,
                key: key_bytes.map(Cow::Borrowed),
                value: value_bytes.map(Cow::Borrowed),
                headers,
                timestamp,
            };
            self.add_any(&record, now);
        }
    }

    /// The topic of that name, if there is nothing else to be looked at.
    #[inline(always)]
    fn known(&mut self, name: &'r str) -> Option<&'a TopicQueues> {
        if let Some((last, topic)) = self.last
            && std::ptr::eq(last, name)
            && self.inner.topics.holds(topic)
        {
            return Some(topic);
        }
        let topic = self.inner.usual_topic(name)?;
        self.last = Some((name, topic));
        Some(topic)
    }

    /// Adds a record to its group, if that is there already and nothing is to be said.
    #[inline(never)]
    fn join(
        &mut self,
        topic: &TopicQueues,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
        timestamp: i64,
    ) -> bool {
        let found = self.inner.queue_in(topic, partition, key);
        let Some((queue, sticky)) = found else { return false };
        // As a rule the last one, and the only one.
        let is_its = |group: &Group| Arc::ptr_eq(queue, &group.queue);
        let Some(place) = self.groups.iter().rposition(is_its) else { return false };
        let Some(group) = self.groups.get_mut(place) else { return false };
        let size = BatchBuilder::record_size_max(key, value, headers);
        let total = group.size.saturating_add(size);
        let fits = size <= self.inner.record_size_limit()
            && total <= self.inner.client.memory.total()
            && group.failed.is_none()
            // Else what it sends would not be counted.
            && (sticky.is_none() || group.sticky.is_some());
        if !fits {
            return false;
        }
        let Some(index) = group.builder.join(usize::MAX, timestamp, key, value, headers) else {
            return false;
        };
        group.size = total;
        Sent::note(&mut self.sent, place, Ticket { index, timestamp });
        true
    }

    #[cold]
    #[inline(never)]
    fn add_any(&mut self, record: &ProducerRecord<'_>, now: i64) {
        let (known, mut found) = (self.inner.topics.current(), None);
        let checked =
            match self.inner.check(record, now, known.as_deref(), &mut found, &mut self.limit) {
                Ok(checked) => checked,
                Err(error) => {
                    self.inner.client.note_failure(&error);
                    let result = Err(error);
                    self.inner.config().interceptors.on_acknowledgement(&result);
                    self.sent.push(Sent::Done(result));
                    return;
                }
            };
        let of = |group: &Group| Arc::ptr_eq(&group.queue, checked.queue);
        let place = self.groups.iter().rposition(of).unwrap_or_else(|| {
            self.groups.push(Group {
                queue: Arc::clone(checked.queue),
                sticky: checked.sticky.cloned(),
                builder: checked.queue.material().builder(),
                size: BATCH_HEADER_LEN,
                failed: None,
            });
            self.groups.len() - 1
        });
        if let Some(group) = self.groups.get_mut(place) {
            let ticket = group.add(record, &checked, self.inner.client.memory.total());
            Sent::note(&mut self.sent, place, ticket);
        }
    }

    /// Sends what was gathered.
    pub(super) fn send(mut self) -> BatchDelivery {
        let mut batches = Vec::with_capacity(self.groups.len());
        let mut without = Vec::new();
        for (place, group) in self.groups.into_iter().enumerate() {
            let queue = Arc::clone(&group.queue);
            match self.inner.send_group(place, group, &self.sent, &mut self.limit) {
                Ok(Some(pending)) => batches.push(pending),
                Ok(None) => without.push(Without { place, queue, result: Ok(()) }),
                Err(error) => without.push(Without { place, queue, result: Err(error) }),
            }
        }
        if without.is_empty() {
            return BatchDelivery { batches, records: self.sent };
        }
        BatchDelivery { batches, records: self.inner.answered(&without, self.sent) }
    }
}

/// A group that has no batch to be waited for: with `acks=0`, or as it failed.
struct Without {
    place: usize,
    queue: Arc<PartitionQueue>,
    result: Result<()>,
}

impl Group {
    /// Encodes a record; from the first that cannot be, there is no batch.
    fn add(&mut self, record: &ProducerRecord<'_>, checked: &Checked<'_>, total: usize) -> Ticket {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let timestamp = checked.timestamp;
        self.size = self.size.saturating_add(checked.size);
        if self.size > total && self.failed.is_none() {
            let message = format!("a batch of over {total} bytes is over buffer.memory = {total}");
            self.failed = Some(Error::kafka(ErrorCode::MessageTooLarge, message));
        }
        let mut index = 0;
        if self.failed.is_none() {
            match self.builder.append(Some(timestamp), key, value, record.headers()) {
                Ok(place) => index = place,
                Err(error) => self.failed = Some(error.into()),
            }
        }
        Ticket { index, timestamp }
    }
}

impl Inner {
    /// Sends the records of one partition; `None` with `acks=0`, when there is nothing to wait for.
    fn send_group(
        &self,
        place: usize,
        group: Group,
        sent: &[Sent],
        limit: &mut BlockLimit<'_>,
    ) -> Result<Option<Pending>> {
        let Group { queue, sticky, builder, size, failed } = group;
        if let Some(error) = failed {
            return Err(error);
        }
        let reserved = size.max(self.config().batch_size).min(self.client.memory.total());
        let reservation = match self.client.memory.try_reserve(reserved) {
            Some(reservation) => reservation,
            None => self.reserve(reserved, limit)?,
        };
        let batch = queue.material().with_records(builder, reservation);
        let slot = Arc::clone(&batch.slot);
        if !self.config().interceptors.is_empty() {
            for sent in sent {
                let Sent::In { batch, records, timestamp } = sent else { continue };
                for index in records.clone().filter(|_| *batch == place) {
                    self.intercept(&slot, Ticket { index, timestamp: *timestamp });
                }
            }
        }
        if let Err(error) = queue.accumulator.add_batch(batch) {
            self.check_open()?;
            // Else the topic was deleted in between.
            return Err(queue.log.append_error().unwrap_or(error));
        }
        if let Some(topic) = &sticky {
            let partition = queue.log.tp.partition();
            topic.sticky.sent(partition, size, self.config().batch_size, false);
        }
        self.run_after_add(&queue, true, true);
        Ok((self.config().acks != Acks::None).then(|| Pending(slot)))
    }

    /// Gives the records of groups without a batch their results, and the others their batches.
    fn answered(&self, without: &[Without], sent: Vec<Sent>) -> Vec<Sent> {
        let mut answered = Vec::with_capacity(sent.len());
        for sent in sent {
            let Sent::In { batch: of, records, timestamp } = sent else {
                answered.push(sent);
                continue;
            };
            let before = without.partition_point(|group| group.place < of);
            let Some(group) = without.get(before).filter(|group| group.place == of) else {
                answered.push(Sent::In { batch: of - before, records, timestamp });
                continue;
            };
            for _ in records {
                let result = match &group.result {
                    Ok(()) => Ok(RecordMetadata {
                        topic_partition: group.queue.log.tp.clone(),
                        offset: None,
                        timestamp,
                    }),
                    Err(error) => {
                        self.client.note_failure(error);
                        Err(error.clone())
                    }
                };
                self.config().interceptors.on_acknowledgement(&result);
                answered.push(Sent::Done(result));
            }
        }
        answered
    }
}
