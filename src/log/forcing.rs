//! What tests have a log do out of turn.

use super::partition::Log;
use crate::error::{Error, ErrorKind, Result};

impl Log {
    /// Seals the active segment, unless it is empty.
    pub(crate) fn roll_now(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        if let Some(error) = self.append_error() {
            return Err(error);
        }
        let config = self.config();
        self.prepare(&mut writer, &config)?;
        self.roll(&mut writer, &config).map(|_| ())
    }

    /// Has an empty log begin at an offset, as if what lay below had been removed. The caller
    /// stores the log start and removes what lies below it.
    pub(crate) fn begin_at(&self, offset: i64) -> Result<()> {
        let mut writer = self.writer.lock();
        if let Some(error) = self.append_error() {
            return Err(error);
        }
        let (start, end) = (self.start_offset(), self.end_offset());
        if start != end || offset < end {
            let message = format!("the log holds {start}..{end}, it cannot begin at {offset}");
            return Err(Error::new(ErrorKind::IllegalState, message).on(&self.tp));
        }
        let config = self.config();
        self.prepare(&mut writer, &config)?;
        self.set_start(offset);
        self.publish(offset, offset);
        self.roll(&mut writer, &config).map(|_| ())
    }
}
