//! Counters of what a broker did. Relaxed atomics: they order nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::Histogram;
use super::meter::Meters;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty;)+) => {
        /// What a broker counted since it was opened.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($name: $kind,)+ }

        impl Counters {
            $($(#[$doc])*
            pub(crate) fn $name(&self) -> &$kind { &self.$name })+
        }
    };
}

counters! {
    /// What each log counts for itself.
    meters: Meters;
    /// Appends whose records broke the topic's rules: they did not come to the log.
    refused_appends: AtomicU64;
    /// Appends that failed in the log.
    failed_appends: AtomicU64;
    /// Every sixteenth append of a log, with its wait for the append lock.
    append_latency: Histogram;
    /// Reads of a partition that failed.
    failed_fetches: AtomicU64;
    /// Every sixteenth read of a partition that brought something.
    fetch_latency: Histogram;
    /// `fdatasync` calls on segments.
    segment_syncs: AtomicU64;
    /// Syncs of a partition: of its segments and its directory.
    sync_latency: Histogram;
    /// Syncs of a partition that failed.
    failed_syncs: AtomicU64;
    /// How often the recovery points and the log starts were stored.
    checkpoints: AtomicU64;
    /// How often they could not be.
    failed_checkpoints: AtomicU64;
    /// Segments rolled.
    rolls: AtomicU64;
    /// Segments removed because they lie below the log start.
    segments_deleted: AtomicU64;
    /// Bytes of records in those.
    bytes_deleted: AtomicU64;
    /// Checks of retention that failed somewhere; they are tried again.
    failed_retentions: AtomicU64;
    /// Indexes rebuilt from the log because their file could not be believed.
    indexes_rebuilt: AtomicU64;
    /// Index, snapshot or epoch files that could not be written; they are rebuilt when needed.
    derived_files_failed: AtomicU64;
    /// Batches sent with `acks=0` that failed; nobody else hears of them.
    unacknowledged_failures: AtomicU64;
    /// Cleanings that came to their end.
    clean_latency: Histogram;
    /// Cleanings that failed, and looks for what to clean that did.
    failed_cleanings: AtomicU64;
    /// What the cleanings did.
    cleaned: CleanerCounts;
    /// Rebalances from their begin until the assignment is stored.
    rebalance_latency: Histogram;
    /// Commits that were written.
    commits: AtomicU64;
    /// Offsets in those.
    offsets_committed: AtomicU64;
    /// Memory of decompressed batches.
    decompressed_bytes: super::held::Gauge;
}

/// What the cleaner read and left. One log is cleaned at a time.
#[derive(Debug, Default)]
pub(crate) struct CleanerCounts {
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_left: AtomicU64,
    pub(crate) records_read: AtomicU64,
    pub(crate) records_left: AtomicU64,
    /// Nanoseconds of the last cleaning.
    last_nanos: AtomicU64,
    last_read: AtomicU64,
    last_left: AtomicU64,
    /// The ratio of the dirtiest log at the last look, as the bits of a float.
    dirtiest: AtomicU64,
}

impl CleanerCounts {
    /// A cleaning has come to its end.
    pub(crate) fn note(&self, took: Duration, bytes: (u64, u64), records: (u64, u64)) {
        add(&self.bytes_read, bytes.0);
        add(&self.bytes_left, bytes.1);
        add(&self.records_read, records.0);
        add(&self.records_left, records.1);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.last_nanos.store(nanos, Ordering::Relaxed);
        self.last_read.store(bytes.0, Ordering::Relaxed);
        self.last_left.store(bytes.1, Ordering::Relaxed);
    }

    /// How long the last cleaning took; zero before the first.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_nanos(get(&self.last_nanos))
    }

    /// How many bytes the last cleaning read, and how many it left.
    pub(crate) fn last_bytes(&self) -> (u64, u64) {
        (get(&self.last_read), get(&self.last_left))
    }

    pub(crate) fn set_dirtiest(&self, ratio: f64) {
        self.dirtiest.store(ratio.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn dirtiest(&self) -> f64 {
        f64::from_bits(get(&self.dirtiest))
    }
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Adds some.
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// What a counter has come to.
pub(crate) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
