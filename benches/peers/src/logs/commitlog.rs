//! commitlog: one write a call, an index entry a record in a map. Its `flush` never syncs.

use std::ops::Range;
use std::path::Path;

use commitlog::message::{MessageBuf, MessageSet as _};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use super::{Indexed, Key, Log};
use crate::work::limits::Touch;
use crate::work::payload::Payload;

const READ: usize = 64 * 1024;

/// Keys are its metadata.
pub struct Commitlog {
    log: CommitLog,
    messages: MessageBuf,
}

impl Log for Commitlog {
    const NAME: &'static str = "commitlog";

    fn create(dir: &Path, _room: usize) -> Self {
        let log = CommitLog::new(LogOptions::new(dir.join("log"))).unwrap();
        Self { log, messages: MessageBuf::default() }
    }

    fn append(&mut self, key: &Key, value: &[u8]) {
        self.messages.clear();
        self.messages.push_with_metadata(key, value).unwrap();
        self.log.append(&mut self.messages).unwrap();
    }

    fn append_batch(&mut self, payload: &Payload, records: Range<usize>) {
        self.messages.clear();
        for i in records {
            self.messages.push_with_metadata(payload.key(i), payload.value(i)).unwrap();
        }
        self.log.append(&mut self.messages).unwrap();
    }

    fn scan(&mut self, mut each: impl FnMut(&[u8], &[u8])) {
        let mut at = 0;
        loop {
            // It checks the CRC of each message when it reads.
            let messages = self.log.read(at, ReadLimit::max_bytes(READ)).unwrap();
            if messages.is_empty() {
                return;
            }
            for message in messages.iter() {
                each(message.metadata(), message.payload());
                at = message.offset() + 1;
            }
        }
    }
}

impl Indexed for Commitlog {
    fn get(&mut self, i: usize, touch: &mut Touch) {
        // Room for one record of 100 bytes, with key and header, and not for two.
        let messages = self.log.read(i as u64, ReadLimit::max_bytes(200)).unwrap();
        let message = messages.iter().next().unwrap();
        touch.add(message.metadata(), message.payload());
    }
}
