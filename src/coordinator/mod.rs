//! Coordination as pure state: what a group is, how it is written into `__consumer_offsets`; what a
//! transaction is, how it is written into `__transaction_state`. In Kafka's bytes. No I/O, no
//! clock, no locks.

pub(crate) mod assignor;

mod wire;

mod offsets;

mod protocol;

mod commits;

mod member;

mod phase;

mod group;

mod checks;

mod timers;

mod stored;

mod transaction;

mod transaction_log;

pub(crate) use commits::{check_position, commit_record};
#[cfg(feature = "testing")]
pub(crate) use group::Forced;
pub(crate) use group::Group;
pub use member::GroupMetadata;
pub(crate) use member::{JoinRequest, Lead, Member, MemberView, Standing, unknown_member};
pub(crate) use offsets::{CommitValue, GroupValue, OffsetsKey, group_partition};
pub(crate) use phase::GroupLimits;
pub(crate) use protocol::MemberMetadata;
pub use stored::GroupState;
pub(crate) use stored::{GroupView, HOST};
pub(crate) use transaction::{Outcome, ProducerIdent, TransactionMeta};
pub(crate) use transaction_log::{decode_key, encode_key};
