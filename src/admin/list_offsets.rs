//! Looking up offsets in many partitions at once.

use crate::broker::Broker;
use crate::error::Result;
use crate::types::{IsolationLevel, OffsetAndTimestamp, OffsetSpec, TopicPartition};

impl Broker {
    /// What each specification means in its partition now, in the order they were given: Kafka's
    /// `Admin.listOffsets`. `None` where no record answers it. The timestamp is that of the record
    /// where one was looked up. A `read_committed` reader's end lies before open transactions.
    ///
    /// One that fails fails alone: with `UNKNOWN_TOPIC_OR_PARTITION` where there is no such
    /// partition, with `CORRUPT_MESSAGE` or an I/O error where the log cannot be read.
    ///
    /// ```
    /// use logreel::{Broker, IsolationLevel, OffsetSpec, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let ticks = [10, 30, 20].map(|t| ProducerRecord::to("ticks").value("x").timestamp(t));
    /// broker.producer().build()?.send_batch(ticks).wait()?;
    ///
    /// let queries = [
    ///     (("ticks", 0), OffsetSpec::Earliest),
    ///     (("ticks", 0), OffsetSpec::Latest),
    ///     (("ticks", 0), OffsetSpec::MaxTimestamp),
    ///     (("ticks", 0), OffsetSpec::Timestamp(31)),
    ///     (("nowhere", 0), OffsetSpec::Latest),
    /// ];
    /// let found = broker.list_offsets(queries, IsolationLevel::ReadUncommitted)?;
    /// let offset = |at: usize| found[at].1.as_ref().map(|found| found.map(|found| found.offset));
    /// assert!(matches!((offset(0), offset(1)), (Ok(Some(0)), Ok(Some(3)))));
    /// assert!(matches!((offset(2), offset(3)), (Ok(Some(1)), Ok(None))));
    /// assert!(offset(4).is_err());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the broker is closed, or a read-only directory cannot be read.
    pub fn list_offsets<T: Into<TopicPartition>>(
        &self,
        queries: impl IntoIterator<Item = (T, OffsetSpec)>,
        isolation: IsolationLevel,
    ) -> Result<Vec<(TopicPartition, Result<Option<OffsetAndTimestamp>>)>> {
        let broker = self.handle();
        broker.check_open()?;
        self.refresh()?;
        let look_up = |tp: &TopicPartition, spec| {
            let log = broker.log(tp)?;
            if broker.read_only {
                log.refresh()?;
            }
            log.offset_for(spec, isolation)
        };
        let answer = |(tp, spec): (T, OffsetSpec)| {
            let tp = tp.into();
            let found = look_up(&tp, spec);
            (tp, found)
        };
        Ok(queries.into_iter().map(answer).collect())
    }
}
