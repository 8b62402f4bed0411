//! The simulated disk as the running program sees it, writing down everything done to it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use parking_lot::Mutex;

use super::super::Storage;
use super::super::backend::{Backend, Entry, FileName, FilePath, Lock, Open, RawFile, read_only};
use super::super::memory::{display, lock_flag};
use super::super::tree::Tree;
use super::crash;
use super::fault::{Fault, FaultKind, FaultOp, Faults};
use super::image::{DataOp, FileImage, Id, Image, NameOp, Node, Op, ROOT};
use crate::time::Clock;

/// What messages call the root.
const ROOT_NAME: &str = "(simulated)";

/// A simulated disk, shared by its handles.
pub(super) struct World {
    pub(super) state: Mutex<State>,
    locked: Arc<AtomicBool>,
}

pub(super) struct State {
    /// What was durable when the trace began.
    pub(super) base: Image,
    pub(super) ops: Vec<Op>,
    pub(super) faults: Faults,
    /// How many bytes fit on the disk.
    pub(super) capacity: Option<u64>,
    pub(super) clock: Clock,
    /// How files and directories were called first, for the listing of the trace.
    pub(super) labels: BTreeMap<Id, String>,
    tree: Tree<Id>,
    dirs: BTreeMap<FileName, Id>,
    files: BTreeMap<Id, FileImage>,
    next_id: Id,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimStorage")
    }
}

/// Of how many that a power cut may leave one is chosen.
const POWER_CUTS: usize = 64;

impl World {
    /// The process that had this disk is gone: what it still does fails.
    fn end(&self) {
        let (op, kind) = (FaultOp::Any, FaultKind::Eio);
        self.state.lock().faults.add(Fault { op, nth: 0, sticky: true, kind });
    }

    /// A disk on which all of `base` is durable and `ops` have been done since.
    pub(super) fn new(
        base: Image,
        ops: Vec<Op>,
        labels: BTreeMap<Id, String>,
        clock: Clock,
    ) -> Arc<Self> {
        let mut live = base.clone();
        live.replay(&ops);
        live.sweep();
        let (tree, dirs) = live.tree();
        // Numbers of things that are gone may still occur in the trace.
        let next_id = labels.keys().next_back().map_or(ROOT, |last| *last) + 1;
        let state = State {
            base,
            ops,
            faults: Faults::default(),
            capacity: None,
            clock,
            labels,
            tree,
            dirs,
            files: live.files,
            next_id,
        };
        Arc::new(Self { state: Mutex::new(state), locked: Arc::default() })
    }
}

impl State {
    /// The live image.
    pub(super) fn image(&self) -> Image {
        let mut image = self.base.clone();
        image.replay(&self.ops);
        image.sweep();
        image
    }

    fn dir_id(&self, dir: Option<&FileName>) -> Id {
        dir.map_or(ROOT, |dir| self.dirs.get(dir).copied().unwrap_or(ROOT))
    }

    fn name(&mut self, dir: Option<&FileName>, op: NameOp) {
        let dir = self.dir_id(dir);
        self.ops.push(Op::Name { dir, op });
    }

    fn new_id(&mut self, label: String) -> Id {
        let id = self.next_id;
        self.next_id += 1;
        self.labels.insert(id, label);
        id
    }

    fn data(&mut self, file: Id, op: DataOp) {
        let at_millis = self.clock.wall_millis();
        let image = self.files.entry(file).or_default();
        image.apply(&op);
        image.modified = at_millis;
        self.ops.push(Op::Data { file, op, at_millis });
    }

    /// How much of `len` more bytes the disk takes.
    fn room(&self, len: u64) -> u64 {
        let Some(capacity) = self.capacity else { return len };
        let of = |id| self.files.get(id).map_or(0, |file: &FileImage| file.content.len());
        let used: u64 = self.tree.files().map(|(_, _, id)| of(id)).sum();
        capacity.saturating_sub(used).min(len)
    }

    fn write(&mut self, file: Id, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut len = bytes.len();
        match self.faults.hit(FaultOp::Write) {
            Some(FaultKind::ShortWrite(limit)) => len = len.min(limit),
            Some(kind) => return Err(kind.error()),
            None => {}
        }
        let old = self.files.get(&file).map_or(0, |file| file.content.len());
        let new = offset.checked_add(len as u64).filter(|end| i64::try_from(*end).is_ok());
        let growth = new.ok_or(io::ErrorKind::InvalidInput)?.saturating_sub(old);
        let missing = growth - self.room(growth);
        len = len.saturating_sub(usize::try_from(missing).unwrap_or(usize::MAX));
        if len == 0 && !bytes.is_empty() && missing > 0 {
            return Err(FaultKind::Enospc.error());
        }
        if let Some(written) = bytes.get(..len).filter(|written| !written.is_empty()) {
            self.data(file, DataOp::Write(offset, Bytes::copy_from_slice(written)));
        }
        Ok(len)
    }

    fn set_len(&mut self, file: Id, len: u64) -> io::Result<()> {
        self.faults.check(FaultOp::SetLen)?;
        if i64::try_from(len).is_err() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // A hole takes no room.
        self.data(file, DataOp::SetLen(len));
        Ok(())
    }

    fn sync(&mut self, file: Id) -> io::Result<()> {
        let result = self.faults.check(FaultOp::Sync);
        self.ops.push(Op::SyncFile { file, ok: result.is_ok() });
        result
    }
}

/// The simulation as a home for files.
#[derive(Debug)]
pub(super) struct SimBackend(pub(super) Arc<World>);

impl Backend for SimBackend {
    fn display_path(&self, path: &FilePath) -> PathBuf {
        display(ROOT_NAME, path)
    }

    fn root_path(&self) -> PathBuf {
        PathBuf::from(ROOT_NAME)
    }

