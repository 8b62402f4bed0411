//! One record, read in place.
//!
//! A record is a length and that many bytes: attributes, timestamp delta, offset delta, key, value,
//! headers. Reading it checks all of it, headers included, so that nothing can fail afterwards.

use std::borrow::Cow;
use std::fmt;

use super::error::{Corruption, DecodeError};
use super::header::BatchHeader;
use super::plain::Plain;
use super::varint::{read_varint, read_varlong};
use crate::types::TimestampType;

/// A record inside its batch's bytes. `Copy`, owns nothing.
///
/// ```
/// use bytes::Bytes;
/// use logreel::record::{BatchBuilder, Header, RecordBatch};
/// let mut builder = BatchBuilder::new();
/// builder.append(Some(5), Some(b"k"), None, &[Header::new("trace", "7")])?;
/// let batch = RecordBatch::parse(Bytes::from(builder.seal()?.into_bytes()))?;
/// let records = batch.records()?;
/// let record = records.iter().next().ok_or(std::fmt::Error)?;
/// assert_eq!((record.offset(), record.timestamp()), (0, Some(5)));
/// assert_eq!((record.key(), record.value()), (Some(&b"k"[..]), None));
/// let header = record.headers().next().ok_or(std::fmt::Error)?;
/// assert_eq!((header.key(), header.value()), (&b"trace"[..], Some(&b"7"[..])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    offset: i64,
    timestamp: i64,
    sequence: Option<i32>,
    header_count: u32,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    /// The headers after their count, checked.
    headers: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Reads and checks the record that starts at `at` in `data`, the uncompressed records of the
    /// batch with this header, and answers it with the position of the next. Allocates nothing.
    ///
    /// ```
    /// use logreel::record::{BatchBuilder, RecordBatch, RecordView};
    /// let mut builder = BatchBuilder::new();
    /// builder.append(Some(1), None, Some(b"v"), &[])?;
    /// let batch = RecordBatch::parse(builder.seal()?.into_bytes().into())?;
    /// let data = batch.records_data()?;
    /// let (record, next) = RecordView::decode(&data, 0, batch.header())?;
    /// assert_eq!((record.value(), next), (Some(&b"v"[..]), data.len()));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What is wrong with the record; the position is one in `data`.
    #[inline]
    pub fn decode(
        data: &'a [u8],
        at: usize,
        header: &BatchHeader,
    ) -> Result<(Self, usize), DecodeError> {
        match data.get(at..).and_then(|data| Self::plain(data, header)) {
            Some((view, behind)) => Ok((view, data.len() - behind.len())),
            None => Self::decode_any(data, at, header),
        }
    }

    /// Checks the record as [`decode`](Self::decode) does, and answers its offset and the position
    /// of the next.
    #[inline]
    pub(crate) fn check(
        data: &'a [u8],
        at: usize,
        header: &BatchHeader,
    ) -> Result<(i64, usize), DecodeError> {
        match data.get(at..).and_then(|data| Self::check_plain(data, header)) {
            Some((offset, behind)) => Ok((offset, data.len() - behind.len())),
            None => Self::decode_any(data, at, header).map(|(record, next)| (record.offset, next)),
        }
    }

    /// Checks the record at the front, if it is a plain one, and answers its offset and what lies
    /// behind.
    #[inline(always)]
    pub(crate) fn check_plain(data: &'a [u8], header: &BatchHeader) -> Option<(i64, &'a [u8])> {
        let (plain, behind) = Plain::read(data, header)?;
        Some((header.base_offset.saturating_add(i64::from(plain.delta)), behind))
    }

    /// Reads the record at the front, if it is a plain one, and answers it with what lies behind.
    // Inlined whatever its size: a record that goes through memory on the way to who looks at it
    // costs more than reading it.
    #[inline(always)]
    pub(crate) fn plain(data: &'a [u8], header: &BatchHeader) -> Option<(Self, &'a [u8])> {
        let (plain, behind) = Plain::read(data, header)?;
        let Plain { timestamp_delta, delta, key, value } = plain;
        Some((Self::new(header, timestamp_delta.into(), delta, (key, value), 0, &[]), behind))
    }

    /// Any record, and what is wrong with one.
    #[inline(never)]
    fn decode_any(
        data: &'a [u8],
        at: usize,
        header: &BatchHeader,
    ) -> Result<(Self, usize), DecodeError> {
        let mut fields = Fields { data, at, base_offset: header.base_offset };
        let length = fields.varint()?;
        let (start, available) = (fields.at, fields.available());
        let end = match usize::try_from(length) {
            Ok(length) if length <= available => start + length,
            _ => return Err(fields.fail(Corruption::RecordLength { length, available })),
        };
        // From here on the record's own end is the end of the data.
        fields.data = data.get(..end).unwrap_or_default();

        let _attributes = fields.byte()?;
        let timestamp_delta = fields.varlong()?;
        let delta = fields.varint()?;
        let last = header.last_offset_delta;
        if delta < 0 || delta > last {
            return Err(fields.fail(Corruption::OffsetDelta { delta, last }));
        }
        let key = fields.nullable("key")?;
        let value = fields.nullable("value")?;
        let header_count = fields.header_count()?;
        let headers_at = fields.at;
        for _ in 0..header_count {
            fields.header()?;
        }
        if fields.at != end {
            let consumed = fields.at - start;
            return Err(fields.fail(Corruption::RecordSize { length: end - start, consumed }));
        }
        let headers = data.get(headers_at..end).unwrap_or_default();
        let parts = (key, value);
        Ok((Self::new(header, timestamp_delta, delta, parts, header_count, headers), end))
    }

    #[inline(always)]
    fn new(
        header: &BatchHeader,
        timestamp_delta: i64,
        delta: i32,
        (key, value): (Option<&'a [u8]>, Option<&'a [u8]>),
        header_count: u32,
        headers: &'a [u8],
    ) -> Self {
        let timestamp = match header.timestamp_type() {
            // Hostile deltas may overflow; Java's arithmetic wraps, and so does ours.
            TimestampType::CreateTime => header.base_timestamp.wrapping_add(timestamp_delta),
            TimestampType::LogAppendTime => header.max_timestamp,
        };
        Self {
            offset: header.base_offset.saturating_add(i64::from(delta)),
            timestamp,
            sequence: header.sequence_at(delta),
            header_count,
            key,
            value,
            headers,
        }
    }

    /// The record's offset.
    #[must_use]
    #[inline]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The record's time in milliseconds since 1970: its own, or that of the append in a batch of
    /// [`TimestampType::LogAppendTime`]. `None` when it has none (or, in bytes no Kafka client
    /// writes, a negative one).
    #[must_use]
    #[inline]
    pub fn timestamp(&self) -> Option<i64> {
        (self.timestamp >= 0).then_some(self.timestamp)
    }

    /// The producer's sequence number of the record.
    #[must_use]
    pub fn sequence(&self) -> Option<i32> {
        self.sequence
    }

    /// The key.
    #[must_use]
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value; `None` is a tombstone in a compacted topic.
    #[must_use]
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// How many headers there are.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.header_count as usize
    }

    /// The headers in their order; keys may repeat.
    #[must_use]
    pub fn headers(&self) -> HeaderIter<'a> {
        HeaderIter { data: self.headers, at: 0, left: self.header_count }
    }

    /// The headers as stored, without their count.
    pub(crate) fn raw_headers(&self) -> (u32, &'a [u8]) {
        (self.header_count, self.headers)
    }
}

