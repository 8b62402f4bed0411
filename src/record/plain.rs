//! A record as most are: without headers, and with numbers of one or two bytes.

use super::header::BatchHeader;
use super::varint::read_small;

/// Such a record.
pub(super) struct Plain<'a> {
    pub(super) timestamp_delta: i32,
    pub(super) delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

impl<'a> Plain<'a> {
    /// Reads the record at the front of `data`, and answers it with what lies behind. `None` for
    /// any other record, and for anything wrong.
    #[inline(always)]
    pub(super) fn read(data: &'a [u8], header: &BatchHeader) -> Option<(Self, &'a [u8])> {
        let (length, rest) = read_small(data)?;
        let (body, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let (_attributes, rest) = body.split_first()?;
        let (timestamp_delta, rest) = read_small(rest)?;
        let (delta, rest) = read_small(rest)?;
        let (key, rest) = nullable(rest)?;
        let (value, rest) = nullable(rest)?;
        // No headers, and nothing behind their number.
        let is_plain = rest == [0] && delta >= 0 && delta <= header.last_offset_delta;
        is_plain.then_some((Self { timestamp_delta, delta, key, value }, behind))
    }
}

#[inline(always)]
fn nullable(data: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = read_small(data)?;
    if length < 0 {
        return Some((None, rest));
    }
    let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Some(bytes), rest))
}
