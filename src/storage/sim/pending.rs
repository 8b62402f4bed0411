//! What is certain and what is not at a power cut.

use std::collections::BTreeMap;

use super::image::{DataOp, Id, Image, NameOp, Op};

/// A disk at a cut: the image that is certainly there, and the operations that may or may not
/// have reached it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    pub(super) durable: Image,
    /// Unsynced changes of names, in order.
    pub(super) names: Vec<Uncertain<(Id, NameOp)>>,
    /// Unsynced changes of contents, by file, in order.
    pub(super) data: BTreeMap<Id, Vec<Uncertain<DataOp>>>,
}

#[derive(Clone, Debug)]
pub(super) struct Uncertain<T> {
    pub(super) op: T,
    /// A sync that should have covered it has failed. The system then believes it clean, so a
    /// later sync does not make it durable.
    forgotten: bool,
}

impl<T> Uncertain<T> {
    fn new(op: T) -> Self {
        Self { op, forgotten: false }
    }
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
                self.names.push(Uncertain::new((*dir, op.clone())));
            }
            Op::Data { file, op, at_millis } => {
                if let Some(image) = self.durable.files.get_mut(file) {
                    image.modified = *at_millis;
                }
                self.data.entry(*file).or_default().push(Uncertain::new(op.clone()));
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
                self.drop_overtaken(*dir);
                let durable = &mut self.durable;
                self.names.retain(|pending| {
                    let covered = pending.op.0 == *dir && !pending.forgotten;
                    if covered {
                        durable.rename(*dir, &pending.op.1);
                    }
                    !covered
                });
            }
            Op::SyncDir { dir, ok: false } => {
                for pending in self.names.iter_mut().filter(|pending| pending.op.0 == *dir) {
                    pending.forgotten = true;
                }
            }
        }
    }

    /// A forgotten change of a name cannot come back over a later one that is made durable.
    fn drop_overtaken(&mut self, dir: Id) {
        let covered: Vec<(usize, NameOp)> = self
            .names
            .iter()
            .enumerate()
            .filter(|(_, pending)| pending.op.0 == dir && !pending.forgotten)
            .map(|(index, pending)| (index, pending.op.1.clone()))
            .collect();
        let mut index = 0;
        self.names.retain(|pending| {
            let at = index;
            index += 1;
            let overtaken = pending.forgotten
                && pending.op.0 == dir
                && covered.iter().any(|(later, op)| *later > at && op.concerns(&pending.op.1));
            !overtaken
        });
    }
}
