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
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::mem_forget,
    reason = "a test that fails may panic"
)]

mod awaiting;
mod homes;

mod async_commits;
mod checkpoints;
mod clients;
mod clocks;
mod close;
mod compaction;
mod compaction_model;
mod consumer_faults;
mod consumer_futures;
mod coordinators;
mod crafted;
mod events;
mod follow;
mod follow_upkeep;
mod get;
mod group_admin;
mod group_faults;
mod group_model;
mod grouped_writes;
mod groups;
mod held_up;
mod idempotence;
mod metrics;
mod misuse;
mod model;
mod partition_log;
mod preallocate;
mod producer_limits;
mod producer_races;
mod producers;
mod races;
mod rebalances;
mod recovery;
mod regressions;
mod reserve;
mod retention;
mod retries;

mod scale;
mod sends;
mod sharing;
mod topic_configs;
mod topics;
mod transaction_model;
mod upkeep_faults;
mod user_code;
mod verify;
