//! Appending the markers that end transactions.

use std::sync::Arc;

use super::partition::Log;
use super::producers::ProducerStates;
use super::roll::{Next, Pending};
use crate::error::{Error, ErrorCode, Result};
use crate::record::{BatchBuilder, ControlRecord};
use crate::types::TimestampType;
use crate::wait::Quiet;

/// The end of a producer's transaction, for its partitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) says: ControlRecord,
    /// The epoch is higher than that of the transaction's records (KIP-890), so that a log that
    /// knows it has its marker already.
    pub(crate) bumps: bool,
}

impl Log {
    /// Ends a producer's transaction here, if it has left anything and was not ended before.
    /// Answers up to where a sync makes it durable. From here on the log takes nothing of the
    /// transaction any more, also where it had none of it.
    ///
    /// Fails as an append does.
    pub(crate) fn append_marker(&self, marker: Marker) -> Result<i64> {
        let config = self.config();
        let now = self.context.clock.wall_millis();
        let Marker { producer_id, epoch, says, .. } = marker;
        let mut batch = BatchBuilder::marker(Some(now), producer_id, epoch, says)?;
        if config.timestamp_type == TimestampType::LogAppendTime {
            batch.set_log_append_time(now);
        }
        let _quiet = Quiet::new();
        let outcome = {
            let mut writer = self.writer.lock();
            if let Some(error) = self.append_error() {
                return Err(error);
            }
            self.prepare(&mut writer, &config)?;
            let producers = writer.producers.get_or_insert_default();
            if !producers.has_open(producer_id) || is_later(producers, &marker) {
                producers.fence(producer_id, epoch, now);
                return Ok(self.end_offset());
            }
            let end = self.end_offset();
            if end == i64::MAX - 1 {
                let message = "the log has no more offsets";
                return Err(Error::kafka(ErrorCode::InvalidRequest, message).on(&self.tp));
            }
            let (header, size) = (*batch.header(), batch.bytes().len());
            let next =
                Next { before: &Pending::default(), size, header: &header, last_offset: end };
            let segment = match self.segments().last() {
                Some(active) if !self.must_roll(&writer, &config, active, &next) => {
                    Ok(Arc::clone(active))
                }
                _ => self.roll(&mut writer, &config),
            };
            segment.and_then(|segment| {
                batch.assign(end, Self::current_epoch(&writer));
                self.write(&segment, std::slice::from_ref(&batch))?;
                self.take_note(&mut writer, &segment, batch.header(), Some(says));
                self.meter.wrote(1, 1, size as u64);
                Ok(self.end_offset())
            })
        };
        match &outcome {
            Err(error) => self.append_failed(error),
            Ok(_) => {
                // What is stable has moved.
                self.readers.wake_all();
                self.context.attention.grew();
                if config.flush_ms < i64::MAX {
                    self.start_flush_timer(config.flush_ms);
                }
            }
        }
        outcome
    }

    /// The producers that have a transaction open here, with its epoch. Reads what an open left
    /// alone.
    pub(crate) fn open_transactions(&self) -> Result<Vec<(i64, i16)>> {
        let mut writer = self.writer.lock();
        if writer.producers.is_none() {
            writer.producers = Some(self.load_producers()?);
        }
        Ok(writer.producers.as_ref().map(ProducerStates::open_transactions).unwrap_or_default())
    }

    /// The epoch that markers carry as their coordinator's: that of this log's leader.
    pub(crate) fn leader_epoch(&self) -> i32 {
        Self::current_epoch(&self.writer.lock())
    }
}

/// Whether what is open is of a later transaction: this one has its marker.
fn is_later(producers: &ProducerStates, marker: &Marker) -> bool {
    marker.bumps && producers.epoch(marker.producer_id).is_some_and(|known| known >= marker.epoch)
}
