//! One segment: a `.log` file, what is known of its end, and its indexes.
//!
//! The last segment of a log is *active*: its index grows in memory and its end is published after
//! every write. A *sealed* segment never changes: its index is a file, read when first needed and
//! checked before it is believed, and its data may be mapped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use self::mapped::Mapped;
use super::context::{LogContext, Unmap as _};
use super::digest::Digest;
use super::index::{
    self, IndexBuilder, OFFSET_ENTRY_LEN, OffsetIndexEntry, TIME_ENTRY_LEN, TimeIndexEntry,
};
use super::names::SegmentFile;
use super::scan::{Demand, Expect, Scanner, Source, Stop};
use super::transactions::{self, AbortedTxn};
use crate::error::Result;
use crate::metrics::count;
use crate::record::{BATCH_HEADER_LEN, BatchHeader};
use crate::storage::{File, FileName, FilePath, Open, TooLarge};

mod derived;

mod digested;

mod mapped;

mod pick;

pub(crate) use pick::Picked;

/// Index files are read whole; Kafka's largest possible one is 2 GiB.
const INDEX_BYTES_MAX: usize = i32::MAX as usize;

/// Checksums of a sealed segment's derived files, kept in the manifest of a clean close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexProof {
    pub(crate) offset: u32,
    pub(crate) time: u32,
    /// `None` when the segment has no transaction index.
    pub(crate) txn: Option<u32>,
}

/// How far the index files of a segment are to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// If they have these checksums.
    Proven(IndexProof),
    /// If they are plausible: a directory that Kafka closed cleanly.
    Plausible,
    /// Not at all: they are rebuilt from the log when first needed.
    Never,
}

#[derive(Debug)]
enum Index {
    /// Not looked at yet.
    OnDisk(Trust),
    /// The active segment's, growing.
    Growing(IndexBuilder),
    /// A sealed segment's.
    Loaded {
        offset: Bytes,
        time: Bytes,
        /// The files do not hold this yet.
        unsaved: bool,
    },
}

/// Whether a segment has a digest.
#[derive(Debug)]
enum Digested {
    /// Not looked at yet.
    OnDisk,
    Known(Option<Arc<Digest>>),
}

/// A segment of a partition's log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    /// How often compaction has put another file in its place since the log was opened.
    pub(crate) revision: u32,
    context: Arc<LogContext>,
    dir: FileName,
    file: File,
    /// Bytes of whole batches; a reader may read below it without any lock.
    size: AtomicU64,
    sealed: AtomicBool,
    /// Leaf lock: held for lookups and while an index is loaded or rebuilt.
    index: Mutex<Index>,
    /// Leaf lock. The abort markers in this segment; `None` until loaded.
    aborted: Mutex<Option<Vec<AbortedTxn>>>,
    /// Leaf lock: held while the segment is mapped.
    map: Mutex<Option<Mapped>>,
    /// Leaf lock.
    digest: Mutex<Digested>,
    /// It was found to reach to where the next one begins.
    joined: AtomicBool,
    /// How far the derived files that were found are to be believed.
    trust: Trust,
    index_interval: u64,
    demand: Demand,
}

/// Where a lookup found a batch to begin scanning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScanStart {
    pub(crate) position: u64,
    pub(crate) expect: Expect,
}

/// What a rebuild or recovery learned of a segment.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    pub(crate) index: IndexBuilder,
    pub(crate) aborted: Vec<AbortedTxn>,
}

impl Segment {
    /// Makes the file of a new active segment. Its directory entry is not durable yet.
    pub(crate) fn create(
        context: &Arc<LogContext>,
        dir: &FileName,
        base_offset: i64,
        index_interval: u64,
        demand: Demand,
    ) -> Result<Self> {
        let path = FilePath::within(dir, SegmentFile::Log.name(base_offset));
        let file = context.storage.open(&path, Open::CreateNew)?;
        let index = Index::Growing(IndexBuilder::new(base_offset, index_interval));
        Ok(Self {
            base_offset,
            revision: 0,
            context: Arc::clone(context),
            dir: dir.clone(),
            file,
            size: AtomicU64::new(0),
            sealed: AtomicBool::new(false),
            index: Mutex::new(index),
            aborted: Mutex::new(Some(Vec::new())),
            map: Mutex::new(None),
            digest: Mutex::new(Digested::Known(None)),
            joined: AtomicBool::new(false),
            trust: Trust::Never,
            index_interval,
            demand,
        })
    }

