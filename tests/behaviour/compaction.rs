//! Of each key the last record stays, at its offset; tombstones go after readers could see them.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::homes::*;
use logreel::{Broker, ErrorCode, NewTopic, Partition, ProducerRecord, RawRecord, Storage};

/// Dirty logs are looked for every 15 s.
const LOOK: Duration = Duration::from_secs(15);

fn mock_homes() -> Vec<Home> {
    homes().into_iter().filter(|home| home.clock.is_some()).collect()
}

fn make(broker: &Broker, overrides: &[(&str, &str)]) -> Partition {
    let base = NewTopic::new("t").set("cleanup.policy", "compact").set("segment.bytes", "400");
    let topic = overrides.iter().fold(base, |topic, (key, value)| topic.set(*key, *value));
    broker.create_topic(topic).unwrap().partition(0).unwrap()
}

fn advance(home: &Home, by: Duration) {
    home.clock.as_ref().unwrap().advance(by);
}

fn now(home: &Home) -> i64 {
    home.clock.as_ref().unwrap().wall_millis()
}

/// One batch with these records; an empty value is a tombstone.
fn put(home: &Home, log: &Partition, records: &[(&str, &str)]) {
    let at = now(home);
    log.append(records.iter().map(|(key, value)| {
        let value = (!value.is_empty()).then_some(value.as_bytes());
        RawRecord::new(Some(key.as_bytes()), value).timestamp(at)
    }))
    .unwrap();
}

/// Fills what is left of the active segment, so that everything before is sealed.
fn roll(home: &Home, log: &Partition) {
    let before = log.segments().len();
    while log.segments().len() == before {
        put(home, log, &[("filler", &"x".repeat(200))]);
    }
}

fn records(log: &Partition) -> Vec<(i64, String, Option<String>)> {
    let mut found = Vec::new();
    let mut from = log.log_start_offset();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    while from < log.log_end_offset() {
        let batch = log.read(from, 1 << 20).unwrap();
        let Some(last) = batch.iter().last().map(|record| record.offset()) else { break };
        found.extend(
            batch
                .iter()
                .filter(|record| record.offset() >= from)
                .map(|r| (r.offset(), text(r.key().unwrap()), r.value().map(text))),
        );
        from = last + 1;
    }
    found
}

/// Without the fillers.
fn kept(log: &Partition) -> Vec<(i64, String, Option<String>)> {
    records(log).into_iter().filter(|(_, key, _)| key != "filler").collect()
}

fn row(offset: i64, key: &str, value: &str) -> (i64, String, Option<String>) {
    (offset, key.to_owned(), (!value.is_empty()).then(|| value.to_owned()))
}

#[test]
fn the_last_value_of_each_key_stays_at_its_offset() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[]);
        put(&home, &log, &[("a", "1"), ("b", "1"), ("c", "1")]);
        put(&home, &log, &[("a", "2"), ("b", "2")]);
        put(&home, &log, &[("b", "3")]);
        roll(&home, &log);
        let end = log.log_end_offset();
        // In the active segment: not looked at.
        put(&home, &log, &[("c", "2")]);
        assert_eq!(kept(&log).len(), 7);
        advance(&home, LOOK);
        let wanted = [row(2, "c", "1"), row(3, "a", "2"), row(5, "b", "3"), row(end, "c", "2")];
        assert_eq!(kept(&log), wanted);
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, end + 1));

        // One record: there, or not any more.
        assert_eq!(log.get(3).unwrap().map(|record| record.offset), Some(3));
        assert_eq!(log.get(4).unwrap(), None);

        // A consumer in a gap goes on at the next offset that is there.
        for (from, first) in [(0, 2), (1, 2), (2, 2), (4, 5)] {
            let consumer = reader(&broker);
            consumer.assign([("t", 0)]).unwrap();
            consumer.seek(("t", 0), from).unwrap();
            let read = drain(&consumer);
            assert_eq!(read[0].offset, first, "from {from}");
            assert_eq!(consumer.position(&("t", 0).into()).unwrap(), end + 1);
        }
        drop(log);
        broker.close().unwrap();
        let broker = home.open();
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!(kept(&log), wanted);
        assert!(broker.recovery_report().clean);
        assert_eq!(broker.recovery_report().partitions[0].scanned_bytes, 0);
    }
}

