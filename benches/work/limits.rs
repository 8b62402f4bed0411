//! What the machine allows: files written and read with as little code as does the same thing.
//!
//! A frame is four bytes of length, four of CRC-32C, key and value.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use super::payload::{Payload, Sum};

const KEY: usize = 8;
const FRAME: usize = 8;

/// Appends the frame of a record.
#[inline]
pub fn frame(payload: &Payload, i: usize, into: &mut Vec<u8>) {
    let (key, value) = (payload.key(i), payload.value(i));
    let at = into.len();
    into.extend_from_slice(&((KEY + value.len()) as u32).to_be_bytes());
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&key);
    into.extend_from_slice(value);
    let crc = crc_fast::crc32_iscsi(&into[at + FRAME..]);
    into[at + 4..at + FRAME].copy_from_slice(&crc.to_be_bytes());
}

/// When frames are written.
#[derive(Clone, Copy, Debug)]
pub enum Write {
    /// As soon as so many have come together.
    Records(usize),
    /// As soon as they are so many bytes.
    Bytes(usize),
}

/// Writes the frames of records. Answers how many a second; what was written is for
/// [`check_frames`].
pub fn write_frames(
    path: &Path,
    payload: &Payload,
    records: std::ops::Range<usize>,
    when: Write,
) -> f64 {
    let (together, bytes) = match when {
        Write::Records(count) => (count, usize::MAX),
        Write::Bytes(bytes) => (usize::MAX, bytes),
    };
    let file = File::create(path).unwrap();
    let count = records.len();
    let began = Instant::now();
    let (mut buffer, mut at, mut held) = (Vec::with_capacity(1 << 17), 0, 0);
    for i in records {
        frame(payload, i, &mut buffer);
        held += 1;
        if held == together || buffer.len() >= bytes {
            file.write_all_at(&buffer, at).unwrap();
            at += buffer.len() as u64;
            buffer.clear();
            held = 0;
        }
    }
    file.write_all_at(&buffer, at).unwrap();
    count as f64 / began.elapsed().as_secs_f64()
}

/// Reads frames back and checks them.
pub fn check_frames(path: &Path, payload: &Payload, records: std::ops::Range<usize>) {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = &bytes[..];
    for i in records {
        let mut expected = Vec::new();
        frame(payload, i, &mut expected);
        let (found, behind) = rest.split_at(expected.len());
        assert_eq!(found, expected, "record {i}");
        rest = behind;
    }
    assert!(rest.is_empty());
}

/// Reads a file of frames in chunks of 64 KiB, checks each CRC and sums up every record.
pub fn scan_frames(path: &Path) -> Sum {
    let file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len();
    let mut buffer = vec![0; 65_536];
    let (mut at, mut sum) = (0, Touch::default());
    while at < len {
        let read = file.read_at(&mut buffer, at).unwrap();
        let used = touch_frames(&buffer[..read], &mut sum);
        at += used as u64;
    }
    sum.into()
}

/// Checks the whole frames at the start of `bytes` and touches their records. Answers their size.
pub fn touch_frames(bytes: &[u8], touch: &mut Touch) -> usize {
    let mut used = 0;
    while let Some(head) = bytes[used..].first_chunk::<FRAME>() {
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let crc = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let Some(body) = bytes[used..].get(FRAME..FRAME + size) else { break };
        assert_eq!(crc_fast::crc32_iscsi(body), crc);
        touch.add(&body[..KEY], &body[KEY..]);
        used += FRAME + size;
    }
    used
}

/// Touches every key and value, without making the touching the work: the first eight and the last
/// eight bytes of each, and a byte of every cache line between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    count: usize,
    sum: u64,
}

impl Touch {
    #[inline]
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(word(key));
        for line in value.chunks(64) {
            self.sum = self.sum.wrapping_add(word(line));
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// What it comes to over the first `records`.
    pub fn of(payload: &Payload, records: usize) -> Sum {
        let mut touch = Self::default();
        for i in 0..records {
            touch.add(&payload.key(i), payload.value(i));
        }
        touch.into()
    }
}

#[inline]
fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => bytes.iter().map(|byte| u64::from(*byte)).sum(),
    }
}

impl From<Touch> for Sum {
    fn from(touch: Touch) -> Self {
        Self::of(touch.count, touch.sum)
    }
}

/// How a file that is synced after every append has been prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// It grows with every append.
    Extending,
    /// All of it has been written with zeros, and synced.
    Zeros,
}

/// Appends `syncs` times `together` frames, each time with `fdatasync`. Records a second.
pub fn synced_frames(
    path: &Path,
    payload: &Payload,
    (syncs, together): (usize, usize),
    prepared: Prepared,
) -> f64 {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path).unwrap();
    let records = syncs * together;
    if prepared == Prepared::Zeros {
        let size = records * (FRAME + KEY + payload.size());
        file.write_all_at(&vec![0; size], 0).unwrap();
        file.sync_all().unwrap();
    }
    let began = Instant::now();
    let (mut buffer, mut at) = (Vec::new(), 0);
    for sync in 0..syncs {
        buffer.clear();
        for i in sync * together..(sync + 1) * together {
            frame(payload, i, &mut buffer);
        }
        file.write_all_at(&buffer, at).unwrap();
        file.sync_data().unwrap();
        at += buffer.len() as u64;
    }
    let rate = records as f64 / began.elapsed().as_secs_f64();
    check_frames(path, payload, 0..records);
    rate
}
