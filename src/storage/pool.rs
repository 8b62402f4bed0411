//! Open files without owning descriptors: at most so many are open, the least recently used ones
//! are closed and opened again on demand.
//!
//! The rules that keep this invisible:
//!
//! - Bytes written but not synced are synced before their descriptor is closed, because an error
//!   of the later write-back could be missed by the descriptor opened next. If that sync fails, or
//!   any other, the handle remembers and every later sync of it fails: the system forgets the
//!   error, and a repeated sync would answer that lost bytes are safe.
//! - A handle follows its file. Names change only through the pool, which knows all handles by
//!   name: a rename renames them, and before a name goes away (removed, or replaced by a rename)
//!   the handles of its file are opened and keep their descriptors until they are dropped.
//! - A file that turns up under the name but is another one (device and inode) is not used.
//!
//! One mutex guards the names and the list of open files. A handle whose file is open takes only
//! its own short lock. Order: pool, then one handle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;
use nix::sys::resource::{Resource, getrlimit};
use parking_lot::Mutex;

use super::backend::{FileName, FilePath, Open, read_only};
use super::paths::Root;

/// How many descriptors a storage keeps open at most, and where nothing is known of the system's
/// limit. A file that is written after others were needs one opened, and theirs synced first.
pub(super) const OPEN_FILES_MAX: usize = 4096;
const OPEN_FILES_DEFAULT: usize = 512;

/// How many descriptors a storage keeps open: half of what the process may have, the other half is
/// the program's.
pub(super) fn open_files_max() -> usize {
    let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return OPEN_FILES_DEFAULT };
    usize::try_from(soft / 2).unwrap_or(OPEN_FILES_MAX).clamp(1, OPEN_FILES_MAX)
}

/// A full pool closes this part of its files at once: finding the oldest means looking at all.
const CLOSE_AT_ONCE: usize = 16;

#[derive(Debug)]
pub(super) struct Pool {
    root: Arc<Root>,
    capacity: usize,
    /// Counts the misses. A file used since the last miss is as recently used as any other, so a
    /// hit need not write anything shared.
    tick: AtomicU64,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    /// Every live handle, by the present name of its file.
    handles: BTreeMap<FilePath, Vec<Arc<Slot>>>,
    /// Those with a descriptor that may be closed.
    open: Vec<Arc<Slot>>,
    /// How many descriptors belong to files without a name.
    nameless: usize,
}

/// What the pool knows of one handle.
#[derive(Debug)]
struct Slot {
    writable: bool,
    identity: (u64, u64),
    /// Counts finished writes.
    written: AtomicU64,
    /// The value of `written` that the last successful sync covers.
    synced: AtomicU64,
    used: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<Arc<File>>,
    /// `None` once the name is gone: then `file` stays.
    path: Option<FilePath>,
    failed: Option<SyncFailure>,
}

/// A sync error, kept to be returned again.
#[derive(Debug)]
struct SyncFailure {
    code: Option<i32>,
    kind: io::ErrorKind,
}

impl SyncFailure {
    fn new(error: &io::Error) -> Self {
        Self { code: error.raw_os_error(), kind: error.kind() }
    }

    fn again(&self) -> io::Error {
        self.code.map_or_else(|| self.kind.into(), io::Error::from_raw_os_error)
    }
}

impl Slot {
    fn is_dirty(&self) -> bool {
        self.written.load(Ordering::Acquire) != self.synced.load(Ordering::Acquire)
    }

    /// Closes the descriptor, after a sync if need be. `false` if somebody is using it.
    fn close(&self) -> bool {
        let Some(mut state) = self.state.try_lock() else { return false };
        // Users clone the `Arc` under the lock. Unique means that all of them are done, and their
        // writes counted.
        if state.file.as_mut().is_none_or(|file| Arc::get_mut(file).is_none()) {
            return false;
        }
        if let Some(file) = state.file.take()
            && self.is_dirty()
        {
            let covered = self.written.load(Ordering::Acquire);
            if let Err(error) = file.sync_data() {
                state.failed.get_or_insert(SyncFailure::new(&error));
            }
            self.synced.fetch_max(covered, Ordering::AcqRel);
        }
        true
    }
}

