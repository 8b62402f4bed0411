//! Batches that are read, and runs of their records that are handed out.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::log::Log;
use crate::metrics::Held;
use crate::record::{BatchHeader, RecordBatch, RecordView};
use crate::types::TopicPartition;

/// A run of records of one batch that have been checked, so that walking them cannot fail.
#[derive(Clone)]
pub(crate) struct Run {
    pub(super) tp: TopicPartition,
    pub(super) header: BatchHeader,
    /// These records and no others.
    pub(super) data: Bytes,
    pub(super) count: usize,
    pub(super) next_offset: i64,
}

/// A batch of which some records may have been taken already.
pub(crate) struct Unread {
    header: BatchHeader,
    data: Bytes,
    /// Where the next record begins.
    at: usize,
    left: usize,
}

impl Unread {
    pub(crate) fn new(batch: &RecordBatch, log: &Log) -> Result<Self> {
        let header = *batch.header();
        let gauge = log.context.counters.decompressed_bytes();
        let data = batch.records_data_as(|data| Bytes::from_owner(Held::new(data, gauge)))?;
        Ok(Self { header, data, at: 0, left: header.records_count() })
    }

    pub(crate) fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Takes up to `max` records with offsets from `from` on. The structure of each is checked
    /// here. `None` when the batch has no such record left.
    pub(crate) fn take(
        &mut self,
        tp: &TopicPartition,
        from: i64,
        max: usize,
    ) -> Result<Option<Run>> {
        let mut begin = self.at;
        let mut count = 0;
        let mut next_offset = from;
        let whole = &self.data[..];
        let (mut data, mut left) = (whole.get(self.at..).unwrap_or_default(), self.left);
        while left > 0 && count < max {
            let offset = match RecordView::check_plain(data, &self.header) {
                Some((offset, behind)) => {
                    data = behind;
                    offset
                }
                None => {
                    let at = whole.len() - data.len();
                    let (offset, next) = RecordView::check(whole, at, &self.header)?;
                    data = whole.get(next..).unwrap_or_default();
                    offset
                }
            };
            if count == 0 && offset < from {
                begin = whole.len() - data.len();
            } else {
                count += 1;
                next_offset = offset + 1;
            }
            left -= 1;
        }
        (self.at, self.left) = (whole.len() - data.len(), left);
        if self.left == 0 && self.at != self.data.len() {
            return Err(Error::kafka(
                crate::error::ErrorCode::CorruptMessage,
                format!(
                    "batch at offset {} has bytes after its records",
                    self.header.base_offset()
                ),
            )
            .on(tp));
        }
        if self.left == 0 {
            // Offsets after the last record may be gone; the position moves over them.
            next_offset = self.header.next_offset();
        }
        let data = self.data.slice(begin..self.at);
        let run = Run { tp: tp.clone(), header: self.header, data, count, next_offset };
        Ok((count > 0).then_some(run))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }
}

impl Run {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }
}