#[test]
fn a_tombstone_can_be_seen_for_a_while_after_it_was_cleaned() {
    for home in mock_homes() {
        let broker = home.open();
        let settings = [("delete.retention.ms", "100000"), ("min.cleanable.dirty.ratio", "0")];
        let log = make(&broker, &settings);
        put(&home, &log, &[("a", "1"), ("b", "1")]);
        put(&home, &log, &[("a", "")]);
        roll(&home, &log);
        advance(&home, LOOK);
        assert_eq!(kept(&log), [row(1, "b", "1"), row(2, "a", "")]);
        // Only a cleaning removes it, and only when its time has come.
        for (wait, is_there) in [(40, true), (25, true), (30, false)] {
            advance(&home, Duration::from_secs(wait));
            roll(&home, &log);
            advance(&home, LOOK);
            assert_eq!(kept(&log).contains(&row(2, "a", "")), is_there, "after {wait} s");
        }
        assert_eq!(kept(&log), [row(1, "b", "1")]);
    }
}

#[test]
fn small_segments_become_one() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[("min.cleanable.dirty.ratio", "0")]);
        for i in 0..60 {
            put(
                &home,
                &log,
                &[(&format!("key {}", i % 4), &format!("value {i} {}", "x".repeat(80)))],
            );
        }
        let before = log.segments().len();
        assert!(before > 15);
        // By the sizes they have before they are cleaned: the second time most have nothing left.
        advance(&home, LOOK);
        assert!(log.segments().iter().filter(|segment| segment.size == 0).count() > 10);
        roll(&home, &log);
        advance(&home, LOOK);
        let segments = log.segments();
        assert!(segments.len() <= 6, "{before} segments became {}", segments.len());
        assert_eq!(segments[0].base_offset, 0);
        if home.dir().is_some() {
            for segment in &segments {
                assert!(segment.path.exists(), "{}", segment.path.display());
                assert_eq!(segment.path.metadata().unwrap().len(), segment.size);
            }
        }
        let offsets: Vec<i64> = records(&log).iter().map(|r| r.0).collect();
        assert!(offsets.ends_with(&[56, 57, 58, 59, 60]), "{offsets:?}");
        assert!(offsets.len() < 12, "{offsets:?}");
    }
}

/// Where a reader was in a segment means nothing in the one that takes its place.
#[test]
fn a_reader_in_the_middle_of_a_segment_that_is_compacted_misses_nothing() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[("segment.bytes", "1000000")]);
        // Batches of one size, so that a place in the old file is one in the new file too.
        for i in 0..200 {
            put(&home, &log, &[(&format!("key {:03}", i % 100), "value")]);
        }
        let consumer = reader(&broker);
        consumer.assign([("t", 0)]).unwrap();
        consumer.seek(("t", 0), 0).unwrap();
        let one = broker.consumer().max_poll_records(1).build().unwrap();
        one.assign([("t", 0)]).unwrap();
        one.seek(("t", 0), 0).unwrap();
        for expected in 0..120 {
            let polled = one.poll(Duration::ZERO).unwrap();
            assert_eq!(polled.iter().next().unwrap().offset(), expected);
        }
        log.append([RawRecord::new(Some(b"far"), Some(b"x")).timestamp(now(&home))]).unwrap();
        // Sealed by time.
        advance(&home, Duration::from_secs(8 * 86_400));
        put(&home, &log, &[("last", "x")]);
        assert_eq!(log.segments().len(), 2);
        advance(&home, LOOK);
        assert_eq!(records(&log).len(), 102);
        let rest: Vec<i64> = drain(&one).iter().map(|r| r.offset).collect();
        assert_eq!(rest, (120..202).collect::<Vec<i64>>());
    }
}