impl Names {
    /// Closes at most `count` files, the least recently used of those that need no sync; if every
    /// one needs it, only one. Says whether it could close any.
    fn close_oldest(&mut self, count: usize) -> bool {
        let age = |(at, slot): (usize, &Arc<Slot>)| {
            (slot.is_dirty(), slot.used.load(Ordering::Relaxed), at)
        };
        let mut order: Vec<(bool, u64, usize)> = self.open.iter().enumerate().map(age).collect();
        order.sort_unstable();
        let mut closed = BTreeSet::new();
        for (dirty, _, at) in order {
            if closed.len() == count || (dirty && !closed.is_empty()) {
                break;
            }
            // Files in use are passed over; if all are, the pool rather exceeds its limit.
            if self.open.get(at).is_some_and(|slot| slot.close()) {
                closed.insert(at);
            }
        }
        let mut at = 0..;
        self.open.retain(|_| at.next().is_none_or(|at| !closed.contains(&at)));
        !closed.is_empty()
    }

    /// Takes a handle out of `open`, if it is there.
    fn forget_open(&mut self, slot: &Arc<Slot>) -> bool {
        let found = self.open.iter().position(|open| Arc::ptr_eq(open, slot));
        found.map(|at| self.open.remove(at)).is_some()
    }

    fn detach(&mut self, held: Vec<(Arc<Slot>, Arc<File>)>) {
        for (slot, file) in held {
            self.forget_open(&slot);
            let mut state = slot.state.lock();
            state.path = None;
            state.file = Some(file);
            self.nameless += 1;
        }
    }
}

