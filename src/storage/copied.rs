//! A copy of a directory in memory.

use std::ffi::OsStr;
use std::path::Path;

use super::backend::{EntryKind, FileName, FilePath, Open};
use super::{File, Storage};
use crate::error::{Error, ErrorKind, Result};

/// How much is read at a time.
const STEP_BYTES: usize = 1 << 20;

impl Storage {
    /// A copy of a directory in memory: real data in a test. The directory, ours or one that Kafka
    /// wrote, is opened as it would be on disk, and nothing in it changes. It may also be one
    /// partition, as it was copied from a Kafka broker (`orders-0`). Takes as much memory as
    /// there is in it. Nobody may be writing to it.
    ///
    /// ```
    /// use logreel::{Broker, Storage};
    /// # let home = tempfile::tempdir().unwrap();
    /// # let dir = home.path();
    /// # let original = Broker::open(dir)?;
    /// # original.create_topic("orders")?.partition(0)?.append([(Some("k"), Some("v"))])?;
    /// # original.close()?;
    /// let broker = Broker::builder().storage(Storage::copy_of(dir)?).open()?;
    /// assert_eq!(broker.topic("orders")?.partition(0)?.log_end_offset(), 1);
    /// let just_that = Broker::builder().storage(Storage::copy_of(dir.join("orders-0"))?).open()?;
    /// assert_eq!(just_that.topic("orders")?.partition(0)?.log_end_offset(), 1);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidDirectory` when there is no such directory; I/O errors with the path.
    pub fn copy_of(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            let message = format!("{} is no directory", dir.display());
            return Err(Error::new(ErrorKind::InvalidDirectory, message));
        }
        let copy = Self::memory();
        let from = Self::disk_with(dir, false);
        match dir.file_name().and_then(partition_name) {
            Some(name) if holds_segments(&from)? => {
                copy.create_dir(&name)?;
                copy_files(&from, None, &copy, Some(&name))?;
            }
            _ => {
                copy_files(&from, None, &copy, None)?;
                for name in names(&from, None, EntryKind::Directory)? {
                    copy.create_dir(&name)?;
                    copy_files(&from, Some(&name), &copy, Some(&name))?;
                }
            }
        }
        Ok(copy)
    }
}

/// The name of a directory, if it ends like that of a partition.
fn partition_name(name: &OsStr) -> Option<FileName> {
    let name = name.to_str()?;
    let (_, number) = name.rsplit_once('-')?;
    number.parse::<u32>().ok()?;
    FileName::new(name)
}

fn holds_segments(dir: &Storage) -> Result<bool> {
    let files = names(dir, None, EntryKind::File)?;
    Ok(files.iter().any(|name| name.as_str().ends_with(".log")))
}

fn names(storage: &Storage, dir: Option<&FileName>, kind: EntryKind) -> Result<Vec<FileName>> {
    let entries = storage.list(dir)?.into_iter();
    Ok(entries.filter(|entry| entry.kind == kind).filter_map(|entry| entry.name).collect())
}

fn copy_files(
    from: &Storage,
    dir: Option<&FileName>,
    copy: &Storage,
    to: Option<&FileName>,
) -> Result<()> {
    for name in names(from, dir, EntryKind::File)? {
        let file = from.open(&path(dir, &name), Open::Read)?;
        let new = copy.open(&path(to, &name), Open::CreateNew)?;
        copy_file(&file, &new)?;
    }
    Ok(())
}

fn path(dir: Option<&FileName>, name: &FileName) -> FilePath {
    FilePath { dir: dir.cloned(), name: name.clone() }
}

fn copy_file(file: &File, new: &File) -> Result<()> {
    let mut at = 0;
    loop {
        let bytes = file.read_at(at, STEP_BYTES)?;
        if bytes.is_empty() {
            return Ok(());
        }
        new.write_all_at(at, &bytes)?;
        at += bytes.len() as u64;
    }
}
