//! What tests need: time that moves when told, storage that crashes and fails on command, and bad
//! things that happen on purpose. Behind the feature `testing`, and inside semantic versioning.
//!
//! | you want | use |
//! |---|---|
//! | no threads, no sleeping, every run the same | [`MockClock`], [`BrokerBuilder::seed`](crate::BrokerBuilder::seed) |
//! | a request to fail, to lose its answer, to wait, to be counted | [`Testing::faults`] |
//! | a race, step by step | [`FaultBuilder::pause`], a [`Barrier`] |
//! | a rebalance, a member that is gone or fenced, an assignment of your choice | [`Testing::group`] |
//! | to see what is in a topic, and to wait for what should be | [`Testing::topic`], [`TopicProbe::expect`] |
//! | a topic that begins at offset five million; compaction now | [`TopicProbe::seed`], [`TopicProbe::compact`] |
//! | markers of transactions that come late | [`Testing::hold_transaction_markers`] |
//! | a restart, `kill -9`, a power cut | [`Testing::restart`], [`Testing::kill`], [`Testing::cut_power`] |
//! | every state that a crash may leave | [`SimStorage`] |
//! | a fixture that is built once | [`Broker::snapshot`](crate::Broker::snapshot) |
//! | a partition from production | [`Storage::copy_of`](crate::Storage::copy_of) |
//! | records from a file | `TopicProbe::load_json` (feature `json`) |
//! | what clients asked for, in order | [`Testing::history`] |
//!
//! ```
//! use std::time::Duration;
//! use logreel::testing::{MockClock, OpKind};
//! use logreel::{Broker, ProducerRecord};
//!
//! let clock = MockClock::at_millis(1_700_000_000_000);
//! let broker = Broker::builder().clock(&clock).topic("orders").open()?;
//! let t = broker.testing();
//! let slow = t.faults().on(OpKind::Produce).times(1).delay(Duration::from_secs(2));
//! broker.producer().build()?.send(ProducerRecord::to("orders").value("1")).wait()?;
//! assert_eq!((slow.hits(), clock.wall_millis()), (1, 1_700_000_002_000));
//!
//! let broker = t.kill()?;
//! broker.testing().topic("orders").expect().value("1").once();
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! What is asked for on purpose is what a client may meet: a fault says what the broker answers,
//! and the client does with it what Kafka's does. What a client of this crate never asks for (a
//! heartbeat, the metadata of a cluster) has no fault.

mod clock;

mod control;

mod groups;

mod expect;

mod topics;

#[cfg(feature = "json")]
mod lines;

mod ending;

mod snapshot;

pub use crate::faults::{
    Barrier, FaultBuilder, FaultHandle, Faults, HistoryEntry, OpKind, Operation,
};
pub use crate::storage::{Fault, FaultKind, FaultOp, SimStorage};
pub use clock::MockClock;
pub use control::Testing;
pub use expect::Expect;
pub use groups::GroupControl;
pub use snapshot::Snapshot;
pub use topics::TopicProbe;
