//! Readers beside what changes the list of segments.

use std::sync::Arc;
use std::time::Duration;

use logreel::testing::MockClock;
use logreel::{Broker, ErrorCode, NewTopic, Partition, RawRecord};
use shuttle::thread;

const NOW: i64 = 1_700_000_000_000;

/// Appends one record, whose value is its offset, with a key of two that come in turns.
fn append(log: &Partition, i: i64) {
    let key = [b"a", b"b"][usize::try_from(i % 2).unwrap()];
    let value = format!("value {i:02}");
    let record = RawRecord::new(Some(key), Some(value.as_bytes())).timestamp(NOW);
    log.append([record]).unwrap();
}

/// Reads from `from` to the end of the log: records are what was written at their offset, in
/// order, or the answer is that they are gone, and then they are. Answers the offsets seen.
fn read_through(log: &Partition, from: i64) -> Vec<i64> {
    let (mut seen, mut next) = (Vec::new(), from);
    while next < log.log_end_offset() {
        match log.read(next, 1) {
            Ok(records) => {
                let mut last = None;
                for record in records.iter().filter(|record| record.offset() >= next) {
                    let value = String::from_utf8(record.value().unwrap().to_vec()).unwrap();
                    assert_eq!(value, format!("value {:02}", record.offset()));
                    seen.push(record.offset());
                    last = Some(record.offset());
                }
                // Nothing after it is left of what was there.
                let Some(last) = last else { break };
                next = last + 1;
            }
            Err(error) => {
                assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange), "{error}");
                let start = log.log_start_offset();
                assert!(next < start, "{next} is not gone, the log begins at {start}");
                next = start;
            }
        }
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    seen
}

fn open(clock: &MockClock, topic: NewTopic) -> (Broker, Partition) {
    let topic = topic.set("segment.bytes", "200").set("file.delete.delay.ms", "0");
    let broker = Broker::builder().seed(1).clock(clock).topic(topic).open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    for i in 0..6 {
        append(&log, i);
    }
    assert!(log.segments().len() > 1);
    (broker, log)
}

/// A reader, a writer that rolls, and what `change` does, on a thread each.
fn beside(log: Partition, change: impl FnOnce() + Send + 'static) -> [Vec<i64>; 2] {
    let log = Arc::new(log);
    let (read, write) = (Arc::clone(&log), Arc::clone(&log));
    let reader = thread::spawn(move || [read_through(&read, 0), read_through(&read, 2)]);
    let writer = thread::spawn(move || (6..9).for_each(|i| append(&write, i)));
    let change = thread::spawn(change);
    let seen = reader.join().unwrap();
    writer.join().unwrap();
    change.join().unwrap();
    let left = read_through(&log, log.log_start_offset());
    assert_eq!(left.last(), Some(&8));
    seen
}

pub(crate) fn readers_beside_deletion() {
    let clock = MockClock::manual(NOW);
    let (broker, log) = open(&clock, NewTopic::new("t"));
    let deleted = broker.topic("t").unwrap().partition(0).unwrap();
    let [_, later] = beside(log, move || {
        deleted.delete_records(3).unwrap();
        broker.run_due();
    });
    assert!(later.contains(&3) || later.is_empty(), "{later:?}");
}

pub(crate) fn readers_beside_retention() {
    let clock = MockClock::manual(NOW);
    let topic = NewTopic::new("t").set("retention.bytes", "300").set("retention.ms", "-1");
    let (broker, log) = open(&clock, topic);
    let again = broker.clone();
    beside(log, move || {
        clock.advance(Duration::from_secs(300));
        drop(again);
    });
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert!(log.log_start_offset() > 0, "nothing expired");
}

pub(crate) fn readers_beside_compaction() {
    let clock = MockClock::manual(NOW);
    let topic = NewTopic::new("t").set("cleanup.policy", "compact");
    let topic = topic.set("min.cleanable.dirty.ratio", "0");
    let (broker, log) = open(&clock, topic);
    let before = log.segments().len();
    let [all, _] = beside(log, move || {
        clock.advance(Duration::from_secs(15));
        clock.advance(Duration::from_secs(15));
    });
    assert!(all.contains(&5) || all.contains(&7), "no record of the key is left: {all:?}");
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    let left = read_through(&log, 0);
    assert!(!left.contains(&0), "nothing was compacted: {left:?}, {before} segments");
}
