//! How far a group is behind.

use crate::types::TopicPartition;

/// How far a group is behind in one partition.
///
/// ```
/// use logreel::{Broker, ProducerRecord};
/// let broker = Broker::in_memory();
/// let records = ["a", "b", "c"].map(|value| ProducerRecord::to("t").value(value));
/// broker.producer().build()?.send_batch(records).wait()?;
/// let group = broker.group("g");
/// group.alter_offsets(&[(("t", 0), 1)].into_iter().collect())?;
/// for partition in group.lag()? {
///     assert_eq!(partition.committed, Some(1));
///     assert_eq!(partition.log_end_offset, Some(3));
///     assert_eq!(partition.lag, Some(2));
/// }
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLag {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The next offset the group is to read, as it committed it.
    pub committed: Option<i64>,
    /// The end of the partition; `None` where it is gone.
    pub log_end_offset: Option<i64>,
    /// How many offsets lie between the two: `None` unless both are known, 0 for a commit past the
    /// end. Offsets of records that compaction or a transaction removed count.
    pub lag: Option<u64>,
}

impl PartitionLag {
    pub(super) fn new(tp: TopicPartition, committed: Option<i64>, end: Option<i64>) -> Self {
        let behind = |committed: i64| end.map(|end| end.saturating_sub(committed).max(0));
        let lag = committed.and_then(behind).map(i64::unsigned_abs);
        Self { topic_partition: tp, committed, log_end_offset: end, lag }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_needs_both_ends() {
        let lag = |committed, end| PartitionLag::new(("t", 0).into(), committed, end).lag;
        assert_eq!(lag(Some(3), Some(10)), Some(7));
        assert_eq!(lag(Some(10), Some(10)), Some(0));
        assert_eq!(lag(Some(11), Some(10)), Some(0), "past the end");
        assert_eq!(lag(None, Some(10)), None);
        assert_eq!(lag(Some(3), None), None);
        assert_eq!(lag(Some(i64::MIN), Some(i64::MAX)), Some(i64::MAX.unsigned_abs()));
    }
}
