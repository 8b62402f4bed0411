//! Kafka's classic field encodings: big-endian numbers, strings and byte arrays with lengths.

/// Writes fields one after the other.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn i8(&mut self, value: i8) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A string with a 16-bit length; what does not fit is cut at a character.
    pub(super) fn string(&mut self, value: &str) -> &mut Self {
        let mut end = value.len().min(usize::from(i16::MAX.unsigned_abs()));
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        let value = value.get(..end).unwrap_or_default();
        self.i16(i16::try_from(value.len()).unwrap_or(i16::MAX));
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    pub(super) fn nullable_string(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None => self.i16(-1),
        }
    }

    /// An unsigned varint of the flexible encodings.
    pub(super) fn varint(&mut self, value: usize) -> &mut Self {
        let mut left = value;
        loop {
            let [low, ..] = left.to_le_bytes();
            left >>= 7;
            if left == 0 {
                self.0.push(low & 0x7f);
                return self;
            }
            self.0.push(low | 0x80);
        }
    }

    /// A string of the flexible encodings: its length plus one, then its bytes.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.varint(value.len() + 1).raw(value.as_bytes())
    }

    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.0.extend_from_slice(value);
        self
    }
}

/// Reads fields one after the other; `None` where the bytes end or make no sense.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn i8(&mut self) -> Option<i8> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Option<&'a str> {
        self.nullable_string()?
    }

    pub(super) fn nullable_string(&mut self) -> Option<Option<&'a str>> {
        match self.i16()? {
            -1 => Some(None),
            len => {
                let bytes = self.take(usize::try_from(len).ok()?)?;
                str::from_utf8(bytes).ok().map(Some)
            }
        }
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.i32()?).ok()?;
        self.take(len)
    }

    pub(super) fn nullable_bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.i32()? {
            -1 => Some(None),
            len => self.take(usize::try_from(len).ok()?).map(Some),
        }
    }

    /// An unsigned varint of the flexible encodings.
    pub(super) fn varint(&mut self) -> Option<usize> {
        let mut value: usize = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array::<1>()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Bytes with their length before them: plain, or as the flexible encodings have it, an
    /// unsigned varint of the length plus one.
    pub(super) fn blob(&mut self, compact: bool) -> Option<&'a [u8]> {
        if !compact {
            return self.bytes();
        }
        let len = self.varint()?.checked_sub(1)?;
        self.take(len)
    }

    pub(super) fn text(&mut self, compact: bool) -> Option<&'a str> {
        self.nullable_text(compact)?
    }

    pub(super) fn nullable_text(&mut self, compact: bool) -> Option<Option<&'a str>> {
        if !compact {
            return self.nullable_string();
        }
        match self.varint()?.checked_sub(1) {
            None => Some(None),
            Some(len) => str::from_utf8(self.take(len)?).ok().map(Some),
        }
    }

    /// How many elements an array has; none where it is null.
    pub(super) fn count(&mut self, compact: bool) -> Option<usize> {
        if compact {
            return Some(self.varint()?.saturating_sub(1));
        }
        Some(usize::try_from(self.i32()?).unwrap_or(0))
    }

    /// Passes over the tagged fields of the flexible encodings.
    pub(super) fn skip_tagged(&mut self) -> Option<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let len = self.varint()?;
            self.take(len)?;
        }
        Some(())
    }
}
