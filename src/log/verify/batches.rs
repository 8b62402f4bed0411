//! The batches of a partition, read once from the first to the last.

use std::path::Path;
use std::sync::Arc;

use super::aborts::{Aborts, Knowledge};
use super::about::About;
use super::epochs::Epochs;
use super::finding::{Findings, Weight};
use super::offsets::OffsetCheck;
use super::snapshots::lies;
use super::times::TimeCheck;
use crate::error::Result;
use crate::log::ahead::is_ahead;
use crate::log::digest::Digest;
use crate::log::names::SegmentFile;
use crate::log::producers::{ProducerSnapshotEntry, ProducerStates};
use crate::log::replay::replay;
use crate::log::scan::{BadBatch, Demand, Expect, Scanned, Scanner, Source, Stop};
use crate::log::tail::{BatchSearch, Sought};
use crate::record::{ControlRecord, Corruption, RecordBatch};
use crate::storage::{File, FileName, FilePath, Open, Storage};

/// A snapshot holds 46 bytes a producer; this is a million and a half of them.
const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// So far behind bad bytes sound batches are looked for: a batch is rarely larger.
const LOOK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A segment that is about to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) base: i64,
    /// Where the next one begins; none behind the newest.
    pub(super) next: Option<i64>,
    /// Nothing vouches for its indexes, and nobody believes them.
    pub(super) unproven: bool,
}

/// The walk over all batches, and what it has learned so far.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    about: &'a About<'a>,
    storage: &'a Storage,
    dir: &'a FileName,
    epochs: Epochs,
    begin: i64,
    /// The offset that follows the last batch.
    pub(super) end: i64,
    /// No segment was damaged so far.
    pub(super) whole: bool,
    gaps: bool,
    pub(super) states: ProducerStates,
    /// Offsets of the snapshots that are still to come.
    snapshots: std::iter::Peekable<std::vec::IntoIter<i64>>,
    /// A codec that is not built in has been told of.
    unavailable: Option<&'static str>,
}

/// The indexes of a segment while its batches pass by.
struct Indexes {
    offsets: Option<OffsetCheck>,
    times: Option<TimeCheck>,
    aborts: Aborts,
    weight: Weight,
}

impl<'a> Walk<'a> {
    /// `begin` is the base of the first segment; snapshots ascend.
    pub(super) fn new(
        about: &'a About<'a>,
        storage: &'a Storage,
        dir: &'a FileName,
        epochs: Epochs,
        begin: i64,
        snapshots: Vec<i64>,
    ) -> Self {
        Self {
            about,
            storage,
            dir,
            epochs,
            begin,
            end: begin,
            whole: true,
            gaps: false,
            states: ProducerStates::default(),
            snapshots: snapshots.into_iter().peekable(),
            unavailable: None,
        }
    }

    /// How much of what the derived files tell of was read.
    pub(super) fn known(&self) -> Knowledge {
        if self.gaps || !self.whole {
            Knowledge::Gaps
        } else if self.begin > 0 {
            Knowledge::Since
        } else {
            Knowledge::All
        }
    }

    fn file(&self, kind: SegmentFile, offset: i64) -> FilePath {
        FilePath::within(self.dir, kind.name(offset))
    }

    fn open(&self, kind: SegmentFile, base: i64) -> Result<Option<File>> {
        self.storage.open_if_exists(&self.file(kind, base), Open::Read)
    }

    /// Reads one segment; answers the length of its file.
    pub(super) fn segment(&mut self, segment: Segment, found: &mut Findings) -> Result<u64> {
        let Some(file) = self.open(SegmentFile::Log, segment.base)? else { return Ok(0) };
        let len = file.len()?;
        found.counts.segments += 1;
        self.begin_segment(segment.base, file.path(), found);
        let mut indexes = self.open_indexes(segment, found);
        let demand = Demand { crc: true, continuous: false, epoch: None };
        let source = Source::file(file.clone());
        let digest = self.digest(segment, found)?;
        let is_bare = digest.is_none();
        let scanner = Scanner::new(source, 0, len, Expect::Next(segment.base), demand);
        let mut scanner = scanner.with_digest(digest);
        loop {
            match scanner.next() {
                Ok(Some(scanned)) => {
                    self.batch(segment.base, &scanned, file.path(), &mut indexes, found)?;
                }
                Ok(None) => break,
                Err(Stop::Io(error)) => return Err(error),
                // Room that was written ahead.
                Err(Stop::Bad(bad))
                    if is_bare && self.may_be_cut() && is_ahead(&file, bad.position)? =>
                {
                    break;
                }
                Err(Stop::Bad(bad)) => {
                    self.bad(segment, &bad, &file, len, found)?;
                    return Ok(len);
                }
            }
        }
        self.finish_indexes(segment, indexes, found)?;
        Ok(len)
    }

