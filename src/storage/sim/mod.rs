//! A disk that crashes on command.
//!
//! It keeps its files in memory, writes down every operation, and can be asked afterwards, for
//! any moment of that trace, what a power cut or the death of the process would have left. It can
//! also fail operations, fill up, and forget what it failed to sync, as real ones do.

mod image;

mod fault;

mod pending;

mod crash;

mod world;

mod files;

pub use fault::{Fault, FaultKind, FaultOp};

use std::fmt;
use std::sync::Arc;

use self::image::{DataOp, HashMemo, Image, NameOp, Op};
use self::world::{SimBackend, World};
use super::Storage;
use crate::time::Clock;

/// Storage that can be crashed, for tests. Clones are the same disk.
///
/// Run a workload on [`storage`](Self::storage) and call [`mark`](Self::mark) whenever something
/// was acknowledged. Then choose a *cut*, a number of operations between 0 and
/// [`op_count`](Self::op_count), and open the states that could be found if everything had ended
/// right after them: everything that [`marks_before`](Self::marks_before) lists must be there.
///
/// ```
/// use logreel::testing::SimStorage;
/// use logreel::{Broker, Clock};
/// let disk = SimStorage::with_clock(Clock::system());
/// let broker = Broker::builder().storage(disk.storage()).open()?;
/// let log = broker.create_topic("orders")?.partition(0)?;
/// log.append([(None, Some("1"))])?;
/// log.sync()?;
/// disk.mark(1); // acknowledged
///
/// let cut = disk.op_count();
/// assert_eq!(disk.marks_before(cut), [1]);
/// let mut left = disk.power_cut_states(cut, 100, 0);
/// left.push(disk.kill_state(cut));
/// for disk in left {
///     let broker = Broker::builder().storage(disk.storage()).open()?;
///     assert_eq!(broker.topic("orders")?.partition(0)?.log_end_offset(), 1);
/// }
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone)]
pub struct SimStorage(Arc<World>);

impl SimStorage {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// An empty disk that stamps files with the time of `clock`.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self(World::new(Image::default(), Vec::new(), std::collections::BTreeMap::new(), clock))
    }

    /// The disk, to open a broker on.
    #[must_use]
    pub fn storage(&self) -> Storage {
        Storage::new(Arc::new(SimBackend(Arc::clone(&self.0))))
    }

    /// How many operations have changed, synced or marked the disk.
    #[must_use]
    pub fn op_count(&self) -> usize {
        self.0.state.lock().ops.len()
    }

    /// Notes in the trace that something was acknowledged; the number is the caller's.
    pub fn mark(&self, label: u64) {
        self.0.state.lock().ops.push(Op::Mark(label));
    }

    /// The marks among the first `cut` operations, in order.
    #[must_use]
    pub fn marks_before(&self, cut: usize) -> Vec<u64> {
        let state = self.0.state.lock();
        let mark = |op: &Op| if let Op::Mark(label) = op { Some(*label) } else { None };
        state.ops.iter().take(cut).filter_map(mark).collect()
    }

    /// What is there when the process dies after `cut` operations: everything it wrote. Not all
    /// of it is durable, and the new disk knows: its trace begins with those operations, and a
    /// power cut later may still lose what was never synced.
    #[must_use]
    pub fn kill_state(&self, cut: usize) -> Self {
        let state = self.0.state.lock();
        let ops = state.ops.iter().take(cut).cloned().collect();
        Self(World::new(state.base.clone(), ops, state.labels.clone(), state.clock.clone()))
    }

    /// At most `limit` distinct disks that a power cut after `cut` operations may leave: all there
    /// are if they are few, else a choice that `seed` determines. On each of them everything is
    /// durable and the trace is empty.
    #[must_use]
    pub fn power_cut_states(&self, cut: usize, limit: usize, seed: u64) -> Vec<Self> {
        let state = self.0.state.lock();
        let ops = state.ops.get(..cut).unwrap_or(&state.ops);
        crash::states(&state.base, ops, limit, seed)
            .into_iter()
            .map(|image| {
                let fresh =
                    World::new(image, Vec::new(), state.labels.clone(), state.clock.clone());
                Self(fresh)
            })
            .collect()
    }

    /// A number for the names and contents of all files, equal for equal disks.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        self.0.state.lock().image().hash(&mut HashMemo::default())
    }

    /// Makes an operation fail. Several faults may be in force.
    pub fn fail(&self, fault: Fault) {
        self.0.state.lock().faults.add(fault);
    }

    /// How many operations the faults have hit so far.
    ///
    /// A test that moves a fault from operation to operation is through when this stays zero.
    ///
    /// ```
    /// use logreel::Broker;
    /// use logreel::testing::{Fault, FaultKind, FaultOp, SimStorage};
    /// for nth in 0.. {
    ///     let disk = SimStorage::new();
    ///     disk.fail(Fault { op: FaultOp::Sync, nth, sticky: false, kind: FaultKind::Eio });
    ///     let opened = Broker::builder().storage(disk.storage()).topic("t").open();
    ///     if disk.fault_hits() == 0 {
    ///         assert!(opened.is_ok());
    ///         break;
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn fault_hits(&self) -> usize {
        self.0.state.lock().faults.hits()
    }

    /// Lets all operations succeed again. What failed syncs have forgotten stays forgotten.
    pub fn clear_faults(&self) {
        self.0.state.lock().faults.clear();
    }

    /// Sets how many bytes of files fit on the disk; `None` is without limit.
    ///
    /// ```
    /// use logreel::testing::SimStorage;
    /// use logreel::{Broker, ErrorKind};
    /// let disk = SimStorage::new();
    /// let broker = Broker::builder().storage(disk.storage()).open()?;
    /// let log = broker.create_topic("t")?.partition(0)?;
    /// disk.set_capacity(Some(0));
    /// assert_eq!(log.append([(None, Some("x"))]).unwrap_err().kind(), ErrorKind::StorageFull);
    /// disk.set_capacity(None);
    /// log.append([(None, Some("x"))])?;
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.state.lock().capacity = bytes;
    }

    /// The trace, one line an operation, for messages. Files are called by their first name.
    #[must_use]
    pub fn op_log(&self) -> Vec<String> {
        let state = self.0.state.lock();
        let label = |id: &u64| state.labels.get(id).map_or("/", String::as_str);
        let synced = |ok: &bool| if *ok { "" } else { " failed" };
        let line = |op: &Op| match op {
            Op::Name { dir, op: NameOp::Link(name, _) } => {
                format!("create {} in {}", name.as_str(), label(dir))
            }
            Op::Name { dir, op: NameOp::Unlink(name, _) } => {
                format!("remove {} from {}", name.as_str(), label(dir))
            }
            Op::Name { op: NameOp::Move(to, node), .. } => {
                let (image::Node::File(id) | image::Node::Directory(id)) = node;
                format!("rename {} to {}", label(id), to.as_str())
            }
            Op::Data { file, op: DataOp::Write(offset, bytes), .. } => {
                format!("write {} at {offset}, {} bytes", label(file), bytes.len())
            }
            Op::Data { file, op: DataOp::SetLen(len), .. } => {
                format!("set length of {} to {len}", label(file))
            }
            Op::SyncFile { file, ok } => format!("sync {}{}", label(file), synced(ok)),
            Op::SyncDir { dir, ok } => format!("sync directory {}{}", label(dir), synced(ok)),
            Op::Mark(number) => format!("mark {number}"),
        };
        state.ops.iter().map(line).collect()
    }
}

impl Default for SimStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStorage").field("op_count", &self.op_count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
