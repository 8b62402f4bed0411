//! The log against what the machine allows, side by side in one process: only the ratios mean
//! anything. Each group prints its limit first. See `benches/NOTES.md` for what was learned.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::slow_vector_initialization,
    clippy::print_stdout,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark that cannot run may panic"
)]

use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logreel::{Acks, Broker, NewTopic, OffsetReset, ProducerRecord};

const VALUE: usize = 100;
const RECORDS: usize = 200_000;

fn value() -> Vec<u8> {
    (0..VALUE).map(|i| (i * 37 % 251) as u8).collect()
}

/// One thread sends without waiting, acks=1, against raw buffered writes of the same bytes.
fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append 100 B, one thread, acks=1 (survives the process)");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS as u64));
    let dir = tempfile::tempdir().unwrap();
    group.bench_function("limit: write(2) of 64 KiB with CRC-32C per record", |b| {
        let mut frame = value();
        frame.extend_from_slice(&[0; 8]);
        b.iter(|| {
            let file = std::fs::File::create(dir.path().join("raw")).unwrap();
            let (mut buffer, mut at) = (Vec::with_capacity(65_536 + frame.len()), 0);
            for _ in 0..RECORDS {
                let crc = crc32c::crc32c(&frame);
                buffer.extend_from_slice(&crc.to_be_bytes());
                buffer.extend_from_slice(&frame);
                if buffer.len() >= 65_536 {
                    file.write_all_at(&buffer, at).unwrap();
                    at += buffer.len() as u64;
                    buffer.clear();
                }
            }
            file.write_all_at(&buffer, at).unwrap();
        });
    });
    for batch_size in [16 * 1024, 64 * 1024] {
        group.bench_function(format!("logreel, batch.size {batch_size}"), |b| {
            let payload = value();
            b.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    let dir = tempfile::tempdir().unwrap();
                    let broker = Broker::open(dir.path()).unwrap();
                    broker.create_topic("t").unwrap();
                    let producer = broker
                        .producer()
                        .acks(Acks::Leader)
                        .batch_size(batch_size)
                        .linger(Duration::from_millis(5))
                        .build()
                        .unwrap();
                    let begin = Instant::now();
                    for _ in 0..RECORDS {
                        let record = ProducerRecord::to("t").key(b"12345678").value(&payload);
                        producer.send(record).forget();
                    }
                    producer.flush(Duration::from_secs(60)).unwrap();
                    total += begin.elapsed();
                    let end = broker.topic("t").unwrap().partition(0).unwrap().log_end_offset();
                    assert_eq!(end, RECORDS as i64);
                }
                total
            });
        });
    }
    group.finish();
}

/// One record at a time, and 100 with one call, acks=1, against one `write(2)` for each.
fn waiting(c: &mut Criterion) {
    let mut group = c.benchmark_group("write and wait, 100 B, one thread, acks=1");
    group.sample_size(10);
    for together in [1usize, 100] {
        group.throughput(Throughput::Elements(together as u64));
        let frame = vec![7u8; (VALUE + 8) * together];
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("raw")).unwrap();
        let mut at = 0;
        group.bench_function(format!("limit: one write(2) of {together}"), |b| {
            b.iter(|| {
                file.write_all_at(&frame, at).unwrap();
                at += frame.len() as u64;
            });
        });
        let broker = Broker::open(dir.path().join("log")).unwrap();
        broker.create_topic("t").unwrap();
        let producer = broker.producer().acks(Acks::Leader).build().unwrap();
        let payload = value();
        let record = || ProducerRecord::to("t").key(b"12345678").value(&payload);
        group.bench_function(format!("logreel, {together} and wait"), |b| {
            b.iter(|| match together {
                1 => producer.send(record()).wait().unwrap().offset(),
                _ => {
                    let records = (0..together).map(|_| record());
                    producer.send_batch(records).wait().unwrap()[0].offset()
                }
            });
        });
    }
    group.finish();
}

/// Everything is read in order, checksums verified, every key and value touched.
fn consume(c: &mut Criterion) {
    let mut group = c.benchmark_group("consume 100 B in order, page cache warm");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS as u64));
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let topic = NewTopic::new("t").set("segment.bytes", "4194304");
    let path = broker.create_topic(topic).unwrap();
    let producer = broker.producer().acks(Acks::Leader).linger(Duration::from_millis(5));
    let producer = producer.build().unwrap();
    let payload = value();
    for _ in 0..RECORDS {
        producer.send(ProducerRecord::to("t").key(b"12345678").value(&payload)).forget();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    let segments = path.partition(0).unwrap().segments();
    group.bench_function("limit: pread of 64 KiB with CRC-32C", |b| {
        b.iter(|| {
            let mut sum = 0u64;
            let mut buffer = vec![0u8; 65_536];
            for segment in &segments {
                let file = std::fs::File::open(&segment.path).unwrap();
                let mut at = 0;
                while at < segment.size {
                    let read = file.read_at(&mut buffer, at).unwrap();
                    sum += u64::from(crc32c::crc32c(&buffer[..read]));
                    at += read as u64;
                }
            }
            black_box(sum)
        });
    });
    for mmap in [true, false] {
        drop_and_read(&mut group, dir.path(), mmap);
    }
    group.finish();
}

fn drop_and_read(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    dir: &std::path::Path,
    mmap: bool,
) {
    // Beside the writer: sealed segments through maps or reads, the active one through reads.
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir, copy.path());
    let broker = Broker::builder().dir(copy.path()).mmap(mmap).open().unwrap();
    group.bench_function(format!("logreel, mmap {mmap}"), |b| {
        b.iter(|| {
            let consumer = broker
                .consumer()
                .auto_offset_reset(OffsetReset::Earliest)
                .max_poll_records(10_000)
                .build()
                .unwrap();
            consumer.assign([("t", 0)]).unwrap();
            let (mut count, mut sum) = (0, 0u64);
            while count < RECORDS {
                for record in &consumer.poll(Duration::ZERO).unwrap() {
                    count += 1;
                    let (key, value) = (record.key().unwrap(), record.value().unwrap());
                    sum += u64::from(key[0]) + u64::from(value[VALUE - 1]);
                }
            }
            black_box(sum)
        });
    });
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Opening a directory of a thousand partitions that was closed cleanly, a record in each.
fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("open after a clean close");
    group.sample_size(10).throughput(Throughput::Elements(1000));
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let topic = broker.create_topic(NewTopic::new("t").partitions(1000)).unwrap();
    for partition in topic.partitions() {
        partition.append([(Some("key"), Some("value"))]).unwrap();
    }
    drop(topic);
    broker.close().unwrap();
    group.bench_function("1000 partitions", |b| {
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let begin = Instant::now();
                let broker = Broker::open(dir.path()).unwrap();
                total += begin.elapsed();
                assert!(broker.recovery_report().clean);
                broker.close().unwrap();
            }
            total
        });
    });
    group.bench_function("in memory, topic, send, poll: the first record in hand", |b| {
        b.iter(|| {
            let broker = Broker::in_memory();
            let producer = broker.producer().build().unwrap();
            producer.send(ProducerRecord::to("t").value("v")).wait().unwrap();
            let consumer =
                broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
            consumer.assign([("t", 0)]).unwrap();
            assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        });
    });
    group.finish();
}

criterion_group!(benches, append, waiting, consume, open);
criterion_main!(benches);
