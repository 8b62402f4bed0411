//! Appending: check, roll if needed, assign offsets, one write, index, publish.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::config::TopicConfig;
use super::partition::{Halt, Log, Writer};
use super::producers::{ProducerStates, Verdict};
use super::roll::{Next, Pending};
use super::segment::Segment;
use super::transactions::AbortedTxn;
use crate::error::{Error, ErrorCode, Result};
use crate::record::{BatchBuilder, BatchHeader, ControlRecord, SealedBatch, increment_sequence};
use crate::types::TimestampType;
use crate::wait::Quiet;

/// How much goes out with one write. From here on a larger write is no faster, and the lock would
/// be held for longer.
const WRITE_BYTES_MAX: usize = 256 * 1024;
/// Systems take at least 1024 parts in one write.
const WRITE_BATCHES_MAX: usize = 64;
/// Something that holds a batch on its way into the log.
pub(crate) trait Sealed {
    fn sealed(&self) -> &SealedBatch;
    fn sealed_mut(&mut self) -> &mut SealedBatch;
}

impl Sealed for SealedBatch {
    fn sealed(&self) -> &SealedBatch {
        self
    }

    fn sealed_mut(&mut self) -> &mut SealedBatch {
        self
    }
}

/// Where an appended batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    /// The time the log gave every record, with `LogAppendTime`.
    pub(crate) log_append_time: Option<i64>,
    /// `flush.messages` asks for a sync now; the caller does it, without its locks.
    pub(crate) sync_due: bool,
}

impl Appended {
    /// The offset up to which a sync must reach to make the batch durable.
    pub(crate) fn end(&self) -> i64 {
        self.last_offset.saturating_add(1)
    }
}

/// Checks records against the topic's rules before they are sealed. A batch that fails is refused
/// as a whole, as by Kafka (`LogValidator`).
pub(crate) fn check_records(
    builder: &BatchBuilder,
    config: &TopicConfig,
    now_millis: i64,
) -> Result<()> {
    if builder.is_empty() {
        return Err(Error::kafka(ErrorCode::InvalidRecord, "a batch without records"));
    }
    if config.cleanup_policy.is_compacted() && builder.has_null_key() {
        return Err(Error::kafka(
            ErrorCode::InvalidRecord,
            "a compacted topic takes no records without a key",
        ));
    }
    if config.timestamp_type == TimestampType::CreateTime
        && let (Some(min), Some(max)) = (builder.min_timestamp(), builder.max_timestamp())
    {
        let oldest = now_millis.saturating_sub(config.timestamp_before_max_ms);
        let newest = now_millis.saturating_add(config.timestamp_after_max_ms);
        if let Some(bad) = [min, max].into_iter().find(|t| *t < oldest || *t > newest) {
            return Err(Error::kafka(
                ErrorCode::InvalidTimestamp,
                format!("timestamp {bad} is outside {oldest}..={newest}, what the topic accepts"),
            ));
        }
    }
    Ok(())
}

impl Log {
    /// Appends one sealed batch: assigns its offsets and writes it with one write. Returns when the
    /// bytes are in the operating system's hands; [`sync_to`](Log::sync_to) makes them durable.
    pub(crate) fn append(&self, mut batch: SealedBatch) -> Result<Appended> {
        self.append_sealed(&mut batch)
    }

    /// The same; the caller keeps the batch.
    pub(crate) fn append_sealed(&self, batch: &mut SealedBatch) -> Result<Appended> {
        let mut placed = Vec::with_capacity(1);
        self.append_all(std::slice::from_mut(batch), &mut placed)?;
        placed.pop().ok_or_else(|| Error::kafka(ErrorCode::InvalidRequest, "nothing to append"))
    }

