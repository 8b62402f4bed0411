//! Writing: record by record, in batches, from several threads.

use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use logreel::{Acks, Broker, Partition, ProducerRecord};

use super::goal::Against;
use super::limits::{Write, check_frames, write_frames};
use super::measure::{Survives, Unit, Workload};
use super::payload::{Payload, shown};
use super::subject::{self, LONG, TOPIC};
use super::{Make, Scale};

const BUFFER: Write = Write::Bytes(64 * 1024);

pub fn all() -> Vec<(&'static str, Make)> {
    vec![
        ("send", |scale| send(scale, 100)),
        ("send-1k", |scale| send(scale, 1024)),
        ("wait", |scale| wait(scale, 100)),
        ("wait-1k", |scale| wait(scale, 1024)),
        ("batches", |scale| batches(scale, 100)),
        ("batches-1k", |scale| batches(scale, 1024)),
        ("threads", |scale| threads(scale, 100)),
        ("threads-1k", |scale| threads(scale, 1024)),
    ]
}

/// About as many bytes for every size of value.
pub fn records(scale: Scale, size: usize, full: usize) -> usize {
    scale.records(full * 100 / size.max(100))
}

/// Writes frames in this way and checks them.
fn raw_write(dir: &Path, payload: &Payload, records: usize, when: Write) -> f64 {
    let path = dir.join("raw");
    let rate = write_frames(&path, payload, 0..records, when);
    check_frames(&path, payload, 0..records);
    rate
}

/// One thread, without waiting.
pub fn send(scale: Scale, size: usize) -> Workload {
    let payload = Rc::new(Payload::new(size));
    let records = records(scale, size, 500_000);
    let expected = payload.sum(records);
    let name = format!("send without waiting, {}", shown(size));
    let raw = Rc::clone(&payload);
    let mut work = Workload::new(
        name,
        "one thread, one partition, acks=1, linger.ms 20",
        Unit::Rate,
    )
    .limit("raw buffered, 64 KiB a write", Survives::Nothing, move || {
        let dir = tempfile::tempdir().unwrap();
        raw_write(dir.path(), &raw, records, BUFFER)
    });
    for (name, batch_size) in [
        ("logreel, batch.size 16 KiB", 16 * 1024),
        ("logreel, batch.size 64 KiB", 64 * 1024),
        ("logreel, batch.size 256 KiB", 256 * 1024),
    ] {
        let payload = Rc::clone(&payload);
        work = work.ours(name, Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            let broker = subject::broker(dir.path(), 1);
            let producer = subject::lingering(&broker, Acks::Leader, batch_size);
            let rate = subject::send_all(&producer, &payload, records);
            assert_eq!(subject::read_back(&broker), expected);
            rate
        });
    }
    const RAW: &str = "raw buffered, 64 KiB a write";
    work.goal("logreel, batch.size 64 KiB", 0.7, RAW).stretch(
        "logreel, batch.size 256 KiB",
        1.0,
        Against::One(RAW),
    )
}

/// One thread that waits for every record.
pub fn wait(scale: Scale, size: usize) -> Workload {
    let payload = Rc::new(Payload::new(size));
    let records = records(scale, size, 200_000);
    let expected = payload.sum(records);
    let name = format!("send and wait for each, {}", shown(size));
    let raw = Rc::clone(&payload);
    Workload::new(name, "one thread, one partition, acks=1, linger.ms 0", Unit::Rate)
        .limit("raw, one write a record", Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            raw_write(dir.path(), &raw, records, Write::Records(1))
        })
        .ours("logreel", Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            let broker = subject::broker(dir.path(), 1);
            let producer = broker.producer().acks(Acks::Leader).build().unwrap();
            let began = Instant::now();
            for i in 0..records {
                let key = payload.key(i);
                let record = ProducerRecord::to(TOPIC).key(&key[..]).value(payload.value(i));
                producer.send(record).wait().unwrap();
            }
            let rate = records as f64 / began.elapsed().as_secs_f64();
            assert_eq!(subject::read_back(&broker), expected);
            rate
        })
        .goal("logreel", 0.85, "raw, one write a record")
}

