//! Old segments go, by time, by size and by the log start; what they held is out of reach first.

use std::time::Duration;

use crate::homes::*;
use logreel::testing::{MockClock, SimStorage};
use logreel::{Broker, ErrorCode, ErrorKind, NewTopic, OffsetSpec, Partition};

/// The first check of retention comes after 30 s, then one every five minutes.
const CHECK: Duration = Duration::from_secs(300);
const DAY: i64 = 86_400_000;

fn mock_homes() -> Vec<Home> {
    homes().into_iter().filter(|home| home.clock.is_some()).collect()
}

/// A topic whose segments hold one batch each.
fn topic(overrides: &[(&str, &str)]) -> NewTopic {
    let base = NewTopic::new("t").set("segment.bytes", "100").set("retention.ms", "-1");
    overrides.iter().fold(base, |topic, (key, value)| topic.set(*key, *value))
}

fn make(broker: &Broker, overrides: &[(&str, &str)]) -> Partition {
    broker.create_topic(topic(overrides)).unwrap().partition(0).unwrap()
}

/// Appends a batch of one record with a time relative to now.
fn put(log: &Partition, at: i64) {
    let record = logreel::RawRecord::new(Some(b"k"), Some(b"value of some twenty b"));
    log.append([record.timestamp(NOW + at)]).unwrap();
}

fn bases(log: &Partition) -> Vec<i64> {
    log.segments().iter().map(|segment| segment.base_offset).collect()
}

fn advance(home: &Home, by: Duration) {
    home.clock.as_ref().unwrap().advance(by);
}

fn files(home: &Home, ending: &str) -> usize {
    let Some(dir) = home.dir() else { return 0 };
    let names = std::fs::read_dir(dir.join("t-0")).unwrap();
    names.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().ends_with(ending)).count()
}

#[test]
fn size_keeps_the_newest_segments() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[]);
        for _ in 0..10 {
            put(&log, 0);
        }
        let one = log.segments()[0].size;
        advance(&home, CHECK);
        assert_eq!(log.log_start_offset(), 0, "nothing goes unless the topic says so");
        let limit = (3 * one).to_string();
        drop((log, broker));
        let broker = home.open();
        let log = make_named(&broker, "u", &[("retention.bytes", &limit)]);
        for _ in 0..10 {
            put(&log, 0);
        }
        advance(&home, CHECK);
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (7, 10));
        assert_eq!(bases(&log), [7, 8, 9]);
        put(&log, 0);
        advance(&home, CHECK);
        assert_eq!(bases(&log), [8, 9, 10]);
    }
}

fn make_named(broker: &Broker, name: &str, overrides: &[(&str, &str)]) -> Partition {
    let base = NewTopic::new(name).set("segment.bytes", "100").set("retention.ms", "-1");
    let topic = overrides.iter().fold(base, |topic, (key, value)| topic.set(*key, *value));
    broker.create_topic(topic).unwrap().partition(0).unwrap()
}

#[test]
fn time_looks_at_the_newest_record_of_a_segment_and_empties_the_log() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[("retention.ms", "600000"), ("segment.bytes", "200")]);
        // Two batches a segment. The second is older than the first, which keeps it.
        for at in [-500_000, -700_000, -200_000, -200_000] {
            put(&log, at);
        }
        assert_eq!(bases(&log), [0, 2]);
        advance(&home, Duration::from_secs(30));
        assert_eq!(log.log_start_offset(), 0);
        advance(&home, CHECK);
        assert_eq!((log.log_start_offset(), bases(&log)), (2, vec![2]));
        advance(&home, CHECK);
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (4, 4));
        assert_eq!(bases(&log), [4], "the active segment was rolled, and went");
        assert!(log.read(4, 1000).unwrap().is_empty());
        put(&log, 0);
        assert_eq!(log.log_end_offset(), 5);
    }
}

