//! `preallocate`: the file of the active segment is kept longer than the log, filled with zeros.
//!
//! A sync of bytes that lengthen a file, or are the first in a block that was only allocated,
//! writes what the file system knows of the file too, through its journal where it has one. One of
//! bytes that lie over zeros does not. Of records that were written and synced one by one a file
//! took, in thousands a second (ext4 without a journal, two cores, medians of seven alternating
//! runs; "kept" is allocated with the length kept, "ahead" is zeros by steps of 256 KiB):
//!
//! | record | lengthened | kept | allocated | zeros throughout | ahead |
//! |---|---|---|---|---|---|
//! | 120 B | 7.1 | 6.9 | 9.4 | 8.6 | 10.5 |
//! | 1.1 kB | 5.8 | 6.3 | 8.6 | 8.6 | 9.1 |
//! | 4.2 kB | 5.6 | 6.3 | 6.2 | 8.9 | 10.4 |
//!
//! The disk was given 3.0 writes a sync where the file was lengthened, and for large records where
//! it was only allocated, and 2.0 over zeros. So zeros are written, and a little at a time: Kafka
//! makes the file as long as a segment may be, at once and as a hole, which spares a sync nothing
//! but the length; all zeros at once would make a roll wait for a gigabyte. The append that passes
//! the zeros' end writes the next ones, and the sync that it needs anyway makes them durable with
//! it. Who syncs less often than once a step gains nothing, and gets no more of them.
//!
//! The log ends where its last batch does, whatever the file's length. The zeros are cut off when
//! the segment is full and when the log is closed, so that a finished directory is the same with
//! and without; after a crash they are found to be no batch, and cut off by the next open.

use crate::error::Result;
use crate::storage::File;

/// How far ahead zeros are written. Small records come to a thousand syncs a step, and for a large
/// one it is a few milliseconds of a slow disk; no more is taken from others on one that is almost
/// full.
pub(super) const STEP_BYTES: usize = 256 * 1024;

static ZEROS: [u8; STEP_BYTES] = [0; STEP_BYTES];

/// The zeros behind the log, in the file of its active segment.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// So far into the file they may reach.
    until: u64,
    /// The log end when they were written.
    since: i64,
    /// Some were cut off, and perhaps no sync has covered that.
    has_cut: bool,
}

impl Ahead {
    /// Writes more of them when the segment's bytes, which end at `end`, have passed the last, up
    /// to `limit`; `log_end` and `recovery_point` are those of the log now. It may fail, and nobody
    /// hears of it: an append does not need them.
    pub(super) fn extend(
        &mut self,
        file: &File,
        (end, limit): (u64, u64),
        (log_end, recovery_point): (i64, i64),
    ) {
        if end <= self.until || recovery_point < self.since {
            return;
        }
        let until = end.saturating_add(STEP_BYTES as u64).min(limit);
        let len = until.checked_sub(end).and_then(|len| usize::try_from(len).ok());
        let Some(zeros) = len.and_then(|len| ZEROS.get(..len)) else { return };
        if file.write_all_at(end, zeros).is_err() {
            // What there is of them is room that others may need. If they stay, so be it: they are
            // cut off with the rest.
            let _ = file.set_len(end);
        }
        // Also if it failed: a full disk is not asked at every append.
        (self.until, self.since) = (until, log_end);
    }

    /// Cuts them off where the segment's bytes end. A sync makes it durable.
    pub(super) fn cut(&mut self, file: &File, end: u64) -> Result<()> {
        if self.until > end {
            file.set_len(end)?;
            self.has_cut = true;
        }
        self.until = 0;
        Ok(())
    }

    /// Whether some were cut off.
    pub(super) fn has_cut(&self) -> bool {
        self.has_cut
    }
}

/// No more than this was ever written ahead: Kafka makes a file as long as its largest segment.
const AHEAD_BYTES_MAX: u64 = i32::MAX as u64;