    /// The digest of a segment, if it has one to be believed. While its owner compacts, the one
    /// that is there may be of another file.
    fn digest(&self, segment: Segment, found: &mut Findings) -> Result<Option<Arc<Digest>>> {
        let name = SegmentFile::Digest.name(segment.base);
        if self.about.owned || self.about.provenance.is_continuous(segment.base) {
            return Ok(None);
        }
        let digest = Digest::load(self.storage, self.dir, name.clone(), segment.base)?;
        let path = FilePath::within(self.dir, name);
        let Some(digest) = digest else {
            if let Some(file) = self.storage.open_if_exists(&path, Open::Read)? {
                found.tell(Weight::Note, file.path(), None, "it is no digest, and proves nothing");
            }
            return Ok(None);
        };
        if let Some(next) = segment.next.filter(|next| *next != digest.next) {
            let what = format!("the next segment begins at {next}, not at {}", digest.next);
            found.finding(&self.storage.path_of(&path), None, what);
        }
        Ok(Some(Arc::new(digest)))
    }

    /// Compares the base of a segment with the end of what came before.
    fn begin_segment(&mut self, base: i64, path: &Path, found: &mut Findings) {
        let end = self.end;
        if base < end {
            let what = format!("the segment begins at {base}, the one before ends at {end}");
            found.finding(path, Some(0), what);
            self.whole = false;
        } else if base > end {
            // What lies below the log start may be half removed.
            let is_read = self.about.log_start.is_none_or(|start| start < base);
            if self.about.provenance.is_continuous(base) && is_read && self.whole {
                let what = format!("the segment begins at {base}, but {end} is next");
                found.finding(path, Some(0), what);
            }
            self.gaps = true;
        }
        self.end = base;
    }

    fn batch(
        &mut self,
        base: i64,
        scanned: &Scanned,
        path: &Path,
        indexes: &mut Indexes,
        found: &mut Findings,
    ) -> Result<()> {
        let Scanned { position, batch } = scanned;
        let (position, header) = (*position, batch.header());
        if self.about.provenance.is_continuous(base) && header.base_offset() != self.end {
            let what =
                format!("it claims offset {}, but {} is next", header.base_offset(), self.end);
            found.finding(path, Some(position), what);
        }
        if header.last_offset().saturating_sub(base) > i64::from(i32::MAX) {
            let what = format!("offset {} is too far from the base", header.last_offset());
            found.finding(path, Some(position), what);
        }
        let range = i64::from(header.last_offset_delta()).saturating_add(1);
        let is_full = i64::try_from(header.records_count()).is_ok_and(|count| count == range);
        if self.about.provenance.is_continuous(base) && !is_full {
            let count = header.records_count();
            let what = format!("it holds {count} records for {range} offsets");
            found.finding(path, Some(position), what);
        }
        self.gaps |= header.base_offset() != self.end || !is_full;
        self.check_snapshots(header.base_offset(), found)?;
        self.epochs.check(header, path, position, found);
        self.records(batch, path, position, found);
        let ended = replay(&mut self.states, batch);
        indexes.aborts.batch(batch, ended);
        if let Some(offsets) = &mut indexes.offsets {
            offsets.batch(position, header, found)?;
        }
        if let Some(times) = &mut indexes.times {
            times.batch(header, found)?;
        }
        self.end = header.next_offset();
        found.counts.batches += 1;
        found.counts.bytes += header.size() as u64;
        Ok(())
    }

    fn records(&mut self, batch: &RecordBatch, path: &Path, at: u64, found: &mut Findings) {
        let records = match batch.records() {
            Ok(records) => records,
            Err(error) => {
                if let Corruption::CompressionUnavailable(codec) = error.reason() {
                    if self.unavailable.replace(codec) != Some(codec) {
                        let what = format!("{error}; such batches are not looked into");
                        found.tell(Weight::Note, path, Some(at), what);
                    }
                } else {
                    let at = at.saturating_add(error.position() as u64);
                    found.finding(path, Some(at), error.to_string());
                }
                return;
            }
        };
        found.counts.records += records.len() as u64;
        let mut before = None;
        for record in &records {
            if before.is_some_and(|before| before >= record.offset()) {
                let what = format!("record {} does not come in order", record.offset());
                found.finding(path, Some(at), what);
            }
            before = Some(record.offset());
            if batch.header().is_control()
                && let Err(error) =
                    ControlRecord::parse(record.key().unwrap_or_default(), record.value())
            {
                let what = format!("control record {}: {error}", record.offset());
                found.finding(path, Some(at), what);
            }
        }
    }

    /// Whether the next open may cut off what comes now.
    fn may_be_cut(&self) -> bool {
        !self.about.clean && self.end >= self.about.recovery_point.unwrap_or(0)
    }

    /// Bytes that are not the batch that should be there.
    fn bad(
        &mut self,
        segment: Segment,
        bad: &BadBatch,
        file: &File,
        len: u64,
        found: &mut Findings,
    ) -> Result<()> {
        self.whole = false;
        let left = len.saturating_sub(bad.position);
        let behind = || file.read_at(bad.position.saturating_add(1), LOOK_BYTES_MAX);
        let is_tail =
            segment.next.is_none() && BatchSearch::new(self.end).look(&behind()?) != Sought::Batch;
        let (weight, what) = if is_tail && self.about.owned {
            (Weight::Nothing, String::new())
        } else if is_tail && self.may_be_cut() {
            let what = format!("the last {left} bytes are no batch; the next open cuts them off");
            (Weight::Note, format!("{what} ({})", bad.reason))
        } else {
            (Weight::Finding, bad.reason.clone())
        };
        found.tell(weight, file.path(), Some(bad.position), what);
        Ok(())
    }