#[test]
fn a_record_of_the_future_keeps_its_segment_and_all_after_it() {
    for home in mock_homes() {
        let broker = home.open();
        let after = ("message.timestamp.after.max.ms", "9223372036854775807");
        let log = make(&broker, &[("retention.ms", "1000"), after]);
        for at in [-2000, DAY, -2000] {
            put(&log, at);
        }
        advance(&home, CHECK);
        assert_eq!(log.log_start_offset(), 1);
        advance(&home, Duration::from_secs(86_400) + CHECK);
        assert_eq!(log.log_start_offset(), 3);
    }
}

#[test]
fn nothing_is_planned_while_nothing_can_expire() {
    let home = &mock_homes()[0];
    let broker = home.open();
    assert_eq!(broker.run_due(), None, "an empty broker has nothing to do");
    let log = make(&broker, &[("retention.ms", "86400000")]);
    assert_eq!(broker.run_due(), None);
    put(&log, 0);
    log.sync().unwrap();
    advance(home, Duration::from_secs(3700));
    // Retention is looked at when the record expires, or each hour, as the clock may be set.
    assert!(broker.run_due().unwrap() > Duration::from_secs(1800));
    advance(home, Duration::from_secs(86_400));
    assert_eq!((log.log_start_offset(), log.size()), (1, 0));
    advance(home, Duration::from_secs(86_400));
    assert_eq!(broker.run_due(), None, "an empty log has nothing that expires");
}

#[test]
fn files_are_renamed_and_go_after_their_delay_or_at_the_close() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[("retention.bytes", "0"), ("file.delete.delay.ms", "400000")]);
        for _ in 0..3 {
            put(&log, 0);
        }
        advance(&home, Duration::from_secs(30));
        assert_eq!(
            (bases(&log), files(&home, ".log")),
            (vec![3], usize::from(home.dir().is_some()))
        );
        if home.dir().is_some() {
            assert_eq!(files(&home, ".log.deleted"), 3);
            assert_eq!(files(&home, ".index.deleted"), 3);
            advance(&home, Duration::from_secs(399));
            assert_eq!(files(&home, ".log.deleted"), 3);
            advance(&home, Duration::from_secs(1));
            assert_eq!(files(&home, ".deleted"), 0);
        }
        put(&log, 0);
        advance(&home, CHECK);
        drop(log);
        broker.close().unwrap();
        assert_eq!(files(&home, ".deleted"), 0);
        let broker = home.open();
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (4, 4));
    }
}

#[test]
fn readers_keep_what_they_hold_and_those_below_the_start_are_out_of_range() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[("retention.bytes", "0")]);
        for _ in 0..5 {
            put(&log, 0);
        }
        let held = log.read(0, 10_000).unwrap();
        let consumer = reader(&broker);
        consumer.assign([("t", 0)]).unwrap();
        consumer.seek(("t", 0), 1).unwrap();
        advance(&home, Duration::from_secs(3600));
        assert_eq!(held.iter().count(), 5);
        assert!(held.iter().all(|record| record.value() == Some(b"value of some twenty b")));
        let error = log.read(0, 10_000).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
        put(&log, 0);
        let read = drain(&consumer);
        assert_eq!(read.iter().map(|r| r.offset).collect::<Vec<_>>(), [5], "reset to earliest");
    }
}

