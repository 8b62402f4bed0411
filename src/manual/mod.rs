//! The chapters of the manual, beside the reference.
//!
//! * [`guide`]: groups, exactly once, retention, opening a directory, watching it, tools.
//! * [`design`]: what was decided and why; threads and locks.
//! * [`mod@format`]: the files, byte by byte.
//! * [`durability`]: what survives what, what each failure does, what is assumed of disks.
//! * [`kafka`]: coming from Kafka and its clients: names, keys, errors, what differs.
//! * [`moving`]: from one process to a cluster.

#[doc = include_str!("guide.md")]
pub mod guide {}

#[doc = include_str!("design.md")]
pub mod design {}

#[doc = include_str!("format.md")]
pub mod format {}

#[doc = include_str!("durability.md")]
pub mod durability {}

#[doc = include_str!("kafka.md")]
pub mod kafka {}

#[doc = include_str!("moving.md")]
pub mod moving {}
