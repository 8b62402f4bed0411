//! Producer ids, epochs and sequence numbers, as they stand in the log.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::homes::*;
use logreel::format::ProducerSnapshotEntry;
use logreel::record::BatchHeader;
use logreel::testing::{MockClock, OpKind};
use logreel::{Broker, ErrorCode, Producer, ProducerRecord};

const LOWEST: i64 = 1 << 48;

fn send(producer: &Producer, value: &str) -> Result<Option<i64>, logreel::Error> {
    producer.send(ProducerRecord::to("t").value(value)).wait().map(|placed| placed.offset())
}

/// The headers of the batches in a partition's newest segment.
fn batches(dir: &Path) -> Vec<BatchHeader> {
    let bytes = std::fs::read(dir.join("t-0/00000000000000000000.log")).unwrap();
    let (mut rest, mut found) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let header = BatchHeader::parse(rest).unwrap();
        rest = &rest[header.size()..];
        found.push(header);
    }
    found
}

fn stamp(header: &BatchHeader) -> (i64, i16, i32) {
    let (id, epoch) = (header.producer_id(), header.producer_epoch());
    (id.unwrap(), epoch.unwrap(), header.base_sequence().unwrap())
}

#[test]
fn every_record_of_a_producer_has_the_next_number() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let producer = broker.producer().build().unwrap();
    for value in ["a", "b"] {
        send(&producer, value).unwrap();
    }
    let three = ["c", "d", "e"].map(|value| ProducerRecord::to("t").value(value));
    producer.send_batch(three).wait().unwrap();
    send(&producer, "f").unwrap();
    let stamps: Vec<_> = batches(dir.path()).iter().map(stamp).collect();
    let id = stamps[0].0;
    assert!((LOWEST..=1 << 62).contains(&id), "{id}");
    assert_eq!(stamps, [0, 1, 2, 5].map(|sequence| (id, 0, sequence)));
    let plain = broker.producer().enable_idempotence(false).build().unwrap();
    send(&plain, "g").unwrap();
    assert_eq!(batches(dir.path())[4].producer_id(), None);
}

/// The id of a new producer of this broker.
fn new_id(broker: &Broker, dir: &Path) -> i64 {
    send(&broker.producer().build().unwrap(), "x").unwrap();
    batches(dir).last().unwrap().producer_id().unwrap()
}

#[test]
fn no_id_is_given_twice_by_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let broker = Broker::open(dir.path()).unwrap();
        ids.extend((0..4).map(|_| new_id(&broker, dir.path())));
    }
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    // A directory whose file is lost or damaged begins somewhere else.
    for content in [None, Some("not a file of ours")] {
        let file = dir.path().join("logreel.producer-ids");
        match content {
            None => std::fs::remove_file(&file).unwrap(),
            Some(text) => std::fs::write(&file, text).unwrap(),
        }
        let broker = Broker::open(dir.path()).unwrap();
        let id = new_id(&broker, dir.path());
        assert!(id >= LOWEST && !ids.contains(&id));
        ids.push(id);
    }
}

/// A batch whose answer is lost for good must not have its numbers used again: the next batch would
/// be taken for it, and be acknowledged without being written.
#[test]
fn a_batch_after_one_that_may_be_written_begins_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let settings = broker.producer().retries(1).retry_backoff(Duration::ZERO);
    let producer = settings.build().unwrap();
    send(&producer, "a").unwrap();
    let lost = broker.testing().faults().on(OpKind::Produce).times(2);
    let lost = lost.apply_then_fail(ErrorCode::RequestTimedOut);
    let error = send(&producer, "b").unwrap_err();
    assert_eq!((error.code(), lost.hits()), (Some(ErrorCode::RequestTimedOut), 2));
    assert_eq!(send(&producer, "c").unwrap(), Some(2), "b is written, and nobody knows");
    let stamps: Vec<_> = batches(dir.path()).iter().map(stamp).collect();
    let id = stamps[0].0;
    assert_eq!(stamps, [(id, 0, 0), (id, 0, 1), (id, 1, 0)]);
}

/// A batch that was certainly not written leaves its numbers to the next.
#[test]
fn a_batch_after_one_that_was_refused_goes_on_in_its_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let producer = broker.producer().build().unwrap();
    send(&producer, "a").unwrap();
    let refused = broker.testing().faults().on(OpKind::Produce).times(1);
    refused.fail(ErrorCode::InvalidRecord);
    assert_eq!(send(&producer, "b").unwrap_err().code(), Some(ErrorCode::InvalidRecord));
    assert_eq!(send(&producer, "c").unwrap(), Some(1));
    let stamps: Vec<_> = batches(dir.path()).iter().map(stamp).collect();
    assert_eq!(stamps.iter().map(|stamp| (stamp.1, stamp.2)).collect::<Vec<_>>(), [(0, 0), (0, 1)]);
}

fn producers_in_newest_snapshot(dir: &Path) -> Vec<i64> {
    let entries = std::fs::read_dir(dir.join("t-0")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let newest = paths.filter(|path| path.extension().is_some_and(|e| e == "snapshot")).max();
    let entries = ProducerSnapshotEntry::read_all(&std::fs::read(newest.unwrap()).unwrap());
    entries.unwrap().iter().map(|entry| entry.producer_id).collect()
}

#[test]
fn silent_producers_are_forgotten_in_time() {
    for (expires, remembered) in [("3600000", 2), ("60000", 1)] {
        let dir = tempfile::tempdir().unwrap();
        let clock = MockClock::at_millis(NOW);
        let broker = Broker::builder().dir(dir.path()).clock(&clock);
        let broker = broker.set("producer.id.expiration.ms", expires).open().unwrap();
        let [old, new] = [(); 2].map(|()| broker.producer().build().unwrap());
        send(&old, "a").unwrap();
        clock.advance(Duration::from_secs(601));
        send(&new, "b").unwrap();
        broker.close().unwrap();
        assert_eq!(producers_in_newest_snapshot(dir.path()).len(), remembered, "{expires}");
    }
}

#[test]
fn the_next_batch_of_a_forgotten_producer_is_welcome() {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).set("producer.id.expiration.ms", "1000");
    let broker = broker.open().unwrap();
    let [old, new] = [(); 2].map(|()| broker.producer().build().unwrap());
    send(&old, "a").unwrap();
    clock.advance(Duration::from_secs(601));
    send(&new, "b").unwrap();
    assert_eq!(send(&old, "c").unwrap(), Some(2));
}

/// Files of another directory may be copied in; what their producers wrote is not to be taken for
/// what ours are about to write.
#[test]
fn ids_lie_above_those_of_files_that_were_copied_in() {
    let other = tempfile::tempdir().unwrap();
    let mut above = 0;
    for seed in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let open = |dir: &Path, seed| Broker::builder().dir(dir).seed(seed).open().unwrap();
        let theirs = open(other.path(), 1000 + seed);
        let copied = new_id(&theirs, other.path());
        drop(theirs);
        let (from, to) = (other.path().join("t-0"), dir.path().join("t-0"));
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(&from).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
        let alone = tempfile::tempdir().unwrap();
        above += usize::from(new_id(&open(alone.path(), seed), alone.path()) < copied);
        assert!(new_id(&open(dir.path(), seed), dir.path()) > copied, "seed {seed}");
    }
    assert!(above > 0, "no seed began below the ids that were copied in");
}
