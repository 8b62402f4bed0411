//! `preallocate`: zeros behind the log, which nobody ever sees.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::homes::*;
use logreel::admin::verify;
use logreel::testing::MockClock;
use logreel::{Acks, Broker, ConfigChange, NewTopic, Partition, ProducerRecord};

const FIRST: &str = "t-0/00000000000000000000.log";
/// So far ahead zeros are written.
const STEP: u64 = 256 * 1024;

fn topic(preallocate: bool) -> NewTopic {
    NewTopic::new("t").set("preallocate", preallocate.to_string())
}

fn created(home: &Home, topic: NewTopic) -> (Broker, Partition) {
    let broker = home.open();
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    (broker, log)
}

fn len(dir: &Path, file: &str) -> u64 {
    std::fs::metadata(dir.join(file)).unwrap().len()
}

fn append(log: &Partition, count: usize) {
    for _ in 0..count {
        log.append([(Some("key"), Some("value"))]).unwrap();
    }
}

#[test]
fn the_file_is_a_step_ahead_of_the_log_while_it_is_open() {
    let home = disk();
    let dir = home.dir().unwrap();
    let (broker, log) = created(&home, topic(true));
    append(&log, 1);
    let size = log.size();
    assert_eq!(len(dir, FIRST), size + STEP);
    append(&log, 3);
    log.sync().unwrap();
    assert_eq!(log.size(), 4 * size, "zeros do not count");
    assert_eq!(len(dir, FIRST), size + STEP, "they are there already");
    let large = "x".repeat(300_000);
    log.append([(None, Some(large.as_str()))]).unwrap();
    assert_eq!(len(dir, FIRST), log.size() + STEP, "the next step");
    assert_eq!(read_all(&broker, "t", 0).len(), 5);
    let size = log.size();
    drop(log);
    broker.close().unwrap();
    assert_eq!(len(dir, FIRST), size);
    let broker = home.open();
    assert!(broker.recovery_report().clean);
    assert_eq!(read_all(&broker, "t", 0).len(), 5);
    assert_eq!(len(dir, FIRST), size, "nothing is written ahead before there is an append");
}

/// Bytes that nobody syncs gain nothing by zeros, and would be written twice.
#[test]
fn a_log_that_is_not_synced_is_not_written_twice() {
    let home = disk();
    let dir = home.dir().unwrap();
    let (_broker, log) = created(&home, topic(true));
    let large = "x".repeat(300_000);
    let append = || log.append([(None, Some(large.as_str()))]).map(|_| ()).unwrap();
    append();
    assert_eq!(len(dir, FIRST), log.size() + STEP);
    for _ in 0..5 {
        append();
        assert_eq!(len(dir, FIRST), log.size());
    }
    log.sync().unwrap();
    append();
    assert_eq!(len(dir, FIRST), log.size() + STEP);
}

#[test]
fn zeros_end_where_the_segment_does() {
    let home = disk();
    let dir = home.dir().unwrap();
    let (_broker, log) = created(&home, topic(true).set("segment.bytes", "1000"));
    append(&log, 1);
    assert_eq!(len(dir, FIRST), 1000);
    let mut rolled = 0;
    while log.segments().len() < 4 {
        append(&log, 1);
        log.sync().unwrap();
        let segments = log.segments();
        for segment in &segments[..segments.len() - 1] {
            let file = format!("t-0/{:020}.log", segment.base_offset);
            assert_eq!(len(dir, &file), segment.size, "a full segment is as long as its bytes");
            rolled += 1;
        }
    }
    assert!(rolled > 3);
}

/// Everything in the partition's directory.
fn written(preallocate: bool, kept_open: bool) -> BTreeMap<String, Vec<u8>> {
    let home = Home { clock: Some(MockClock::at_millis(NOW)), ..disk() };
    let mut topic = topic(preallocate).set("segment.bytes", "2000");
    topic = topic.set("index.interval.bytes", "100");
    let (mut broker, log) = created(&home, topic);
    drop(log);
    for round in 0..3 {
        for acks in [Acks::All, Acks::Leader] {
            let producer = broker.producer().acks(acks).build().unwrap();
            for n in 0..40 {
                let value = format!("value {round} {n}");
                producer.send(ProducerRecord::to("t").key("key").value(value)).wait().unwrap();
            }
        }
        if !kept_open {
            broker.close().unwrap();
            broker = home.open();
        }
    }
    broker.close().unwrap();
    let dir = home.dir().unwrap().join("t-0");
    let files = snapshot(&dir).into_iter().map(|(path, bytes)| {
        (path.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned(), bytes)
    });
    files.collect()
}

