//! Keys and values as types, through the public API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

mod errors;
mod golden;
mod json;
mod nulls;
mod round_trips;

use std::time::Duration;

use logreel::{Broker, Consumer, OffsetReset, Records};

const SECOND: Duration = Duration::from_secs(1);

/// Reads partition 0 of a topic from its start.
fn reader(broker: &Broker, topic: &str) -> Consumer {
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([(topic, 0)]).unwrap();
    consumer
}

fn poll(broker: &Broker, topic: &str) -> Records {
    reader(broker, topic).poll(SECOND).unwrap()
}
