//! Files put on a simulated disk, and taken from it, beside the program that is tested.

use super::super::Storage;
use super::super::backend::{EntryKind, FileName, FilePath, Open};
use super::SimStorage;
use crate::error::{Error, Result};

impl SimStorage {
    /// The paths and contents of all files, in the order of their paths.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where a fault is in force.
    ///
    /// # Examples
    ///
    /// ```
    /// let disk = logreel::testing::SimStorage::new();
    /// logreel::Broker::builder().storage(disk.storage()).open()?.close()?;
    /// assert!(disk.files()?.iter().any(|(path, _)| path == "logreel.catalog"));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let storage = self.storage();
        let mut files = Vec::new();
        for entry in storage.list(None)? {
            let Some(name) = entry.name else { continue };
            if entry.kind != EntryKind::Directory {
                files.push(read(&storage, &FilePath::root(name))?);
                continue;
            }
            for inner in storage.list(Some(&name))?.into_iter().filter_map(|inner| inner.name) {
                files.push(read(&storage, &FilePath::within(&name, inner))?);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Puts a file there, in place of what has its path, with its directory if need be. It is
    /// durable on return.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) for a path of more than two names, and where a fault
    /// is in force.
    ///
    /// # Examples
    ///
    /// ```
    /// let disk = logreel::testing::SimStorage::new();
    /// disk.put_file("t-0/note", b"by hand")?;
    /// assert_eq!(disk.files()?, [("t-0/note".to_owned(), b"by hand".to_vec())]);
    /// assert!(disk.remove_file("t-0/note")? && !disk.remove_file("t-0/note")?);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn put_file(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let (storage, path) = (self.storage(), parse(path)?);
        if let Some(dir) = &path.dir
            && storage.list_if_exists(dir)?.is_none()
        {
            storage.create_dir(dir)?;
            storage.sync_dir(None)?;
        }
        storage.remove_if_exists(&path)?;
        let file = storage.open(&path, Open::CreateNew)?;
        file.write_all_at(0, bytes)?;
        file.sync()?;
        storage.sync_dir(path.dir.as_ref())
    }

    /// Takes a file away, durably; says whether it was there.
    ///
    /// # Errors
    ///
    /// As of [`put_file`](Self::put_file).
    ///
    /// # Examples
    ///
    /// See [`put_file`](Self::put_file).
    pub fn remove_file(&self, path: &str) -> Result<bool> {
        let (storage, path) = (self.storage(), parse(path)?);
        let removed = storage.remove_if_exists(&path)?;
        if removed {
            storage.sync_dir(path.dir.as_ref())?;
        }
        Ok(removed)
    }
}

fn read(storage: &Storage, path: &FilePath) -> Result<(String, Vec<u8>)> {
    let name = match &path.dir {
        Some(dir) => format!("{}/{}", dir.as_str(), path.name.as_str()),
        None => path.name.as_str().to_owned(),
    };
    let file = storage.open(path, Open::Read)?;
    let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    Ok((name, file.read_at(0, len)?.to_vec()))
}

fn parse(path: &str) -> Result<FilePath> {
    let (dir, name) = match path.split_once('/') {
        Some((dir, name)) => (Some(FileName::new(dir)), FileName::new(name)),
        None => (None, FileName::new(path)),
    };
    match (dir, name) {
        (None, Some(name)) => Ok(FilePath::root(name)),
        (Some(Some(dir)), Some(name)) => Ok(FilePath::within(&dir, name)),
        _ => {
            let error = std::io::ErrorKind::InvalidFilename.into();
            Err(Error::io(error, "use as a path of one or two names", std::path::Path::new(path)))
        }
    }
}
