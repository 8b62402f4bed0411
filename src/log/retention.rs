//! Retention: moving the log start over what nobody is to keep, and removing what lies below it.
//!
//! The log start goes first and is made durable, then files go: after a crash a log begins where it
//! began or later, and what is left below its start is removed again. Kafka documentation, "Topic
//! Configs" (`retention.ms`, `retention.bytes`), and its `UnifiedLog.deleteOldSegments`.

use std::sync::Arc;
use std::time::Duration;

use super::checkpoint::EpochEntry;
use super::config::TopicConfig;
use super::names::SegmentFile;
use super::partition::{Log, Writer};
use super::segment::Segment;
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::metrics::{add, count};
use crate::storage::FilePath;
use crate::trace::{event, hold};

/// What a look at a log for expired segments found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// The log start moved.
    pub(crate) moved: bool,
    /// When the oldest segment that stays will have expired, in milliseconds since 1970.
    pub(crate) next: Option<i64>,
    /// Something could not be done now: look again.
    pub(crate) again: bool,
}

/// Whether a log whose every segment has expired can be emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Emptying {
    /// There is a new active segment; all the others can go.
    Done,
    /// The active segment is empty, or it has grown meanwhile.
    Needless,
    /// The disk has no room for another.
    Later,
}

impl Log {
    /// Moves the log start over the oldest segments that size and time do not keep. Where even the
    /// active segment has expired it is rolled, and the log becomes empty.
    pub(crate) fn expire(&self, now_millis: i64) -> Result<Expiry> {
        let config = self.config();
        if !config.cleanup_policy.is_deleted() {
            return Ok(Expiry::default());
        }
        let _hold = hold();
        let Some(_upkeep) = self.upkeep.try_lock() else {
            // Somebody cleans the log.
            return Ok(Expiry { again: true, ..Expiry::default() });
        };
        if self.halt().is_some() {
            return Ok(Expiry::default());
        }
        let segments = self.segments();
        let start = self.start_offset();
        let below = wholly_below(&segments, start);
        let kept = segments.get(below..).unwrap_or_default();
        let sizes: Vec<u64> = kept.iter().map(|segment| segment.size()).collect();
        let mut count = below + over_size(&sizes, config.retention_bytes);
        let (mut next, mut again) = (None, false);
        for segment in segments.iter().skip(count) {
            let Some(retention) = config.retention_ms else { break };
            let newest = newest_record(segment)?;
            if now_millis.saturating_sub(newest) <= retention {
                next = Some(newest.saturating_add(retention).saturating_add(1));
                break;
            }
            count += 1;
        }
        if let Some(active) = segments.last().filter(|_| count == segments.len()) {
            // By the size it had before its newest record was looked at.
            let size = sizes.last().copied().unwrap_or(0);
            let emptying = self.leave(active, size, &config)?;
            if emptying != Emptying::Done {
                count = count.saturating_sub(1);
            }
            again = emptying == Emptying::Later;
        }
        let Some(first) = self.segments().get(count).map(|segment| segment.base_offset) else {
            return Ok(Expiry { moved: false, next, again });
        };
        self.set_start(first);
        Ok(Expiry { moved: first > start, next, again })
    }

    /// Every segment has expired: makes a new, empty one, unless the last has more than `size`
    /// bytes by now.
    fn leave(&self, last: &Arc<Segment>, size: u64, config: &TopicConfig) -> Result<Emptying> {
        if size == 0 {
            return Ok(Emptying::Needless);
        }
        let mut writer = self.writer.lock();
        let unchanged = self.segments().last().is_some_and(|now| Arc::ptr_eq(now, last));
        if !unchanged || last.size() != size || self.halt().is_some() {
            return Ok(Emptying::Needless);
        }
        let rolled =
            self.prepare(&mut writer, config).and_then(|()| self.roll(&mut writer, config));
        match rolled {
            Ok(_) => Ok(Emptying::Done),
            // On a full disk the others go first.
            Err(error) if error.kind() == ErrorKind::StorageFull => Ok(Emptying::Later),
            Err(error) => Err(error),
        }
    }

    /// Moves the log start to `before`, also inside a batch, or to the high watermark. Answers
    /// where it is now. It is not durable yet.
    pub(crate) fn delete_records(&self, before: Option<i64>) -> Result<i64> {
        if let Some(error) = self.append_error() {
            return Err(error);
        }
        let end = self.end_offset();
        let before = before.unwrap_or(end);
        if before < 0 || before > end {
            let reason =
                format!("records before {before} cannot be deleted: the high watermark is {end}");
            return Err(Error::kafka(ErrorCode::OffsetOutOfRange, reason).on(&self.tp));
        }
        self.set_start(before);
        Ok(self.start_offset())
    }

