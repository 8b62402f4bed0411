//! Writes directories for another implementation to read: segments of every kind this crate
//! writes, and beside them what a reader must find. `.ci/run interop` has kafka-python's record
//! parser compare the two. Without `LOGREEL_INTEROP_DIR` the test writes to a temporary directory
//! and only checks that there is something to compare.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::mem_forget,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    reason = "a test that fails may panic"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use logreel::consumer::GroupMetadata;
use logreel::{
    Acks, Broker, CleanupPolicy, Compression, Header, NewTopic, OffsetReset, Partition,
    ProducerRecord, RawRecord, TimestampType,
};

fn base64(bytes: Option<&[u8]>) -> serde_json::Value {
    bytes.map_or(serde_json::Value::Null, |bytes| STANDARD.encode(bytes).into())
}

/// What our own reader finds, one line a record.
fn expect(broker: &Broker, topic: &str, out: &mut String) {
    for partition in broker.topic(topic).unwrap().partitions() {
        let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
        consumer.assign([partition.topic_partition()]).unwrap();
        loop {
            let records = consumer.poll(Duration::ZERO).unwrap();
            if records.is_empty() {
                break;
            }
            for record in &records {
                let headers: Vec<serde_json::Value> = record
                    .headers()
                    .map(|h| serde_json::json!([h.key_lossy(), base64(h.value())]))
                    .collect();
                let mut line = serde_json::json!({
                    "dir": record.topic_partition().to_string(),
                    "offset": record.offset(),
                    "timestamp": record.timestamp().unwrap_or(-1),
                    "key": base64(record.key()),
                    "value": base64(record.value()),
                    "headers": headers,
                });
                if topic == "transactions" {
                    // Its key says what becomes of it.
                    let outcome = str::from_utf8(record.key().unwrap()).unwrap();
                    line["outcome"] = Some(outcome).filter(|key| *key != "plain").into();
                }
                writeln!(out, "{line}").unwrap();
            }
        }
    }
}

