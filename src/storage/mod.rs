//! Where bytes live: a directory of partitions with flat files inside, on disk, in memory, or in a
//! simulation that crashes on command.
//!
//! Everything above this floor sees one opaque [`Storage`]. Names are validated types that cannot
//! leave the directory. Writes go to a known offset, so that a write that failed halfway can be
//! cut back; there is no append mode and no store through a map.

// The seam.
mod backend;

// A directory on disk.
mod paths;

mod map;

mod lock;

mod pool;

mod chunks;

mod disk;

// A directory in memory.
mod content;

mod tree;

mod memory;

// What tests add: somebody looking on, crashes and faults.
#[cfg(feature = "testing")]
mod observed;

#[cfg(feature = "testing")]
mod sim;

// What the floors above use.
mod files;

#[cfg(feature = "testing")]
mod copied;

pub(crate) use backend::{Backend, EntryKind, FileName, FilePath, Lock, Open};
pub(crate) use files::{File, TooLarge};

#[cfg(feature = "testing")]
pub use sim::{Fault, FaultKind, FaultOp, SimStorage};

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

/// The place a broker keeps its files. An opaque value: choose one and hand it to the builder.
#[derive(Clone)]
pub struct Storage(Arc<dyn Backend>);

impl Storage {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self(backend)
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.0
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