    /// Appends batches in their order, as many with one write as fit. `placed` gets one entry for
    /// each that stands in the log; an error is that of the batch after those, and the ones behind
    /// it were not tried.
    pub(crate) fn append_all<B: Sealed>(
        &self,
        batches: &mut [B],
        placed: &mut Vec<Appended>,
    ) -> Result<()> {
        let config = self.config();
        let mut log_append_time = None;
        if config.timestamp_type == TimestampType::LogAppendTime {
            let now = self.context.clock.wall_millis();
            batches.iter_mut().for_each(|batch| batch.sealed_mut().set_log_append_time(now));
            log_append_time = Some(now);
        }
        let before = placed.len();
        // Nor while the caller holds a lock of its own, if it says so.
        let _quiet = Quiet::new();
        let timed = self.meter.times_append().then(|| self.context.clock.monotonic());
        let outcome = {
            let mut writer = self.writer.lock();
            self.meter.appends();
            loop {
                let Some(rest) = batches.get_mut(placed.len() - before..).filter(|b| !b.is_empty())
                else {
                    break Ok(());
                };
                if let Err(error) = self.append_some(&mut writer, &config, rest, placed) {
                    break Err(error);
                }
            }
        };
        if let Some(began) = timed {
            let took = self.context.clock.monotonic().saturating_sub(began);
            self.context.counters.append_latency().record(took);
        }
        if let Err(error) = &outcome {
            self.append_failed(error);
        }
        let new = placed.get_mut(before..).unwrap_or_default();
        if !new.is_empty() {
            self.readers.wake_all();
            self.context.attention.grew();
            if config.flush_ms < i64::MAX {
                self.start_flush_timer(config.flush_ms);
            }
        }
        for appended in new {
            // That of a duplicate is known already.
            appended.log_append_time = appended.log_append_time.or(log_append_time);
        }
        outcome
    }

    /// Appends the first of `batches`, with those that can go into the same write.
    fn append_some<B: Sealed>(
        &self,
        writer: &mut Writer,
        config: &TopicConfig,
        batches: &mut [B],
        placed: &mut Vec<Appended>,
    ) -> Result<()> {
        let Some(first) = batches.first() else { return Ok(()) };
        self.check_size(first.sealed().bytes().len(), config)?;
        if let Some(error) = self.append_error() {
            return Err(error);
        }
        self.prepare(writer, config)?;
        let header = *first.sealed().header();
        if let Verdict::Duplicate(known) = producers(writer).check(&header)? {
            let is_stamped = config.timestamp_type == TimestampType::LogAppendTime;
            placed.push(Appended {
                base_offset: known.first_offset(),
                last_offset: known.last_offset,
                log_append_time: is_stamped.then_some(known.timestamp),
                sync_due: false,
            });
            return Ok(());
        }
        let Some(last_offset) = last_offset(self.end_offset(), &header) else {
            return Err(
                Error::kafka(ErrorCode::InvalidRequest, "the log has no more offsets").on(&self.tp)
            );
        };
        let size = first.sealed().bytes().len();
        let next = Next { before: &Pending::default(), size, header: &header, last_offset };
        let segment = match self.segments().last() {
            Some(active) if !self.must_roll(writer, config, active, &next) => Arc::clone(active),
            _ => self.roll(writer, config)?,
        };
        let count = self.assign(writer, config, &segment, batches);
        let group = batches.get(..count).unwrap_or_default();
        self.write(&segment, group)?;
        let (mut records, mut bytes) = (0, 0);
        for batch in group {
            let header = batch.sealed().header();
            records += header.records_count() as u64;
            bytes += header.size() as u64;
            self.take_note(writer, &segment, header, None);
            writer.unflushed =
                writer.unflushed.saturating_add(i64::from(header.last_offset_delta()) + 1);
            let sync_due = writer.unflushed >= config.flush_messages;
            if sync_due {
                writer.unflushed = 0;
            }
            placed.push(Appended {
                base_offset: header.base_offset(),
                last_offset: header.last_offset(),
                log_append_time: None,
                sync_due,
            });
        }
        self.meter.wrote(group.len() as u64, records, bytes);
        if self.context.storage.is_volatile() {
            return Ok(());
        }
        let (size, limit) = (segment.size(), config.segment_bytes);
        if config.preallocate {
            let ends = (self.end_offset(), self.recovery_point());
            writer.ahead.extend(segment.file(), (size, limit), ends);
        } else {
            writer.reserve.extend(segment.file(), size, limit);
        }
        Ok(())
    }

    /// Gives offsets to the first batch and to those that can follow it in one write; answers how
    /// many these are. A batch follows when it needs no look at anything but the one before: the
    /// next sequence number of the same producer or no producer, and room in the same segment.
    fn assign<B: Sealed>(
        &self,
        writer: &Writer,
        config: &TopicConfig,
        segment: &Segment,
        batches: &mut [B],
    ) -> usize {
        let epoch = Self::current_epoch(writer);
        let mut pending = Pending::default();
        let mut before: Option<BatchHeader> = None;
        for batch in batches {
            let batch = batch.sealed_mut();
            let (header, size) = (*batch.header(), batch.bytes().len());
            let base = before.map_or(self.end_offset(), |before| before.next_offset());
            if let Some(before) = &before {
                let fits = pending.batches < WRITE_BATCHES_MAX
                    && pending.bytes + size <= WRITE_BYTES_MAX
                    && self.check_size(size, config).is_ok()
                    && continues(before, &header)
                    && last_offset(base, &header).is_some_and(|last_offset| {
                        let next = Next { before: &pending, size, header: &header, last_offset };
                        !self.must_roll(writer, config, segment, &next)
                    });
                if !fits {
                    break;
                }
            }
            batch.assign(base, epoch);
            pending.first_timestamp = pending.first_timestamp.or(header.max_timestamp());
            pending.bytes += size;
            pending.batches += 1;
            before = Some(*batch.header());
        }
        pending.batches
    }

