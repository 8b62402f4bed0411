//! Checks the files of a partition against each other without changing any of them.
//!
//! The log is what everything else is measured by: every batch and record of it is read once, and
//! what the indexes, snapshots and checkpoints claim is compared on the way. A claim must be true;
//! it need not be the one that we would make. What the next open repairs by itself is a note.

mod finding;

mod entries;

mod offsets;

mod times;

mod aborts;

mod snapshots;

mod epochs;

mod about;

mod batches;

mod partition;

pub(crate) use about::About;
pub use finding::{Finding, Verification, VerifiedCounts};
pub(crate) use finding::{Findings, Weight};
pub(crate) use partition::{check, is_leftover};
