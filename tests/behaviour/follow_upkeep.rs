//! Reading a directory whose owner compacts and removes segments meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::homes::*;
use logreel::testing::MockClock;
use logreel::{Broker, Consumer, NewTopic, Partition, RawRecord, Record, Storage};

fn compacted() -> NewTopic {
    NewTopic::new("t")
        .set("cleanup.policy", "compact,delete")
        .set("segment.bytes", "500")
        .set("min.cleanable.dirty.ratio", "0")
        .set("delete.retention.ms", "0")
        .set("file.delete.delay.ms", "0")
}

fn put(log: &Partition, i: usize) {
    let (key, value) = (format!("key {}", i % 7), format!("value {i}"));
    let record = RawRecord::new(Some(key.as_bytes()), Some(value.as_bytes()));
    log.append([record]).unwrap();
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

fn offsets(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}

/// Takes what is new into `state`; offsets must ascend.
fn follow(consumer: &Consumer, last: &mut i64, state: &mut BTreeMap<String, String>) {
    for record in drain(consumer) {
        assert!(record.offset > *last, "{} after {last}", record.offset);
        *last = record.offset;
        state.insert(text(record.key.as_deref()), text(record.value.as_deref()));
    }
}

#[test]
fn a_reader_of_a_log_that_is_compacted_misses_no_last_value() {
    let disk = tempfile::tempdir().unwrap();
    let homes = [Storage::memory(), Storage::disk(disk.path())];
    for storage in homes {
        let clock = MockClock::at_millis(NOW);
        let owner = Broker::builder().storage(storage.clone()).clock(&clock).open().unwrap();
        let log = owner.create_topic(compacted()).unwrap().partition(0).unwrap();
        let watcher = Broker::builder().storage(storage).open_read_only().unwrap();
        let consumer = reader(&watcher);
        consumer.assign([("t", 0)]).unwrap();
        let (mut last, mut state) = (-1, BTreeMap::new());
        let mut written = 0;
        for round in 0..30 {
            for _ in 0..(round * 5) % 23 {
                put(&log, written);
                written += 1;
            }
            if round % 3 == 0 {
                follow(&consumer, &mut last, &mut state);
            }
            clock.advance(15 * SECOND);
            // From the beginning through the segments that were there before, and by the owner.
            let fresh = reader(&watcher);
            fresh.assign([("t", 0)]).unwrap();
            let seen = offsets(&drain(&fresh));
            let there = read_all(&owner, "t", 0);
            assert!(offsets(&there).iter().all(|offset| seen.contains(offset)), "round {round}");
            assert!(seen.is_sorted(), "{seen:?}");
            if round % 7 == 6 {
                log.delete_records(log.log_end_offset() - 5).unwrap();
            }
            let start = log.log_start_offset();
            drain(&fresh);
            let followed = watcher.topic("t").unwrap().partition(0).unwrap();
            assert_eq!(followed.log_start_offset(), start, "round {round}");
        }
        follow(&consumer, &mut last, &mut state);
        let wanted: BTreeMap<String, String> = (written - 7..written)
            .map(|i| (format!("key {}", i % 7), format!("value {i}")))
            .collect();
        assert_eq!(state, wanted);
        assert!(log.segments().len() < 20);
    }
}

/// Names change one by one while a reader lists them.
#[test]
fn a_reader_beside_a_cleaner_that_runs_sees_every_key() {
    let home = disk();
    let owner = home.builder().set("log.cleaner.backoff.ms", "1").open().unwrap();
    let log = owner.create_topic(compacted()).unwrap().partition(0).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            for i in 0..4000 {
                put(&log, i);
                if i % 100 == 0 {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            done.store(true, Ordering::SeqCst);
            log
        }
    });
    let mut rounds = 0;
    while !done.load(Ordering::SeqCst) {
        let watcher = Broker::open_read_only(home.dir().unwrap()).unwrap();
        let Ok(topic) = watcher.topic("t") else { continue };
        if topic.partition(0).unwrap().log_end_offset() < 100 {
            continue;
        }
        let consumer = reader(&watcher);
        consumer.assign([("t", 0)]).unwrap();
        for _ in 0..5 {
            consumer.seek(("t", 0), 0).unwrap();
            let (mut last, mut state) = (-1, BTreeMap::new());
            follow(&consumer, &mut last, &mut state);
            assert_eq!(state.len(), 7, "round {rounds}: {state:?}");
            rounds += 1;
        }
    }
    writer.join().unwrap();
    assert!(rounds > 0);
}
