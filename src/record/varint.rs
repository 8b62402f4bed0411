//! Zigzag variable-length integers, as Kafka's records use them.
//!
//! Base-128 groups, least significant first, of the zigzag form, so that small numbers of either
//! sign take one byte. At most 5 bytes for an `i32` and 10 for an `i64`.

use super::error::Corruption;

#[inline]
pub(crate) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)).cast_unsigned()
}

#[inline]
fn unzigzag32(z: u32) -> i32 {
    (z >> 1).cast_signed() ^ -((z & 1).cast_signed())
}

#[inline]
fn unzigzag64(z: u64) -> i64 {
    (z >> 1).cast_signed() ^ -((z & 1).cast_signed())
}

/// How many bytes `n` takes, as an `i32` or as an `i64`: the two forms agree.
#[inline]
pub(crate) fn varint_len(n: i64) -> usize {
    match zigzag(n) {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        long => long_len(long),
    }
}

#[inline(never)]
fn long_len(zigzag: u64) -> usize {
    (64 - zigzag.leading_zeros()).div_ceil(7) as usize
}

/// Numbers of at most two bytes each, as those of most records are, put together in a register so
/// that they are written with one store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packed {
    bytes: u64,
    bits: u32,
}

impl Packed {
    /// Whether a number takes at most two bytes.
    #[inline]
    pub(crate) fn fits(n: i64) -> bool {
        zigzag(n) < 1 << 14
    }

    /// The same bytes and one number more, which [`fits`](Self::fits); at most four.
    #[inline]
    pub(crate) fn and(self, n: i64) -> Self {
        let n = zigzag(n) & 0x3fff;
        let (low, high) = (n & 0x7f, n >> 7);
        let (bytes, bits) = if high == 0 { (low, 8) } else { (low | 0x80 | high << 8, 16) };
        Self { bytes: self.bytes | bytes << (self.bits & 63), bits: self.bits + bits }
    }

    /// How many bytes they take.
    #[inline]
    pub(crate) fn len(self) -> usize {
        (self.bits / 8) as usize
    }

    /// The bytes, and zeros behind them.
    #[inline]
    pub(crate) fn bytes(self) -> [u8; 8] {
        self.bytes.to_le_bytes()
    }
}

/// Fills a slice from its beginning. What does not fit is left out; the caller knows the size.
#[derive(Debug)]
pub(crate) struct Filler<'a> {
    room: &'a mut [u8],
}

impl<'a> Filler<'a> {
    #[inline]
    pub(crate) fn new(room: &'a mut [u8]) -> Self {
        Self { room }
    }

    /// Adds bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let room = std::mem::take(&mut self.room);
        debug_assert!(bytes.len() <= room.len());
        if let Some((front, rest)) = room.split_at_mut_checked(bytes.len()) {
            copy(front, bytes);
            self.room = rest;
        }
    }

    /// Adds small numbers, with one store where there is room for it: what it writes behind them is
    /// written again.
    #[inline]
    pub(crate) fn packed(&mut self, packed: Packed) {
        let room = std::mem::take(&mut self.room);
        let (bytes, len) = (packed.bytes(), packed.len());
        match room.first_chunk_mut() {
            Some(front) => *front = bytes,
            None => room.iter_mut().zip(bytes).take(len).for_each(|(slot, byte)| *slot = byte),
        }
        self.room = room.get_mut(len..).unwrap_or_default();
    }

    /// Adds a number.
    #[inline]
    pub(crate) fn varint(&mut self, n: i64) {
        if Packed::fits(n) {
            self.packed(Packed::default().and(n));
        } else {
            self.long_varint(n);
        }
    }

    #[cold]
    fn long_varint(&mut self, n: i64) {
        let mut rest = zigzag(n);
        while rest >= 0x80 {
            self.bytes(&[(rest & 0x7f) as u8 | 0x80]);
            rest >>= 7;
        }
        self.bytes(&[(rest & 0x7f) as u8]);
    }
}

/// Copies a slice into one as long. Most keys are short: they are two words that may overlap, and
/// no call.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<8>(), from.last_chunk::<8>())
        && from.len() <= 16
        && let Some(front) = to.first_chunk_mut::<8>()
    {
        *front = *first;
        if let Some(back) = to.last_chunk_mut::<8>() {
            *back = *last;
        }
    } else {
        to.copy_from_slice(from);
    }
}

/// Reads a number of one or two bytes from the front; `None` if it is none.
#[inline(always)]
pub(crate) fn read_small(data: &[u8]) -> Option<(i32, &[u8])> {
    match data {
        [low @ 0..0x80, rest @ ..] => Some((unzigzag32(u32::from(*low)), rest)),
        [low, high @ 0..0x80, rest @ ..] => {
            Some((unzigzag32(u32::from(*low & 0x7f) | u32::from(*high) << 7), rest))
        }
        _ => None,
    }
}

/// Reads an `i32` at `at`; answers it and the position behind it. Longer forms than needed are
/// accepted, and bits of the fifth byte that do not fit drop out, both as in Kafka.
///
/// # Errors
///
/// `EndOfData`, or `VarintTooLong` when the fifth byte says that there is a sixth.
#[inline]
pub(crate) fn read_varint(data: &[u8], at: usize) -> Result<(i32, usize), Corruption> {
    match data.get(at) {
        Some(byte) if *byte < 0x80 => Ok((unzigzag32(u32::from(*byte)), at + 1)),
        _ => read_varint_slow(data, at),
    }
}

