//! The broker: a directory of topics, its catalog, its background work, and the handles to it.

mod config;

mod catalog;

mod report;

mod topic_state;

mod background;

mod alarm;

mod closing;

mod heart;

mod groups;

mod producer_ids;

mod transactions;

mod network_keys;

mod timetable;

mod upkeep;

mod shared;

mod telling;

mod checkpoints;

mod retaining;

mod cleaning;

mod planning;

mod topics;

mod found;

mod topic_configs;

mod open;

mod verify;

mod offsets;

mod rebalances;

mod membership;

mod group_time;

mod group_admin;

mod commits;

mod transaction_state;

mod transacting;

mod transactions_open;

mod spare;

mod partition;

mod topic;

mod handle;

#[cfg(feature = "testing")]
mod forcing;

mod measuring;

mod builder;

pub use builder::BrokerBuilder;
pub use config::Housekeeping;
pub use handle::Broker;
pub use partition::{Appended, Partition, RawRecord, SegmentInfo};
pub use report::RecoveryReport;
pub use topic::Topic;
pub use topics::NewTopic;

pub(crate) use alarm::Alarm;
pub(crate) use background::Duty;
pub(crate) use commits::CommitRequest;
pub(crate) use heart::GroupSigns;
pub(crate) use membership::Seat;
pub(crate) use network_keys::is_network_key;
pub(crate) use shared::{Handle, Shared};
pub(crate) use topic_state::TopicState;
pub(crate) use verify::verify_directory;
