//! Whether the leader epochs of the batches are those of `leader-epoch-checkpoint`.

use std::path::Path;

use super::finding::Findings;
use crate::log::checkpoint::{EpochEntry, LEADER_EPOCHS};
use crate::record::BatchHeader;

/// What the epochs must be; checksums do not cover them.
#[derive(Clone, Debug)]
pub(super) enum Epochs {
    /// What we write ourselves has one epoch.
    Zero,
    /// From each entry's offset on, its epoch.
    Listed(Vec<EpochEntry>),
}

impl Epochs {
    pub(super) fn check(
        &self,
        header: &BatchHeader,
        log: &Path,
        position: u64,
        found: &mut Findings,
    ) {
        let Some(epoch) = header.leader_epoch() else {
            if matches!(self, Self::Zero) {
                found.finding(log, Some(position), "the batch has no leader epoch, not 0");
            }
            return;
        };
        let (wanted, why) = match self {
            Self::Zero => (0, "in a log that is all ours it".to_owned()),
            Self::Listed(entries) => {
                let offset = header.base_offset();
                let after = entries.partition_point(|entry| entry.start_offset <= offset);
                // Those of batches below the log start are forgotten.
                let Some(entry) = after.checked_sub(1).and_then(|at| entries.get(at)) else {
                    return;
                };
                (
                    entry.epoch,
                    format!("{LEADER_EPOCHS} says that from {} on it", entry.start_offset),
                )
            }
        };
        if epoch != wanted {
            let what = format!("the batch has leader epoch {epoch}; {why} is {wanted}");
            found.finding(log, Some(position), what);
        }
    }
}
