//! yaque: a queue in files, one write a call. It has no checksum of what it holds.

use std::ops::Range;
use std::path::{Path, PathBuf};

use yaque::{QueueIter, Sender};

use super::{Key, Log};
use crate::work::payload::Payload;

pub struct Yaque {
    dir: PathBuf,
    sender: Sender,
    buffer: Vec<u8>,
}

impl Log for Yaque {
    const NAME: &'static str = "yaque";

    fn create(dir: &Path, _room: usize) -> Self {
        let sender = Sender::open(dir).unwrap();
        Self { dir: dir.to_owned(), sender, buffer: Vec::new() }
    }

    fn append(&mut self, key: &Key, value: &[u8]) {
        join(&mut self.buffer, key, value);
        self.sender.try_send(&self.buffer).unwrap();
    }

    fn append_batch(&mut self, payload: &Payload, records: Range<usize>) {
        let mut messages = Vec::with_capacity(records.len());
        for i in records {
            let mut message = Vec::with_capacity(8 + payload.size());
            join(&mut message, &payload.key(i), payload.value(i));
            messages.push(message);
        }
        self.sender.try_send_batch(messages).unwrap();
    }

    fn scan(&mut self, mut each: impl FnMut(&[u8], &[u8])) {
        for message in QueueIter::open(&self.dir).unwrap() {
            let message = message.unwrap();
            let (key, value) = message.split_at(8);
            each(key, value);
        }
    }
}

/// A message as the queue holds it: the key, then the value.
pub fn join(buffer: &mut Vec<u8>, key: &Key, value: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(key);
    buffer.extend_from_slice(value);
}
