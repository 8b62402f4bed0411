//! One producer, one consumer that waits: how long a record takes, and how many a second.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logreel::{Acks, Broker, Consumer, NewTopic, OffsetReset, Producer, ProducerRecord};

use super::measure::{Survives, Unit, Workload, median};
use super::payload::Payload;
use super::subject::TOPIC;
use super::{Make, Scale};

pub fn all() -> Vec<(&'static str, Make)> {
    vec![("bus-latency", latency), ("bus-rate", rate)]
}

/// Records a second in the latency workload.
pub const PACE: u64 = 10_000;

/// Both ends of a bus.
pub struct Bus {
    broker: Broker,
    producer: Producer,
    consumer: Consumer,
}

impl Bus {
    pub fn new(dir: Option<&Path>, linger: Duration) -> Self {
        let broker = dir.map_or_else(Broker::in_memory, |dir| Broker::open(dir).unwrap());
        broker.create_topic(NewTopic::new(TOPIC)).unwrap();
        let producer = broker.producer().acks(Acks::Leader).linger(linger).build().unwrap();
        let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest);
        let consumer = consumer.max_poll_records(10_000).build().unwrap();
        consumer.assign([(TOPIC, 0)]).unwrap();
        Self { broker, producer, consumer }
    }
}

/// Sends `count` messages, one every `1 / PACE` seconds, through `send`; each is the time it was
/// sent at, in nanoseconds since `began`. Spins between them, as sleeping is too coarse.
pub fn paced(began: Instant, count: usize, mut send: impl FnMut([u8; 8])) {
    let gap = Duration::from_nanos(1_000_000_000 / PACE);
    for i in 0..count {
        let at = gap * i as u32;
        while began.elapsed() < at {
            std::hint::spin_loop();
        }
        send((began.elapsed().as_nanos() as u64).to_le_bytes());
    }
}

/// How long ago a message was sent, in seconds.
pub fn age(began: Instant, message: &[u8]) -> f64 {
    let sent = u64::from_le_bytes(*message.first_chunk().unwrap());
    (began.elapsed().as_nanos() as u64).saturating_sub(sent) as f64 / 1e9
}

/// The median latency of what a receiver saw; the first tenth is warming up.
pub fn middle(ages: &[f64]) -> f64 {
    median(&ages[ages.len() / 10..])
}

fn ours_paced(dir: Option<&Path>, count: usize) -> f64 {
    let bus = Bus::new(dir, Duration::ZERO);
    let began = Instant::now();
    let ages = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut ages = Vec::with_capacity(count);
            while ages.len() < count {
                for record in &bus.consumer.poll(Duration::from_secs(10)).unwrap() {
                    ages.push(age(began, record.value().unwrap()));
                }
            }
            ages
        });
        paced(began, count, |message| {
            bus.producer.send(ProducerRecord::to(TOPIC).value(&message[..])).wait().unwrap();
        });
        receiver.join().unwrap()
    });
    let _ = &bus.broker;
    middle(&ages)
}

/// A receiver that sleeps on a condition variable: what any of them must do at least.
fn parked(count: usize) -> f64 {
    let shared = Arc::new((parking_lot::Mutex::new(Vec::new()), parking_lot::Condvar::new()));
    let began = Instant::now();
    let other = Arc::clone(&shared);
    let receiver = std::thread::spawn(move || {
        let mut ages = Vec::with_capacity(count);
        while ages.len() < count {
            let mut queue = other.0.lock();
            while queue.is_empty() {
                other.1.wait(&mut queue);
            }
            let taken: Vec<[u8; 8]> = std::mem::take(&mut *queue);
            drop(queue);
            ages.extend(taken.iter().map(|message| age(began, message)));
        }
        ages
    });
    paced(began, count, |message| {
        shared.0.lock().push(message);
        shared.1.notify_one();
    });
    middle(&receiver.join().unwrap())
}

fn latency(scale: Scale) -> Workload {
    let count = scale.records(10_000);
    let settings = "10 000 messages of 8 bytes a second, receiver parked, acks=1, linger.ms 0";
    Workload::new("bus, median latency", settings, Unit::Time)
        .limit("mutex and condition variable", Survives::Nothing, move || parked(count))
        .ours("logreel on disk", Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            ours_paced(Some(dir.path()), count)
        })
        .ours("logreel in memory", Survives::Nothing, move || ours_paced(None, count))
}

fn ours_flat_out(dir: Option<&Path>, payload: &Payload, count: usize) -> f64 {
    let bus = Bus::new(dir, Duration::from_millis(1));
    let expected = payload.sum(count);
    let began = Instant::now();
    let (took, sum) = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut sum = super::payload::Sum::default();
            while sum.count < count {
                for record in &bus.consumer.poll(Duration::from_secs(10)).unwrap() {
                    sum.add(record.key().unwrap(), record.value().unwrap());
                }
            }
            (began.elapsed(), sum)
        });
        for i in 0..count {
            let key = payload.key(i);
            let record = ProducerRecord::to(TOPIC).key(&key[..]).value(payload.value(i));
            bus.producer.send(record).forget();
        }
        receiver.join().unwrap()
    });
    assert_eq!(sum, expected);
    count as f64 / took.as_secs_f64()
}

/// A bounded channel of owned messages from the standard library.
fn std_channel(payload: &Payload, count: usize) -> f64 {
    let (sender, receiver) = std::sync::mpsc::sync_channel::<([u8; 8], Vec<u8>)>(CAPACITY);
    let expected = payload.sum(count);
    let began = Instant::now();
    let (took, sum) = std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let mut sum = super::payload::Sum::default();
            for (key, value) in receiver {
                sum.add(&key, &value);
            }
            (began.elapsed(), sum)
        });
        for i in 0..count {
            sender.send((payload.key(i), payload.value(i).to_vec())).unwrap();
        }
        drop(sender);
        receiver.join().unwrap()
    });
    assert_eq!(sum, expected);
    count as f64 / took.as_secs_f64()
}

/// Messages a channel of the bus workload holds.
pub const CAPACITY: usize = 1024;

fn rate(scale: Scale) -> Workload {
    let payload = Arc::new(Payload::new(100));
    let count = scale.records(500_000);
    let (memory, disk) = (Arc::clone(&payload), Arc::clone(&payload));
    let settings = "one producer that does not wait, one tailing consumer, acks=1, linger.ms 1";
    Workload::new("bus, as fast as it goes, 100 B", settings, Unit::Rate)
        .limit("std mpsc::sync_channel of 1024", Survives::Nothing, move || {
            std_channel(&payload, count)
        })
        .ours("logreel on disk", Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            ours_flat_out(Some(dir.path()), &disk, count)
        })
        .ours("logreel in memory", Survives::Nothing, move || ours_flat_out(None, &memory, count))
}
