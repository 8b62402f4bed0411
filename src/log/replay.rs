//! What batches that stand in a log mean for its indexes, producers and transactions.

use std::sync::Arc;

use super::index::IndexBuilder;
use super::names::SegmentFile;
use super::partition::Log;
use super::producers::ProducerStates;
use super::segment::{Rebuilt, Segment};
use super::transactions::AbortedTxn;
use super::walk::Cursor;
use crate::error::{Error, Result};
use crate::record::{ControlRecord, RecordBatch};
use crate::storage::{FileName, FilePath, Storage};

/// A snapshot holds 46 bytes a producer; this is a million and a half of them.
const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The marker that a control batch holds, if it is one of a transaction.
pub(crate) fn marker_of(batch: &RecordBatch) -> Option<ControlRecord> {
    if !batch.header().is_control() {
        return None;
    }
    let records = batch.records().ok()?;
    let record = records.iter().next()?;
    ControlRecord::parse(record.key()?, record.value()).ok()
}

/// Feeds one batch of the log to producer state; answers the abort it completes.
pub(crate) fn replay(producers: &mut ProducerStates, batch: &RecordBatch) -> Option<AbortedTxn> {
    let header = batch.header();
    if !header.is_control() {
        producers.append(header);
        return None;
    }
    let txn = producers.end_txn(header, marker_of(batch)?)?;
    txn.aborted.then(|| AbortedTxn {
        producer_id: txn.producer_id,
        first_offset: txn.first_offset,
        last_offset: txn.marker_offset,
        last_stable_offset: producers.stable_after(&txn),
    })
}

/// The newest sound producer snapshot in `(start, upto]`; damaged ones are passed over. One at or
/// below the log start tells of producers whose batches are gone; Kafka forgets those too.
pub(crate) fn newest_snapshot(
    storage: &Storage,
    dir: &FileName,
    start: i64,
    upto: i64,
) -> Result<Option<(i64, ProducerStates)>> {
    let mut offsets: Vec<i64> = storage
        .list_if_exists(dir)?
        .unwrap_or_default()
        .iter()
        .filter_map(|entry| SegmentFile::parse(entry.name.as_ref()?.as_str()))
        .filter_map(|(kind, offset)| (kind == SegmentFile::Snapshot).then_some(offset))
        .filter(|offset| start < *offset && *offset <= upto)
        .collect();
    offsets.sort_unstable();
    for offset in offsets.into_iter().rev() {
        let path = FilePath::within(dir, SegmentFile::Snapshot.name(offset));
        let bytes = storage.read_all(&path, SNAPSHOT_BYTES_MAX)?.and_then(Result::ok);
        if let Some(states) = bytes.and_then(|bytes| ProducerStates::decode(&bytes)) {
            return Ok(Some((offset, states)));
        }
    }
    Ok(None)
}

impl Log {
    /// Producer state as of `upto`: the newest snapshot below, and the batches since.
    pub(crate) fn producers_at(&self, upto: i64) -> Result<ProducerStates> {
        let start = self.start_offset();
        let snapshot = newest_snapshot(&self.context.storage, &self.dir, start, upto)?;
        let (from, mut producers) = snapshot.unwrap_or((start, ProducerStates::default()));
        let mut walk = self.walk(&Cursor::new(from), upto, true);
        loop {
            match walk.next() {
                Ok(Some(batch)) => replay(&mut producers, &batch),
                Ok(None) => return Ok(producers),
                Err(error) => return Err(error),
            };
        }
    }

    /// Producer state at the log end, without those that have expired.
    pub(crate) fn load_producers(&self) -> Result<ProducerStates> {
        let mut producers = self.producers_at(self.end_offset())?;
        self.context.saw_producers(&producers);
        producers.expire(self.context.producers_expire_before());
        Ok(producers)
    }

    /// Reads a whole segment again: its index and its aborted transactions.
    pub(crate) fn replay_segment(
        &self,
        segments: &[Arc<Segment>],
        index: usize,
    ) -> Result<Rebuilt> {
        let config = self.config();
        let Some(segment) = segments.get(index) else {
            return Err(Error::offset_out_of_range(0, 0, 0));
        };
        let mut producers = self.producers_at(segment.base_offset)?;
        let mut builder = IndexBuilder::new(segment.base_offset, config.index_interval_bytes);
        let mut aborted = Vec::new();
        let mut scanner = segment.scan(segment.start(), true)?;
        while let Ok(Some(scanned)) = scanner.next() {
            builder.add(scanned.batch.header(), scanned.position);
            aborted.extend(replay(&mut producers, &scanned.batch));
        }
        Ok(Rebuilt { index: builder, aborted })
    }
}