/// The process may have less than our limit left: files are closed until it works.
fn closing_others<T>(names: &mut Names, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match act() {
            Err(error) if is_out_of_descriptors(&error) && names.close_oldest(1) => {}
            other => return other,
        }
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

impl Pool {
    pub(super) fn new(root: Arc<Root>, capacity: usize) -> Arc<Self> {
        Arc::new(Self { root, capacity, tick: AtomicU64::new(0), names: Mutex::default() })
    }

    /// A handle to a file, which is opened now.
    pub(super) fn open(self: &Arc<Self>, path: &FilePath, open: Open) -> io::Result<Handle> {
        let mut names = self.names.lock();
        let file = self.descriptor(&mut names, path, open)?;
        let meta = file.metadata()?;
        let slot = Arc::new(Slot {
            writable: open != Open::Read,
            identity: (meta.dev(), meta.ino()),
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            used: AtomicU64::new(self.tick.load(Ordering::Relaxed)),
            state: Mutex::new(State {
                file: Some(Arc::new(file)),
                path: Some(path.clone()),
                failed: None,
            }),
        });
        names.handles.entry(path.clone()).or_default().push(Arc::clone(&slot));
        names.open.push(Arc::clone(&slot));
        Ok(Handle { pool: Arc::clone(self), slot })
    }

    /// Takes away a name by `unlink`. Handles of the file go on.
    pub(super) fn remove(
        &self,
        path: &FilePath,
        unlink: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut names = self.names.lock();
        let held = self.hold(&mut names, path)?;
        unlink()?;
        names.handles.remove(path);
        names.detach(held);
        Ok(())
    }

    /// Gives a file another name by `rename`, in place of a file that may have that name.
    pub(super) fn rename(
        &self,
        from: &FilePath,
        to: &FilePath,
        rename: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut names = self.names.lock();
        if from == to {
            return rename();
        }
        let held = self.hold(&mut names, to)?;
        rename()?;
        names.handles.remove(to);
        names.detach(held);
        if let Some(moved) = names.handles.remove(from) {
            for slot in &moved {
                slot.state.lock().path = Some(to.clone());
            }
            names.handles.insert(to.clone(), moved);
        }
        Ok(())
    }

    /// Gives a directory another, free name by `rename`.
    pub(super) fn rename_dir(
        &self,
        from: &FileName,
        to: &FileName,
        rename: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut names = self.names.lock();
        rename()?;
        let inside: Vec<FilePath> =
            names.handles.keys().filter(|path| path.dir.as_ref() == Some(from)).cloned().collect();
        for path in inside {
            let Some(moved) = names.handles.remove(&path) else { continue };
            let path = FilePath::within(to, path.name);
            for slot in &moved {
                slot.state.lock().path = Some(path.clone());
            }
            names.handles.insert(path, moved);
        }
        Ok(())
    }

    /// Opens the handles of a name that is about to go.
    fn hold(&self, names: &mut Names, path: &FilePath) -> io::Result<Vec<(Arc<Slot>, Arc<File>)>> {
        let slots = names.handles.get(path).cloned().unwrap_or_default();
        let mut held = Vec::with_capacity(slots.len());
        for slot in slots {
            match self.reopen(names, &slot) {
                Ok(file) => held.push((slot, file)),
                // Gone already, behind our back: nothing left to hold on to.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }

    /// Makes sure that a handle has a descriptor.
    fn reopen(&self, names: &mut Names, slot: &Arc<Slot>) -> io::Result<Arc<File>> {
        let path = {
            let state = slot.state.lock();
            if let Some(file) = &state.file {
                return Ok(Arc::clone(file));
            }
            state.path.clone().ok_or(io::ErrorKind::NotFound)?
        };
        let open = if slot.writable { Open::Write } else { Open::Read };
        let file = self.descriptor(names, &path, open)?;
        let meta = file.metadata()?;
        if (meta.dev(), meta.ino()) != slot.identity {
            let message = "another file has taken its name";
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        let file = Arc::new(file);
        let tick = self.tick.fetch_add(1, Ordering::Relaxed) + 1;
        slot.used.store(tick, Ordering::Relaxed);
        slot.state.lock().file = Some(Arc::clone(&file));
        names.open.push(Arc::clone(slot));
        Ok(file)
    }

    /// Opens a file when there is room, closing others to make it.
    fn descriptor(&self, names: &mut Names, path: &FilePath, open: Open) -> io::Result<File> {
        let at_once = (self.capacity / CLOSE_AT_ONCE).max(1);
        while names.open.len() + names.nameless >= self.capacity && names.close_oldest(at_once) {}
        closing_others(names, || self.root.open(path, open))
    }

    /// Does what needs a descriptor for a moment.
    pub(super) fn borrow<T>(&self, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match act() {
            Err(error) if is_out_of_descriptors(&error) => {
                closing_others(&mut self.names.lock(), act)
            }
            other => other,
        }
    }

    #[cfg(test)]
    fn open_count(&self) -> usize {
        let names = self.names.lock();
        names.open.len() + names.nameless
    }
}

/// One open file of the pool.
#[derive(Debug)]
pub(super) struct Handle {
    pool: Arc<Pool>,
    slot: Arc<Slot>,
}

impl Handle {
    /// A descriptor of the file; it is not closed while the answer is held.
    pub(super) fn file(&self) -> io::Result<Arc<File>> {
        {
            let state = self.slot.state.lock();
            if let Some(file) = &state.file {
                self.slot.used.store(self.pool.tick.load(Ordering::Relaxed), Ordering::Relaxed);
                return Ok(Arc::clone(file));
            }
        }
        self.pool.reopen(&mut self.pool.names.lock(), &self.slot)
    }

    /// Changes the file, which counts as unsynced from now on, whatever the result.
    pub(super) fn change<T>(&self, f: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        if !self.slot.writable {
            return Err(read_only());
        }
        let file = self.file()?;
        let result = f(&file);
        // Counted while `file` is held, so that the pool cannot close an uncounted write; counted
        // afterwards, so that a sync which began before cannot claim it.
        self.slot.written.fetch_add(1, Ordering::Release);
        result
    }

    /// Makes every finished write durable. After the first failure it only repeats the error.
    pub(super) fn sync(&self) -> io::Result<()> {
        let file = self.file()?;
        let covered = self.slot.written.load(Ordering::Acquire);
        if let Some(failed) = &self.slot.state.lock().failed {
            return Err(failed.again());
        }
        match file.sync_data() {
            Ok(()) => {
                self.slot.synced.fetch_max(covered, Ordering::AcqRel);
                Ok(())
            }
            Err(error) => {
                self.slot.state.lock().failed.get_or_insert(SyncFailure::new(&error));
                Err(error)
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut names = self.pool.names.lock();
        names.forget_open(&self.slot);
        let path = self.slot.state.lock().path.clone();
        match path {
            None => names.nameless -= 1,
            Some(path) => {
                let left = names.handles.get_mut(&path).map(|slots| {
                    slots.retain(|slot| !Arc::ptr_eq(slot, &self.slot));
                    slots.len()
                });
                if left == Some(0) {
                    names.handles.remove(&path);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
