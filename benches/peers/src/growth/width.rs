//! Throughput over how many partitions, threads and groups there are.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use logreel::producer::murmur2;
use logreel::{Acks, Broker, OffsetReset, ProducerRecord};

use super::plot::{Curve, Plot};
use super::{tail, thousands};
use crate::work::Scale;
use crate::work::consume::{Filled, poll_all};
use crate::work::limits::{Touch, frame};
use crate::work::measure::median;
use crate::work::payload::{Payload, Sum};
use crate::work::subject::{self, TOPIC};

/// Each place is measured so often; the middle one counts.
fn times(scale: Scale) -> usize {
    if scale == Scale::Test { 1 } else { 5 }
}

/// Some figures at each place, as so many curves.
fn curves<const N: usize>(
    scale: Scale,
    counts: &[usize],
    names: [&str; N],
    measure: impl Fn(usize) -> [f64; N],
) -> Vec<Curve> {
    let mut values = names.map(|_| Vec::new());
    for count in counts {
        let runs: Vec<[f64; N]> = (0..times(scale)).map(|_| measure(*count)).collect();
        for (at, values) in values.iter_mut().enumerate() {
            let figures: Vec<f64> = runs.iter().map(|run| run[at]).collect();
            values.push(median(&figures));
        }
    }
    let named = names.into_iter().zip(values);
    named.map(|(name, values)| Curve { name: name.to_owned(), values }).collect()
}

fn plot(
    file: &'static str,
    title: &str,
    x: &'static str,
    counts: &[usize],
    curves: Vec<Curve>,
) -> Plot {
    let places = counts.iter().map(usize::to_string).collect();
    let (title, y) = (title.to_owned(), "thousand records/s");
    Plot { file, title, x, y, places, curves, log: false }
}

/// How long batches wait for company: until they are full, or not.
const LINGERS: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(20)];

/// A batch of a partition, and what the limit writes at once.
pub(super) const BATCH: usize = 16 * 1024;

/// One producer spreads records by key, one consumer reads all of them.
pub fn partitions(scale: Scale) -> Vec<Plot> {
    let counts = [1, 3, 10, 30, 100, 300, 1000];
    let counts = if scale == Scale::Test { &counts[..3] } else { &counts[..] };
    let payload = Payload::new(100);
    let records = scale.records(2_000_000);
    let names = [
        "produce, batches of 16 KiB, full",
        "the same with linger.ms 20",
        "raw writes of 16 KiB, a file each",
        "consume",
    ];
    let curves = curves(scale, counts, names, |partitions| {
        let [full, lingering] = LINGERS.map(|linger| spread(&payload, records, partitions, linger));
        let raw = write_files(&payload, records, partitions);
        [full.0, lingering.0, raw, lingering.1]
    });
    let title = "Throughput over partitions, 100 B, one producer, one consumer, acks=1";
    vec![plot("partitions.svg", title, "partitions", counts, curves)]
}

/// Writes records to so many partitions and reads them. Thousands of records a second, of both.
fn spread(payload: &Payload, records: usize, partitions: usize, linger: Duration) -> (f64, f64) {
    let dir = tempfile::tempdir().unwrap();
    let broker = subject::broker(dir.path(), i32::try_from(partitions).unwrap());
    let mut first = Touch::default();
    for partition in broker.topic(TOPIC).unwrap().partitions() {
        // What the first record of a partition pays once.
        partition.append([(Some(""), Some(""))]).unwrap();
        first.add(b"", b"");
    }
    let producer = broker.producer().acks(Acks::Leader).batch_size(BATCH).linger(linger);
    let producer = producer.build().unwrap();
    let produced = subject::send_all(&producer, payload, records) / 1e3;
    let all: Vec<i32> = (0..i32::try_from(partitions).unwrap()).collect();
    let (consumed, sum) = read(&broker, &all, records + partitions);
    assert_eq!(sum, Touch::of(payload, records).and(first.into()));
    (produced, consumed)
}

