//! Kafka's RecordBatch v2: bytes in, bytes out, no I/O.
//!
//! A log file is nothing but *batches* laid back to back. A [`RecordBatch`] is one of them: a
//! header of 61 bytes ([`BatchHeader`]) and records, compressed as one blob or plain. This module
//! reads them ([`RecordBatch`], [`BatchRecords`], [`RecordView`]) and writes them
//! ([`BatchBuilder`], [`SealedBatch`]), byte for byte as Kafka 0.11 and later do (KIP-98, KIP-82,
//! KIP-110, KIP-534). The older message formats, magic 0 and 1, are recognised and refused.
//!
//! Nothing here panics or allocates more than [`DECOMPRESSED_BYTES_MAX`] (and a codec's window)
//! whatever the bytes are; what is wrong with them is a [`DecodeError`] that says what and where.
//!
//! ```
//! use bytes::Bytes;
//! use logreel::record::{BatchBuilder, Header, RecordBatch};
//!
//! let mut builder = BatchBuilder::new();
//! builder.append(Some(1_700_000_000_000), Some(b"k1"), Some(b"v1"), &[])?;
//! builder.append(None, None, Some(b"v2"), &[Header::new("trace", "7")])?;
//! let mut sealed = builder.seal()?;
//! sealed.assign(40, 0);
//!
//! let batch = RecordBatch::parse(Bytes::from(sealed.into_bytes()))?;
//! batch.verify_crc()?;
//! let records = batch.records()?;
//! let offsets: Vec<i64> = records.iter().map(|r| r.offset()).collect();
//! assert_eq!(offsets, [40, 41]);
//! # Ok::<(), logreel::Error>(())
//! ```

// Ground floor first: a file imports only siblings listed above it.
mod error;

mod checksum;

mod varint;

mod sequence;

mod compression;

mod header;

mod plain;

mod view;

mod find;

mod encode;

mod control;

mod batch;

mod sealed;

mod builder;

pub use batch::{BatchRecords, RecordBatch, RecordIter};
pub use builder::BatchBuilder;
pub(crate) use checksum::crc32c;
pub use compression::{Compression, DECOMPRESSED_BYTES_MAX, compress, decompress};
pub use control::ControlRecord;
pub use encode::Header;
pub use error::{BuildError, Corruption, DecodeError};
pub(crate) use find::{find_record, touch};
pub use header::{BATCH_HEADER_LEN, BatchHeader, LOG_OVERHEAD};
pub use sealed::SealedBatch;
pub use sequence::{decrement_sequence, increment_sequence};
pub use view::{HeaderIter, HeaderView, RecordView};

#[cfg(test)]
mod tests;
