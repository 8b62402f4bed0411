//! One record by its offset.

use super::records::{Record, Records};
use super::runs::Unread;
use crate::broker::Partition;
use crate::error::Result;
use crate::log::{Cursor, Picked, ReadOptions};
use crate::record::find_record;
use crate::types::IsolationLevel;

impl Partition {
    /// The record at an offset; `None` where there is none: compaction removed it, it was the
    /// marker of a transaction, or the offset is the log end. Does not block. Reads the batch that
    /// holds the record.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// broker.producer().build()?.send(ProducerRecord::to("t").value("v")).wait()?;
    /// let partition = broker.topic("t")?.partition(0)?;
    /// let record = partition.get(0)?.expect("there is one");
    /// assert_eq!(record.value.as_deref(), Some(&b"v"[..]));
    /// assert_eq!(partition.get(1)?, None);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn get(&self, offset: i64) -> Result<Option<Record>> {
        self.get_one(offset, true)
    }

    /// The same without computing the checksum of the batch that holds the record, as with
    /// `check.crcs=false`: faster, and damage in a key or value goes unnoticed.
    ///
    /// ```
    /// # use logreel::{Broker, ProducerRecord};
    /// # let broker = Broker::in_memory();
    /// # broker.producer().build()?.send(ProducerRecord::to("t").value("v")).wait()?;
    /// let record = broker.topic("t")?.partition(0)?.get_without_crc(0)?;
    /// assert_eq!(record.map(|record| record.offset), Some(0));
    /// # Ok::<(), logreel::Error>(())
    /// ```
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
        if self.is_read_only() {
            self.log.refresh()?;
        }
        let take = |picked: &Picked| {
            let view = find_record(picked.records(), &picked.header, offset)?;
            Some(Record::new(&self.log.tp, &picked.header, &view, &picked.map))
        };
        if let Some(record) = self.log.pick(offset, crc, take) {
            return Ok(Some(record));
        }
        let mut cursor = Cursor::new(offset);
        let batches = self.log.fetch(&mut cursor, options)?;
        let Some(batch) = batches.first() else { return Ok(None) };
        let mut unread = Unread::new(batch, &self.log)?;
        let mut records = Records::default();
        if let Some(run) = unread.take(&self.log.tp, offset, 1)? {
            records.push(run);
        }
        let first = records.iter().next().filter(|record| record.offset() == offset);
        Ok(first.map(|record| record.to_record()))
    }
}
