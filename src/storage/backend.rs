//! The seam: what a home for files must be able to do. Crate-private, object-safe, in terms of
//! validated names and `std::io` errors. The methods of [`Storage`](super::Storage) above it add
//! paths to the errors.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::metrics::Pinned;

/// One component of a path: never empty, `.` or `..`, without separators and NUL, at most 255
/// bytes. By construction no name can leave the directory it is used in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileName(Arc<str>);

/// The longest file name that common file systems accept.
const NAME_BYTES_MAX: usize = 255;

impl FileName {
    pub(crate) fn new(name: &str) -> Option<Self> {
        let plain = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name != "."
            && name != ".."
            && !name.bytes().any(|b| matches!(b, b'/' | b'\\' | 0));
        plain.then(|| Self(name.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A file: in the root of the storage, or in one of its sub-directories. There is no deeper level.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FilePath {
    pub(crate) dir: Option<FileName>,
    pub(crate) name: FileName,
}

impl FilePath {
    pub(crate) fn root(name: FileName) -> Self {
        Self { dir: None, name }
    }

    pub(crate) fn within(dir: &FileName, name: FileName) -> Self {
        Self { dir: Some(dir.clone()), name }
    }
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file, for reading and writing; an error if the name is taken.
    CreateNew,
}

/// What a directory holds under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, pipe, socket or device: never opened.
    Other,
}

/// One name in a directory. `name` is `None` when it is not UTF-8 or cannot be a [`FileName`].
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Option<FileName>,
    pub(crate) kind: EntryKind,
}

/// The room of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) total: u64,
    /// What a user without privileges may still take.
    pub(crate) usable: u64,
}

/// A held directory lock; dropping it lets go.
pub(crate) trait Lock: Debug + Send + Sync {}

/// A home for files. All operations are relative to its root.
pub(crate) trait Backend: Debug + Send + Sync {
    /// The full path of a file, for messages.
    fn display_path(&self, path: &FilePath) -> PathBuf;
    /// The path of the root, for messages.
    fn root_path(&self) -> PathBuf;
    /// What is held for readers, where that is counted: a home in memory holds nothing for them.
    fn pinned(&self) -> Pinned {
        Pinned::default()
    }
    /// Makes the root directory itself if it is missing, and its entry durable.
    fn create_root(&self) -> io::Result<()>;
    /// Takes the directory's exclusive lock. `WouldBlock` when somebody else holds it; the message
    /// then says who, as far as that is known.
    fn lock(&self) -> io::Result<Box<dyn Lock>>;
    /// Whether somebody holds the directory's lock now. Takes and writes nothing.
    fn is_locked(&self) -> io::Result<bool>;

    /// Opens a regular file; refuses symbolic links, directories, pipes and devices.
    fn open(&self, path: &FilePath, open: Open) -> io::Result<Arc<dyn RawFile>>;
    /// What a directory holds, in name order; `None` is the root.
    fn list(&self, dir: Option<&FileName>) -> io::Result<Vec<Entry>>;
    /// Makes a sub-directory; an error if the name is taken.
    fn create_dir(&self, dir: &FileName) -> io::Result<()>;
    /// Renames a sub-directory; the new name must be free.
    fn rename_dir(&self, from: &FileName, to: &FileName) -> io::Result<()>;
    /// Removes an empty sub-directory.
    fn remove_dir(&self, dir: &FileName) -> io::Result<()>;
    /// Renames a file within its directory, replacing what has the new name. Atomic.
    fn rename(&self, dir: Option<&FileName>, from: &FileName, to: &FileName) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &FilePath) -> io::Result<()>;
    /// Makes the entries of a directory durable (creations, renames, removals).
    fn sync_dir(&self, dir: Option<&FileName>) -> io::Result<()>;
    /// How much room there is where the files live; `None` where that is no file system.
    fn space(&self) -> io::Result<Option<Space>> {
        Ok(None)
    }
    /// Whether nothing outlives the process, so that syncs cost nothing.
    fn is_volatile(&self) -> bool {
        false
    }

    /// A copy of everything as it is now, if that costs little. With `ends` nothing more can be
    /// read or written in the original, as if its process were gone.
    #[cfg(feature = "testing")]
    fn copy(&self, _ends: bool) -> Option<super::Storage> {
        None
    }

    /// One of the things that a power cut may leave now, if that is known; the original ends.
    #[cfg(feature = "testing")]
    fn cut_power(&self, _seed: u64) -> Option<super::Storage> {
        None
    }
}

/// The error of a change through a handle that was opened for reading.
pub(super) fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "the file is open for reading only")
}

/// All parts in one piece.
pub(super) fn joined(parts: &[io::IoSlice<'_>]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    whole
}

/// An open file. Readers and one writer may use it at the same time. It goes on being the same
/// file when its name or its directory's name changes, and when it is removed.
pub(crate) trait RawFile: Debug + Send + Sync {
    /// Writes at `offset`; may write less than given.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Writes these one after the other from `offset` on, as one write; may write less than given.
    fn write_vectored_at(&self, offset: u64, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.write_at(offset, &joined(parts))
    }
    /// Reads at most `len` bytes at `offset`; fewer only at the end of the file. Shares memory
    /// with the file where it can, and copies otherwise.
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes>;
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Has room on the disk ready for `len` bytes from `offset` on, where that can be had. Neither
    /// the content nor the length changes.
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        let _ = (offset, len);
        Ok(())
    }
    /// Gives back what is reserved behind the end of the file, which is at `end`. The time of the
    /// last write stays.
    fn release(&self, end: u64) -> io::Result<()> {
        let _ = end;
        Ok(())
    }
    /// Makes the content and the length durable (`fdatasync`). After a failure the handle may
    /// keep failing, and must not be believed if it does not: what was lost stays lost. Bytes
    /// written through a handle that was dropped without a sync are covered by the sync of
    /// another, but an error of their write-back may be missed.
    fn sync(&self) -> io::Result<()>;
    /// The first `len` bytes as shared memory, fewer if the file is shorter, if this home can map
    /// files. The caller promises that nobody will write to these bytes or cut them off from now
    /// on.
    fn map(&self, len: u64) -> io::Result<Option<Bytes>>;
    /// When the file was last written, in milliseconds since 1970.
    fn modified_millis(&self) -> io::Result<i64>;
    /// Sets when the file was last written. Not made durable by any sync.
    fn set_modified_millis(&self, millis: i64) -> io::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_directory() {
        for bad in ["", ".", "..", "a/b", "/", "../x", "a\\b", "a\0b", &"x".repeat(256)] {
            assert!(FileName::new(bad).is_none(), "{bad:?}");
        }
        for good in ["a", "orders-0", "...", ".lock", "00000000000000000000.log", &"x".repeat(255)]
        {
            assert!(FileName::new(good).is_some(), "{good:?}");
        }
    }
}
