//! One cleaning of one log.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use super::super::digest::Digest;
use super::super::partition::{Halt, Log};
use super::super::producers::{LastBatch, ProducerStates};
use super::super::retention::newest_record;
use super::super::scan::{BadBatch, Demand, Expect, Scanned, Scanner, Source, Stop};
use super::super::segment::Segment;
use super::super::walk::damage;
use super::filter::{Filter, Left};
use super::groups::{Size, group};
use super::keys::LastOffsets;
use super::output::{CLEANED_SUFFIX, Output, remove};
use super::seen::SeenTxns;
use super::select::{Candidate, Cleanable, State, select};
use super::swap;
use crate::error::{Error, ErrorKind, Result};
use crate::trace::hold;
use crate::types::IsolationLevel;

/// What a cleaning is given.
pub(crate) struct CleanRequest<'a> {
    pub(crate) what: Cleanable,
    pub(crate) now_millis: i64,
    /// How many bytes the map of keys may take.
    pub(crate) map_bytes: usize,
    /// Whether to end now, without having done anything.
    pub(crate) must_stop: &'a dyn Fn() -> bool,
    /// Makes it known, durably, that segments that begin below an offset may have gaps.
    pub(crate) expect_gaps: &'a dyn Fn(i64) -> Result<()>,
}

/// What a cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cleaned {
    /// The log is clean up to here.
    pub(crate) end: i64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_left: u64,
    pub(crate) records_read: u64,
    pub(crate) records_left: u64,
}

/// Why a cleaning did not end.
#[derive(Debug)]
pub(crate) enum Unclean {
    /// It was told to stop, or somebody else is cleaning the log.
    Stopped,
    /// The log cannot be read there; cleaning it again would not help.
    Damaged(Error),
    /// Something failed; it may work later.
    Failed(Error),
}

impl From<Error> for Unclean {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Closed => Self::Stopped,
            ErrorKind::Io | ErrorKind::StorageFull => Self::Failed(error),
            _ => Self::Damaged(error),
        }
    }
}

type Outcome<T> = std::result::Result<T, Unclean>;

impl Log {
    /// What of the log can be cleaned. `first_dirty` is where the last cleaning ended; `None`
    /// before the first.
    pub(crate) fn cleanable(&self, first_dirty: Option<i64>, now_millis: i64) -> Result<Cleanable> {
        let config = self.config();
        let segments = self.segments();
        let (start, end) = (self.start_offset(), self.end_offset());
        let first_dirty = first_dirty.filter(|at| (start..=end).contains(at)).unwrap_or(start);
        let active_base = segments.last().map_or(end, |active| active.base_offset);
        let sealed = segments.get(..segments.len().saturating_sub(1)).unwrap_or_default();
        let dirty_from = Self::segment_of(sealed, first_dirty).unwrap_or(0);
        let mut candidates = Vec::with_capacity(sealed.len());
        for (index, segment) in sealed.iter().enumerate() {
            // Looking into a segment costs a read: only where it decides something.
            let is_dirty = index >= dirty_from;
            let by_newest = is_dirty && config.min_compaction_lag_ms > 0;
            let by_first = is_dirty && config.max_compaction_lag_ms < i64::MAX;
            candidates.push(Candidate {
                base_offset: segment.base_offset,
                size: segment.size(),
                newest: if by_newest { newest_record(segment)? } else { 0 },
                first: if by_first { segment.first_timestamp()? } else { None },
            });
        }
        let last_stable = self.readable_end(IsolationLevel::ReadCommitted);
        let state = State { sealed: &candidates, active_base, first_dirty, last_stable };
        Ok(select(&state, &config, now_millis))
    }

    /// Cleans the log up to where `request` says, or as far as the map of keys reaches. Appends and
    /// reads go on meanwhile.
    pub(crate) fn clean(&self, request: &CleanRequest<'_>) -> Outcome<Cleaned> {
        // A record goes because a later one has its key: that one must not be lost to a power cut.
        // Before the lock is taken: a sync may run user code.
        self.sync_to(request.what.end).map_err(Unclean::Failed)?;
        let _hold = hold();
        let Some(_upkeep) = self.upkeep.try_lock() else { return Err(Unclean::Stopped) };
        if (request.must_stop)() || self.halt().is_some() {
            return Err(Unclean::Stopped);
        }
        let segments = self.segments();
        let done = Cleaned::default();
        let mut pass =
            Pass { log: self, request, segments: &segments, done, unchanged: Vec::new() };
        let last = pass.read_keys()?;
        pass.done.end = last.end();
        if last.end() > request.what.first_dirty {
            pass.rewrite(&last)?;
        }
        Ok(pass.done)
    }

