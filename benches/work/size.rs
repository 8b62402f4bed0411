//! Bytes on disk, and what compressing costs.

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use logreel::{Acks, Broker, Compression, NewTopic, ProducerRecord};

use super::measure::{Survives, Unit, Workload};
use super::payload::{Payload, mix};
use super::subject::{self, LONG, TOPIC};
use super::{Make, Scale};

pub fn all() -> Vec<(&'static str, Make)> {
    vec![("bytes", bytes), ("zstd", zstd)]
}

/// Bytes of a partition's `.log`, `.index` and `.timeindex`.
fn on_disk(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir.join(format!("{TOPIC}-0"))).unwrap();
    let of_log = |path: &Path| {
        let kind = path.extension().and_then(|kind| kind.to_str());
        kind.is_some_and(|kind| ["log", "index", "timeindex"].contains(&kind))
    };
    files
        .map(Result::unwrap)
        .filter(|f| of_log(&f.path()))
        .map(|f| f.metadata().unwrap().len())
        .sum()
}

/// Values of 100 bytes without a key, in full batches of 16 KiB.
fn bytes(scale: Scale) -> Workload {
    let payload = Payload::new(100);
    let records = scale.records(200_000);
    Workload::new(
        "bytes on disk a record, 100 B",
        "no key, batch.size 16 KiB, log and indexes",
        Unit::Bytes,
    )
    .bound("at most 111", 111.0)
    .ours("logreel", Survives::Unasked, move || {
        let dir = tempfile::tempdir().unwrap();
        let broker = subject::broker(dir.path(), 1);
        let producer = subject::lingering(&broker, Acks::Leader, 16 * 1024);
        for i in 0..records {
            producer.send(ProducerRecord::to(TOPIC).value(payload.value(i))).forget();
        }
        producer.flush(LONG).unwrap();
        drop(producer);
        broker.close().unwrap();
        on_disk(dir.path()) as f64 / records as f64
    })
    .goal("logreel", 1.0, "at most 111")
}

/// Text as logs have it: words that repeat, numbers that do not.
fn text(i: usize) -> String {
    const WORDS: [&str; 8] =
        ["order", "shipped", "customer", "warehouse", "pending", "payment", "refund", "accepted"];
    let word = |n: u64| WORDS[(mix(i as u64 + n * 1_000_003) % 8) as usize];
    let (a, b, c, number) = (word(1), word(2), word(3), mix(i as u64) % 1_000_000);
    format!(
        r#"{{"id":{i},"event":"{a}","state":"{b}","by":"{c}","amount":{number},"note":"{a} {c}"}}"#
    )
}

fn zstd(scale: Scale) -> Workload {
    const BATCH: usize = 64 * 1024;
    let records = scale.records(200_000);
    let values: Rc<Vec<String>> = Rc::new((0..records).map(text).collect());
    let own = Rc::clone(&values);
    // The records as a batch holds them: about seven bytes more each.
    let mut blocks: Vec<Vec<u8>> = vec![Vec::new()];
    for (i, value) in values.iter().enumerate() {
        if blocks.last().unwrap().len() + value.len() + 8 > BATCH {
            blocks.push(Vec::with_capacity(BATCH));
        }
        let block = blocks.last_mut().unwrap();
        block.extend_from_slice(&[0, 0, (i % 100) as u8, 0, 1, 0, 0]);
        block.extend_from_slice(value.as_bytes());
    }
    let settings =
        "one thread, acks=1, batch.size 64 KiB, compression.type=zstd, level 3, JSON of 110 B";
    Workload::new("zstd, send without waiting", settings, Unit::Rate)
        .limit("zstd alone, same blocks", Survives::Nothing, move || {
            let mut compressor = ::zstd::bulk::Compressor::new(3).unwrap();
            compressor.include_checksum(false).unwrap();
            let mut out = vec![0; ::zstd::zstd_safe::compress_bound(BATCH)];
            let began = Instant::now();
            for block in &blocks {
                compressor.compress_to_buffer(block, &mut out[..]).unwrap();
            }
            records as f64 / began.elapsed().as_secs_f64()
        })
        .ours("logreel", Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            let broker = Broker::open(dir.path()).unwrap();
            broker.create_topic(NewTopic::new(TOPIC)).unwrap();
            let producer = broker.producer().acks(Acks::Leader).batch_size(BATCH);
            let producer =
                producer.compression(Compression::Zstd).linger(LONG / 60).build().unwrap();
            let began = Instant::now();
            for value in own.iter() {
                producer.send(ProducerRecord::to(TOPIC).value(value.as_bytes())).forget();
            }
            producer.flush(LONG).unwrap();
            let rate = records as f64 / began.elapsed().as_secs_f64();
            let partition = broker.topic(TOPIC).unwrap().partition(0).unwrap();
            let last = partition.get(records as i64 - 1).unwrap().unwrap();
            assert_eq!(last.value.as_deref(), Some(own[records - 1].as_bytes()));
            rate
        })
        .goal("logreel", 1.0 / 1.15, "zstd alone, same blocks")
}
