//! Which transactions still have data in what a pass has read so far.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::replay::marker_of;
use crate::log::transactions::AbortedTxn;
use crate::record::{BatchHeader, ControlRecord, RecordBatch};

/// The transactions that a pass has met, in the order of the log.
#[derive(Debug, Default)]
pub(super) struct SeenTxns {
    /// Aborted transactions that begin further on, by their first offset.
    coming: BTreeMap<i64, AbortedTxn>,
    /// Those that have begun, by producer, and whether a batch of theirs was met.
    aborted: BTreeMap<i64, (AbortedTxn, bool)>,
    /// Producers of batches whose transaction is not aborted.
    committed: BTreeSet<i64>,
}

/// What becomes of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// No batch of its transaction is left.
    pub(super) is_bare: bool,
    /// The transaction it aborts, if some of that is left.
    pub(super) aborts: Option<AbortedTxn>,
}

impl SeenTxns {
    /// Takes note of aborted transactions that overlap what is read next.
    pub(super) fn expect(&mut self, aborted: impl IntoIterator<Item = AbortedTxn>) {
        self.coming.extend(aborted.into_iter().map(|txn| (txn.first_offset, txn)));
    }

    /// Takes note of a data batch; says whether it is of an aborted transaction.
    pub(super) fn is_aborted(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header.last_offset());
        let Some(id) = header.producer_id().filter(|_| header.is_transactional()) else {
            return false;
        };
        match self.aborted.get_mut(&id) {
            Some((_, met)) => {
                *met = true;
                true
            }
            None => {
                self.committed.insert(id);
                false
            }
        }
    }

    /// Takes note of a control batch.
    pub(super) fn end(&mut self, batch: &RecordBatch) -> Marker {
        self.begin_up_to(batch.header().last_offset());
        let id = batch.header().producer_id().unwrap_or(-1);
        let bare = |is_bare| Marker { is_bare, aborts: None };
        if batch.header().records_count() == 0 {
            // Cleaned before.
            return bare(true);
        }
        match marker_of(batch) {
            Some(ControlRecord::Abort { .. }) => match self.aborted.remove(&id) {
                Some((txn, true)) => Marker { is_bare: false, aborts: Some(txn) },
                _ => bare(true),
            },
            Some(ControlRecord::Commit { .. }) => bare(!self.committed.remove(&id)),
            _ => bare(false),
        }
    }

    fn begin_up_to(&mut self, offset: i64) {
        while let Some(first) = self.coming.first_entry()
            && *first.key() <= offset
        {
            let txn = first.remove();
            self.aborted.entry(txn.producer_id).or_insert((txn, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;
    use bytes::Bytes;

    fn data(base: i64, id: i64) -> BatchHeader {
        let mut batch = BatchBuilder::new().producer(id, 0, 0).transactional();
        batch.append(Some(1), Some(b"k"), Some(b"v"), &[]).unwrap();
        let mut batch = batch.seal().unwrap();
        batch.assign(base, 0);
        *batch.header()
    }

    fn marker(base: i64, id: i64, aborts: bool) -> RecordBatch {
        let coordinator_epoch = 0;
        let kind = if aborts {
            ControlRecord::Abort { coordinator_epoch }
        } else {
            ControlRecord::Commit { coordinator_epoch }
        };
        let mut batch = BatchBuilder::marker(Some(1), id, 0, kind).unwrap();
        batch.assign(base, 0);
        RecordBatch::parse(Bytes::from(batch.into_bytes())).unwrap()
    }

    fn aborted(producer_id: i64, first_offset: i64, last_offset: i64) -> AbortedTxn {
        AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset: last_offset + 1 }
    }

    #[test]
    fn a_marker_is_bare_when_no_data_of_its_transaction_is_left() {
        let mut seen = SeenTxns::default();
        assert!(!seen.is_aborted(&data(0, 7)));
        assert!(!seen.end(&marker(1, 7, false)).is_bare);
        assert!(seen.end(&marker(2, 7, false)).is_bare, "its data went before");
        assert!(seen.end(&marker(3, 8, true)).is_bare);
    }

    #[test]
    fn data_of_an_aborted_transaction_is_known_up_to_its_marker() {
        let mut seen = SeenTxns::default();
        let txn = aborted(7, 10, 12);
        seen.expect([txn]);
        assert!(!seen.is_aborted(&data(5, 7)), "an earlier transaction of the same producer");
        assert!(!seen.end(&marker(6, 7, false)).is_bare);
        assert!(seen.is_aborted(&data(10, 7)));
        assert!(!seen.is_aborted(&data(11, 8)), "another producer");
        // The next segment names it again.
        seen.expect([txn]);
        assert_eq!(seen.end(&marker(12, 7, true)), Marker { is_bare: false, aborts: Some(txn) });
        assert!(!seen.is_aborted(&data(13, 7)));
    }
}
