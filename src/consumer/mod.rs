//! Consumers: batches in, records out.
//!
//! A poll does what the group asks for, then goes on reading each assigned partition where it was.
//! What it returns owns the memory it points into; nothing is copied.

mod config;

mod records;

mod position;

mod state;

mod handle;

pub use crate::coordinator::assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, RangeAssignor, RebalanceProtocol,
    RoundRobinAssignor, StickyAssignor, Subscription,
};
pub use config::{ConsumerBuilder, OffsetReset};
pub use handle::Consumer;
pub use records::{Record, RecordRef, Records, RecordsIter};
