//! What can be wrong with the bytes of a batch, and with the records given to a builder.
//!
//! Both types are values without shared state, so that fuzzers and format tools can compare them;
//! `?` turns either into the crate's [`Error`].

use std::fmt;

use crate::error::{Error, ErrorCode};

/// Why bytes are not a batch this crate can read.
///
/// The damage itself is [`reason`](Self::reason), its place [`position`](Self::position).
///
/// ```
/// use logreel::record::{BatchHeader, Corruption};
/// let error = BatchHeader::parse(&[0; 100]).unwrap_err();
/// assert_eq!(error.reason(), &Corruption::BadLength(0));
/// assert_eq!(error.to_string(), "batch length 0 is impossible at byte 8");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct DecodeError(
    // Boxed so that the results of the per-record functions stay small.
    Box<Inner>,
);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
struct Inner {
    reason: Corruption,
    position: usize,
    base_offset: Option<i64>,
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.position)?;
        match self.base_offset {
            Some(offset) => write!(f, " of the batch with base offset {offset}"),
            None => Ok(()),
        }
    }
}

impl DecodeError {
    #[cold]
    #[inline(never)]
    pub(crate) fn new(reason: Corruption, position: usize, base_offset: Option<i64>) -> Self {
        Self(Box::new(Inner { reason, position, base_offset }))
    }

    /// What is wrong.
    #[must_use]
    pub fn reason(&self) -> &Corruption {
        &self.0.reason
    }

    /// The byte where it is wrong, counted from the start of the slice that was decoded.
    ///
    /// Inside a compressed batch this is where the compressed section starts: what lies behind it
    /// has no place of its own on disk.
    #[must_use]
    pub fn position(&self) -> usize {
        self.0.position
    }

    /// The base offset of the batch, when its header could be read. It is only as trustworthy as
    /// the header: no checksum covers it.
    #[must_use]
    pub fn base_offset(&self) -> Option<i64> {
        self.0.base_offset
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        let code = match error.reason() {
            Corruption::CompressionUnavailable(_) => ErrorCode::UnsupportedCompressionType,
            _ => ErrorCode::CorruptMessage,
        };
        Self::kafka(code, "cannot read a record batch").because(error)
    }
}

