//! raft-engine: logs of many groups in one, with group commit; an index of every entry in memory.

use std::ops::Range;
use std::path::Path;

use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::{Durable, Indexed, Key, Log};
use crate::work::limits::Touch;
use crate::work::payload::{Payload, Sum};

/// An entry is a protobuf message. This one comes with the protobuf crate and has what an entry of
/// a log needs: a number and bytes.
type Entry = UninterpretedOption;

struct Numbered;

impl MessageExt for Numbered {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

const GROUP: u64 = 1;

pub struct RaftEngine {
    engine: Engine,
    batch: LogBatch,
    next: u64,
}

fn entry(number: u64, key: &Key, value: &[u8]) -> Entry {
    let mut entry = Entry::new();
    entry.set_positive_int_value(number);
    entry.set_string_value([&key[..], value].concat());
    entry
}

impl RaftEngine {
    fn scan_group(&self, group: u64, mut each: impl FnMut(&[u8], &[u8])) {
        const STEP: u64 = 1000;
        let Some(last) = self.engine.last_index(group) else { return };
        let (mut entries, mut at) = (Vec::new(), 1);
        while at <= last {
            let end = (at + STEP).min(last + 1);
            self.engine.fetch_entries_to::<Numbered>(group, at, end, None, &mut entries).unwrap();
            for entry in entries.drain(..) {
                let (key, value) = entry.get_string_value().split_at(8);
                each(key, value);
            }
            at = end;
        }
    }
}

impl Log for RaftEngine {
    const NAME: &'static str = "raft-engine";

    fn create(dir: &Path, _room: usize) -> Self {
        let config = Config {
            dir: dir.to_str().unwrap().to_owned(),
            // Random bytes do not become fewer.
            batch_compression_threshold: ReadableSize(0),
            ..Config::default()
        };
        Self { engine: Engine::open(config).unwrap(), batch: LogBatch::default(), next: 1 }
    }

    fn append(&mut self, key: &Key, value: &[u8]) {
        let entry = entry(self.next, key, value);
        self.next += 1;
        self.batch.add_entries::<Numbered>(GROUP, &[entry]).unwrap();
        self.engine.write(&mut self.batch, false).unwrap();
    }

    fn append_batch(&mut self, payload: &Payload, records: Range<usize>) {
        let numbered = (self.next..).zip(records);
        let entries: Vec<Entry> =
            numbered.map(|(number, i)| entry(number, &payload.key(i), payload.value(i))).collect();
        self.next += entries.len() as u64;
        self.batch.add_entries::<Numbered>(GROUP, &entries).unwrap();
        self.engine.write(&mut self.batch, false).unwrap();
    }

    fn scan(&mut self, each: impl FnMut(&[u8], &[u8])) {
        self.scan_group(GROUP, each);
    }
}

impl Indexed for RaftEngine {
    fn get(&mut self, i: usize, touch: &mut Touch) {
        let entry = self.engine.get_entry::<Numbered>(GROUP, i as u64 + 1).unwrap().unwrap();
        let (key, value) = entry.get_string_value().split_at(8);
        touch.add(key, value);
    }
}

/// A group a thread, as each must number its entries without gaps.
impl Durable for RaftEngine {
    const NAME: &'static str = <Self as Log>::NAME;

    fn create(dir: &Path, room: usize) -> Self {
        <Self as Log>::create(dir, room)
    }

    fn append(&self, thread: usize, key: &Key, value: &[u8]) {
        let group = thread as u64 + 1;
        let number = self.engine.last_index(group).unwrap_or(0) + 1;
        let mut batch = LogBatch::default();
        batch.add_entries::<Numbered>(group, &[entry(number, key, value)]).unwrap();
        self.engine.write(&mut batch, true).unwrap();
    }

    fn read_back(&mut self, threads: usize) -> Sum {
        let mut sum = Sum::default();
        for group in 1..=threads as u64 {
            self.scan_group(group, |key, value| sum.add(key, value));
        }
        sum
    }
}
