//! One record by its offset.

use super::records::{Record, Unread};
use crate::broker::Partition;
use crate::error::Result;
use crate::log::{Cursor, ReadOptions};
use crate::types::IsolationLevel;

impl Partition {
    /// The record at an offset; `None` where there is none: compaction removed it, it was the
    /// marker of a transaction, or the offset is the log end. Does not block.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn get(&self, offset: i64) -> Result<Option<Record>> {
        self.get_one(offset, true)
    }

    /// The same without computing the checksum of the batch that holds the record, as with
    /// `check.crcs=false`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn get_without_crc(&self, offset: i64) -> Result<Option<Record>> {
        self.get_one(offset, false)
    }

    fn get_one(&self, offset: i64, crc: bool) -> Result<Option<Record>> {
        let options = ReadOptions {
            max_bytes: 1,
            at_least_one: true,
            crc,
            isolation: IsolationLevel::ReadUncommitted,
            control: false,
        };
        let mut cursor = Cursor::new(offset);
        let batches = self.log.fetch(&mut cursor, options)?;
        let Some(batch) = batches.first() else { return Ok(None) };
        let mut unread = Unread::new(batch, &self.log)?;
        let run = unread.take(&self.log.tp, offset, 1)?;
        Ok(run.and_then(|run| run.first()).filter(|record| record.offset == offset))
    }
}
