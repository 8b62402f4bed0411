//! Appending: check, roll if needed, assign offsets, one write, index, publish.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::checkpoint::{self, EpochEntry, LEADER_EPOCHS};
use super::config::TopicConfig;
use super::names::SegmentFile;
use super::partition::{Halt, Log, Writer};
use super::producers::{ProducerStates, Verdict};
use super::scan::Demand;
use super::segment::Segment;
use super::transactions::AbortedTxn;
use crate::error::{Error, ErrorCode, Result};
use crate::metrics::count;
use crate::record::{BatchBuilder, BatchHeader, ControlRecord, SealedBatch};
use crate::storage::FilePath;
use crate::types::TimestampType;

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
        self.last_offset + 1
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
        let config = self.config();
        let mut log_append_time = None;
        if config.timestamp_type == TimestampType::LogAppendTime {
            let now = self.context.clock.wall_millis();
            batch.set_log_append_time(now);
            log_append_time = Some(now);
        }
        self.check_size(batch.bytes().len(), &config)?;

        let mut writer = self.writer.lock();
        if let Some(error) = self.append_error() {
            return Err(error);
        }
        self.prepare(&mut writer, &config)?;
        let header = *batch.header();
        if let Verdict::Duplicate(known) = producers(&mut writer).check(&header)? {
            return Ok(Appended {
                base_offset: known.first_offset(),
                last_offset: known.last_offset,
                log_append_time: log_append_time.map(|_| known.timestamp),
                sync_due: false,
            });
        }
        let base_offset = self.end_offset();
        let Some(last_offset) = base_offset.checked_add(i64::from(header.last_offset_delta()))
        else {
            return Err(
                Error::kafka(ErrorCode::InvalidRequest, "the log has no more offsets").on(&self.tp)
            );
        };
        let segment =
            self.segment_for(&mut writer, &config, batch.bytes().len(), &header, last_offset)?;
        batch.assign(base_offset, Self::current_epoch(&writer));
        self.write(&segment, batch.bytes())?;
        self.take_note(&mut writer, &segment, batch.header(), None);
        writer.unflushed =
            writer.unflushed.saturating_add(i64::from(header.last_offset_delta()) + 1);
        let sync_due = writer.unflushed >= config.flush_messages;
        if sync_due {
            writer.unflushed = 0;
        }
        drop(writer);

        self.readers.wake_all();
        if config.flush_ms < i64::MAX {
            self.start_flush_timer(config.flush_ms);
        }
        Ok(Appended { base_offset, last_offset, log_append_time, sync_due })
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

    fn start_flush_timer(&self, flush_ms: i64) {
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

    /// Writes a batch behind the last one. A write that fails is cut back, so that nothing but
    /// whole batches stands below the size; if that fails too the partition stops.
    fn write(&self, segment: &Arc<Segment>, bytes: &[u8]) -> Result<()> {
        let position = segment.size();
        let Err(error) = segment.file().write_all_at(position, bytes) else { return Ok(()) };
        let error = error.on(&self.tp);
        if let Err(cause) = segment.file().set_len(position) {
            // Who waits for a sync is told by `fail_waiting`, without the append lock.
            self.stop(Halt::Poisoned(cause));
        }
        Err(error)
    }

    /// Updates indexes and producer state for a batch that stands in the file, and publishes it.
    fn take_note(
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

    /// Loads what a clean open left alone.
    fn prepare(&self, writer: &mut Writer, config: &TopicConfig) -> Result<()> {
        if writer.producers.is_none() {
            writer.producers = Some(self.load_producers()?);
        }
        if !writer.active {
            let segments = self.segments();
            if let Some((last, before)) = segments.split_last() {
                last.activate()?;
                // Loaded, so that the aborts to come are added to those that are there.
                last.aborted(|| Ok(self.replay_segment(&segments, before.len())?.aborted))?;
                let mut scanner = last.scan(last.start(), false)?;
                if let Ok(Some(first)) = scanner.next() {
                    writer.first_timestamp = first.batch.header().max_timestamp();
                }
            }
            writer.jitter = self.draw_jitter(config);
            writer.active = true;
        }
        Ok(())
    }

    fn draw_jitter(&self, config: &TopicConfig) -> i64 {
        let bound = config.segment_jitter_ms.min(config.segment_ms);
        let drawn = self.context.random.below(u64::try_from(bound).unwrap_or(0));
        i64::try_from(drawn).unwrap_or(0)
    }

    /// The segment the next batch goes to: the active one, or a new one if it is time to roll.
    fn segment_for(
        &self,
        writer: &mut Writer,
        config: &TopicConfig,
        size: usize,
        header: &BatchHeader,
        last_offset: i64,
    ) -> Result<Arc<Segment>> {
        let segments = self.segments();
        let Some(active) = segments.last() else { return self.roll(writer, config) };
        let full = active.size() > config.segment_bytes.saturating_sub(size as u64);
        let far = last_offset - active.base_offset > i64::from(i32::MAX);
        let old = active.size() > 0 && {
            // Time rolling follows the data's own clock where it has one (KIP-33).
            let waited = match (header.max_timestamp(), writer.first_timestamp) {
                (Some(newest), Some(first)) => newest.saturating_sub(first),
                _ => self.context.clock.wall_millis().saturating_sub(writer.active_since),
            };
            waited > config.segment_ms.saturating_sub(writer.jitter)
        };
        if full || far || old || active.index_is_full(config.segment_index_bytes) {
            self.roll(writer, config)
        } else {
            Ok(Arc::clone(active))
        }
    }

    /// Seals the active segment and makes the next. The new file comes first: if it cannot be made
    /// (a full disk), nothing has changed.
    fn roll(&self, writer: &mut Writer, config: &TopicConfig) -> Result<Arc<Segment>> {
        let base = self.end_offset();
        let segments = self.segments();
        if let Some(active) = segments.last()
            && active.base_offset == base
        {
            return Ok(Arc::clone(active));
        }
        if segments.is_empty() && self.context.storage.list_if_exists(&self.dir)?.is_none() {
            self.context.storage.create_dir(&self.dir)?;
            self.context.storage.sync_dir(None)?;
        }
        let epoch = Self::current_epoch(writer);
        let demand = Demand {
            crc: true,
            continuous: self.continuous,
            epoch: self.continuous.then_some(epoch),
        };
        let new = Arc::new(Segment::create(
            &self.context,
            &self.dir,
            base,
            config.index_interval_bytes,
            demand,
        )?);
        self.sync.mark_dir();
        if writer.epochs.is_empty() {
            writer.epochs.push(EpochEntry { epoch, start_offset: base });
            writer.epochs_saved = false;
        }
        self.write_epochs(writer);
        if let Some(active) = segments.last() {
            active.seal();
            count(self.context.counters.rolls());
            self.write_snapshot(writer);
            // The old segment's bytes are synced by whoever comes first; nobody waits for it.
            self.sync_later();
        }
        writer.first_timestamp = None;
        writer.active_since = self.context.clock.wall_millis();
        writer.jitter = self.draw_jitter(config);
        let mut list = segments.to_vec();
        list.push(Arc::clone(&new));
        self.set_segments(list);
        Ok(new)
    }

    /// Writes `<end>.snapshot`, the producer state as of the log end, unless it is there.
    pub(crate) fn write_snapshot(&self, writer: &mut Writer) {
        let end = self.end_offset();
        let Some(producers) = &writer.producers else { return };
        // Kafka never writes one at 0, and an empty directory stays as it is.
        if writer.snapshot_offset == Some(end) || end == 0 || self.segments().is_empty() {
            return;
        }
        let bytes = producers.encode();
        let path = FilePath::within(&self.dir, SegmentFile::Snapshot.name(end));
        if !self.context.write_derived(&path, &bytes) {
            return;
        }
        // Kafka keeps those at segments' bases and the newest; the one before was for its close.
        if let Some(old) = writer.snapshot_offset.replace(end)
            && !self.segments().iter().any(|segment| segment.base_offset == old)
        {
            let old = FilePath::within(&self.dir, SegmentFile::Snapshot.name(old));
            let _ = self.context.storage.remove_if_exists(&old);
        }
    }

    /// Writes the epochs' file, unless it holds them already.
    pub(crate) fn write_epochs(&self, writer: &mut Writer) {
        if !writer.epochs_saved && !writer.epochs.is_empty() {
            let path = checkpoint::path(Some(&self.dir), LEADER_EPOCHS);
            let text = checkpoint::format_epochs(&writer.epochs);
            writer.epochs_saved = self.context.write_derived(&path, text.as_bytes());
        }
    }
}

/// The producers of a log whose writer is prepared.
fn producers(writer: &mut Writer) -> &mut ProducerStates {
    writer.producers.get_or_insert_default()
}
