//! A partition by itself: a raw commit log, below producers and groups.

use std::sync::Arc;

use super::shared::Handle;
use super::spare;
use crate::error::{Error, ErrorCode, Result};
use crate::log::{self, Log, check_records, names};
use crate::metrics::count;
use crate::record::{BatchBuilder, Header};
use crate::types::{IsolationLevel, OffsetAndTimestamp, OffsetSpec, TimestampType, TopicPartition};

/// What a record is guessed to take, for the first buffer of a batch, which grows as it must.
const RECORD_BYTES_GUESS: usize = 128;
const BUFFER_BYTES_FIRST: usize = 64 * 1024;

/// A handle to one partition: its log without producers and groups. Cheap to clone; it keeps the
/// broker open.
///
/// ```
/// use logreel::{Broker, OffsetSpec};
/// let broker = Broker::in_memory();
/// let log = broker.create_topic("events")?.partition(0)?;
/// let placed = log.append([(None, Some("first")), (Some("k"), Some("second"))])?;
/// assert_eq!((placed.base_offset, placed.last_offset), (0, 1));
/// assert_eq!(log.high_watermark(), 2);
/// let records = log.read(1, 1024 * 1024)?;
/// assert_eq!(records.iter().next().and_then(|r| r.value()), Some(&b"second"[..]));
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone)]
pub struct Partition {
    handle: Handle,
    pub(crate) log: Arc<Log>,
}

/// Its name and the offsets it holds.
impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (start, end) = (self.log.start_offset(), self.log.end_offset());
        write!(f, "Partition({}, {start}..{end})", self.log.tp)
    }
}

/// Where a batch was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The offset of its first record.
    pub base_offset: i64,
    /// The offset of its last record.
    pub last_offset: i64,
    /// The time the log gave every record, with `LogAppendTime`, in milliseconds since 1970.
    pub log_append_time: Option<i64>,
}

/// One segment of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The offset in the segment's file name.
    pub base_offset: i64,
    /// Bytes in its `.log` file.
    pub size: u64,
    /// Whether appends go to it.
    pub is_active: bool,
    /// Its `.log` file.
    pub path: std::path::PathBuf,
}

/// A record as [`Partition::append`] takes it: key and value, or those with timestamp and headers.
#[derive(Clone, Copy)]
pub struct RawRecord<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    timestamp: Option<i64>,
    headers: &'a [Header],
}

impl std::fmt::Debug for RawRecord<'_> {
    /// Says lengths, never payload.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawRecord")
            .field("key_len", &self.key.map(<[u8]>::len))
            .field("value_len", &self.value.map(<[u8]>::len))
            .field("timestamp", &self.timestamp)
            .field("headers", &self.headers.len())
            .finish()
    }
}

impl<'a> RawRecord<'a> {
    /// A record with a key and a value, both optional. It is stamped when it is appended.
    #[must_use]
    pub fn new(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self { key, value, timestamp: None, headers: &[] }
    }

    /// Gives the record a timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp(mut self, millis: i64) -> Self {
        self.timestamp = Some(millis);
        self
    }

    /// Gives the record headers.
    #[must_use]
    pub fn headers(mut self, headers: &'a [Header]) -> Self {
        self.headers = headers;
        self
    }
}

impl<'a, B: AsRef<[u8]> + ?Sized> From<(Option<&'a B>, Option<&'a B>)> for RawRecord<'a> {
    fn from((key, value): (Option<&'a B>, Option<&'a B>)) -> Self {
        Self::new(key.map(AsRef::as_ref), value.map(AsRef::as_ref))
    }
}

impl Partition {
    pub(crate) fn new(handle: Handle, log: Arc<Log>) -> Self {
        Self { handle, log }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.handle.read_only
    }

    /// Which partition this is.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.log.tp
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start_offset(&self) -> i64 {
        self.log.start_offset()
    }

    /// The offset of the next record.
    #[must_use]
    pub fn log_end_offset(&self) -> i64 {
        self.log.end_offset()
    }

    /// Where readers stop. With one copy this is the log end.
    #[must_use]
    pub fn high_watermark(&self) -> i64 {
        self.log.readable_end(IsolationLevel::ReadUncommitted)
    }

    /// Where `read_committed` readers stop: the first offset of the oldest open transaction, else
    /// the high watermark.
    #[must_use]
    pub fn last_stable_offset(&self) -> i64 {
        self.log.readable_end(IsolationLevel::ReadCommitted)
    }

    /// The offset below which everything has been synced to the disk.
    #[must_use]
    pub fn recovery_point(&self) -> i64 {
        self.log.recovery_point()
    }

