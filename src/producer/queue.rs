//! The batches of one producer for one partition, and who runs them.
//!
//! Locks: the *drain token* is held while batches are sealed and appended, so that they cannot
//! swap; the accumulator is a leaf, held to add a record or to take a batch. No user code runs
//! under either.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::config::{Acks, ProducerConfig};
use super::record::ProducerRecord;
use super::slot::{AfterSync, AwaitSync, BatchSlot, Placed, Ticket};
use crate::error::{Error, ErrorCode, Result};
use crate::log::{Log, check_records};
use crate::metrics::count;
use crate::record::{BatchBuilder, Compression};

/// A batch that takes records.
struct OpenBatch {
    builder: BatchBuilder,
    slot: Arc<BatchSlot>,
    due: Duration,
}

#[derive(Default)]
struct Accumulator {
    open: Option<OpenBatch>,
    /// Full batches, oldest first.
    full: VecDeque<OpenBatch>,
    /// Nothing more is taken.
    closed: bool,
}

#[derive(Default)]
struct Outstanding {
    /// Batches that were run, in order, until their callbacks have run.
    slots: VecDeque<Arc<BatchSlot>>,
    /// Somebody runs callbacks.
    delivering: bool,
}

/// What became of adding a record.
pub(crate) struct Added {
    pub(crate) slot: Arc<BatchSlot>,
    pub(crate) ticket: Ticket,
    /// The record filled its batch: whoever added it runs it.
    pub(crate) filled: bool,
    /// The accumulator was empty before.
    pub(crate) first: bool,
}

/// One producer's batches for one partition.
pub(crate) struct PartitionQueue {
    pub(crate) log: Arc<Log>,
    config: ProducerConfig,
    accumulator: Mutex<Accumulator>,
    /// The drain token.
    drain: Mutex<()>,
    outstanding: Mutex<Outstanding>,
}

/// Which batches to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// Those that are full: what they left behind may wait for company.
    Full,
    /// Those that are due.
    Due,
    /// All there are.
    All,
}

impl PartitionQueue {
    pub(crate) fn new(log: Arc<Log>, config: ProducerConfig) -> Self {
        Self {
            log,
            config,
            accumulator: Mutex::default(),
            drain: Mutex::new(()),
            outstanding: Mutex::default(),
        }
    }

    /// Encodes a record into the open batch.
    pub(crate) fn add(&self, record: &ProducerRecord<'_>, timestamp: i64) -> Result<Added> {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let stamp = Some(timestamp);
        let mut accumulator = self.accumulator.lock();
        if accumulator.closed {
            return Err(Error::closed("producer"));
        }
        let size = accumulator.open.as_ref().map_or(0, |open| {
            open.builder.size() + open.builder.encoded_size(stamp, key, value, &record.headers)
        });
        let mut filled = false;
        if accumulator.open.is_some() && size > self.config.batch_size {
            let full = accumulator.open.take();
            accumulator.full.extend(full);
            filled = true;
        }
        let first = accumulator.open.is_none() && accumulator.full.is_empty();
        let open = match &mut accumulator.open {
            Some(open) => open,
            empty => empty.insert(self.new_batch()),
        };
        let index = open.builder.append(stamp, key, value, &record.headers)?;
        let slot = Arc::clone(&open.slot);
        if open.builder.size() >= self.config.batch_size {
            let full = accumulator.open.take();
            accumulator.full.extend(full);
            filled = true;
        }
        Ok(Added { slot, ticket: Ticket { index, timestamp }, filled, first })
    }

    fn new_batch(&self) -> OpenBatch {
        let topic = self.log.config();
        let (codec, level) = match topic.compression {
            Some(codec) => (codec, topic.compression_level),
            None => (self.config.compression, None),
        };
        let mut builder = BatchBuilder::new();
        if codec != Compression::None {
            builder = builder.compression(codec, level);
        }
        let now = self.log.context.clock.monotonic();
        OpenBatch {
            builder,
            slot: BatchSlot::new(self.log.tp.clone()),
            due: now.saturating_add(self.config.linger),
        }
    }

