//! What a poll returns: records in place, in memory they keep alive.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::runs::{Run, Unread};
use crate::broker::Partition;
use crate::error::Result;
use crate::log::{Cursor, ReadOptions};
use crate::record::{BatchHeader, Header, HeaderIter, RecordView};
use crate::types::{IsolationLevel, OffsetAndMetadata, Offsets, TimestampType, TopicPartition};

/// The records of one poll. Owns (shares) the memory they lie in: a mapped segment, a chunk that
/// was read, a decompressed batch. `Send`, `Sync`, `'static`: it may outlive the consumer and the
/// broker, go to another thread, and be kept while offsets are committed. What is kept pins its
/// chunk of memory.
///
/// ```
/// use std::time::Duration;
/// use logreel::{Broker, OffsetReset, ProducerRecord};
/// let broker = Broker::in_memory();
/// broker.producer().build()?.send(ProducerRecord::to("t").key("k").value("v")).wait()?;
/// let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
/// consumer.assign([("t", 0)])?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// let sum = std::thread::spawn(move || records.len()).join().unwrap();
/// assert_eq!(sum, 1);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Records {
    runs: Vec<Run>,
    len: usize,
}

impl Records {
    pub(crate) fn push(&mut self, run: Run) {
        self.len += run.count;
        self.runs.push(run);
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The records: within a partition in the order of offsets; between partitions no order is
    /// promised.
    #[must_use]
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter::new(&self.runs, self.len)
    }

    /// The partitions that have records here, each once.
    #[must_use]
    pub fn partitions(&self) -> Vec<TopicPartition> {
        let mut partitions: Vec<TopicPartition> = self.runs.iter().map(|r| r.tp.clone()).collect();
        partitions.sort();
        partitions.dedup();
        partitions
    }

    /// The records of one partition, in the order of offsets.
    pub fn partition(&self, tp: &TopicPartition) -> impl Iterator<Item = RecordRef<'_>> {
        let runs = self.runs.iter().filter(move |run| run.tp == *tp);
        runs.flat_map(|run| RecordsIter::new(std::slice::from_ref(run), run.count))
    }

    /// For each partition the offset after its last record here: what to commit when all of them
    /// have been processed.
    #[must_use]
    pub fn next_offsets(&self) -> Offsets {
        let mut offsets = Offsets::new();
        for run in &self.runs {
            offsets.set(run.tp.clone(), run.next_offset);
        }
        offsets
    }

    /// The records as owned values; their bytes are shared, not copied.
    #[must_use]
    pub fn to_vec(&self) -> Vec<Record> {
        self.iter().map(|record| record.to_record()).collect()
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} of {:?})", self.len, self.partitions())
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = RecordRef<'a>;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// An iterator over [`Records`].
#[derive(Clone)]
pub struct RecordsIter<'a> {
    runs: std::slice::Iter<'a, Run>,
    /// The run that is gone through, and what is left of it.
    run: Option<&'a Run>,
    data: &'a [u8],
    left: usize,
}

impl<'a> RecordsIter<'a> {
    fn new(runs: &'a [Run], left: usize) -> Self {
        Self { runs: runs.iter(), run: None, data: &[], left }
    }

    /// Any record: most are read by [`next`](Self::next) itself.
    #[inline(never)]
    fn next_any(&mut self, run: &'a Run) -> Option<RecordRef<'a>> {
        // The run was checked when it was taken.
        let (view, next) = RecordView::decode(self.data, 0, &run.header).ok()?;
        self.data = self.data.get(next..).unwrap_or_default();
        Some(RecordRef { run, view })
    }
}

impl<'a> Iterator for RecordsIter<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        while self.data.is_empty() {
            let run = self.runs.next()?;
            (self.run, self.data) = (Some(run), &run.data);
        }
        let run = self.run?;
        self.left = self.left.saturating_sub(1);
        match RecordView::plain(self.data, &run.header) {
            Some((view, behind)) => {
                self.data = behind;
                Some(RecordRef { run, view })
            }
            None => self.next_any(run),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RecordsIter<'_> {}

impl fmt::Debug for RecordsIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordsIter({} left)", self.left)
    }
}

/// One record, in place.
#[derive(Clone, Copy)]
pub struct RecordRef<'a> {
    run: &'a Run,
    view: RecordView<'a>,
}

