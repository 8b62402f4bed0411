//! A directory that rots: bits that flip, blocks that are lost, swapped or old, files that are cut,
//! extended, missing or another's.
//!
//! Whatever happens to one file of a closed or killed directory, what a reader is told is what was
//! appended, or an error that names file and position; never another key, value, header, offset or
//! timestamp, never a panic. What the format cannot show has a test of its own in `limits`.
//!
//! `LOGREEL_CAMPAIGN=<n>` makes the corpus `n` times as large, for long runs by hand.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "a test that fails may panic; the count of cases is part of the result"
)]

mod answers;
mod bits;
mod blocks;
mod corpus;
mod cuts;
mod digests;
mod files;
mod judge;
mod limits;
mod maps;
mod policies;
mod regressions;
mod removals;
