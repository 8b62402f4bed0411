//! A directory that exists in memory only and is gone with its last user.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::Storage;
use super::backend::{Backend, Entry, FileName, FilePath, Lock, Open, RawFile, joined, read_only};
use super::content::Content;
use super::tree::Tree;
use crate::time::Clock;

/// What messages call the root.
const ROOT_NAME: &str = "(memory)";

struct Memory {
    clock: Clock,
    tree: Mutex<Tree<Arc<MemoryFile>>>,
    locked: Arc<AtomicBool>,
}

impl Storage {
    /// Files in memory: the same log without a disk. Its content lives as long as a clone of this
    /// value, so a broker can be closed and opened again on it.
    #[must_use]
    pub fn memory() -> Self {
        Self::memory_with(Clock::system())
    }

    /// Files in memory whose modification times are taken from `clock`.
    pub(crate) fn memory_with(clock: Clock) -> Self {
        Self::new(Arc::new(Memory { clock, tree: Mutex::default(), locked: Arc::default() }))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[derive(Debug)]
struct MemoryLock(Arc<AtomicBool>);

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Takes a lock that lives in memory.
pub(super) fn lock_flag(flag: &Arc<AtomicBool>) -> io::Result<Box<dyn Lock>> {
    if flag.swap(true, Ordering::Acquire) {
        let message = "it is already open in this process (close the other broker first)";
        return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
    }
    Ok(Box::new(MemoryLock(Arc::clone(flag))))
}

/// Where a file in memory would lie, for messages.
pub(super) fn display(root: &str, path: &FilePath) -> PathBuf {
    let mut full = PathBuf::from(root);
    full.extend(path.dir.iter().map(FileName::as_str));
    full.push(path.name.as_str());
    full
}

impl Backend for Memory {
    fn display_path(&self, path: &FilePath) -> PathBuf {
        display(ROOT_NAME, path)
    }

    fn root_path(&self) -> PathBuf {
        Path::new(ROOT_NAME).to_path_buf()
    }

    fn create_root(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        lock_flag(&self.locked)
    }

    fn is_locked(&self) -> io::Result<bool> {
        Ok(self.locked.load(Ordering::Acquire))
    }

    fn open(&self, path: &FilePath, open: Open) -> io::Result<Arc<dyn RawFile>> {
        let mut tree = self.tree.lock();
        let file = if open == Open::CreateNew {
            let modified = self.clock.wall_millis();
            let file = Arc::new(MemoryFile(RwLock::new(Body::new(modified))));
            tree.create(path, Arc::clone(&file))?;
            file
        } else {
            Arc::clone(tree.file(path)?)
        };
        let clock = (open != Open::Read).then(|| self.clock.clone());
        Ok(Arc::new(MemoryHandle { file, clock }))
    }

    fn list(&self, dir: Option<&FileName>) -> io::Result<Vec<Entry>> {
        self.tree.lock().list(dir)
    }

    fn create_dir(&self, dir: &FileName) -> io::Result<()> {
        self.tree.lock().create_dir(dir)
    }

    fn rename_dir(&self, from: &FileName, to: &FileName) -> io::Result<()> {
        self.tree.lock().rename_dir(from, to)
    }

    fn remove_dir(&self, dir: &FileName) -> io::Result<()> {
        self.tree.lock().remove_dir(dir)
    }

    fn rename(&self, dir: Option<&FileName>, from: &FileName, to: &FileName) -> io::Result<()> {
        self.tree.lock().rename(dir, from, to)
    }

    fn remove(&self, path: &FilePath) -> io::Result<()> {
        self.tree.lock().remove(path).map(drop)
    }

    fn sync_dir(&self, dir: Option<&FileName>) -> io::Result<()> {
        self.tree.lock().check_dir(dir)
    }

    fn is_volatile(&self) -> bool {
        true
    }

    #[cfg(feature = "testing")]
    fn copy(&self, ends: bool) -> Option<Storage> {
        // No file comes or goes meanwhile; those that are written to are each as of one moment.
        let mut tree = self.tree.lock();
        let copy = Self {
            clock: self.clock.clone(),
            tree: Mutex::new(tree.map(|file| Arc::new(file.copy(ends)))),
            locked: Arc::default(),
        };
        if ends {
            *tree = Tree::default();
        }
        drop(tree);
        Some(Storage::new(Arc::new(copy)))
    }
}

struct MemoryFile(RwLock<Body>);

#[cfg(feature = "testing")]
impl MemoryFile {
    fn copy(&self, ends: bool) -> Self {
        let mut body = self.0.write();
        let copy = Body { content: body.content.clone(), modified: body.modified, gone: false };
        body.gone |= ends;
        Self(RwLock::new(copy))
    }
}

struct Body {
    content: Content,
    modified: i64,
    /// Its process is gone, as far as a test is concerned.
    gone: bool,
}

impl Body {
    fn new(modified: i64) -> Self {
        Self { content: Content::default(), modified, gone: false }
    }
}

struct MemoryHandle {
    file: Arc<MemoryFile>,
    /// For writers: what stamps their changes.
    clock: Option<Clock>,
}

impl fmt::Debug for MemoryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryFile")
    }
}

impl MemoryHandle {
    fn change(&self, f: impl FnOnce(&mut Content) -> io::Result<()>) -> io::Result<()> {
        let now = self.clock.as_ref().ok_or_else(read_only)?.wall_millis();
        let mut body = self.file.0.write();
        if body.gone {
            return Err(io::Error::other("this storage was taken away"));
        }
        f(&mut body.content)?;
        body.modified = now;
        Ok(())
    }
}

impl RawFile for MemoryHandle {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        // Copied before the lock is taken: readers wait for a pointer, not for the bytes.
        let chunk = Bytes::copy_from_slice(bytes);
        self.change(|content| content.write(offset, chunk))?;
        Ok(bytes.len())
    }

    fn write_vectored_at(&self, offset: u64, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let chunk = Bytes::from(joined(parts));
        let len = chunk.len();
        self.change(|content| content.write(offset, chunk))?;
        Ok(len)
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        Ok(self.file.0.read().content.read(offset, len))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.0.read().content.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|content| content.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, _: u64) -> io::Result<Option<Bytes>> {
        Ok(None)
    }

    fn modified_millis(&self) -> io::Result<i64> {
        Ok(self.file.0.read().modified)
    }

    fn set_modified_millis(&self, millis: i64) -> io::Result<()> {
        self.clock.as_ref().ok_or_else(read_only)?;
        self.file.0.write().modified = millis;
        Ok(())
    }
}
