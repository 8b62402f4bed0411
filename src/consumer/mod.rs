//! Consumers: batches in, records out.
//!
//! A poll does what the group asks for, then goes on reading each assigned partition where it was.
//! What it returns owns the memory it points into; nothing is copied.
//!
//! # Settings
//!
//! Every key has a method on [`ConsumerBuilder`], named after it without the unit, and can be given
//! by name to [`set`](ConsumerBuilder::set). Defaults are those of Kafka 4.
//!
//! | key | default | limits | more or larger |
//! |---|---|---|---|
//! | `allow.auto.create.topics` | true | | makes unknown topics, if the broker allows that too |
//! | `auto.commit.interval.ms` | 5000 | from 0 (every poll) | fewer commits, more is read again |
//! | `auto.offset.reset` | `latest` | `earliest`, `latest`, `none`, `by_duration:<ISO-8601>` | |
//! | `check.crcs` | true | | notices damage, reads slower |
//! | `enable.auto.commit` | true | needs a group | |
//! | `fetch.max.bytes` | 52428800 | soft, from 0 (a batch) | more is read at once |
//! | `fetch.max.wait.ms` | 500 | from 0 | `fetch.min.bytes` holds back longer |
//! | `fetch.min.bytes` | 1 | counts up to `fetch.max.bytes` | fewer and larger answers, later ones |
//! | `group.id` | none | | |
//! | `isolation.level` | `read_uncommitted` | or `read_committed` | |
//! | `max.partition.fetch.bytes` | 1048576 | soft, from 0 (a batch) | more of a partition is read ahead |
//! | `max.poll.records` | 500 | from 1 | more work between polls |
//!
//! Sizes and times go up to 2147483647. Keys about a network (`bootstrap.servers`, `client.id`,
//! `request.timeout.ms`, `ssl.*`, deserializers) are accepted and
//! [ignored](ConsumerBuilder::ignored).

mod reset;

mod config;

mod records;

mod position;

mod state;

mod wakeup;

mod handle;

mod watch;

mod future;

mod places;

mod iter;

pub use crate::coordinator::assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, RangeAssignor, RebalanceProtocol,
    RoundRobinAssignor, StickyAssignor, Subscription,
};
pub use config::ConsumerBuilder;
#[cfg(feature = "stream")]
pub use future::RecordStream;
pub use future::{NextBatch, Recv};
pub use handle::Consumer;
pub use iter::Iter;
pub use records::{Record, RecordRef, Records, RecordsIter};
pub use reset::OffsetReset;
pub use wakeup::WakeupHandle;
