//! Walks the batches of a segment file from a position on, checking each as it goes.

use std::sync::Arc;

use bytes::Bytes;

use super::digest::Digest;
use crate::error::Error;
use crate::record::{
    BATCH_HEADER_LEN, BatchHeader, DECOMPRESSED_BYTES_MAX, DecodeError, RecordBatch,
};
use crate::storage::File;

/// How much is read ahead at a time. A scan from a place that was looked up begins small, since it
/// may want one record, and doubles up to where syscalls do not count; a chunk pinned by a few
/// records does no harm either.
const CHUNK_BYTES_FIRST: usize = 8 * 1024;
const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// A batch is read whole, so what its length field says must have an end. The builder writes at
/// most [`DECOMPRESSED_BYTES_MAX`] of records; what cannot be compressed grows a little.
pub(crate) const BATCH_BYTES_MAX: usize = DECOMPRESSED_BYTES_MAX + DECOMPRESSED_BYTES_MAX / 16;

/// Where a scan takes its bytes from: slices share the memory of the map as far as that reaches,
/// and of chunks that are read from the file behind it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) map: Bytes,
    pub(crate) file: File,
}

impl Source {
    /// A file that is not mapped.
    pub(crate) fn file(file: File) -> Self {
        Self { map: Bytes::new(), file }
    }

    /// These bytes, if they are mapped.
    fn mapped(&self, at: u64, len: usize) -> Option<Bytes> {
        let at = usize::try_from(at).ok()?;
        let to = at.checked_add(len)?;
        (to <= self.map.len()).then(|| self.map.slice(at..to))
    }

    /// At most `len` bytes; fewer only at the end of the file.
    fn read_at(&self, at: u64, len: usize) -> Result<Bytes, Error> {
        self.mapped(at, len).map_or_else(|| self.file.read_at(at, len), Ok)
    }
}

/// What a scan demands of each batch besides a sound header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// Verify the checksum.
    pub(crate) crc: bool,
    /// Offsets follow without gaps, as in a segment that was never compacted. Kafka's checksum
    /// does not cover the base offset; this does.
    pub(crate) continuous: bool,
    /// The leader epoch every batch must have; the checksum does not cover it either.
    pub(crate) epoch: Option<i32>,
}

impl Demand {
    /// What is wrong with the place of a batch, which no checksum covers: its base offset and its
    /// leader epoch.
    pub(crate) fn misplaced(&self, expect: Expect, header: &BatchHeader) -> Option<String> {
        let base = header.base_offset();
        match expect {
            Expect::Next(next) if self.continuous && base != next => {
                Some(format!("it claims offset {base}, but {next} is next"))
            }
            Expect::Next(next) if base < next => {
                Some(format!("it claims offset {base}, which is below {next}"))
            }
            Expect::EndsAt(last) if header.last_offset() != last => {
                let found = header.last_offset();
                Some(format!("it ends at offset {found}, its index says {last}"))
            }
            _ => self.epoch.filter(|epoch| header.leader_epoch() != Some(*epoch)).map(|epoch| {
                let found = header.leader_epoch();
                format!("its leader epoch is {found:?}, not {epoch}")
            }),
        }
    }
}

/// The next offset that a scan may meet, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Exactly this base offset, when continuity is demanded; at least this otherwise.
    Next(i64),
    /// The batch at the start was found through an index that says it ends at this offset.
    EndsAt(i64),
}

/// Why a scan cannot go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Reading failed.
    Io(Error),
    /// The bytes at `position` are no batch that belongs there.
    Bad(BadBatch),
}

/// Bytes that are not the batch that should be there.
#[derive(Debug)]
pub(crate) struct BadBatch {
    /// Where in the file.
    pub(crate) position: u64,
    /// The offset that was to come, where it is known.
    pub(crate) next_offset: Option<i64>,
    /// What is wrong.
    pub(crate) reason: String,
    /// It is no torn tail, whatever the recovery point says: bytes that are only too many to be
    /// read, or a segment that a digest misses.
    pub(crate) never_torn: bool,
}

/// A batch and where it stands.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) position: u64,
    pub(crate) batch: RecordBatch,
}

/// A walk over the batches in `position..end` of a file.
#[derive(Debug)]
pub(crate) struct Scanner {
    source: Source,
    position: u64,
    end: u64,
    expect: Expect,
    demand: Demand,
    chunk: Bytes,
    /// How much the next read asks for.
    ahead: usize,
    digest: Option<Arc<Digest>>,
}

impl Scanner {
    pub(crate) fn new(
        source: Source,
        position: u64,
        end: u64,
        expect: Expect,
        demand: Demand,
    ) -> Self {
        Self {
            source,
            position,
            end,
            expect,
            demand,
            chunk: Bytes::new(),
            ahead: CHUNK_BYTES_FIRST,
            digest: None,
        }
    }

    /// The same walk, which also compares the bytes it touches with what they were.
    pub(crate) fn with_digest(self, digest: Option<Arc<Digest>>) -> Self {
        Self { digest, ..self }
    }

    /// The same walk by somebody who has read up to here, and goes on.
    pub(crate) fn going_on(self) -> Self {
        Self { ahead: CHUNK_BYTES_MAX, ..self }
    }