    fn open_indexes(&self, segment: Segment, found: &mut Findings) -> Indexes {
        let weight = match segment.next {
            // Its owner writes them when it is full.
            None if self.about.owned => Weight::Nothing,
            _ if segment.unproven => Weight::Note,
            next => self.about.derived(next.unwrap_or(i64::MAX)),
        };
        // Kafka keeps room in the indexes of the segment it appends to.
        let is_growing = segment.next.is_none() && !self.about.clean;
        let weights = (weight, if is_growing { Weight::Nothing } else { weight });
        let exact = self.about.provenance.is_ours();
        let mut indexes = Indexes { offsets: None, times: None, aborts: Aborts::default(), weight };
        if weight == Weight::Nothing {
            return indexes;
        }
        let base = segment.base;
        match self.open(SegmentFile::OffsetIndex, base) {
            Ok(Some(file)) => match OffsetCheck::new(file, base, exact, weights, found) {
                Ok(check) => indexes.offsets = Some(check),
                Err(error) => self.unreadable(SegmentFile::OffsetIndex, base, &error, found),
            },
            Ok(None) => self.missing(SegmentFile::OffsetIndex, base, found),
            Err(error) => self.unreadable(SegmentFile::OffsetIndex, base, &error, found),
        }
        match self.open(SegmentFile::TimeIndex, base) {
            Ok(Some(file)) => match TimeCheck::new(file, base, exact, weights, found) {
                Ok(check) => indexes.times = Some(check),
                Err(error) => self.unreadable(SegmentFile::TimeIndex, base, &error, found),
            },
            Ok(None) => self.missing(SegmentFile::TimeIndex, base, found),
            Err(error) => self.unreadable(SegmentFile::TimeIndex, base, &error, found),
        }
        indexes
    }

    fn missing(&self, kind: SegmentFile, base: i64, found: &mut Findings) {
        if self.about.clean {
            let path = self.storage.path_of(&self.file(kind, base));
            found.note(&path, "it is missing and will be rebuilt when it is needed");
        }
    }

    fn unreadable(
        &self,
        kind: SegmentFile,
        base: i64,
        error: &crate::error::Error,
        found: &mut Findings,
    ) {
        found.finding(&self.storage.path_of(&self.file(kind, base)), None, error.to_string());
    }

    fn finish_indexes(
        &self,
        segment: Segment,
        indexes: Indexes,
        found: &mut Findings,
    ) -> Result<()> {
        let Indexes { offsets, times, aborts, weight } = indexes;
        if let Some(offsets) = offsets {
            offsets.finish(found)?;
        }
        if let Some(times) = times {
            times.finish(self.end, found)?;
        }
        if weight == Weight::Nothing {
            return Ok(());
        }
        let (base, kind) = (segment.base, SegmentFile::TxnIndex);
        if let Some(file) = self.open(kind, base)? {
            aborts.check(file, (base, self.end), self.known(), weight, found)?;
        } else if aborts.is_expected(self.known()) {
            let path = self.storage.path_of(&self.file(kind, base));
            let what = "it is missing, but transactions were aborted in this segment";
            found.tell(weight, &path, None, what);
        }
        Ok(())
    }

    /// Checks the snapshots of offsets up to this one; the next batch begins there or behind.
    fn check_snapshots(&mut self, upto: i64, found: &mut Findings) -> Result<()> {
        while let Some(offset) = self.snapshots.next_if(|offset| *offset <= upto) {
            let path = self.file(SegmentFile::Snapshot, offset);
            let Some(bytes) = self.storage.read_all(&path, SNAPSHOT_BYTES_MAX)? else { continue };
            let shown = self.storage.path_of(&path);
            let weight = self.about.derived(offset);
            let entries = bytes.ok().and_then(|bytes| ProducerSnapshotEntry::read_all(&bytes));
            let Some(entries) = entries else {
                found.tell(weight, &shown, None, "its checksum, length or version is wrong");
                continue;
            };
            // One at or below the beginning tells of producers whose batches are gone.
            if offset > self.begin || self.begin == 0 {
                for lie in lies(&entries, &self.states, self.known()) {
                    found.tell(weight, &shown, None, lie);
                }
            }
        }
        Ok(())
    }

    /// The last segment was read.
    pub(super) fn finish(&mut self, found: &mut Findings) -> Result<()> {
        self.check_snapshots(self.end, found)?;
        let whole = self.whole;
        let later: Vec<i64> = self.snapshots.by_ref().collect();
        for offset in later.into_iter().filter(|_| whole) {
            let shown = self.storage.path_of(&self.file(SegmentFile::Snapshot, offset));
            let what = format!("it is of offset {offset}, but the log ends at {}", self.end);
            found.tell(self.about.crashed(), &shown, None, what);
        }
        Ok(())
    }
}
