//! Apache Kafka's log as a library: topics, partitions, producers, consumer groups and transactions
//! inside your process, in memory or on disk in Kafka's own segment files.
//!
//! It is Kafka's log in the sense that the bytes are Kafka's: segment files, indexes and committed
//! offsets are what a Kafka broker writes, so Kafka's tools read our directories and we read
//! Kafka's. It is not a broker: there is no network, no other process produces or consumes through
//! it, and there is no replication. One disk, one copy.
//!
//! ```
//! use std::time::Duration;
//! use logreel::{Broker, NewTopic, OffsetReset, ProducerRecord};
//!
//! # fn main() -> logreel::Result<()> {
//! let broker = Broker::in_memory(); // or Broker::open("./data")?
//! broker.create_topic(NewTopic::new("orders").partitions(3))?;
//!
//! let producer = broker.producer().build()?;
//! producer.send(ProducerRecord::to("orders").key("customer-7").value("new order")).wait()?;
//!
//! let group = broker.consumer().group_id("billing");
//! let consumer = group.auto_offset_reset(OffsetReset::Earliest).build()?;
//! consumer.subscribe(["orders"])?;
//! for record in &consumer.poll(Duration::from_secs(1))? {
//!     println!("{:?}", record.value());
//! }
//! consumer.commit()?;
//! # Ok(())
//! # }
//! ```
//!
//! The [`manual`] has chapters on [using](manual::guide) it, its [design](manual::design), its
//! [files](manual::format), what [survives](manual::durability) what, and on coming [from
//! Kafka](manual::kafka) and moving [to it](manual::moving).
//!
//! # Topics and partitions
//!
//! A [`Topic`] has a name, an id, Kafka's configuration keys ([`TopicConfig`]) and partitions. A
//! [`Partition`] is a log: records get offsets 0, 1, 2 and stay in that order. By itself it is a
//! raw commit log that can be appended to and read without producers and groups.
//! [`Topic::alter_config`] changes a configuration in use, [`Broker::create_partitions`] adds
//! partitions, [`Broker::delete_topic`] deletes a topic, [`admin`] looks into them.
//!
//! ```
//! # use logreel::{Broker, NewTopic};
//! let broker = Broker::in_memory();
//! let topic = broker.create_topic(NewTopic::new("events").set("segment.bytes", "1048576"))?;
//! let log = topic.partition(0)?;
//! log.append([(Some("sensor-1"), Some("21.5")), (Some("sensor-2"), Some("19.0"))])?;
//! assert_eq!((log.log_start_offset(), log.high_watermark()), (0, 2));
//! let last = log.read(1, 1024 * 1024)?;
//! assert_eq!(last.iter().next().and_then(|record| record.value()), Some(&b"19.0"[..]));
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! # Producing
//!
//! [`Producer::send`] encodes a record into the open batch of its partition and returns a
//! [`Delivery`]: wait for it, `.await` it, have it called back, or [`forget`](Delivery::forget) it.
//! Every error comes through it. A batch is written when it is full or has lingered, by whoever
//! comes first. Records with the same key go to the same partition, the one Kafka's Java producer
//! would choose. Producers are idempotent: a batch that is tried again is never written twice and
//! never out of order. `buffer.memory` bounds what a producer holds;
//! [`try_send`](Producer::try_send) gives a record back where `send` would block,
//! [`send_async`](Producer::send_async) awaits it.
//! [`send_batch`](Producer::send_batch) writes many records as one batch. [`producer`] has every
//! setting, partitioners and interceptors.
//!
//! ```
//! # use std::time::Duration;
//! # use logreel::{Broker, ProducerRecord};
//! let broker = Broker::in_memory();
//! let producer = broker.producer().linger(Duration::from_millis(5)).build()?;
//! let record = |n: i32| ProducerRecord::to("ticks").key("eur").value(n.to_string());
//! let placed = producer.send(record(1)).wait()?;
//! producer.send(record(2)).on_complete(|result| assert!(result.is_ok()));
//! producer.send_batch((3..100).map(record)).wait()?;
//! producer.flush(Duration::from_secs(10))?;
//! # assert_eq!(placed.offset(), Some(0));
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! # Consuming
//!
//! A [`Consumer`] subscribes to topics as a member of a group, or is assigned partitions.
//! [`Consumer::poll`] returns [`Records`] that share the memory they point into: they may go to
//! another thread, outlive the consumer, and be processed while offsets are committed. A committed
//! offset is the *next* one to read; committing after the work is at least once, before it at most
//! once. [`Consumer::iter`] hands out records one by one, [`Consumer::read_to_end`] everything
//! there is now; [`Consumer::seek`] goes to an offset, a time or an end; [`Consumer::pause`] rests
//! partitions; a [`WakeupHandle`] ends a poll, a [`Committer`] commits from other threads.
//! [`consumer`] has every setting.
//!
//! ```
//! # use std::time::Duration;
//! # use logreel::{Broker, OffsetReset, OffsetSpec, ProducerRecord};
//! # let broker = Broker::in_memory();
//! # broker.producer().build()?.send(ProducerRecord::to("jobs").value("1").timestamp(9)).wait()?;
//! let settings = broker.consumer().group_id("workers").enable_auto_commit(false);
//! let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build()?;
//! consumer.subscribe(["jobs"])?;
//! let jobs = consumer.poll(Duration::from_secs(1))?;
//! for job in &jobs {
//!     // ... do it ...
//! #   assert_eq!(job.offset(), 0);
//! }
//! consumer.commit_offsets(&jobs.next_offsets())?;
//!
//! consumer.seek(("jobs", 0), OffsetSpec::Timestamp(5))?;
//! assert_eq!(consumer.read_to_end()?.len(), 1);
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! # Groups
//!
//! Members of one group share the partitions of its topics; each group gets everything. Partitions
//! change hands inside `poll`, by Kafka's classic protocol: eager or cooperative, with static
//! members, `max.poll.interval.ms` and fencing; a
//! [`RebalanceListener`](consumer::RebalanceListener) is told. [`Broker::group`] names a group:
//! [`ConsumerGroup::describe`] says who is in it, [`ConsumerGroup::lag`] how far it is behind,
//! [`ConsumerGroup::reset_offsets`] sets it to a time, an offset or an end,
//! [`ConsumerGroup::wait_drained`] waits until it has read everything.
//!
//! ```
//! # use logreel::{Broker, ProducerRecord};
//! # let broker = Broker::in_memory();
//! # broker.producer().build()?.send(ProducerRecord::to("orders").value("1")).wait()?;
//! let group = broker.group("billing");
//! group.reset_offsets("orders", logreel::admin::ResetTo::Earliest)?;
//! assert_eq!(group.total_lag()?, 1);
//! let member = group.join(["orders"])?;
//! assert_eq!(member.poll(std::time::Duration::from_secs(1))?.len(), 1);
//! member.commit()?;
//! assert_eq!(group.total_lag()?, 0);
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! # Durability
//!
//! | [`Acks`] | the delivery completes when | then it survives |
//! |---|---|---|
//! | [`None`](Acks::None) | the record is in the batch (its offset is never known) | nothing |
//! | [`Leader`](Acks::Leader) | the batch's `write` returned | panic, abort, `kill -9` |
//! | [`All`](Acks::All) (default) | `fdatasync` of the segment returned, and the directory of a new segment is synced | power loss, on a disk that honours flush |
//! | [`Transaction::commit`] | records, decision and markers are synced, in this order | power loss, as a whole |
//!
//! A commit waits like `All`, after syncing the partitions it points into. In memory all of them
//! complete at once and nothing outlives the process. Consumers see a batch when it is written,
//! before it is synced. A failed sync is never retried: the partition takes no more appends until
//! it is opened again. [`manual::durability`] has the whole of it.
//!
//! ```
//! use logreel::{Acks, Broker, ProducerRecord};
//! # let dir = tempfile::tempdir()?;
//! let broker = Broker::open(dir.path())?;
//! let producer = broker.producer().acks(Acks::Leader).build()?;
//! producer.send(ProducerRecord::to("events").value("survives kill -9")).wait()?;
//! let log = broker.topic("events")?.partition(0)?;
//! assert_eq!((log.recovery_point(), log.log_end_offset()), (0, 1));
//! log.sync()?; // and power loss
//! assert_eq!(log.recovery_point(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Keys and values that are types
//!
//! A [`TypedProducer`] sends what a serializer makes of a value, [`Typed::read`] gives back what a
//! deserializer makes of a record: text, Kafka's big-endian numbers, JSON (feature `json`), or your
//! own. A record that cannot be read is an error that names it, and moves nothing. [`typed`] has
//! more.
//!
//! ```
//! # use std::time::Duration;
//! # use logreel::{Broker, OffsetReset};
//! use logreel::Typed;
//! use logreel::typed::{Long, Utf8};
//! # let broker = Broker::in_memory();
//! let clicks = broker.producer().build()?.typed("clicks", Utf8, Long);
//! clicks.send("home", &3).wait()?;
//! # let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
//! # consumer.assign([("clicks", 0)])?;
//! let clicks = Typed { key: Utf8, value: Long };
//! for record in &consumer.poll(Duration::from_secs(1))? {
//!     assert_eq!(clicks.read(record)?, (Some("home"), Some(3)));
//! }
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! # Transactions
//!
//! A [`TransactionalProducer`] writes to any number of partitions, and commits the positions of a
//! group, as one step: all of it counts or nothing, also after a crash (KIP-98).
//! [`begin`](TransactionalProducer::begin) gives a [`Transaction`] that borrows the producer; a
//! commit or an abort consumes it, dropping it aborts. Consumers with
//! [`IsolationLevel::ReadCommitted`] see only what is committed, and stop in front of what is open.
//! A `transactional.id` names a producer over its restarts: the next one of the id aborts what the
//! one before left open, and fences it. After an abort a consumer is where it was; to process
//! records again it seeks back.
//!
//! ```
//! # use std::time::Duration;
//! # use logreel::{Broker, OffsetReset, ProducerRecord};
//! # let broker = Broker::in_memory();
//! # broker.producer().build()?.send(ProducerRecord::to("in").value("2")).wait()?;
//! let settings = broker.consumer().group_id("doublers").enable_auto_commit(false);
//! let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build()?;
//! consumer.subscribe(["in"])?;
//! let mut producer = broker.producer().build_transactional("doubler-0")?;
//!
//! let records = consumer.poll(Duration::from_secs(1))?;
//! let transaction = producer.begin()?;
//! for record in &records {
//!     let doubled = record.value().unwrap_or_default().repeat(2);
//!     transaction.send(ProducerRecord::to("out").value(doubled)).forget();
//! }
//! let member = consumer.group_metadata().expect("it has joined");
//! transaction.send_offsets(&records.next_offsets(), &member)?;
//! transaction.commit()?;
//! # assert_eq!(broker.topic("out")?.partition(0)?.last_stable_offset(), 2);
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! # Compaction and retention
//!
//! A topic's `cleanup.policy` decides. With `delete` old segments go as a whole when `retention.ms`
//! has passed since the newest record in them, or when the partition has more than
//! `retention.bytes`; with `compact` the last record of each key stays, and one without a value
//! deletes its key. Compaction leaves gaps between offsets, which readers pass over, and changes
//! neither order nor end. [`Partition::delete_records`] moves the log start at once. What readers
//! hold stays valid. A thread of the broker does this when it is due; with [`Housekeeping::Manual`]
//! [`Broker::run_due`] does, and a mock clock when it is moved.
//!
//! ```
//! use logreel::{Broker, CleanupPolicy, ConfigChange, NewTopic};
//! let broker = Broker::in_memory();
//! let users = NewTopic::new("users").cleanup_policy(CleanupPolicy::Compact);
//! let users = broker.create_topic(users)?;
//! users.alter_config([ConfigChange::set("min.cleanable.dirty.ratio", "0.2")])?;
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! # Async
//!
//! Everything blocks or does not, as its name says, and needs no runtime. A [`Delivery`] and a
//! [`CommitHandle`] are futures as well; [`Consumer::next_batch`] and [`Consumer::recv`] are polls
//! to be awaited, and with the feature `stream` a consumer is a `Stream`. They work with any
//! runtime, and may be dropped at any time: no record is lost by that. In a runtime `send` may
//! block for `max.block.ms` where memory is full; [`try_send`](Producer::try_send) does not.
//!
//! ```
//! # use logreel::{Broker, OffsetReset, ProducerRecord};
//! async fn echo(broker: &Broker) -> logreel::Result<i64> {
//!     let producer = broker.producer().build()?;
//!     producer.send(ProducerRecord::to("echo").value("hello")).await?;
//!     let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
//!     consumer.assign([("echo", 0)])?;
//!     Ok(consumer.recv().await?.offset)
//! }
//! # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
//! # let broker = Broker::in_memory();
//! # let mut echoed = pin!(echo(&broker));
//! # let offset = loop {
//! #     let mut context = Context::from_waker(Waker::noop());
//! #     if let Poll::Ready(answer) = echoed.as_mut().poll(&mut context) {
//! #         break answer?;
//! #     }
//! # };
//! # assert_eq!(offset, 0);
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! # Testing your program
//!
//! `Broker::in_memory()` is the same log on other storage. With the feature `testing` there are
//! also `testing::MockClock`, a clock that moves when told (a broker on it owns no thread and every
//! run repeats), `testing::SimStorage`, a disk that can be cut off at any operation, and
//! `Broker::testing`, which makes operations fail, wait, or succeed and lose their answer, moves
//! members of groups about, looks into topics, and kills and restarts the broker: see the
//! [guide](manual::guide).
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use std::time::Duration;
//! use logreel::{Broker, testing::MockClock};
//!
//! let clock = MockClock::at_millis(1_700_000_000_000);
//! let broker = Broker::builder().clock(&clock).topic("orders").open()?;
//! let member = broker.group("billing").join(["orders"])?;
//! member.poll(Duration::ZERO)?;
//! clock.advance(Duration::from_secs(301)); // more than max.poll.interval.ms, at once
//! let offsets = [(("orders", 0), 0)].into_iter().collect();
//! assert!(member.commit_offsets(&offsets).unwrap_err().is_rebalance());
//! # }
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! # Crate features
//!
//! * `zstd` (default): read and write zstd batches; builds the zstd C library.
//! * `gzip`, `snappy`, `lz4`: read and write batches of these codecs.
//! * `stream`: a consumer's records as a `futures_core::Stream`.
//! * `json`: keys and values as JSON, by `serde`.
//! * `tracing`: events and spans of what a broker does. Nothing in them is of a record, and no lock
//!   is held while a subscriber is called.
//! * `testing`: what tests of your own program need.

