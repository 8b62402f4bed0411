//! The workloads: what logreel does, beside what the machine allows for the same thing.
//!
//! The criterion benchmarks of the crate and the table of `benches/peers` run the same ones. Every
//! contestant writes or reads the same records and checks count and checksum of what came back.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark that cannot run may panic"
)]

pub mod bus;
pub mod consume;
pub mod durable;
pub mod goal;
pub mod limits;
pub mod measure;
pub mod open;
pub mod payload;
pub mod produce;
pub mod random;
pub mod size;
pub mod subject;

use measure::Workload;

/// How much a workload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Enough to be measured.
    Full,
    /// Enough to see that it works.
    Test,
}

impl Scale {
    /// So many records, or few.
    pub fn records(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Test => full.min(500),
        }
    }

    /// `--test` among the arguments, as criterion has it.
    pub fn from_args() -> Self {
        if std::env::args().any(|arg| arg == "--test") { Self::Test } else { Self::Full }
    }
}

/// Makes a workload, with what it needs on disk.
pub type Make = fn(Scale) -> Workload;

/// All workloads, in the order of the table.
pub fn all() -> Vec<(&'static str, Make)> {
    let mut all: Vec<(&'static str, Make)> = Vec::new();
    all.extend(produce::all());
    all.extend(durable::all());
    all.extend(consume::all());
    all.extend(random::all());
    all.extend(bus::all());
    all.extend(size::all());
    all.extend(open::all());
    all
}