#[test]
fn a_log_with_more_keys_than_the_map_takes_is_cleaned_in_rounds() {
    for home in mock_homes() {
        let builder = home.builder().set("log.cleaner.dedupe.buffer.size", "1000");
        let broker = builder.open().unwrap();
        let log = make(&broker, &[("min.cleanable.dirty.ratio", "0.01")]);
        for i in 0..300 {
            put(&home, &log, &[(&format!("key {:03}", i % 100), &format!("value {i}"))]);
        }
        roll(&home, &log);
        advance(&home, LOOK);
        let found: Vec<i64> = kept(&log).iter().map(|r| r.0).collect();
        assert_eq!(found, (200..300).collect::<Vec<i64>>());
    }
}

#[test]
fn a_partition_that_is_damaged_is_not_cleaned_and_the_others_are() {
    let home = Home {
        files: Files::Disk(tempfile::tempdir().unwrap()),
        clock: Some(logreel::testing::MockClock::at_millis(NOW)),
        mmap: true,
    };
    let broker = home.open();
    let damaged = make(&broker, &[]);
    let topic = NewTopic::new("u").set("cleanup.policy", "compact").set("segment.bytes", "400");
    let sound = broker.create_topic(topic).unwrap().partition(0).unwrap();
    for log in [&damaged, &sound] {
        put(&home, log, &[("a", "1")]);
        put(&home, log, &[("a", "2")]);
        roll(&home, log);
    }
    let path = damaged.segments()[0].path.clone();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    advance(&home, LOOK);
    assert_eq!(kept(&sound), [row(1, "a", "2")]);
    assert!(sound.uncleanable().is_none());
    let error = damaged.uncleanable().unwrap();
    assert_eq!(error.code(), Some(ErrorCode::CorruptMessage));
    assert_eq!(error.path(), Some(path.as_path()));
    // Appends and reads of what is sound go on.
    put(&home, &damaged, &[("b", "1")]);
    let end = damaged.log_end_offset();
    assert_eq!(damaged.read(end - 1, 100).unwrap().iter().count(), 1);
    let leftovers = std::fs::read_dir(home.dir().unwrap().join("t-0")).unwrap();
    for entry in leftovers {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().ends_with(".cleaned"), "{name:?}");
    }
}

/// A batch whose records are all gone stays, empty, for the last sequence number of its producer.
#[test]
fn an_idempotent_producer_goes_on_after_its_records_were_compacted() {
    for home in mock_homes() {
        let broker = home.open();
        let log = make(&broker, &[]);
        let producer = broker.producer().build().unwrap();
        for value in ["1", "2", "3"] {
            producer.send(ProducerRecord::to("t").key("a").value(value)).wait().unwrap();
        }
        put(&home, &log, &[("a", "4")]);
        roll(&home, &log);
        advance(&home, LOOK);
        assert_eq!(kept(&log), [row(3, "a", "4")]);
        producer.send(ProducerRecord::to("t").key("a").value("5")).wait().unwrap();
        drop(producer);
        drop(log);
        broker.close().unwrap();
        let broker = home.open();
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!(kept(&log).len(), 2);
    }
}

#[test]
fn compact_delete_does_both() {
    for home in mock_homes() {
        let broker = home.open();
        let settings = [("cleanup.policy", "compact,delete"), ("retention.ms", "3600000")];
        let log = make(&broker, &settings);
        put(&home, &log, &[("a", "1"), ("b", "1")]);
        put(&home, &log, &[("a", "2")]);
        roll(&home, &log);
        advance(&home, LOOK);
        assert_eq!(kept(&log), [row(1, "b", "1"), row(2, "a", "2")]);
        advance(&home, Duration::from_secs(3600 + 300));
        assert!(records(&log).is_empty());
        assert_eq!(log.log_start_offset(), log.log_end_offset());
    }
}

