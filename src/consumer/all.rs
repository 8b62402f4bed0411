//! Everything that is in a partition, for tests.

use super::records::{Record, Records};
use super::runs::Unread;
use crate::broker::Partition;
use crate::error::Result;
use crate::log::{Cursor, ReadOptions};
use crate::types::IsolationLevel;

/// How much is read at a time.
const STEP_BYTES: usize = 1 << 20;

impl Partition {
    /// Every record there is. Nothing counts it, and no fault strikes it.
    pub(crate) fn read_all(&self, isolation: IsolationLevel) -> Result<Vec<Record>> {
        let options = ReadOptions {
            max_bytes: STEP_BYTES,
            at_least_one: true,
            crc: true,
            isolation,
            control: false,
        };
        let start = self.log_start_offset();
        let (mut records, mut cursor) = (Records::default(), Cursor::new(start));
        loop {
            let before = cursor.offset();
            for batch in &self.log.read(&mut cursor, options)? {
                let mut unread = Unread::new(batch, &self.log)?;
                if let Some(run) = unread.take(&self.log.tp, start, usize::MAX)? {
                    records.push(run);
                }
            }
            if cursor.offset() == before {
                return Ok(records.to_vec());
            }
        }
    }
}