pub mod admin;
mod broker;
pub mod consumer;
mod coordinator;
mod error;
mod faults;
pub mod format;
mod log;
pub mod manual;
pub mod metrics;
pub mod producer;
mod random;
pub mod record;
mod storage;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod trace;
pub mod typed;
mod types;
mod wait;

pub use admin::ConsumerGroup;
pub use broker::{
    Appended, Broker, BrokerBuilder, Housekeeping, NewTopic, Partition, RawRecord, RecoveryReport,
    SegmentInfo, Topic,
};
pub use consumer::{
    CommitHandle, Committer, Consumer, OffsetReset, Record, RecordRef, Records, WakeupHandle,
};
pub use error::{Error, ErrorCode, ErrorKind, Result};
pub use log::config::{CleanupPolicy, ConfigEntry, TopicConfig};
pub use log::config_change::ConfigChange;
pub use log::report::{DamageReport, OnDamage, PartitionReport, Truncation};
pub use metrics::Metrics;
pub use producer::{
    Acks, BatchDelivery, BatchMetadata, Delivery, Producer, ProducerRecord, RecordMetadata,
    Transaction, TransactionalProducer, TrySendError,
};
pub use record::{Compression, Header};
pub use storage::Storage;
pub use time::Clock;
pub use typed::{Typed, TypedProducer};
pub use types::{
    IsolationLevel, OffsetAndMetadata, OffsetAndTimestamp, OffsetSpec, Offsets, TimestampType,
    TopicId, TopicPartition,
};

/// The README's code runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
