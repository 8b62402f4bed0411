//! Group coordination as pure state: what a group is, and how it is written into
//! `__consumer_offsets` in Kafka's bytes. No I/O, no clock, no locks.

pub(crate) mod assignor;

mod wire;

mod offsets;

mod protocol;

mod group;

pub(crate) use group::{Group, Member, check_position, commit_record};
pub(crate) use offsets::{CommitValue, GroupValue, OffsetsKey, group_partition};
pub(crate) use protocol::{encode_assignment, encode_subscription};
