//! A segment that compaction writes.

use std::sync::Arc;

use super::super::digest::{self, Digest, DigestBuilder};
use super::super::index::IndexBuilder;
use super::super::names::SegmentFile;
use super::super::segment::Rebuilt;
use super::super::transactions::{self, AbortedTxn};
use crate::error::Result;
use crate::log::Log;
use crate::record::BatchHeader;
use crate::storage::{File, FileName, FilePath, Open, Storage};

/// The end of the names of files that are being written.
pub(super) const CLEANED_SUFFIX: &str = ".cleaned";

/// How much is written at a time.
const WRITE_BYTES: usize = 256 * 1024;

/// The files of a segment that compaction may write, besides its digest.
pub(super) const KINDS: [SegmentFile; 4] =
    [SegmentFile::TxnIndex, SegmentFile::TimeIndex, SegmentFile::OffsetIndex, SegmentFile::Log];

/// A segment in the making.
pub(super) struct Output<'a> {
    log: &'a Log,
    base_offset: i64,
    /// Made when there is something to write: most of what is small does not change.
    file: Option<File>,
    /// What is not written yet.
    buffer: Vec<u8>,
    written: u64,
    /// The offset that follows its last batch.
    end: i64,
    contents: Rebuilt,
    digest: DigestBuilder,
}

/// A segment that is whole and durable, under names that end in `.cleaned`.
pub(super) struct Finished {
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) end: i64,
    pub(super) contents: Rebuilt,
    /// Under a name of its own until the segment has taken the place of others.
    pub(super) digest: Arc<Digest>,
}

impl<'a> Output<'a> {
    pub(super) fn new(log: &'a Log, base_offset: i64) -> Self {
        let index = IndexBuilder::new(base_offset, log.config().index_interval_bytes);
        Self {
            log,
            base_offset,
            file: None,
            buffer: Vec::new(),
            written: 0,
            end: base_offset,
            contents: Rebuilt { index, aborted: Vec::new() },
            digest: DigestBuilder::default(),
        }
    }

    /// Adds a batch behind those before it.
    pub(super) fn push(&mut self, header: &BatchHeader, bytes: &[u8]) -> Result<()> {
        self.contents.index.add(header, self.written + self.buffer.len() as u64);
        self.digest.add(bytes);
        self.buffer.extend_from_slice(bytes);
        self.end = header.next_offset();
        if self.buffer.len() < WRITE_BYTES {
            return Ok(());
        }
        self.write().map(|_| ())
    }

    /// Adds an aborted transaction of which something is left.
    pub(super) fn push_aborted(&mut self, txn: AbortedTxn) {
        self.contents.aborted.push(txn);
    }

    fn write(&mut self) -> Result<File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.create()?,
        };
        file.write_all_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.file = Some(file.clone());
        Ok(file)
    }

    fn create(&self) -> Result<File> {
        let (storage, dir) = (&self.log.context.storage, &self.log.dir);
        remove(storage, dir, self.base_offset, CLEANED_SUFFIX)?;
        let name = suffixed(SegmentFile::Log, self.base_offset, CLEANED_SUFFIX);
        storage.open(&FilePath::within(dir, name), Open::CreateNew)
    }

    /// The digest of what was added, which is what stood there before.
    pub(super) fn into_digest(self, next: i64) -> Digest {
        self.digest.finish(next)
    }

    /// Makes the segment durable. It is as old as the last of those it is made of; `next` is where
    /// the segment begins that follows.
    pub(super) fn finish(mut self, modified_millis: i64, next: i64) -> Result<Finished> {
        let file = self.write()?;
        self.contents.index.finish();
        let index = &self.contents.index;
        let txns = transactions::encode(&self.contents.aborted);
        for (kind, bytes) in [
            (SegmentFile::OffsetIndex, index.offset_bytes()),
            (SegmentFile::TimeIndex, index.time_bytes()),
            (SegmentFile::TxnIndex, &txns[..]),
        ] {
            if kind != SegmentFile::TxnIndex || !bytes.is_empty() {
                let name = suffixed(kind, self.base_offset, CLEANED_SUFFIX);
                let path = FilePath::within(&self.log.dir, name);
                let file = self.log.context.storage.open(&path, Open::CreateNew)?;
                file.write_all_at(0, bytes)?;
                file.sync()?;
            }
        }
        file.sync()?;
        let digest = self.digest.finish(next);
        let (storage, waiting) =
            (&self.log.context.storage, digest::waiting_name(self.base_offset));
        digest.write(storage, &self.log.dir, waiting, self.base_offset)?;
        // Only retention of records without timestamps looks at it.
        let _ = file.set_modified_millis(modified_millis);
        let (size, end, contents) = (self.written, self.end, self.contents);
        Ok(Finished { file, size, end, contents, digest: Arc::new(digest) })
    }
}

/// The name of a segment's file with a suffix.
pub(super) fn suffixed(kind: SegmentFile, base_offset: i64, suffix: &str) -> FileName {
    let name = kind.name(base_offset);
    // Short enough and without separators.
    FileName::new(&format!("{}{suffix}", name.as_str())).unwrap_or(name)
}

/// Removes a segment's files of a suffix, if there are any.
pub(super) fn remove(
    storage: &Storage,
    dir: &FileName,
    base_offset: i64,
    suffix: &str,
) -> Result<()> {
    for kind in KINDS {
        let name = suffixed(kind, base_offset, suffix);
        storage.remove_if_exists(&FilePath::within(dir, name))?;
    }
    storage.remove_if_exists(&FilePath::within(dir, digest::waiting_name(base_offset)))?;
    Ok(())
}
