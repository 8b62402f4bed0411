//! The batches of one partition that take records, and those that are full.
//!
//! A leaf lock, held to encode a record or to take a batch. No user code runs under it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::config::ProducerConfig;
use super::memory::{Memory, Reservation};
use super::record::ProducerRecord;
use super::slot::{BatchSlot, Home, Run, Ticket};
use crate::error::{Error, Result};
use crate::log::{Log, TopicConfig};
use crate::record::{BatchBuilder, Compression, DECOMPRESSED_BYTES_MAX, Header};

/// No batch grows larger than this, whatever `batch.size` says: well below what a batch may
/// decompress to.
const BATCH_BYTES_MAX: usize = DECOMPRESSED_BYTES_MAX / 2;

/// A new buffer has room for a batch, or for this much of one: it is not known to become full.
const BUFFER_BYTES_FIRST: usize = 64 * 1024;
/// The builder asks for a little more than a record takes.
const BUFFER_BYTES_SPARE: usize = 64;

/// A batch that takes records, or is full.
pub(super) struct OpenBatch {
    pub(super) builder: BatchBuilder,
    pub(super) slot: Arc<BatchSlot>,
    due: Duration,
}

/// What became of adding a record.
pub(super) enum Added {
    To(Place),
    /// A new batch is needed, and so much memory for it was not free. If `filled`, the record found
    /// no room in the batch before, which is to be run.
    NeedsMemory {
        size: usize,
        filled: bool,
    },
}

/// Where a record was added.
pub(super) struct Place {
    pub(super) slot: Arc<BatchSlot>,
    pub(super) ticket: Ticket,
    /// The record filled its batch: whoever added it runs it.
    pub(super) filled: bool,
    /// It is the first of its batch.
    pub(super) opened: bool,
    /// No batch is open any more.
    pub(super) closes_batch: bool,
}

/// The batches of one partition that nobody runs yet.
pub(super) struct Accumulator {
    state: Mutex<State>,
    /// How many are full, for who chooses partitions by it.
    backlog: AtomicUsize,
    /// Whether there is one to join, so that who is alone takes no lock for nothing. A hint.
    is_open: AtomicBool,
}

#[derive(Default)]
struct State {
    open: Option<OpenBatch>,
    /// Full batches, oldest first.
    full: VecDeque<OpenBatch>,
    /// Slots in the order of their batches, until their callbacks have run.
    outstanding: VecDeque<Arc<BatchSlot>>,
    /// Somebody runs callbacks.
    delivering: bool,
    /// Nothing more is taken.
    closed: bool,
    /// What the last holder of the drain token left.
    left: Left,
}

/// What the holder of the drain token leaves behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Batches that are sealed and not in the log.
    pub(super) sealed: bool,
    /// Nothing is run before this: the last try failed.
    pub(super) backoff: Option<Duration>,
}

/// What a batch is made of, besides its records.
pub(super) struct Material<'a> {
    pub(super) config: &'a ProducerConfig,
    pub(super) memory: &'a Arc<Memory>,
    pub(super) log: &'a Log,
    pub(super) home: &'a Arc<Home>,
}

/// How large a batch grows.
pub(super) fn batch_bytes_max(config: &ProducerConfig) -> usize {
    config.batch_size.min(BATCH_BYTES_MAX)
}

/// The limit of a batch, if with these settings there is a usual case, as `usual` has it. What a
/// batch has room for must be neither over `max.request.size` nor over `buffer.memory`.
pub(super) fn usual_limit(config: &ProducerConfig, threads: bool) -> Option<usize> {
    let limit = batch_bytes_max(config);
    let plain = config.interceptors.is_empty() && config.partitioner.is_none();
    let fits = limit <= config.max_request_size.min(config.buffer_memory);
    (threads && plain && fits).then_some(limit)
}

impl Material<'_> {
    /// How much memory a batch reserves for a first record of at most `record_size`.
    fn reservation(&self, record_size: usize) -> usize {
        self.config.batch_size.max(record_size).min(self.memory.total())
    }

    /// How large a batch grows.
    fn limit(&self) -> usize {
        batch_bytes_max(self.config)
    }

    pub(super) fn builder(&self) -> BatchBuilder {
        let capacity = self.config.batch_size.min(BUFFER_BYTES_FIRST) + BUFFER_BYTES_SPARE;
        let mut builder = BatchBuilder::with_buffer(self.memory.take_buffer(capacity));
        if self.home.session.is_some() {
            builder = builder.transactional();
        }
        match self.codec(&self.log.config()) {
            (Compression::None, _) => builder,
            (codec, level) => builder.compression(codec, level),
        }
    }

    /// The topic's codec where it has one, else the producer's.
    pub(super) fn codec(&self, topic: &TopicConfig) -> (Compression, Option<i32>) {
        let own = (self.config.compression, self.config.compression_level);
        topic.compression.map_or(own, |codec| (codec, topic.compression_level))
    }

    pub(super) fn open(&self, reservation: Reservation) -> OpenBatch {
        self.with_records(self.builder(), reservation)
    }

    pub(super) fn with_records(
        &self,
        builder: BatchBuilder,
        reservation: Reservation,
    ) -> OpenBatch {
        let now = self.log.context.clock.monotonic();
        let deadline = now.saturating_add(self.config.delivery_timeout);
        OpenBatch {
            builder,
            slot: BatchSlot::new(deadline, reservation, Arc::clone(self.home)),
            due: now.saturating_add(self.config.linger),
        }
    }
}

