//! One record, written.
//!
//! A record starts with its own length, so its size is computed first; then it is written into its
//! place in a few copies, without a buffer of its own.

use std::fmt;

use bytes::Bytes;

use super::varint::{Filler, Packed, varint_len};
use super::view::{HeaderView, RecordView};

/// A header to be written with a record (KIP-82): a name, and a value that may be null.
///
/// ```
/// use logreel::record::Header;
/// let header = Header::new("trace", "7");
/// assert_eq!((header.key(), header.value()), ("trace", Some(&b"7"[..])));
/// assert_eq!(Header::null("seen").value(), None);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Header {
    key: String,
    value: Option<Bytes>,
}

impl Header {
    /// A header with a value.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: Some(value.into()) }
    }

    /// A header whose value is null.
    #[must_use]
    pub fn null(key: impl Into<String>) -> Self {
        Self { key: key.into(), value: None }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("key", &self.key)
            .field("value_len", &self.value.as_ref().map(Bytes::len))
            .finish()
    }
}

impl From<HeaderView<'_>> for Header {
    /// Copies the header; bytes of the key that are not UTF-8 become U+FFFD.
    fn from(view: HeaderView<'_>) -> Self {
        let value = view.value().map(Bytes::copy_from_slice);
        Self { key: view.key_lossy().into_owned(), value }
    }
}

/// Length and bytes of a record at their largest, when only its parts are known: 5 bytes of
/// length, 1 of attributes, 10 of timestamp and 5 of offset.
pub(crate) const RECORD_OVERHEAD_MAX: usize = 21;

/// Where the headers of a record to be written come from.
#[derive(Clone, Copy)]
pub(crate) enum Headers<'a> {
    Owned(&'a [Header]),
    /// Already encoded: their number and their bytes.
    Raw(u32, &'a [u8]),
}

impl<'a> Headers<'a> {
    pub(crate) fn of(record: &RecordView<'a>) -> Self {
        let (count, bytes) = record.raw_headers();
        Self::Raw(count, bytes)
    }

    #[inline]
    fn count(self) -> usize {
        match self {
            Self::Owned(headers) => headers.len(),
            Self::Raw(count, _) => count as usize,
        }
    }

    /// The bytes of count and headers.
    #[inline(always)]
    fn size(self) -> usize {
        let bytes = match self {
            Self::Owned([]) => return 1,
            Self::Owned(headers) => headers.iter().fold(0usize, |sum, header| {
                sum.saturating_add(nullable_size(Some(header.key.as_bytes())))
                    .saturating_add(nullable_size(header.value()))
            }),
            Self::Raw(_, bytes) => bytes.len(),
        };
        length_size(self.count()).saturating_add(bytes)
    }

    #[inline(always)]
    fn write(self, out: &mut Filler<'_>) {
        match self {
            Self::Owned([]) => out.bytes(&[0]),
            Self::Owned(headers) => {
                out.varint(signed(headers.len()));
                for header in headers {
                    write_nullable(out, Some(header.key.as_bytes()));
                    write_nullable(out, header.value());
                }
            }
            Self::Raw(count, bytes) => {
                out.varint(i64::from(count));
                out.bytes(bytes);
            }
        }
    }
}

/// A record whose deltas are known.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

impl Parts<'_> {
    /// The bytes after the record's length. Saturates instead of overflowing.
    #[inline(always)]
    pub(crate) fn body_size(&self) -> usize {
        let small = 1 + varint_len(self.timestamp_delta) + varint_len(self.offset_delta.into());
        payload_size(self.key, self.value, self.headers).saturating_add(small)
    }

    /// Writes the record into its place, which is as large as it is. `body_size` is what
    /// [`body_size`](Self::body_size) said; the caller has compared it with the limit of a batch,
    /// so that every length fits an `i32`.
    #[inline(always)]
    pub(crate) fn write(&self, body_size: usize, place: &mut [u8]) {
        let mut out = Filler::new(place);
        let (length, offset_delta) = (signed(body_size), i64::from(self.offset_delta));
        // The zero is that of the attributes.
        if Packed::fits(length) && Packed::fits(self.timestamp_delta) {
            out.packed(Packed::default().and(length).and(0).and(self.timestamp_delta));
        } else {
            [length, 0, self.timestamp_delta].into_iter().for_each(|n| out.varint(n));
        }
        out.varint(offset_delta);
        write_nullable(&mut out, self.key);
        write_nullable(&mut out, self.value);
        self.headers.write(&mut out);
    }
}

/// The bytes of key, value and headers with their lengths.
#[inline]
pub(crate) fn payload_size(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: Headers<'_>,
) -> usize {
    nullable_size(key).saturating_add(nullable_size(value)).saturating_add(headers.size())
}

#[inline]
pub(crate) fn length_size(length: usize) -> usize {
    varint_len(signed(length))
}

#[inline]
fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| length_size(bytes.len()).saturating_add(bytes.len()))
}

#[inline]
fn write_nullable(out: &mut Filler<'_>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            out.varint(signed(bytes.len()));
            out.bytes(bytes);
        }
        None => out.varint(-1),
    }
}

/// The length of a slice is never above `isize::MAX`; sums saturate.
#[inline]
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
