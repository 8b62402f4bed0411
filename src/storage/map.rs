//! Files as shared memory: the only unsafe code of the crate that touches memory.
//!
//! A map turns two things into undefined behaviour or a signal that would otherwise be errors: a
//! file that changes or shrinks while it is mapped, and a disk error (SIGBUS). The first is
//! excluded by what is mapped: only bytes that nobody writes any more, in a directory we hold the
//! lock of. The second cannot be excluded, which is why a disk storage can be told not to map.

use std::fs::File;
use std::io;

use bytes::Bytes;

use crate::metrics::{Gauge, Held};

/// The first `len` bytes of `file`, fewer if it is shorter. The pages are read when they are
/// touched, shared with the system's cache, and stay valid after the file is closed, renamed or
/// unlinked.
pub(super) fn map(file: &File, len: u64, gauge: &Gauge) -> io::Result<Bytes> {
    // Behind its end there is nothing to be touched.
    let len = usize::try_from(file.metadata()?.len().min(len)).map_err(io::Error::other)?;
    if len == 0 {
        // An empty map is an error to the operating system.
        return Ok(Bytes::new());
    }
    let mut options = memmap2::MmapOptions::new();
    let options = options.len(len);
    #[expect(unsafe_code, reason = "mapping a file is inherently a promise about other writers")]
    // SAFETY: the map is private to the returned `Bytes` and read-only. What `MmapOptions::map`
    // asks of us is that the bytes are not modified or cut off while mapped:
    // - by this process: `RawFile::map` passes the promise on to its caller, the log, which maps
    //   only what it has published. A segment grows behind that, a failed append is cut back to
    //   it, and what is sealed is replaced by rename and unlink, never rewritten;
    // - by another one: every writer (ours and Kafka's) takes the lock of the directory first,
    //   and the files are created with mode 0600. Who ignores both is outside what a map can
    //   defend against; the documentation of the `mmap` setting says so.
    let map = unsafe { options.map(file)? };
    Ok(Bytes::from_owner(Held::new(map, gauge)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_map_outlives_its_file() {
        let gauge = Gauge::default();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        assert!(map(file.as_file(), 9, &gauge).unwrap().is_empty());
        file.write_all(b"sealed").unwrap();
        assert!(map(file.as_file(), 0, &gauge).unwrap().is_empty());
        let bytes = map(file.as_file(), u64::MAX, &gauge).unwrap();
        let tail = bytes.slice(3..);
        drop(bytes);
        file.close().unwrap();
        assert_eq!((&tail[..], gauge.get()), (&b"led"[..], 6));
        drop(tail);
        assert_eq!(gauge.get(), 0);
    }

    #[test]
    fn a_map_of_a_part_stays_what_it_was_while_the_file_grows() {
        let gauge = Gauge::default();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"published").unwrap();
        let bytes = map(file.as_file(), 9, &gauge).unwrap();
        file.write_all(b" and more").unwrap();
        assert_eq!(map(file.as_file(), 13, &gauge).unwrap(), "published and");
        // An append that failed is cut off behind what was published.
        file.as_file().set_len(9).unwrap();
        assert_eq!((&bytes[..], gauge.get()), (&b"published"[..], 9));
    }
}