impl fmt::Debug for RecordView<'_> {
    /// Prints lengths: payload does not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordView")
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp())
            .field("sequence", &self.sequence)
            .field("key_len", &self.key.map(<[u8]>::len))
            .field("value_len", &self.value.map(<[u8]>::len))
            .field("header_count", &self.header_count)
            .finish()
    }
}

/// One header of a record, in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeaderView<'a> {
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

impl<'a> HeaderView<'a> {
    /// The key's bytes: UTF-8 in what Kafka's clients write, but nothing enforces it.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The key as text, with U+FFFD in place of what is not UTF-8, as Kafka's clients read it.
    #[must_use]
    pub fn key_lossy(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key)
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }
}

impl fmt::Debug for HeaderView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderView")
            .field("key_len", &self.key.len())
            .field("value_len", &self.value.map(<[u8]>::len))
            .finish()
    }
}

/// The headers of a record, see [`RecordView::headers`].
#[derive(Clone)]
pub struct HeaderIter<'a> {
    data: &'a [u8],
    at: usize,
    left: u32,
}

impl fmt::Debug for HeaderIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderIter").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = HeaderView<'a>;

    fn next(&mut self) -> Option<HeaderView<'a>> {
        self.left = self.left.checked_sub(1)?;
        let mut fields = Fields { data: self.data, at: self.at, base_offset: 0 };
        // Checked when the record was decoded; the iterator would end early otherwise.
        let header = fields.header().ok()?;
        self.at = fields.at;
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for HeaderIter<'_> {}

/// A place in the data that moves from field to field.
struct Fields<'a> {
    data: &'a [u8],
    at: usize,
    base_offset: i64,
}

impl<'a> Fields<'a> {
    #[cold]
    fn fail(&self, reason: Corruption) -> DecodeError {
        DecodeError::new(reason, self.at, Some(self.base_offset))
    }

