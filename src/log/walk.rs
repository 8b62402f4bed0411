//! A walk over the batches of a log, across segments, from a cursor on.

use std::sync::Arc;

use super::partition::{Damage, Log};
use super::scan::{BadBatch, Expect, Scanner, Stop};
use super::segment::{ScanStart, Segment};
use crate::error::{Error, Result};
use crate::record::RecordBatch;
use crate::types::TopicPartition;

/// A place in a log that goes on where it was; only a seek uses the offset index.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// The next offset to read.
    offset: i64,
    /// Where the batch with that offset begins, if the last read ended there.
    place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    segment: i64,
    /// Compaction puts other bytes in the segment's place.
    revision: u32,
    position: u64,
}

impl Cursor {
    pub(crate) fn new(offset: i64) -> Self {
        Self { offset, place: None }
    }

    pub(crate) fn offset(&self) -> i64 {
        self.offset
    }
}

/// A walk in progress. It sees the segments the log had when it began.
pub(crate) struct Walk<'a> {
    tp: &'a TopicPartition,
    segments: Arc<Vec<Arc<Segment>>>,
    cursor: Cursor,
    limit: i64,
    crc: bool,
    scanner: Option<(usize, Scanner)>,
    /// The index led to a wrong place and was rebuilt.
    fresh_index: bool,
}

impl Log {
    /// A walk over the batches that begin below `limit`.
    pub(crate) fn walk(&self, cursor: &Cursor, limit: i64, crc: bool) -> Walk<'_> {
        self.walk_in(self.segments(), cursor, limit, crc)
    }

    /// The same in segments that were taken before: whoever compares an offset with the log start
    /// takes them first, so that they still hold what is found to be there.
    pub(crate) fn walk_in(
        &self,
        segments: Arc<Vec<Arc<Segment>>>,
        cursor: &Cursor,
        limit: i64,
        crc: bool,
    ) -> Walk<'_> {
        Walk {
            tp: &self.tp,
            segments,
            cursor: cursor.clone(),
            limit,
            crc,
            scanner: None,
            fresh_index: false,
        }
    }
}

impl Log {
    /// Checks, once per open, that a segment is whole up to its end and where the next begins:
    /// whoever passes over it by its index alone must know that nothing is missing, not even in the
    /// index, which may have been rebuilt up to damage. Reads its last batches.
    pub(crate) fn check_joint(&self, segments: &[Arc<Segment>], index: usize) -> Result<()> {
        let Some(segment) = segments.get(index) else { return Ok(()) };
        if segment.is_joined() || !segment.is_sealed() {
            return Ok(());
        }
        let mut fresh = false;
        let end = loop {
            let mut scanner = segment.scan(segment.find_offset(i64::MAX, fresh)?, true)?;
            let end = loop {
                match scanner.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break Ok(scanner.next_offset()),
                    Err(stop) => break Err(stop),
                }
            };
            match end {
                Ok(end) => break end,
                Err(Stop::Io(error)) => return Err(error.on(&self.tp)),
                // Perhaps only the index is wrong.
                Err(Stop::Bad(_)) if !fresh => fresh = true,
                Err(Stop::Bad(bad)) => return Err(damage(&self.tp, segment, &bad)),
            }
        };
        let bad = match segments.get(index + 1) {
            Some(next) => segment.bad_joint(end, next.base_offset)?,
            None => None,
        };
        match bad {
            Some(bad) => Err(damage(&self.tp, segment, &bad)),
            None => {
                segment.set_joined();
                Ok(())
            }
        }
    }
}

impl Walk<'_> {
    /// Where to go on after the batch that `next` gave last.
    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The next batch that holds the cursor's offset or a later one; `None` at the limit.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.cursor.offset < self.limit {
            let Some((index, scanner)) = &mut self.scanner else {
                if !self.enter()? {
                    return Ok(None);
                }
                continue;
            };
            let Some(segment) = self.segments.get(*index) else { return Ok(None) };
            match scanner.next_from(self.cursor.offset) {
                Ok(Some(scanned)) => {
                    let header = scanned.batch.header();
                    if header.base_offset() >= self.limit {
                        return Ok(None);
                    }
                    self.cursor = Cursor {
                        offset: header.next_offset(),
                        place: Some(Place {
                            segment: segment.base_offset,
                            revision: segment.revision,
                            position: scanner.position(),
                        }),
                    };
                    return Ok(Some(scanned.batch));
                }
                Ok(None) => {
                    let ended = *index;
                    let next_offset = scanner.next_offset();
                    if !self.leave(ended, next_offset)? {
                        return Ok(None);
                    }
                }
                Err(Stop::Io(error)) => return Err(error.on(self.tp)),
                // Perhaps only the index is wrong, or the place is of a file that was cut and grew
                // again: rebuild the one, forget the other, and look once more.
                Err(Stop::Bad(_)) if !self.fresh_index => {
                    self.fresh_index = true;
                    self.cursor.place = None;
                    self.scanner = None;
                }
                Err(Stop::Bad(bad)) => return Err(damage(self.tp, segment, &bad)),
            }
        }
        Ok(None)
    }

    /// Begins to scan the segment that holds the cursor's offset.
    fn enter(&mut self) -> Result<bool> {
        // Offsets below the first segment's base are gone.
        let index = Log::segment_of(&self.segments, self.cursor.offset).unwrap_or(0);
        let Some(segment) = self.segments.get(index) else { return Ok(false) };
        let place = self.cursor.place.filter(|place| {
            place.segment == segment.base_offset && place.revision == segment.revision
        });
        let scanner = if let Some(Place { position, .. }) = place {
            let start = ScanStart { position, expect: Expect::Next(self.cursor.offset) };
            segment.scan(start, self.crc)?.going_on()
        } else {
            segment.scan(segment.find_offset(self.cursor.offset, self.fresh_index)?, self.crc)?
        };
        self.scanner = Some((index, scanner));
        Ok(true)
    }

    /// Goes over the end of a segment into the next one.
    fn leave(&mut self, ended: usize, next_offset: Option<i64>) -> Result<bool> {
        let (Some(segment), Some(next)) = (self.segments.get(ended), self.segments.get(ended + 1))
        else {
            return Ok(false);
        };
        if let Some(bad) = segment.bad_joint(next_offset, next.base_offset)? {
            return Err(damage(self.tp, segment, &bad));
        }
        self.cursor = Cursor {
            offset: self.cursor.offset.max(next.base_offset),
            place: Some(Place { segment: next.base_offset, revision: next.revision, position: 0 }),
        };
        self.scanner = Some((ended + 1, next.scan(next.start(), self.crc)?.going_on()));
        Ok(true)
    }
}

pub(crate) fn damage(tp: &TopicPartition, segment: &Segment, bad: &BadBatch) -> Error {
    Damage {
        offset: bad.next_offset.unwrap_or(segment.base_offset),
        path: segment.file().path().to_path_buf(),
        position: bad.position,
        reason: bad.reason.clone(),
    }
    .error(tp)
}
