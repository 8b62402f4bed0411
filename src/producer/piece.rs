//! A sealed batch on its way into the log, and its halves when it is too large for it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::identity::Stamp;
use super::memory::Memory;
use super::slot::BatchSlot;
use crate::error::Result;
use crate::log::Sealed;
use crate::record::{BatchBuilder, Compression, Header, RecordBatch, SealedBatch};

/// A sealed batch, or a part of one that was split.
pub(super) struct Piece {
    pub(super) batch: SealedBatch,
    pub(super) slot: Arc<BatchSlot>,
    /// Which records of the slot these are.
    pub(super) records: Range<i32>,
    /// Its sequence numbers, for an idempotent producer.
    pub(super) stamp: Option<Stamp>,
    /// How often it failed.
    pub(super) attempts: u32,
    /// It may stand in the log: an answer was lost.
    pub(super) lost: bool,
}

impl Piece {
    /// Seals a batch that nothing is added to any more.
    pub(super) fn seal(
        builder: BatchBuilder,
        slot: Arc<BatchSlot>,
        memory: &Memory,
    ) -> Result<Self> {
        let count = i32::try_from(builder.len()).unwrap_or(i32::MAX);
        slot.set_count(count);
        let size = builder.size();
        let (batch, spare) = builder.seal_into(|| memory.take_buffer(size))?;
        if let Some(spare) = spare {
            memory.give_buffer(spare);
        }
        Ok(Self { batch, slot, records: 0..count, stamp: None, attempts: 0, lost: false })
    }

    /// How many records it has.
    pub(super) fn count(&self) -> i32 {
        self.records.end - self.records.start
    }

    /// Gives it these sequence numbers.
    pub(super) fn set_stamp(&mut self, stamp: Option<Stamp>) {
        if let Some(Stamp { id, epoch, sequence }) = stamp {
            self.batch.set_producer(id, epoch, sequence);
        }
        self.stamp = stamp;
    }

    /// Two batches with half of the records each, compressed with this codec.
    pub(super) fn split(&self, codec: Compression, level: Option<i32>) -> Result<[Self; 2]> {
        let batch = RecordBatch::parse(Bytes::copy_from_slice(self.batch.bytes()))?;
        let records = batch.records()?;
        let middle = self.records.start + self.count() / 2;
        let halves = [self.records.start..middle, middle..self.records.end];
        let [first, second] = halves.map(|half| -> Result<Self> {
            let mut builder = BatchBuilder::new();
            if batch.header().is_transactional() {
                builder = builder.transactional();
            }
            if codec != Compression::None {
                builder = builder.compression(codec, level);
            }
            for (index, record) in (self.records.start..).zip(&records) {
                if half.contains(&index) {
                    let headers: Vec<Header> = record.headers().map(owned).collect();
                    builder.append(record.timestamp(), record.key(), record.value(), &headers)?;
                }
            }
            Ok(Self {
                batch: builder.seal()?,
                slot: Arc::clone(&self.slot),
                records: half,
                stamp: None,
                attempts: 0,
                lost: false,
            })
        });
        Ok([first?, second?])
    }
}

fn owned(header: crate::record::HeaderView<'_>) -> Header {
    let key = header.key_lossy();
    match header.value() {
        Some(value) => Header::new(key, Bytes::copy_from_slice(value)),
        None => Header::null(key),
    }
}

impl Sealed for Piece {
    fn sealed(&self) -> &SealedBatch {
        &self.batch
    }

    fn sealed_mut(&mut self) -> &mut SealedBatch {
        &mut self.batch
    }
}
