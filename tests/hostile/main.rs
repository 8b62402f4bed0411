//! Directories made by somebody who means harm: nothing hangs, panics, leaves the directory, or
//! takes memory because a file says so. What is wrong is an error or stands in a report.
#![allow(
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that fails may panic"
)]

mod homes;

mod kinds;
mod lists;
mod modes;
mod names;
mod payload;
mod segments;
mod sizes;
mod tails;
