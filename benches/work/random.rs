//! Reading one record anywhere.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::time::Instant;

use logreel::{Acks, Broker, NewTopic};

use super::limits::write_frames;
use super::measure::{Survives, Unit, Workload};
use super::payload::{Payload, mix};
use super::subject::{self, TOPIC};
use super::{Make, Scale};

pub fn all() -> Vec<(&'static str, Make)> {
    vec![("random", random)]
}

const FRAME: usize = 8 + 8 + 100;

/// A log of batches of 4 KiB, and where one record after the other is read from.
struct Log {
    _dir: tempfile::TempDir,
    broker: Broker,
}

impl Log {
    fn new(payload: &Payload, records: usize, segment_bytes: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = Broker::open(dir.path()).unwrap();
        let topic = NewTopic::new(TOPIC).set("segment.bytes", segment_bytes);
        broker.create_topic(topic).unwrap();
        let producer = subject::lingering(&broker, Acks::Leader, 4096);
        subject::send_all(&producer, payload, records);
        Self { _dir: dir, broker }
    }

    /// Reads `reads` records of the first `among`. Records a second.
    fn read(&self, payload: &Payload, reads: usize, among: usize, crc: bool) -> f64 {
        let partition = self.broker.topic(TOPIC).unwrap().partition(0).unwrap();
        let began = Instant::now();
        for n in 0..reads {
            let offset = (mix(n as u64) % among as u64) as usize;
            let at = offset as i64;
            let read = if crc { partition.get(at) } else { partition.get_without_crc(at) };
            let record = read.unwrap().unwrap();
            assert_eq!(record.offset, offset as i64);
            black_box(&record.value);
            if n % 64 == 0 {
                assert_eq!(record.value.as_deref(), Some(payload.value(offset)));
            }
        }
        reads as f64 / began.elapsed().as_secs_f64()
    }
}

fn random(scale: Scale) -> Workload {
    let payload = Rc::new(Payload::new(100));
    let records = scale.records(1_000_000);
    let reads = scale.records(200_000);
    let raw = tempfile::tempdir().unwrap();
    let path = raw.path().join("raw");
    write_frames(&path, &payload, 0..records, usize::MAX, 65_536);
    let active = Log::new(&payload, records, "1073741824");
    // The last segment is the active one: nothing in it is asked for.
    let sealed = Rc::new(Log::new(&payload, records, "8388608"));
    let among = records - records / 10;
    let crc = Rc::clone(&sealed);
    let (first, second, third) = (Rc::clone(&payload), Rc::clone(&payload), Rc::clone(&payload));
    Workload::new("read one record anywhere, 100 B", "one million records, batches of 4 KiB", Unit::Rate)
        .limit("raw, one pread", Survives::Unasked, move || {
            let _ = &raw;
            let file = File::open(&path).unwrap();
            let mut buffer = [0; FRAME];
            let began = Instant::now();
            for n in 0..reads {
                let i = (mix(n as u64) % records as u64) as usize;
                file.read_exact_at(&mut buffer, (i * FRAME) as u64).unwrap();
                if n % 64 == 0 {
                    assert_eq!(&buffer[16..], payload.value(i));
                }
            }
            reads as f64 / began.elapsed().as_secs_f64()
        })
        .ours("logreel, active segment, no CRC", Survives::Unasked, move || {
            active.read(&first, reads, records, false)
        })
        .ours("logreel, sealed segments, no CRC", Survives::Unasked, move || {
            sealed.read(&second, reads, among, false)
        })
        .ours("logreel, sealed segments, CRC", Survives::Unasked, move || {
            crc.read(&third, reads, among, true)
        })
        .goal("logreel, active segment, no CRC", 1.0, "raw, one pread")
        .goal("logreel, sealed segments, no CRC", 3.0, "raw, one pread")
}
