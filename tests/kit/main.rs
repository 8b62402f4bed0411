//! The testing kit, used as a test of somebody's program uses it.
#![allow(
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::type_complexity,
    reason = "a test that fails may panic"
)]

mod ending;
mod faults;
mod groups;
mod lines;
mod markers;
mod storms;
mod topics;
