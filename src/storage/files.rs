//! The storage as the floors above use it: every error says what was being done to which file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::Storage;
use super::backend::{Entry, EntryKind, FileName, FilePath, Lock, Open, RawFile, Space};
use crate::error::{Error, ErrorKind, Result};

/// What a file is called while it is written, before it takes the place of the one it replaces.
const TEMPORARY_SUFFIX: &str = ".tmp";
/// How many names are tried for it: somebody may have put directories there.
const TEMPORARY_NAMES: usize = 8;

/// A file is larger than any of its kind is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Storage {
    /// The full path of a file, for messages.
    pub(crate) fn path_of(&self, path: &FilePath) -> PathBuf {
        self.backend().display_path(path)
    }

    /// The full path of a directory (`None` is the root), for messages.
    pub(crate) fn dir_path(&self, dir: Option<&FileName>) -> PathBuf {
        match dir {
            Some(dir) => self.backend().display_path(&FilePath::root(dir.clone())),
            None => self.backend().root_path(),
        }
    }

    pub(crate) fn create_root(&self) -> Result<()> {
        self.backend()
            .create_root()
            .map_err(|e| Error::io(e, "create directory", &self.dir_path(None)))
    }

    /// Takes the exclusive lock of the directory.
    pub(crate) fn lock(&self) -> Result<Box<dyn Lock>> {
        self.backend().lock().map_err(|error| {
            let root = self.dir_path(None);
            if error.kind() == io::ErrorKind::WouldBlock {
                let message = format!("cannot open {}: {error}", root.display());
                Error::new(ErrorKind::DirectoryLocked, message)
            } else {
                Error::io(error, "lock", &root)
            }
        })
    }

    /// Whether somebody holds the lock of the directory now. Changes nothing.
    pub(crate) fn is_locked(&self) -> Result<bool> {
        let root = self.dir_path(None);
        self.backend().is_locked().map_err(|error| Error::io(error, "look at the lock of", &root))
    }

    pub(crate) fn open(&self, path: &FilePath, open: Open) -> Result<File> {
        let doing = if open == Open::CreateNew { "create" } else { "open" };
        match self.backend().open(path, open) {
            Ok(raw) => Ok(File { raw, path: self.path_of(path).into() }),
            Err(error) => Err(Error::io(error, doing, &self.path_of(path))),
        }
    }

    /// `None` when there is no such file, or no such directory.
    pub(crate) fn open_if_exists(&self, path: &FilePath, open: Open) -> Result<Option<File>> {
        match self.backend().open(path, open) {
            Ok(raw) => Ok(Some(File { raw, path: self.path_of(path).into() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(error, "open", &self.path_of(path))),
        }
    }

    /// What a directory holds, in name order.
    pub(crate) fn list(&self, dir: Option<&FileName>) -> Result<Vec<Entry>> {
        self.backend().list(dir).map_err(|e| Error::io(e, "list", &self.dir_path(dir)))
    }

    pub(crate) fn create_dir(&self, dir: &FileName) -> Result<()> {
        self.backend()
            .create_dir(dir)
            .map_err(|e| Error::io(e, "create directory", &self.dir_path(Some(dir))))
    }

    pub(crate) fn rename_dir(&self, from: &FileName, to: &FileName) -> Result<()> {
        self.backend()
            .rename_dir(from, to)
            .map_err(|e| Error::io(e, "rename", &self.dir_path(Some(from))))
    }

    /// Removes an empty directory.
    pub(crate) fn remove_dir(&self, dir: &FileName) -> Result<()> {
        self.backend()
            .remove_dir(dir)
            .map_err(|e| Error::io(e, "remove directory", &self.dir_path(Some(dir))))
    }

    /// What a directory holds; `None` when it does not exist.
    pub(crate) fn list_if_exists(&self, dir: &FileName) -> Result<Option<Vec<Entry>>> {
        match self.backend().list(Some(dir)) {
            Ok(entries) => Ok(Some(entries)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(error, "list", &self.dir_path(Some(dir)))),
        }
    }

    /// Removes a directory with the files in it. What is neither a file nor has a proper name is
    /// not ours to remove, and the directory stays then; says whether it went.
    pub(crate) fn remove_tree(&self, dir: &FileName) -> Result<bool> {
        let mut is_ours = true;
        for entry in self.list(Some(dir))? {
            if let (Some(name), EntryKind::File) = (entry.name, entry.kind) {
                self.remove_if_exists(&FilePath::within(dir, name))?;
            } else {
                is_ours = false;
            }
        }
        if is_ours {
            self.remove_dir(dir)?;
        }
        Ok(is_ours)
    }

    /// Renames a file within its directory, over another file if there is one.
    pub(crate) fn rename(
        &self,
        dir: Option<&FileName>,
        from: &FileName,
        to: &FileName,
    ) -> Result<()> {
        self.backend().rename(dir, from, to).map_err(|error| {
            let path = FilePath { dir: dir.cloned(), name: from.clone() };
            Error::io(error, "rename", &self.path_of(&path))
        })
    }

    /// The same for a file that may be missing; says whether it was there.
    pub(crate) fn rename_if_exists(
        &self,
        dir: &FileName,
        from: &FileName,
        to: &FileName,
    ) -> Result<bool> {
        match self.backend().rename(Some(dir), from, to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => {
                let path = FilePath::within(dir, from.clone());
                Err(Error::io(error, "rename", &self.path_of(&path)))
            }
        }
    }

    /// Removes a file; says whether there was one.
    pub(crate) fn remove_if_exists(&self, path: &FilePath) -> Result<bool> {
        match self.backend().remove(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io(error, "remove", &self.path_of(path))),
        }
    }

    /// How much room there is; `None` where the files live in no file system.
    pub(crate) fn space(&self) -> Result<Option<Space>> {
        let outcome = self.backend().space();
        outcome.map_err(|e| Error::io(e, "measure the room for", &self.dir_path(None)))
    }

    /// Whether syncs cost nothing.
    pub(crate) fn is_volatile(&self) -> bool {
        self.backend().is_volatile()
    }

    /// Makes creations, renames and removals in a directory durable.
    pub(crate) fn sync_dir(&self, dir: Option<&FileName>) -> Result<()> {
        self.backend().sync_dir(dir).map_err(|e| Error::io(e, "sync", &self.dir_path(dir)))
    }

    /// The content of a small file; `None` when it is missing. One larger than `limit` is not read.
    pub(crate) fn read_all(
        &self,
        path: &FilePath,
        limit: usize,
    ) -> Result<Option<Result<Bytes, TooLarge>>> {
        let Some(file) = self.open_if_exists(path, Open::Read)? else { return Ok(None) };
        if file.len()? > limit as u64 {
            return Ok(Some(Err(TooLarge)));
        }
        Ok(Some(Ok(file.read_at(0, limit)?)))
    }

    /// Replaces a file, or makes it, atomically and durably: after a crash there is the old
    /// content or the new, whole.
    pub(crate) fn replace(&self, path: &FilePath, content: &[u8]) -> Result<()> {
        let at = self.temporary(path)?;
        let file = self.open(&at, Open::CreateNew)?;
        file.write_all_at(0, content)?;
        file.sync()?;
        drop(file);
        self.rename(path.dir.as_ref(), &at.name, &path.name)?;
        self.sync_dir(path.dir.as_ref())
    }

    /// A free name beside `path`.
    fn temporary(&self, path: &FilePath) -> Result<FilePath> {
        let mut taken = io::ErrorKind::InvalidFilename.into();
        for number in 0..TEMPORARY_NAMES {
            let number = if number == 0 { String::new() } else { format!(".{number}") };
            let name = format!("{}{number}{TEMPORARY_SUFFIX}", path.name.as_str());
            let Some(name) = FileName::new(&name) else { break };
            let at = FilePath { dir: path.dir.clone(), name };
            // Left over from a crash, or planted: removed by name, never opened.
            match self.backend().remove(&at) {
                Ok(()) => return Ok(at),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(at),
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => taken = error,
                Err(error) => return Err(Error::io(error, "remove", &self.path_of(&at))),
            }
        }
        Err(Error::io(taken, "replace", &self.path_of(path)))
    }
}

