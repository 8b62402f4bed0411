//! The entries of an index file, read in pieces: such a file may be 2 GiB of zeros.

use std::io;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::storage::File;

const PIECE_BYTES: usize = 64 * 1024;
/// The largest index that Kafka makes; nobody waits for the end of a larger one.
pub(super) const INDEX_BYTES_MAX: u64 = 1 << 31;

/// A walk over the entries of `N` bytes in a file.
#[derive(Debug)]
pub(super) struct Entries<const N: usize> {
    file: File,
    len: u64,
    position: u64,
    piece: Bytes,
    /// No byte from the position up to here is set.
    zero_until: u64,
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At<const N: usize> {
    Entry(u64, [u8; N]),
    /// Zeros up to the end: room that is kept for later entries.
    Room(u64),
    /// Fewer bytes than an entry has.
    Rest(u64),
    End,
}

impl<const N: usize> Entries<N> {
    pub(super) fn new(file: File) -> Result<Self> {
        let len = file.len()?;
        if len > INDEX_BYTES_MAX {
            let error = io::Error::new(io::ErrorKind::InvalidData, "no index is so large");
            return Err(Error::io(error, "read", file.path()));
        }
        Ok(Self { file, len, position: 0, piece: Bytes::new(), zero_until: 0 })
    }

    /// What comes next; a file that is cut meanwhile ends there.
    pub(super) fn next(&mut self) -> Result<At<N>> {
        let at = self.position;
        let left = self.len.saturating_sub(at);
        if left == 0 {
            return Ok(At::End);
        }
        if self.piece.len() < N {
            self.piece = self.file.read_at(at, PIECE_BYTES)?;
        }
        let Some(entry) = self.piece.first_chunk::<N>().copied().filter(|_| left >= N as u64)
        else {
            self.position = self.len;
            return Ok(At::Rest(at));
        };
        if entry == [0; N] && left > N as u64 && self.rest_is_zero()? {
            self.position = self.len;
            return Ok(At::Room(at));
        }
        self.piece = self.piece.slice(N..);
        self.position = at + N as u64;
        Ok(At::Entry(at, entry))
    }

    fn rest_is_zero(&mut self) -> Result<bool> {
        let mut at = self.position.max(self.zero_until);
        while at < self.len {
            let piece = self.file.read_at(at, PIECE_BYTES)?;
            if piece.is_empty() {
                break;
            }
            if let Some(set) = piece.iter().position(|byte| *byte != 0) {
                self.zero_until = at + set as u64;
                return Ok(false);
            }
            at += piece.len() as u64;
            self.zero_until = at;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{FileName, FilePath, Open, Storage};

    fn all(bytes: &[u8]) -> Vec<At<4>> {
        let storage = Storage::memory();
        let path = FilePath::root(FileName::new("f").unwrap());
        let file = storage.open(&path, Open::CreateNew).unwrap();
        file.write_all_at(0, bytes).unwrap();
        let mut entries = Entries::new(file).unwrap();
        let mut found = Vec::new();
        loop {
            match entries.next().unwrap() {
                At::End => return found,
                at => found.push(at),
            }
        }
    }

    #[test]
    fn zeros_up_to_the_end_are_room() {
        assert_eq!(all(b""), []);
        assert_eq!(all(b"abcd"), [At::Entry(0, *b"abcd")]);
        assert_eq!(all(b"abcd\0\0\0\0"), [At::Entry(0, *b"abcd"), At::Entry(4, [0; 4])]);
        assert_eq!(all(b"abcd\0\0\0\0\0\0\0\0"), [At::Entry(0, *b"abcd"), At::Room(4)]);
        assert_eq!(all(b"abcdef"), [At::Entry(0, *b"abcd"), At::Rest(4)]);
        let holes = all(b"\0\0\0\0\0\0\0\0abcd\0\0\0\0\0\0\0\0");
        assert_eq!(holes.len(), 4);
        assert_eq!(holes[3], At::Room(12));
    }

    #[test]
    fn entries_go_on_over_the_pieces() {
        let bytes: Vec<u8> = (1..=40_000u32).flat_map(u32::to_be_bytes).collect();
        let found = all(&bytes);
        assert_eq!(found.len(), 40_000);
        assert_eq!(found[39_999], At::Entry(159_996, 40_000u32.to_be_bytes()));
    }
}
