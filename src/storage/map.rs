//! Files as shared memory: the only unsafe code of the crate that touches memory.
//!
//! A map turns two things into undefined behaviour or a signal that would otherwise be errors: a
//! file that changes or shrinks while it is mapped, and a disk error (SIGBUS). The first is
//! excluded by whom we map for: only files nobody writes any more, in a directory we hold the
//! lock of. The second cannot be excluded, which is why a disk storage can be told not to map.

use std::fs::File;
use std::io;

use bytes::Bytes;

use crate::metrics::{Gauge, Held};

/// The whole content of `file` as it is now. The pages are read when they are touched, shared
/// with the system's cache, and stay valid after the file is closed, renamed or unlinked.
pub(super) fn map(file: &File, gauge: &Gauge) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        // An empty map is an error to the operating system.
        return Ok(Bytes::new());
    }
    #[expect(unsafe_code, reason = "mapping a file is inherently a promise about other writers")]
    // SAFETY: the map is private to the returned `Bytes` and read-only. What `Mmap::map` asks of
    // us is that the file is not modified or truncated while mapped:
    // - by this process: `RawFile::map` passes the promise on to its caller, the log, which maps
    //   only segments that are sealed; those are replaced by rename and unlink, never rewritten;
    // - by another one: every writer (ours and Kafka's) takes the lock of the directory first,
    //   and the files are created with mode 0600. Who ignores both is outside what a map can
    //   defend against; the documentation of the `mmap` setting says so.
    let map = unsafe { memmap2::Mmap::map(file)? };
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
        assert!(map(file.as_file(), &gauge).unwrap().is_empty());
        file.write_all(b"sealed").unwrap();
        let bytes = map(file.as_file(), &gauge).unwrap();
        let tail = bytes.slice(3..);
        drop(bytes);
        file.close().unwrap();
        assert_eq!((&tail[..], gauge.get()), (&b"led"[..], 6));
        drop(tail);
        assert_eq!(gauge.get(), 0);
    }
}