    /// When a batch is due; at once if one is full.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let accumulator = self.accumulator.lock();
        if !accumulator.full.is_empty() {
            return Some(Duration::ZERO);
        }
        accumulator.open.as_ref().map(|open| open.due)
    }

    fn take(&self, which: Run) -> Option<OpenBatch> {
        let mut accumulator = self.accumulator.lock();
        let batch = accumulator.full.pop_front().or_else(|| {
            let now = self.log.context.clock.monotonic();
            let due = |open: &mut OpenBatch| match which {
                Run::Full => false,
                Run::Due => open.due <= now,
                Run::All => true,
            };
            accumulator.open.take_if(due)
        })?;
        // Under the accumulator's lock, so that a flush sees every batch in one place or the other.
        self.outstanding.lock().slots.push_back(Arc::clone(&batch.slot));
        Some(batch)
    }

    /// Runs batches on this thread. The offset up to which a sync is wanted comes back; the caller
    /// does it, has it done, or leaves it to who waits.
    pub(crate) fn run(self: &Arc<Self>, which: Run) -> Option<i64> {
        let mut sync_to = None;
        let mut ran = Vec::new();
        {
            let _token = self.drain.lock();
            while let Some(batch) = self.take(which) {
                ran.push(self.run_batch(batch, &mut sync_to));
            }
        }
        // What runs user code (wakers, callbacks) runs without the token.
        let mut failed = false;
        for ran in ran {
            match ran {
                Ran::Decided(slot, outcome) => {
                    failed |= outcome.is_err();
                    slot.decide(outcome);
                }
                Ran::Written(slot, end) => {
                    let waiting = AwaitSync { slot, queue: Arc::clone(self) };
                    self.log.sync.join(end, Arc::new(waiting));
                }
            }
        }
        if failed {
            self.log.fail_waiting();
        }
        self.deliver();
        sync_to
    }

    fn run_batch(self: &Arc<Self>, batch: OpenBatch, sync_to: &mut Option<i64>) -> Ran {
        let OpenBatch { builder, slot, .. } = batch;
        let appended = self.check(&builder).and_then(|()| self.log.append(builder.seal()?));
        let appended = match appended {
            Ok(appended) => appended,
            Err(error) => {
                if self.config.acks == Acks::None {
                    count(self.log.context.counters.unacknowledged_failures());
                }
                return Ran::Decided(slot, Err(error));
            }
        };
        let placed =
            Placed { base_offset: appended.base_offset, log_append_time: appended.log_append_time };
        if self.config.acks == Acks::All || appended.sync_due {
            *sync_to = (*sync_to).max(Some(appended.end()));
        }
        if self.config.acks != Acks::All {
            return Ran::Decided(slot, Ok(placed));
        }
        slot.written(&self.log, appended.end(), placed);
        Ran::Written(slot, appended.end())
    }

    fn check(&self, builder: &BatchBuilder) -> Result<()> {
        let topic = self.log.config();
        if self.config.acks == Acks::All && topic.min_insync_replicas > 1 {
            return Err(Error::kafka(
                ErrorCode::NotEnoughReplicas,
                format!("min.insync.replicas = {}, there is one copy", topic.min_insync_replicas),
            )
            .on(&self.log.tp));
        }
        let now = self.log.context.clock.wall_millis();
        check_records(builder, &topic, now).map_err(|error| error.on(&self.log.tp))
    }

    /// Runs the callbacks of decided batches, in order. Nobody waits for them.
    pub(crate) fn deliver(&self) {
        loop {
            let slot = {
                let mut outstanding = self.outstanding.lock();
                let decided = outstanding.slots.front().is_some_and(|slot| slot.is_decided());
                if outstanding.delivering || !decided {
                    return;
                }
                outstanding.delivering = true;
                outstanding.slots.pop_front()
            };
            if let Some(slot) = slot {
                slot.deliver();
            }
            self.outstanding.lock().delivering = false;
        }
    }

    /// The batches that were handed in and are not decided yet.
    pub(crate) fn undecided(&self) -> Vec<Arc<BatchSlot>> {
        let accumulator = self.accumulator.lock();
        let mut slots: Vec<Arc<BatchSlot>> =
            self.outstanding.lock().slots.iter().filter(|s| !s.is_decided()).cloned().collect();
        slots.extend(accumulator.full.iter().map(|batch| Arc::clone(&batch.slot)));
        slots.extend(accumulator.open.iter().map(|batch| Arc::clone(&batch.slot)));
        slots
    }

    /// Takes no more records.
    pub(crate) fn close(&self) {
        self.accumulator.lock().closed = true;
    }
}

enum Ran {
    Decided(Arc<BatchSlot>, Result<Placed>),
    /// A sync up to this offset decides it.
    Written(Arc<BatchSlot>, i64),
}

impl Drop for PartitionQueue {
    /// No delivery waits for ever: what nobody ran has failed.
    fn drop(&mut self) {
        let accumulator = self.accumulator.get_mut();
        for batch in accumulator.full.drain(..).chain(accumulator.open.take()) {
            batch.slot.decide(Err(Error::closed("producer")));
            batch.slot.deliver();
        }
    }
}

impl AfterSync for PartitionQueue {
    fn after_sync(&self) {
        self.deliver();
    }
}