#[test]
fn deleting_records_moves_the_start_into_a_batch_and_lasts() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[]);
        for _ in 0..4 {
            let batch = [(Some("k"), Some("a")), (Some("k"), Some("b")), (Some("k"), Some("c"))];
            log.append(batch).unwrap();
        }
        assert_eq!(bases(&log), [0, 3, 6, 9]);
        assert_eq!(log.delete_records(7).unwrap(), 7);
        assert_eq!(log.delete_records(2).unwrap(), 7, "it never moves back");
        let consumer = reader(&broker);
        consumer.assign([("t", 0)]).unwrap();
        let offsets: Vec<i64> = drain(&consumer).iter().map(|r| r.offset).collect();
        assert_eq!(offsets, [7, 8, 9, 10, 11]);
        for bad in [13, -1, i64::MAX] {
            let error = log.delete_records(bad).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange), "{bad}");
        }
        assert_eq!(bases(&log), [0, 3, 6, 9], "files go with the next check");
        advance(&home, CHECK);
        assert_eq!(bases(&log), [6, 9]);
        if let Home { files: Files::Disk(dir), .. } = &home {
            // As a kill leaves it.
            let copy = tempfile::tempdir().unwrap();
            copy_tree(dir.path(), copy.path());
            let killed = Broker::open(copy.path()).unwrap();
            let log = killed.topic("t").unwrap().partition(0).unwrap();
            assert_eq!((log.log_start_offset(), log.log_end_offset()), (7, 12));
        }
        drop((log, consumer));
        broker.close().unwrap();
        let broker = home.open();
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (7, 12));
        assert_eq!(log.delete_records(OffsetSpec::Latest).unwrap(), 12);
        assert!(log.read(12, 100).unwrap().is_empty());
        let more = log.append([(Some("k"), Some("d"))]).unwrap();
        assert_eq!(more.base_offset, 12);
    }
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_tree(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A program that runs for seconds asks for the first check at once.
#[test]
fn the_first_check_can_be_at_once() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[("retention.bytes", "0")]);
        put(&log, 0);
        put(&log, 0);
        drop(log);
        broker.close().unwrap();
        let broker = home.builder().set("log.initial.task.delay.ms", "0").open().unwrap();
        broker.run_due();
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!((log.log_start_offset(), log.size()), (2, 0));
    }
}

/// A short-lived process is gone before the next check.
#[test]
fn a_close_removes_what_lies_below_the_log_start() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[]);
        for _ in 0..5 {
            put(&log, 0);
        }
        log.delete_records(3).unwrap();
        drop(log);
        broker.close().unwrap();
        let broker = home.open();
        assert!(broker.recovery_report().clean);
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!((log.log_start_offset(), bases(&log)), (3, vec![3, 4]));
        if home.dir().is_some() {
            assert_eq!(files(&home, ".log"), 2);
        }
    }
}

#[test]
fn records_of_compacted_and_internal_topics_are_not_deleted() {
    let broker = Broker::in_memory();
    let compacted = make(&broker, &[("cleanup.policy", "compact")]);
    put_key(&compacted);
    let error = compacted.delete_records(1).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::PolicyViolation));
    let both = make_named(&broker, "both", &[("cleanup.policy", "compact,delete")]);
    put_key(&both);
    assert_eq!(both.delete_records(1).unwrap(), 1);
    let group = broker.group("g");
    group.alter_offsets(&[(("both", 0), 1)].into_iter().collect()).unwrap();
    let internal = broker.topic("__consumer_offsets").unwrap().partition(0).unwrap();
    let error = internal.delete_records(0).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidTopic));
}

fn put_key(log: &Partition) {
    log.append([(Some("k"), Some("v"))]).unwrap();
}

/// Storing the new log start needs room, which a full disk does not have: what lies below the
/// stored recovery point goes without.
#[test]
fn retention_makes_room_on_a_full_disk() {
    let sim = SimStorage::new();
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let log = make(&broker, &[("retention.bytes", "300")]);
    sim.set_capacity(Some(12_000));
    let mut written = 0;
    let error = loop {
        let record = logreel::RawRecord::new(Some(b"k"), Some(b"value of some twenty b"));
        match log.append([record.timestamp(NOW)]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        if written == 20 {
            log.sync().unwrap();
            clock.advance(Duration::from_secs(2));
        }
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(written > 30, "{written} records");
    // Nothing is left for a checkpoint either.
    sim.set_capacity(Some(1));
    clock.advance(CHECK);
    assert!(log.log_start_offset() >= 19, "{}", log.log_start_offset());
    sim.set_capacity(Some(12_000));
    clock.advance(CHECK);
    assert!((300..400).contains(&log.size()), "{}", log.size());
    put(&log, 0);
    let start = log.log_start_offset();
    drop(log);
    broker.close().unwrap();
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (start, written + 1));
}
