//! The 61 bytes in front of every batch.
//!
//! ```text
//!  0 base offset      8 | 16 magic              1 | 27 base timestamp  8 | 53 base sequence  4
//!  8 batch length     4 | 17 CRC-32C            4 | 35 max timestamp   8 | 57 record count   4
//! 12 leader epoch     4 | 21 attributes         2 | 43 producer id     8 | 61 records
//!                       | 23 last offset delta  4 | 51 producer epoch  2 |
//! ```
//!
//! All numbers are big-endian. The checksum covers byte 21 to the end, so that a log can place a
//! batch (base offset and leader epoch) without computing it again.

use std::fmt;

use super::checksum::crc32c;
use super::compression::Compression;
use super::error::{Corruption, DecodeError};
use super::sequence::increment_sequence;
use crate::types::TimestampType;

/// The size of a batch without its records.
pub const BATCH_HEADER_LEN: usize = 61;

/// The bytes in front of what the batch length counts: base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;

/// Where the bytes under the checksum begin.
const CRC_FROM: usize = 21;
/// The smallest value of the length field in any message format.
const LENGTH_MIN: i32 = 14;
/// The smallest value of the length field in format 2.
const LENGTH_MIN_V2: i32 = 49;

pub(crate) const CODEC_BITS: u16 = 0x07;
pub(crate) const LOG_APPEND_TIME: u16 = 0x08;
pub(crate) const TRANSACTIONAL: u16 = 0x10;
pub(crate) const CONTROL: u16 = 0x20;
pub(crate) const DELETE_HORIZON: u16 = 0x40;

