//! Group coordination as pure state: what a group is, and how it is written into
//! `__consumer_offsets` in Kafka's bytes. No I/O, no clock, no locks.

pub(crate) mod assignor;

mod wire;

mod offsets;

mod protocol;

mod commits;

mod member;

mod group;

mod checks;

mod timers;

mod stored;

pub(crate) use commits::{check_position, commit_record};
pub(crate) use group::{Group, GroupLimits};
pub use member::GroupMetadata;
pub(crate) use member::{JoinRequest, Lead, Member, MemberView, Standing, unknown_member};
pub(crate) use offsets::{CommitValue, GroupValue, OffsetsKey, group_partition};
pub(crate) use protocol::MemberMetadata;
pub use stored::GroupState;
pub(crate) use stored::{GroupView, HOST};
