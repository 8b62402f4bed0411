//! The answers that Kafka's own `ProducerStateManager` gave to the same batches.

use super::*;
use crate::record::{BatchBuilder, SealedBatch};

/// A log that only remembers producers.
#[derive(Default)]
struct Remembered {
    states: ProducerStates,
    end: i64,
}

fn batch(id: i64, epoch: i16, first: i32, count: i32, transactional: bool) -> SealedBatch {
    let mut builder = BatchBuilder::new().producer(id, epoch, first);
    if transactional {
        builder = builder.transactional();
    }
    for _ in 0..count {
        builder.append(Some(1000), None, Some(b"v"), &[]).unwrap();
    }
    builder.seal().unwrap()
}

impl Remembered {
    /// The offset a batch is answered with, or Kafka's code.
    fn offer(&mut self, mut batch: SealedBatch) -> Result<i64, ErrorCode> {
        match self.states.check(batch.header()) {
            Err(error) => Err(error.code().unwrap()),
            Ok(Verdict::Duplicate(known)) => Ok(known.first_offset()),
            Ok(Verdict::New) => {
                batch.assign(self.end, 0);
                self.states.append(batch.header());
                self.end = batch.header().next_offset();
                Ok(batch.header().base_offset())
            }
        }
    }

    fn plain(&mut self, epoch: i16, first: i32, last: i32) -> Result<i64, ErrorCode> {
        self.offer(batch(7, epoch, first, last - first + 1, false))
    }

    fn end_txn(&mut self, epoch: i16, marker: ControlRecord) -> Option<CompletedTxn> {
        let mut sealed = BatchBuilder::marker(Some(1000), 7, epoch, marker).unwrap();
        sealed.assign(self.end, 0);
        self.end += 1;
        self.states.end_txn(sealed.header(), marker)
    }
}

const OUT_OF_ORDER: Result<i64, ErrorCode> = Err(ErrorCode::OutOfOrderSequenceNumber);

#[test]
fn sequence_numbers_follow_each_other_within_an_epoch() {
    let mut log = Remembered::default();
    assert_eq!(log.plain(0, 17, 17), Ok(0), "of an unknown producer any is welcome");
    assert_eq!(log.plain(0, 18, 20), Ok(1));
    assert_eq!(log.plain(0, 22, 22), OUT_OF_ORDER);
    assert_eq!(log.plain(1, 5, 5), OUT_OF_ORDER, "a new epoch begins at 0");
    assert_eq!(log.plain(1, 0, 0), Ok(4));
    assert_eq!(log.plain(0, 21, 21), Err(ErrorCode::InvalidProducerEpoch));
}

#[test]
fn numbers_go_on_at_zero_after_the_last() {
    let mut log = Remembered::default();
    assert_eq!(log.plain(0, i32::MAX, i32::MAX), Ok(0));
    assert_eq!(log.plain(0, 0, 3), Ok(1));
    assert_eq!(log.plain(0, 0, 3), Ok(1), "the same again");
}

#[test]
fn the_last_five_batches_are_recognised() {
    let mut log = Remembered::default();
    for first in 0..6 {
        assert_eq!(log.plain(0, first, first), Ok(i64::from(first)));
    }
    for first in 1..6 {
        assert_eq!(log.plain(0, first, first), Ok(i64::from(first)));
    }
    assert_eq!(log.plain(0, 0, 0), OUT_OF_ORDER, "the sixth is forgotten");
    // Half of a batch, or two of them as one, is another batch.
    assert_eq!(log.plain(0, 4, 5), OUT_OF_ORDER);
    assert_eq!(log.end, 6);
}

#[test]
fn a_new_epoch_forgets_the_batches_of_the_old_one() {
    let mut log = Remembered::default();
    assert_eq!(log.plain(0, 0, 0), Ok(0));
    assert_eq!(log.plain(1, 0, 0), Ok(1), "no duplicate: the epoch is another");
    assert_eq!(log.plain(1, 0, 0), Ok(1));
}

#[test]
fn transactions_and_plain_batches_do_not_mix() {
    let mut log = Remembered::default();
    assert_eq!(log.offer(batch(7, 0, 0, 2, true)), Ok(0));
    assert_eq!(log.states.first_open_offset(), Some(0));
    assert_eq!(log.plain(0, 2, 2), Err(ErrorCode::InvalidTxnState));
    let ended = log.end_txn(0, ControlRecord::Abort { coordinator_epoch: 3 }).unwrap();
    assert_eq!((ended.first_offset, ended.marker_offset, ended.aborted), (0, 2, true));
    assert_eq!(log.states.first_open_offset(), None);
    assert_eq!(log.plain(0, 2, 2), Ok(3), "after a marker of the same epoch numbers go on");
    // A marker of the next epoch (KIP-890): numbers begin anew.
    assert_eq!(log.end_txn(1, ControlRecord::Commit { coordinator_epoch: 3 }), None);
    assert_eq!(log.plain(1, 3, 3), OUT_OF_ORDER);
    assert_eq!(log.plain(1, 0, 0), Ok(5));
}

#[test]
fn a_snapshot_keeps_the_last_batch_of_each_producer() {
    let mut log = Remembered::default();
    for first in 0..3 {
        log.plain(0, first, first).unwrap();
    }
    log.offer(batch(9, 4, 0, 2, true)).unwrap();
    let bytes = log.states.encode();
    log.states = ProducerStates::decode(&bytes).unwrap();
    assert_eq!(log.states.encode(), bytes);
    assert_eq!(log.states.highest_id(), Some(9));
    assert_eq!(log.states.first_open_offset(), Some(3));
    assert_eq!(log.plain(0, 2, 2), Ok(2), "the last is recognised");
    assert_eq!(log.plain(0, 1, 1), OUT_OF_ORDER, "the one before is not");
    assert_eq!(log.plain(0, 3, 3), Ok(5));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            assert!(ProducerStates::decode(&damaged).is_none(), "byte {at} bit {bit}");
        }
    }
    assert!(ProducerStates::decode(&bytes[..bytes.len() - 1]).is_none());
}

#[test]
fn silent_producers_are_forgotten_but_not_open_transactions() {
    let mut log = Remembered::default();
    log.plain(0, 0, 0).unwrap();
    log.offer(batch(9, 0, 0, 1, true)).unwrap();
    log.states.expire(1000);
    assert_eq!(log.plain(0, 0, 0), Ok(0), "its last record is from then: remembered");
    log.states.expire(1001);
    assert_eq!(log.plain(0, 5, 5), Ok(2), "forgotten: any number is welcome");
    assert_eq!(log.states.first_open_offset(), Some(1));
}
