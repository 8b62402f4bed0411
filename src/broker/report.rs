//! What opening a directory did.

use crate::log::report::PartitionReport;

/// What [`Broker::open`](crate::Broker::open) found and did. Ask for it with
/// [`Broker::recovery_report`](crate::Broker::recovery_report).
///
/// ```
/// let broker = logreel::Broker::in_memory();
/// assert!(broker.recovery_report().clean);
/// assert!(broker.recovery_report().partitions.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the directory was closed cleanly (or is new).
    pub clean: bool,
    /// One entry a partition, in the order of topics and partitions.
    pub partitions: Vec<PartitionReport>,
    /// Topics that a Kafka broker wrote and that were taken into the catalog.
    pub adopted: Vec<String>,
    /// Interrupted creations and deletions that were finished or undone, files of ours that were
    /// damaged and are rebuilt, each in a few words.
    pub repaired: Vec<String>,
    /// Names in the directory that belong to no topic; left alone.
    pub ignored: Vec<String>,
}

impl RecoveryReport {
    /// Bytes that were cut off the ends of logs.
    #[must_use]
    pub fn truncated_bytes(&self) -> u64 {
        self.partitions.iter().filter_map(|p| p.truncated.as_ref()).map(|t| t.bytes).sum()
    }

    /// The partitions that are damaged.
    pub fn damaged(&self) -> impl Iterator<Item = &PartitionReport> {
        self.partitions.iter().filter(|p| p.damaged.is_some())
    }
}
