//! Building a batch, record by record.
//!
//! Records are encoded straight into the buffer that becomes the batch; its first 61 bytes are kept
//! free for the header. Appending allocates nothing once the buffer is large enough.

use std::fmt;

use super::compression::{Compression, DECOMPRESSED_BYTES_MAX, compress};
use super::control::ControlRecord;
use super::encode::{Header, Headers, Parts, RECORD_OVERHEAD_MAX, length_size, payload_size};
use super::error::BuildError;
use super::header::{
    BATCH_HEADER_LEN, BatchHeader, CODEC_BITS, CONTROL, DELETE_HORIZON, LOG_APPEND_TIME,
    TRANSACTIONAL,
};
use super::sealed::SealedBatch;
use super::view::RecordView;

/// Collects records into one batch: what a producer fills, and what compaction writes.
///
/// ```
/// use logreel::record::{BatchBuilder, Compression, Header};
/// let mut builder = BatchBuilder::new().compression(Compression::Zstd, None).producer(4000, 1, 0);
/// let first = builder.append(Some(5), Some(b"k"), Some(b"v"), &[])?;
/// let second = builder.append(Some(6), None, None, &[Header::new("h", "x")])?;
/// assert_eq!((first, second, builder.len()), (0, 1, 2));
/// let sealed = builder.seal()?;
/// assert_eq!(sealed.header().last_sequence(), Some(1));
/// # Ok::<(), logreel::Error>(())
/// ```
pub struct BatchBuilder {
    /// 61 bytes for the header, then the records, not compressed, then room for more.
    buffer: Vec<u8>,
    /// How much of the buffer is the batch.
    used: usize,
    /// The fields of the header as far as they are known.
    header: BatchHeader,
    level: Option<i32>,
    /// The smallest offset delta the next record may have.
    next_delta: i64,
    /// Whether the base timestamp is fixed: by the first record, or by a delete horizon.
    has_base_timestamp: bool,
    min_timestamp: Option<i64>,
    max_timestamp: Option<i64>,
    has_null_key: bool,
    /// The header of the batch that this one replaces in a log.
    original: Option<Box<BatchHeader>>,
}

impl BatchBuilder {
    /// An empty batch, not compressed, without a producer.
    #[must_use]
    pub fn new() -> Self {
        Self::with_buffer(Vec::new())
    }

    /// The same, in memory that is already there: the contents of `buffer` are dropped, its
    /// capacity is used.
    #[must_use]
    pub fn with_buffer(mut buffer: Vec<u8>) -> Self {
        if buffer.len() < BATCH_HEADER_LEN {
            buffer.resize(BATCH_HEADER_LEN, 0);
        }
        Self {
            buffer,
            used: BATCH_HEADER_LEN,
            header: BatchHeader {
                base_offset: 0,
                base_timestamp: -1,
                max_timestamp: -1,
                producer_id: -1,
                size: BATCH_HEADER_LEN,
                leader_epoch: 0,
                crc: 0,
                last_offset_delta: 0,
                base_sequence: -1,
                count: 0,
                attributes: 0,
                producer_epoch: -1,
                compression: Compression::None,
            },
            level: None,
            next_delta: 0,
            has_base_timestamp: false,
            min_timestamp: None,
            max_timestamp: None,
            has_null_key: false,
            original: None,
        }
    }

    /// A batch that takes the place of another after compaction: same offsets, sequence numbers,
    /// producer, flags, codec and leader epoch, fewer records. Fill it with
    /// [`copy`](Self::copy). With a delete horizon (KIP-534) the batch carries it in place of the
    /// base timestamp; one that the original carries already is kept unless another is given.
    ///
    /// Sealed without any record it is a [`SealedBatch::hollow`].
    #[must_use]
    pub fn replacing(original: &BatchHeader, delete_horizon: Option<i64>) -> Self {
        let mut builder = Self::new();
        builder.header = BatchHeader { count: 0, base_timestamp: -1, ..*original };
        builder.original = Some(Box::new(*original));
        if let Some(horizon) = delete_horizon.or(original.delete_horizon()) {
            builder.header.attributes |= DELETE_HORIZON;
            builder.header.base_timestamp = horizon;
            builder.has_base_timestamp = true;
        }
        builder
    }

