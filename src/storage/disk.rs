//! A directory of the file system.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::Storage;
use super::backend::{Backend, Entry, EntryKind, FileName, FilePath, Lock, Open, RawFile, Space};
use super::chunks::Chunks;
use super::lock::DirectoryLock;
use super::map::map;
use super::paths::Root;
use super::pool::{Handle, Pool, open_files_max};
use crate::metrics::{Held, Pinned};

/// Reads up to this size believe the caller; above it the length of the file limits the buffer,
/// so that a damaged length field cannot make us allocate more than there is to read.
const TRUSTED_READ: usize = 64 * 1024;

struct Disk {
    root: Arc<Root>,
    pool: Arc<Pool>,
    mmap: bool,
    pinned: Pinned,
    chunks: Chunks,
}

impl Storage {
    /// A directory on disk. It is made when a broker is opened on it, readable for its owner only.
    ///
    /// ```
    /// use logreel::{Broker, Storage};
    /// # let dir = tempfile::tempdir()?;
    /// // The same as `.dir(dir.path())`.
    /// let broker = Broker::builder().storage(Storage::disk(dir.path())).open()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn disk(dir: impl AsRef<Path>) -> Self {
        Self::disk_with(dir.as_ref(), true)
    }

    /// A directory on disk, with or without mapping sealed files into memory.
    pub(crate) fn disk_with(dir: &Path, mmap: bool) -> Self {
        Self::disk_limited(dir, mmap, open_files_max())
    }

    pub(super) fn disk_limited(dir: &Path, mmap: bool, open_files_max: usize) -> Self {
        let root = Arc::new(Root::new(dir));
        let pool = Pool::new(Arc::clone(&root), open_files_max);
        Self::new(Arc::new(Disk {
            root,
            pool,
            mmap,
            pinned: Pinned::default(),
            chunks: Chunks::default(),
        }))
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Disk({})", self.root.path().display())
    }
}

impl Disk {
    /// Where a file lies that may be renamed: it must not be a directory.
    fn renamable(&self, path: &FilePath) -> io::Result<PathBuf> {
        let full = self.root.resolve(path)?;
        if fs::symlink_metadata(&full)?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(full)
    }
}

impl Backend for Disk {
    fn pinned(&self) -> Pinned {
        self.pinned.clone()
    }

    fn display_path(&self, path: &FilePath) -> PathBuf {
        self.root.display(path)
    }

    fn root_path(&self) -> PathBuf {
        self.root.path().to_path_buf()
    }

    fn space(&self) -> io::Result<Option<Space>> {
        let found = nix::sys::statvfs::statvfs(self.root.path())?;
        // Of other widths on other systems.
        let unit = found.fragment_size() as u64;
        let bytes = |units: u64| units.saturating_mul(unit);
        Ok(Some(Space {
            total: bytes(found.blocks() as u64),
            usable: bytes(found.blocks_available() as u64),
        }))
    }