/// Batches of 100 records, each written when the call returns.
pub fn batches(scale: Scale, size: usize) -> Workload {
    let payload = Rc::new(Payload::new(size));
    let records = records(scale, size, 400_000) / 100 * 100;
    let expected = payload.sum(records);
    let name = format!("batches of 100, {}", shown(size));
    let (raw, sent) = (Rc::clone(&payload), Rc::clone(&payload));
    Workload::new(name, "one thread, one partition, acks=1", Unit::Rate)
        .limit("raw, one write for 100", Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            raw_write(dir.path(), &raw, records, Write::Records(100))
        })
        .ours("logreel, send_batch", Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            let broker = subject::broker(dir.path(), 1);
            let producer = broker.producer().acks(Acks::Leader).build().unwrap();
            let began = Instant::now();
            for batch in (0..records).step_by(100) {
                let keys: [[u8; 8]; 100] = std::array::from_fn(|i| payload.key(batch + i));
                let batch = keys.iter().zip(batch..).map(|(key, i)| {
                    ProducerRecord::to(TOPIC).key(&key[..]).value(payload.value(i))
                });
                producer.send_batch(batch).wait().unwrap();
            }
            let rate = records as f64 / began.elapsed().as_secs_f64();
            assert_eq!(subject::read_back(&broker), expected);
            rate
        })
        .ours("logreel, Partition::append", Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            let broker = subject::broker(dir.path(), 1);
            let rate = append_all(&broker, &sent, records);
            assert_eq!(subject::read_back(&broker), expected);
            rate
        })
        .goal("logreel, send_batch", 1.0, "raw, one write for 100")
        .goal("logreel, Partition::append", 1.0, "raw, one write for 100")
}

pub fn append_all(broker: &Broker, payload: &Payload, records: usize) -> f64 {
    let partition: Partition = broker.topic(TOPIC).unwrap().partition(0).unwrap();
    let began = Instant::now();
    for batch in (0..records).step_by(100) {
        let keys: [[u8; 8]; 100] = std::array::from_fn(|i| payload.key(batch + i));
        let batch =
            keys.iter().zip(batch..).map(|(key, i)| (Some(&key[..]), Some(payload.value(i))));
        partition.append(batch).unwrap();
    }
    records as f64 / began.elapsed().as_secs_f64()
}

/// Four threads on four partitions, without waiting.
pub fn threads(scale: Scale, size: usize) -> Workload {
    const THREADS: usize = 4;
    let payload = Rc::new(Payload::new(size));
    let each = records(scale, size, 250_000);
    let total = each * THREADS;
    let expected = payload.sum(total);
    let name = format!("4 threads on 4 partitions, {}", shown(size));
    let raw = Rc::clone(&payload);
    let settings = "without waiting, acks=1, one producer, linger.ms 20";
    let mut work = Workload::new(name, settings, Unit::Rate).limit(
        "raw buffered, a file a thread",
        Survives::Nothing,
        move || {
            let dir = tempfile::tempdir().unwrap();
            let path = |n| dir.path().join(format!("raw-{n}"));
            let share = |n| n * each..(n + 1) * each;
            let began = Instant::now();
            std::thread::scope(|scope| {
                for n in 0..THREADS {
                    let (path, raw) = (path(n), &*raw);
                    scope.spawn(move || write_frames(&path, raw, share(n), BUFFER));
                }
            });
            let rate = total as f64 / began.elapsed().as_secs_f64();
            (0..THREADS).for_each(|n| check_frames(&path(n), &raw, share(n)));
            rate
        },
    );
    for (name, batch_size) in
        [("logreel, batch.size 16 KiB", 16 * 1024), ("logreel, batch.size 64 KiB", 64 * 1024)]
    {
        let payload = Rc::clone(&payload);
        work = work.ours(name, Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            let broker = subject::broker(dir.path(), THREADS as i32);
            let producer = subject::lingering(&broker, Acks::Leader, batch_size);
            let began = Instant::now();
            std::thread::scope(|scope| {
                for n in 0..THREADS {
                    let (producer, payload) = (producer.clone(), &*payload);
                    scope.spawn(move || {
                        for i in n * each..(n + 1) * each {
                            let key = payload.key(i);
                            let record = ProducerRecord::to(TOPIC).partition(n as i32);
                            producer.send(record.key(&key[..]).value(payload.value(i))).forget();
                        }
                    });
                }
            });
            producer.flush(LONG).unwrap();
            let rate = total as f64 / began.elapsed().as_secs_f64();
            assert_eq!(subject::read_back(&broker), expected);
            rate
        });
    }
    work.goal("logreel, batch.size 64 KiB", 0.75, "raw buffered, a file a thread")
}
