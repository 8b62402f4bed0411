//! What goes and what stays: retention, deleted records, compaction.

use std::time::Duration;

use crate::homes::*;
use bytes::Bytes;
use logreel::record::RecordBatch;
use logreel::{
    Broker, BrokerBuilder, ConfigChange, ErrorCode, IsolationLevel, NewTopic, OffsetReset,
    OffsetSpec, Partition, RawRecord,
};

/// Everything is looked at often: the system's clock does not wait for a test.
fn lively(home: &Home) -> BrokerBuilder {
    home.builder()
        .set("log.initial.task.delay.ms", "1")
        .set("log.retention.check.interval.ms", "5")
        .set("log.cleaner.backoff.ms", "5")
}

fn make(broker: &Broker, overrides: &[(&str, &str)]) -> Partition {
    let base = NewTopic::new("t").set("segment.bytes", "300").set("file.delete.delay.ms", "0");
    let topic = overrides.iter().fold(base, |topic, (key, value)| topic.set(*key, *value));
    broker.create_topic(topic).unwrap().partition(0).unwrap()
}

/// One batch; an empty value is a tombstone.
fn append(home: &Home, log: &Partition, age: i64, records: &[(&str, &str)]) {
    let at = home.now() - age;
    let record = |(key, value): &(&'static str, &'static str)| {
        let value = (!value.is_empty()).then_some(value.as_bytes());
        RawRecord::new(Some(key.as_bytes()), value).timestamp(at)
    };
    // Literals live as long as the test.
    let records: Vec<(&'static str, &'static str)> =
        records.iter().map(|(k, v)| (leak(k), leak(v))).collect();
    home.ok(log.append(records.iter().map(record)));
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// Seals what was written so far.
fn roll(home: &Home, log: &Partition) {
    let before = log.segments().len();
    let filler = "x".repeat(150);
    while log.segments().len() <= before {
        append(home, log, 0, &[("filler", &filler)]);
    }
}

/// Lets the broker's housekeeping come to a state.
#[track_caller]
fn until(home: &Home, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        home.pass(ms(5));
    }
    panic!("{home}: never {what}");
}

/// Offsets and keys of what a consumer from the beginning reads, without the fillers.
fn read(broker: &Broker) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let mut found = Vec::new();
    let end = partition(broker, "t", 0).high_watermark();
    while consumer.position(&("t", 0).into()).unwrap() < end {
        for record in &consumer.poll(Duration::ZERO).unwrap() {
            let key = text(record.key().unwrap());
            if key != "filler" {
                found.push((record.offset(), key, record.value().map(text)));
            }
        }
    }
    found
}

fn offsets(broker: &Broker) -> Vec<i64> {
    read(broker).iter().map(|(offset, ..)| *offset).collect()
}

#[test]
fn t109_nothing_is_removed_unless_the_configuration_says_so() {
    for home in homes() {
        let broker = lively(&home).open().unwrap();
        let log = make(&broker, &[("retention.ms", "-1")]);
        for _ in 0..100 {
            append(&home, &log, 1_000_000_000_000, &[("a", "1"), ("b", "2")]);
        }
        home.pass(ms(50));
        assert!(log.segments().len() > 30, "{home}");
        assert_eq!(offsets(&broker), (0..200).collect::<Vec<i64>>(), "{home}");
    }
}

#[test]
fn t110_whole_segments_go_oldest_first_and_in_the_end_all_of_them() {
    for home in homes() {
        let broker = lively(&home).open().unwrap();
        let log = make(&broker, &[("retention.ms", "3600000"), ("segment.bytes", "200")]);
        let pair = [("a", "value of a"), ("b", "value of b")];
        // Segments of two batches; the second holds one that is young.
        for age in [9_000_000, 9_000_000, 9_000_000, 1_000, 9_000_000, 9_000_000] {
            append(&home, &log, age, &pair);
        }
        until(&home, "the first segment gone", || log.log_start_offset() == 4);
        home.pass(ms(50));
        assert_eq!(offsets(&broker), (4..12).collect::<Vec<i64>>(), "{home}: 4 and 5 are old");
        home.ok(broker.alter_topic_config("t", [ConfigChange::set("retention.ms", "0")]));
        until(&home, "empty", || log.log_start_offset() == 12);
        until(&home, "one empty segment", || log.segments().len() == 1 && log.size() == 0);
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (12, 12), "{home}");
        append(&home, &log, -60_000, &pair);
        assert_eq!(offsets(&broker), [12, 13], "{home}");
    }
}

