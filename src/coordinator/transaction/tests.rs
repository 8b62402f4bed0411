//! Each event, and each that comes too late.

use super::*;

fn tp(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

fn who(epoch: i16) -> ProducerIdent {
    ProducerIdent { id: 7, epoch }
}

fn begun() -> TransactionMeta {
    let new = TransactionMeta::new(7, 1000, 10);
    new.with_partitions(who(0), &[tp(0)], 20).unwrap().unwrap()
}

#[test]
fn a_transaction_begins_with_its_first_partition_and_ends_with_the_next_epoch() {
    let begun = begun();
    assert!(begun.is_ongoing());
    assert_eq!(begun.time_left(20), Some(1000));
    assert_eq!(begun.time_left(5000), Some(0));
    assert_eq!(begun.with_partitions(who(0), &[tp(0)], 30).unwrap(), None, "known");
    let more = begun.with_partitions(who(0), &[tp(1)], 30).unwrap().unwrap();
    assert_eq!(more.started_ms, Some(20), "its time goes on");
    let decided = more.ended_by(who(0), Outcome::Commit, None, 40).unwrap().unwrap();
    assert_eq!(decided.prepared(), Some(Outcome::Commit));
    assert_eq!(decided.producer, who(1), "the epoch of the markers");
    assert_eq!(decided.partitions.len(), 2);
    let done = decided.completed(50);
    assert_eq!((done.state, done.producer), (TransactionState::CompleteCommit, who(1)));
    assert!(done.partitions.is_empty() && done.started_ms.is_none());
    let next = done.with_partitions(who(1), &[tp(2)], 60).unwrap().unwrap();
    assert_eq!(next.partitions.len(), 1, "nothing of the one before");
    assert_eq!(next.started_ms, Some(60));
}

#[test]
fn whoever_is_late_is_fenced_or_waits() {
    let fenced = |result: Result<Option<TransactionMeta>>| result.unwrap_err().code();
    let begun = begun();
    let taken = begun.prepare(Outcome::Abort, None, 30);
    // The producer whose transaction was ended for it.
    let late = taken.ended_by(who(0), Outcome::Commit, None, 40);
    assert_eq!(fenced(late), Some(ErrorCode::ProducerFenced));
    let late = taken.completed(40).with_partitions(who(0), &[tp(0)], 50);
    assert_eq!(fenced(late), Some(ErrorCode::ProducerFenced));
    // Another id, and an epoch that is not there yet.
    let other = begun.with_partitions(ProducerIdent { id: 8, epoch: 0 }, &[tp(0)], 30);
    assert_eq!(fenced(other), Some(ErrorCode::ProducerFenced));
    assert_eq!(
        fenced(begun.ended_by(who(1), Outcome::Commit, None, 30)),
        Some(ErrorCode::ProducerFenced)
    );
    // Markers are being written.
    let busy = taken.with_partitions(who(1), &[tp(0)], 40);
    assert_eq!(fenced(busy), Some(ErrorCode::ConcurrentTransactions));
    let busy = taken.ended_by(who(1), Outcome::Abort, None, 40);
    assert_eq!(fenced(busy), Some(ErrorCode::ConcurrentTransactions));
}

#[test]
fn nothing_that_was_sent_is_nothing_to_end() {
    let new = TransactionMeta::new(7, 1000, 10);
    assert_eq!(new.ended_by(who(0), Outcome::Commit, None, 20).unwrap(), None);
    let done = begun().prepare(Outcome::Commit, None, 30).completed(40);
    assert_eq!(done.ended_by(who(1), Outcome::Abort, None, 50).unwrap(), None);
}

#[test]
fn a_new_owner_has_the_next_epoch() {
    let done = begun().prepare(Outcome::Abort, None, 30).completed(40);
    let next = done.initialized(None, 500, 50);
    assert_eq!((next.producer, next.timeout_ms), (who(2), 500));
    assert_eq!(next.state, TransactionState::Empty);
    assert!(next.check_owner(who(1)).is_err());
}

#[test]
fn used_up_epochs_give_another_id_and_the_last_marker_has_the_last_epoch() {
    let mut last = begun();
    last.producer.epoch = EPOCH_LAST - 1;
    assert!(!last.is_spent());
    let decided = last.prepare(Outcome::Commit, Some(9), 30);
    assert_eq!((decided.producer, decided.next_id), (who(EPOCH_LAST), None));
    last.producer.epoch = EPOCH_LAST;
    assert!(last.is_spent());
    let decided = last.prepare(Outcome::Commit, Some(9), 30);
    assert_eq!((decided.producer, decided.next_id), (who(i16::MAX), Some(9)));
    let done = decided.completed(40);
    assert_eq!((done.producer, done.next_id), (ProducerIdent { id: 9, epoch: 0 }, None));
    let spent = TransactionMeta { producer: who(EPOCH_LAST), ..done };
    assert_eq!(spent.initialized(Some(11), 1, 50).producer, ProducerIdent { id: 11, epoch: 0 });
}

#[test]
fn what_a_partition_has_open_is_ongoing() {
    let done = begun().prepare(Outcome::Commit, None, 30).completed(40);
    let found = done.found_open(&tp(3), 50).unwrap();
    assert!(found.is_ongoing());
    assert_eq!((found.partitions.len(), found.started_ms), (1, Some(50)));
    assert_eq!(found.found_open(&tp(3), 60), None);
    let more = found.found_open(&tp(4), 60).unwrap();
    assert_eq!((more.partitions.len(), more.started_ms), (2, Some(50)));
}
