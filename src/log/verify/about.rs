//! What is known of a partition before its directory is looked at.

use super::finding::Weight;
use crate::log::manifest::PartitionManifest;
use crate::log::provenance::Provenance;
use crate::types::{TopicId, TopicPartition};

/// What the files beside the partitions say about one of them.
#[derive(Clone, Debug)]
pub(crate) struct About<'a> {
    pub(crate) tp: &'a TopicPartition,
    /// The topic's id, where the catalog has it.
    pub(crate) id: Option<TopicId>,
    pub(crate) provenance: Provenance,
    /// The next open believes no derived file of a directory that was not closed cleanly, as ours
    /// does; Kafka believes those below the recovery point.
    pub(crate) rebuilds: bool,
    pub(crate) clean: bool,
    /// Somebody has the directory open.
    pub(crate) owned: bool,
    pub(crate) has_manifest: bool,
    pub(crate) manifest: Option<&'a PartitionManifest>,
    pub(crate) recovery_point: Option<i64>,
    pub(crate) log_start: Option<i64>,
    /// Kafka's, where the directory is Kafka's: nobody of ours keeps it up to date.
    pub(crate) high_watermark: Option<i64>,
    pub(crate) first_dirty: Option<i64>,
}

impl About<'_> {
    /// What a derived file weighs that is false and tells of offsets below `upto`.
    pub(super) fn derived(&self, upto: i64) -> Weight {
        let believed = self.clean
            || self.owned
            || !self.rebuilds && self.recovery_point.is_some_and(|point| upto <= point);
        if believed { Weight::Finding } else { Weight::Note }
    }

    /// What something weighs that only a crash explains, which the next open then repairs.
    pub(super) fn crashed(&self) -> Weight {
        if self.clean { Weight::Finding } else { Weight::Note }
    }
}
