//! Producers: records in, batches out.
//!
//! A record is encoded straight into the open batch of its partition: the bytes are copied once. A
//! batch is due when it is full or has lingered; whoever comes first runs it: the sender that
//! filled it, a thread that waits for one of its deliveries, `flush`, or a thread of the broker.
//! While one thread writes batches of a partition, others go on filling the next ones, and what
//! they filled goes out with one write.
//!
//! # What is promised
//!
//! * Every record ends in exactly one result, which its [`Delivery`] tells: by waiting, by
//!   `.await`, by a callback. [`forget`](Delivery::forget) says that nobody asks.
//! * Records of one producer for one partition stand in the log in the order in which `send` was
//!   called, retries included.
//! * With idempotence, which is on by default, nothing is written twice by a retry.
//! * A record that its topic refuses fails with those of its batch, and no others.
//! * Callbacks of a partition run in the order of its records, on the thread that completes the
//!   batch, after waiting threads were woken, with no lock held. They may send, and wait.
//! * Memory is bounded by `buffer.memory`: what is not delivered, callbacks included, as in Kafka.
//!   When it is full, [`send`](Producer::send) blocks for up to `max.block.ms`,
//!   [`send_async`](Producer::send_async) is pending for as long, and
//!   [`try_send`](Producer::try_send) gives the record back. Inside a callback none waits for
//!   memory.
//!
//! What a result is worth is said by [`Acks`].
//!
//! # On which thread
//!
//! Whoever calls `send`, `wait` or `flush` may find itself writing other threads' batches of the
//! same partition, and running their callbacks; time limits bound waiting for others, not what such
//! a callback does. What nobody waits for, lingering batches, retries and the syncs of forgotten
//! deliveries, is done by one thread of the broker for all producers: a callback that blocks it
//! delays them all. With [`Housekeeping::Manual`](crate::Housekeeping) that is done by
//! [`Broker::run_due`](crate::Broker::run_due), and by who waits or flushes.
//!
//! # When something fails
//!
//! An error that may pass, a full disk above all, is tried again until `retries` or
//! `delivery.timeout.ms` end it; the batches behind wait, so that nothing is overtaken. All others
//! are told at once: a partition whose storage failed takes nothing more until it is opened again,
//! and `min.insync.replicas` above one cannot come true in one process.
//!
//! A batch that is too large for its topic's `max.message.bytes` is split and tried again in parts;
//! a single record that is too large fails alone. After `REQUEST_TIMED_OUT` a record may be in the
//! log all the same; the producer then goes on with a new epoch, so that no later batch can be
//! taken for that one.
//!
//! # Settings
//!
//! Every key has a method on [`ProducerBuilder`], named after it without the unit, and can be given
//! by name to [`set`](ProducerBuilder::set). Defaults are those of Kafka 4 but for `linger.ms`.
//!
//! | key | default | limits | more or larger |
//! |---|---|---|---|
//! | `acks` | `all` | `0`, `1`, `all` | survives more, waits longer |
//! | `batch.size` | 16384 bytes | from 0 (a batch a record) | fewer writes, more memory per partition |
//! | `buffer.memory` | 33554432 bytes | from 0 | runs further ahead of a slow disk |
//! | `compression.type` | `none` | `none`, `gzip`, `snappy`, `lz4`, `zstd`, as built in | less disk, more time |
//! | `compression.gzip.level`, `.lz4.level`, `.zstd.level` | the codec's | the codec's | smaller and slower |
//! | `delivery.timeout.ms` | 120000 | from `linger.ms` (plus `request.timeout.ms`, if set) | outlasts longer troubles, tells of them later |
//! | `enable.idempotence` | true with `acks=all` and retries | needs both | nothing twice; a few bytes per producer and partition |
//! | `interceptor.classes` | none | code: [`ProducerBuilder::interceptor`] | |
//! | `linger.ms` | 0 (Kafka: 5) | from 0 | fuller batches, later deliveries |
//! | `max.block.ms` | 60000 | from 0 (`send` never blocks) | `send` waits longer for memory or a topic |
//! | `max.in.flight.requests.per.connection` | 5 | 1 to 5 with idempotence | nothing: one batch of a partition at a time |
//! | `max.request.size` | 1048576 bytes | from 0 | larger records; see the topic's `max.message.bytes` |
//! | `partitioner.class` | by key, else sticky | `RoundRobinPartitioner`, or code: [`ProducerBuilder::partitioner`] | |
//! | `partitioner.adaptive.partitioning.enable` | true | | less to partitions that lag behind |
//! | `partitioner.ignore.keys` | false | | fuller batches, no order by key |
//! | `request.timeout.ms` | none | from 0 | only counts towards `delivery.timeout.ms` |
//! | `retries` | 2147483647 | from 0 (no idempotence) | outlasts longer troubles |
//! | `retry.backoff.ms` | 100 | from 0 | fewer tries |
//! | `retry.backoff.max.ms` | 1000 | from 0 | fewer tries when trouble lasts |
//! | `transaction.timeout.ms` | 60000 | 1 to the broker's `transaction.max.timeout.ms` | transactions may take longer, and hold readers of committed records back for longer |
//! | `transactional.id` | none | to [`build_transactional`](ProducerBuilder::build_transactional) | |
//!
//! Sizes and times go up to 2147483647, `buffer.memory` and `max.block.ms` to 64 bits. Keys about a
//! network (`bootstrap.servers`, `client.id`, `metadata.max.age.ms`, `ssl.*`, serializers) are
//! accepted and [ignored](ProducerBuilder::ignored).

mod record;

mod metadata;

mod batch_metadata;

mod partitioner;

mod interceptor;

mod config;

mod builder;

mod murmur;

mod sticky;

mod limit;

mod memory;

mod few;

mod at_work;

mod session;

mod slot;

mod accumulator;

mod identity;

mod client;

mod piece;

mod round;

mod struck;

mod queue;

mod discard;

mod drive;

mod delivery;

mod batch_delivery;

mod topics;

mod inner;

mod usual;

mod send_batch;

mod handle;

mod send_async;

mod transactional;

pub use batch_delivery::BatchDelivery;
pub use batch_metadata::{BatchMetadata, BatchMetadataIter};
pub use builder::ProducerBuilder;
pub use config::Acks;
pub use delivery::Delivery;
pub use handle::{Producer, TrySendError};
pub use interceptor::ProducerInterceptor;
pub use metadata::RecordMetadata;
pub use murmur::murmur2;
pub use partitioner::{Partitioner, RoundRobin, TopicPartitions};
pub use record::{Payload, ProducerRecord};
pub use send_async::SendAsync;
pub use transactional::{Transaction, TransactionalProducer};
