//! What is certain and what is not at a power cut.

use std::collections::BTreeMap;

use super::image::{DataOp, Id, Image, NameOp, Op};

/// A disk at a cut: the image that is certainly there, and the operations that may or may not
/// have reached it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    pub(super) durable: Image,
    /// Unsynced changes of names, in order.
    pub(super) names: Vec<(Id, NameOp)>,
    /// Unsynced changes of contents, by file, in order.
    pub(super) data: BTreeMap<Id, Vec<Uncertain>>,
}

/// A change of a file's content.
#[derive(Clone, Debug)]
pub(super) struct Uncertain {
    pub(super) op: DataOp,
    /// A sync that should have covered it has failed. The system then believes it clean, so a
    /// later sync does not make it durable.
    forgotten: bool,
}

impl Pending {
    /// The disk after `ops`, which began on an image that was durable as a whole.
    pub(super) fn after(base: &Image, ops: &[Op]) -> Self {
        let mut state = Self { durable: base.clone(), ..Self::default() };
        for op in ops {
            state.step(op);
        }
        state
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Mark(_) => {}
            Op::Name { dir, op } => {
                if let NameOp::Link(_, node) = op {
                    // The thing itself exists, empty, as soon as anything can point to it.
                    self.durable.make(*node);
                }
                self.names.push((*dir, op.clone()));
            }
            Op::Data { file, op, at_millis } => {
                if let Some(image) = self.durable.files.get_mut(file) {
                    image.modified = *at_millis;
                }
                let pending = Uncertain { op: op.clone(), forgotten: false };
                self.data.entry(*file).or_default().push(pending);
            }
            Op::SyncFile { file, ok: true } => {
                for pending in self.data.remove(file).unwrap_or_default() {
                    // What was forgotten is now lost for good: later writes lie over it.
                    if !pending.forgotten
                        && let Some(image) = self.durable.files.get_mut(file)
                    {
                        image.apply(&pending.op);
                    }
                }
            }
            Op::SyncFile { file, ok: false } => {
                for pending in self.data.get_mut(file).into_iter().flatten() {
                    pending.forgotten = true;
                }
            }
            Op::SyncDir { dir, ok: true } => {
                let durable = &mut self.durable;
                self.names.retain(|(changed, op)| {
                    let covered = changed == dir;
                    if covered {
                        durable.rename(*dir, op);
                    }
                    !covered
                });
            }
            // Names do not share the fate of contents: a file system that cannot write them stops
            // altogether, or writes them later.
            Op::SyncDir { ok: false, .. } => {}
        }
    }
}
