//! Who wrote a log, which decides what its batches must be like.

use super::scan::Demand;

/// Who wrote a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provenance {
    /// Kafka wrote some of it: offsets may be missing anywhere, every epoch may be there.
    Elsewhere,
    /// We wrote all of it, in one epoch. Compaction may have left gaps in the segments that begin
    /// below this offset; in the others offsets follow without any.
    Here { gaps_below: i64 },
}

impl Provenance {
    pub(crate) fn is_ours(self) -> bool {
        self != Self::Elsewhere
    }

    /// Whether offsets follow without gaps in the segment that begins at `base_offset`.
    pub(crate) fn is_continuous(self, base_offset: i64) -> bool {
        matches!(self, Self::Here { gaps_below } if base_offset >= gaps_below)
    }

    /// What every batch of the segment that begins at `base_offset` must be like. `epoch` is the
    /// last one of the log.
    pub(crate) fn demand(self, base_offset: i64, epoch: i32) -> Demand {
        Demand {
            crc: true,
            continuous: self.is_continuous(base_offset),
            epoch: self.is_ours().then_some(epoch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_wrote_and_never_compacted_has_no_gaps() {
        let ours = Provenance::Here { gaps_below: 10 };
        assert!(!ours.is_continuous(9));
        assert!(ours.is_continuous(10));
        assert_eq!(ours.demand(0, 3).epoch, Some(3));
        assert!(!Provenance::Elsewhere.is_continuous(i64::MAX));
        assert_eq!(Provenance::Elsewhere.demand(0, 3).epoch, None);
    }
}