/// The header of a batch.
///
/// ```
/// use logreel::record::{BatchBuilder, BatchHeader, Compression};
/// let mut builder = BatchBuilder::new();
/// builder.append(Some(7), None, Some(b"hello"), &[])?;
/// let bytes = builder.seal()?.into_bytes();
///
/// let header = BatchHeader::parse(&bytes)?;
/// assert_eq!((header.base_offset(), header.next_offset()), (0, 1));
/// assert_eq!(header.size(), bytes.len());
/// assert_eq!(header.compression(), Compression::None);
/// assert_eq!(header.producer_id(), None);
/// header.verify_crc(&bytes)?;
/// # Ok::<(), logreel::Error>(())
/// ```
// The fields are as stored, -1 for "none" included; the getters translate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub(crate) base_offset: i64,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    /// The whole batch in bytes, at least 61.
    pub(crate) size: usize,
    pub(crate) leader_epoch: i32,
    pub(crate) crc: u32,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_sequence: i32,
    pub(crate) count: i32,
    pub(crate) attributes: u16,
    pub(crate) producer_epoch: i16,
    pub(crate) compression: Compression,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which may be longer. Checks everything in it but
    /// the checksum, see [`verify_crc`](Self::verify_crc).
    ///
    /// # Errors
    ///
    /// [`Corruption::TooShort`] below 61 bytes; [`Corruption::UnsupportedMagic`] for the formats
    /// before Kafka 0.11; else what is wrong with a field.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let short = |needed| {
            let available = bytes.len();
            DecodeError::new(Corruption::TooShort { needed, available }, available, None)
        };
        // What all formats have in common reaches to the magic. A batch of an older format can be
        // shorter than our header and must still be told from a damaged one.
        let (Some(base_offset), Some(length), Some([magic])) =
            (field(bytes, 0), field(bytes, 8), field(bytes, 16))
        else {
            return Err(short(BATCH_HEADER_LEN));
        };
        let base_offset = i64::from_be_bytes(base_offset);
        let length = i32::from_be_bytes(length);
        let fail = |reason, at| Err(DecodeError::new(reason, at, Some(base_offset)));
        if length < LENGTH_MIN {
            // The offset beside an impossible length is as likely to be rubbish.
            return Err(DecodeError::new(Corruption::BadLength(length), 8, None));
        }
        match magic.cast_signed() {
            2 => {}
            magic @ (0 | 1) => return fail(Corruption::UnsupportedMagic(magic), 16),
            magic => return fail(Corruption::UnknownMagic(magic), 16),
        }
        if length < LENGTH_MIN_V2 {
            return fail(Corruption::BadLength(length), 8);
        }
        let Some(fixed) = bytes.first_chunk::<BATCH_HEADER_LEN>() else {
            return Err(short(BATCH_HEADER_LEN));
        };
        let header = Self::fields(fixed, base_offset, length);
        let codec = header.attributes.to_be_bytes()[1] & 0x07;
        let Some(compression) = Compression::from_id(codec) else {
            return fail(Corruption::UnknownCompression(codec), 22);
        };
        let delta = header.last_offset_delta;
        // The next offset must exist too.
        let next = base_offset.checked_add(i64::from(delta)).and_then(|last| last.checked_add(1));
        if base_offset < 0 || delta < 0 || next.is_none() {
            return fail(Corruption::OffsetRange { base_offset, last_offset_delta: delta }, 23);
        }
        if header.count < 0 {
            return fail(Corruption::NegativeCount(header.count), 57);
        }
        Ok(Self { compression, ..header })
    }

    fn fields(bytes: &[u8; BATCH_HEADER_LEN], base_offset: i64, length: i32) -> Self {
        Self {
            base_offset,
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)),
            producer_id: i64::from_be_bytes(array(bytes, 43)),
            size: usize::try_from(length).unwrap_or_default().saturating_add(LOG_OVERHEAD),
            leader_epoch: i32::from_be_bytes(array(bytes, 12)),
            crc: u32::from_be_bytes(array(bytes, 17)),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)),
            base_sequence: i32::from_be_bytes(array(bytes, 53)),
            count: i32::from_be_bytes(array(bytes, 57)),
            attributes: u16::from_be_bytes(array(bytes, 21)),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)),
            compression: Compression::None,
        }
    }

    /// The size that the first 12 bytes of a batch announce, for a scanner that decides how much
    /// to read. `None` when there are fewer bytes or the length cannot be that of a batch of any
    /// format; [`parse`](Self::parse) then says why.
    ///
    /// ```
    /// use logreel::record::{BatchBuilder, BatchHeader};
    /// let mut builder = BatchBuilder::new();
    /// builder.append(Some(1), None, Some(b"v"), &[])?;
    /// let bytes = builder.seal()?.into_bytes();
    /// assert_eq!(BatchHeader::peek_size(&bytes), Some(bytes.len()));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn peek_size(bytes: &[u8]) -> Option<usize> {
        let length = i32::from_be_bytes(field(bytes, 8)?);
        let length = (length >= LENGTH_MIN).then_some(length)?;
        usize::try_from(length).ok()?.checked_add(LOG_OVERHEAD)
    }

    /// Compares the stored checksum with that of `batch`, which is the whole batch.
    ///
    /// # Errors
    ///
    /// [`Corruption::ChecksumMismatch`], or [`Corruption::TooShort`] when `batch` ends before the
    /// batch does; bytes behind it are ignored.
    pub fn verify_crc(&self, batch: &[u8]) -> Result<(), DecodeError> {
        let Some(covered) = batch.get(CRC_FROM..self.size) else {
            let reason = Corruption::TooShort { needed: self.size, available: batch.len() };
            return Err(DecodeError::new(reason, batch.len(), Some(self.base_offset)));
        };
        let computed = crc32c(covered);
        if computed == self.crc {
            return Ok(());
        }
        let reason = Corruption::ChecksumMismatch { stored: self.crc, computed };
        Err(DecodeError::new(reason, 17, Some(self.base_offset)))
    }

    /// Writes size, checksum and all other fields into `batch`, a whole batch with room for its
    /// header. Does nothing to a shorter slice.
    pub(crate) fn write(&mut self, batch: &mut [u8]) {
        self.size = batch.len();
        let length = i32::try_from(batch.len().saturating_sub(LOG_OVERHEAD)).unwrap_or(i32::MAX);
        put(batch, 0, self.base_offset.to_be_bytes());
        put(batch, 8, length.to_be_bytes());
        put(batch, 12, self.leader_epoch.to_be_bytes());
        put(batch, 16, [2]);
        put(batch, 21, self.attributes.to_be_bytes());
        put(batch, 23, self.last_offset_delta.to_be_bytes());
        put(batch, 27, self.base_timestamp.to_be_bytes());
        put(batch, 35, self.max_timestamp.to_be_bytes());
        put(batch, 43, self.producer_id.to_be_bytes());
        put(batch, 51, self.producer_epoch.to_be_bytes());
        put(batch, 53, self.base_sequence.to_be_bytes());
        put(batch, 57, self.count.to_be_bytes());
        self.crc = crc32c(batch.get(CRC_FROM..).unwrap_or_default());
        put(batch, 17, self.crc.to_be_bytes());
    }

    /// Writes only what no checksum covers: base offset and leader epoch.
    pub(crate) fn write_place(&self, batch: &mut [u8]) {
        put(batch, 0, self.base_offset.to_be_bytes());
        put(batch, 12, self.leader_epoch.to_be_bytes());
    }

    /// The offset of the first record that the batch was written with. Compaction may have removed
    /// that record since.
    #[must_use]
    #[inline]
    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// The offset of the last record that the batch was written with.
    #[must_use]
    #[inline]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset where reading goes on after the batch. Never count records for this: compaction
    /// leaves gaps.
    #[must_use]
    #[inline]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// The size of the whole batch in bytes, this header included; at least 61.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The leader epoch in which the batch was appended.
    #[must_use]
    pub fn leader_epoch(&self) -> Option<i32> {
        (self.leader_epoch >= 0).then_some(self.leader_epoch)
    }

    /// The stored CRC-32C.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// How the records are compressed.
    #[must_use]
    #[inline]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Who set the timestamps.
    #[must_use]
    #[inline]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.has(LOG_APPEND_TIME) {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.has(TRANSACTIONAL)
    }

    /// Whether the batch holds control records, which no application sees.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.has(CONTROL)
    }

    /// When compaction may drop the batch's tombstones and transaction markers (KIP-534), in
    /// milliseconds since 1970.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        self.has(DELETE_HORIZON).then_some(self.base_timestamp)
    }

    /// What the records' timestamps are stored relative to: the first record's timestamp, or the
    /// delete horizon. `None` when the first record has none.
    #[must_use]
    pub fn base_timestamp(&self) -> Option<i64> {
        (self.base_timestamp >= 0).then_some(self.base_timestamp)
    }

    /// The largest timestamp of the records, or the time of the append; `None` when no record has
    /// a timestamp.
    #[must_use]
    pub fn max_timestamp(&self) -> Option<i64> {
        (self.max_timestamp >= 0).then_some(self.max_timestamp)
    }

    /// The id of the idempotent or transactional producer.
    #[must_use]
    pub fn producer_id(&self) -> Option<i64> {
        (self.producer_id >= 0).then_some(self.producer_id)
    }

    /// The epoch of the producer.
    #[must_use]
    pub fn producer_epoch(&self) -> Option<i16> {
        (self.producer_epoch >= 0).then_some(self.producer_epoch)
    }

    /// The sequence number of the first record; `None` without one, as in transaction markers.
    #[must_use]
    pub fn base_sequence(&self) -> Option<i32> {
        (self.base_sequence >= 0).then_some(self.base_sequence)
    }

    /// The sequence number of the last record.
    #[must_use]
    pub fn last_sequence(&self) -> Option<i32> {
        self.sequence_at(self.last_offset_delta)
    }

    #[inline]
    pub(crate) fn sequence_at(&self, offset_delta: i32) -> Option<i32> {
        self.base_sequence().map(|base| increment_sequence(base, offset_delta))
    }

    /// The distance from the base offset to the last offset.
    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta
    }

    /// How many records the batch holds now; compaction makes it smaller than the range of offsets
    /// and may make it 0.
    #[must_use]
    #[inline]
    pub fn records_count(&self) -> usize {
        usize::try_from(self.count).unwrap_or_default()
    }

    #[inline]
    fn has(&self, bit: u16) -> bool {
        self.attributes & bit != 0
    }
}

impl fmt::Debug for BatchHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchHeader")
            .field("offsets", &(self.base_offset()..=self.last_offset()))
            .field("size", &self.size)
            .field("records_count", &self.count)
            .field("leader_epoch", &self.leader_epoch())
            .field("crc", &format_args!("{:08x}", self.crc))
            .field("compression", &self.compression)
            .field("timestamp_type", &self.timestamp_type())
            .field("is_transactional", &self.is_transactional())
            .field("is_control", &self.is_control())
            .field("delete_horizon", &self.delete_horizon())
            .field("base_timestamp", &self.base_timestamp())
            .field("max_timestamp", &self.max_timestamp())
            .field("producer_id", &self.producer_id())
            .field("producer_epoch", &self.producer_epoch())
            .field("base_sequence", &self.base_sequence())
            .finish()
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// A field of a header that is known to be whole.
fn array<const N: usize>(bytes: &[u8; BATCH_HEADER_LEN], at: usize) -> [u8; N] {
    field(bytes, at).unwrap_or([0; N])
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(slot) = bytes.get_mut(at..).and_then(|tail| tail.first_chunk_mut::<N>()) {
        *slot = value;
    }
}
