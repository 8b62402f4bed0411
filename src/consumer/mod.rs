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
//! | `client.id` | `consumer-<group>-<number>` | 1 to 249 bytes | |
//! | `enable.auto.commit` | true | needs a group | |
//! | `fetch.max.bytes` | 52428800 | soft, from 0 (a batch) | more is read at once |
//! | `fetch.max.wait.ms` | 500 | from 0 | `fetch.min.bytes` holds back longer |
//! | `fetch.min.bytes` | 1 | counts up to `fetch.max.bytes` | fewer and larger answers, later ones |
//! | `group.id` | none | | |
//! | `group.instance.id` | none | 1 to 249 bytes | [static](#static-members) member |
//! | `group.protocol` | `classic` | no other yet | |
//! | `heartbeat.interval.ms` | 3000 | below `session.timeout.ms` | no effect: there are no heartbeats |
//! | `isolation.level` | `read_uncommitted` | or `read_committed` | |
//! | `max.partition.fetch.bytes` | 1048576 | soft, from 0 (a batch) | more of a partition is read ahead |
//! | `max.poll.interval.ms` | 300000 | from 1 | more time for what a poll returned, later help when it hangs |
//! | `max.poll.records` | 500 | from 1 | more work between polls |
//! | `partition.assignment.strategy` | `range,cooperative-sticky` | `range`, `roundrobin`, `sticky`, `cooperative-sticky`, or [your own](Assignor) | |
//! | `session.timeout.ms` | 45000 | 6000 to 1800000 unless the broker says otherwise | static members may be away longer |
//!
//! Sizes and times go up to 2147483647. Keys about a network (`bootstrap.servers`,
//! `request.timeout.ms`, `ssl.*`, deserializers) are accepted and
//! [ignored](ConsumerBuilder::ignored).
//!
//! # Groups
//!
//! From Java: `commitSync` is [`commit`](Consumer::commit), `commitAsync`
//! [`commit_async`](Consumer::commit_async); a `CommitFailedException` or
//! `RebalanceInProgressException` is an error that
//! [`is_rebalance`](crate::Error::is_rebalance): poll on. `FENCED_INSTANCE_ID` is for good.
//!
//! The members of a group share the partitions of the topics they subscribe to: each partition has
//! one owner. Whoever joins, leaves, or subscribes to something else begins a *rebalance*, and so
//! do topics that come, go or grow. A member takes part in it inside its own polls, and nobody else
//! does anything for it; there are no heartbeats. So partitions move when everybody has polled. Who
//! has not for `max.poll.interval.ms` has left, and finds out by its next call.
//!
//! A dropped consumer leaves at once, commits nothing and calls no listener, so that a panic cannot
//! commit what was not processed. [`close`](Consumer::close) does all of that.
//!
//! An *eager* rebalance (`range`, `roundrobin`, `sticky`) takes everything from everybody first;
//! what was not committed is read again from the commits on. A *cooperative* one takes only what
//! moves, in a rebalance of its own, and the rest is read on meanwhile. It takes a consumer all of
//! whose assignors are cooperative. A [`RebalanceListener`] is told what comes and goes, and may
//! commit and seek.
//!
//! ```
//! # use std::time::Duration;
//! use logreel::consumer::CooperativeStickyAssignor;
//! use logreel::{Broker, NewTopic};
//! let broker = Broker::in_memory();
//! broker.create_topic(NewTopic::new("orders").partitions(4))?;
//! let join = || {
//!     let member = broker.consumer().group_id("billing").assignor(CooperativeStickyAssignor);
//!     let member = member.build()?;
//!     member.subscribe(["orders"])?;
//!     Ok::<_, logreel::Error>(member)
//! };
//! let first = join()?;
//! first.poll(Duration::ZERO)?;
//! assert_eq!(first.assignment().len(), 4);
//! let second = join()?;
//! for _ in 0..3 {
//!     second.poll(Duration::ZERO)?;
//!     first.poll(Duration::ZERO)?;
//! }
//! assert_eq!((first.assignment().len(), second.assignment().len()), (2, 2));
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! ## Static members
//!
//! A member with a `group.instance.id` that is dropped or closed stays in its group until its
//! session ends. Until then its partitions wait for it, also while the process restarts, and it
//! gets them back without a rebalance. After a restart, where sessions begin anew, all other
//! members are gone: a group without static ones is empty, and none waits for anybody of the
//! process before. [`ConsumerGroup::remove_member`](crate::ConsumerGroup::remove_member) ends a
//! session at once.
//!
//! Commits of a group without members are forgotten after `offsets.retention.minutes`, seven days
//! unless the broker says otherwise, as in Kafka.
//!
//! # At least once, at most once
//!
//! A commit says that everything below an offset is done; whoever reads the partition after a crash
//! begins there. So what a crash repeats or leaves out depends on when the commit is made.
//!
//! *At least once*: process, then commit. After a crash some records are processed again. This is
//! also what auto-commit does, as long as everything from one poll is processed before the next
//! one: a poll commits what the polls before it returned.
//!
//! ```
//! # use std::time::Duration;
//! # use logreel::{Broker, OffsetReset, ProducerRecord};
//! # let broker = Broker::in_memory();
//! # broker.producer().build()?.send(ProducerRecord::to("bills").value("1")).wait()?;
//! # let mut paid = 0;
//! let group = broker.consumer().group_id("at-least-once").enable_auto_commit(false);
//! let consumer = group.auto_offset_reset(OffsetReset::Earliest).build()?;
//! consumer.subscribe(["bills"])?;
//! let bills = consumer.poll(Duration::from_secs(1))?;
//! for bill in &bills {
//!     // ... pay it; paying the same one twice must do no harm ...
//! #   let _ = bill;
//! #   paid += 1;
//! }
//! consumer.commit_offsets(&bills.next_offsets())?;
//! # assert_eq!(paid, 1);
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! *At most once*: commit, then process. After a crash some records are not processed at all. It
//! takes a commit that has returned: one that is [made later](Consumer::commit_async) may not be
//! there yet.
//!
//! ```
//! # use std::time::Duration;
//! # use logreel::{Broker, OffsetReset, ProducerRecord};
//! # let broker = Broker::in_memory();
//! # broker.producer().build()?.send(ProducerRecord::to("texts").value("1")).wait()?;
//! # let mut sent = 0;
//! let group = broker.consumer().group_id("at-most-once").enable_auto_commit(false);
//! let consumer = group.auto_offset_reset(OffsetReset::Earliest).build()?;
//! consumer.subscribe(["texts"])?;
//! let texts = consumer.poll(Duration::from_secs(1))?;
//! consumer.commit()?;
//! for text in &texts {
//!     // ... send it; rather never than twice ...
//! #   let _ = text;
//! #   sent += 1;
//! }
//! # assert_eq!(sent, 1);
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! A commit waits for syncs. Where that is too slow, have it [made later](Consumer::commit_async)
//! and go on: at least once still, with more to repeat. Where several threads process what one
//! consumer polls, each commits through a [`Committer`].

mod reset;

mod assignors;

mod config;

mod runs;

mod records;

#[cfg(feature = "testing")]
mod all;

mod get;

mod position;

mod listener;

mod membership;

mod identity;

mod state;

mod wakeup;

mod attempt;

mod commits;

mod commit_handle;

mod handle;

mod leader;

mod attend;

mod group;

mod committer;

mod watch;

mod future;

mod places;

mod iter;

pub use crate::coordinator::GroupMetadata;
pub use crate::coordinator::assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, RangeAssignor, RebalanceProtocol,
    RoundRobinAssignor, StickyAssignor, Subscription,
};
pub use commit_handle::CommitHandle;
pub use committer::Committer;
pub use config::ConsumerBuilder;
#[cfg(feature = "stream")]
pub use future::RecordStream;
pub use future::{NextBatch, Recv};
pub use handle::Consumer;
pub use iter::Iter;
pub use listener::{ListenerResult, RebalanceContext, RebalanceListener};
pub use records::{Placed, Record, RecordRef, Records, RecordsIter};
pub use reset::OffsetReset;
pub use wakeup::WakeupHandle;
