//! Apache Kafka's log as a library: topics, partitions, producers and consumer groups over an
//! append-only, segmented, checksummed log, inside your process, with no networking at all.
//!
//! It is Kafka's log in the sense that the bytes are Kafka's: segment files, indexes and committed
//! offsets are what a Kafka broker writes, so Kafka's tools read our directories and we read
//! Kafka's. It is not a broker: no other process produces or consumes through it, and there is no
//! replication. One disk, one copy.
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
//! # Topics and partitions
//!
//! A [`Topic`] has a name, an id, Kafka's configuration keys ([`TopicConfig`]) and partitions. A
//! [`Partition`] is a log: records get offsets 0, 1, 2 and stay in that order. By itself it is a
//! raw commit log that can be appended to and read without producers and groups.
//!
//! ```
//! # use logreel::{Broker, NewTopic, OffsetSpec};
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
//! [`Topic::alter_config`] changes a configuration while the topic is in use, key by key, and is
//! in force for the next append, roll and clean. [`Broker::create_partitions`] adds partitions,
//! [`Broker::delete_topic`] deletes a topic, [`Broker::list_offsets`] looks up offsets in many
//! partitions, [`Broker::describe_log_dir`] tells how much room they take.
//!
//! # Producing
//!
//! [`Producer::send`] encodes a record into the open batch of its partition and returns a
//! [`Delivery`]: wait for it, `.await` it (no runtime is needed), have it called back, or
//! [`forget`](Delivery::forget) it. Every error comes through it. A batch is written when it is
//! full or has lingered, by whoever comes first: the sender that filled it, a thread that waits
//! for it, [`flush`](Producer::flush), or a thread of the broker. Records with the same key go to
//! the same partition, the one Kafka's Java producer would choose.
//!
//! Producers are idempotent unless told otherwise: a batch that is tried again, because the disk
//! was full for a moment or an answer was lost, is never written twice and never out of order.
//! `buffer.memory` bounds what a producer holds; [`try_send`](Producer::try_send) gives a record
//! back where `send` would block, [`send_async`](Producer::send_async) awaits it.
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
//! # What survives what
//!
//! | [`Acks`] | the delivery completes when | then it survives |
//! |---|---|---|
//! | [`None`](Acks::None) | the record is in the batch (its offset is never known) | nothing |
//! | [`Leader`](Acks::Leader) | the batch's `write` returned | panic, abort, `kill -9` |
//! | [`All`](Acks::All) (default) | `fdatasync` of the segment returned, and the directory of a new segment is synced | power loss, on a disk that honours flush |
//! | [`Transaction::commit`] | records, decision and markers are synced, in this order | power loss, as a whole |
//!
//! One sync covers every batch written before it began. A commit waits like `All`, after syncing
//! the partitions it points into. In memory all of them complete at once and nothing outlives the
//! process. Consumers see a batch when it is written, before it is synced; after power loss a
//! reader may have seen records that are gone. A failed sync is never retried: the partition then
//! takes no more appends until it is opened again. A full disk stops nothing for good.
//! [`durability`] has the whole of it: what each failure does, and what is assumed of the disk.
//!
//! # Consuming
//!
//! A [`Consumer`] subscribes to topics as a member of a group, or is assigned partitions.
//! [`Consumer::poll`] returns [`Records`] that own (share) the memory they point into: they may go
//! to another thread, outlive the consumer, and be processed while offsets are committed. A
//! committed offset is the *next* one to read.
//!
//! At least once: process, then commit.
//!
//! ```
//! # use std::time::Duration;
//! # use logreel::{Broker, OffsetReset, ProducerRecord};
//! # let broker = Broker::in_memory();
//! # broker.producer().build()?.send(ProducerRecord::to("jobs").value("1")).wait()?;
//! let consumer = broker
//!     .consumer()
//!     .group_id("workers")
//!     .auto_offset_reset(OffsetReset::Earliest)
//!     .enable_auto_commit(false)
//!     .build()?;
//! consumer.subscribe(["jobs"])?;
//! let jobs = consumer.poll(Duration::from_secs(1))?;
//! for job in &jobs {
//!     // ... do it ...
//! # let _ = job;
//! }
//! consumer.commit_offsets(&jobs.next_offsets())?;
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! For at most once, commit before processing. Members of one group share its topics; each group
//! gets everything. Where a commit is too slow, have it [made later](Consumer::commit_async), or
//! commit from workers through a [`Committer`].
//!
//! A poll is bounded by `max.poll.records` and Kafka's fetch limits; partitions take turns.
//! [`Consumer::iter`] hands out records one by one, [`Consumer::read_to_end`] everything there is
//! now. [`Consumer::seek`] goes to an offset, a time, the beginning or the end;
//! [`Consumer::pause`] rests partitions; a [`WakeupHandle`] ends a poll from another thread.
//! [`Consumer::next_batch`] and [`Consumer::recv`] are polls to be awaited, with any runtime or
//! none. [`Consumer::commit_async`] has a commit made later, without waiting for the disk, and a
//! [`Committer`] commits from worker threads.
//! [`consumer`] has every setting.
//!
//! ```
//! # use logreel::{Broker, OffsetReset, OffsetSpec, ProducerRecord};
//! # let broker = Broker::in_memory();
//! # broker.producer().build()?.send(ProducerRecord::to("audit").value("1").timestamp(9)).wait()?;
//! let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
//! consumer.assign([("audit", 0)])?;
//! assert_eq!(consumer.read_to_end()?.len(), 1);
//! consumer.seek(("audit", 0), OffsetSpec::Timestamp(5))?;
//! for record in consumer.iter().until_idle(std::time::Duration::ZERO) {
//!     assert_eq!(record?.timestamp, Some(9));
//! }
//! # Ok::<(), logreel::Error>(())
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
//! group, as one step: all of it counts or nothing, also after a crash or a power cut (KIP-98).
//! [`begin`](TransactionalProducer::begin) gives a [`Transaction`] that borrows the producer; a
//! commit or an abort consumes it, dropping it aborts. Consumers with
//! [`IsolationLevel::ReadCommitted`] see only what is committed, and stop in front of what is open:
//! at the [last stable offset](Partition::last_stable_offset). The others see everything at once.
//!
//! Reading, processing, writing and committing what was read, each record exactly once:
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
//! A `transactional.id` names a producer over its restarts: the next one of the same id aborts what
//! the one before left open, and fences it. After an abort a consumer's position is where it was;
//! to process the records again it has to seek back.
//!
//! # Administering groups
//!
//! [`Broker::group`] names a group: [`ConsumerGroup::describe`] says who is in it,
//! [`ConsumerGroup::lag`] how far it is behind; [`ConsumerGroup::reset_offsets`] sets it to a time,
//! an offset or an end in all of Kafka's ways; [`ConsumerGroup::wait_stable`] and
//! [`ConsumerGroup::wait_drained`] wait until it has shared out its partitions, and until it has
//! read everything. [`admin`] has the rest.
//!
//! ```
//! # use logreel::{Broker, ProducerRecord};
//! # let broker = Broker::in_memory();
//! # broker.producer().build()?.send(ProducerRecord::to("orders").value("1")).wait()?;
//! let group = broker.group("billing");
//! group.reset_offsets("orders", logreel::admin::ResetTo::Earliest)?;
//! assert_eq!(group.total_lag()?, 1);
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! # What goes and what stays
//!
//! A topic's `cleanup.policy` decides. With `delete` old segments go as a whole when
//! `retention.ms` has passed since the newest record in them, or when the partition has more than
//! `retention.bytes`; with `compact` the last record of each key stays, and one without a value
//! deletes its key; `compact,delete` does both. [`Partition::delete_records`] moves the log start
//! at once. [`Topic::alter_config`] changes any of it in use. Compaction leaves gaps between
//! offsets, which readers pass over, and never changes order or end of a log.
//!
//! Files are renamed when they go and removed `file.delete.delay.ms` later, or at the close; what
//! readers hold stays valid.
//!
//! A thread of the broker does this when something is due: retention after 30 s and then every five
//! minutes, dirty logs every 15 s, by the keys of [`BrokerBuilder::set`]; a program that runs for
//! seconds at a time sets `log.initial.task.delay.ms` to 0 and `log.cleaner.backoff.ms` to less.
//! [`Housekeeping::Manual`] leaves it to
//! [`Broker::run_due`]; a mock clock does it when it is moved.
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
//! # Opening a directory
//!
//! [`Broker::open`] takes the directory's lock, recovers what was not closed cleanly, and adopts
//! topics that a Kafka broker wrote, in a directory of Kafka's or copied in beside topics of ours
//! as whole partition directories; nothing of them is ever removed until you configure it.
//! [`Broker::recovery_report`] says what was done. Below a partition's recovery point every byte
//! was durable once, so wrong bytes there are damage and are never cut unless
//! [`OnDamage::Truncate`] says so; at or past it they are a torn tail. [`Broker::open_read_only`]
//! writes nothing and follows a directory that another process writes.
//! [`admin::verify`](admin::verify()) says whether everything in a directory is what it should be.
//!
//! # Where the defaults differ from Kafka's
//!
//! | key | here | Kafka 4 | why |
//! |---|---|---|---|
//! | `linger.ms` | 0 | 5 | there is no network to amortise |
//! | `group.initial.rebalance.delay.ms` | 0 | 3000 | members of one process come at once |
//! | `offsets.topic.num.partitions` | 1 | 50 | one process; set it before the first commit to move offsets unchanged |
//! | `message.timestamp.after.max.ms` | 1 h by the broker's clock | 1 h by the wall clock | the clock is a parameter |
//! | `segment.bytes` minimum | 1 MiB; 14 B with the feature `testing` | 1 MiB | so that tests reach a roll |
//!
//! # Watching it
//!
//! [`Broker::metrics`] tells what is counted: appends, reads, syncs, cleanings, groups and their
//! lag, memory. [`metrics`] lists everything.
//!
//! With the feature `tracing` a subscriber of that crate hears of recovery, topics, rolls, syncs
//! (`DEBUG`), retention, cleanings (a span each), rebalances, members that are lost, and of what
//! fails: appends, syncs, checkpoints, cleanings, deliveries. There is no event for each append and
//! none holds anything of a record. No lock is held when a subscriber is called: it may use the
//! broker. What happens under a lock is told after it, on the same thread.
//!
//! # Testing your program
//!
//! `Broker::in_memory()` is the same log on other storage. With the feature `testing` there are
//! also `testing::MockClock`, a clock that moves when told (a broker on it owns no thread and
//! every run repeats), `testing::SimStorage`, a disk that can be cut off at any operation, and
//! `Broker::testing`, which makes operations fail, or succeed and lose their answer.
//!
//! # Crate features
//!
//! * `zstd` (default): read and write zstd batches; builds the zstd C library.
//! * `gzip`, `snappy`, `lz4`: read and write batches of these codecs.
//! * `stream`: a consumer's records as a `futures_core::Stream`.
//! * `json`: keys and values as JSON, by `serde`.
//! * `tracing`: events and spans of what a broker does.
//! * `testing`: what tests of your own program need.

pub mod admin;
mod broker;
pub mod consumer;
mod coordinator;
mod error;
pub mod format;
mod log;
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
    Acks, BatchDelivery, Delivery, Producer, ProducerRecord, RecordMetadata, Transaction,
    TransactionalProducer, TrySendError,
};
pub use record::{Compression, Header};
pub use storage::Storage;
pub use time::Clock;
pub use typed::{Typed, TypedProducer};
pub use types::{
    IsolationLevel, OffsetAndMetadata, OffsetAndTimestamp, OffsetSpec, Offsets, TimestampType,
    TopicId, TopicPartition,
};

#[doc = include_str!("durability.md")]
pub mod durability {}

/// The README's code runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
