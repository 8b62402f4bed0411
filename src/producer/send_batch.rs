//! Many records with one call.

use std::sync::Arc;

use super::batch_delivery::{BatchDelivery, Sent};
use super::config::Acks;
use super::delivery::Pending;
use super::inner::{Checked, Inner};
use super::limit::BlockLimit;
use super::metadata::RecordMetadata;
use super::queue::PartitionQueue;
use super::record::ProducerRecord;
use super::slot::Ticket;
use super::topics::TopicQueues;
use crate::error::{Error, ErrorCode, Result};
use crate::record::BATCH_HEADER_LEN;

/// The records of one call for one partition.
struct Group<'a> {
    queue: Arc<PartitionQueue>,
    sticky: Option<Arc<TopicQueues>>,
    records: Vec<(&'a ProducerRecord<'a>, i64)>,
    /// An upper bound.
    size: usize,
}

impl<'a> Group<'a> {
    fn new(first: &Checked<'_>, expected: usize) -> Self {
        Self {
            queue: Arc::clone(first.queue),
            sticky: first.sticky.cloned(),
            records: Vec::with_capacity(expected),
            size: BATCH_HEADER_LEN,
        }
    }

    fn push(&mut self, record: &'a ProducerRecord<'a>, size: usize, timestamp: i64) -> Ticket {
        let index = i32::try_from(self.records.len()).unwrap_or(i32::MAX);
        self.records.push((record, timestamp));
        self.size = self.size.saturating_add(size);
        Ticket { index, timestamp }
    }
}

impl Inner {
    /// Sends many records: those for one partition as one batch.
    pub(super) fn send_batch(&self, records: &[ProducerRecord<'_>]) -> BatchDelivery {
        let mut limit = self.block_limit(true);
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut sent: Vec<Sent> = Vec::with_capacity(records.len());
        // Looked up once: a record of a topic that is not known yet finds it all the same.
        let (known, mut now) = (self.topics.current(), None);
        for record in records {
            let mut found = None;
            let now = || *now.get_or_insert_with(|| self.client.clock().wall_millis());
            match self.check(record, now, known.as_deref(), &mut found, &mut limit) {
                Err(error) => {
                    self.client.note_failure(&error);
                    let result = Err(error);
                    self.config().interceptors.on_acknowledgement(&result);
                    sent.push(Sent::Done(result));
                }
                Ok(checked) => {
                    let of = |group: &Group<'_>| Arc::ptr_eq(&group.queue, checked.queue);
                    let index = groups.iter().rposition(of).unwrap_or_else(|| {
                        // As a rule there is one.
                        let expected = if groups.is_empty() { records.len() } else { 0 };
                        groups.push(Group::new(&checked, expected));
                        groups.len() - 1
                    });
                    if let Some(group) = groups.get_mut(index) {
                        let ticket = group.push(record, checked.size, checked.timestamp);
                        sent.push(Sent::In(index, ticket));
                    }
                }
            }
        }
        let mut batches: Vec<Result<Option<Pending>>> = Vec::with_capacity(groups.len());
        for group in &groups {
            batches.push(self.send_group(group, &mut limit));
        }
        self.gather(&groups, batches, sent)
    }

    /// Sends the records of one partition; `None` with `acks=0`, when there is nothing to wait for.
    fn send_group(&self, group: &Group<'_>, limit: &mut BlockLimit<'_>) -> Result<Option<Pending>> {
        let queue = &group.queue;
        let total = self.client.memory.total();
        if group.size > total {
            return Err(Error::kafka(
                ErrorCode::MessageTooLarge,
                format!("a batch of up to {} bytes is over buffer.memory = {total}", group.size),
            ));
        }
        let size = group.size.max(self.config().batch_size).min(total);
        let reservation = match self.client.memory.try_reserve(size) {
            Some(reservation) => reservation,
            None => self.reserve(size, limit)?,
        };
        let material = queue.material();
        let mut builder = material.builder();
        for (record, timestamp) in &group.records {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder.append(Some(*timestamp), key, value, &record.headers)?;
        }
        let batch = material.with_records(builder, reservation);
        let slot = Arc::clone(&batch.slot);
        let acks = self.config().acks;
        if !self.config().interceptors.is_empty() {
            for (index, (_, timestamp)) in (0..).zip(&group.records) {
                self.intercept(&slot, Ticket { index, timestamp: *timestamp });
            }
        }
        if let Err(error) = queue.accumulator.add_batch(batch) {
            self.check_open()?;
            // Else the topic was deleted in between.
            return Err(queue.log.append_error().unwrap_or(error));
        }
        if let Some(topic) = &group.sticky {
            let partition = queue.log.tp.partition();
            topic.sticky.sent(partition, group.size, self.config().batch_size, false);
        }
        self.run_after_add(queue, true, true);
        Ok((acks != Acks::None).then(|| Pending(slot)))
    }

    /// Puts together what became of each record.
    fn gather(
        &self,
        groups: &[Group<'_>],
        outcomes: Vec<Result<Option<Pending>>>,
        mut sent: Vec<Sent>,
    ) -> BatchDelivery {
        let mut batches = Vec::with_capacity(outcomes.len());
        // Where each group's batch is among those that are pending.
        let mut places = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            places.push(outcome.map(|pending| {
                pending.map(|pending| {
                    batches.push(pending);
                    batches.len() - 1
                })
            }));
        }
        for sent in &mut sent {
            let Sent::In(group, ticket) = &*sent else { continue };
            let (Some(place), Some(of)) = (places.get(*group), groups.get(*group)) else {
                continue;
            };
            let result = match place {
                Ok(Some(batch)) => {
                    *sent = Sent::In(*batch, *ticket);
                    continue;
                }
                Ok(None) => Ok(RecordMetadata {
                    topic_partition: of.queue.log.tp.clone(),
                    offset: None,
                    timestamp: ticket.timestamp,
                }),
                Err(error) => {
                    self.client.note_failure(error);
                    Err(error.clone())
                }
            };
            self.config().interceptors.on_acknowledgement(&result);
            *sent = Sent::Done(result);
        }
        BatchDelivery { batches, records: sent }
    }
}