    /// Takes an existing file whose first `size` bytes are whole batches.
    pub(crate) fn existing(
        context: &Arc<LogContext>,
        dir: &FileName,
        base_offset: i64,
        (file, size): (File, u64),
        trust: Trust,
        index_interval: u64,
        demand: Demand,
    ) -> Self {
        Self {
            base_offset,
            revision: 0,
            context: Arc::clone(context),
            dir: dir.clone(),
            file,
            size: AtomicU64::new(size),
            sealed: AtomicBool::new(true),
            index: Mutex::new(Index::OnDisk(trust)),
            aborted: Mutex::new(None),
            map: Mutex::new(None),
            digest: Mutex::new(Digested::OnDisk),
            joined: AtomicBool::new(false),
            trust,
            index_interval,
            demand,
        }
    }

    /// A segment that compaction wrote, with the files that go with it.
    pub(crate) fn cleaned(
        context: &Arc<LogContext>,
        dir: &FileName,
        (file, size): (File, u64),
        (contents, digest): (Rebuilt, Arc<Digest>),
        (base_offset, revision): (i64, u32),
        demand: Demand,
    ) -> Self {
        let interval = contents.index.interval();
        let from = (file, size);
        let mut new =
            Self::existing(context, dir, base_offset, from, Trust::Never, interval, demand);
        new.revision = revision;
        new.digest = Mutex::new(Digested::Known(Some(digest)));
        new.install(contents, false);
        if let Index::Loaded { unsaved, .. } = &mut *new.index.lock() {
            *unsaved = false;
        }
        new
    }

