//! The example program `reel`, run as a user runs it.
#![allow(
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod program;

mod configs;
mod console_producer;
mod consumer_groups;
mod consumer_perf;
mod delete_records;
mod end_to_end_latency;
mod producer_perf;
mod tools;
mod verify;