    /// The marker that ends a producer's transaction in a partition: a batch of its own with one
    /// control record, of 78 bytes.
    ///
    /// ```
    /// use logreel::record::{BatchBuilder, ControlRecord};
    /// let commit = ControlRecord::Commit { coordinator_epoch: 0 };
    /// let marker = BatchBuilder::marker(Some(1), 4000, 0, commit)?;
    /// assert!(marker.header().is_control());
    /// assert_eq!(marker.into_bytes().len(), 78);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BuildError::InvalidTimestamp`].
    pub fn marker(
        timestamp: Option<i64>,
        producer_id: i64,
        producer_epoch: i16,
        marker: ControlRecord,
    ) -> Result<SealedBatch, BuildError> {
        let mut builder =
            Self::new().producer(producer_id, producer_epoch, None).transactional().control();
        let value = marker.value();
        builder.append(timestamp, Some(&marker.key()), value.as_ref().map(|v| &v[..]), &[])?;
        builder.seal()
    }

    /// Compresses the batch when it is sealed; `None` is the codec's default level. Checked by
    /// [`seal`](Self::seal), or beforehand by [`Compression::check`].
    #[must_use]
    pub fn compression(mut self, codec: Compression, level: Option<i32>) -> Self {
        self.set_compression(codec, level);
        self
    }

    /// Like [`compression`](Self::compression), for a batch that is filled before its codec is
    /// known.
    pub(crate) fn set_compression(&mut self, codec: Compression, level: Option<i32>) {
        self.header.compression = codec;
        self.header.attributes &= !CODEC_BITS;
        self.header.attributes |= u16::from(codec.id());
        self.level = level;
    }