    /// The largest timestamp of the first batch, if there is one that has any.
    pub(crate) fn first_timestamp(self: &Arc<Self>) -> Result<Option<i64>> {
        let mut scanner = self.scan(self.start(), false)?;
        Ok(match scanner.next() {
            Ok(Some(first)) => first.batch.header().max_timestamp(),
            _ => None,
        })
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Publishes more bytes of whole batches.
    pub(crate) fn publish_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    pub(crate) fn demand(&self) -> Demand {
        self.demand
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// The beginning of the segment.
    pub(crate) fn start(&self) -> ScanStart {
        ScanStart { position: 0, expect: Expect::Next(self.base_offset) }
    }

    /// The place to begin scanning for `offset`. With `fresh` the index is rebuilt first: the one
    /// that was there proved to be wrong.
    pub(crate) fn find_offset(self: &Arc<Self>, offset: i64, fresh: bool) -> Result<ScanStart> {
        if offset <= self.base_offset && !fresh {
            return Ok(self.start());
        }
        let relative = offset.saturating_sub(self.base_offset);
        let found = self.with_index(fresh, |bytes, _| index::offset_floor(bytes, relative))?;
        Ok(found.map_or(self.start(), |entry| self.at(entry)))
    }

    /// The place to begin scanning for a timestamp; `None` when the whole segment is older.
    pub(crate) fn find_time(self: &Arc<Self>, timestamp: i64) -> Result<Option<ScanStart>> {
        if self.max_timestamp()?.is_none_or(|(max, _)| max < timestamp) {
            return Ok(None);
        }
        let found = self.with_index(false, |offsets, times| {
            let entry = index::time_floor(times, timestamp)?;
            index::offset_floor(offsets, i64::from(entry.relative_offset))
        })?;
        Ok(Some(found.map_or(self.start(), |entry| self.at(entry))))
    }

    fn at(&self, entry: OffsetIndexEntry) -> ScanStart {
        ScanStart {
            position: u64::try_from(entry.position).unwrap_or(0),
            expect: Expect::EndsAt(
                self.base_offset.saturating_add(i64::from(entry.relative_offset)),
            ),
        }
    }

    /// The places that the index gives for `offset`: one to begin scanning at, and the next one,
    /// where a batch begins that ends at this offset or behind it. `None` before the index is read.
    fn around(&self, offset: i64) -> Option<(ScanStart, Option<ScanStart>)> {
        let index = self.index.lock();
        let bytes = match &*index {
            Index::Growing(builder) => builder.offset_bytes(),
            Index::Loaded { offset, .. } => offset,
            Index::OnDisk(_) => return None,
        };
        let (below, next) = index::offset_around(bytes, offset.saturating_sub(self.base_offset));
        Some((below.map_or(self.start(), |entry| self.at(entry)), next.map(|entry| self.at(entry))))
    }

    /// The largest timestamp and the last offset of the first batch that has it.
    pub(crate) fn max_timestamp(self: &Arc<Self>) -> Result<Option<(i64, i64)>> {
        if let Index::Growing(builder) = &*self.index.lock() {
            return Ok(builder.max_timestamp());
        }
        let last =
            self.with_index(false, |_, times| TimeIndexEntry::read_all(times).next_back())?;
        Ok(last
            .map(|e| (e.timestamp, self.base_offset.saturating_add(i64::from(e.relative_offset)))))
    }

    fn with_index<T>(
        self: &Arc<Self>,
        fresh: bool,
        look: impl FnOnce(&[u8], &[u8]) -> T,
    ) -> Result<T> {
        let mut index = self.index.lock();
        if fresh && !matches!(*index, Index::Growing(_)) {
            *index = Index::OnDisk(Trust::Never);
        }
        if let Index::OnDisk(trust) = *index {
            let loaded = self.load(trust)?;
            let unsaved = loaded.is_none();
            let (offset, time) = match loaded {
                Some(files) => files,
                None => {
                    let mut builder = self.scan_index()?;
                    builder.finish();
                    count(self.context.counters.indexes_rebuilt());
                    let bytes = |b: &[u8]| Bytes::copy_from_slice(b);
                    (bytes(builder.offset_bytes()), bytes(builder.time_bytes()))
                }
            };
            *index = Index::Loaded { offset, time, unsaved };
        }
        Ok(match &*index {
            Index::Growing(builder) => look(builder.offset_bytes(), builder.time_bytes()),
            Index::Loaded { offset, time, .. } => look(offset, time),
            Index::OnDisk(_) => look(&[], &[]),
        })
    }

    /// The index files, if they may be believed.
    fn load(&self, trust: Trust) -> Result<Option<(Bytes, Bytes)>> {
        if trust == Trust::Never {
            return Ok(None);
        }
        let (Some(offset), Some(time)) = (
            self.read_derived(SegmentFile::OffsetIndex, OFFSET_ENTRY_LEN)?.and_then(Result::ok),
            self.read_derived(SegmentFile::TimeIndex, TIME_ENTRY_LEN)?.and_then(Result::ok),
        ) else {
            return Ok(None);
        };
        let believed = match trust {
            Trust::Proven(proof) => {
                crc32fast::hash(&offset) == proof.offset && crc32fast::hash(&time) == proof.time
            }
            Trust::Plausible => index::plausible(&offset, &time, self.size()),
            Trust::Never => false,
        };
        Ok(believed.then_some((offset, time)))
    }

    /// A file that holds at most an entry for each batch, and with the roll one more. A larger one
    /// is not read: it is none of this segment's.
    fn read_derived(
        &self,
        kind: SegmentFile,
        entry_len: usize,
    ) -> Result<Option<Result<Bytes, TooLarge>>> {
        let path = FilePath::within(&self.dir, kind.name(self.base_offset));
        let batches = self.size() / BATCH_HEADER_LEN as u64;
        let entries = usize::try_from(batches).unwrap_or(usize::MAX).saturating_add(1);
        let limit = entries.saturating_mul(entry_len).min(INDEX_BYTES_MAX);
        self.context.storage.read_all(&path, limit)
    }

    /// Reads the whole segment to rebuild its index. Stops quietly at damage: lookups then lead to
    /// the last sound batch before it, and the reader meets the damage there.
    fn scan_index(&self) -> Result<IndexBuilder> {
        let mut builder = IndexBuilder::new(self.base_offset, self.index_interval);
        let demand = Demand { crc: true, ..self.demand };
        let source = Source::file(self.file.clone());
        let start = self.start();
        let scanner = Scanner::new(source, 0, self.size(), start.expect, demand);
        let mut scanner = scanner.with_digest(self.digest()?);
        loop {
            match scanner.next() {
                Ok(Some(scanned)) => builder.add(scanned.batch.header(), scanned.position),
                Ok(None) | Err(Stop::Bad(_)) => return Ok(builder),
                Err(Stop::Io(error)) => return Err(error),
            }
        }
    }

    /// Makes the segment ready for appends: it becomes the active one, with a growing index.
    pub(crate) fn activate(self: &Arc<Self>) -> Result<()> {
        let mut index = self.index.lock();
        let builder = match &*index {
            Index::Growing(_) => None,
            Index::OnDisk(trust) => match self.load(*trust)? {
                Some((offset, time)) => Some(self.resume(&offset, &time)),
                None => Some(self.scan_index()?),
            },
            Index::Loaded { offset, time, .. } => Some(self.resume(offset, time)),
        };
        if let Some(builder) = builder {
            *index = Index::Growing(builder);
        }
        self.sealed.store(false, Ordering::Release);
        drop(index);
        self.unmap();
        Ok(())
    }

    fn resume(&self, offset: &[u8], time: &[u8]) -> IndexBuilder {
        IndexBuilder::resume(self.base_offset, self.index_interval, offset, time, self.size())
    }

    /// Installs what recovery learned while it read the segment anyway.
    pub(crate) fn install(&self, rebuilt: Rebuilt, active: bool) {
        let mut builder = rebuilt.index;
        let index = if active {
            Index::Growing(builder)
        } else {
            builder.finish();
            Index::Loaded {
                offset: Bytes::copy_from_slice(builder.offset_bytes()),
                time: Bytes::copy_from_slice(builder.time_bytes()),
                unsaved: true,
            }
        };
        *self.index.lock() = index;
        *self.aborted.lock() = Some(rebuilt.aborted);
        self.sealed.store(!active, Ordering::Release);
    }

    /// Ends the following of a segment that another process has finished: all its bytes count now.
    pub(crate) fn finish_following(&self, len: u64) {
        self.publish_size(len);
        self.sealed.store(true, Ordering::Release);
    }

    /// Takes note of a batch that was written at `position` of the active segment.
    pub(crate) fn add_to_index(&self, header: &BatchHeader, position: u64) {
        if let Index::Growing(builder) = &mut *self.index.lock() {
            builder.add(header, position);
        }
    }

    /// Whether the index may take no further entry.
    pub(crate) fn index_is_full(&self, limit: usize) -> bool {
        matches!(&*self.index.lock(), Index::Growing(builder) if builder.is_full(limit))
    }

    /// Ends the growth of the segment: its index gets the final time entry and becomes files. They
    /// are caches: failing to write one costs a rebuild later, nothing else.
    pub(crate) fn seal(&self) {
        let mut index = self.index.lock();
        if let Index::Growing(builder) = &mut *index {
            builder.finish();
            let offset = Bytes::copy_from_slice(builder.offset_bytes());
            let time = Bytes::copy_from_slice(builder.time_bytes());
            *index = Index::Loaded { offset, time, unsaved: true };
        }
        if let Index::Loaded { offset, time, unsaved } = &mut *index
            && std::mem::take(unsaved)
        {
            // The offset index last: who follows the directory takes it as a sign that the others
            // are written.
            match &*self.aborted.lock() {
                Some(aborted) if !aborted.is_empty() => {
                    self.write_derived(SegmentFile::TxnIndex, &transactions::encode(aborted));
                }
                // One that is there tells of aborts of which nothing is left.
                Some(_) => self.remove_derived(SegmentFile::TxnIndex),
                None => {}
            }
            self.write_derived(SegmentFile::TimeIndex, time);
            self.write_derived(SegmentFile::OffsetIndex, offset);
        }
        drop(index);
        self.sealed.store(true, Ordering::Release);
    }

    fn remove_derived(&self, kind: SegmentFile) {
        let path = FilePath::within(&self.dir, kind.name(self.base_offset));
        // What is left is not believed.
        let _ = self.context.storage.remove_if_exists(&path);
    }

    fn write_derived(&self, kind: SegmentFile, bytes: &[u8]) {
        let path = FilePath::within(&self.dir, kind.name(self.base_offset));
        self.context.write_derived(&path, bytes);
    }
}

const _: () = assert!(INDEX_BYTES_MAX > OFFSET_ENTRY_LEN);
