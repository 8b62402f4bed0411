//! Memory that readers hold, counted while it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes there are at the moment. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<AtomicU64>);

impl Gauge {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Memory that is counted until it goes. Made once for what many records share, and kept where its
/// owner is allocated anyhow.
#[derive(Debug)]
pub(crate) struct Held<T> {
    memory: T,
    len: u64,
    gauge: Gauge,
}

impl<T: AsRef<[u8]>> Held<T> {
    pub(crate) fn new(memory: T, gauge: &Gauge) -> Self {
        let len = memory.as_ref().len() as u64;
        gauge.0.fetch_add(len, Ordering::Relaxed);
        Self { memory, len, gauge: gauge.clone() }
    }
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_ref()
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(self.len, Ordering::Relaxed);
    }
}

/// What a storage holds for readers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pinned {
    /// Chunks that were read from files.
    pub(crate) chunks: Gauge,
    /// Mapped files.
    pub(crate) maps: Gauge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_until_it_goes() {
        let gauge = Gauge::default();
        let first = Held::new(vec![1, 2, 3], &gauge);
        let second = Held::new([0; 10], &gauge.clone());
        assert_eq!((gauge.get(), first.as_ref()), (13, &[1, 2, 3][..]));
        drop(first);
        assert_eq!(gauge.get(), 10);
        drop(second);
        assert_eq!(gauge.get(), 0);
    }
}
