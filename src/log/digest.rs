//! The digest of a segment that compaction went over.
//!
//! Kafka's checksum covers neither the base offset of a batch nor its length, leader epoch and
//! magic. Where offsets follow without gaps they prove each other; compaction takes that proof away
//! and leaves this in its place: a CRC-32 of every 64 KiB of the file, in a small file beside it,
//! with the size of the file and the offset at which the next segment begins.
//!
//! Each block is checked when a read first touches it, once per open; one that is not what it was
//! is damage from the first batch on that touches it. A digest that is missing or damaged proves
//! nothing; one that is there belongs to the `.log` beside it, which the swap of a compacted
//! segment sees to. So nothing is written to a segment that has one: what cuts it or adds to it
//! removes the digest first.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::framed::{self, Decoded};
use super::names::SegmentFile;
use crate::error::Result;
use crate::storage::{File, FileName, FilePath, Open, Storage};

const KIND: &str = "digest";
const VERSION: u32 = 1;
/// How many bytes one word vouches for: few enough that a read of one record checks them in a few
/// microseconds, enough that the words of a segment of 1 GiB take 144 KiB.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;
/// The words of the largest segment, 2 GiB, fit many times.
const DIGEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the bytes of a segment are.
#[derive(Debug)]
pub(crate) struct Digest {
    /// Where the segment begins that follows.
    pub(crate) next: i64,
    pub(crate) size: u64,
    words: Vec<u32>,
    /// A bit for each block that was found to be sound.
    sound: Vec<AtomicU64>,
}

impl Digest {
    fn new(next: i64, size: u64, words: Vec<u32>) -> Self {
        let sound = (0..words.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { next, size, words, sound }
    }

    /// Checks the blocks that hold these bytes, unless they were checked before. Answers the bytes
    /// of the first block that is not what it was.
    pub(crate) fn check(
        &self,
        touched: Range<u64>,
        read: impl Fn(u64, usize) -> Result<Bytes>,
    ) -> Result<Option<Range<u64>>> {
        let block = BLOCK_BYTES as u64;
        for index in touched.start / block..touched.end.div_ceil(block) {
            let start = index * block;
            let end = self.size.min(start.saturating_add(block)).max(start);
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            let (Some(word), Some(sound)) = (self.words.get(at), self.sound.get(at / 64)) else {
                return Ok(Some(start..touched.end));
            };
            let bit = 1 << (at % 64);
            if sound.load(Ordering::Relaxed) & bit != 0 {
                continue;
            }
            let bytes = read(start, usize::try_from(end - start).unwrap_or(BLOCK_BYTES))?;
            if crc32fast::hash(&bytes) != *word {
                return Ok(Some(start..end));
            }
            sound.fetch_or(bit, Ordering::Relaxed);
        }
        Ok((touched.end > self.size).then_some(self.size..touched.end))
    }

    /// Whether a file is the one this digest was made of, to the last byte.
    pub(crate) fn is_of(&self, file: &File) -> Result<bool> {
        let read = |at, len| file.read_at(at, len);
        Ok(file.len()? == self.size && self.check(0..self.size, read)?.is_none())
    }

    /// The digest beside a segment; `None` when there is none that can be read.
    pub(crate) fn load(
        storage: &Storage,
        dir: &FileName,
        name: FileName,
        base_offset: i64,
    ) -> Result<Option<Self>> {
        let path = FilePath::within(dir, name);
        let Some(file) = storage.open_if_exists(&path, Open::Read)? else { return Ok(None) };
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if len > DIGEST_BYTES_MAX {
            return Ok(None);
        }
        let bytes = file.read_at(0, len)?;
        Ok(match framed::decode(KIND, VERSION, &bytes) {
            Ok(Decoded::Body(body)) => Self::parse(body, base_offset),
            _ => None,
        })
    }

    fn parse(body: &str, base_offset: i64) -> Option<Self> {
        let mut lines = body.lines();
        let mut head = lines.next()?.strip_prefix("segment ")?.split(' ');
        let base: i64 = head.next()?.parse().ok()?;
        let (next, size) = (head.next()?.parse().ok()?, head.next()?.parse().ok()?);
        let words = lines.map(|word| u32::from_str_radix(word, 16).ok());
        let words: Vec<u32> = words.collect::<Option<_>>()?;
        let blocks = usize::try_from(u64::div_ceil(size, BLOCK_BYTES as u64)).ok()?;
        let is_whole = base == base_offset && head.next().is_none() && words.len() == blocks;
        is_whole.then(|| Self::new(next, size, words))
    }

    fn format(&self, base_offset: i64) -> String {
        let mut body = format!("segment {base_offset} {} {}\n", self.next, self.size);
        for word in &self.words {
            // Writing to a String cannot fail.
            let _ = writeln!(body, "{word:08x}");
        }
        framed::encode(KIND, VERSION, &body)
    }

    /// Writes the digest under its name or another, in place of what has that. Its bytes are
    /// durable on return, its name is not.
    pub(crate) fn write(
        &self,
        storage: &Storage,
        dir: &FileName,
        name: FileName,
        base_offset: i64,
    ) -> Result<()> {
        let path = FilePath::within(dir, name);
        storage.remove_if_exists(&path)?;
        let file = storage.open(&path, Open::CreateNew)?;
        file.write_all_at(0, self.format(base_offset).as_bytes())?;
        file.sync()
    }
}

/// Makes the digest of bytes as they are written.
#[derive(Debug, Default)]
pub(crate) struct DigestBuilder {
    words: Vec<u32>,
    size: u64,
    /// Of the block that is not full yet.
    open: crc32fast::Hasher,
    filled: usize,
}

impl DigestBuilder {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.len().min(BLOCK_BYTES - self.filled));
            self.open.update(part);
            self.filled += part.len();
            if self.filled == BLOCK_BYTES {
                self.end_block();
            }
            rest = later;
        }
        self.size += bytes.len() as u64;
    }

    fn end_block(&mut self) {
        self.words.push(std::mem::take(&mut self.open).finalize());
        self.filled = 0;
    }

    /// The digest of a segment that is followed by one which begins at `next`.
    pub(crate) fn finish(mut self, next: i64) -> Digest {
        if self.filled > 0 {
            self.end_block();
        }
        Digest::new(next, self.size, self.words)
    }
}