/// An open file that knows its path for the sake of its errors.
#[derive(Clone, Debug)]
pub(crate) struct File {
    raw: Arc<dyn RawFile>,
    path: Arc<Path>,
}

impl File {
    /// The path the file was opened by. It may have been renamed since.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same file after a rename, for its messages.
    pub(crate) fn renamed(&self, path: PathBuf) -> Self {
        Self { raw: Arc::clone(&self.raw), path: path.into() }
    }

    /// When the file was last written, in milliseconds since 1970.
    pub(crate) fn modified_millis(&self) -> Result<i64> {
        self.raw.modified_millis().map_err(|e| self.error(e, "read the time of"))
    }

    /// Sets when the file was last written, in milliseconds since 1970.
    pub(crate) fn set_modified_millis(&self, millis: i64) -> Result<()> {
        self.raw.set_modified_millis(millis).map_err(|e| self.error(e, "set the time of"))
    }

    /// Writes all of `bytes` at `offset`. After an error any part of them may be written.
    pub(crate) fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            match self.raw.write_at(at, rest) {
                Ok(0) => return Err(self.error(io::ErrorKind::WriteZero.into(), "write")),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    at = at.saturating_add(written as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error, "write")),
            }
        }
        Ok(())
    }

    /// Has room on the disk ready for `len` bytes from `offset` on, where that can be had. The
    /// length of the file stays.
    pub(crate) fn reserve(&self, offset: u64, len: u64) -> Result<()> {
        self.raw.reserve(offset, len).map_err(|e| self.error(e, "reserve room behind"))
    }

    /// Gives back what is reserved behind the end of the file, which is at `end`.
    pub(crate) fn release(&self, end: u64) -> Result<()> {
        self.raw.release(end).map_err(|e| self.error(e, "give back room behind"))
    }

    /// Writes all of `parts`, one after the other from `offset` on. After an error any part of them
    /// may be written.
    pub(crate) fn write_all_vectored_at(
        &self,
        offset: u64,
        parts: &mut [io::IoSlice<'_>],
    ) -> Result<()> {
        let (mut rest, mut at) = (parts, offset);
        io::IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match self.raw.write_vectored_at(at, rest) {
                Ok(0) => return Err(self.error(io::ErrorKind::WriteZero.into(), "write")),
                Ok(written) => {
                    io::IoSlice::advance_slices(&mut rest, written);
                    at = at.saturating_add(written as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error, "write")),
            }
        }
        Ok(())
    }

    /// At most `len` bytes at `offset`; fewer only at the end of the file.
    pub(crate) fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        self.raw.read_at(offset, len).map_err(|e| self.error(e, "read"))
    }

    /// Exactly `len` bytes at `offset`; an error when the file ends before.
    pub(crate) fn read_exact_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let bytes = self.read_at(offset, len)?;
        if bytes.len() < len {
            return Err(self.error(io::ErrorKind::UnexpectedEof.into(), "read"));
        }
        Ok(bytes)
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.raw.len().map_err(|e| self.error(e, "read the length of"))
    }

    /// Cuts the file, or extends it with zeros.
    pub(crate) fn set_len(&self, len: u64) -> Result<()> {
        self.raw.set_len(len).map_err(|e| self.error(e, "set the length of"))
    }

    /// Makes content and length durable. A failure is final for this file: what was not durable
    /// then may never be, even if a later sync succeeds.
    pub(crate) fn sync(&self) -> Result<()> {
        self.raw.sync().map_err(|e| self.error(e, "sync"))
    }

    /// The first `len` bytes as shared memory, fewer if the file is shorter, where the storage can
    /// do that. The caller promises that nobody changes them from now on.
    pub(crate) fn map(&self, len: u64) -> Result<Option<Bytes>> {
        self.raw.map(len).map_err(|e| self.error(e, "map"))
    }

    #[cold]
    fn error(&self, error: io::Error, doing: &str) -> Error {
        Error::io(error, doing, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str) -> FilePath {
        FilePath::root(FileName::new(name).unwrap())
    }

    #[test]
    fn errors_say_what_and_where() {
        let storage = Storage::memory();
        let error = storage.open(&at("missing"), Open::Read).unwrap_err();
        assert_eq!(error.to_string(), "cannot open (memory)/missing: entity not found");
        assert_eq!(error.path(), Some(Path::new("(memory)/missing")));
        let _held = storage.lock().unwrap();
        let error = storage.lock().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DirectoryLocked);
        assert!(!error.to_string().contains('\n'));
        assert!(error.to_string().starts_with("cannot open (memory): "), "{error}");
    }

    #[test]
    fn replace_survives_its_own_leftovers() {
        let home = tempfile::tempdir().unwrap();
        for storage in [Storage::memory(), Storage::disk(home.path())] {
            let leftover = storage.open(&at("f.tmp"), Open::CreateNew).unwrap();
            leftover.write_all_at(0, b"longer than what comes").unwrap();
            storage.replace(&at("f"), b"one").unwrap();
            storage.replace(&at("f"), b"two").unwrap();
            assert_eq!(&storage.read_all(&at("f"), 3).unwrap().unwrap().unwrap()[..], b"two");
            assert_eq!(storage.list(None).unwrap().len(), 1);
            assert_eq!(storage.read_all(&at("f"), 2).unwrap(), Some(Err(TooLarge)));
            assert_eq!(storage.read_all(&at("g"), 2).unwrap(), None);
        }
    }

    #[test]
    fn parts_are_written_one_after_the_other() {
        let home = tempfile::tempdir().unwrap();
        for storage in [Storage::memory(), Storage::disk(home.path())] {
            let file = storage.open(&at("f"), Open::CreateNew).unwrap();
            file.write_all_at(0, b"ab").unwrap();
            let mut parts = [&b""[..], b"cd", b"", b"efg"].map(io::IoSlice::new);
            file.write_all_vectored_at(2, &mut parts).unwrap();
            file.write_all_vectored_at(7, &mut []).unwrap();
            assert_eq!(&file.read_at(0, 99).unwrap()[..], b"abcdefg");
        }
    }

    #[test]
    fn a_directory_in_the_place_of_the_temporary_file_stops_nobody() {
        let home = tempfile::tempdir().unwrap();
        for storage in [Storage::memory(), Storage::disk(home.path())] {
            let name = |number: usize| match number {
                0 => FileName::new("f.tmp").unwrap(),
                _ => FileName::new(&format!("f.{number}.tmp")).unwrap(),
            };
            for number in 0..TEMPORARY_NAMES {
                storage.replace(&at("f"), b"content").unwrap();
                storage.create_dir(&name(number)).unwrap();
            }
            let error = storage.replace(&at("f"), b"other").unwrap_err();
            assert!(error.path().is_some_and(|path| path.ends_with("f")), "{error}");
            assert_eq!(&storage.read_all(&at("f"), 9).unwrap().unwrap().unwrap()[..], b"content");
        }
    }

    #[test]
    fn replace_does_not_follow_a_planted_link() {
        let home = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), home.path().join("f.tmp")).unwrap();
        Storage::disk(home.path()).replace(&at("f"), b"content").unwrap();
        assert_eq!(outside.as_file().metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_tree_goes_with_its_files() {
        let storage = Storage::memory();
        let dir = FileName::new("t-0").unwrap();
        storage.create_dir(&dir).unwrap();
        for name in ["a", "b"] {
            let path = FilePath::within(&dir, FileName::new(name).unwrap());
            storage.open(&path, Open::CreateNew).unwrap();
        }
        assert!(storage.remove_tree(&dir).unwrap());
        assert!(storage.list(None).unwrap().is_empty());
        let file = storage.open(&at("x"), Open::CreateNew).unwrap();
        file.write_all_at(0, b"abc").unwrap();
        assert!(file.read_exact_at(1, 3).is_err());
        assert_eq!(&file.read_exact_at(1, 2).unwrap()[..], b"bc");
    }
}
