//! Reading a partition that another process may be writing.
//!
//! Not a byte is written and no lock taken. Whole sound batches are served; what follows the last
//! one in the newest segment is not yet written, for as long as it takes. In an older segment it is
//! damage. Nothing is mapped: the writer may cut a file.

use std::sync::Arc;

use super::config::TopicConfig;
use super::context::LogContext;
use super::index::IndexBuilder;
use super::leftovers::{Listing, is_no_segment};
use super::names::{self, SegmentFile};
use super::partition::{Followed, Halt, Log, Opened, Stored, Writer};
use super::provenance::Provenance;
use super::replay::replay;
use super::report::PartitionReport;
use super::scan::{Demand, Expect, Scanner, Source, Stop};
use super::segment::{Rebuilt, Segment, Trust};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{BATCH_HEADER_LEN, BatchHeader};
use crate::storage::{FileName, FilePath, Open};
use crate::types::TopicPartition;

/// How often a read is begun again because files went while it was under way.
const LOOKS_MAX: u32 = 10;

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

    /// Looks at the directory as if for the first time: files that were read are not there any
    /// more. What was read of the newest segment stays.
    fn refresh_anew(&self) -> Result<()> {
        let writer = self.writer.lock();
        let known = self.segments();
        self.set_segments(known.iter().filter(|segment| !segment.is_sealed()).cloned().collect());
        drop(writer);
        self.refresh().map(|_| ())
    }

    /// After a read of a log that may be followed failed: looks at the directory again if that is
    /// because the owner has compacted or removed files meanwhile, of which only so many stay open.
    /// Else, or after many `looks`, the error stands.
    ///
    /// What is read at an offset is opened last: then it stays open for the next try, however many
    /// others there are.
    pub(crate) fn look_again(&self, error: Error, looks: &mut u32, at: Option<i64>) -> Result<()> {
        let is_followed = matches!(self.halt(), Some(Halt::ReadOnly));
        if !is_followed || !error.is_missing_file() || *looks == LOOKS_MAX {
            return Err(error);
        }
        *looks += 1;
        self.refresh_anew()?;
        let segments = self.segments();
        let wanted = at.and_then(|offset| Self::segment_of(&segments, offset));
        if let Some(segment) = wanted.and_then(|index| segments.get(index)) {
            let _ = segment.file().len();
        }
        Ok(())
    }

    /// The writer's producer state is that at the end of what was taken in so far.
    fn refresh_segments(&self, writer: &mut Writer) -> Result<()> {
        let list = || {
            let mut report = PartitionReport::new(self.tp.clone());
            Listing::read(&self.context.storage, &self.dir, &mut report)
        };
        let mut listing = list()?;
        for _ in 0..LOOKS_MAX {
            let opened = writer.opened;
            self.take_in_listing(&listing, writer)?;
            if writer.opened == opened {
                break;
            }
            // Names change one by one: what was opened may have been replaced meanwhile.
            let now = list()?;
            let same = now.logs.keys().eq(listing.logs.keys()) && now.swaps == listing.swaps;
            listing = now;
            if same {
                break;
            }
        }
        Ok(())
    }

    fn take_in_listing(&self, listing: &Listing, writer: &mut Writer) -> Result<()> {
        let known = self.segments();
        let mut segments = Vec::new();
        for base in listing.logs.keys().copied() {
            let next = listing.logs.range(base..).nth(1).map(|(next, _)| *next);
            let is_swapped = listing.swaps.contains(&base);
            let open = |writer: &mut Writer| {
                writer.opened += 1;
                self.follow_segment((base, writer.opened), next.is_none(), is_swapped)
            };
            let at = known.iter().position(|segment| segment.base_offset == base);
            let followed_by = at.and_then(|at| known.get(at + 1)).map(|after| after.base_offset);
            let before = at.and_then(|at| known.get(at));
            // Where another follows than before, those between were merged into this one. One that
            // was only compacted by itself may be read on as it was.
            let is_same = followed_by.is_none() || followed_by == next;
            let mut segment = match before {
                Some(segment) if is_same => Some(Arc::clone(segment)),
                _ => open(writer)?,
            };
            if let Some(growing) = segment.as_ref().filter(|segment| !segment.is_sealed()) {
                let taken = self.take_in(growing, next.is_none(), &segments, writer);
                let is_gone = taken.as_ref().is_err_and(Error::is_missing_file);
                let is_merged = next.is_some_and(|next| next != self.end_offset());
                if is_gone || (taken.is_ok() && is_merged) {
                    // It was finished, and compacted or removed, since it was read last.
                    writer.producers = None;
                    segment = open(writer)?.filter(|segment| segment.is_sealed());
                } else {
                    taken?;
                }
            }
            segments.extend(segment);
        }
        if let Some(first) = segments.first() {
            self.set_start(first.base_offset);
        }
        self.set_segments(segments);
        Ok(())
    }

    /// Takes in what came to a segment that was the newest when it was first seen. Older segments
    /// are read when they are wanted.
    fn take_in(
        &self,
        segment: &Arc<Segment>,
        is_newest: bool,
        before: &[Arc<Segment>],
        writer: &mut Writer,
    ) -> Result<()> {
        if writer.producers.is_none() {
            let base = segment.base_offset;
            self.set_segments(before.to_vec());
            self.set_start(before.first().map_or(base, |first| first.base_offset));
            self.publish(base, base);
            writer.producers = Some(self.producers_at(base).unwrap_or_default());
        }
        self.extend(segment, writer)?;
        if !is_newest {
            segment.finish_following(segment.file().len()?);
        }
        Ok(())
    }

    /// Opens a segment; the one that takes its place, if `is_swapped`.
    fn follow_segment(
        &self,
        (base, revision): (i64, u32),
        newest: bool,
        is_swapped: bool,
    ) -> Result<Option<Arc<Segment>>> {
        let storage = &self.context.storage;
        let name = SegmentFile::Log.name(base);
        let swap = FileName::new(&format!("{}.swap", name.as_str())).filter(|_| is_swapped);
        let mut file = None;
        // Its name may have changed since the directory was listed.
        let open = |name| storage.open_if_exists(&FilePath::within(&self.dir, name), Open::Read);
        if let Some(swap) = swap
            && let Some(new) = open(swap.clone())?
            && !is_no_segment(new, base)?
        {
            file = open(swap)?;
        }
        if file.is_none() {
            file = open(name)?;
        }
        let Some(file) = file else { return Ok(None) };
        let config = self.config();
        let interval = config.index_interval_bytes;
        // The files beside one that was compacted may be those of another.
        let is_compacted = config.cleanup_policy.is_compacted() || is_swapped;
        let demand = Demand { epoch: None, ..self.provenance().demand(base, 0) };
        let continuous = demand.continuous && (newest || !is_compacted);
        let demand = Demand { continuous, ..demand };
        // An older segment is finished, and its indexes are checked where they are used.
        let size = if newest { 0 } else { file.len()? };
        let trust = if is_compacted { Trust::Never } else { Trust::Plausible };
        let from = (file, size);
        let mut segment =
            Segment::existing(&self.context, &self.dir, base, from, trust, interval, demand);
        segment.revision = revision;
        // The one that is there may be of the file that is about to take the place of this one.
        segment.forgo_digest();
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
        let source = Source::file(segment.file().clone());
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
