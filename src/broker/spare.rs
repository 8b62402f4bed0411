//! A buffer that a thread keeps for its next batch.

use std::cell::Cell;

/// A larger buffer is not kept: each thread that appends may hold one for ever.
const KEPT_BYTES_MAX: usize = 256 * 1024;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The buffer this thread kept, if it has room for this much, or a new one.
pub(super) fn take(capacity: usize) -> Vec<u8> {
    // A thread that ends has none.
    let kept = SPARE.try_with(Cell::take).unwrap_or_default();
    if kept.capacity() < capacity { Vec::with_capacity(capacity) } else { kept }
}

/// Keeps a buffer. Its contents stay as they are, so that it need not be cleared again.
pub(super) fn keep(buffer: Vec<u8>) {
    if buffer.capacity() <= KEPT_BYTES_MAX {
        let _ = SPARE.try_with(|spare| spare.set(buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_kept_up_to_its_limit_and_taken_once() {
        keep(Vec::with_capacity(KEPT_BYTES_MAX));
        assert_eq!(take(0).capacity(), KEPT_BYTES_MAX);
        assert_eq!(take(0).capacity(), 0);
        keep(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        assert_eq!(take(0).capacity(), 0);
        keep(vec![7; 100]);
        assert_eq!(std::thread::spawn(|| take(0).capacity()).join().unwrap(), 0);
        assert_eq!(take(100), vec![7; 100]);
        keep(vec![7; 100]);
        assert_eq!((take(101).capacity(), take(0).capacity()), (101, 0), "too small is let go");
    }
}