/// The name of a digest that waits for its segment to take the place of another.
pub(crate) fn waiting_name(base_offset: i64) -> FileName {
    let name = SegmentFile::Digest.name(base_offset);
    // Short enough and without separators.
    FileName::new(&format!("{}.tmp", name.as_str())).unwrap_or(name)
}

/// Removes the digest of a segment that is about to change; durable on return.
pub(crate) fn remove(storage: &Storage, dir: &FileName, base_offset: i64) -> Result<()> {
    let path = FilePath::within(dir, SegmentFile::Digest.name(base_offset));
    storage.remove_if_exists(&path)?;
    // Also where it has gone before: perhaps not for good.
    storage.sync_dir(Some(dir))
}

/// Finds out which digest, the one that waits or the one that is there, is of the segment that is
/// about to take its place; a crash may have left either, or none. The other goes, durably.
/// Answers where the segment begins that is to follow, if a digest is left to tell.
pub(crate) fn settle(
    storage: &Storage,
    dir: &FileName,
    base_offset: i64,
    segment: &File,
) -> Result<Option<i64>> {
    let (waiting, name) = (waiting_name(base_offset), SegmentFile::Digest.name(base_offset));
    let right = |name: &FileName| -> Result<Option<i64>> {
        let digest = Digest::load(storage, dir, name.clone(), base_offset)?;
        let Some(digest) = digest else { return Ok(None) };
        Ok(digest.is_of(segment)?.then_some(digest.next))
    };
    let mut next = right(&waiting)?;
    if next.is_some() {
        storage.rename(Some(dir), &waiting, &name)?;
    } else {
        storage.remove_if_exists(&FilePath::within(dir, waiting))?;
        next = right(&name)?;
        if next.is_none() {
            storage.remove_if_exists(&FilePath::within(dir, name))?;
        }
    }
    storage.sync_dir(Some(dir))?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(bytes: &[u8], step: usize) -> Digest {
        let mut builder = DigestBuilder::default();
        bytes.chunks(step).for_each(|part| builder.add(part));
        builder.finish(50)
    }

    fn first_bad(digest: &Digest, bytes: &[u8], touched: Range<u64>) -> Option<Range<u64>> {
        let read = |at: u64, len: usize| {
            let at = usize::try_from(at).unwrap().min(bytes.len());
            Ok(Bytes::copy_from_slice(&bytes[at..(at + len).min(bytes.len())]))
        };
        digest.check(touched, read).unwrap()
    }

    #[test]
    fn every_size_around_a_block_is_vouched_for() {
        let block = BLOCK_BYTES as u64;
        for size in [0, 1, block - 1, block, block + 1, 65 * block + 7] {
            let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let digest = digest_of(&bytes, 1000);
            assert_eq!(digest.size, size);
            assert_eq!(first_bad(&digest, &bytes, 0..size), None);
            assert_eq!(first_bad(&digest, &bytes, 0..size), None, "checked before");
            assert_eq!(first_bad(&digest, &bytes, 0..size + 1).unwrap().end, size + 1);
            for at in [0, size / 2, size.saturating_sub(1)].into_iter().filter(|at| *at < size) {
                let digest = digest_of(&bytes, BLOCK_BYTES * 2);
                let mut changed = bytes.clone();
                changed[usize::try_from(at).unwrap()] ^= 4;
                let bad = first_bad(&digest, &changed, at..at + 1).unwrap();
                assert!(bad.contains(&at), "{at} of {size}: {bad:?}");
                assert_eq!(bad.start % block, 0);
            }
            let short = &bytes[..bytes.len().saturating_sub(1)];
            assert_eq!(first_bad(&digest_of(&bytes, 99), short, 0..size).is_some(), size > 0);
        }
    }

    #[test]
    fn what_is_written_is_read_and_another_segments_digest_is_none() {
        let storage = Storage::memory();
        let dir = FileName::new("t-0").unwrap();
        storage.create_dir(&dir).unwrap();
        let name = || SegmentFile::Digest.name(7);
        let load = |base| Digest::load(&storage, &dir, name(), base).unwrap();
        assert!(load(7).is_none());
        let digest = digest_of(&[9; 100_000], 77);
        for _ in 0..2 {
            digest.write(&storage, &dir, name(), 7).unwrap();
        }
        let read = load(7).unwrap();
        assert_eq!((read.next, read.size, &read.words), (50, 100_000, &digest.words));
        assert!(load(8).is_none());
        for body in ["segment 7 50 1\n", "segment 7 50 0 1\n", "segment 7 50 1\nx\n", "x\n", ""] {
            assert!(Digest::parse(body, 7).is_none(), "{body:?}");
        }
        assert!(Digest::parse("segment 7 50 0\n", 7).is_some(), "nothing may be left");
        remove(&storage, &dir, 7).unwrap();
        assert!(load(7).is_none());
    }

    #[test]
    fn of_two_digests_the_one_that_is_of_the_segment_stays() {
        let storage = Storage::memory();
        let dir = FileName::new("t-0").unwrap();
        storage.create_dir(&dir).unwrap();
        let segment = FilePath::within(&dir, SegmentFile::Log.name(7));
        let segment = storage.open(&segment, Open::CreateNew).unwrap();
        segment.write_all_at(0, &[1; 100]).unwrap();
        let (right, wrong) = (digest_of(&[1; 100], 9), digest_of(&[2; 100], 9));
        for (waiting, there, stays) in [
            (Some(&right), Some(&wrong), true),
            (Some(&right), None, true),
            (Some(&wrong), Some(&right), true),
            (None, Some(&right), true),
            (None, Some(&wrong), false),
            (Some(&wrong), Some(&wrong), false),
            (None, None, false),
        ] {
            for (name, digest) in [(waiting_name(7), waiting), (SegmentFile::Digest.name(7), there)]
            {
                storage.remove_if_exists(&FilePath::within(&dir, name.clone())).unwrap();
                if let Some(digest) = digest {
                    digest.write(&storage, &dir, name, 7).unwrap();
                }
            }
            let next = settle(&storage, &dir, 7, &segment).unwrap();
            assert_eq!(next, stays.then_some(50));
            let left = Digest::load(&storage, &dir, SegmentFile::Digest.name(7), 7).unwrap();
            assert_eq!(left.is_some_and(|left| left.is_of(&segment).unwrap()), stays);
            assert!(Digest::load(&storage, &dir, waiting_name(7), 7).unwrap().is_none());
        }
    }
}
