//! Reading everything in order, page cache warm, checksums verified, every key and value touched.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logreel::{Acks, Broker, OffsetReset};

use super::limits::{Touch, Write, scan_frames, write_frames};
use super::measure::{Survives, Unit, Workload};
use super::payload::{Payload, Sum, shown};
use super::subject::{self, TOPIC};
use super::{Make, Scale};

pub fn all() -> Vec<(&'static str, Make)> {
    vec![
        ("consume", |scale| consume(scale, 100)),
        ("consume-1k", |scale| consume(scale, 1024)),
        ("consume-groups", groups),
    ]
}

/// A directory with the records, and the broker that wrote them: batches of 16 KiB, segments of
/// 16 MiB, so that most is sealed and the last is read beside its writer.
pub struct Filled {
    pub dir: tempfile::TempDir,
    pub broker: Broker,
}

impl Filled {
    pub fn new(payload: &Payload, records: usize, segment_bytes: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = Broker::open(dir.path()).unwrap();
        let topic = logreel::NewTopic::new(TOPIC).set("segment.bytes", segment_bytes);
        broker.create_topic(topic).unwrap();
        let producer = subject::lingering(&broker, Acks::Leader, 16 * 1024);
        subject::send_all(&producer, payload, records);
        Self { dir, broker }
    }

    /// The same, opened by a broker that maps nothing.
    fn without_maps(self) -> Self {
        self.broker.close().unwrap();
        let broker = Broker::builder().dir(self.dir.path()).mmap(false).open().unwrap();
        Self { dir: self.dir, broker }
    }
}

/// Polls until so many records have been seen.
pub fn poll_all(broker: &Broker, group: Option<&str>, records: usize) -> (f64, Sum) {
    let mut builder =
        broker.consumer().auto_offset_reset(OffsetReset::Earliest).max_poll_records(10_000);
    if let Some(group) = group {
        builder = builder.group_id(group).enable_auto_commit(false);
    }
    let consumer = builder.build().unwrap();
    consumer.assign([(TOPIC, 0)]).unwrap();
    let began = Instant::now();
    let mut touch = Touch::default();
    while touch.count() < records {
        for record in &consumer.poll(Duration::ZERO).unwrap() {
            touch.add(record.key().unwrap(), record.value().unwrap());
        }
    }
    (records as f64 / began.elapsed().as_secs_f64(), touch.into())
}

/// A raw scan of the same records.
pub fn raw_scan(path: &Path, records: usize, expected: Sum) -> f64 {
    let began = Instant::now();
    let sum = scan_frames(path);
    let rate = records as f64 / began.elapsed().as_secs_f64();
    assert_eq!(sum, expected);
    rate
}

/// One consumer.
pub fn consume(scale: Scale, size: usize) -> Workload {
    let payload = Payload::new(size);
    let records = super::produce::records(scale, size, 1_000_000);
    let expected = Touch::of(&payload, records);
    let raw = tempfile::tempdir().unwrap();
    write_frames(&raw.path().join("raw"), &payload, 0..records, Write::Bytes(65_536));
    let filled = Rc::new(Filled::new(&payload, records, "16777216"));
    let name = format!("read everything, {}", shown(size));
    let settings = "one consumer, batches of 16 KiB, check.crcs=true, max.poll.records 10000";
    let mut work = Workload::new(name, settings, Unit::Rate)
        .limit("raw scan, 64 KiB a pread, CRC", Survives::Unasked, move || {
            raw_scan(&raw.path().join("raw"), records, expected)
        })
        .ours("logreel", Survives::Unasked, move || {
            let (rate, sum) = poll_all(&filled.broker, None, records);
            assert_eq!(sum, expected);
            rate
        });
    let unmapped = Filled::new(&payload, records, "16777216").without_maps();
    work = work.ours("logreel, mmap(false)", Survives::Unasked, move || {
        let (rate, sum) = poll_all(&unmapped.broker, None, records);
        assert_eq!(sum, expected);
        rate
    });
    work.goal("logreel", 1.2, "raw scan, 64 KiB a pread, CRC")
}

/// Ten consumers of ten groups, on as many threads as there are cores.
pub fn groups(scale: Scale) -> Workload {
    const GROUPS: usize = 10;
    let payload = Payload::new(100);
    let records = scale.records(500_000);
    let expected = Touch::of(&payload, records);
    let filled = Arc::new(Filled::new(&payload, records, "16777216"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let one = Arc::clone(&filled);
    let settings = format!("as above, 10 threads on {cores} cores; the limit is cores x one");
    Workload::new("read everything, 10 groups, 100 B", settings, Unit::Rate)
        .limit("logreel, one consumer, times cores", Survives::Unasked, move || {
            let (rate, sum) = poll_all(&one.broker, Some("one"), records);
            assert_eq!(sum, expected);
            rate * cores as f64
        })
        .ours("logreel, 10 consumers of 10 groups", Survives::Unasked, move || {
            let began = Instant::now();
            std::thread::scope(|scope| {
                for n in 0..GROUPS {
                    let broker = filled.broker.clone();
                    scope.spawn(move || {
                        let (_, sum) = poll_all(&broker, Some(&format!("group-{n}")), records);
                        assert_eq!(sum, expected);
                    });
                }
            });
            (records * GROUPS) as f64 / began.elapsed().as_secs_f64()
        })
        .goal("logreel, 10 consumers of 10 groups", 0.8, "logreel, one consumer, times cores")
}
