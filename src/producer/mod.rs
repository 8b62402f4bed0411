//! Producers: records in, batches out.
//!
//! A record is encoded straight into the open batch of its partition. A batch is due when it is
//! full or has lingered; whoever comes first runs it: the sender that filled it, a thread that
//! waits for one of its deliveries, `flush`, or the background thread.

mod config;

mod record;

mod partitioner;

mod slot;

mod queue;

mod delivery;

mod inner;

mod handle;

pub use config::{Acks, ProducerBuilder};
pub use delivery::Delivery;
pub use handle::Producer;
pub use partitioner::murmur2;
pub use record::{Payload, ProducerRecord, RecordMetadata};