impl Accumulator {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            backlog: AtomicUsize::new(0),
            is_open: AtomicBool::new(false),
        }
    }

    /// Shows what there is to those who look without the lock.
    fn show(&self, state: &State) {
        self.backlog.store(state.full.len(), Ordering::Relaxed);
        self.is_open.store(state.open.is_some(), Ordering::Relaxed);
    }

    /// Encodes a record into the open batch, where that leaves room for more; else does nothing.
    #[inline]
    pub(super) fn join(
        &self,
        limit: usize,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Option<(Arc<BatchSlot>, i32)> {
        if !self.is_open.load(Ordering::Relaxed) {
            return None;
        }
        let mut guard = self.state.lock();
        let State { open: Some(open), closed: false, .. } = &mut *guard else { return None };
        let index = open.builder.join(limit, timestamp, key, value, headers)?;
        Some((Arc::clone(&open.slot), index))
    }

    /// Encodes a record into the open batch. A new batch takes `reservation`, or what is free.
    pub(super) fn add(
        &self,
        record: &ProducerRecord<'_>,
        timestamp: i64,
        size_max: usize,
        reservation: Option<Reservation>,
        material: &Material<'_>,
    ) -> Result<Added> {
        let (key, value, headers) =
            (record.key.as_deref(), record.value.as_deref(), record.headers());
        let stamp = Some(timestamp);
        let limit = material.limit();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.closed {
            return Err(Error::closed("producer"));
        }
        let mut filled = false;
        let appended = match &mut state.open {
            Some(OpenBatch { builder, .. })
                if builder.is_empty()
                    || builder.encoded_size(stamp, key, value, headers) + builder.size()
                        <= limit =>
            {
                Some(builder.append(stamp, key, value, headers)?)
            }
            _ => None,
        };
        if let (Some(index), Some(open)) = (appended, &state.open)
            && open.builder.size() < limit
        {
            // As a rule: it joined others, and there is room for more.
            let (slot, ticket) = (Arc::clone(&open.slot), Ticket { index, timestamp });
            let (opened, closes_batch) = (false, false);
            return Ok(Added::To(Place { slot, ticket, filled, opened, closes_batch }));
        }
        let (index, opened) = match appended {
            Some(index) => (index, false),
            None => {
                if let Some(open) = state.open.take() {
                    state.full.push_back(open);
                    filled = true;
                }
                let size = material.reservation(size_max);
                let Some(reservation) = reservation.or_else(|| material.memory.try_reserve(size))
                else {
                    self.show(state);
                    return Ok(Added::NeedsMemory { size, filled });
                };
                let mut open = material.open(reservation);
                // A batch without a record would be nothing to wait for.
                let index = match open.builder.append(stamp, key, value, headers) {
                    Ok(index) => index,
                    Err(error) => {
                        // The batch gives back its memory, which wakes futures: not in the lock.
                        drop(guard);
                        return Err(error.into());
                    }
                };
                state.outstanding.push_back(Arc::clone(&open.slot));
                state.open = Some(open);
                (index, true)
            }
        };
        let Some(open) = &state.open else { return Err(Error::closed("producer")) };
        let slot = Arc::clone(&open.slot);
        if open.builder.size() >= limit {
            state.full.extend(state.open.take());
            filled = true;
        }
        self.show(state);
        let ticket = Ticket { index, timestamp };
        let closes_batch = state.open.is_none();
        Ok(Added::To(Place { slot, ticket, filled, opened, closes_batch }))
    }

    /// Adds a batch that is complete, behind what was added before.
    pub(super) fn add_batch(&self, batch: OpenBatch) -> Result<()> {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.closed {
            return Err(Error::closed("producer"));
        }
        state.full.extend(state.open.take());
        state.outstanding.push_back(Arc::clone(&batch.slot));
        state.full.push_back(batch);
        self.show(state);
        Ok(())
    }

    /// How many batches are full.
    pub(super) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Whether a batch is full that may be run now. Who filled it and found the token taken leaves
    /// it to the holder, who asks this after letting go: the lock orders the two.
    pub(super) fn has_full(&self, now: Duration) -> bool {
        let state = self.state.lock();
        !state.full.is_empty() && state.left.backoff.is_none_or(|until| until <= now)
    }

    /// When something is to be done: a batch run, or given up, or its callbacks run.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let state = self.state.lock();
        let owes_callbacks = state.outstanding.front().is_some_and(|slot| slot.is_decided());
        if owes_callbacks && !state.delivering {
            return Some(Duration::ZERO);
        }
        // The oldest that is not decided has the earliest deadline.
        let undecided = state.outstanding.iter().find(|slot| !slot.is_decided());
        let deadline = undecided.map(|slot| slot.deadline);
        let due = match state.left.backoff {
            Some(backoff) => Some(backoff),
            None if state.left.sealed || !state.full.is_empty() => Some(Duration::ZERO),
            None => state.open.as_ref().map(|open| open.due),
        };
        [due, deadline].into_iter().flatten().min()
    }

    /// The open batch lingers no longer than this.
    pub(super) fn hurry(&self, now: Duration) {
        if let Some(open) = &mut self.state.lock().open {
            open.due = open.due.min(now);
        }
    }

    /// Takes at most `max` batches that are to be run.
    pub(super) fn take(&self, which: Run, now: Duration, max: usize, into: &mut Vec<OpenBatch>) {
        let mut state = self.state.lock();
        let full = state.full.len().min(max);
        into.extend(state.full.drain(..full));
        if full < max {
            let due = |open: &mut OpenBatch| match which {
                Run::Full => false,
                Run::Due => open.due <= now,
                Run::All | Run::Last => true,
            };
            into.extend(state.open.take_if(due));
        }
        self.show(&state);
    }

    /// Tells what the holder of the drain token leaves.
    pub(super) fn leave(&self, left: Left) {
        self.state.lock().left = left;
    }

    /// Gives up what is past its deadline; says how many batches that were.
    pub(super) fn expire(&self, now: Duration) -> usize {
        let expired: Vec<Arc<BatchSlot>> = {
            let mut state = self.state.lock();
            let late = |slot: &Arc<BatchSlot>| slot.deadline <= now;
            // The oldest come first, and as a rule not even that one is late.
            if !state.outstanding.front().is_some_and(late) {
                return 0;
            }
            let expired: Vec<_> = state
                .outstanding
                .iter()
                .take_while(|slot| late(slot))
                .filter(|slot| !slot.is_decided())
                .cloned()
                .collect();
            if expired.is_empty() {
                return 0;
            }
            // Nothing more is added to them, nobody runs them, and nothing waits behind them.
            state.full.retain(|batch| !late(&batch.slot));
            state.open.take_if(|open| late(&open.slot));
            state.left.backoff = None;
            self.show(&state);
            expired
        };
        expired.iter().filter(|slot| slot.expire(now)).count()
    }

    /// Whether there is a batch that could be given up.
    pub(super) fn has_undecided(&self) -> bool {
        self.state.lock().outstanding.iter().any(|slot| !slot.is_decided())
    }

    /// Takes everything that nobody runs yet.
    pub(super) fn take_all(&self) -> Vec<OpenBatch> {
        let mut taken = Vec::new();
        self.take(Run::Last, Duration::MAX, usize::MAX, &mut taken);
        taken
    }

    /// Takes no more records.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
    }

    /// The batches that were handed in and whose callbacks have not all run.
    pub(super) fn outstanding(&self) -> Vec<Arc<BatchSlot>> {
        self.state.lock().outstanding.iter().cloned().collect()
    }

    /// Runs the callbacks of decided batches, in order, unless another thread does. If `may_leave`,
    /// it ends after those of the batches that were there when it began; says whether it left some.
    pub(super) fn deliver(&self, may_leave: bool) -> bool {
        let mut state = self.state.lock();
        let begun_with = state.outstanding.len();
        for done in 0_usize.. {
            let decided = state.outstanding.front().filter(|slot| slot.is_decided());
            let Some(slot) = decided.filter(|_| !state.delivering).map(Arc::clone) else { break };
            // Without more records there is an end to it.
            if may_leave && done >= begun_with && !state.closed {
                return true;
            }
            state.delivering = true;
            MutexGuard::unlocked(&mut state, || slot.deliver());
            state.delivering = false;
            // It stays the first while its callbacks run.
            state.outstanding.pop_front();
        }
        false
    }
}

impl Drop for Accumulator {
    /// No delivery waits for ever: what nobody ran has failed.
    fn drop(&mut self) {
        for slot in self.state.get_mut().outstanding.drain(..) {
            slot.fail(Error::closed("producer"));
            slot.deliver();
        }
    }
}
