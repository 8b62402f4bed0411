//! Recovery: what an open does with a partition that was not closed cleanly.
//!
//! Only the recovery point tells a torn tail from damage. At or past it the log is cut at the first
//! bytes that are not the batch that should be there; bytes cut that hold whole batches are kept in
//! a side file. Below it, bytes were durable once: that is damage, and `on_damage` decides. Nothing
//! but zeros to the end of the file is room that was written ahead: the log ends before, in order.
//!
//! What stays past the recovery point is written again in place and synced before anything is
//! served: after a failed sync the page cache calls bytes clean that never reached the disk, and
//! after `kill -9` it holds bytes that nobody has synced.

use std::sync::Arc;

use bytes::Bytes;

use super::ahead::is_ahead;
use super::checkpoint::EpochEntry;
use super::context::LogContext;
use super::index::IndexBuilder;
use super::names::SegmentFile;
use super::partition::Damage;
use super::producers::ProducerStates;
use super::provenance::Provenance;
use super::replay::replay;
use super::report::{OnDamage, PartitionReport, Truncation};
use super::scan::{BadBatch, Demand, Expect, Scanner, Source, Stop};
use super::segment::{Rebuilt, Segment};
use super::tail::{BatchSearch, Sought};
use crate::error::Result;
use crate::record::BatchHeader;
use crate::storage::{FileName, FilePath, Open};

/// Blocks in which bytes past the recovery point are written again.
const REWRITE_BYTES: u64 = 1024 * 1024;
/// At most so many cut bytes are kept in a side file.
pub(crate) const SIDE_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The name of a side file begins so; Kafka ignores such files.
pub(crate) const SIDE_FILE_PREFIX: &str = "logreel-cut-";

/// The log of a partition while it is recovered.
pub(crate) struct Recovery<'a> {
    pub(crate) context: &'a Arc<LogContext>,
    pub(crate) dir: &'a FileName,
    pub(crate) recovery_point: i64,
    pub(crate) on_damage: OnDamage,
    pub(crate) index_interval: u64,
    pub(crate) provenance: Provenance,
    /// Nobody reads below it: what is left there may have holes, and is not looked at.
    pub(crate) log_start: i64,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) producers: ProducerStates,
    pub(crate) epochs: Vec<EpochEntry>,
    pub(crate) report: &'a mut PartitionReport,
    pub(crate) damage: Option<Damage>,
    /// The end of what is sound; at first, where the log must begin.
    pub(crate) end: i64,
    /// Where the digest of the last segment says that the next begins.
    pub(crate) next: Option<i64>,
    /// The first segment that is not what it was at a clean close. What is durable is read only
    /// from there on.
    pub(crate) suspect: Option<usize>,
}

