//! What a disk holds at one moment, and the operations that change it.
//!
//! Files and directories have numbers that survive renaming; number zero is the root. Operations
//! are recorded with those numbers, so they can be applied in part and out of order.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::super::backend::{FileName, FilePath};
use super::super::content::Content;
use super::super::tree::Tree;

/// The number of a file or directory.
pub(super) type Id = u64;

/// The number of the root directory.
pub(super) const ROOT: Id = 0;

/// What a directory entry points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(Id),
    Directory(Id),
}

/// A change to the entries of one directory. It names the node, so that it still makes sense when
/// an operation before it is lost.
#[derive(Clone, Debug)]
pub(super) enum NameOp {
    Link(FileName, Node),
    Unlink(FileName, Node),
    Move(FileName, Node),
}

/// A change to the content of one file.
#[derive(Clone, Debug)]
pub(super) enum DataOp {
    Write(u64, Bytes),
    SetLen(u64),
}

impl DataOp {
    /// Applies the operation. Recorded operations have succeeded once, so they do again.
    pub(super) fn apply(&self, content: &mut Content) {
        let _ = match self {
            Self::Write(offset, bytes) => content.write(*offset, bytes.clone()),
            Self::SetLen(len) => content.set_len(*len),
        };
    }
}

/// One step of the trace.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Name { dir: Id, op: NameOp },
    Data { file: Id, op: DataOp, at_millis: i64 },
    SyncFile { file: Id, ok: bool },
    SyncDir { dir: Id, ok: bool },
    Mark(u64),
}

/// A file: cheap to clone, shared until changed.
#[derive(Clone, Debug, Default)]
pub(super) struct FileImage {
    pub(super) content: Arc<Content>,
    pub(super) modified: i64,
}

impl FileImage {
    pub(super) fn apply(&mut self, op: &DataOp) {
        op.apply(Arc::make_mut(&mut self.content));
    }
}

/// Directories and files by number.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) dirs: BTreeMap<Id, BTreeMap<FileName, Node>>,
    pub(super) files: BTreeMap<Id, FileImage>,
}

impl Default for Image {
    fn default() -> Self {
        Self { dirs: BTreeMap::from([(ROOT, BTreeMap::new())]), files: BTreeMap::new() }
    }
}

impl Image {
    /// Applies a change of names. What it has no effect on (because an earlier change is missing)
    /// it leaves alone.
    pub(super) fn rename(&mut self, dir: Id, op: &NameOp) {
        let entries = self.dirs.entry(dir).or_default();
        match op {
            NameOp::Link(name, node) => {
                entries.insert(name.clone(), *node);
                self.make(*node);
            }
            NameOp::Unlink(name, node) => {
                if entries.get(name) == Some(node) {
                    entries.remove(name);
                }
            }
            NameOp::Move(to, node) => {
                // Nothing here ever has two names, whichever renames before this one are lost.
                entries.retain(|_, named| named != node);
                entries.insert(to.clone(), *node);
            }
        }
    }

    /// Makes sure that a new node exists, empty.
    pub(super) fn make(&mut self, node: Node) {
        match node {
            Node::File(id) => drop(self.files.entry(id).or_default()),
            Node::Directory(id) => drop(self.dirs.entry(id).or_default()),
        }
    }

    pub(super) fn write(&mut self, file: Id, op: &DataOp, at_millis: i64) {
        let image = self.files.entry(file).or_default();
        image.apply(op);
        image.modified = at_millis;
    }

    /// Everything the program sees after these operations.
    pub(super) fn replay(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Name { dir, op } => self.rename(*dir, op),
                Op::Data { file, op, at_millis } => self.write(*file, op, *at_millis),
                Op::SyncFile { .. } | Op::SyncDir { .. } | Op::Mark(_) => {}
            }
        }
    }

    /// The tree of names reachable from the root, with the numbers of the sub-directories.
    pub(super) fn tree(&self) -> (Tree<Id>, BTreeMap<FileName, Id>) {
        let mut tree = Tree::default();
        let mut dirs = BTreeMap::new();
        for (name, node) in self.dirs.get(&ROOT).into_iter().flatten() {
            match node {
                // Names of one directory are unique, so nothing here can be taken.
                Node::File(id) => drop(tree.create(&FilePath::root(name.clone()), *id)),
                Node::Directory(dir) => {
                    let _ = tree.create_dir(name);
                    dirs.insert(name.clone(), *dir);
                    for (inner, node) in self.dirs.get(dir).into_iter().flatten() {
                        if let Node::File(id) = node {
                            let _ = tree.create(&FilePath::within(name, inner.clone()), *id);
                        }
                    }
                }
            }
        }
        (tree, dirs)
    }

    /// Drops files and directories that have no name any more, as a file system check would.
    pub(super) fn sweep(&mut self) {
        let mut files = BTreeMap::new();
        let mut dirs = BTreeMap::new();
        let mut todo = vec![ROOT];
        while let Some(dir) = todo.pop() {
            let Some(entries) = self.dirs.remove(&dir) else { continue };
            for node in entries.values() {
                match node {
                    Node::Directory(id) => todo.push(*id),
                    Node::File(id) => {
                        if let Some(file) = self.files.get(id) {
                            files.insert(*id, file.clone());
                        }
                    }
                }
            }
            dirs.insert(dir, entries);
        }
        *self = Self { dirs, files };
    }

    /// A number for the whole image: names and contents, not numbers or times.
    pub(super) fn hash(&self, memo: &mut HashMemo) -> u64 {
        self.hash_dir(ROOT, memo)
    }

    fn hash_dir(&self, dir: Id, memo: &mut HashMemo) -> u64 {
        let mut hash = mix(1);
        for (name, node) in self.dirs.get(&dir).into_iter().flatten() {
            hash = mix(hash ^ hash_bytes([name.as_str().as_bytes()].into_iter()));
            let inner = match node {
                Node::File(id) => self.files.get(id).map_or(0, |file| memo.of(&file.content)),
                Node::Directory(id) => !self.hash_dir(*id, memo),
            };
            hash = mix(hash ^ inner);
        }
        hash
    }
}

/// Hashes of contents that were seen before: most states share most of their files. The contents
/// are kept, so that no address is used twice.
#[derive(Debug, Default)]
pub(super) struct HashMemo(BTreeMap<usize, (Arc<Content>, u64)>);

impl HashMemo {
    pub(super) fn of(&mut self, content: &Arc<Content>) -> u64 {
        let (_, hash) = self
            .0
            .entry(Arc::as_ptr(content).addr())
            .or_insert_with(|| (Arc::clone(content), hash_bytes(content.parts())));
        *hash
    }
}

/// Two checksums with different polynomials make a fast 64-bit hash; enough to tell states apart.
fn hash_bytes<'a>(parts: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut low = crc32fast::Hasher::new();
    let mut high = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    let mut len = 0u64;
    for part in parts {
        low.update(part);
        high.update(part);
        len += part.len() as u64;
    }
    mix(mix(len) ^ (high.finalize() << 32 | u64::from(low.finalize())))
}

/// A bijection that spreads every input bit over the output (the finisher of splitmix64).
pub(super) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
