//! Behaviour through the public API, each test over every home of files and both kinds of clock.
#![allow(
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that fails may panic"
)]

mod homes;

mod clients;
mod close;
mod follow;
mod groups;
mod misuse;
mod partition_log;
mod recovery;
mod regressions;
mod topics;
