//! A whole batch, and its records uncompressed.

use std::fmt;

use bytes::Bytes;

use super::compression::{Compression, DECOMPRESSED_BYTES_MAX, decompress};
use super::error::{Corruption, DecodeError};
use super::header::{BATCH_HEADER_LEN, BatchHeader};
use super::view::RecordView;

/// One batch as it lies on disk: its header, read, and all its bytes, shared.
///
/// ```
/// use bytes::Bytes;
/// use logreel::record::{BatchBuilder, RecordBatch};
/// let mut builder = BatchBuilder::new();
/// builder.append(None, None, Some(b"hello"), &[])?;
/// let mut log = builder.seal()?.into_bytes();
/// log.extend_from_slice(&log.clone());
///
/// let log = Bytes::from(log);
/// let first = RecordBatch::parse(log.clone())?;
/// first.verify_crc()?;
/// let second = RecordBatch::parse(log.slice(first.bytes().len()..))?;
/// assert_eq!(first.bytes(), second.bytes());
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone)]
pub struct RecordBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl fmt::Debug for RecordBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordBatch").field("header", &self.header).finish_non_exhaustive()
    }
}

impl RecordBatch {
    /// Takes the first batch off `bytes`, which may hold more behind it. Shares the memory, copies
    /// nothing, does not compute the checksum.
    ///
    /// # Errors
    ///
    /// What [`BatchHeader::parse`] finds wrong, and [`Corruption::TooShort`] when `bytes` end
    /// before the batch does.
    pub fn parse(bytes: Bytes) -> Result<Self, DecodeError> {
        let header = BatchHeader::parse(&bytes)?;
        let (needed, available) = (header.size(), bytes.len());
        if available < needed {
            let reason = Corruption::TooShort { needed, available };
            return Err(DecodeError::new(reason, available, Some(header.base_offset())));
        }
        Ok(Self { header, bytes: bytes.slice(..needed) })
    }

    /// The header.
    #[must_use]
    #[inline]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes of the batch, exactly [`BatchHeader::size`] of them.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Compares the stored checksum with that of the bytes.
    ///
    /// # Errors
    ///
    /// [`Corruption::ChecksumMismatch`].
    pub fn verify_crc(&self) -> Result<(), DecodeError> {
        self.header.verify_crc(&self.bytes)
    }

    /// The uncompressed records section: shared with the batch when it is not compressed, else
    /// freshly decompressed, at most [`DECOMPRESSED_BYTES_MAX`]. Looks at no record; for a reader
    /// that walks with [`RecordView::decode`].
    ///
    /// # Errors
    ///
    /// What [`decompress`] finds wrong.
    pub fn records_data(&self) -> Result<Bytes, DecodeError> {
        self.records_data_as(Bytes::from)
    }

    /// The same; says how to share what had to be decompressed.
    pub(crate) fn records_data_as(
        &self,
        share: impl FnOnce(Vec<u8>) -> Bytes,
    ) -> Result<Bytes, DecodeError> {
        let section = self.bytes.slice(BATCH_HEADER_LEN.min(self.bytes.len())..);
        // A compressed batch without records is never decompressed, see the format.
        if self.header.compression() == Compression::None || self.header.records_count() == 0 {
            return Ok(section);
        }
        decompress(self.header.compression(), &section, DECOMPRESSED_BYTES_MAX)
            .map(share)
            .map_err(|error| self.relocate(&error, 0))
    }

    /// The records, decompressed if need be and every one of them checked, so that iterating
    /// cannot fail. Takes one pass over the records; allocates only for compressed batches.
    ///
    /// # Errors
    ///
    /// What is wrong with the first bad record, [`Corruption::EndOfData`] or
    /// [`Corruption::RecordLength`] when records are missing, [`Corruption::TrailingBytes`] when
    /// there are more than the header says.
    pub fn records(&self) -> Result<BatchRecords, DecodeError> {
        let data = self.records_data()?;
        let mut at = 0;
        for _ in 0..self.header.records_count() {
            let (_, next) = RecordView::check(&data, at, &self.header)
                .map_err(|error| self.relocate(&error, error.position()))?;
            at = next;
        }
        let left = data.len() - at;
        if left > 0 && !self.is_hollow() {
            let error = DecodeError::new(Corruption::TrailingBytes(left), at, None);
            return Err(self.relocate(&error, at));
        }
        Ok(BatchRecords { header: self.header, data })
    }

    /// A compressed batch without records, whose section is not looked at.
    fn is_hollow(&self) -> bool {
        self.header.records_count() == 0 && self.header.compression() != Compression::None
    }

    /// The same error at its place in the batch, for one at `at` in the records.
    #[cold]
    fn relocate(&self, error: &DecodeError, at: usize) -> DecodeError {
        let inside = if self.header.compression() == Compression::None { at } else { 0 };
        let position = BATCH_HEADER_LEN + inside;
        DecodeError::new(error.reason().clone(), position, Some(self.header.base_offset()))
    }
}

/// The records of one batch, uncompressed and checked. Cheap to clone: the bytes are shared.
#[derive(Clone)]
pub struct BatchRecords {
    header: BatchHeader,
    data: Bytes,
}

impl fmt::Debug for BatchRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchRecords").field("header", &self.header).finish_non_exhaustive()
    }
}

impl BatchRecords {
    /// The header of the batch.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The uncompressed records, one after the other.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.header.records_count()
    }

    /// Whether compaction removed every record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records in the order of their offsets. A fetch returns whole batches, so the first ones
    /// may lie before the offset asked for.
    #[must_use]
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter { header: &self.header, data: &self.data, at: 0, left: self.len() }
    }
}

impl<'a> IntoIterator for &'a BatchRecords {
    type Item = RecordView<'a>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// The records of a batch, see [`BatchRecords::iter`].
#[derive(Clone)]
pub struct RecordIter<'a> {
    header: &'a BatchHeader,
    data: &'a [u8],
    at: usize,
    left: usize,
}

impl fmt::Debug for RecordIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordIter").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = RecordView<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordView<'a>> {
        self.left = self.left.checked_sub(1)?;
        let data = self.data.get(self.at..)?;
        if let Some((record, behind)) = RecordView::plain(data, self.header) {
            self.at = self.data.len() - behind.len();
            return Some(record);
        }
        // Checked by `RecordBatch::records`; the iterator would end early otherwise.
        let (record, next) = RecordView::decode(self.data, self.at, self.header).ok()?;
        self.at = next;
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RecordIter<'_> {}
