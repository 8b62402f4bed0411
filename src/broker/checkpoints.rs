//! The files beside the partitions that hold an offset of each.

use std::sync::Arc;

use super::shared::Shared;
use crate::error::{Error, Result};
use crate::log::checkpoint::{
    self, CLEANER_OFFSETS, LOG_STARTS, PartitionOffsets, RECOVERY_POINTS,
};
use crate::log::{Log, Provenance, Stored, gaps};
use crate::metrics::count;
use crate::trace::event;

impl Shared {
    /// Stores the recovery points and the log starts.
    pub(crate) fn write_checkpoints(&self) -> Result<()> {
        let counters = &self.context.counters;
        self.store_checkpoints().inspect_err(|error| {
            count(counters.failed_checkpoints());
            event!(WARN, "checkpoint failed", error = error);
        })
    }

    fn store_checkpoints(&self) -> Result<()> {
        // One at a time, and only while the directory is ours.
        let lock = self.lock.lock();
        if lock.is_none() {
            return Ok(());
        }
        self.context.attention.checkpoint_begins();
        let (mut points, mut starts) = (PartitionOffsets::new(), PartitionOffsets::new());
        let logs: Vec<(Arc<Log>, Stored)> = self
            .logs()
            .into_iter()
            .map(|log| {
                let stored =
                    Stored { start: log.start_offset(), recovery_point: log.recovery_point() };
                (log, stored)
            })
            .collect();
        for (log, Stored { start, recovery_point }) in &logs {
            if *recovery_point > 0 {
                points.insert(log.tp.clone(), *recovery_point);
            }
            // Kafka writes only those that its first segment's name does not tell; ours must also
            // tell a first segment from one that lost those before it.
            if *start > 0 {
                starts.insert(log.tp.clone(), *start);
            }
        }
        let storage = &self.context.storage;
        let text = checkpoint::format_offsets(&points);
        checkpoint::replace(storage, None, RECOVERY_POINTS, &text)?;
        checkpoint::replace(storage, None, LOG_STARTS, &checkpoint::format_offsets(&starts))?;
        for (log, stored) in logs {
            log.set_stored(stored);
        }
        count(self.context.counters.checkpoints());
        Ok(())
    }

    /// Replaces the file that says where gaps are expected.
    pub(super) fn write_gaps(&self, more: Option<(&Log, i64)>) -> Result<()> {
        let lock = self.lock.lock();
        if lock.is_none() {
            return Err(Error::closed("broker"));
        }
        let mut offsets = PartitionOffsets::new();
        for log in self.logs() {
            if let Provenance::Here { gaps_below: below @ 1.. } = log.provenance() {
                offsets.insert(log.tp.clone(), below);
            }
        }
        offsets.extend(more.map(|(log, offset)| (log.tp.clone(), offset)));
        gaps::write(&self.context.storage, &offsets)?;
        // With the file's lock: the next who writes it knows of this.
        if let Some((log, offset)) = more {
            log.expect_gaps_below(offset);
        }
        Ok(())
    }

    /// Stores where the last cleanings ended.
    pub(super) fn write_cleaner_offsets(&self) -> Result<()> {
        let lock = self.lock.lock();
        if lock.is_none() {
            return Ok(());
        }
        let text = checkpoint::format_offsets(&self.upkeep.first_dirty.lock());
        checkpoint::replace(&self.context.storage, None, CLEANER_OFFSETS, &text)
    }
}
