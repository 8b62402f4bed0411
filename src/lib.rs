//! Apache Kafka's log as a library.
#![allow(dead_code, unused_imports, reason = "floors arrive one by one")]

mod error;
pub mod record;
mod log;
mod metrics;
mod random;
mod storage;
mod time;
mod types;
mod wait;

pub use error::{Error, ErrorCode, ErrorKind, Result};
pub use storage::Storage;
pub use time::Clock;
pub use types::{
    IsolationLevel, OffsetAndMetadata, OffsetAndTimestamp, OffsetSpec, Offsets, TimestampType,
    TopicId, TopicPartition,
};
