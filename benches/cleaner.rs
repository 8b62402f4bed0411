//! What compacting a log costs, beside what reading it costs: a million records of 100 bytes over
//! ten thousand keys, on disk, in segments of 16 MiB.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot run may panic")]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use logreel::testing::MockClock;
use logreel::{Acks, Broker, NewTopic, Partition, ProducerRecord};
use tempfile::TempDir;

const RECORDS: u64 = 1_000_000;
const KEYS: u64 = 10_000;
const NOW: i64 = 1_700_000_000_000;

/// A directory that was closed before anything of it was cleaned.
fn dirty() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let broker = Broker::builder()
        .dir(home.path())
        .clock(MockClock::at_millis(NOW))
        .set("log.cleaner.enable", "false")
        .open()
        .unwrap();
    let topic = NewTopic::new("t").set("cleanup.policy", "compact");
    broker.create_topic(topic.set("segment.bytes", "16777216")).unwrap();
    let producer = broker.producer().acks(Acks::Leader).linger(Duration::from_secs(1)).build();
    let producer = producer.unwrap();
    for i in 0..RECORDS {
        // Every key comes back at no regular distance.
        let key = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17) % KEYS;
        let record = ProducerRecord::to("t").key(key.to_be_bytes()).value([7; 100]);
        producer.send(record).forget();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    drop(producer);
    broker.close().unwrap();
    home
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.path().join(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir(&place).unwrap();
            for file in std::fs::read_dir(&path).unwrap() {
                let file = file.unwrap().path();
                std::fs::copy(&file, place.join(file.file_name().unwrap())).unwrap();
            }
        } else {
            std::fs::copy(&path, place).unwrap();
        }
    }
    to
}

fn open(home: &TempDir) -> (MockClock, Broker, Partition) {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().dir(home.path()).clock(&clock).open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    (clock, broker, log)
}

fn read(log: &Partition) -> usize {
    let (mut at, mut count) = (log.log_start_offset(), 0);
    while at < log.log_end_offset() {
        let records = log.read(at, 1 << 20).unwrap();
        let Some(last) = records.iter().last().map(|record| record.offset()) else { break };
        count += records.len();
        at = last + 1;
    }
    count
}

fn cleaning(c: &mut Criterion) {
    let dirty = dirty();
    let mut group = c.benchmark_group("1 000 000 records over 10 000 keys");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS));
    group.bench_function("read them all", |b| {
        let (_clock, _broker, log) = open(&dirty);
        b.iter(|| black_box(read(&log)));
    });
    group.bench_function("compact them, the first time", |b| {
        let setup = || {
            let home = copy(dirty.path());
            let opened = open(&home);
            (home, opened)
        };
        let routine = |(_home, (clock, _broker, log)): &mut (TempDir, (MockClock, _, _))| {
            let before = Partition::size(log);
            clock.advance(Duration::from_secs(15));
            assert!(log.size() < before / 2, "it was not compacted");
        };
        b.iter_batched_ref(setup, routine, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, cleaning);
criterion_main!(benches);
