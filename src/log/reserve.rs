//! Room on the disk behind the active segment, taken in steps before it is needed.
//!
//! A file system that finds room write by write does that bookkeeping for every page. Where the
//! room is there already a write of 64 KiB took three quarters of the time (ext4, two cores: 33
//! instead of 42 us). The length of the file stays what was written; only the disk is fuller, by
//! at most a quarter of the segment, until the segment is full or the log is closed.

use crate::storage::File;

/// Segments below this size reserve nothing: there may be many that stay small.
const RESERVE_FROM_BYTES: u64 = 1024 * 1024;
/// At most so much at a time. Larger steps are no faster.
const STEP_BYTES_MAX: u64 = 1024 * 1024;
/// A step is this part of the segment.
const STEP_PART: u64 = 4;

/// What is reserved behind the active segment.
#[derive(Debug, Default)]
pub(super) struct Reserve {
    /// How far it reaches; `None` if this process has reserved nothing.
    until: Option<u64>,
    /// The process before may have reserved something and not come to give it back.
    inherited: bool,
}

impl Reserve {
    /// That of a log that was not closed.
    pub(super) fn inherited() -> Self {
        Self { until: None, inherited: true }
    }

    /// Reserves a step when the segment, which ends at `end`, has used up the last, up to `limit`.
    /// It may fail, and nobody hears of it: an append does not need it.
    #[inline]
    pub(super) fn extend(&mut self, file: &File, end: u64, limit: u64) {
        if end >= RESERVE_FROM_BYTES.max(self.until.unwrap_or(0)) {
            self.step(file, end, limit);
        }
    }

    #[cold]
    fn step(&mut self, file: &File, end: u64, limit: u64) {
        let until = end.saturating_add((end / STEP_PART).min(STEP_BYTES_MAX)).min(limit);
        if until > end {
            let _ = file.reserve(end, until - end);
        }
        // Also if it failed: a full disk is not asked at every append.
        self.until = Some(until.max(end.saturating_add(1)));
    }

    /// Gives back what is reserved behind `end`, where the segment ends. Failing costs room.
    pub(super) fn give_back(&mut self, file: &File, end: u64) {
        if self.until.take().is_some_and(|until| until > end) || self.inherited {
            let _ = file.release(end);
        }
        self.inherited = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{FileName, FilePath, Open, Storage};
    use std::os::unix::fs::MetadataExt as _;

    const MIB: u64 = 1024 * 1024;

    /// A file of a length, and the bytes it takes on the disk now.
    fn file(len: u64) -> (tempfile::TempDir, File, impl Fn() -> (u64, u64)) {
        let home = tempfile::tempdir().unwrap();
        let path = FilePath::root(FileName::new("f").unwrap());
        let file = Storage::disk(home.path()).open(&path, Open::CreateNew).unwrap();
        for at in (0..len).step_by(1 << 20) {
            file.write_all_at(at, &vec![7; usize::try_from(MIB.min(len - at)).unwrap()]).unwrap();
        }
        file.sync().unwrap();
        let place = home.path().join("f");
        let sizes = move || {
            let meta = std::fs::metadata(&place).unwrap();
            (meta.len(), meta.blocks() * 512)
        };
        (home, file, sizes)
    }

    /// Whether this disk reserves at all.
    fn can(file: &File, sizes: &impl Fn() -> (u64, u64)) -> bool {
        let (len, before) = sizes();
        file.reserve(len, MIB).unwrap();
        let can = sizes().1 > before;
        file.release(len).unwrap();
        can
    }

    #[test]
    fn room_is_taken_in_steps_and_given_back_and_the_length_stays() {
        let len = 8 * MIB;
        let (_home, file, sizes) = file(len);
        if !can(&file, &sizes) {
            return;
        }
        let before = sizes().1;
        let mut reserve = Reserve::default();
        reserve.extend(&file, len, u64::MAX);
        assert_eq!(sizes(), (len, before + MIB));
        reserve.extend(&file, len + MIB - 1, u64::MAX);
        assert_eq!(sizes(), (len, before + MIB), "the step is not used up");
        reserve.give_back(&file, len);
        assert_eq!(sizes(), (len, before));
        assert_eq!(&file.read_at(len - 1, 10).unwrap()[..], [7]);
    }

    #[test]
    fn a_small_segment_reserves_nothing_and_none_reserves_past_its_limit() {
        let (_home, file, sizes) = file(2 * MIB);
        if !can(&file, &sizes) {
            return;
        }
        let before = sizes();
        Reserve::default().extend(&file, MIB - 1, u64::MAX);
        Reserve::default().extend(&file, 2 * MIB, 2 * MIB);
        assert_eq!(sizes(), before);
        Reserve::default().extend(&file, 2 * MIB, 2 * MIB + 4096);
        assert_eq!(sizes(), (before.0, before.1 + 4096));
    }

    #[test]
    fn what_a_process_that_died_had_reserved_is_given_back() {
        let (_home, file, sizes) = file(2 * MIB);
        let before = sizes();
        Reserve::default().extend(&file, 2 * MIB, u64::MAX);
        Reserve::default().give_back(&file, 2 * MIB);
        // Retention may go by the time of the last write.
        file.set_modified_millis(1_600_000_000_000).unwrap();
        let mut reserve = Reserve::inherited();
        reserve.give_back(&file, 2 * MIB);
        assert_eq!(sizes(), before);
        assert_eq!(file.modified_millis().unwrap(), 1_600_000_000_000);
    }
}