/// A topic that the cleaner has been through: batches of every codec that lost records, tombstones
/// with a horizon, empty batches.
fn compact(broker: &Broker) -> Partition {
    let topic = NewTopic::new("compacted")
        .cleanup_policy(CleanupPolicy::Compact)
        .set("segment.bytes", "3000")
        .set("min.cleanable.dirty.ratio", "0");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    for (round, codec) in Compression::ALL.into_iter().enumerate() {
        let producer = broker.producer().compression(codec).build().unwrap();
        for i in 0..40_usize {
            let value = format!("value {i} of round {round} {}", "abc ".repeat(i % 20));
            let keys = (0..10).map(|k| k * (i % 3 + 1) + round * 7);
            let records = keys.map(|k| {
                let record =
                    ProducerRecord::to("compacted").key(format!("key-{k}")).header("h", "1");
                if (k + i) % 4 == 0 { record } else { record.value(value.as_str()) }
            });
            producer.send_batch(records).wait().unwrap();
        }
    }
    // The last codec's batches must not all lie in the active segment.
    let before = log.segments().len();
    while log.segments().len() == before {
        log.append([(Some("filler"), Some("x"))]).unwrap();
    }
    let sealed = |log: &Partition| -> u64 {
        let segments = log.segments();
        segments.iter().filter(|segment| !segment.is_active).map(|segment| segment.size).sum()
    };
    // Of 2400 records some hundred keys are left.
    for _ in 0..2000 {
        if sealed(&log) < 20_000 {
            return log;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it is never compacted: {} bytes", sealed(&log));
}

/// Transactions of two producers and plain records between them: committed, aborted, left open.
fn transactions(broker: &Broker) {
    let topic = NewTopic::new("transactions").partitions(2).set("segment.bytes", "2000");
    broker.create_topic(topic).unwrap();
    let plain = broker.producer().build().unwrap();
    let codec = |codec: Compression| broker.producer().compression(codec);
    let mut producers = [Compression::None, Compression::Gzip]
        .map(|c| codec(c).build_transactional(c.name()).unwrap());
    for round in 0..30 {
        let [first, second] = &mut producers;
        let (a, b) = (first.begin().unwrap(), second.begin().unwrap());
        let fates = ["committed", "aborted"];
        let (fate_a, fate_b) = (fates[round % 2], fates[round / 2 % 2]);
        for i in 0..5 {
            let value = format!("{round} {i}");
            let record = |key: &'static str| {
                ProducerRecord::to("transactions").partition(i % 2).key(key).value(value.clone())
            };
            a.send(record(fate_a)).wait().unwrap();
            plain.send(record("plain")).wait().unwrap();
            b.send(record(fate_b)).wait().unwrap();
        }
        let at = [(("transactions", 0), round as i64)].into_iter().collect();
        a.send_offsets(&at, &GroupMetadata::without_members("transacted")).unwrap();
        for (transaction, fate) in [(b, fate_b), (a, fate_a)] {
            let ended =
                if fate == "committed" { transaction.commit() } else { transaction.abort() };
            ended.unwrap();
        }
    }
    let [first, _] = &mut producers;
    let open = first.begin().unwrap();
    open.send(ProducerRecord::to("transactions").partition(1).key("open").value("x"))
        .wait()
        .unwrap();
    std::mem::forget(open);
}

fn write_everything(root: &Path) {
    let broker =
        Broker::builder().dir(root.join("all")).set("log.cleaner.backoff.ms", "5").open().unwrap();
    let mut topics = Vec::new();
    for codec in Compression::ALL {
        let name = format!("codec-{}", codec.name());
        let topic = NewTopic::new(&name).partitions(2).set("segment.bytes", "20000");
        broker.create_topic(topic).unwrap();
        let producer = broker
            .producer()
            .compression(codec)
            .acks(Acks::Leader)
            .linger(Duration::from_millis(2))
            .build()
            .unwrap();
        for i in 0..500 {
            let mut record = ProducerRecord::to(&*name).timestamp(1_700_000_000_000 + i * 7 % 100);
            if i % 5 != 0 {
                record = record.key(format!("key-{}", i % 13));
            }
            if i % 11 != 0 {
                record = record.value(format!("value {i} {}", "abc ".repeat((i % 40) as usize)));
            }
            if i % 3 == 0 {
                record = record.header("h", "1").header("h", "2").null_header("n").header("", "");
            }
            producer.send(record).forget();
        }
        let large: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        producer.send(ProducerRecord::to(&*name).key("").value(large)).forget();
        producer.flush(Duration::from_secs(30)).unwrap();
        topics.push(name);
    }
    let stamped = NewTopic::new("stamped").timestamp_type(TimestampType::LogAppendTime);
    let stamped = broker.create_topic(stamped).unwrap().partition(0).unwrap();
    let headers = [Header::new("k", "v")];
    for i in 0..50 {
        let record = RawRecord::new(Some(b"k"), Some(b"v")).timestamp(i).headers(&headers);
        stamped.append([record, record]).unwrap();
    }
    let compacted = compact(&broker);
    let consumer =
        broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.subscribe(["stamped", "compacted"]).unwrap();
    consumer.poll(Duration::from_secs(1)).unwrap();
    consumer.commit().unwrap();
    // Leaving the group is a record too.
    drop(consumer);
    transactions(&broker);
    topics.extend(["transactions".to_owned(), "__transaction_state".to_owned()]);
    topics.extend(["stamped".to_owned(), "compacted".to_owned(), "__consumer_offsets".to_owned()]);
    drop((stamped, compacted));
    broker.close().unwrap();
    // Nothing is compacted after it was read.
    let quiet = Broker::builder().dir(root.join("all")).set("log.cleaner.enable", "false");
    let broker = quiet.open().unwrap();
    let mut expected = String::new();
    for topic in &topics {
        expect(&broker, topic, &mut expected);
    }
    assert!(expected.lines().count() > 2500);
    let found = logreel::admin::verify(root.join("all")).unwrap();
    assert!(found.is_sound(), "{:?}", found.findings);
    broker.close().unwrap();
    std::fs::write(root.join("all/expected.jsonl"), expected).unwrap();
}

#[test]
fn segments_for_other_readers() {
    match std::env::var_os("LOGREEL_INTEROP_DIR") {
        Some(dir) => write_everything(Path::new(&dir)),
        None => write_everything(tempfile::tempdir().unwrap().path()),
    }
}
