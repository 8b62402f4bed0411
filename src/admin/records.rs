//! Deleting records of many partitions at once.

use crate::broker::Broker;
use crate::error::Result;
use crate::types::{OffsetSpec, TopicPartition};

impl Broker {
    /// Deletes the records of partitions before an offset each, as
    /// [`Partition::delete_records`](crate::Partition::delete_records) does for one, and answers
    /// each partition's log start offset. Durable on return.
    ///
    /// ```
    /// use logreel::{Broker, NewTopic, OffsetSpec};
    /// let broker = Broker::in_memory();
    /// let topic = broker.create_topic(NewTopic::new("events").partitions(2))?;
    /// topic.partition(0)?.append([(None, Some("a")), (None, Some("b"))])?;
    /// let deleted = broker.delete_records([(("events", 0), 1), (("events", 1), 9)]);
    /// assert_eq!(deleted[0].1.as_ref().ok(), Some(&1));
    /// assert!(deleted[1].1.is_err(), "there are no nine records");
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Each partition has its own; see `Partition::delete_records`, and
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    pub fn delete_records<T: Into<TopicPartition>, S: Into<OffsetSpec>>(
        &self,
        before: impl IntoIterator<Item = (T, S)>,
    ) -> Vec<(TopicPartition, Result<i64>)> {
        let delete = |(tp, before): (T, S)| {
            let tp: TopicPartition = tp.into();
            let moved = self.partition(&tp).and_then(|partition| {
                let start = partition.move_start(before.into())?;
                Ok((partition, start))
            });
            (tp, moved)
        };
        // All move before one of them is made durable, so that one write does for all.
        let moved: Vec<_> = before.into_iter().map(delete).collect();
        let store = |(tp, moved): (TopicPartition, Result<(crate::broker::Partition, i64)>)| {
            (tp, moved.and_then(|(partition, start)| partition.store_start().map(|()| start)))
        };
        moved.into_iter().map(store).collect()
    }
}
