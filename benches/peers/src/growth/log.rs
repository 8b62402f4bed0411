//! A log that grows: how fast its end is written and its middle read, and what memory is used while
//! a consumer has stopped near its beginning.

use std::time::{Duration, Instant};

use logreel::{Acks, Broker, Consumer, NewTopic, OffsetReset};

use super::plot::{Curve, Plot, size};
use super::thousands;
use crate::machine;
use crate::work::Scale;
use crate::work::limits::{Touch, Write, write_frames};
use crate::work::payload::{Payload, mix};
use crate::work::subject::{self, TOPIC};

/// A record of 1 KiB takes about as much of the log.
const PER_MIB: usize = 1000;

/// At each size this much is written and read for the measurement, or as much as there is.
const PIECE_MIB: u64 = 64;

/// MiB that must stay free on the disk.
const SPARE: u64 = 2048;

struct Growing {
    broker: Broker,
    payload: Payload,
    records: usize,
}

impl Growing {
    /// Writes up to so many records. Thousands of records a second.
    fn write(&mut self, up_to: usize) -> f64 {
        let producer = subject::lingering(&self.broker, Acks::Leader, 64 * 1024);
        let began = Instant::now();
        for i in self.records..up_to {
            let key = self.payload.key(i);
            let record = logreel::ProducerRecord::to(TOPIC).key(&key[..]);
            producer.send(record.value(self.payload.value(i))).forget();
        }
        producer.flush(subject::LONG).unwrap();
        let rate = thousands(up_to - self.records, began);
        self.records = up_to;
        rate
    }

    fn consumer(&self) -> Consumer {
        let consumer = self.broker.consumer().auto_offset_reset(OffsetReset::Earliest);
        let consumer = consumer.max_poll_records(10_000).build().unwrap();
        consumer.assign([(TOPIC, 0)]).unwrap();
        consumer
    }

    /// Reads so many records from somewhere. Thousands of records a second.
    fn read(&self, count: usize, from: usize) -> f64 {
        let mut expected = Touch::default();
        for i in from..from + count {
            expected.add(&self.payload.key(i), self.payload.value(i));
        }
        let consumer = self.consumer();
        consumer.seek((TOPIC, 0), from as i64).unwrap();
        let (mut touch, began) = (Touch::default(), Instant::now());
        'all: loop {
            for record in &consumer.poll(Duration::ZERO).unwrap() {
                touch.add(record.key().unwrap(), record.value().unwrap());
                if touch.count() == count {
                    break 'all;
                }
            }
        }
        let rate = thousands(count, began);
        assert_eq!(touch, expected);
        rate
    }
}

/// What `/proc/self/status` says of a kind of memory, in MiB.
fn status(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

/// What fits on the disk of these, in MiB.
fn sizes(scale: Scale, dir: &std::path::Path) -> Vec<u64> {
    let largest = if scale == Scale::Test { 8 } else { 8192 };
    let free = (machine::free_space(dir) >> 20).saturating_sub(SPARE);
    let sizes = std::iter::once(1).chain((0..).map(|power| 2 << (2 * power)));
    sizes.take_while(|mib| *mib <= largest && *mib <= free).collect()
}

pub fn grows(scale: Scale) -> Vec<Plot> {
    let dir = tempfile::tempdir().unwrap();
    let sizes = sizes(scale, dir.path());
    let broker = Broker::open(dir.path()).unwrap();
    broker.create_topic(NewTopic::new(TOPIC).set("segment.bytes", "268435456")).unwrap();
    let mut log = Growing { broker, payload: Payload::new(1024), records: 0 };
    log.write(100);
    let stopped = log.consumer();
    let (mut written, mut read, mut limit) = (Vec::new(), Vec::new(), Vec::new());
    let mut memory: [Vec<f64>; 3] = Default::default();
    for mib in &sizes {
        let piece = PER_MIB * usize::try_from((*mib / 2).clamp(1, PIECE_MIB)).unwrap();
        let size = PER_MIB * usize::try_from(*mib).unwrap();
        log.write((size - piece).max(log.records));
        // What the system holds back from the disk slows whoever writes next.
        log.broker.topic(TOPIC).unwrap().partition(0).unwrap().sync().unwrap();
        // A new file each time: one before would have given back memory to be used again.
        let raw = dir.path().join(format!("raw-{mib}"));
        limit.push(write_frames(&raw, &log.payload, 0..piece, Write::Bytes(65_536)) / 1e3);
        written.push(log.write(size));
        // It works on a few of all that it has not read.
        let slow = stopped.poll(Duration::ZERO).unwrap();
        assert!(!slow.is_empty());
        let metrics = log.broker.metrics();
        let held = metrics.chunk_bytes + metrics.decompressed_bytes + metrics.buffered_bytes;
        for (values, value) in memory.iter_mut().zip([
            status("VmRSS:"),
            status("RssAnon:"),
            held as f64 / f64::from(1 << 20),
        ]) {
            values.push(value);
        }
        drop(slow);
        let from = mix(*mib) as usize % (size - piece).max(1);
        // The first time it may come from the disk.
        log.read(piece, from);
        read.push(log.read(piece, from));
    }
    drop(stopped);
    log.broker.close().unwrap();
    let places: Vec<String> = sizes.iter().map(|mib| size(*mib)).collect();
    let curve = |name: &str, values| Curve { name: name.to_owned(), values };
    let [resident, heap, held] = memory;
    vec![
        Plot {
            file: "size.svg",
            title: "Throughput as the log grows, 1 KiB records, acks=1".to_owned(),
            x: "size of the log",
            y: "thousand records/s",
            places: places.clone(),
            curves: vec![
                curve("produce at its end", written),
                curve("consume anywhere", read),
                curve("raw writes of 64 KiB to another file", limit),
            ],
            log: false,
        },
        Plot {
            file: "lag.svg",
            title: "Memory while a consumer falls behind".to_owned(),
            x: "how far it is behind",
            y: "MiB",
            places,
            curves: vec![
                curve("resident (with what others read of maps)", resident),
                curve("heap and stacks", heap),
                curve("chunks and batches it holds", held),
            ],
            log: false,
        },
    ]
}