/// Whether nothing but zeros stands in the file from `position` on, and no more of them than
/// somebody may have written ahead: a file that claims more is not read to its end.
pub(super) fn is_ahead(file: &File, position: u64) -> Result<bool> {
    if file.len()?.saturating_sub(position) > AHEAD_BYTES_MAX {
        return Ok(false);
    }
    let mut at = position;
    loop {
        let bytes = file.read_at(at, STEP_BYTES)?;
        if bytes.is_empty() {
            return Ok(true);
        }
        if ZEROS.get(..bytes.len()) != Some(&bytes[..]) {
            return Ok(false);
        }
        at = at.saturating_add(bytes.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{FileName, FilePath, Open, Storage};

    const STEP: u64 = STEP_BYTES as u64;

    /// A file with so many bytes of a log.
    fn file(len: usize) -> File {
        let path = FilePath::root(FileName::new("f").unwrap());
        let file = Storage::memory().open(&path, Open::CreateNew).unwrap();
        file.write_all_at(0, &vec![7; len]).unwrap();
        file
    }

    #[test]
    fn zeros_are_written_when_the_log_has_passed_the_last() {
        let (file, mut ahead) = (file(100), Ahead::default());
        ahead.extend(&file, (100, u64::MAX), (1, 0));
        assert_eq!(file.len().unwrap(), 100 + STEP);
        // The log grows over them.
        ahead.extend(&file, (100 + STEP, u64::MAX), (9, 9));
        assert_eq!(file.len().unwrap(), 100 + STEP, "up to their very end");
        ahead.extend(&file, (101 + STEP, u64::MAX), (10, 0));
        assert_eq!(file.len().unwrap(), 100 + STEP, "nothing was synced since");
        ahead.extend(&file, (101 + STEP, u64::MAX), (10, 1));
        assert_eq!(file.len().unwrap(), 101 + 2 * STEP);
    }

    #[test]
    fn zeros_end_at_the_limit() {
        for (limit, len) in [(99, 100), (100, 100), (101, 101), (100 + STEP, 100 + STEP)] {
            let (file, mut ahead) = (file(100), Ahead::default());
            ahead.extend(&file, (100, limit), (1, 0));
            assert_eq!(file.len().unwrap(), len, "limit {limit}");
        }
        let (file, mut ahead) = (file(100), Ahead::default());
        ahead.extend(&file, (100, 101 + STEP), (1, 0));
        assert_eq!(file.len().unwrap(), 100 + STEP, "a step and no more");
    }

    #[test]
    fn a_cut_leaves_the_log() {
        let (file, mut ahead) = (file(100), Ahead::default());
        ahead.cut(&file, 40).unwrap();
        assert_eq!(file.len().unwrap(), 100, "nothing was written ahead");
        assert!(!ahead.has_cut());
        ahead.extend(&file, (100, 150), (1, 0));
        ahead.cut(&file, 100).unwrap();
        assert_eq!(&file.read_at(0, 200).unwrap()[..], [7; 100]);
        assert!(ahead.has_cut());
        ahead.extend(&file, (100, 150), (1, 1));
        assert_eq!(file.len().unwrap(), 150, "the next segment begins anew");
    }

    #[test]
    fn one_other_byte_is_not_ahead() {
        let file = file(100);
        let end = 100 + STEP + 7;
        file.set_len(end).unwrap();
        assert!(is_ahead(&file, 100).unwrap() && is_ahead(&file, end).unwrap());
        assert!(!is_ahead(&file, 99).unwrap());
        for at in [100, 99 + STEP, 100 + STEP, end - 1] {
            file.write_all_at(at, &[1]).unwrap();
            assert!(!is_ahead(&file, 100).unwrap(), "at {at}");
            file.write_all_at(at, &[0]).unwrap();
        }
    }

    /// An open read a terabyte of zeros that took no room on the disk.
    #[test]
    fn more_zeros_than_anybody_writes_ahead_are_not_read() {
        let home = tempfile::tempdir().unwrap();
        let path = FilePath::root(FileName::new("f").unwrap());
        let file = Storage::disk(home.path()).open(&path, Open::CreateNew).unwrap();
        file.set_len(100 + AHEAD_BYTES_MAX).unwrap();
        assert!(is_ahead(&file, 100).unwrap());
        assert!(!is_ahead(&file, 99).unwrap());
    }
}
