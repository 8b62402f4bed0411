//! The bytes of a file that lives in memory.
//!
//! A file is a list of immutable chunks, one per write. A read inside one chunk shares it; what a
//! reader holds never changes, whatever happens to the file: overwriting and cutting only choose
//! other slices. A copy of the whole content is a copy of the list.

use std::io;

use bytes::{Bytes, BytesMut};

/// Where a file that is extended without data takes its zeros from.
static ZEROS: [u8; 4096] = [0; 4096];

/// Bytes in shared, immutable chunks without gaps between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    chunks: Vec<Chunk>,
    len: u64,
}

#[derive(Clone, Debug)]
struct Chunk {
    start: u64,
    /// Never empty.
    bytes: Bytes,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }

    /// The part of this chunk inside `from..to`, which must overlap it.
    fn part(&self, from: u64, to: u64) -> Self {
        let start = from.max(self.start);
        let end = to.min(self.end()).max(start);
        // Both are within the chunk, so they fit.
        let at = |position: u64| usize::try_from(position - self.start).unwrap_or(usize::MAX);
        Self { start, bytes: self.bytes.slice(at(start)..at(end)) }
    }
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Puts bytes at `offset`, over what is there and after zeros where there is nothing yet.
    pub(super) fn write(&mut self, offset: u64, bytes: Bytes) -> io::Result<()> {
        let end = end_of(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        if offset > self.len {
            self.set_len(offset)?;
        }
        if offset == self.len {
            self.chunks.push(Chunk { start: offset, bytes });
            self.len = end;
            return Ok(());
        }
        let first = self.chunks.partition_point(|chunk| chunk.end() <= offset);
        let last = self.chunks.partition_point(|chunk| chunk.start < end);
        let mut new = Vec::with_capacity(3);
        if let Some(chunk) = self.chunks.get(first).filter(|chunk| chunk.start < offset) {
            new.push(chunk.part(0, offset));
        }
        new.push(Chunk { start: offset, bytes });
        let before_last = last.checked_sub(1).and_then(|at| self.chunks.get(at));
        if let Some(chunk) = before_last.filter(|chunk| chunk.end() > end) {
            new.push(chunk.part(end, u64::MAX));
        }
        self.chunks.splice(first..last, new);
        self.len = self.len.max(end);
        Ok(())
    }

    /// At most `len` bytes at `offset`.
    pub(super) fn read(&self, offset: u64, len: usize) -> Bytes {
        let end = offset.saturating_add(len as u64).min(self.len);
        if offset >= end {
            return Bytes::new();
        }
        let first = self.chunks.partition_point(|chunk| chunk.end() <= offset);
        let mut parts = self.chunks.iter().skip(first).take_while(|chunk| chunk.start < end);
        let Some(one) = parts.next() else { return Bytes::new() };
        let one = one.part(offset, end);
        if one.end() >= end {
            return one.bytes;
        }
        let mut copy = BytesMut::with_capacity(usize::try_from(end - offset).unwrap_or(len));
        copy.extend_from_slice(&one.bytes);
        for chunk in parts {
            copy.extend_from_slice(&chunk.part(offset, end).bytes);
        }
        copy.freeze()
    }

    /// Cuts the content, or extends it with zeros.
    pub(super) fn set_len(&mut self, len: u64) -> io::Result<()> {
        end_of(len, 0)?;
        if len < self.len {
            let keep = self.chunks.partition_point(|chunk| chunk.start < len);
            self.chunks.truncate(keep);
            if let Some(last) = self.chunks.last_mut() {
                *last = last.part(0, len);
            }
        }
        while self.len < len {
            let zeros = Bytes::from_static(&ZEROS);
            let chunk = Chunk { start: self.len, bytes: zeros }.part(0, len);
            self.len = chunk.end();
            self.chunks.push(chunk);
        }
        self.len = len;
        Ok(())
    }

    /// The chunks in order.
    #[cfg(feature = "testing")]
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| &*chunk.bytes)
    }
}

/// Where a write ends; an error where a file system would refuse it too.
fn end_of(offset: u64, len: usize) -> io::Result<u64> {
    offset
        .checked_add(len as u64)
        .filter(|end| i64::try_from(*end).is_ok())
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize, Vec<u8>),
        SetLen(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..80usize, proptest::collection::vec(1..255u8, 0..30))
                .prop_map(|(at, bytes)| Step::Write(at, bytes)),
            1 => (0..100usize).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_vector_and_never_changes_what_was_read(
            steps in proptest::collection::vec(step(), 0..40),
        ) {
            let mut content = Content::default();
            let mut model: Vec<u8> = Vec::new();
            let mut seen: Vec<(Bytes, Vec<u8>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Write(start, bytes) => {
                        let end = start + bytes.len();
                        if !bytes.is_empty() && model.len() < end {
                            model.resize(end, 0);
                        }
                        if !bytes.is_empty() {
                            model[start..end].copy_from_slice(&bytes);
                        }
                        content.write(start as u64, bytes.into()).unwrap();
                    }
                    Step::SetLen(len) => {
                        model.resize(len, 0);
                        content.set_len(len as u64).unwrap();
                    }
                }
                prop_assert_eq!(content.len(), model.len() as u64);
                prop_assert_eq!(content.parts().map(<[u8]>::len).sum::<usize>(), model.len());
                for (from, len) in [(0, 200), (3, 5), (17, 1), (20, 40), (99, 9)] {
                    let expected: Vec<u8> = model.iter().skip(from).take(len).copied().collect();
                    let read = content.read(from as u64, len);
                    prop_assert_eq!(&read[..], &expected[..]);
                    seen.push((read, expected));
                }
            }
            for (read, expected) in seen {
                prop_assert_eq!(&read[..], &expected[..]);
            }
        }
    }

    #[test]
    fn a_read_inside_one_write_is_not_copied() {
        let mut content = Content::default();
        let written = Bytes::from(vec![7; 100]);
        content.write(0, written.clone()).unwrap();
        content.write(100, Bytes::from(vec![8; 100])).unwrap();
        let read = content.read(10, 50);
        assert_eq!(read.as_ptr(), written.slice(10..).as_ptr());
        assert_eq!(content.read(90, 20).len(), 20);
    }

    #[test]
    fn offsets_no_file_can_have_are_refused() {
        let mut content = Content::default();
        assert!(content.write(u64::MAX, Bytes::from_static(b"x")).is_err());
        assert!(content.write(i64::MAX as u64, Bytes::from_static(b"x")).is_err());
        assert!(content.set_len(1 << 63).is_err());
        assert_eq!(content.len(), 0);
    }
}