/// The same records to so many files, by the same choice. Thousands of records a second.
fn write_files(payload: &Payload, records: usize, files: usize) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let open = |number: usize| File::create(dir.path().join(number.to_string())).unwrap();
    let buffer = || Vec::with_capacity(2 * BATCH);
    let mut files: Vec<_> = (0..files).map(|number| (open(number), 0, buffer())).collect();
    let began = Instant::now();
    for i in 0..records {
        let hash = murmur2(&payload.key(i)) & i32::MAX;
        let place = usize::try_from(hash).unwrap() % files.len();
        let (file, at, buffer) = &mut files[place];
        frame(payload, i, buffer);
        if buffer.len() >= BATCH {
            file.write_all_at(buffer, *at).unwrap();
            *at += buffer.len() as u64;
            buffer.clear();
        }
    }
    for (file, at, buffer) in &files {
        file.write_all_at(buffer, *at).unwrap();
    }
    thousands(records, began)
}

/// Reads so many records of these partitions. Thousands of records a second.
fn read(broker: &Broker, partitions: &[i32], records: usize) -> (f64, Sum) {
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.max_poll_records(10_000).build().unwrap();
    consumer.assign(partitions.iter().map(|number| (TOPIC, *number))).unwrap();
    let (mut touch, began) = (Touch::default(), Instant::now());
    while touch.count() < records {
        for record in &consumer.poll(Duration::ZERO).unwrap() {
            touch.add(record.key().unwrap(), record.value().unwrap());
        }
    }
    (thousands(records, began), touch.into())
}

/// As many producing threads as partitions, with one producer; then as many consumers.
pub fn threads(scale: Scale) -> Vec<Plot> {
    let counts = [1, 2, 4, 8];
    let payload = Payload::new(100);
    let curves = curves(scale, &counts, ["produce", "consume"], |threads| {
        let each = scale.records(1_000_000) / threads;
        let share = |n: usize| n * each..(n + 1) * each;
        let dir = tempfile::tempdir().unwrap();
        let broker = subject::broker(dir.path(), i32::try_from(threads).unwrap());
        let producer = subject::lingering(&broker, Acks::Leader, 64 * 1024);
        let began = Instant::now();
        std::thread::scope(|scope| {
            for (number, n) in (0..).zip(0..threads) {
                let (producer, payload) = (producer.clone(), &payload);
                scope.spawn(move || {
                    for i in share(n) {
                        let key = payload.key(i);
                        let record = ProducerRecord::to(TOPIC).partition(number).key(&key[..]);
                        producer.send(record.value(payload.value(i))).forget();
                    }
                });
            }
        });
        producer.flush(subject::LONG).unwrap();
        let produced = thousands(each * threads, began);
        let began = Instant::now();
        let sums: Vec<Sum> = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..)
                .zip(0..threads)
                .map(|(number, _)| {
                    let broker = &broker;
                    scope.spawn(move || read(broker, &[number], each).1)
                })
                .collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        let consumed = thousands(each * threads, began);
        let sum = sums.into_iter().fold(Sum::default(), Sum::and);
        assert_eq!(sum, Touch::of(&payload, each * threads));
        [produced, consumed]
    });
    let title = "Throughput over threads, 100 B, a partition each, acks=1";
    vec![plot("threads.svg", title, "threads", &counts, curves)]
}

/// Consumers of so many groups read the same log, on as many threads as there are cores; then each
/// on a thread of its own, while it is written.
pub fn groups(scale: Scale) -> Vec<Plot> {
    let counts = [1, 3, 10, 30, 100];
    let counts = if scale == Scale::Test { &counts[..3] } else { &counts[..] };
    let payload = Payload::new(100);
    let records = scale.records(100_000);
    let expected = Touch::of(&payload, records);
    let filled = Filled::new(&payload, records, "16777216");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let names = [
        "all groups together",
        "the same while it is written",
        "a file and a condition variable, while it is written",
    ];
    let curves = curves(scale, counts, names, |groups| {
        let next = AtomicUsize::new(0);
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= groups {
                            return;
                        }
                        let group = format!("group-{number}");
                        let (_, sum) = poll_all(&filled.broker, Some(&group), records);
                        assert_eq!(sum, expected);
                    }
                });
            }
        });
        let consumed = thousands(records * groups, began);
        // So that every count of groups takes as long.
        let records = scale.records(3_000_000 / (groups + 2));
        let followed = tail::followed(&payload, records, groups);
        [consumed, followed, tail::told(&payload, records, groups)]
    });
    let title = "Records read by all groups, 100 B";
    vec![plot("groups.svg", title, "groups", counts, curves)]
}