    /// Removes the segments that lie below the log start as a whole, as far as a crash would not
    /// make them look lost: below the start that is stored, or below the stored recovery point.
    /// Says whether that was all; else somebody cleans the log.
    pub(crate) fn remove_below_start(&self) -> Result<bool> {
        let _hold = hold();
        let Some(_upkeep) = self.upkeep.try_lock() else { return Ok(false) };
        if self.halt().is_some() {
            return Ok(true);
        }
        let (start, stored) = (self.start_offset(), self.stored());
        // What lay below the start of a log that Kafka wrote stays until somebody moves the start.
        if start <= self.untouched_start() {
            return Ok(true);
        }
        let is_stored = stored.start >= start;
        let secured = if is_stored { start } else { stored.start.max(stored.recovery_point) };
        let gone: Vec<Arc<Segment>> = {
            let mut writer = self.writer.lock();
            let segments = self.segments();
            let count = wholly_below(&segments, start.min(secured));
            if count == 0 {
                return Ok(true);
            }
            let (gone, left) = segments.split_at_checked(count).unwrap_or_default();
            self.set_segments(left.to_vec());
            self.cut_epochs(&mut writer, start);
            gone.to_vec()
        };
        let bounds = (gone.first().map_or(start, |s| s.base_offset), gone.len());
        let (topic, partition) = (self.tp.topic(), self.tp.partition());
        event!(
            INFO,
            "segments deleted",
            topic = topic,
            partition = partition,
            from_offset = bounds.0,
            log_start_offset = start,
            segments = bounds.1,
        );
        let mut outcome = Ok(true);
        for segment in &gone {
            count(self.context.counters.segments_deleted());
            add(self.context.counters.bytes_deleted(), segment.size());
            let mut removed = self.discard(segment);
            if !is_stored && removed.is_ok() {
                // After a crash the gap must not lie between two segments.
                removed = self.context.storage.sync_dir(Some(&self.dir));
            }
            // What stays is below the log start, and goes after the next open.
            outcome = outcome.and_then(|done| removed.map(|()| done));
        }
        outcome
    }

    /// Renames the files of a segment that is no longer part of the log; they go later.
    pub(crate) fn discard(&self, segment: &Segment) -> Result<()> {
        let due = self.deletion_due();
        let context = &self.context;
        // The next sync, or the close, makes it known to the disk.
        self.sync.mark_dir();
        for kind in SegmentFile::ALL {
            let name = kind.name(segment.base_offset);
            if kind == SegmentFile::Digest {
                // What is read of the segment from now on is read unchecked.
                context.storage.remove_if_exists(&FilePath::within(&self.dir, name))?;
                continue;
            }
            context.trash.discard(&context.storage, &self.dir, &name, due)?;
        }
        Ok(())
    }

    /// When files that are discarded now may go, on the monotonic clock.
    pub(crate) fn deletion_due(&self) -> Duration {
        let delay = u64::try_from(self.config().file_delete_delay_ms).unwrap_or(0);
        self.context.clock.monotonic().saturating_add(Duration::from_millis(delay))
    }

    /// Epochs begin at the log start at the earliest.
    fn cut_epochs(&self, writer: &mut Writer, start: i64) {
        let later = writer.epochs.partition_point(|entry| entry.start_offset <= start);
        let Some(current) = later.checked_sub(1).and_then(|at| writer.epochs.get(at)).copied()
        else {
            return;
        };
        if later == 1 && current.start_offset == start {
            return;
        }
        writer.epochs.splice(..later, [EpochEntry { start_offset: start, ..current }]);
        writer.epochs_saved = false;
        self.write_epochs(writer);
    }
}

/// How many of the first segments end at or below an offset.
fn wholly_below(segments: &[Arc<Segment>], offset: i64) -> usize {
    segments.iter().skip(1).take_while(|next| next.base_offset <= offset).count()
}

/// How many of the first segments are more than `limit` bytes ask for. What stays is never below
/// the limit, so it may be up to one segment above.
fn over_size(sizes: &[u64], limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return 0 };
    let Some(mut over) = sizes.iter().sum::<u64>().checked_sub(limit) else { return 0 };
    sizes
        .iter()
        .take_while(|size| {
            over.checked_sub(**size).is_some_and(|left| {
                over = left;
                true
            })
        })
        .count()
}

/// The time of a segment's newest record; where records have no timestamps that of the file.
pub(super) fn newest_record(segment: &Arc<Segment>) -> Result<i64> {
    match segment.max_timestamp()? {
        Some((newest, _)) => Ok(newest),
        None => segment.file().modified_millis(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_keeps_at_least_the_limit_and_at_most_a_segment_more() {
        assert_eq!(over_size(&[10, 10, 10], None), 0);
        assert_eq!(over_size(&[10, 10, 10], Some(31)), 0);
        assert_eq!(over_size(&[10, 10, 10], Some(30)), 0);
        assert_eq!(over_size(&[10, 10, 10], Some(21)), 0);
        assert_eq!(over_size(&[10, 10, 10], Some(20)), 1);
        assert_eq!(over_size(&[10, 10, 10], Some(11)), 1);
        assert_eq!(over_size(&[10, 10, 10], Some(0)), 3);
        assert_eq!(over_size(&[], Some(0)), 0);
        assert_eq!(over_size(&[0, 5], Some(5)), 1, "an empty segment costs nothing to remove");
    }
}