fn read_varint_slow(data: &[u8], at: usize) -> Result<(i32, usize), Corruption> {
    let mut value = 0u32;
    let mut position = at;
    for shift in [0, 7, 14, 21, 28] {
        let byte = *data.get(position).ok_or(Corruption::EndOfData)?;
        position += 1;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((unzigzag32(value), position));
        }
    }
    Err(Corruption::VarintTooLong)
}

/// Reads an `i64` at `at`; answers it and the position behind it.
///
/// # Errors
///
/// `EndOfData`, or `VarintTooLong` when the tenth byte says that there is an eleventh.
#[inline]
pub(crate) fn read_varlong(data: &[u8], at: usize) -> Result<(i64, usize), Corruption> {
    match data.get(at) {
        Some(byte) if *byte < 0x80 => Ok((unzigzag64(u64::from(*byte)), at + 1)),
        _ => read_varlong_slow(data, at),
    }
}

fn read_varlong_slow(data: &[u8], at: usize) -> Result<(i64, usize), Corruption> {
    let mut value = 0u64;
    let mut position = at;
    for shift in [0, 7, 14, 21, 28, 35, 42, 49, 56, 63] {
        let byte = *data.get(position).ok_or(Corruption::EndOfData)?;
        position += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok((unzigzag64(value), position));
        }
    }
    Err(Corruption::VarintTooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(n: i64) -> Vec<u8> {
        let mut bytes = [0; 10];
        let mut filler = Filler::new(&mut bytes);
        filler.varint(n);
        let left = filler.room.len();
        bytes[..10 - left].to_vec()
    }

    #[test]
    fn the_table_of_the_format_holds_both_ways() {
        let table: [(i32, &[u8]); 10] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (-2, &[0x03]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (300, &[0xd8, 0x04]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (n, bytes) in table {
            assert_eq!(encode(i64::from(n)), bytes, "{n}");
            assert_eq!(varint_len(i64::from(n)), bytes.len(), "{n}");
            assert_eq!(read_varint(bytes, 0), Ok((n, bytes.len())), "{n}");
            assert_eq!(read_varlong(bytes, 0), Ok((i64::from(n), bytes.len())), "{n}");
        }
    }

    #[test]
    fn every_length_round_trips() {
        let mut numbers = vec![i64::MIN, i64::MAX];
        for bit in 0..63 {
            numbers.extend([1i64 << bit, (1i64 << bit) - 1, -(1i64 << bit), -(1i64 << bit) - 1]);
        }
        for n in numbers {
            let bytes = encode(n);
            assert_eq!(bytes.len(), varint_len(n), "{n}");
            assert_eq!(read_varlong(&bytes, 0), Ok((n, bytes.len())), "{n}");
            if let Ok(small) = i32::try_from(n) {
                assert_eq!(read_varint(&bytes, 0), Ok((small, bytes.len())), "{n}");
            }
        }
        assert_eq!(encode(i64::MIN).len(), 10);
    }

    #[test]
    fn packed_numbers_are_the_same_bytes() {
        for numbers in [[0i64, -1, 63, 64], [-64, -65, 8191, -8192], [8191; 4], [-8192; 4]] {
            assert!(numbers.iter().all(|n| Packed::fits(*n)));
            let packed = numbers.iter().fold(Packed::default(), |packed, n| packed.and(*n));
            let expected: Vec<u8> = numbers.iter().flat_map(|n| encode(*n)).collect();
            // With room for a whole store, and without.
            for room in [20, expected.len()] {
                let mut out = vec![7; room];
                Filler::new(&mut out).packed(packed);
                assert_eq!(out[..expected.len()], expected);
            }
        }
        assert!(!Packed::fits(8192) && !Packed::fits(-8193) && !Packed::fits(i64::MIN));
    }

    #[test]
    fn longer_forms_than_needed_are_accepted() {
        assert_eq!(read_varint(&[0x80, 0x00], 0), Ok((0, 2)));
        assert_eq!(read_varint(&[0x82, 0x80, 0x80, 0x80, 0x00], 0), Ok((1, 5)));
        assert_eq!(read_varlong(&[0x81, 0x80, 0x00], 0), Ok((-1, 3)));
        // Bits of the last byte that do not fit drop out, as in Java.
        assert_eq!(read_varint(&[0xff, 0xff, 0xff, 0xff, 0x7f], 0), Ok((i32::MIN, 5)));
        let mut long = [0xff; 10];
        long[9] = 0x7f;
        assert_eq!(read_varlong(&long, 0), Ok((i64::MIN, 10)));
    }

    #[test]
    fn too_long_and_cut_forms_are_refused() {
        assert_eq!(read_varint(&[0x80; 6], 0), Err(Corruption::VarintTooLong));
        assert_eq!(read_varlong(&[0x80; 11], 0), Err(Corruption::VarintTooLong));
        for cut in 0..5 {
            assert_eq!(read_varint(&[0x80; 5][..cut], 0), Err(Corruption::EndOfData));
            assert_eq!(read_varlong(&[0x80; 5][..cut], 0), Err(Corruption::EndOfData));
        }
        assert_eq!(read_varint(&[0], 1), Err(Corruption::EndOfData));
        assert_eq!(read_varlong(&[0], usize::MAX), Err(Corruption::EndOfData));
    }
}
