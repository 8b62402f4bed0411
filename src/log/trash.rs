//! Files that wait to be removed.
//!
//! As in Kafka a file that is not needed any more is renamed to `.deleted` at once and removed
//! `file.delete.delay.ms` later; what is left after a crash goes at the next open. Batches that
//! readers hold do not need the file: they share memory or a descriptor.

use std::time::Duration;

use parking_lot::Mutex;

use crate::error::Result;
use crate::storage::{FileName, FilePath, Storage};

/// The end of the name of a file that waits.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";

/// The files that wait, and when each may go on the monotonic clock. A leaf lock.
#[derive(Debug, Default)]
pub(crate) struct Trash(Mutex<Vec<(Duration, FilePath)>>);

impl Trash {
    /// Renames a file, if it is there, and removes it when the clock shows `due`.
    pub(crate) fn discard(
        &self,
        storage: &Storage,
        dir: &FileName,
        name: &FileName,
        due: Duration,
    ) -> Result<()> {
        let Some(deleted) = FileName::new(&format!("{}{DELETED_SUFFIX}", name.as_str())) else {
            return Ok(());
        };
        if storage.rename_if_exists(dir, name, &deleted)? {
            self.0.lock().push((due, FilePath::within(dir, deleted)));
        }
        Ok(())
    }

    /// The directory goes, with all its files.
    pub(crate) fn forget(&self, dir: &FileName) {
        self.0.lock().retain(|(_, path)| path.dir.as_ref() != Some(dir));
    }

    /// When the next file may go.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.0.lock().iter().map(|(due, _)| *due).min()
    }

    /// Removes the files that are due, or all of them.
    pub(crate) fn empty(&self, storage: &Storage, now: Option<Duration>) {
        let due: Vec<FilePath> = {
            let mut files = self.0.lock();
            let (due, rest) = std::mem::take(&mut *files)
                .into_iter()
                .partition(|(due, _)| now.is_none_or(|now| *due <= now));
            *files = rest;
            due.into_iter().map(|(_, path)| path).collect()
        };
        for path in due {
            // What cannot be removed now goes at the next open.
            let _ = storage.remove_if_exists(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Open;

    #[test]
    fn files_go_when_their_time_has_come() {
        let storage = Storage::memory();
        let dir = FileName::new("t-0").unwrap();
        storage.create_dir(&dir).unwrap();
        let (trash, names) = (Trash::default(), ["a", "b"].map(|n| FileName::new(n).unwrap()));
        for (name, due) in names.iter().zip([5, 9]) {
            storage.open(&FilePath::within(&dir, name.clone()), Open::CreateNew).unwrap();
            trash.discard(&storage, &dir, name, Duration::from_secs(due)).unwrap();
        }
        trash.discard(&storage, &dir, &FileName::new("none").unwrap(), Duration::ZERO).unwrap();
        let left = || -> Vec<String> {
            let entries = storage.list(Some(&dir)).unwrap();
            entries.iter().map(|e| e.name.as_ref().unwrap().as_str().to_owned()).collect()
        };
        assert_eq!(left(), ["a.deleted", "b.deleted"]);
        assert_eq!(trash.next_due(), Some(Duration::from_secs(5)));
        trash.empty(&storage, Some(Duration::from_secs(8)));
        assert_eq!(left(), ["b.deleted"]);
        trash.forget(&FileName::new("t-1").unwrap());
        assert_eq!(trash.next_due(), Some(Duration::from_secs(9)));
        trash.empty(&storage, None);
        assert!(left().is_empty());
        assert_eq!(trash.next_due(), None);
    }
}
