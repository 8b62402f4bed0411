//! How long something took, counted in buckets that are an eighth wide.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets to a power of two: a value is told to an eighth.
const STEPS: u64 = 8;
/// Longer than 2^42 ns (73 minutes) counts as that; only the maximum is exact then.
const TOP_BIT: u32 = 42;
/// One for each of 0 to 7 ns, and eight for each power of two from there on.
const BUCKETS: usize = 320;

/// A histogram that any number of threads add to without a lock. 2.5 KiB.
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = [const { AtomicU64::new(0) }; BUCKETS];
        Self { buckets, sum: AtomicU64::new(0), max: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Something took so long.
    pub(crate) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
        if nanos > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(nanos, Ordering::Relaxed);
        }
        if let Some(bucket) = self.buckets.get(bucket_of(nanos)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What has been recorded so far.
    pub(crate) fn summary(&self) -> Latency {
        let buckets: Vec<u64> = self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        Latency {
            count: buckets.iter().sum(),
            sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)),
            max: Duration::from_nanos(self.max.load(Ordering::Relaxed)),
            buckets,
        }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary().fmt(f)
    }
}

/// Which bucket a value belongs to.
fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.min((1 << TOP_BIT) - 1);
    let Some(shift) = nanos.checked_ilog2().and_then(|top| top.checked_sub(STEPS.ilog2())) else {
        return usize::try_from(nanos).unwrap_or(0);
    };
    let bucket = u64::from(shift) * STEPS + (nanos >> shift);
    usize::try_from(bucket).unwrap_or(0)
}

/// The largest value of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    match (bucket / STEPS).checked_sub(1) {
        None => bucket,
        Some(shift) => ((STEPS + bucket % STEPS + 1) << shift) - 1,
    }
}

/// How long something took: how often it happened, the mean, the maximum, and quantiles to an
/// eighth of their value.
///
/// ```
/// use std::time::Duration;
/// use logreel::{Broker, ProducerRecord};
/// let broker = Broker::in_memory();
/// broker.producer().build()?.send(ProducerRecord::to("t").value("x")).wait()?;
/// let syncs = broker.metrics().sync_latency;
/// assert_eq!(syncs.count(), 1);
/// assert!(syncs.quantile(0.99) <= syncs.max());
/// assert!(syncs.mean() < Some(Duration::from_secs(1)));
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Latency {
    count: u64,
    sum: Duration,
    max: Duration,
    buckets: Vec<u64>,
}

impl Latency {
    /// How many times were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Their mean; `None` before the first.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let nanos = self.sum.as_nanos().checked_div(u128::from(self.count))?;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// The longest, exactly; `None` before the first.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.max)
    }

    /// The shortest time that at least this part of them did not exceed: 0.5 asks for the median,
    /// 0.99 for the 99th percentile. The answer is up to an eighth too long, never too short, and
    /// never above the maximum. `None` before the first.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rank among so many needs no last digit")]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = (q * self.count as f64).min(self.count as f64);
        let mut seen: u64 = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen > 0 && seen as f64 >= rank {
                // The last one has no upper end.
                let end = if bucket + 1 < BUCKETS { upper_end(bucket) } else { u64::MAX };
                return Some(Duration::from_nanos(end).min(self.max));
            }
        }
        self.max()
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latency")
            .field("count", &self.count)
            .field("mean", &self.mean())
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        let mut before = None;
        for bucket in 0..BUCKETS {
            let (first, last) = (before.map_or(0, |end| end + 1), upper_end(bucket));
            assert_eq!((bucket_of(first), bucket_of(last)), (bucket, bucket));
            assert!(last - first <= first / STEPS, "{first}..={last} is too wide");
            before = Some(last);
        }
        assert_eq!(before, Some((1 << TOP_BIT) - 1));
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn nothing_has_no_quantiles() {
        let nothing = Histogram::default().summary();
        assert_eq!((nothing.count(), nothing.mean(), nothing.max()), (0, None, None));
        assert_eq!(nothing.quantile(0.5), None);
        assert_eq!(Latency::default().quantile(1.0), None);
    }

    #[test]
    fn what_is_longer_than_everything_is_still_the_maximum() {
        let histogram = Histogram::default();
        let long = Duration::from_secs(100_000);
        histogram.record(long);
        histogram.record(Duration::ZERO);
        let latency = histogram.summary();
        assert_eq!((latency.max(), latency.quantile(1.0)), (Some(long), Some(long)));
        assert_eq!(latency.quantile(0.5), Some(Duration::ZERO));
        assert_eq!(latency.mean(), Some(long / 2));
    }

    #[test]
    fn threads_lose_nothing() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let histogram = &histogram;
                scope.spawn(move || {
                    for i in 0..10_000 {
                        histogram.record(Duration::from_nanos(thread * 10_000 + i));
                    }
                });
            }
        });
        let latency = histogram.summary();
        assert_eq!((latency.count(), latency.max()), (40_000, Some(Duration::from_nanos(39_999))));
        assert_eq!(latency.sum(), Duration::from_nanos((0..40_000).sum()));
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_values(
            values in prop::collection::vec((0u32..42, any::<u64>()), 1..200),
            percent in 0u32..=100,
        ) {
            let histogram = Histogram::default();
            let cut = |(bits, value): &(u32, u64)| value & ((1 << bits) - 1);
            let mut values: Vec<u64> = values.iter().map(cut).collect();
            values.iter().for_each(|nanos| histogram.record(Duration::from_nanos(*nanos)));
            values.sort_unstable();
            let rank = (values.len() * percent as usize).div_ceil(100).max(1);
            let exact = values[rank - 1];
            let latency = histogram.summary();
            // Exactly at a rank a rounded product may be a hair too large.
            let q = f64::from(percent) / 100.0 - 1e-9;
            let told = u64::try_from(latency.quantile(q).unwrap().as_nanos()).unwrap();
            prop_assert!(told >= exact, "{told} is below {exact}");
            prop_assert!(told - exact <= exact / STEPS, "{told} is far above {exact}");
            prop_assert_eq!(latency.sum().as_nanos(), values.iter().map(|v| u128::from(*v)).sum());
        }
    }
}
