//! Producers and readers beside the threads that compact and delete.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use logreel::{
    Acks, Broker, Consumer, ErrorCode, NewTopic, OffsetReset, ProducerRecord, RawRecord,
};

use crate::senders::Draw;

const UPDATES: u64 = 1_000_000;
const KEYS: u64 = 10_000;

fn open(dir: &Path) -> Broker {
    Broker::builder()
        .dir(dir)
        .set("log.cleaner.backoff.ms", "1")
        .set("log.initial.task.delay.ms", "0")
        .set("log.retention.check.interval.ms", "1")
        .open()
        .unwrap()
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

fn consumer(broker: &Broker, group: &str) -> Consumer {
    let consumer = broker.consumer().group_id(group).enable_auto_commit(false);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

/// Reads until the end is told, and everything then: offsets ascend, and the values of each key.
fn follow(broker: &Broker, group: &str, is_over: &AtomicBool, seeks: bool) -> u64 {
    let consumer = consumer(broker, group);
    let mut draw = Draw(7);
    let mut count = 0;
    let mut last = -1;
    let mut newest: HashMap<u64, u64> = HashMap::new();
    loop {
        let over = is_over.load(Ordering::Acquire);
        let records = consumer.poll(Duration::from_millis(if over { 0 } else { 5 })).unwrap();
        if over && records.is_empty() {
            return count;
        }
        for record in records.iter().filter(|record| record.value().unwrap().len() == 8) {
            assert!(record.offset() > last, "{group}: {} after {last}", record.offset());
            last = record.offset();
            let (key, value) = (number(record.key().unwrap()), number(record.value().unwrap()));
            let before = newest.insert(key, value);
            assert!(before.is_none_or(|before| before < value), "{group}: {value} of {key}");
            count += 1;
        }
        if group == "far" && !over {
            std::thread::sleep(Duration::from_millis(2));
        }
        if seeks && !over && !records.is_empty() && draw.below(20) == 0 {
            let back = draw.below(last as u64 + 1) as i64;
            consumer.seek(("t", 0), back).unwrap();
            last = back - 1;
            newest.clear();
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}

#[test]
fn a_million_updates_beside_the_cleaner() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = NewTopic::new("t").set("cleanup.policy", "compact").set("segment.bytes", "1048576");
    let topic = topic.set("min.cleanable.dirty.ratio", "0.5");
    let topic = broker.create_topic(topic).unwrap();
    let log = topic.partition(0).unwrap();
    let is_over = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let readers = [("near", false), ("far", false), ("back", true)].map(|(group, seeks)| {
            let (broker, is_over) = (&broker, &is_over);
            scope.spawn(move || follow(broker, group, is_over, seeks))
        });
        let producer = broker.producer().acks(Acks::Leader).build().unwrap();
        let mut draw = Draw(1);
        for update in 0..UPDATES {
            let key = if update < KEYS { update } else { draw.below(KEYS) };
            let (key, value) = (key.to_be_bytes(), update.to_be_bytes());
            producer.send(ProducerRecord::to("t").key(&key[..]).value(&value[..])).forget();
        }
        producer.close(Duration::from_secs(60)).unwrap();
        is_over.store(true, Ordering::Release);
        readers.map(|reader| reader.join().unwrap())
    });
    println!("{UPDATES} updates, {read:?} read, {} segments", log.segments().len());
    // Everything is sealed and cleaned once more.
    topic.alter_config([logreel::ConfigChange::set("min.cleanable.dirty.ratio", "0")]).unwrap();
    let end = log.log_end_offset();
    assert_eq!(end, UPDATES as i64);
    let sealed = log.segments().len();
    let far = (1u64 << 40).to_be_bytes();
    let value = vec![b'x'; 900_000];
    for _ in 0..2 {
        log.append([RawRecord::new(Some(&far), Some(&value))]).unwrap();
    }
    assert!(log.segments().len() != sealed || sealed > 1);
    let count = || {
        let mut keys = Vec::new();
        let mut at = 0;
        while at < end {
            let records = log.read(at, 1 << 20).unwrap();
            let below = records.iter().filter(|record| record.offset() < end);
            keys.extend(below.map(|record| number(record.key().unwrap())));
            at = records.iter().last().unwrap().offset() + 1;
        }
        keys
    };
    let begun = std::time::Instant::now();
    let keys = loop {
        let keys = count();
        if keys.len() as u64 == KEYS {
            break keys;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{} are left", keys.len());
        std::thread::sleep(Duration::from_millis(5));
    };
    let distinct: std::collections::HashSet<u64> = keys.iter().copied().collect();
    assert_eq!(distinct.len() as u64, KEYS);
    assert!(log.uncleanable().is_none());
    drop((log, topic));
    broker.close().unwrap();
    let found = logreel::admin::verify(dir.path()).unwrap();
    assert!(found.findings.is_empty(), "{:?}", found.findings);
    let broker = open(dir.path());
    assert!(broker.recovery_report().clean);
    let is_over = AtomicBool::new(true);
    assert!(follow(&broker, "again", &is_over, false) >= KEYS);
}

#[test]
fn readers_race_with_retention() {
    let dir = tempfile::tempdir().unwrap();
    let broker = open(dir.path());
    let topic = NewTopic::new("t").set("segment.bytes", "1000").set("retention.bytes", "5000");
    let topic = topic.set("file.delete.delay.ms", "0");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    let is_over = AtomicBool::new(false);
    let (read, outside) = std::thread::scope(|scope| {
        let readers = [1, 2].map(|seed| {
            let (log, is_over) = (log.clone(), &is_over);
            scope.spawn(move || {
                let mut draw = Draw(seed);
                let (mut read, mut outside) = (0u64, 0u64);
                while !is_over.load(Ordering::Acquire) {
                    let (start, end) = (log.log_start_offset(), log.log_end_offset());
                    let start = if draw.below(4) == 0 {
                        draw.below(start as u64 + 1) as i64
                    } else {
                        start
                    };
                    let from = start + draw.below((end - start) as u64 + 1) as i64;
                    match log.read(from, 2000) {
                        Ok(records) => {
                            for (record, offset) in records.iter().zip(from..) {
                                assert_eq!(record.offset(), offset);
                                assert_eq!(number(record.value().unwrap()), offset as u64);
                                read += 1;
                            }
                        }
                        Err(error) => {
                            assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange), "{error}");
                            outside += 1;
                        }
                    }
                }
                (read, outside)
            })
        });
        for offset in 0..15_000u64 {
            let value = offset.to_be_bytes();
            log.append([RawRecord::new(None, Some(&value))]).unwrap();
        }
        is_over.store(true, Ordering::Release);
        let [a, b] = readers.map(|reader| reader.join().unwrap());
        (a.0 + b.0, a.1 + b.1)
    });
    println!("{read} read, {outside} out of range, start {}", log.log_start_offset());
    assert!(read > 0 && outside > 0 && log.log_start_offset() > 0);
    drop(log);
    broker.close().unwrap();
    let found = logreel::admin::verify(dir.path()).unwrap();
    assert!(found.findings.is_empty(), "{:?}", found.findings);
}