#[test]
fn a_topic_that_is_deleted_and_made_anew_begins_dirty() {
    for home in mock_homes() {
        let broker = home.open();
        for round in 0..3 {
            let log = make(&broker, &[]);
            put(&home, &log, &[("a", "1")]);
            put(&home, &log, &[("a", "2")]);
            roll(&home, &log);
            advance(&home, LOOK);
            assert_eq!(kept(&log), [row(1, "a", "2")], "round {round}");
            broker.delete_topic("t").unwrap();
        }
    }
}

/// What a cleaner that stands still at one of its operations keeps others from doing.
#[derive(Default)]
struct Held {
    /// Which of its operations it stands still at.
    at: usize,
    seen: usize,
    is_held: bool,
    let_go: bool,
}

/// Appends and reads go on wherever in its work the cleaner is.
#[test]
fn nobody_waits_for_the_cleaner() {
    let mut held_at = 0;
    loop {
        let state = Arc::new((Mutex::new(Held { at: held_at, ..Held::default() }), Condvar::new()));
        let storage = Storage::observed(Storage::memory(), {
            let state = Arc::clone(&state);
            move |op, path| {
                let is_cleaner = std::thread::current().name() == Some("logreel-cleaner");
                // The files of the log, not the checkpoints beside it.
                if is_cleaner && path.contains("t-0") && op != "len" {
                    let (lock, told) = &*state;
                    let mut held = lock.lock().unwrap();
                    held.seen += 1;
                    if held.seen == held.at {
                        held.is_held = true;
                        told.notify_all();
                        drop(told.wait_while(held, |held| !held.let_go).unwrap());
                    }
                }
                Ok(())
            }
        });
        let broker = Broker::builder().storage(storage).set("log.cleaner.backoff.ms", "1");
        let broker = broker.open().unwrap();
        let topic = NewTopic::new("t").set("cleanup.policy", "compact");
        let topic = topic.set("segment.bytes", "400").set("min.cleanable.dirty.ratio", "0.9");
        let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
        let append = |i: usize| {
            let (key, value) = (format!("key {}", i % 5), format!("value {i}"));
            log.append([(Some(key.as_str()), Some(value.as_str()))]).unwrap();
        };
        (0..40).for_each(append);
        let (lock, told) = &*state;
        let wait = Duration::from_millis(if held_at == 0 { 200 } else { 3000 });
        let held = lock.lock().unwrap();
        let (held, over) = told.wait_timeout_while(held, wait, |held| !held.is_held).unwrap();
        drop(held);
        if held_at > 0 && over.timed_out() {
            break;
        }
        let (done, wait) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (40..60).for_each(append);
                let last = kept(&log).into_iter().map(|(_, key, value)| (key, value));
                let last: std::collections::BTreeMap<_, _> = last.collect();
                let values: Vec<_> = (55..60).map(|i| Some(format!("value {i}"))).collect();
                assert_eq!(last.into_values().collect::<Vec<_>>(), values, "held at {held_at}");
                for from in 0..60 {
                    assert!(log.read(from, 1).unwrap().iter().count() > 0, "held at {held_at}");
                }
                log.offset_for(logreel::OffsetSpec::Timestamp(0)).unwrap();
                log.sync().unwrap();
                done.send(()).unwrap();
            });
            let outcome = wait.recv_timeout(Duration::from_secs(20));
            lock.lock().unwrap().let_go = true;
            told.notify_all();
            assert!(outcome.is_ok(), "somebody waits for the cleaner at operation {held_at}");
        });
        held_at += 1;
    }
    assert!(held_at > 30, "only {held_at} operations");
}

#[test]
fn a_cleaner_that_is_switched_off_does_nothing() {
    let home = &mock_homes()[0];
    let broker = home.builder().set("log.cleaner.enable", "false").open().unwrap();
    let log = make(&broker, &[]);
    put(home, &log, &[("a", "1")]);
    put(home, &log, &[("a", "2")]);
    roll(home, &log);
    advance(home, Duration::from_secs(3600));
    assert_eq!(kept(&log).len(), 2);
}
