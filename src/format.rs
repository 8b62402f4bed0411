//! The files beside a segment's `.log`, as bytes: for tools that look into them.
//!
//! The `.log` itself is read with [`record`](crate::record).
//!
//! ```
//! use logreel::format::OffsetIndexEntry;
//! let file = [0, 0, 0, 41, 0, 0, 16, 62];
//! let entries: Vec<_> = OffsetIndexEntry::read_all(&file).collect();
//! assert_eq!((entries[0].relative_offset, entries[0].position), (41, 4158));
//! ```

pub use crate::log::index::{OffsetIndexEntry, TimeIndexEntry};
pub use crate::log::producers::ProducerSnapshotEntry;
pub use crate::log::transactions::AbortedTxn;
