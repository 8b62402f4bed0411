//! Who a producer is to a partition: id, epoch, and the number of its next record.
//!
//! Sequence numbers are given when a batch is run and kept by its retries, so that a batch whose
//! answer was lost is recognised (KIP-98). A batch that certainly was not written leaves its
//! numbers to the next one. Where that is not certain, the epoch goes up and numbers begin again
//! at 0 (KIP-360): a later batch must never be taken for the lost one.

use crate::coordinator::ProducerIdent;
use crate::record::increment_sequence;

/// Who a producer is to one partition.
#[derive(Debug, Default)]
pub(super) struct Identity {
    id: Option<i64>,
    epoch: i16,
    next: i32,
    /// The producer's id has no more epochs here.
    spent: bool,
}

/// The numbers of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) id: i64,
    pub(super) epoch: i16,
    pub(super) sequence: i32,
}

impl Identity {
    pub(super) fn is_known(&self) -> bool {
        self.id.is_some()
    }

    /// Whether the id to come must be another than the producer's.
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    pub(super) fn set_id(&mut self, id: i64) {
        *self = Self { id: Some(id), epoch: 0, next: 0, spent: self.spent };
    }

    /// Is who the transaction says, from number 0 on if that is somebody else than before.
    pub(super) fn follow(&mut self, who: ProducerIdent) {
        if self.id != Some(who.id) || self.epoch != who.epoch {
            *self = Self { id: Some(who.id), epoch: who.epoch, next: 0, spent: false };
        }
    }

    /// The numbers of the next batch, of `count` records.
    pub(super) fn stamp(&mut self, count: i32) -> Option<Stamp> {
        let stamp = Stamp { id: self.id?, epoch: self.epoch, sequence: self.next };
        self.next = increment_sequence(self.next, count);
        Some(stamp)
    }

    /// The batch with these numbers was not written: the next one gets them.
    pub(super) fn give_back(&mut self, stamp: Stamp) {
        self.next = stamp.sequence;
    }

    /// Begins anew. When the epochs of this id are used up, another id is needed.
    pub(super) fn bump(&mut self) {
        self.next = 0;
        match self.epoch.checked_add(1) {
            Some(epoch) => self.epoch = epoch,
            None => {
                self.id = None;
                self.spent = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_as_kafkas_do() {
        let mut identity = Identity::default();
        assert_eq!(identity.stamp(1), None);
        identity.set_id(9);
        identity.next = i32::MAX - 1;
        assert_eq!(identity.stamp(3).map(|stamp| stamp.sequence), Some(i32::MAX - 1));
        assert_eq!(identity.stamp(1).map(|stamp| stamp.sequence), Some(1));
    }

    #[test]
    fn an_epoch_begins_at_zero_and_the_last_one_needs_a_new_id() {
        let mut identity =
            Identity { id: Some(9), epoch: i16::MAX - 1, next: 7, ..Identity::default() };
        identity.bump();
        assert_eq!(identity.stamp(2), Some(Stamp { id: 9, epoch: i16::MAX, sequence: 0 }));
        identity.bump();
        assert!(!identity.is_known() && identity.is_spent());
        assert_eq!(identity.stamp(1), None);
    }
}
