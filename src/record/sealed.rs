//! A finished batch that waits for its place in a log.

use std::fmt;

use super::compression::Compression;
use super::error::BuildError;
use super::header::{BATCH_HEADER_LEN, BatchHeader, CODEC_BITS, DELETE_HORIZON, LOG_APPEND_TIME};

/// A whole batch in memory, as [`BatchBuilder::seal`](super::BatchBuilder::seal) makes it: with
/// base offset 0 and leader epoch 0 until [`assign`](Self::assign) places it.
///
/// ```
/// use logreel::record::{BatchBuilder, BatchHeader};
/// let mut builder = BatchBuilder::new();
/// builder.append(Some(5), None, Some(b"v"), &[])?;
/// let mut sealed = builder.seal()?;
/// sealed.assign(100, 7);
/// let header = BatchHeader::parse(sealed.bytes())?;
/// assert_eq!((header.base_offset(), header.leader_epoch()), (100, Some(7)));
/// header.verify_crc(sealed.bytes())?;
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone)]
pub struct SealedBatch {
    header: BatchHeader,
    bytes: Vec<u8>,
}

impl fmt::Debug for SealedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedBatch").field("header", &self.header).finish_non_exhaustive()
    }
}

impl SealedBatch {
    /// Writes `header` in front of the records in `bytes`, whose first 61 bytes are room for it.
    pub(crate) fn new(mut header: BatchHeader, mut bytes: Vec<u8>) -> Result<Self, BuildError> {
        // The length field is an `i32`. A compressed section of 64 MiB cannot come near it, and
        // this says so instead of assuming it.
        let limit = i32::MAX as usize;
        if bytes.len() > limit {
            return Err(BuildError::TooLarge { size: bytes.len(), limit });
        }
        header.write(&mut bytes);
        Ok(Self { header, bytes })
    }

    /// What compaction leaves of a batch when all its records are gone but its producer's last
    /// sequence number must be remembered: the header alone, for the same offsets and sequence
    /// numbers, without codec and delete horizon.
    #[must_use]
    pub fn hollow(original: &BatchHeader) -> Self {
        let mut header = BatchHeader {
            count: 0,
            base_timestamp: -1,
            attributes: original.attributes & !(CODEC_BITS | DELETE_HORIZON),
            compression: Compression::None,
            ..*original
        };
        let mut bytes = vec![0; BATCH_HEADER_LEN];
        header.write(&mut bytes);
        Self { header, bytes }
    }

    /// The header as it stands in the bytes.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole batch, for good.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Gives every record the time of the append, in milliseconds since 1970: from now on the
    /// batch is of [`TimestampType::LogAppendTime`](crate::TimestampType::LogAppendTime). Computes
    /// the checksum again, over the whole batch. A time before 1970 counts as none.
    ///
    /// ```
    /// use logreel::TimestampType;
    /// use logreel::record::BatchBuilder;
    /// let mut builder = BatchBuilder::new();
    /// builder.append(Some(5), None, Some(b"v"), &[])?;
    /// let mut sealed = builder.seal()?;
    /// sealed.set_log_append_time(9);
    /// sealed.set_producer(4000, 0, 7);
    /// let header = sealed.header();
    /// assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    /// assert_eq!((header.max_timestamp(), header.base_sequence()), (Some(9), Some(7)));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn set_log_append_time(&mut self, now_ms: i64) {
        self.header.attributes |= LOG_APPEND_TIME;
        self.header.max_timestamp = now_ms.max(-1);
        self.header.write(&mut self.bytes);
    }

    /// Gives the batch another producer epoch or sequence number, and computes the checksum again:
    /// what a producer does when the batch before this one failed.
    pub fn set_producer(&mut self, id: i64, epoch: i16, base_sequence: i32) {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self.header.write(&mut self.bytes);
    }

    /// Places the batch. Touches no byte under the checksum, so this is what an append does while
    /// it holds the partition. Every record's offset is relative to `base_offset`.
    ///
    /// A log's own numbers are never negative; negative ones are written as they are and make the
    /// batch unreadable (offset) or unknown (epoch).
    pub fn assign(&mut self, base_offset: i64, leader_epoch: i32) {
        self.header.base_offset = base_offset;
        self.header.leader_epoch = leader_epoch;
        self.header.write_place(&mut self.bytes);
    }
}
