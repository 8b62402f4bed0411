//! Reading a partition that another process may be writing.
//!
//! Not a byte is written and no lock taken. Whole sound batches are served; what follows the last
//! one in the newest segment is not yet written, for as long as it takes. In an older segment it is
//! damage. Nothing is mapped: the writer may cut a file.

use std::sync::Arc;

use super::config::TopicConfig;
use super::context::LogContext;
use super::index::IndexBuilder;
use super::leftovers::Listing;
use super::names::{self, SegmentFile};
use super::partition::{Followed, Halt, Log, Opened, Stored, Writer};
use super::provenance::Provenance;
use super::replay::replay;
use super::report::PartitionReport;
use super::scan::{Demand, Expect, Scanner, Source, Stop};
use super::segment::{Rebuilt, Segment, Trust};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{BATCH_HEADER_LEN, BatchHeader};
use crate::storage::{FilePath, Open};
use crate::types::TopicPartition;

impl Log {
    /// Opens a partition's directory without touching it.
    pub(crate) fn open_read_only(
        tp: &TopicPartition,
        context: &Arc<LogContext>,
        config: Arc<TopicConfig>,
        log_start: Option<i64>,
        provenance: Provenance,
    ) -> Result<Self> {
        let dir = names::partition_dir(tp)?;
        let start = log_start.unwrap_or(0);
        let opened = Opened {
            segments: Vec::new(),
            start,
            end: start,
            stable: start,
            recovery_point: 0,
            producers: None,
            epochs: Vec::new(),
            epochs_saved: true,
            snapshot_offset: None,
            halt: Some(Halt::ReadOnly),
            provenance,
            stored: Stored::default(),
        };
        let log = Self::new(tp.clone(), dir, Arc::clone(context), config, opened);
        log.refresh()?;
        Ok(log)
    }

    /// Looks at the directory again; says whether there is more to read than before.
    pub(crate) fn refresh(&self) -> Result<bool> {
        // The append lock has no other use in a read-only log.
        let mut writer = self.writer.lock();
        let before = self.end_offset();
        self.refresh_segments(&mut writer)?;
        drop(writer);
        let more = self.end_offset() > before;
        if more {
            self.readers.wake_all();
        }
        Ok(more)
    }

    /// The writer's producer state is that at the end of what was taken in so far.
    fn refresh_segments(&self, writer: &mut Writer) -> Result<()> {
        let mut report = PartitionReport::new(self.tp.clone());
        let listing = Listing::read(&self.context.storage, &self.dir, &mut report)?;
        let Some(newest) = listing.logs.keys().next_back().copied() else { return Ok(()) };
        let known = self.segments();
        let mut segments = Vec::new();
        for base in listing.logs.keys().copied() {
            let segment = match known.iter().find(|segment| segment.base_offset == base) {
                Some(segment) => Arc::clone(segment),
                None => match self.follow_segment(base, base == newest)? {
                    Some(segment) => segment,
                    None => continue,
                },
            };
            if !segment.is_sealed() {
                // The newest when it was first seen. Older segments are read when they are wanted.
                if writer.producers.is_none() {
                    self.set_segments(segments.clone());
                    self.set_start(segments.first().map_or(base, |first| first.base_offset));
                    self.publish(base, base);
                    writer.producers = Some(self.producers_at(base).unwrap_or_default());
                }
                self.extend(&segment, writer)?;
                if base != newest {
                    segment.finish_following(segment.file().len()?);
                }
            }
            segments.push(segment);
        }
        if let Some(first) = segments.first() {
            self.set_start(first.base_offset);
        }
        self.set_segments(segments);
        Ok(())
    }

    fn follow_segment(&self, base: i64, newest: bool) -> Result<Option<Arc<Segment>>> {
        let path = FilePath::within(&self.dir, SegmentFile::Log.name(base));
        let Some(file) = self.context.storage.open_if_exists(&path, Open::Read)? else {
            return Ok(None);
        };
        let interval = self.config().index_interval_bytes;
        let demand = Demand { epoch: None, ..self.provenance().demand(base, 0) };
        // An older segment is finished, and its indexes are checked where they are used.
        let size = if newest { 0 } else { file.len()? };
        let (context, trust) = (&self.context, Trust::Plausible);
        let segment =
            Segment::existing(context, &self.dir, base, (file, size), trust, interval, demand);
        if newest {
            let index = IndexBuilder::new(base, interval);
            segment.install(Rebuilt { index, aborted: Vec::new() }, true);
        }
        Ok(Some(Arc::new(segment)))
    }

    /// Takes in the whole sound batches that came to a segment since the last look.
    fn extend(&self, segment: &Arc<Segment>, writer: &mut Writer) -> Result<()> {
        let len = segment.file().len()?;
        let mut from = segment.size();
        if len < from || (from > 0 && !is_still_there(segment, writer.followed)) {
            // The writer came back after a crash and cut its tail: begin again.
            let interval = self.config().index_interval_bytes;
            let index = IndexBuilder::new(segment.base_offset, interval);
            segment.publish_size(0);
            segment.install(Rebuilt { index, aborted: Vec::new() }, true);
            writer.producers = self.producers_at(segment.base_offset).ok();
            from = 0;
        }
        let next = if from == 0 { segment.base_offset } else { self.end_offset() };
        let demand = Demand { crc: true, ..segment.demand() };
        let source = Source::File(segment.file().clone());
        let mut scanner = Scanner::new(source, from, len, Expect::Next(next), demand);
        let producers = writer.producers.get_or_insert_default();
        let mut end = next;
        loop {
            match scanner.next() {
                Ok(Some(scanned)) => {
                    segment.add_to_index(scanned.batch.header(), scanned.position);
                    if let Some(aborted) = replay(producers, &scanned.batch) {
                        segment.add_aborted(aborted);
                    }
                    end = scanned.batch.header().next_offset();
                    writer.followed = Some(Followed {
                        segment: segment.base_offset,
                        position: scanned.position,
                        crc: scanned.batch.header().crc(),
                    });
                }
                Ok(None) | Err(Stop::Bad(_)) => break,
                Err(Stop::Io(error)) => return Err(error.on(&self.tp)),
            }
        }
        segment.publish_size(scanner.position());
        self.publish(end, producers.first_open_offset().unwrap_or(end));
        Ok(())
    }
}

/// Whether the last batch taken in stands where it stood. After a crash the writer may have cut it
/// and written others since.
fn is_still_there(segment: &Segment, followed: Option<Followed>) -> bool {
    let Some(batch) = followed.filter(|batch| batch.segment == segment.base_offset) else {
        return true;
    };
    let header = segment.file().read_at(batch.position, BATCH_HEADER_LEN);
    header.is_ok_and(|bytes| BatchHeader::parse(&bytes).is_ok_and(|h| h.crc() == batch.crc))
}

/// The error for what a read-only broker cannot do.
pub(crate) fn read_only_error(what: &str) -> Error {
    Error::new(ErrorKind::ReadOnly, format!("{what} needs a broker that may write"))
}
