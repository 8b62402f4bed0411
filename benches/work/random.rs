//! Reading one record anywhere.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::time::Instant;

use logreel::{Acks, Broker, NewTopic};

use super::limits::{Touch, Write, write_frames};
use super::measure::{Survives, Unit, Workload};
use super::payload::{Payload, Sum, mix};
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

    /// Reads records, each by its offset. Records a second.
    fn read(&self, places: &Places, crc: bool) -> f64 {
        let partition = self.broker.topic(TOPIC).unwrap().partition(0).unwrap();
        places.read(|i, touch| {
            let offset = i as i64;
            let read = if crc { partition.get(offset) } else { partition.get_without_crc(offset) };
            let record = read.unwrap().unwrap();
            assert_eq!(record.offset, offset);
            touch.add(&record.key.unwrap(), &record.value.unwrap());
        })
    }
}

/// Which records are read, the same for everybody.
pub struct Places {
    reads: usize,
    among: usize,
    expected: Sum,
}

impl Places {
    /// So many of the first `among`.
    pub fn new(payload: &Payload, reads: usize, among: usize) -> Self {
        let mut places = Self { reads, among, expected: Sum::default() };
        let mut touch = Touch::default();
        places.each(|i| touch.add(&payload.key(i), payload.value(i)));
        places.expected = touch.into();
        places
    }

    fn each(&self, mut read: impl FnMut(usize)) {
        for n in 0..self.reads {
            read((mix(n as u64) % self.among as u64) as usize);
        }
    }

    /// Reads them one after the other and checks what came. Records a second.
    pub fn read(&self, mut read: impl FnMut(usize, &mut Touch)) -> f64 {
        let mut touch = Touch::default();
        let began = Instant::now();
        self.each(|i| read(i, &mut touch));
        let rate = self.reads as f64 / began.elapsed().as_secs_f64();
        assert_eq!(Sum::from(touch), self.expected);
        rate
    }
}

fn random(scale: Scale) -> Workload {
    let payload = Rc::new(Payload::new(100));
    let records = scale.records(1_000_000);
    let reads = scale.records(200_000);
    let raw = tempfile::tempdir().unwrap();
    let path = raw.path().join("raw");
    write_frames(&path, &payload, 0..records, Write::Bytes(65_536));
    let active = Log::new(&payload, records, "1073741824");
    // The last segment is the active one: nothing in it is asked for.
    let sealed = Rc::new(Log::new(&payload, records, "8388608"));
    let among = records - records / 10;
    let crc = Rc::clone(&sealed);
    let anywhere = Rc::new(Places::new(&payload, reads, records));
    let of_active = Rc::clone(&anywhere);
    let of_sealed = Rc::new(Places::new(&payload, reads, among));
    let of_checked = Rc::clone(&of_sealed);
    let settings = "one million records, one partition, batches of 4 KiB, one thread";
    Workload::new("read one record anywhere, 100 B", settings, Unit::Rate)
        .limit("raw, one pread", Survives::Unasked, move || {
            let _ = &raw;
            let file = File::open(&path).unwrap();
            let mut buffer = [0; FRAME];
            anywhere.read(|i, touch| {
                file.read_exact_at(&mut buffer, (i * FRAME) as u64).unwrap();
                touch.add(&buffer[8..16], &buffer[16..]);
            })
        })
        .ours("logreel, active segment, no CRC", Survives::Unasked, move || {
            active.read(&of_active, false)
        })
        .ours("logreel, sealed segments, no CRC", Survives::Unasked, move || {
            sealed.read(&of_sealed, false)
        })
        .ours("logreel, sealed segments, CRC", Survives::Unasked, move || {
            crc.read(&of_checked, true)
        })
        .goal("logreel, active segment, no CRC", 1.0, "raw, one pread")
        .goal("logreel, sealed segments, no CRC", 3.0, "raw, one pread")
}
