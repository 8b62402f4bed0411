//! Writing what must survive a power cut.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use logreel::{Acks, Broker, NewTopic, ProducerRecord};

use super::goal::Against;
use super::limits::{Prepared, synced_frames};
use super::measure::{Survives, Unit, Workload};
use super::payload::{Payload, shown};
use super::subject::{self, TOPIC};
use super::{Make, Scale};

pub fn all() -> Vec<(&'static str, Make)> {
    vec![
        ("durable", |scale| one_waits(scale, 100)),
        ("durable-1k", |scale| one_waits(scale, 1024)),
        ("durable-threads", |scale| eight_wait(scale, 100)),
        ("durable-send", |scale| nobody_waits(scale, 100)),
    ]
}

/// The contestant whose file is as long as it will be before anything is written.
pub const PREALLOCATED: &str = "logreel, preallocate=true";

fn broker(dir: &std::path::Path, preallocate: bool) -> Broker {
    let broker = Broker::open(dir).unwrap();
    let topic = NewTopic::new(TOPIC).set("preallocate", if preallocate { "true" } else { "false" });
    broker.create_topic(topic).unwrap();
    broker
}

/// One thread that waits for every record.
pub fn one_waits(scale: Scale, size: usize) -> Workload {
    let payload = Rc::new(Payload::new(size));
    let records = scale.records(1_000);
    let expected = payload.sum(records);
    let name = format!("durable, one waits for each, {}", shown(size));
    let mut work =
        Workload::new(name, "one thread, one partition, acks=all, linger.ms 0", Unit::Rate);
    for (name, prepared) in [
        ("raw append + fdatasync, extending", Prepared::Extending),
        ("raw append + fdatasync, zeros written before", Prepared::Zeros),
    ] {
        let payload = Rc::clone(&payload);
        work = work.limit(name, Survives::Power, move || {
            let dir = tempfile::tempdir().unwrap();
            synced_frames(&dir.path().join("raw"), &payload, (records, 1), prepared)
        });
    }
    for (name, preallocate) in [("logreel", false), (PREALLOCATED, true)] {
        let payload = Rc::clone(&payload);
        work = work.ours(name, Survives::Power, move || {
            let dir = tempfile::tempdir().unwrap();
            let broker = broker(dir.path(), preallocate);
            let producer = broker.producer().acks(Acks::All).build().unwrap();
            // What the first record of a topic pays once.
            producer.send(ProducerRecord::to(TOPIC).key("").value("")).wait().unwrap();
            let began = Instant::now();
            for i in 0..records {
                let key = payload.key(i);
                let record = ProducerRecord::to(TOPIC).key(&key[..]).value(payload.value(i));
                producer.send(record).wait().unwrap();
            }
            let rate = records as f64 / began.elapsed().as_secs_f64();
            let mut expected = expected;
            expected.add(b"", b"");
            assert_eq!(subject::read_back(&broker), expected);
            rate
        });
    }
    work = work.goal("logreel", 0.95, "raw append + fdatasync, extending");
    if work.has(PREALLOCATED) {
        work = work.goal(PREALLOCATED, 0.95, "raw append + fdatasync, zeros written before");
    }
    work
}

/// Eight threads on one partition, each waits for its records.
pub fn eight_wait(scale: Scale, size: usize) -> Workload {
    const THREADS: usize = 8;
    const RAW: &str = "raw, 8 records a fdatasync, extending";
    let payload = Arc::new(Payload::new(size));
    let each = scale.records(500);
    let expected = payload.sum(each * THREADS);
    let raw = Arc::clone(&payload);
    let name = format!("durable, 8 threads wait for each, {}", shown(size));
    Workload::new(name, "one partition, one producer, acks=all, linger.ms 0", Unit::Rate)
        .limit(RAW, Survives::Power, move || {
            let dir = tempfile::tempdir().unwrap();
            synced_frames(&dir.path().join("raw"), &raw, (each, THREADS), Prepared::Extending)
        })
        .ours("logreel", Survives::Power, move || {
            let dir = tempfile::tempdir().unwrap();
            let broker = broker(dir.path(), false);
            let producer = broker.producer().acks(Acks::All).build().unwrap();
            let began = Instant::now();
            std::thread::scope(|scope| {
                for n in 0..THREADS {
                    let (producer, payload) = (producer.clone(), &*payload);
                    scope.spawn(move || {
                        for i in n * each..(n + 1) * each {
                            let key = payload.key(i);
                            let record =
                                ProducerRecord::to(TOPIC).key(&key[..]).value(payload.value(i));
                            producer.send(record).wait().unwrap();
                        }
                    });
                }
            });
            let rate = (each * THREADS) as f64 / began.elapsed().as_secs_f64();
            assert_eq!(subject::read_back(&broker), expected);
            rate
        })
        .goal("logreel", 0.6, RAW)
        .stretch("logreel", 0.8, Against::One(RAW))
}

/// One thread that does not wait, with acks=all and with acks=1.
pub fn nobody_waits(scale: Scale, size: usize) -> Workload {
    let payload = Rc::new(Payload::new(size));
    let records = scale.records(1_000_000);
    let expected = payload.sum(records);
    let settings = "one thread, one partition, batch.size 64 KiB, linger.ms 20";
    let name = format!("durable, nobody waits, {}", shown(size));
    let mut work = Workload::new(name, settings, Unit::Rate);
    for (name, acks, survives) in [
        ("logreel, acks=1", Acks::Leader, Survives::Process),
        ("logreel, acks=all", Acks::All, Survives::Power),
    ] {
        let payload = Rc::clone(&payload);
        work = work.ours(name, survives, move || {
            let dir = tempfile::tempdir().unwrap();
            let broker = broker(dir.path(), false);
            let producer = subject::lingering(&broker, acks, 64 * 1024);
            let rate = subject::send_all(&producer, &payload, records);
            assert_eq!(subject::read_back(&broker), expected);
            rate
        });
    }
    work.goal("logreel, acks=all", 0.5, "logreel, acks=1")
}