    fn check_size(&self, size: usize, config: &TopicConfig) -> Result<()> {
        if size > config.max_message_bytes {
            return Err(Error::kafka(
                ErrorCode::MessageTooLarge,
                format!(
                    "a batch of {size} bytes is over max.message.bytes = {}",
                    config.max_message_bytes
                ),
            )
            .on(&self.tp));
        }
        if size as u64 > config.segment_bytes {
            return Err(Error::kafka(
                ErrorCode::RecordListTooLarge,
                format!("a batch of {size} bytes is over segment.bytes = {}", config.segment_bytes),
            )
            .on(&self.tp));
        }
        Ok(())
    }

    pub(super) fn start_flush_timer(&self, flush_ms: i64) {
        if !self.flush_timer.swap(true, Ordering::AcqRel) {
            let wait = Duration::from_millis(u64::try_from(flush_ms).unwrap_or(0));
            let due = self.context.clock.monotonic().saturating_add(wait);
            self.context.attention.ask(&self.tp, due);
        }
    }

    /// Has everything written so far synced soon, on a thread that has the time.
    pub(crate) fn sync_later(&self) {
        self.context.attention.ask(&self.tp, self.context.clock.monotonic());
    }

    /// Writes batches behind the last one. A write that fails is cut back, so that nothing but
    /// whole batches stands below the size; if that fails too the partition stops.
    pub(super) fn write<B: Sealed>(&self, segment: &Arc<Segment>, batches: &[B]) -> Result<()> {
        let position = segment.size();
        let written = if let [one] = batches {
            segment.file().write_all_at(position, one.sealed().bytes())
        } else {
            let mut parts: Vec<IoSlice<'_>> =
                batches.iter().map(|batch| IoSlice::new(batch.sealed().bytes())).collect();
            segment.file().write_all_vectored_at(position, &mut parts)
        };
        let Err(error) = written else { return Ok(()) };
        let error = error.on(&self.tp);
        if let Err(cause) = segment.file().set_len(position) {
            // Who waits for a sync is told by `fail_waiting`, without the append lock.
            self.stop(Halt::Poisoned(cause));
        }
        Err(error)
    }

    /// Updates indexes and producer state for a batch that stands in the file, and publishes it.
    pub(super) fn take_note(
        &self,
        writer: &mut Writer,
        segment: &Arc<Segment>,
        header: &BatchHeader,
        marker: Option<ControlRecord>,
    ) {
        let position = segment.size();
        if position == 0 {
            writer.first_timestamp = header.max_timestamp();
        }
        segment.add_to_index(header, position);
        segment.publish_size(position + header.size() as u64);
        let producers = producers(writer);
        match marker {
            Some(marker) => {
                if let Some(txn) = producers.end_txn(header, marker)
                    && txn.aborted
                {
                    segment.add_aborted(AbortedTxn {
                        producer_id: txn.producer_id,
                        first_offset: txn.first_offset,
                        last_offset: txn.marker_offset,
                        last_stable_offset: producers.stable_after(&txn),
                    });
                }
            }
            None => producers.append(header),
        }
        let end = header.next_offset();
        self.publish(end, producers.first_open_offset().unwrap_or(end));
        self.changed.store(true, Ordering::Relaxed);
    }
}

/// The offset of the last record of a batch that begins at `base`, unless offsets end before. The
/// one behind it must exist too: it is where the log ends then.
fn last_offset(base: i64, header: &BatchHeader) -> Option<i64> {
    let last = base.checked_add(i64::from(header.last_offset_delta()))?;
    (last < i64::MAX).then_some(last)
}

/// Whether nothing is to be known of a batch's producer but that this batch is the next one.
fn continues(before: &BatchHeader, next: &BatchHeader) -> bool {
    let same = |header: &BatchHeader| {
        (header.producer_id(), header.producer_epoch(), header.is_transactional())
    };
    next.producer_id().is_none()
        || (same(before) == same(next)
            && before.last_sequence().map(|last| increment_sequence(last, 1))
                == next.base_sequence())
}

/// The producers of a log whose writer is prepared.
fn producers(writer: &mut Writer) -> &mut ProducerStates {
    writer.producers.get_or_insert_default()
}
