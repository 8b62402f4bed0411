//! What tests need: time that moves when told, and storage that crashes and fails on command.
//!
//! Behind the feature `testing`. With a [`MockClock`] a broker owns no thread and every run
//! repeats; with [`SimStorage`] a test can cut the power at any operation and see what is left.

mod clock;

mod control;

pub use crate::broker::{FaultBuilder, FaultHandle, Faults, OpKind};
pub use crate::storage::{Fault, FaultKind, FaultOp, SimStorage};
pub use clock::MockClock;
pub use control::Testing;
