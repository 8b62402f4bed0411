//! Memory for what is read from files, used again.
//!
//! A consumer that reads a log without maps holds a megabyte of chunks, lets go of them, and wants
//! as many again. The allocator gives so much back to the system each time, which then has to find
//! and clear every page anew: that costs more than the reading.

use std::sync::Arc;

use parking_lot::Mutex;

/// The size of a chunk that is kept: what a scan reads at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Less than half a chunk is allocated: it would pin too much, and the allocator keeps it anyhow.
const SMALL_BYTES: usize = CHUNK_BYTES / 2;

/// How many are kept: two polls of the default `max.partition.fetch.bytes`.
const KEPT_MAX: usize = 32;

/// The chunks that nobody uses at the moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunks(Arc<Mutex<Vec<Vec<u8>>>>);

/// Memory that goes back when it is let go of.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    /// How much of it holds something.
    len: usize,
    home: Option<Chunks>,
}

impl Chunks {
    /// Memory for `len` bytes, filled with anything.
    pub(super) fn take(&self, len: usize) -> Chunk {
        if len <= SMALL_BYTES || len > CHUNK_BYTES {
            return Chunk { bytes: vec![0; len], len, home: None };
        }
        let kept = self.0.lock().pop();
        let bytes = kept.unwrap_or_else(|| vec![0; CHUNK_BYTES]);
        Chunk { bytes, len, home: Some(self.clone()) }
    }
}

impl Chunk {
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// Leaves out what is behind the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let mut kept = home.0.lock();
        if kept.len() < KEPT_MAX {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_and_only_so_many_are_kept() {
        let chunks = Chunks::default();
        let kept = || chunks.0.lock().len();
        let first = chunks.take(CHUNK_BYTES);
        let place = first.as_ref().as_ptr();
        drop(first);
        let mut again = chunks.take(SMALL_BYTES + 1);
        assert_eq!((again.as_ref().as_ptr(), again.as_ref().len()), (place, SMALL_BYTES + 1));
        again.room().fill(7);
        again.truncate(3);
        assert_eq!((again.as_ref(), kept()), (&[7; 3][..], 0));
        let many: Vec<Chunk> = (0..KEPT_MAX).map(|_| chunks.take(CHUNK_BYTES)).collect();
        drop((again, many));
        assert_eq!(kept(), KEPT_MAX);
        // A small one would pin a whole chunk, a large one is none.
        for len in [0, SMALL_BYTES, CHUNK_BYTES + 1] {
            assert_eq!(chunks.take(len).room().len(), len);
            assert_eq!(kept(), KEPT_MAX, "{len}");
        }
    }
}