    #[inline]
    fn available(&self) -> usize {
        self.data.len().saturating_sub(self.at)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        match self.data.get(self.at) {
            Some(byte) => {
                self.at += 1;
                Ok(*byte)
            }
            None => Err(self.fail(Corruption::EndOfData)),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<i32, DecodeError> {
        match read_varint(self.data, self.at) {
            Ok((value, at)) => {
                self.at = at;
                Ok(value)
            }
            Err(reason) => Err(self.fail(reason)),
        }
    }

    #[inline]
    fn varlong(&mut self) -> Result<i64, DecodeError> {
        match read_varlong(self.data, self.at) {
            Ok((value, at)) => {
                self.at = at;
                Ok(value)
            }
            Err(reason) => Err(self.fail(reason)),
        }
    }

    #[inline]
    fn bytes(&mut self, field: &'static str, length: i32) -> Result<&'a [u8], DecodeError> {
        let slice = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length))
            .and_then(|end| self.data.get(self.at..end));
        match slice {
            Some(slice) => {
                self.at += slice.len();
                Ok(slice)
            }
            None => {
                let available = self.available();
                Err(self.fail(Corruption::FieldLength { field, length, available }))
            }
        }
    }

    /// A length and its bytes. Any negative length is null, as in Kafka's reader.
    #[inline]
    fn nullable(&mut self, field: &'static str) -> Result<Option<&'a [u8]>, DecodeError> {
        let length = self.varint()?;
        if length < 0 { Ok(None) } else { self.bytes(field, length).map(Some) }
    }

    #[inline]
    fn header_count(&mut self) -> Result<u32, DecodeError> {
        let count = self.varint()?;
        let available = self.available();
        match u32::try_from(count) {
            // Kafka's bound; it also keeps the loop over a hostile count short.
            Ok(small) if small as usize <= available => Ok(small),
            _ => Err(self.fail(Corruption::HeaderCount { count, available })),
        }
    }

    fn header(&mut self) -> Result<HeaderView<'a>, DecodeError> {
        let length = self.varint()?;
        let key = self.bytes("header key", length)?;
        let value = self.nullable("header value")?;
        Ok(HeaderView { key, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BATCH_HEADER_LEN, BatchBuilder, Header};

    /// The bytes of a few records of all kinds, and their header.
    fn records() -> (BatchHeader, Vec<u8>) {
        let mut builder = BatchBuilder::new();
        let long = vec![7; 9000];
        let headers = [Header::new("h", "x"), Header::null("n")];
        for (timestamp, key, value) in [
            (1000, None, None),
            (1000, Some(&b"k"[..]), Some(&b"v"[..])),
            (990, Some(b""), None),
            (100_000_000, Some(&long[..200]), Some(&long[..])),
            (1001, None, Some(&long[..300])),
        ] {
            builder.append(Some(timestamp), key, value, &[]).unwrap();
            builder.append(Some(timestamp), key, value, &headers).unwrap();
        }
        let sealed = builder.seal().unwrap();
        (*sealed.header(), sealed.bytes()[BATCH_HEADER_LEN..].to_vec())
    }

    /// The short way, the check and the long way agree, on records and on what is none.
    fn compare(data: &[u8], at: usize, header: &BatchHeader) -> Option<usize> {
        let long = RecordView::decode_any(data, at, header);
        let short = RecordView::decode(data, at, header);
        let check = RecordView::check(data, at, header);
        let shown = |(record, next): &(RecordView<'_>, usize)| {
            let (key, value) = (record.key(), record.value());
            format!("{record:?} {key:?} {value:?} {:?} {next}", record.raw_headers())
        };
        let long_shown = long.as_ref().map(shown).map_err(ToString::to_string);
        assert_eq!(short.as_ref().map(shown).map_err(ToString::to_string), long_shown, "at {at}");
        let offset = long.as_ref().map(|(record, next)| (record.offset(), *next));
        assert_eq!(
            check.as_ref().copied().map_err(ToString::to_string),
            offset.map_err(ToString::to_string),
            "at {at}"
        );
        long.ok().map(|(_, next)| next)
    }

    #[test]
    fn the_short_way_answers_what_the_long_way_does() {
        let (header, data) = records();
        let (mut at, mut count) = (0, 0);
        while at < data.len() {
            at = compare(&data, at, &header).unwrap();
            count += 1;
        }
        assert_eq!(count, 10);
        // Everything cut, begun in the middle, and with one byte changed.
        for end in (0..300).chain(data.len() - 20..data.len()) {
            compare(&data[..end], 0, &header);
            compare(&data, end, &header);
        }
        for index in 0..300 {
            for change in [1, 2, 0x40, 0x80, 0xff] {
                let mut data = data.clone();
                data[index] ^= change;
                let mut at = Some(0);
                while let Some(here) = at.filter(|at| *at < data.len()) {
                    at = compare(&data, here, &header);
                }
            }
        }
    }
}
