//! Where fakes of Kafka lie: each statement is a test named after it, over memory and disk, the
//! system's clock and a mock one. `offsets`, `polling` and `reset` are about consumers,
//! `rebalances` and `statics` about groups, `topics` and `upkeep` about logs, `fakes` about what
//! Kafka has no need to promise, the others about producers. `written` holds `CONFORMANCE.md` to
//! what ran.
#![allow(
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::mem_forget,
    reason = "a test that fails may panic"
)]

mod homes;

mod bad_input;
mod buffer;
mod compression;
mod ending;
mod fakes;
mod groups;
mod hooks;
mod kit;
mod limits;
mod offsets;
mod polling;
mod rebalances;
mod records;
mod reset;
mod retries;
mod routing;
mod send_batch;
mod statics;
mod topics;
mod transactions;
mod upkeep;
mod written;