    /// The last batches of the producers that the log knows.
    fn last_batches(&self) -> Result<BTreeMap<i64, LastBatch>> {
        let mut writer = self.writer.lock();
        if writer.producers.is_none() {
            writer.producers = Some(self.load_producers()?);
        }
        Ok(writer.producers.as_ref().map(ProducerStates::last_batches).unwrap_or_default())
    }
}

struct Pass<'a> {
    log: &'a Log,
    request: &'a CleanRequest<'a>,
    segments: &'a [Arc<Segment>],
    done: Cleaned,
    /// What stayed as it was, with the digests of what was read.
    unchanged: Vec<(Arc<Segment>, Digest)>,
}

impl Pass<'_> {
    /// Reads the dirty part for the last offset of each key.
    fn read_keys(&self) -> Outcome<LastOffsets> {
        let what = &self.request.what;
        let random = &self.log.context.random;
        let hash_keys = (random.next_u64(), random.next_u64());
        let mut last = LastOffsets::new(self.request.map_bytes, hash_keys, what.first_dirty);
        let mut seen = SeenTxns::default();
        seen.expect(self.log.aborted_between(what.first_dirty, what.end)?);
        let first = Log::segment_of(self.segments, what.first_dirty).unwrap_or(0);
        for (index, segment) in self.segments.iter().enumerate().skip(first) {
            if segment.base_offset >= what.end {
                break;
            }
            let mut scanner = scanner(segment)?;
            while let Some(Scanned { position, batch }) = self.next(&mut scanner, segment)? {
                let header = batch.header();
                if header.last_offset() < what.first_dirty {
                    continue;
                }
                if last.is_full() {
                    return Ok(last);
                }
                if header.is_control() {
                    seen.end(&batch);
                } else if !seen.is_aborted(header) {
                    let records =
                        batch.records().map_err(|e| self.unreadable(segment, position, &e))?;
                    for record in records.iter().filter(|r| r.offset() >= what.first_dirty) {
                        if let Some(key) = record.key() {
                            last.add(key, record.offset());
                        }
                    }
                }
                last.read_up_to(header.next_offset());
            }
            // Offsets up to the next segment may all have gone in an earlier cleaning.
            if let Some(next) = self.segments.get(index + 1) {
                last.read_up_to(next.base_offset);
            }
        }
        Ok(last)
    }

    /// Writes what stays of everything below the end of what was read.
    fn rewrite(&mut self, last: &LastOffsets) -> Outcome<()> {
        let end = last.end().min(self.request.what.end);
        let count = self.segments.partition_point(|segment| segment.base_offset < end);
        let old = self.segments.get(..count).unwrap_or_default();
        // Where the segments end that will have gaps.
        let gaps_end = self.segments.get(count).map_or(end, |next| next.base_offset);
        let config = self.log.config();
        let mut sizes = Vec::with_capacity(count);
        for (index, segment) in old.iter().enumerate() {
            let rebuild = || Ok(self.log.replay_segment(self.segments, index)?.aborted);
            let (offset_index, time_index) = segment.hold(rebuild)?;
            let next = self.segments.get(index + 1);
            sizes.push(Size {
                base_offset: segment.base_offset,
                end: next.map_or(end, |next| next.base_offset),
                log: segment.size(),
                offset_index,
                time_index,
            });
        }
        let mut seen = SeenTxns::default();
        let mut rest = old;
        for members in group(&sizes, config.segment_bytes, config.segment_index_bytes) {
            let Some((members, later)) = rest.split_at_checked(members) else { break };
            rest = later;
            let written = self.rewrite_group(members, last, &mut seen, gaps_end);
            members.iter().for_each(|segment| segment.release());
            if let (Err(error), Some(first)) = (written, members.first()) {
                let storage = &self.log.context.storage;
                // A swap that stopped halfway needs what it has at the next open.
                if !matches!(self.log.halt(), Some(Halt::Poisoned(_))) {
                    // If it cannot go now, the next pass or open removes it.
                    let _ = remove(storage, &self.log.dir, first.base_offset, CLEANED_SUFFIX);
                }
                return Err(error);
            }
        }
        // What stayed as it was has no gaps, but nobody will know by its offset.
        for (segment, digest) in self.unchanged.drain(..) {
            if !self.log.provenance().is_continuous(segment.base_offset) && !segment.has_digest()? {
                // Without it the segment is as it was; the next cleaning writes it.
                let _ = segment.write_digest(&digest);
            }
        }
        Ok(())
    }

    /// Writes one new segment and puts it in the place of those it is made from, if they are not
    /// the same.
    fn rewrite_group(
        &mut self,
        old: &[Arc<Segment>],
        last: &LastOffsets,
        seen: &mut SeenTxns,
        gaps_end: i64,
    ) -> Outcome<()> {
        let (Some(first), Some(newest)) = (old.first(), old.last()) else { return Ok(()) };
        let producers = self.log.last_batches()?;
        let filter = Filter {
            last,
            segments_end: gaps_end,
            producers: &producers,
            now_millis: self.request.now_millis,
            delete_retention_ms: self.log.config().delete_retention_ms,
        };
        let mut output = Output::new(self.log, first.base_offset);
        let mut changed = old.len() > 1;
        for segment in old {
            let end = self.end_of(segment);
            seen.expect(self.log.aborted_between(segment.base_offset, end)?);
            let mut scanner = scanner(segment)?;
            while let Some(Scanned { position, batch }) = self.next(&mut scanner, segment)? {
                let (left, aborts) = filter
                    .apply(&batch, seen)
                    .map_err(|e| self.unreadable(segment, position, &e))?;
                self.done.bytes_read += batch.bytes().len() as u64;
                self.done.records_read += batch.header().records_count() as u64;
                if let Some(txn) = aborts {
                    output.push_aborted(txn);
                }
                let (header, bytes) = match &left {
                    Left::Whole => (batch.header(), &batch.bytes()[..]),
                    Left::Rewritten(sealed) => (sealed.header(), sealed.bytes()),
                    Left::Nothing => {
                        changed = true;
                        continue;
                    }
                };
                changed = changed || bytes != &batch.bytes()[..];
                self.done.bytes_left += bytes.len() as u64;
                self.done.records_left += header.records_count() as u64;
                output.push(header, bytes)?;
            }
        }
        let next = self.end_of(newest);
        if !changed {
            self.unchanged.push((Arc::clone(first), output.into_digest(next)));
            remove(&self.log.context.storage, &self.log.dir, first.base_offset, CLEANED_SUFFIX)?;
            return Ok(());
        }
        let modified = newest.file().modified_millis()?;
        let finished = output.finish(modified, next)?;
        (self.request.expect_gaps)(gaps_end)?;
        swap::replace(self.log, old, finished)?;
        Ok(())
    }

    fn end_of(&self, segment: &Segment) -> i64 {
        let next = self.segments.partition_point(|other| other.base_offset <= segment.base_offset);
        self.segments.get(next).map_or(i64::MAX, |next| next.base_offset)
    }

    /// The next batch of a segment, unless the cleaning is to end.
    fn next(&self, scanner: &mut Scanner, segment: &Segment) -> Outcome<Option<Scanned>> {
        if (self.request.must_stop)() || self.log.halt().is_some() {
            return Err(Unclean::Stopped);
        }
        match scanner.next() {
            Ok(next) => Ok(next),
            Err(Stop::Io(error)) => Err(Unclean::Failed(error.on(&self.log.tp))),
            Err(Stop::Bad(bad)) => Err(Unclean::Damaged(damage(&self.log.tp, segment, &bad))),
        }
    }

    /// A batch with a sound checksum whose records cannot be read.
    fn unreadable(&self, segment: &Segment, position: u64, reason: &dyn Display) -> Unclean {
        let bad =
            BadBatch { position, next_offset: None, reason: reason.to_string(), never_torn: false };
        Unclean::Damaged(damage(&self.log.tp, segment, &bad))
    }
}

/// The batches of a whole segment, read past the maps that readers use.
fn scanner(segment: &Arc<Segment>) -> Result<Scanner> {
    let demand = Demand { crc: true, ..segment.demand() };
    let source = Source::file(segment.file().clone());
    let expect = Expect::Next(segment.base_offset);
    let scanner = Scanner::new(source, 0, segment.size(), expect, demand);
    Ok(scanner.with_digest(segment.digest()?))
}
