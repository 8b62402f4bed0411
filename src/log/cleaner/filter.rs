//! What compaction leaves of one batch.

use std::collections::BTreeMap;

use super::keys::LastOffsets;
use super::seen::{Marker, SeenTxns};
use crate::error::Result;
use crate::log::producers::LastBatch;
use crate::log::transactions::AbortedTxn;
use crate::record::{BatchBuilder, BatchHeader, RecordBatch, RecordView, SealedBatch};

/// What is left of a batch.
#[derive(Debug)]
pub(super) enum Left {
    /// All of it, byte for byte.
    Whole,
    /// Less, or the same with a delete horizon.
    Rewritten(SealedBatch),
    Nothing,
}

/// Decides batch by batch.
pub(super) struct Filter<'a> {
    pub(super) last: &'a LastOffsets,
    /// Where the segments end that are rewritten. A round may end before, but no gap may lie in
    /// front of the next segment, which is not expected to have any.
    pub(super) segments_end: i64,
    /// The last batch of each producer that the log knows.
    pub(super) producers: &'a BTreeMap<i64, LastBatch>,
    pub(super) now_millis: i64,
    pub(super) delete_retention_ms: i64,
}

impl Filter<'_> {
    /// What is left of the next batch of the log; also the aborted transaction whose marker it is,
    /// if some of that is left.
    pub(super) fn apply(
        &self,
        batch: &RecordBatch,
        seen: &mut SeenTxns,
    ) -> Result<(Left, Option<AbortedTxn>)> {
        let header = batch.header();
        let is_due = header.delete_horizon().is_some_and(|horizon| self.now_millis >= horizon);
        let (marker, drops_all) = if header.is_control() {
            let marker = seen.end(batch);
            (Some(marker), marker.is_bare && is_due)
        } else {
            (None, seen.is_aborted(header))
        };
        let aborts = marker.and_then(|marker| marker.aborts);
        let bare_marker = marker.is_some_and(|Marker { is_bare, .. }| is_bare);
        let left =
            if drops_all { self.empty(header) } else { self.sift(batch, bare_marker, is_due)? };
        Ok((left, aborts))
    }

    /// Keeps the records that are the last of their keys.
    fn sift(&self, batch: &RecordBatch, bare_marker: bool, is_due: bool) -> Result<Left> {
        let header = batch.header();
        let records = batch.records()?;
        let stays = |record: &RecordView<'_>| {
            let is_last = |key| self.last.is_last(key, record.offset());
            header.is_control()
                || record.offset() >= self.last.end()
                || (record.key().is_some_and(is_last) && (record.value().is_some() || !is_due))
        };
        let kept: Vec<RecordView<'_>> = records.iter().filter(stays).collect();
        if kept.is_empty() {
            return Ok(self.empty(header));
        }
        let has_tombstone = kept.iter().any(|record| record.value().is_none());
        let needs_horizon = (has_tombstone || bare_marker) && header.delete_horizon().is_none();
        if kept.len() == records.len() && !needs_horizon {
            return Ok(Left::Whole);
        }
        let horizon =
            needs_horizon.then(|| self.now_millis.saturating_add(self.delete_retention_ms));
        let mut builder = BatchBuilder::replacing(header, horizon);
        for record in &kept {
            builder.copy(record)?;
        }
        Ok(Left::Rewritten(builder.seal()?))
    }

    /// What is left of a batch without records: its header, where something is to be remembered by
    /// it. That is the last sequence number or epoch of a producer, or where a round ended.
    fn empty(&self, header: &BatchHeader) -> Left {
        let known = header.producer_id().and_then(|id| self.producers.get(&id));
        let is_last_of_producer = known.is_some_and(|known| match known.last_offset {
            Some(offset) => offset == header.last_offset(),
            None => header.is_control() && header.producer_epoch() == Some(known.epoch),
        });
        let ends = [self.last.end(), self.segments_end].contains(&header.next_offset());
        if is_last_of_producer || ends {
            Left::Rewritten(SealedBatch::hollow(header))
        } else {
            Left::Nothing
        }
    }
}