    /// Names the idempotent producer and the sequence number of the first record; markers have no
    /// sequence number.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: impl Into<Option<i32>>) -> Self {
        self.set_producer(id, epoch, base_sequence);
        self
    }

    /// Like [`producer`](Self::producer), for a batch that is filled before its sequence numbers
    /// are known.
    pub fn set_producer(&mut self, id: i64, epoch: i16, base_sequence: impl Into<Option<i32>>) {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence.into().unwrap_or(-1);
    }

    /// Makes the batch part of the producer's open transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.header.attributes |= TRANSACTIONAL;
        self
    }

    /// Makes the records control records.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.header.attributes |= CONTROL;
        self
    }

    /// Adds a record at the next offset and answers its distance from the base offset. The bytes
    /// are copied once; nothing is allocated unless the buffer must grow.
    ///
    /// # Errors
    ///
    /// [`BuildError::InvalidTimestamp`] for a negative one, [`BuildError::TooLarge`] when the
    /// records would pass [`DECOMPRESSED_BYTES_MAX`], [`BuildError::OffsetDelta`] past 2^31
    /// records. The batch stays as it was.
    #[inline]
    pub fn append(
        &mut self,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<i32, BuildError> {
        self.push(self.next_delta, timestamp, key, value, Headers::Owned(headers))
    }

    /// The same, as long as the batch stays smaller than `limit`. Else nothing is added, nor if the
    /// record is no good.
    #[inline]
    pub(crate) fn join(
        &mut self,
        limit: usize,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Option<i32> {
        let stamp = Some(timestamp);
        let (parts, body) =
            self.measure(self.next_delta, stamp, key, value, Headers::Owned(headers)).ok()?;
        let size = self.used.saturating_add(length_size(body)).saturating_add(body);
        if size >= limit {
            return None;
        }
        self.write(&parts, body, stamp).ok()
    }

    /// Adds a record at `offset_delta` from the base offset, above the record before it.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append); [`BuildError::OffsetDelta`] also when the offset is not above
    /// the one before, or past the end of the batch that this one replaces.
    pub fn append_at(
        &mut self,
        offset_delta: i32,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<(), BuildError> {
        self.push(offset_delta.into(), timestamp, key, value, Headers::Owned(headers)).map(|_| ())
    }

    /// Adds a copy of a record of the batch that this one [replaces](Self::replacing), at its own
    /// offset. Its headers are copied byte for byte.
    ///
    /// Of a batch of three records compaction keeps the last; offsets and sequence numbers stay:
    ///
    /// ```
    /// use logreel::record::{BatchBuilder, RecordBatch, SealedBatch};
    /// let size = 61 + 3 * BatchBuilder::record_size_max(None, Some(b"v"), &[]);
    /// let mut whole = BatchBuilder::with_buffer(Vec::with_capacity(size));
    /// for delta in 0..3 {
    ///     whole.append_at(delta, Some(delta.into()), None, Some(b"v"), &[])?;
    /// }
    /// whole.set_producer(4000, 0, 7);
    /// assert_eq!(whole.encoded_size(Some(3), None, Some(b"v"), &[]), 8);
    /// let whole = RecordBatch::parse(whole.seal()?.into_bytes().into())?;
    /// let mut left = BatchBuilder::replacing(whole.header(), None);
    /// for record in whole.records()?.iter().filter(|record| record.offset() == 2) {
    ///     left.copy(&record)?;
    /// }
    /// let left = left.seal()?;
    /// assert_eq!((left.header().next_offset(), left.header().last_sequence()), (3, Some(9)));
    /// let hollow = SealedBatch::hollow(whole.header());
    /// assert_eq!((hollow.header().next_offset(), hollow.into_bytes().len()), (3, 61));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`append_at`](Self::append_at).
    pub fn copy(&mut self, record: &RecordView<'_>) -> Result<(), BuildError> {
        let delta = record.offset().saturating_sub(self.header.base_offset);
        let (key, value) = (record.key(), record.value());
        self.push(delta, record.timestamp(), key, value, Headers::of(record)).map(|_| ())
    }

    #[inline]
    fn push(
        &mut self,
        offset_delta: i64,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<i32, BuildError> {
        let (parts, body) = self.measure(offset_delta, timestamp, key, value, headers)?;
        self.write(&parts, body, timestamp)
    }

    /// What a record would be here, and how large without its length.
    #[inline(always)]
    fn measure<'a>(
        &self,
        offset_delta: i64,
        timestamp: Option<i64>,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: Headers<'a>,
    ) -> Result<(Parts<'a>, usize), BuildError> {
        let offset_delta = self.check_delta(offset_delta)?;
        if let Some(timestamp) = timestamp.filter(|timestamp| *timestamp < 0) {
            return Err(BuildError::InvalidTimestamp(timestamp));
        }
        let timestamp_delta = timestamp.unwrap_or(-1).wrapping_sub(self.base_timestamp(timestamp));
        let parts = Parts { timestamp_delta, offset_delta, key, value, headers };
        let body = parts.body_size();
        Ok((parts, body))
    }

    /// The base of the timestamps, once this one is in the batch.
    #[inline]
    fn base_timestamp(&self, timestamp: Option<i64>) -> i64 {
        if self.has_base_timestamp { self.header.base_timestamp } else { timestamp.unwrap_or(-1) }
    }

    #[inline(always)]
    fn write(
        &mut self,
        parts: &Parts<'_>,
        body: usize,
        timestamp: Option<i64>,
    ) -> Result<i32, BuildError> {
        let end = self.used.saturating_add(length_size(body)).saturating_add(body);
        if end > DECOMPRESSED_BYTES_MAX + BATCH_HEADER_LEN {
            let size = end - BATCH_HEADER_LEN;
            return Err(BuildError::TooLarge { size, limit: DECOMPRESSED_BYTES_MAX });
        }
        if self.buffer.len() < end {
            self.make_room(end);
        }
        parts.write(body, self.buffer.get_mut(self.used..end).unwrap_or_default());
        self.used = end;

        self.header.base_timestamp = self.base_timestamp(timestamp);
        self.has_base_timestamp = true;
        self.header.count = self.header.count.saturating_add(1);
        self.next_delta = i64::from(parts.offset_delta) + 1;
        self.has_null_key |= parts.key.is_none();
        if let Some(timestamp) = timestamp {
            let min = self.min_timestamp.map_or(timestamp, |min| min.min(timestamp));
            self.min_timestamp = Some(min);
            self.max_timestamp = self.max_timestamp.max(Some(timestamp));
        }
        Ok(parts.offset_delta)
    }

    /// Makes the buffer at least `end` bytes long, and twice as long as it was, so that each byte
    /// of it is cleared once. Nothing is allocated while it has the capacity.
    #[cold]
    fn make_room(&mut self, end: usize) {
        let twice = self.buffer.len().saturating_mul(2);
        let capacity = self.buffer.capacity();
        let len = if end <= capacity { twice.min(capacity) } else { twice };
        self.buffer.resize(end.max(len), 0);
    }

    #[inline]
    fn check_delta(&self, delta: i64) -> Result<i32, BuildError> {
        let last = self.original.as_ref().map_or(i32::MAX, |original| original.last_offset_delta);
        match i32::try_from(delta) {
            Ok(small) if delta >= self.next_delta && small <= last => Ok(small),
            _ => Err(BuildError::OffsetDelta { delta, minimum: self.next_delta }),
        }
    }

    /// How many bytes the next record would add, not compressed.
    #[must_use]
    pub fn encoded_size(
        &self,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> usize {
        let stored = timestamp.unwrap_or(-1);
        let base = if self.has_base_timestamp { self.header.base_timestamp } else { stored };
        let parts = Parts {
            timestamp_delta: stored.wrapping_sub(base),
            offset_delta: i32::try_from(self.next_delta).unwrap_or(i32::MAX),
            key,
            value,
            headers: Headers::Owned(headers),
        };
        let body = parts.body_size();
        length_size(body).saturating_add(body)
    }

    /// How many bytes a record can take at most in any batch, not compressed: at most 19 more than
    /// it takes as the first of one.
    #[must_use]
    #[inline]
    pub fn record_size_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> usize {
        payload_size(key, value, Headers::Owned(headers)).saturating_add(RECORD_OVERHEAD_MAX)
    }

    /// The bytes so far, not compressed, with the 61 of the header.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        self.used
    }

    /// How many records there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.header.records_count()
    }

    /// Whether there is no record.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.header.count == 0
    }

    /// Whether a record has no key, which a compacted topic refuses.
    #[must_use]
    pub fn has_null_key(&self) -> bool {
        self.has_null_key
    }

    /// The smallest timestamp so far.
    #[must_use]
    pub fn min_timestamp(&self) -> Option<i64> {
        self.min_timestamp
    }

    /// The largest timestamp so far.
    #[must_use]
    pub fn max_timestamp(&self) -> Option<i64> {
        self.max_timestamp
    }

    /// Finishes the batch: compresses the records, writes the header, computes the checksum. A new
    /// batch has base offset 0 and leader epoch 0, a replacement those of the original.
    ///
    /// Allocates for compressed batches only: theirs is a new buffer.
    ///
    /// # Errors
    ///
    /// [`BuildError::Empty`] without records, unless it replaces a batch; what [`compress`] says.
    pub fn seal(self) -> Result<SealedBatch, BuildError> {
        let half = self.used / 2 + BATCH_HEADER_LEN;
        self.seal_into(|| Vec::with_capacity(half)).map(|(sealed, _)| sealed)
    }

    /// The same; the compressed batch goes into memory that is asked for, and that of the records
    /// comes back.
    pub(crate) fn seal_into(
        mut self,
        room: impl FnOnce() -> Vec<u8>,
    ) -> Result<(SealedBatch, Option<Vec<u8>>), BuildError> {
        self.buffer.truncate(self.used);
        let mut header = self.header;
        match &self.original {
            None if self.is_empty() => return Err(BuildError::Empty),
            Some(original) if self.is_empty() => {
                return Ok((SealedBatch::hollow(original), None));
            }
            // The last offset of the original, and under LogAppendTime its time, stay.
            Some(_) => {}
            None => header.last_offset_delta = i32::try_from(self.next_delta - 1).unwrap_or(0),
        }
        if self.original.is_none() || header.attributes & LOG_APPEND_TIME == 0 {
            header.max_timestamp = self.max_timestamp.unwrap_or(-1);
        }
        header.compression.check(self.level)?;
        if header.compression == Compression::None {
            return Ok((SealedBatch::new(header, self.buffer)?, None));
        }
        let mut bytes = room();
        bytes.clear();
        bytes.resize(BATCH_HEADER_LEN, 0);
        let records = self.buffer.get(BATCH_HEADER_LEN..).unwrap_or_default();
        compress(header.compression, self.level, records, &mut bytes)?;
        Ok((SealedBatch::new(header, bytes)?, Some(self.buffer)))
    }
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchBuilder")
            .field("records", &self.header.count)
            .field("size", &self.size())
            .field("compression", &self.header.compression)
            .field("producer_id", &self.header.producer_id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
