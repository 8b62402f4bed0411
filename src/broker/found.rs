//! What lies in a directory, before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Catalog, Loaded, TopicEntry, TopicOrigin};
use super::report::RecoveryReport;
use crate::error::Result;
use crate::log::checkpoint::{
    self, CLEANER_OFFSETS, LOG_STARTS, PartitionOffsets, RECOVERY_POINTS,
};
use crate::log::manifest::{self, CLEAN_MARKER, CLEAN_MARKER_TEXT, MANIFEST, Manifest};
use crate::log::names::{self, CLUSTER_METADATA};
use crate::log::{Provenance, gaps};
use crate::storage::{EntryKind, FileName, Storage};
use crate::types::TopicPartition;

/// What lies in the directory, before anything is changed.
pub(super) struct Found {
    pub(super) catalog: Loaded,
    pub(super) clean: bool,
    pub(super) manifest: Option<Manifest>,
    pub(super) recovery_points: PartitionOffsets,
    pub(super) log_starts: PartitionOffsets,
    /// Where the last cleaning of each partition ended.
    pub(super) first_dirty: PartitionOffsets,
    /// Below which offset segments may have gaps; `None` when that is not known any more.
    gaps: Option<PartitionOffsets>,
    /// Partition directories by topic.
    pub(super) partitions: BTreeMap<String, BTreeSet<i32>>,
    /// Directories of topics that were being deleted.
    pub(super) deleted: Vec<FileName>,
}

impl Found {
    /// Nothing of what is written down about a topic that is gone may meet a new one of its name.
    pub(super) fn forget(&mut self, topic: &str) {
        self.partitions.remove(topic);
        self.recovery_points.retain(|tp, _| tp.topic() != topic);
        self.log_starts.retain(|tp, _| tp.topic() != topic);
        self.first_dirty.retain(|tp, _| tp.topic() != topic);
        self.gaps.iter_mut().for_each(|gaps| gaps.retain(|tp, _| tp.topic() != topic));
    }

    /// Whether nothing was ever kept there.
    pub(super) fn is_fresh(&self) -> bool {
        matches!(self.catalog, Loaded::None) && self.partitions.is_empty()
    }

    /// Who wrote a partition.
    pub(super) fn provenance(&self, topic: &TopicEntry, tp: &TopicPartition) -> Provenance {
        if topic.origin == TopicOrigin::Adopted {
            return Provenance::Elsewhere;
        }
        let known = self.gaps.as_ref().map(|gaps| gaps.get(tp).copied().unwrap_or(0));
        Provenance::Here { gaps_below: known.unwrap_or(i64::MAX) }
    }

    pub(super) fn look(storage: &Storage, report: &mut RecoveryReport) -> Result<Self> {
        let mut found = Self {
            catalog: Catalog::load(storage)?,
            clean: false,
            manifest: None,
            recovery_points: PartitionOffsets::new(),
            log_starts: PartitionOffsets::new(),
            first_dirty: PartitionOffsets::new(),
            gaps: gaps::read(storage)?.ok(),
            partitions: BTreeMap::new(),
            deleted: Vec::new(),
        };
        for entry in storage.list(None)? {
            let Some(name) = entry.name else {
                report.ignored.push("a name that is not UTF-8".to_owned());
                continue;
            };
            match (entry.kind, names::parse_partition_dir(name.as_str())) {
                (EntryKind::Directory, Some(tp)) if tp.topic() == CLUSTER_METADATA => {}
                (EntryKind::Directory, Some(tp)) => {
                    let numbers = found.partitions.entry(tp.topic().to_owned()).or_default();
                    numbers.insert(tp.partition());
                }
                (EntryKind::Directory, None) if names::is_deleted_dir(name.as_str()) => {
                    found.deleted.push(name);
                }
                (EntryKind::File, None) if name.as_str() == CLEAN_MARKER => found.clean = true,
                (EntryKind::File, _) => {}
                _ => report.ignored.push(name.as_str().to_owned()),
            }
        }
        let mut offsets = |name: &str| -> Result<PartitionOffsets> {
            Ok(match checkpoint::read(storage, None, name, checkpoint::parse_offsets)? {
                Some(Ok(offsets)) => offsets,
                Some(Err(_)) => {
                    report.repaired.push(format!("{name} was damaged and is ignored"));
                    PartitionOffsets::new()
                }
                None => PartitionOffsets::new(),
            })
        };
        found.recovery_points = offsets(RECOVERY_POINTS)?;
        found.log_starts = offsets(LOG_STARTS)?;
        found.first_dirty = offsets(CLEANER_OFFSETS)?;
        match manifest::read(storage)? {
            Some(Ok(manifest)) => found.manifest = Some(manifest),
            Some(Err(_)) => {
                report.repaired.push(format!("{MANIFEST} was damaged: every log is recovered"));
                found.clean = false;
            }
            // We write no marker without a manifest: it was removed, and that the marker was too
            // did not last. What is derived may be anything.
            None if found.clean && is_ours(storage)? => found.clean = false,
            None => {}
        }
        Ok(found)
    }
}

/// Whether the marker of a clean close is one of ours. Those of Kafka are empty, or name its epoch.
fn is_ours(storage: &Storage) -> Result<bool> {
    let path = checkpoint::path(None, CLEAN_MARKER);
    let text = storage.read_all(&path, CLEAN_MARKER_TEXT.len())?;
    Ok(matches!(text, Some(Ok(text)) if text == CLEAN_MARKER_TEXT.as_bytes()))
}
