//! seglog: one file, allocated before; a buffer of 16 KiB in the process.

use std::ops::Range;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use seglog::read::{ReadHint, Reader};
use seglog::write::Writer;

use super::{Durable, Indexed, Key, Log};
use crate::work::limits::Touch;
use crate::work::payload::{Payload, Sum};

/// Keys are its record headers. It finds a record by its position, so who reads must remember them.
pub struct Seglog {
    path: PathBuf,
    writer: Writer<8>,
    positions: Vec<u64>,
    reader: Option<Reader<8>>,
}

impl Seglog {
    /// A reader of what is synced.
    fn reader(&mut self) -> Reader<8> {
        self.writer.sync().unwrap();
        Reader::open_read_only(&self.path, Some(self.writer.flushed_offset())).unwrap()
    }
}

impl Log for Seglog {
    const NAME: &'static str = "seglog";

    fn create(dir: &Path, room: usize) -> Self {
        let path = dir.join("segment");
        let writer = Writer::create(&path, room, 0).unwrap();
        Self { path, writer, positions: Vec::new(), reader: None }
    }

    fn append(&mut self, key: &Key, value: &[u8]) {
        self.writer.append(key, value).unwrap();
    }

    fn append_batch(&mut self, payload: &Payload, records: Range<usize>) {
        for i in records {
            let (at, _) = self.writer.append(&payload.key(i), payload.value(i)).unwrap();
            self.positions.push(at);
        }
        self.writer.flush_writer().unwrap();
    }

    fn finish(&mut self) {
        self.writer.flush_writer().unwrap();
    }

    fn scan(&mut self, mut each: impl FnMut(&[u8], &[u8])) {
        let mut reader = self.reader();
        let mut records = reader.iter(0);
        while let Some(record) = records.next_record().unwrap() {
            each(&record.header, &record.data);
        }
    }
}

impl Indexed for Seglog {
    fn get(&mut self, i: usize, touch: &mut Touch) {
        if self.reader.is_none() {
            self.reader = Some(self.reader());
        }
        let reader = self.reader.as_mut().unwrap();
        let record = reader.read_record(self.positions[i], ReadHint::Random).unwrap();
        touch.add(&record.header, &record.data);
    }
}

impl Durable for Mutex<Seglog> {
    const NAME: &'static str = Seglog::NAME;

    fn create(dir: &Path, room: usize) -> Self {
        Self::new(Seglog::create(dir, room))
    }

    fn append(&self, _thread: usize, key: &Key, value: &[u8]) {
        let mut log = self.lock();
        log.writer.append(key, value).unwrap();
        log.writer.sync().unwrap();
    }

    fn read_back(&mut self, _threads: usize) -> Sum {
        self.get_mut().read_back()
    }
}