#[test]
fn a_closed_directory_is_the_same_with_and_without() {
    for kept_open in [false, true] {
        let (plain, ahead) = (written(false, kept_open), written(true, kept_open));
        assert!(plain.len() > 10, "{:?}", plain.keys());
        assert!(plain.keys().eq(ahead.keys()), "other files");
        for (name, bytes) in &plain {
            assert!(ahead.get(name) == Some(bytes), "{name} differs");
        }
    }
}

#[test]
fn it_is_altered_while_the_topic_is_in_use() {
    let home = disk();
    let dir = home.dir().unwrap();
    let (broker, log) = created(&home, topic(false));
    append(&log, 1);
    assert_eq!(len(dir, FIRST), log.size());
    let set =
        |value: &str| broker.alter_topic_config("t", [ConfigChange::set("preallocate", value)]);
    set("true").unwrap();
    append(&log, 1);
    assert_eq!(len(dir, FIRST), log.size() + STEP);
    assert!(set("maybe").is_err());
    set("false").unwrap();
    append(&log, 1);
    let topic = broker.topic("t").unwrap().config();
    let entry = topic.entries().find(|entry| entry.name == "preallocate").unwrap();
    assert_eq!((entry.value, entry.default, entry.is_set), ("false", "false", true));
    let size = log.size();
    drop(log);
    broker.close().unwrap();
    assert_eq!(len(dir, FIRST), size, "what was there is cut off all the same");
}

/// A killed process leaves zeros: the log ends before them, and nothing is told of a cut.
#[test]
fn zeros_that_a_killed_process_left_are_the_end() {
    let home = disk();
    let (_broker, log) = created(&home, topic(true).set("segment.bytes", "1000"));
    for _ in 0..20 {
        append(&log, 1);
        log.sync().unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    copy_dir(home.dir().unwrap(), copy.path());
    let last = format!("t-0/{:020}.log", log.segments().last().unwrap().base_offset);
    assert_eq!(len(copy.path(), &last), 1000);
    let found = verify(copy.path()).unwrap();
    assert!(found.findings.is_empty() && !found.clean, "{found:?}");
    assert!(!found.notes.iter().any(|note| note.what.contains("no batch")), "{found:?}");
    let broker = Broker::open(copy.path()).unwrap();
    let report = &broker.recovery_report().partitions[0];
    assert!(report.truncated.is_none() && report.damaged.is_none(), "{report:?}");
    assert_eq!(len(copy.path(), &last), log.segments().last().unwrap().size);
    assert_eq!(read_all(&broker, "t", 0).len(), 20);
    let next = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(next.append([(None, Some("next"))]).unwrap().base_offset, 20);
    let names: Vec<_> = snapshot(copy.path()).into_iter().map(|(path, _)| path).collect();
    assert!(!names.iter().any(|path| path.to_str().unwrap().contains("logreel-cut")), "{names:?}");
}

#[test]
fn a_reader_beside_the_writer_sees_no_zeros() {
    let home = disk();
    let (_broker, log) = created(&home, topic(true).set("segment.bytes", "1000"));
    append(&log, 3);
    let watcher = Broker::open_read_only(home.dir().unwrap()).unwrap();
    let consumer = reader(&watcher);
    consumer.assign([("t", 0)]).unwrap();
    assert_eq!(drain(&consumer).len(), 3);
    assert!(consumer.poll(Duration::from_millis(250)).unwrap().is_empty(), "not yet written");
    for offset in 3..60 {
        append(&log, 1);
        log.sync().unwrap();
        let records = consumer.poll(10 * SECOND).unwrap();
        assert_eq!(records.iter().next().unwrap().offset(), offset, "as it comes, over rolls");
    }
    assert!(log.segments().len() > 4);
    assert_eq!(read_all(&Broker::open_read_only(home.dir().unwrap()).unwrap(), "t", 0).len(), 60);
}