    /// Bytes in the partition's `.log` files.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.log.size()
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let segments = self.log.segments();
        let last = segments.len().saturating_sub(1);
        let describe = |(index, segment): (usize, &Arc<log::Segment>)| SegmentInfo {
            base_offset: segment.base_offset,
            size: segment.size(),
            is_active: index == last,
            path: segment.file().path().to_path_buf(),
        };
        segments.iter().enumerate().map(describe).collect()
    }

    /// Appends one batch: all records or none. It carries no producer id, so nothing checks its
    /// sequence, and it does not linger. Returns when the bytes are with the operating system, like
    /// `acks=1`: it then survives the death of the process; [`sync`](Self::sync) makes it survive
    /// power loss. Records without a timestamp get the clock's.
    ///
    /// # Errors
    ///
    /// `INVALID_RECORD` for no records or, in a compacted topic, one without a key;
    /// `MESSAGE_TOO_LARGE` over `max.message.bytes`; `INVALID_TIMESTAMP` outside what the topic
    /// accepts; `INVALID_TOPIC_EXCEPTION` for the coordinators' own topics; `StorageFull`, after
    /// which the call works again when there is space; `KAFKA_STORAGE_ERROR` once the partition's
    /// storage has failed.
    pub fn append<'a, R: Into<RawRecord<'a>>>(
        &self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<Appended> {
        self.handle.check_writable("appending")?;
        if names::is_internal(self.log.tp.topic()) {
            return Err(Error::kafka(
                ErrorCode::InvalidTopic,
                format!("topic {} belongs to the coordinators", self.log.tp.topic()),
            ));
        }
        let config = self.log.config();
        let now = self.log.context.clock.wall_millis();
        let records = records.into_iter();
        let expected = records.size_hint().0.saturating_mul(RECORD_BYTES_GUESS);
        let mut batch = BatchBuilder::with_buffer(spare::take(expected.min(BUFFER_BYTES_FIRST)));
        if let Some(codec) = config.compression {
            batch = batch.compression(codec, config.compression_level);
        }
        for record in records {
            let record: RawRecord<'a> = record.into();
            let timestamp = record.timestamp.unwrap_or(now);
            batch.append(Some(timestamp), record.key, record.value, record.headers)?;
        }
        check_records(&batch, &config, now)
            .inspect_err(|_| count(self.log.context.counters.refused_appends()))
            .map_err(|error| error.on(&self.log.tp))?;
        let (mut sealed, spare) = batch.seal_into(Vec::new)?;
        let placed =
            self.log.append_sealed(&mut sealed).inspect_err(|_| self.log.fail_waiting())?;
        spare::keep(spare.unwrap_or_else(|| sealed.into_bytes()));
        if placed.sync_due {
            self.log.sync_to(placed.end())?;
        }
        Ok(Appended {
            base_offset: placed.base_offset,
            last_offset: placed.last_offset,
            log_append_time: placed.log_append_time,
        })
    }

    /// Makes everything appended so far durable. Blocks for one `fdatasync`, or none if it is
    /// durable already.
    ///
    /// # Errors
    ///
    /// When the sync fails. The partition then takes no more appends until it is opened again.
    pub fn sync(&self) -> Result<()> {
        self.handle.check_writable("syncing")?;
        self.log.sync_all()
    }

    /// The offset that a specification means now, with its timestamp where a record was looked up;
    /// `None` where no record answers it.
    ///
    /// ```
    /// use logreel::{Broker, OffsetSpec};
    /// let log = Broker::in_memory().create_topic("events")?.partition(0)?;
    /// log.append([(None, Some("a")), (None, Some("b"))])?;
    /// let end = log.offset_for(OffsetSpec::Latest)?;
    /// assert_eq!(end.map(|found| found.offset), Some(2));
    /// assert!(log.offset_for(OffsetSpec::Timestamp(i64::MAX))?.is_none());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn offset_for(&self, spec: OffsetSpec) -> Result<Option<OffsetAndTimestamp>> {
        self.log.offset_for(spec, IsolationLevel::ReadUncommitted)
    }

    /// Deletes the records before an offset (KIP-107): the log start moves there, which may be
    /// inside a batch, and readers below it are out of range. [`OffsetSpec::Latest`] deletes
    /// everything, [`OffsetSpec::Timestamp`] what lies before the first record of that time or
    /// later. An offset below the log start changes nothing. Durable on return; segments that hold
    /// nothing else are removed by the next check of retention. Answers the log start offset.
    ///
    /// ```
    /// use logreel::{Broker, OffsetSpec};
    /// let log = Broker::in_memory().create_topic("events")?.partition(0)?;
    /// log.append([(None, Some("a")), (None, Some("b")), (None, Some("c"))])?;
    /// assert_eq!(log.delete_records(2)?, 2);
    /// assert_eq!(log.log_start_offset(), 2);
    /// assert_eq!(log.delete_records(OffsetSpec::Latest)?, 3);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `OFFSET_OUT_OF_RANGE` beyond the high watermark; `POLICY_VIOLATION` when the topic's
    /// `cleanup.policy` is `compact` alone; `INVALID_TOPIC_EXCEPTION` for the coordinators' own
    /// topics; I/O errors, after which the records are out of reach but may be back after a crash.
    pub fn delete_records(&self, before: impl Into<OffsetSpec>) -> Result<i64> {
        let start = self.move_start(before.into())?;
        self.store_start()?;
        Ok(start)
    }

    /// Makes the log start durable.
    pub(crate) fn store_start(&self) -> Result<()> {
        self.handle.store_log_start(&self.log)
    }

    /// The same, not durable yet.
    pub(crate) fn move_start(&self, before: OffsetSpec) -> Result<i64> {
        self.handle.check_writable("deleting records")?;
        let tp = &self.log.tp;
        if names::is_internal(tp.topic()) {
            let what = format!("records of topic {} belong to the coordinators", tp.topic());
            return Err(Error::kafka(ErrorCode::InvalidTopic, what));
        }
        if !self.log.config().cleanup_policy.is_deleted() {
            let what = "its cleanup.policy is compact, which deletes no records";
            return Err(Error::kafka(ErrorCode::PolicyViolation, what).on(tp));
        }
        // What is appended from here on is younger than any time that was asked for.
        let end = self.log.end_offset();
        let before = match before {
            OffsetSpec::Latest => None,
            spec => Some(self.offset_for(spec)?.map_or(end, |found| found.offset)),
        };
        self.log.delete_records(before)
    }

    /// Why the partition is not compacted any more, if cleaning it met damage. It is tried again
    /// when the broker is opened anew.
    #[must_use]
    pub fn uncleanable(&self) -> Option<Error> {
        self.handle.uncleanable(&self.log.tp)
    }

    /// Who stamps the records.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.log.config().timestamp_type
    }
}