impl Recovery<'_> {
    /// Scans from the segment that holds the recovery point, or the log start behind it, on.
    pub(crate) fn run(&mut self) -> Result<()> {
        let holds =
            |offset| self.segments.partition_point(|s| s.base_offset <= offset).saturating_sub(1);
        let suspect = self.suspect.map_or(usize::MAX, |at| at.saturating_sub(1));
        let first = holds(self.recovery_point.max(self.log_start)).min(suspect);
        let first = first.max(holds(self.log_start));
        if let Some(segment) = self.segments.get(first).filter(|_| first > 0) {
            self.end = segment.base_offset;
        }
        let mut index = first;
        while let Some(segment) = self.segments.get(index).cloned() {
            if let Some((bad, rebuilt)) = self.check_segment(&segment, index)? {
                self.stop_at(&segment, index, &bad, rebuilt)?;
                break;
            }
            index += 1;
        }
        // A stored recovery point past the last good batch: bytes that were durable are gone.
        let explained = self.damage.is_some() || self.report.truncated.is_some();
        // Those below the log start may go at any time, also in an open that was interrupted.
        let needed = self.end.max(self.log_start);
        if !explained && needed < self.recovery_point && !self.segments.is_empty() {
            self.missing_tail()?;
        }
        self.rewrite(first)
    }

    /// Reads one segment. `Some` if it does not end well; what was learned up to there comes along.
    fn check_segment(
        &mut self,
        segment: &Arc<Segment>,
        index: usize,
    ) -> Result<Option<(BadBatch, Rebuilt)>> {
        let mut rebuilt = Rebuilt {
            index: IndexBuilder::new(segment.base_offset, self.index_interval),
            aborted: Vec::new(),
        };
        let is_first_scanned = self.end == segment.base_offset;
        let gap = self.provenance.is_continuous(segment.base_offset) && !is_first_scanned;
        let is_missed = self.next.take().is_some_and(|next| next != segment.base_offset);
        if gap || is_missed || segment.base_offset < self.end {
            let reason = format!("the segment begins at {}, not there", segment.base_offset);
            let next_offset = Some(self.end);
            // Whoever writes a digest has synced what follows.
            let never_torn = is_missed && index > 0;
            let bad = BadBatch { position: 0, next_offset, reason, never_torn };
            return Ok(Some((bad, rebuilt)));
        }
        self.end = segment.base_offset;
        let demand = Demand { crc: true, ..segment.demand() };
        let source = Source::file(segment.file().clone());
        let expect = Expect::Next(segment.base_offset);
        let scanner = Scanner::new(source, 0, segment.size(), expect, demand);
        let mut scanner = scanner.with_digest(segment.digest()?);
        let bad = loop {
            match scanner.next() {
                Ok(Some(scanned)) => {
                    let header = scanned.batch.header();
                    rebuilt.index.add(header, scanned.position);
                    rebuilt.aborted.extend(replay(&mut self.producers, &scanned.batch));
                    self.note_epoch(header);
                    self.end = header.next_offset();
                }
                Ok(None) => break None,
                Err(Stop::Bad(bad)) => break Some(bad),
                Err(Stop::Io(error)) => return Err(error.on(&self.report.topic_partition)),
            }
        };
        self.report.scanned_bytes += scanner.position();
        let bad = match bad {
            Some(bad)
                if self.is_torn(segment, &bad)? && is_ahead(segment.file(), bad.position)? =>
            {
                // Synced with what is written again.
                segment.file().set_len(bad.position)?;
                segment.publish_size(bad.position);
                None
            }
            bad => bad,
        };
        match bad {
            Some(bad) => Ok(Some((bad, rebuilt))),
            None => {
                self.next = segment.digest()?.map(|digest| digest.next);
                let active = index + 1 == self.segments.len();
                segment.install(rebuilt, active);
                Ok(None)
            }
        }
    }

    fn note_epoch(&mut self, header: &BatchHeader) {
        if let Some(epoch) = header.leader_epoch()
            && self.epochs.last().is_none_or(|last| epoch > last.epoch)
        {
            self.epochs.push(EpochEntry { epoch, start_offset: header.base_offset() });
        }
    }

    /// Whether bad bytes at `self.end` were never durable.
    fn is_torn(&self, segment: &Segment, bad: &BadBatch) -> Result<bool> {
        // What compaction went over was durable, also above a recovery point that is out of date.
        let past = self.end >= self.recovery_point && !bad.never_torn;
        Ok(past && segment.digest()?.is_none())
    }

    /// Bad bytes at `self.end`: a torn tail is cut, damage is left or cut as the user chose.
    fn stop_at(
        &mut self,
        segment: &Arc<Segment>,
        index: usize,
        bad: &BadBatch,
        rebuilt: Rebuilt,
    ) -> Result<()> {
        if self.is_torn(segment, bad)? || self.on_damage == OnDamage::Truncate {
            // A segment that does not begin where the log ends cannot take the next append: it goes
            // as a whole, and the one before it, if there is one, is the last.
            let whole = bad.position == 0 && segment.base_offset != self.end;
            self.cut(segment, index, bad, whole)?;
            if !whole {
                segment.publish_size(bad.position);
                segment.install(rebuilt, true);
            }
            return Ok(());
        }
        self.found_damage(segment, bad.position, bad.reason.clone())?;
        segment.publish_size(bad.position);
        segment.install(rebuilt, false);
        self.segments.truncate(index + 1);
        Ok(())
    }

    /// The log ends before its recovery point though every byte that is there is sound.
    fn missing_tail(&mut self) -> Result<()> {
        let Some(last) = self.segments.last().cloned() else { return Ok(()) };
        let reason = format!("the log ends there, but was durable up to {}", self.recovery_point);
        if self.on_damage == OnDamage::Truncate {
            self.report.truncated =
                Some(Truncation { offset: self.end, bytes: 0, reason, kept_in: None });
            return Ok(());
        }
        self.found_damage(&last, last.size(), reason)
    }

    fn found_damage(&mut self, segment: &Segment, position: u64, reason: String) -> Result<()> {
        let damage = Damage {
            offset: self.end,
            path: segment.file().path().to_path_buf(),
            position,
            reason,
        };
        if self.on_damage == OnDamage::Refuse {
            return Err(damage.error(&self.report.topic_partition));
        }
        self.report.damaged = Some(damage.report());
        self.damage = Some(damage);
        Ok(())
    }

    /// Cuts the log at `bad`. Later segments go first, newest first: a crash in between leaves the
    /// bad bytes in place, and the next open cuts again.
    /// With `whole` the segment of the bad bytes goes too.
    fn cut(
        &mut self,
        segment: &Arc<Segment>,
        index: usize,
        bad: &BadBatch,
        whole: bool,
    ) -> Result<()> {
        let storage = &self.context.storage;
        let mut bytes = segment.size() - bad.position;
        let mut later: Vec<Arc<Segment>> = self.segments.drain(index + 1..).collect();
        bytes += later.iter().map(|s| s.size()).sum::<u64>();
        let kept_in = self.keep(segment, bad.position, &later)?;
        if whole {
            self.segments.truncate(index);
            later.insert(0, Arc::clone(segment));
        }
        for segment in later.iter().rev() {
            for kind in [
                SegmentFile::Log,
                SegmentFile::OffsetIndex,
                SegmentFile::TimeIndex,
                SegmentFile::TxnIndex,
                SegmentFile::Digest,
            ] {
                storage.remove_if_exists(&FilePath::within(
                    self.dir,
                    kind.name(segment.base_offset),
                ))?;
            }
            storage.sync_dir(Some(self.dir))?;
        }
        if !whole {
            segment.remove_digest()?;
            segment.file().set_len(bad.position)?;
            segment.file().sync()?;
        }
        self.report.truncated =
            Some(Truncation { offset: self.end, bytes, reason: bad.reason.clone(), kept_in });
        Ok(())
    }

    /// Keeps the bytes that will be cut if there are whole batches among them.
    fn keep(
        &self,
        segment: &Segment,
        position: u64,
        later: &[Arc<Segment>],
    ) -> Result<Option<std::path::PathBuf>> {
        let storage = &self.context.storage;
        let parts: Vec<(&Segment, u64)> =
            std::iter::once((segment, position)).chain(later.iter().map(|s| (&**s, 0))).collect();
        let mut left = SIDE_FILE_BYTES_MAX;
        let mut blocks: Vec<Bytes> = Vec::new();
        let mut worth_keeping = false;
        let mut search = BatchSearch::new(self.end);
        for (part, from) in parts {
            let len = (part.size() - from).min(left);
            left -= len;
            let block = part.file().read_at(from, usize::try_from(len).unwrap_or(usize::MAX))?;
            // In doubt they are kept.
            worth_keeping = worth_keeping || search.look(&block) != Sought::Nothing;
            blocks.push(block);
        }
        if !worth_keeping {
            return Ok(None);
        }
        let Some(name) = FileName::new(&format!("{SIDE_FILE_PREFIX}{:020}", self.end)) else {
            return Ok(None);
        };
        let path = FilePath::within(self.dir, name.clone());
        let total: u64 = blocks.iter().map(|block| block.len() as u64).sum();
        if let Some(file) = storage.open_if_exists(&path, Open::Read)?
            && file.len()? > total
        {
            // A cut that was interrupted when some of the segments had gone: that kept them all.
            return Ok(Some(file.path().to_path_buf()));
        }
        storage.remove_if_exists(&path)?;
        let file = storage.open(&path, Open::CreateNew)?;
        let mut at = 0;
        for block in blocks {
            file.write_all_at(at, &block)?;
            at += block.len() as u64;
        }
        file.sync()?;
        storage.sync_dir(Some(self.dir))?;
        // The newest side file stays until the user removes it; older ones go.
        for entry in storage.list(Some(self.dir))? {
            if let Some(old) = entry.name
                && old != name
                && old.as_str().starts_with(SIDE_FILE_PREFIX)
            {
                storage.remove_if_exists(&FilePath::within(self.dir, old))?;
            }
        }
        Ok(Some(file.path().to_path_buf()))
    }

    /// Writes what stays past the recovery point again, and syncs it.
    fn rewrite(&mut self, first: usize) -> Result<()> {
        let mut wrote = false;
        for segment in self.segments.iter().skip(first) {
            let from = if segment.base_offset >= self.recovery_point {
                0
            } else {
                let start = segment.find_offset(self.recovery_point, false)?;
                // Everything in and before the batch with the recovery point was durable.
                start.position
            };
            let mut position = from;
            while position < segment.size() {
                let len = (segment.size() - position).min(REWRITE_BYTES);
                let len = usize::try_from(len).unwrap_or(0);
                let block = segment.file().read_exact_at(position, len)?;
                segment.file().write_all_at(position, &block)?;
                position += len as u64;
                self.report.rewritten_bytes += len as u64;
            }
            segment.file().sync()?;
            wrote = true;
        }
        if wrote {
            self.context.storage.sync_dir(Some(self.dir))?;
        }
        Ok(())
    }
}
