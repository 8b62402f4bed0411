//! Producers: records in, batches out.
//!
//! A record is encoded straight into the open batch of its partition. A batch is due when it is
//! full or has lingered; whoever comes first runs it: the sender that filled it, a thread that
//! waits for one of its deliveries, `flush`, or the background thread.

mod record;

mod metadata;

mod partitioner;

mod interceptor;

mod config;

mod builder;

mod murmur;

mod sticky;

mod limit;

mod memory;

mod slot;

mod accumulator;

mod identity;

mod client;

mod piece;

mod round;

mod queue;

mod drive;

mod delivery;

mod batch_delivery;

mod topics;

mod inner;

mod send_batch;

mod handle;

pub use batch_delivery::BatchDelivery;
pub use builder::ProducerBuilder;
pub use config::Acks;
pub use delivery::Delivery;
pub use handle::{Producer, TrySendError};
pub use interceptor::ProducerInterceptor;
pub use metadata::RecordMetadata;
pub use murmur::murmur2;
pub use partitioner::{Partitioner, RoundRobin, TopicPartitions};
pub use record::{Payload, ProducerRecord};