#[test]
fn t111_time_is_that_of_the_newest_record_not_of_the_file() {
    for home in homes() {
        let broker = lively(&home).open().unwrap();
        let log = make(&broker, &[("retention.ms", "3600000")]);
        // Written now, and old: gone. The young one keeps what is behind it, however old.
        let value = "x".repeat(150);
        for age in [9_000_000, 9_000_000, 0, 9_000_000] {
            append(&home, &log, age, &[("k", &value)]);
        }
        until(&home, "the old segments gone", || log.log_start_offset() == 2);
        home.pass(ms(50));
        assert_eq!(offsets(&broker), [2, 3], "{home}");
    }
}

#[test]
fn t112_deleting_records_moves_the_log_start_also_inside_a_batch() {
    for home in homes() {
        let broker = home.open();
        let log = make(&broker, &[]);
        append(&home, &log, 0, &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
        append(&home, &log, 0, &[("e", "5")]);
        let consumer = broker.consumer().auto_offset_reset(OffsetReset::None).build().unwrap();
        home.ok(consumer.assign([("t", 0)]));
        assert_eq!(home.ok(log.delete_records(2)), 2);
        assert_eq!((log.log_start_offset(), log.high_watermark()), (2, 5), "{home}");
        assert_eq!(offsets(&broker), [2, 3, 4], "{home}");
        home.ok(consumer.seek(("t", 0), 1));
        home.fails(consumer.poll(Duration::ZERO), ErrorCode::OffsetOutOfRange);
        home.ok(consumer.seek(("t", 0), 2));
        assert_eq!(home.ok(consumer.poll(Duration::ZERO)).len(), 3, "{home}");
        for beyond in [6, 7, -2] {
            home.fails(log.delete_records(beyond), ErrorCode::OffsetOutOfRange);
        }
        assert_eq!(home.ok(log.delete_records(0)), 2, "{home}: it does not move back");
        drop((log, consumer));
        home.ok(broker.close());
        let broker = home.open();
        assert_eq!(offsets(&broker), [2, 3, 4], "{home}: after a restart");
        let log = partition(&broker, "t", 0);
        assert_eq!(home.ok(log.delete_records(OffsetSpec::Latest)), 5);
        assert_eq!((log.log_start_offset(), offsets(&broker).len()), (5, 0), "{home}");
    }
}

const COMPACT: (&str, &str) = ("cleanup.policy", "compact");
const EAGER: (&str, &str) = ("min.cleanable.dirty.ratio", "0");

#[test]
fn t113_compaction_keeps_the_last_of_each_key_and_a_reader_in_a_gap_goes_on() {
    for home in homes() {
        let broker = lively(&home).set("log.cleaner.enable", "true").open().unwrap();
        let log = make(&broker, &[COMPACT]);
        append(&home, &log, 0, &[("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("b", "2")]);
        roll(&home, &log);
        until(&home, "compacted", || offsets(&broker) == [2, 3, 4]);
        let consumer = broker.consumer().build().unwrap();
        home.ok(consumer.assign([("t", 0)]));
        home.ok(consumer.seek(("t", 0), 1));
        let polled = home.ok(consumer.poll(Duration::ZERO));
        let first = polled.iter().next().unwrap();
        assert_eq!((first.offset(), first.value()), (2, Some(&b"2"[..])), "{home}");
        let at = home.ok(log.offset_for(OffsetSpec::Earliest)).unwrap();
        assert_eq!(at.offset, 0, "{home}: the log begins where it began");
    }
}

#[test]
fn t114_the_active_segment_is_not_compacted_and_a_tombstone_can_be_seen_for_a_while() {
    for home in homes() {
        let broker = lively(&home).open().unwrap();
        let log = make(&broker, &[COMPACT, EAGER, ("delete.retention.ms", "300")]);
        append(&home, &log, 0, &[("a", "1"), ("b", "1")]);
        append(&home, &log, 0, &[("a", "")]);
        home.pass(ms(50));
        assert_eq!(offsets(&broker), [0, 1, 2], "{home}: nothing is sealed yet");
        roll(&home, &log);
        until(&home, "compacted", || offsets(&broker) == [1, 2]);
        let cleaned = home.now();
        assert_eq!(read(&broker)[1], (2, "a".to_owned(), None), "{home}: the tombstone is there");
        until(&home, "the tombstone gone", || {
            // What is dirty is cleaned; a tombstone alone is not reason enough.
            roll(&home, &log);
            offsets(&broker) == [1]
        });
        assert!(
            home.now() - cleaned >= 250,
            "{home}: it could be seen for {}",
            home.now() - cleaned
        );
    }
}

/// Values of `t` as a reader of this isolation sees them, without the fillers.
fn seen(broker: &Broker, level: IsolationLevel) -> Vec<String> {
    let settings = earliest(broker).isolation_level(level);
    let consumer = settings.build().unwrap();
    consumer.assign([t(0)]).unwrap();
    let records = consumer.read_to_end().unwrap().to_vec();
    let records = records.iter().filter(|record| record.key.as_deref() != Some(b"filler"));
    records.map(|record| text(record.value.as_deref())).collect()
}

/// The markers in the files of `t`; none is told of those in memory.
fn markers(home: &Home) -> Option<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(home.dir()?.join("t-0")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let mut left = Bytes::from(std::fs::read(path).unwrap_or_default());
        while let Ok(batch) = RecordBatch::parse(left.clone()) {
            let marks = batch.header().is_control() && batch.header().records_count() > 0;
            count += usize::from(marks);
            left = left.slice(batch.bytes().len()..);
        }
    }
    Some(count)
}

#[test]
fn t116_aborted_records_and_later_their_markers_go_without_being_visible() {
    for home in homes() {
        let broker = lively(&home).open().unwrap();
        let log = make(&broker, &[COMPACT, EAGER, ("delete.retention.ms", "50")]);
        let mut producer = broker.producer().build_transactional("p").unwrap();
        let committed = |expected: &[&str]| {
            assert_eq!(seen(&broker, IsolationLevel::ReadCommitted), expected, "{home}");
        };
        for (key, text, commits) in [("a", "a", true), ("a", "gone", false), ("b", "gone", false)] {
            let transaction = home.ok(producer.begin());
            home.ok(transaction.send(value(text).key(key)).wait());
            let ended = if commits { transaction.commit() } else { transaction.abort() };
            home.ok(ended);
            committed(&["a"]);
        }
        let uncommitted = || seen(&broker, IsolationLevel::ReadUncommitted);
        assert_eq!(uncommitted(), ["a", "gone", "gone"], "{home}");
        assert!(markers(&home).is_none_or(|count| count == 3), "{home}");
        until(&home, "aborted records gone", || {
            roll(&home, &log);
            committed(&["a"]);
            uncommitted() == ["a"]
        });
        // The last marker of a producer may stay as a batch without a record.
        until(&home, "their markers gone", || {
            roll(&home, &log);
            committed(&["a"]);
            markers(&home).is_none_or(|count| count == 1)
        });
        assert_eq!(uncommitted(), ["a"], "{home}");
        drop((log, producer));
        home.ok(broker.close());
        let broker = home.open();
        assert_eq!(seen(&broker, IsolationLevel::ReadCommitted), ["a"], "{home}");
        assert_eq!(seen(&broker, IsolationLevel::ReadUncommitted), ["a"], "{home}");
    }
}

#[test]
fn t120_another_policy_is_that_of_the_next_cleaning() {
    for home in homes() {
        let broker = lively(&home).open().unwrap();
        let log = make(&broker, &[("retention.ms", "-1")]);
        append(&home, &log, 0, &[("a", "1"), ("a", "2"), ("b", "1")]);
        roll(&home, &log);
        home.pass(ms(50));
        assert_eq!(offsets(&broker), [0, 1, 2], "{home}");
        let changes = [COMPACT, EAGER].map(|(key, value)| ConfigChange::set(key, value));
        home.ok(broker.alter_topic_config("t", changes));
        until(&home, "compacted", || offsets(&broker) == [1, 2]);
        let back = [("cleanup.policy", "delete"), ("retention.bytes", "0")];
        home.ok(broker.alter_topic_config("t", back.map(|(k, v)| ConfigChange::set(k, v))));
        until(&home, "deleted", || offsets(&broker).is_empty() && log.log_start_offset() > 2);
    }
}

#[test]
fn t115_compaction_changes_neither_order_nor_end() {
    for home in homes() {
        let broker = lively(&home).open().unwrap();
        let log = make(&broker, &[COMPACT, EAGER]);
        let keys = ["d", "a", "c", "a", "b", "d", "a", "e", "c", "b"];
        for (at, key) in keys.iter().enumerate() {
            append(&home, &log, 0, &[(key, &at.to_string())]);
        }
        roll(&home, &log);
        let end = log.high_watermark();
        let before = read(&broker);
        until(&home, "compacted", || read(&broker).len() == 5);
        let after = read(&broker);
        let last: Vec<_> = before
            .iter()
            .filter(|(offset, key, _)| !before.iter().any(|(o, k, _)| o > offset && k == key))
            .cloned()
            .collect();
        assert_eq!(after, last, "{home}");
        assert_eq!((log.log_start_offset(), log.high_watermark()), (0, end), "{home}");
        drop(log);
        home.ok(broker.close());
        let broker = home.open();
        assert_eq!(read(&broker), last, "{home}");
        assert_eq!(partition(&broker, "t", 0).high_watermark(), end, "{home}");
    }
}
