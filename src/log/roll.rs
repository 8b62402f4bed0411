//! The active segment: getting it ready, when it is full, and the next one.

use std::sync::Arc;

use super::checkpoint::{self, EpochEntry, LEADER_EPOCHS};
use super::config::TopicConfig;
use super::index::TIME_ENTRY_LEN;
use super::names::SegmentFile;
use super::partition::{Log, Writer};
use super::scan::Demand;
use super::segment::Segment;
use crate::error::Result;
use crate::metrics::count;
use crate::record::BatchHeader;
use crate::storage::FilePath;
use crate::trace::event;

/// What is about to be written in front of a batch, with the same write.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) bytes: usize,
    pub(super) batches: usize,
    /// The largest timestamp of its first batch.
    pub(super) first_timestamp: Option<i64>,
}

/// A batch that looks for its segment.
#[derive(Debug)]
pub(super) struct Next<'a> {
    pub(super) before: &'a Pending,
    pub(super) size: usize,
    pub(super) header: &'a BatchHeader,
    pub(super) last_offset: i64,
}

impl Log {
    /// Loads what a clean open left alone.
    pub(super) fn prepare(&self, writer: &mut Writer, config: &TopicConfig) -> Result<()> {
        if writer.producers.is_none() {
            writer.producers = Some(self.load_producers()?);
        }
        if !writer.active {
            let segments = self.segments();
            if let Some((last, before)) = segments.split_last() {
                if last.digest()?.is_some() {
                    last.remove_digest()?;
                }
                last.activate()?;
                // Loaded, so that the aborts to come are added to those that are there.
                last.aborted(|| Ok(self.replay_segment(&segments, before.len())?.aborted))?;
                writer.first_timestamp = last.first_timestamp()?;
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

    /// Whether the next batch needs a new segment.
    pub(super) fn must_roll(
        &self,
        writer: &Writer,
        config: &TopicConfig,
        active: &Segment,
        next: &Next<'_>,
    ) -> bool {
        let size = active.size() + next.before.bytes as u64;
        let full = size > config.segment_bytes.saturating_sub(next.size as u64);
        let far = next.last_offset - active.base_offset > i64::from(i32::MAX);
        // What is not sealed is not cleaned (KIP-354).
        let age_max = if config.cleanup_policy.is_compacted() {
            config.segment_ms.min(config.max_compaction_lag_ms)
        } else {
            config.segment_ms
        };
        let old = size > 0 && {
            // Time rolling follows the data's own clock where it has one (KIP-33).
            let is_empty = active.size() == 0;
            let first = if is_empty { next.before.first_timestamp } else { writer.first_timestamp };
            let waited = match (next.header.max_timestamp(), first) {
                (Some(newest), Some(first)) => newest.saturating_sub(first),
                _ => self.context.clock.wall_millis().saturating_sub(writer.active_since),
            };
            waited > age_max.saturating_sub(writer.jitter)
        };
        // Each batch before may add an entry to each index.
        let entries = next.before.batches * TIME_ENTRY_LEN;
        let full_index = active.index_is_full(config.segment_index_bytes.saturating_sub(entries));
        full || far || old || full_index
    }

    /// Seals the active segment and makes the next. The new file comes first: if it cannot be made
    /// (a full disk), nothing has changed. Only what lies behind the old one is gone before, so
    /// that who follows the directory takes its length for its end when there is another.
    pub(super) fn roll(&self, writer: &mut Writer, config: &TopicConfig) -> Result<Arc<Segment>> {
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
        if let Some(active) = segments.last() {
            writer.ahead.cut(active.file(), active.size())?;
            writer.reserve.give_back(active.file(), active.size());
        }
        let epoch = Self::current_epoch(writer);
        // Nothing that is appended from now on has been compacted.
        let demand = Demand {
            continuous: self.provenance().is_ours(),
            ..self.provenance().demand(base, epoch)
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
            let (topic, partition) = (self.tp.topic(), self.tp.partition());
            event!(DEBUG, "rolled", topic = topic, partition = partition, base_offset = base);
            self.write_snapshot(writer);
            // The old segment's bytes are synced by whoever comes first; nobody waits for it.
            self.sync_later();
            self.context.attention.rolled(config.cleanup_policy.is_compacted());
        }
        writer.first_timestamp = None;
        writer.active_since = self.context.clock.wall_millis();
        writer.jitter = self.draw_jitter(config);
        let mut list = segments.to_vec();
        list.push(Arc::clone(&new));
        self.set_segments(list);
        Ok(new)
    }

    /// Cuts off the zeros behind the log, durably, at its close. What the last roll cut is made
    /// durable too: if nothing was appended since, no sync has come by. Gives back room, too.
    pub(super) fn sync_cuts(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        let segments = self.segments();
        if let Some(active) = segments.last() {
            writer.ahead.cut(active.file(), active.size())?;
            writer.reserve.give_back(active.file(), active.size());
        }
        if writer.ahead.has_cut() {
            segments.iter().rev().take(2).try_for_each(|segment| segment.file().sync())?;
        }
        Ok(())
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
