//! A home for files with somebody looking on: a hook is called before every operation.
//!
//! The hook may fail the operation instead, or never return. That is how tests kill a process at
//! each of its operations on a real disk.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::Storage;
use super::backend::{Backend, Entry, FileName, FilePath, Lock, Open, RawFile, Space};
use crate::metrics::Pinned;

/// Called with the name of the operation and the path it is about.
type Hook = Arc<dyn Fn(&str, &str) -> io::Result<()> + Send + Sync>;

#[derive(Clone)]
struct Observed {
    inner: Storage,
    hook: Hook,
}

impl Storage {
    /// `inner`, with `hook` called before every operation: its name (`open`, `create`, `read`,
    /// `write`, `len`, `set_len`, `reserve`, `release`, `sync`, `map`, `modified`, `set_modified`,
    /// `list`, `create_root`, `create_dir`, `rename_dir`, `remove_dir`, `rename`, `remove`,
    /// `sync_dir`, `lock`, `is_locked`) and its path. When the hook answers an error, that is the
    /// result and the operation is not done.
    ///
    /// ```
    /// use std::io;
    /// use logreel::{Broker, Storage};
    /// let full = |op: &str, path: &str| match op {
    ///     "write" if path.ends_with(".log") => Err(io::ErrorKind::StorageFull.into()),
    ///     _ => Ok(()),
    /// };
    /// let broker = Broker::builder().storage(Storage::observed(Storage::memory(), full)).open()?;
    /// let log = broker.create_topic("events")?.partition(0)?;
    /// let refused = log.append([(None, Some("x"))]).unwrap_err();
    /// assert_eq!(refused.kind(), logreel::ErrorKind::StorageFull);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn observed(
        inner: Storage,
        hook: impl Fn(&str, &str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Arc::new(Observed { inner, hook: Arc::new(hook) }))
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observed").field(&self.inner).finish()
    }
}

impl Observed {
    fn see(&self, op: &str, path: &Path) -> io::Result<&dyn Backend> {
        (self.hook)(op, &path.to_string_lossy())?;
        Ok(self.inner.backend())
    }

    fn see_file(&self, op: &str, path: &FilePath) -> io::Result<&dyn Backend> {
        self.see(op, &self.display_path(path))
    }

    fn see_dir(&self, op: &str, dir: Option<&FileName>) -> io::Result<&dyn Backend> {
        match dir {
            Some(dir) => self.see_file(op, &FilePath::root(dir.clone())),
            None => self.see(op, &self.root_path()),
        }
    }
}

impl Backend for Observed {
    fn display_path(&self, path: &FilePath) -> PathBuf {
        self.inner.backend().display_path(path)
    }

    fn root_path(&self) -> PathBuf {
        self.inner.backend().root_path()
    }

    fn pinned(&self) -> Pinned {
        self.inner.backend().pinned()
    }

    fn space(&self) -> io::Result<Option<Space>> {
        self.see_dir("space", None)?.space()
    }

    fn create_root(&self) -> io::Result<()> {
        self.see_dir("create_root", None)?.create_root()
    }

    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        self.see_dir("lock", None)?.lock()
    }

    fn is_locked(&self) -> io::Result<bool> {
        self.see_dir("is_locked", None)?.is_locked()
    }

    fn open(&self, path: &FilePath, open: Open) -> io::Result<Arc<dyn RawFile>> {
        let op = if open == Open::CreateNew { "create" } else { "open" };
        let inner = self.see_file(op, path)?.open(path, open)?;
        Ok(Arc::new(ObservedFile {
            inner,
            hook: Arc::clone(&self.hook),
            path: self.display_path(path).to_string_lossy().into(),
        }))
    }

    fn list(&self, dir: Option<&FileName>) -> io::Result<Vec<Entry>> {
        self.see_dir("list", dir)?.list(dir)
    }

    fn create_dir(&self, dir: &FileName) -> io::Result<()> {
        self.see_dir("create_dir", Some(dir))?.create_dir(dir)
    }

    fn rename_dir(&self, from: &FileName, to: &FileName) -> io::Result<()> {
        self.see_dir("rename_dir", Some(from))?.rename_dir(from, to)
    }

    fn remove_dir(&self, dir: &FileName) -> io::Result<()> {
        self.see_dir("remove_dir", Some(dir))?.remove_dir(dir)
    }

    fn rename(&self, dir: Option<&FileName>, from: &FileName, to: &FileName) -> io::Result<()> {
        let path = FilePath { dir: dir.cloned(), name: from.clone() };
        self.see_file("rename", &path)?.rename(dir, from, to)
    }

    fn remove(&self, path: &FilePath) -> io::Result<()> {
        self.see_file("remove", path)?.remove(path)
    }

    fn sync_dir(&self, dir: Option<&FileName>) -> io::Result<()> {
        self.see_dir("sync_dir", dir)?.sync_dir(dir)
    }
}

struct ObservedFile {
    inner: Arc<dyn RawFile>,
    hook: Hook,
    path: Arc<str>,
}

impl fmt::Debug for ObservedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl ObservedFile {
    fn see(&self, op: &str) -> io::Result<&dyn RawFile> {
        (self.hook)(op, &self.path)?;
        Ok(&*self.inner)
    }
}

impl RawFile for ObservedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.see("write")?.write_at(offset, bytes)
    }

    fn write_vectored_at(&self, offset: u64, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.see("write")?.write_vectored_at(offset, parts)
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.see("read")?.read_at(offset, len)
    }

    fn len(&self) -> io::Result<u64> {
        self.see("len")?.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.see("set_len")?.set_len(len)
    }

    fn reserve(&self, offset: u64, len: u64) -> io::Result<()> {
        self.see("reserve")?.reserve(offset, len)
    }

    fn release(&self, end: u64) -> io::Result<()> {
        self.see("release")?.release(end)
    }

    fn sync(&self) -> io::Result<()> {
        self.see("sync")?.sync()
    }

    fn map(&self, len: u64) -> io::Result<Option<Bytes>> {
        self.see("map")?.map(len)
    }

    fn modified_millis(&self) -> io::Result<i64> {
        self.see("modified")?.modified_millis()
    }

    fn set_modified_millis(&self, millis: i64) -> io::Result<()> {
        self.see("set_modified")?.set_modified_millis(millis)
    }
}
