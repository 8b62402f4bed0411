//! What a segment's bytes are read from.
//!
//! A sealed segment is mapped whole. Of the active one, what a reader finds far behind the end is
//! mapped, and mapped anew as the segment grows; near the end it is read from the file. Mapping
//! costs as much as a dozen reads and all pages have to be found again, so who follows the end
//! never pays for it, and who replays a log or looks up records in it soon has it mapped.

use std::sync::Arc;

use bytes::Bytes;

use super::super::context::Unmap;
use super::super::scan::{Demand, Scanner, Source};
use super::{ScanStart, Segment};
use crate::error::Result;

/// Nearer to the end than this the active segment is read from the file; nor is it mapped for less.
const NEAR_BYTES: u64 = 256 * 1024;

/// It is mapped anew when it has grown by this part.
const GROWN_BY: u64 = 8;

/// What is mapped of a segment.
#[derive(Debug)]
pub(super) struct Mapped {
    bytes: Bytes,
    /// The size of the segment then. The map is as large, unless the file is shorter.
    size: u64,
}

impl Unmap for Segment {
    fn unmap(&self) {
        self.map.lock().take();
    }
}

impl Segment {
    /// What the bytes from a position on are read from.
    fn source(self: &Arc<Self>, position: u64) -> Result<Source> {
        Ok(Source { map: self.mapped(position)?, file: self.file.clone() })
    }

    /// What is mapped of the segment for a reader at this position; it may end before that.
    pub(super) fn mapped(self: &Arc<Self>, position: u64) -> Result<Bytes> {
        if !self.context.mmap {
            return Ok(Bytes::new());
        }
        // In this order: one that is sealed has its last size.
        let (is_sealed, size) = (self.is_sealed(), self.size());
        let mut map = self.map.lock();
        let mapped = map.as_ref().map_or(0, |map| map.size);
        let is_due = if is_sealed {
            mapped < size
        } else {
            size.saturating_sub(position) >= NEAR_BYTES
                && mapped < position.saturating_add(NEAR_BYTES)
                && size.saturating_sub(mapped) >= NEAR_BYTES.max(mapped / GROWN_BY)
        };
        let new = match is_due.then(|| self.file.map(size)) {
            Some(Err(error)) if is_sealed => return Err(error),
            // Below its size a segment does not change.
            Some(Ok(new)) => new,
            // Of the active one it is a matter of speed.
            Some(Err(_)) | None => None,
        };
        let Some(bytes) = new else {
            return Ok(map.as_ref().map_or_else(Bytes::new, |map| map.bytes.clone()));
        };
        let old = map.replace(Mapped { bytes: bytes.clone(), size });
        drop(map);
        if old.is_none() {
            // Without the lock: the oldest map that goes may be this segment's own.
            self.context.maps.add(self);
        }
        Ok(bytes)
    }

    /// A scan from a place that a lookup gave.
    pub(crate) fn scan(self: &Arc<Self>, start: ScanStart, crc: bool) -> Result<Scanner> {
        let demand = Demand { crc, ..self.demand };
        let source = self.source(start.position)?;
        let scanner = Scanner::new(source, start.position, self.size(), start.expect, demand);
        Ok(scanner.with_digest(self.digest()?))
    }
}
