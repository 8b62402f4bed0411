//! A compacted segment takes the place of those it was made from.
//!
//! At every moment a crash leaves the old segments or the new one, as in Kafka's
//! `LocalLog.replaceSegments`: the new files are durable before they are called `.swap`; once they
//! are called so, an open finishes what is left to do; the old ones go before `.swap` is taken off
//! the names. The file of the same base offset is replaced by the rename itself.
//!
//! The digest takes its name, durably, while the new file is still called `.swap`: from then on it
//! is of the segment that readers will meet. An open that finds a `.swap` looks which of the two
//! digests that may be there is of that file.

use std::sync::Arc;

use super::super::digest;
use super::super::names::SegmentFile;
use super::super::partition::Halt;
use super::super::segment::Segment;
use super::output::{CLEANED_SUFFIX, Finished, KINDS, remove, suffixed};
use crate::error::Result;
use crate::log::Log;
use crate::storage::FilePath;
use crate::trace::event;

const SWAP_SUFFIX: &str = ".swap";

/// Puts `new` in the place of `old`, which follow each other. Readers that are in the old segments
/// go on in them. If it fails when there is no way back, the log stops.
pub(super) fn replace(log: &Log, old: &[Arc<Segment>], new: Finished) -> Result<()> {
    let Some(first) = old.first() else { return Ok(()) };
    let base = first.base_offset;
    if let Err(error) = announce(log, base) {
        let storage = &log.context.storage;
        let undone = remove(storage, &log.dir, base, SWAP_SUFFIX)
            .and_then(|()| remove(storage, &log.dir, base, CLEANED_SUFFIX))
            .and_then(|()| storage.sync_dir(Some(&log.dir)));
        if let Err(cause) = undone {
            log.stop(Halt::Poisoned(cause));
        }
        return Err(error);
    }
    if let Err(error) = take_over(log, old, &new) {
        log.stop(Halt::Poisoned(error.clone()));
        return Err(error);
    }
    let path = FilePath::within(&log.dir, SegmentFile::Log.name(base));
    let file = new.file.renamed(log.context.storage.path_of(&path));
    let revision = old.iter().map(|segment| segment.revision).max().unwrap_or(0) + 1;
    let demand = super::super::scan::Demand { continuous: false, ..first.demand() };
    let (from, contents) = ((file, new.size), (new.contents, new.digest));
    let segment =
        Segment::cleaned(&log.context, &log.dir, from, contents, (base, revision), demand);
    let (topic, partition, count) = (log.tp.topic(), log.tp.partition(), old.len());
    event!(
        DEBUG,
        "segments replaced",
        topic = topic,
        partition = partition,
        base_offset = base,
        segments = count,
    );
    let _writer = log.writer.lock();
    let mut list = log.segments().to_vec();
    if let Some(at) = list.iter().position(|segment| Arc::ptr_eq(segment, first)) {
        let end = (at + old.len()).min(list.len());
        list.splice(at..end, [Arc::new(segment)]);
        log.set_segments(list);
    }
    Ok(())
}

/// Says, durably, that the new files are to be taken.
fn announce(log: &Log, base: i64) -> Result<()> {
    let storage = &log.context.storage;
    for kind in KINDS {
        let cleaned = suffixed(kind, base, CLEANED_SUFFIX);
        storage.rename_if_exists(&log.dir, &cleaned, &suffixed(kind, base, SWAP_SUFFIX))?;
    }
    storage.sync_dir(Some(&log.dir))
}

/// Takes the old files away and gives their names to the new ones.
fn take_over(log: &Log, old: &[Arc<Segment>], new: &Finished) -> Result<()> {
    let storage = &log.context.storage;
    let Some((first, others)) = old.split_first() else { return Ok(()) };
    for segment in others {
        log.discard(segment)?;
        // An open that finishes the swap removes what lies below the end of the new segment. What
        // lies above must go in order: a tombstone that went before the value it deletes would
        // bring that back.
        if segment.base_offset >= new.end && segment.size() > 0 {
            storage.sync_dir(Some(&log.dir))?;
        }
    }
    let base = first.base_offset;
    let digest = SegmentFile::Digest.name(base);
    storage.rename(Some(&log.dir), &digest::waiting_name(base), &digest)?;
    // No old segment, and no digest of one, must be met beside the new one.
    storage.sync_dir(Some(&log.dir))?;
    if new.contents.aborted.is_empty() {
        let name = SegmentFile::TxnIndex.name(base);
        storage.remove_if_exists(&FilePath::within(&log.dir, name))?;
    }
    for kind in KINDS {
        let swap = suffixed(kind, base, SWAP_SUFFIX);
        storage.rename_if_exists(&log.dir, &swap, &kind.name(base))?;
    }
    storage.sync_dir(Some(&log.dir))
}