    fn copy(&self, ends: bool) -> Option<Storage> {
        let copy = {
            let state = self.0.state.lock();
            let labels = state.labels.clone();
            World::new(state.base.clone(), state.ops.clone(), labels, state.clock.clone())
        };
        if ends {
            self.0.end();
        }
        Some(Storage::new(Arc::new(Self(copy))))
    }

    fn cut_power(&self, seed: u64) -> Option<Storage> {
        let (mut images, labels, clock) = {
            let state = self.0.state.lock();
            let images = crash::states(&state.base, &state.ops, POWER_CUTS, seed);
            (images, state.labels.clone(), state.clock.clone())
        };
        self.0.end();
        let chosen = seed.checked_rem(images.len() as u64).and_then(|at| usize::try_from(at).ok());
        let image = chosen.filter(|at| *at < images.len()).map(|at| images.swap_remove(at))?;
        let left = World::new(image, Vec::new(), labels, clock);
        Some(Storage::new(Arc::new(Self(left))))
    }

    fn create_root(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Lock>> {
        lock_flag(&self.0.locked)
    }

    fn is_locked(&self) -> io::Result<bool> {
        Ok(self.0.locked.load(std::sync::atomic::Ordering::Acquire))
    }

    fn open(&self, path: &FilePath, open: Open) -> io::Result<Arc<dyn RawFile>> {
        let mut state = self.0.state.lock();
        let file = if open == Open::CreateNew {
            state.faults.check(FaultOp::Create)?;
            state.tree.check_free(path)?;
            let id = state.new_id(display("", path).display().to_string());
            state.tree.create(path, id)?;
            let modified = state.clock.wall_millis();
            state.files.insert(id, FileImage { modified, ..FileImage::default() });
            state.name(path.dir.as_ref(), NameOp::Link(path.name.clone(), Node::File(id)));
            id
        } else {
            state.faults.check(FaultOp::Open)?;
            *state.tree.file(path)?
        };
        let writable = open != Open::Read;
        Ok(Arc::new(SimFile { world: Arc::clone(&self.0), file, writable }))
    }

    fn list(&self, dir: Option<&FileName>) -> io::Result<Vec<Entry>> {
        let mut state = self.0.state.lock();
        state.faults.check(FaultOp::List)?;
        state.tree.list(dir)
    }

    fn create_dir(&self, dir: &FileName) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.faults.check(FaultOp::CreateDir)?;
        state.tree.create_dir(dir)?;
        let id = state.new_id(dir.as_str().to_owned());
        state.dirs.insert(dir.clone(), id);
        state.name(None, NameOp::Link(dir.clone(), Node::Directory(id)));
        Ok(())
    }

    fn rename_dir(&self, from: &FileName, to: &FileName) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.faults.check(FaultOp::Rename)?;
        state.tree.rename_dir(from, to)?;
        if let Some(id) = state.dirs.remove(from) {
            state.dirs.insert(to.clone(), id);
            state.name(None, NameOp::Move(to.clone(), Node::Directory(id)));
        }
        Ok(())
    }

    fn remove_dir(&self, dir: &FileName) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.faults.check(FaultOp::Remove)?;
        state.tree.remove_dir(dir)?;
        if let Some(id) = state.dirs.remove(dir) {
            state.name(None, NameOp::Unlink(dir.clone(), Node::Directory(id)));
        }
        Ok(())
    }

    fn rename(&self, dir: Option<&FileName>, from: &FileName, to: &FileName) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.faults.check(FaultOp::Rename)?;
        state.tree.rename(dir, from, to)?;
        let path = FilePath { dir: dir.cloned(), name: to.clone() };
        let id = *state.tree.file(&path)?;
        state.name(dir, NameOp::Move(to.clone(), Node::File(id)));
        Ok(())
    }

    fn remove(&self, path: &FilePath) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.faults.check(FaultOp::Remove)?;
        let id = state.tree.remove(path)?;
        state.name(path.dir.as_ref(), NameOp::Unlink(path.name.clone(), Node::File(id)));
        Ok(())
    }

    fn sync_dir(&self, dir: Option<&FileName>) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.tree.check_dir(dir)?;
        let result = state.faults.check(FaultOp::SyncDir);
        let dir = state.dir_id(dir);
        state.ops.push(Op::SyncDir { dir, ok: result.is_ok() });
        result
    }
}

#[derive(Debug)]
struct SimFile {
    world: Arc<World>,
    file: Id,
    writable: bool,
}

impl SimFile {
    fn change<T>(&self, f: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        if self.writable { f(&mut self.world.state.lock()) } else { Err(read_only()) }
    }

    fn look<T>(&self, f: impl FnOnce(&FileImage) -> T) -> io::Result<T> {
        let state = self.world.state.lock();
        state.files.get(&self.file).map(f).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl RawFile for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.change(|state| state.write(self.file, offset, bytes))
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.world.state.lock().faults.check(FaultOp::Read)?;
        self.look(|file| file.content.read(offset, len))
    }

    fn len(&self) -> io::Result<u64> {
        self.look(|file| file.content.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|state| state.set_len(self.file, len))
    }

    fn sync(&self) -> io::Result<()> {
        self.world.state.lock().sync(self.file)
    }

    fn map(&self, _: u64) -> io::Result<Option<Bytes>> {
        Ok(None)
    }

    fn modified_millis(&self) -> io::Result<i64> {
        self.look(|file| file.modified)
    }

    fn set_modified_millis(&self, millis: i64) -> io::Result<()> {
        self.change(|state| {
            // Of the live file only: no sync makes it durable.
            if let Some(file) = state.files.get_mut(&self.file) {
                file.modified = millis;
            }
            Ok(())
        })
    }
}
