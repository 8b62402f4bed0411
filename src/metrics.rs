//! Counters of what a broker did. Relaxed atomics: they order nothing.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        /// What a broker counted since it was opened.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($name: AtomicU64,)+ }

        impl Counters {
            $($(#[$doc])*
            pub(crate) fn $name(&self) -> &AtomicU64 { &self.$name })+
        }
    };
}

counters! {
    /// `fdatasync` calls on segments.
    segment_syncs;
    /// Segments rolled.
    rolls;
    /// Indexes rebuilt from the log because their file could not be believed.
    indexes_rebuilt;
    /// Index, snapshot or epoch files that could not be written; they are rebuilt when needed.
    derived_files_failed;
    /// Batches sent with `acks=0` that failed; nobody else hears of them.
    unacknowledged_failures;
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
