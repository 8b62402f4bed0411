//! Compaction: of each key only the last record stays, at its offset and in its place.
//!
//! Two passes, as in Kafka's `LogCleaner`. The first reads the *dirty* part, which was appended
//! since the last cleaning, and notes the last offset of each key. The second reads everything up
//! to there and writes what stays into new segments, several small ones into one, which then take
//! the place of the old ones. Offsets and order never change. Only sealed segments are cleaned.
//!
//! A tombstone stays until readers have had `delete.retention.ms` to see it (KIP-534): the pass
//! that meets it first gives its batch that time as a delete horizon. Data of aborted transactions
//! goes at once, the marker when none of it is left and a horizon has passed.

mod select;

mod keys;

mod seen;

mod filter;

mod groups;

mod output;

mod swap;

mod pass;

pub(crate) use pass::{CleanRequest, Cleaned, Unclean};
pub(crate) use select::Cleanable;
