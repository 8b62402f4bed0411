//! Apache Kafka's log as a library.

mod broker;
pub mod consumer;
mod coordinator;
mod error;
pub mod format;
mod log;
mod metrics;
pub mod producer;
mod random;
pub mod record;
mod storage;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod types;
mod wait;

pub use broker::{
    Appended, Broker, BrokerBuilder, Housekeeping, NewTopic, Partition, RawRecord, RecoveryReport,
    SegmentInfo, Topic,
};
pub use consumer::{Consumer, OffsetReset, Record, RecordRef, Records};
pub use error::{Error, ErrorCode, ErrorKind, Result};
pub use log::config::{CleanupPolicy, TopicConfig};
pub use log::report::{DamageReport, OnDamage, PartitionReport, Truncation};
pub use producer::{Acks, Delivery, Producer, ProducerRecord, RecordMetadata};
pub use record::{Compression, Header};
pub use storage::Storage;
pub use time::Clock;
pub use types::{
    IsolationLevel, OffsetAndMetadata, OffsetAndTimestamp, OffsetSpec, Offsets, TimestampType,
    TopicId, TopicPartition,
};
