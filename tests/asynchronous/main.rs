//! Futures under tokio and under smol, on the system's clock but where a test says otherwise:
//! what is cancelled loses nothing and gives nothing twice. Nothing here sleeps to be in step with
//! something else; where a time passes, passing it is the point.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that fails may panic"
)]

mod runtimes;

mod cancelling;
mod commits;
mod deliveries;
mod dependencies;
mod groups;
mod sending;
mod sharing;
mod streams;
mod wakeups;

use logreel::{Broker, Consumer, OffsetReset, Producer, ProducerRecord, Record};

/// In memory, and on the disk, whose directory goes with the broker.
fn brokers() -> Vec<(Broker, Option<tempfile::TempDir>)> {
    let dir = tempfile::tempdir().unwrap();
    let disk = Broker::open(dir.path()).unwrap();
    let brokers = vec![(Broker::in_memory(), None), (disk, Some(dir))];
    for (broker, _) in &brokers {
        broker.create_topic("t").unwrap();
    }
    brokers
}

/// Reads `t` from its start.
fn reader(broker: &Broker) -> Consumer {
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

fn send(producer: &Producer, number: i64) -> logreel::Delivery {
    producer.send(ProducerRecord::to("t").value(number.to_string()))
}

/// The number that was sent.
fn number(record: &Record) -> i64 {
    std::str::from_utf8(record.value.as_deref().unwrap()).unwrap().parse().unwrap()
}