    fn create_root(&self) -> io::Result<()> {
        self.root.create()
    }

    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        Ok(Box::new(DirectoryLock::acquire(self.root.path())?))
    }

    fn is_locked(&self) -> io::Result<bool> {
        DirectoryLock::is_held(self.root.path())
    }

    fn open(&self, path: &FilePath, open: Open) -> io::Result<Arc<dyn RawFile>> {
        let handle = self.pool.open(path, open)?;
        let (pinned, chunks) = (self.pinned.clone(), self.chunks.clone());
        Ok(Arc::new(DiskFile { handle, mmap: self.mmap, pinned, chunks }))
    }

    fn list(&self, dir: Option<&FileName>) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        let directory = self.root.directory(dir)?;
        for entry in self.pool.borrow(|| fs::read_dir(&directory))? {
            let entry = entry?;
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_file() => EntryKind::File,
                Ok(kind) if kind.is_dir() => EntryKind::Directory,
                Ok(_) => EntryKind::Other,
                // Removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            found.push((entry.file_name(), kind));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let entry = |(name, kind): (std::ffi::OsString, _)| Entry {
            name: name.to_str().and_then(FileName::new),
            kind,
        };
        Ok(found.into_iter().map(entry).collect())
    }

    fn create_dir(&self, dir: &FileName) -> io::Result<()> {
        self.root.create_dir(dir)
    }

    fn rename_dir(&self, from: &FileName, to: &FileName) -> io::Result<()> {
        self.pool.rename_dir(from, to, || {
            let old = self.root.directory(Some(from))?;
            let new = self.root.child(Some(to));
            // The system call would silently replace an empty directory.
            match fs::symlink_metadata(&new) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(old, new),
                Err(error) => Err(error),
            }
        })
    }

    fn remove_dir(&self, dir: &FileName) -> io::Result<()> {
        fs::remove_dir(self.root.directory(Some(dir))?)
    }

    fn rename(&self, dir: Option<&FileName>, from: &FileName, to: &FileName) -> io::Result<()> {
        let from = FilePath { dir: dir.cloned(), name: from.clone() };
        let to = FilePath { dir: dir.cloned(), name: to.clone() };
        self.pool.rename(&from, &to, || fs::rename(self.renamable(&from)?, self.root.resolve(&to)?))
    }

    fn remove(&self, path: &FilePath) -> io::Result<()> {
        self.pool.remove(path, || fs::remove_file(self.renamable(path)?))
    }

    fn sync_dir(&self, dir: Option<&FileName>) -> io::Result<()> {
        self.pool.borrow(|| self.root.sync_dir(dir))
    }
}

#[derive(Debug)]
struct DiskFile {
    handle: Handle,
    mmap: bool,
    pinned: Pinned,
    chunks: Chunks,
}

impl RawFile for DiskFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.handle.change(|file| file.write_at(bytes, offset))
    }

    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    fn write_vectored_at(&self, offset: u64, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let at = offset.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        self.handle.change(|file| Ok(nix::sys::uio::pwritev(file, parts, at)?))
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let file = self.handle.file()?;
        let mut want = len;
        if len > TRUSTED_READ {
            let there = file.metadata()?.len().saturating_sub(offset);
            want = usize::try_from(there).map_or(len, |there| len.min(there));
        }
        let mut buffer = self.chunks.take(want);
        let mut got = 0;
        while let Some(rest) = buffer.room().get_mut(got..).filter(|rest| !rest.is_empty()) {
            let at = offset.checked_add(got as u64).ok_or(io::ErrorKind::InvalidInput)?;
            match file.read_at(rest, at) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(got);
        // One allocation, as without the counting.
        Ok(Bytes::from_owner(Held::new(buffer, &self.pinned.chunks)))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.handle.file()?.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.handle.change(|file| file.set_len(len))
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        use nix::fcntl::{FallocateFlags, fallocate};
        let (Ok(offset), Ok(len)) = (offset.try_into(), len.try_into()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        self.handle.change(|file| Ok(fallocate(file, keep, offset, len)?))
    }

    #[cfg(target_os = "linux")]
    fn release(&self, end: u64) -> io::Result<()> {
        self.handle.change(|file| {
            // Nothing is written: retention may go by the time.
            let written = file.metadata()?.modified()?;
            file.set_len(end)?;
            file.set_modified(written)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync()
    }

    fn map(&self, len: u64) -> io::Result<Option<Bytes>> {
        if !self.mmap {
            return Ok(None);
        }
        map(&*self.handle.file()?, len, &self.pinned.maps).map(Some)
    }

    fn modified_millis(&self) -> io::Result<i64> {
        let meta = self.handle.file()?.metadata()?;
        Ok(meta.mtime().saturating_mul(1000).saturating_add(meta.mtime_nsec() / 1_000_000))
    }

    fn set_modified_millis(&self, millis: i64) -> io::Result<()> {
        let since = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        let time = SystemTime::UNIX_EPOCH.checked_add(since).ok_or(io::ErrorKind::InvalidInput)?;
        self.handle.change(|file| file.set_modified(time))
    }
}