impl<'a> RecordRef<'a> {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        self.run.tp.topic()
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.run.tp.partition()
    }

    /// Topic and partition.
    #[must_use]
    pub fn topic_partition(&self) -> &'a TopicPartition {
        &self.run.tp
    }

    /// The offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.view.offset()
    }

    /// The timestamp in milliseconds since 1970, if the record has one.
    #[must_use]
    pub fn timestamp(&self) -> Option<i64> {
        self.view.timestamp()
    }

    /// Who set the timestamp.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.run.header.timestamp_type()
    }

    /// The key; `None` is not the same as an empty one.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.view.key()
    }

    /// The value; `None` is a tombstone, not the same as an empty one.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.view.value()
    }

    /// The headers, in order, with duplicates.
    #[must_use]
    pub fn headers(&self) -> HeaderIter<'a> {
        self.view.headers()
    }

    /// The leader epoch of the append.
    #[must_use]
    pub fn leader_epoch(&self) -> Option<i32> {
        self.run.header.leader_epoch()
    }

    /// An owned record that shares this one's bytes.
    #[must_use]
    pub fn to_record(&self) -> Record {
        Record::new(&self.run.tp, &self.run.header, &self.view, &self.run.data)
    }
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordRef({} @ {}, {:?})", self.run.tp, self.offset(), self.view)
    }
}

/// One record, owned. Its key and value share the memory of the batch they came in.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The timestamp in milliseconds since 1970, if the record has one.
    pub timestamp: Option<i64>,
    /// Who set the timestamp.
    pub timestamp_type: TimestampType,
    /// The leader epoch of the append.
    pub leader_epoch: Option<i32>,
    /// The key; `None` is not the same as an empty one.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone, not the same as an empty one.
    pub value: Option<Bytes>,
    /// The headers, in order, with duplicates.
    pub headers: Vec<Header>,
}

impl Record {
    /// The record that is seen in `data`, whose memory it shares.
    pub(super) fn new(
        tp: &TopicPartition,
        header: &BatchHeader,
        view: &RecordView<'_>,
        data: &Bytes,
    ) -> Self {
        let share = |bytes: &[u8]| data.slice_ref(bytes);
        Self {
            topic: tp.shared_topic(),
            partition: tp.partition(),
            offset: view.offset(),
            timestamp: view.timestamp(),
            timestamp_type: header.timestamp_type(),
            leader_epoch: header.leader_epoch(),
            key: view.key().map(share),
            value: view.value().map(share),
            headers: view.headers().map(Header::from).collect(),
        }
    }

    /// Topic and partition.
    #[must_use]
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(&*self.topic, self.partition)
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A record that has its place in a log: [`RecordRef`] or [`Record`].
pub trait Placed: sealed::Sealed {
    /// What to commit when it and all before it have been processed: its partition, and the offset
    /// after it.
    ///
    /// ```
    /// use logreel::consumer::Placed;
    /// use logreel::{Broker, OffsetReset, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// broker.producer().build()?.send(ProducerRecord::to("t").value("x")).wait()?;
    /// let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
    /// consumer.assign([("t", 0)])?;
    /// let record = consumer.iter().next().transpose()?.expect("there is one");
    /// let (partition, next) = record.next_position();
    /// assert_eq!((partition, next.offset()), (("t", 0).into(), 1));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    fn next_position(&self) -> (TopicPartition, OffsetAndMetadata);
}

impl sealed::Sealed for RecordRef<'_> {}

impl Placed for RecordRef<'_> {
    fn next_position(&self) -> (TopicPartition, OffsetAndMetadata) {
        let next = OffsetAndMetadata::new(self.offset() + 1);
        (self.topic_partition().clone(), next.with_leader_epoch(self.leader_epoch()))
    }
}

impl sealed::Sealed for Record {}

impl Placed for Record {
    fn next_position(&self) -> (TopicPartition, OffsetAndMetadata) {
        let next = OffsetAndMetadata::new(self.offset + 1);
        (self.topic_partition(), next.with_leader_epoch(self.leader_epoch))
    }
}

impl fmt::Debug for Record {
    /// Says lengths, never payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .field("key_len", &self.key.as_ref().map(Bytes::len))
            .field("value_len", &self.value.as_ref().map(Bytes::len))
            .field("headers", &self.headers.len())
            .finish()
    }
}

impl Partition {
    /// Reads records from an offset on: whole batches of up to `max_bytes` (the first however
    /// large), without those below `from`. Empty at the end. Does not block for more to come.
    ///
    /// # Errors
    ///
    /// `OFFSET_OUT_OF_RANGE` below the log start or past the end; `CORRUPT_MESSAGE` with file,
    /// position and offset where the log is damaged; I/O errors.
    pub fn read(&self, from: i64, max_bytes: usize) -> Result<Records> {
        let options = ReadOptions {
            max_bytes,
            at_least_one: true,
            crc: true,
            isolation: IsolationLevel::ReadUncommitted,
            control: false,
        };
        let mut records = Records::default();
        let mut cursor = Cursor::new(from);
        if self.is_read_only() {
            self.log.refresh()?;
        }
        loop {
            let before = cursor.offset();
            let batches = self.log.fetch(&mut cursor, options)?;
            for batch in &batches {
                let mut unread = Unread::new(batch, &self.log)?;
                if let Some(run) = unread.take(&self.log.tp, from, usize::MAX)? {
                    records.push(run);
                }
            }
            if !records.is_empty() || cursor.offset() == before {
                return Ok(records);
            }
        }
    }
}