    /// Where the next batch begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The offset that follows the last batch, once one was seen or if it was given.
    pub(crate) fn next_offset(&self) -> Option<i64> {
        match self.expect {
            Expect::Next(offset) => Some(offset),
            Expect::EndsAt(_) => None,
        }
    }

    /// The next batch; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Scanned>, Stop> {
        let Some(header) = self.next_header()? else { return Ok(None) };
        self.take(&header).map(Some)
    }

    /// The next batch that ends at this offset or behind it. Of those before it only the headers
    /// count where offsets follow without gaps, so that a reader gets past damaged records.
    pub(crate) fn next_from(&mut self, offset: i64) -> Result<Option<Scanned>, Stop> {
        while let Some(header) = self.next_header()? {
            if header.last_offset() >= offset {
                return self.take(&header).map(Some);
            }
            // That it does not hold the offset is shown by the next one, or else by the checksum.
            let is_last = self.position.saturating_add(header.size() as u64) >= self.end;
            if self.demand.continuous && !is_last {
                self.pass(&header);
            } else {
                self.take(&header)?;
            }
        }
        Ok(None)
    }

    /// The header of the next batch, which fits there; `None` at the end.
    fn next_header(&mut self) -> Result<Option<BatchHeader>, Stop> {
        // A segment that is followed may have been cut since.
        let left = self.end.saturating_sub(self.position);
        if left == 0 {
            return self.check_end().map(|()| None);
        }
        if left < BATCH_HEADER_LEN as u64 {
            return Err(self.bad(format!("only {left} bytes are left")));
        }
        self.check_digest(BATCH_HEADER_LEN)?;
        self.need(BATCH_HEADER_LEN)?;
        let header = match BatchHeader::parse(&self.chunk) {
            Ok(header) => header,
            Err(error) => return Err(self.undecodable(&error)),
        };
        if header.size() as u64 > left {
            let reason = format!("a batch of {} bytes does not fit the {left} left", header.size());
            return Err(self.bad(reason));
        }
        if header.size() > BATCH_BYTES_MAX {
            let size = header.size();
            let reason = format!("a batch of {size} bytes, {BATCH_BYTES_MAX} may be");
            let (position, next_offset) = (self.position, self.next_offset());
            let bad = BadBatch { position, next_offset, reason, never_torn: true };
            return Err(Stop::Bad(bad));
        }
        if let Some(reason) = self.demand.misplaced(self.expect, &header) {
            return Err(self.bad(reason));
        }
        Ok(Some(header))
    }

    /// The batch with the header that was read last.
    fn take(&mut self, header: &BatchHeader) -> Result<Scanned, Stop> {
        self.check_digest(header.size())?;
        self.need(header.size())?;
        let batch = RecordBatch::parse(self.chunk.clone()).map_err(|e| self.undecodable(&e))?;
        if self.demand.crc {
            batch.verify_crc().map_err(|error| self.undecodable(&error))?;
        }
        let position = self.position;
        self.pass(header);
        Ok(Scanned { position, batch })
    }

    fn pass(&mut self, header: &BatchHeader) {
        self.position += header.size() as u64;
        self.chunk = self.chunk.slice(header.size().min(self.chunk.len())..);
        self.expect = Expect::Next(header.next_offset());
    }

    /// Checks, where the file has a digest, that the next `len` bytes are what they were.
    fn check_digest(&self, len: usize) -> Result<(), Stop> {
        let Some(digest) = &self.digest else { return Ok(()) };
        let touched = self.position..self.position.saturating_add(len as u64);
        match digest.check(touched, |at, len| self.source.read_at(at, len)).map_err(Stop::Io)? {
            None => Ok(()),
            Some(bad) => {
                let (from, to) = (bad.start, bad.end);
                Err(self.bad(format!("bytes {from} to {to} are not those of the segment's digest")))
            }
        }
    }

    /// Checks, where the file has a digest, that it does not end too early.
    fn check_end(&self) -> Result<(), Stop> {
        match &self.digest {
            Some(digest) if digest.size > self.position => {
                let size = digest.size;
                Err(self.bad(format!("the file ends there, its digest is of {size} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Makes `len` bytes from the current position available in the chunk, or says what is bad.
    fn need(&mut self, len: usize) -> Result<(), Stop> {
        if self.chunk.len() >= len {
            return Ok(());
        }
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let at = usize::try_from(self.position).unwrap_or(usize::MAX);
        let mapped = self.source.map.len().saturating_sub(at).min(left);
        self.chunk = match self.source.mapped(self.position, mapped.max(len)) {
            Some(mapped) => mapped,
            None => {
                let ahead = len.max(self.ahead).min(left);
                self.ahead = (self.ahead * 2).min(CHUNK_BYTES_MAX);
                self.source.file.read_at(self.position, ahead).map_err(Stop::Io)?
            }
        };
        if self.chunk.len() < len {
            return Err(self.bad("the file is shorter than it was".to_owned()));
        }
        Ok(())
    }

    fn bad(&self, reason: String) -> Stop {
        let (position, next_offset) = (self.position, self.next_offset());
        Stop::Bad(BadBatch { position, next_offset, reason, never_torn: false })
    }

    fn undecodable(&self, error: &DecodeError) -> Stop {
        self.bad(error.to_string())
    }
}
