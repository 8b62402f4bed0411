//! Files that a test puts on the disk, or looks at, without a broker.

use super::super::Storage;
use super::super::backend::{EntryKind, FileName, FilePath, Open};
use super::SimStorage;
use crate::error::Result;

/// A path has at most two parts: a directory and a name.
fn parse(path: &str) -> Option<FilePath> {
    match path.split_once('/') {
        Some((dir, name)) => {
            Some(FilePath { dir: Some(FileName::new(dir)?), name: FileName::new(name)? })
        }
        None => Some(FilePath::root(FileName::new(path)?)),
    }
}

impl SimStorage {
    /// Puts a file there as a program would that writes and syncs it; its directory is made. Says
    /// whether it is there: not where a directory has the name, or where `path` is neither a name
    /// nor a directory's and a name with a slash between.
    ///
    /// ```
    /// use logreel::Broker;
    /// use logreel::testing::SimStorage;
    /// let disk = SimStorage::new();
    /// assert!(disk.put_file("recovery-point-offset-checkpoint", b"rubbish"));
    /// assert!(!disk.put_file("../outside", b""));
    /// let broker = Broker::builder().storage(disk.storage()).open()?;
    /// assert!(broker.recovery_report().repaired[0].contains("recovery-point"));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn put_file(&self, path: &str, content: &[u8]) -> bool {
        parse(path).is_some_and(|path| put(&self.storage(), &path, content).is_ok())
    }

    /// All files with their paths, in the order of names.
    ///
    /// ```
    /// use logreel::Broker;
    /// use logreel::testing::SimStorage;
    /// let disk = SimStorage::new();
    /// let broker = Broker::builder().storage(disk.storage()).topic("orders").open()?;
    /// assert!(disk.files().iter().any(|(path, _)| path == "orders-0/partition.metadata"));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        // What fails on command is not there to be read.
        list(&self.storage()).unwrap_or_default()
    }
}

fn put(storage: &Storage, path: &FilePath, content: &[u8]) -> Result<()> {
    if let Some(dir) = &path.dir
        && storage.list_if_exists(dir)?.is_none()
    {
        storage.create_dir(dir)?;
        storage.sync_dir(None)?;
    }
    storage.remove_if_exists(path)?;
    let file = storage.open(path, Open::CreateNew)?;
    file.write_all_at(0, content)?;
    file.sync()?;
    storage.sync_dir(path.dir.as_ref())
}

fn list(storage: &Storage) -> Result<Vec<(String, Vec<u8>)>> {
    let whole = |path: FilePath| -> Result<Vec<u8>> {
        let file = storage.open(&path, Open::Read)?;
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        Ok(file.read_at(0, len)?.to_vec())
    };
    let mut files = Vec::new();
    for entry in storage.list(None)? {
        let Some(name) = entry.name else { continue };
        if entry.kind == EntryKind::File {
            files.push((name.as_str().to_owned(), whole(FilePath::root(name.clone()))?));
            continue;
        }
        for inner in storage.list(Some(&name))?.into_iter().filter_map(|entry| entry.name) {
            let path = format!("{}/{}", name.as_str(), inner.as_str());
            files.push((path, whole(FilePath::within(&name, inner))?));
        }
    }
    Ok(files)
}
