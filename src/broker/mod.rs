//! The broker: a directory of topics, its catalog, its background work, and the handles to it.

mod catalog;

mod config;

mod report;

mod topic_state;

mod background;

mod closing;

mod groups;

mod shared;

mod topics;

mod open;

mod offsets;

mod partition;

mod topic;

mod handle;

mod builder;

pub use builder::BrokerBuilder;
pub use config::Housekeeping;
pub use handle::Broker;
pub use partition::{Appended, Partition, RawRecord, SegmentInfo};
pub use report::RecoveryReport;
pub use topic::Topic;
pub use topics::NewTopic;

pub(crate) use background::Duty;
pub(crate) use shared::{Handle, Shared};
