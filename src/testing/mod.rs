//! What tests need: time that moves when told, and storage that crashes and fails on command.
//!
//! Behind the feature `testing`. With a [`MockClock`] a broker owns no thread and every run
//! repeats; with [`SimStorage`] a test can cut the power at any operation and see what is left.

mod clock;

mod control;

mod groups;

mod expect;

mod topics;

#[cfg(feature = "json")]
mod lines;

mod ending;

mod snapshot;

pub use crate::faults::{
    Barrier, FaultBuilder, FaultHandle, Faults, HistoryEntry, OpKind, Operation,
};
pub use crate::storage::{Fault, FaultKind, FaultOp, SimStorage};
pub use clock::MockClock;
pub use control::Testing;
pub use expect::Expect;
pub use groups::GroupControl;
pub use snapshot::Snapshot;
pub use topics::TopicProbe;