/// What is wrong with the bytes of a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// There are fewer bytes than the header, or than the length field announces.
    #[error("{available} bytes where {needed} are needed")]
    TooShort {
        /// How many bytes the structure has.
        needed: usize,
        /// How many bytes there are.
        available: usize,
    },
    /// The length field cannot be that of a batch.
    #[error("batch length {0} is impossible")]
    BadLength(i32),
    /// Message format 0 or 1, written before Kafka 0.11. Not damage: this crate does not read it.
    #[error("message format {0} is not supported, only 2 is")]
    UnsupportedMagic(i8),
    /// A message format that never existed.
    #[error("message format {0} is unknown")]
    UnknownMagic(i8),
    /// The checksum in the header is not that of the bytes.
    #[error("checksum {stored:08x} is stored but {computed:08x} computed")]
    ChecksumMismatch {
        /// The CRC-32C in the header.
        stored: u32,
        /// The CRC-32C of the bytes.
        computed: u32,
    },
    /// Base offset and last offset delta are negative or pass the largest offset.
    #[error("base offset {base_offset} with last offset delta {last_offset_delta} is impossible")]
    OffsetRange {
        /// The base offset in the header.
        base_offset: i64,
        /// The last offset delta in the header.
        last_offset_delta: i32,
    },
    /// The number of records in the header is negative.
    #[error("record count {0} is negative")]
    NegativeCount(i32),
    /// A codec number that Kafka has not assigned.
    #[error("compression codec {0} is unknown")]
    UnknownCompression(u8),
    /// The codec is known but was not built in: its crate feature, named here, is off.
    #[error("compression codec {0} is not built in")]
    CompressionUnavailable(&'static str),
    /// The compressed section cannot be decompressed.
    #[error("cannot decompress: {0}")]
    Decompression(String),
    /// The records take more bytes than allowed once decompressed.
    #[error("more than {limit} bytes when decompressed")]
    TooLarge {
        /// The limit given to the decompressor.
        limit: usize,
    },
    /// The data end inside a record or between records.
    #[error("the data end inside a record")]
    EndOfData,
    /// A variable-length integer goes on past its largest size.
    #[error("a variable-length integer is too long")]
    VarintTooLong,
    /// A record's length is negative or reaches past the records.
    #[error("record length {length} with {available} bytes left")]
    RecordLength {
        /// The length in front of the record.
        length: i32,
        /// How many bytes follow.
        available: usize,
    },
    /// The fields of a record do not fill its length.
    #[error("record of {length} bytes has fields for {consumed}")]
    RecordSize {
        /// The length in front of the record.
        length: usize,
        /// How many bytes its fields take.
        consumed: usize,
    },
    /// A record's offset lies outside the batch.
    #[error("offset delta {delta} is outside 0..={last}")]
    OffsetDelta {
        /// The record's offset delta.
        delta: i32,
        /// The batch's last offset delta.
        last: i32,
    },
    /// A key, a value or a part of a header is longer than its record, or its length is negative
    /// where null is not allowed.
    #[error("{field} of {length} bytes with {available} left in the record")]
    FieldLength {
        /// Which field.
        field: &'static str,
        /// The length in front of the field.
        length: i32,
        /// How many bytes of the record follow.
        available: usize,
    },
    /// The number of headers is negative or larger than the bytes left for them.
    #[error("header count {count} with {available} bytes left in the record")]
    HeaderCount {
        /// The count in the record.
        count: i32,
        /// How many bytes of the record follow.
        available: usize,
    },
    /// Bytes follow the last record the header announces.
    #[error("{0} bytes follow the last record")]
    TrailingBytes(usize),
    /// The key of a control record is shorter than 4 bytes or of a negative version.
    #[error("the key of a control record is malformed")]
    ControlKey,
    /// The value of a transaction marker is missing, shorter than 6 bytes or of a negative version.
    #[error("the value of a transaction marker is malformed")]
    ControlValue,
}

/// Why a record or a batch cannot be built. The builder is unchanged by a refused record.
///
/// ```
/// use logreel::record::{BatchBuilder, BuildError};
/// let refused = BatchBuilder::new().append(Some(-5), None, None, &[]).unwrap_err();
/// assert!(matches!(refused, BuildError::InvalidTimestamp(-5)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A batch needs a record.
    #[error("a batch needs at least one record")]
    Empty,
    /// Timestamps are milliseconds since 1970.
    #[error("timestamp {0} is negative")]
    InvalidTimestamp(i64),
    /// Offsets increase inside a batch, and fit into 31 bits above its base.
    #[error("offset delta {delta} is below {minimum} or above the batch's last")]
    OffsetDelta {
        /// The refused distance from the base offset.
        delta: i64,
        /// The smallest one allowed next.
        minimum: i64,
    },
    /// The records would pass the absolute limit of one batch.
    #[error("a batch of {size} bytes is larger than {limit}")]
    TooLarge {
        /// Size of the records with the refused one.
        size: usize,
        /// The largest size.
        limit: usize,
    },
    /// The codec was not built in: its crate feature, named here, is off.
    #[error("compression codec {0} is not built in")]
    CompressionUnavailable(&'static str),
    /// The codec has no such level.
    #[error("compression codec {codec} has no level {level}")]
    CompressionLevel {
        /// The codec's name.
        codec: &'static str,
        /// The refused level.
        level: i32,
    },
    /// The codec failed.
    #[error("cannot compress: {0}")]
    Compression(String),
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        let code = match error {
            BuildError::InvalidTimestamp(_) => ErrorCode::InvalidTimestamp,
            BuildError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            BuildError::CompressionUnavailable(_) => ErrorCode::UnsupportedCompressionType,
            BuildError::CompressionLevel { .. } => ErrorCode::InvalidConfig,
            BuildError::Empty | BuildError::OffsetDelta { .. } | BuildError::Compression(_) => {
                ErrorCode::InvalidRecord
            }
        };
        Self::kafka(code, "cannot build a record batch").because(error)
    }
}
