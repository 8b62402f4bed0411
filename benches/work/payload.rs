//! Keys and values that look random and cost next to nothing to make.

/// Where values are cut from.
const POOL: usize = 1 << 17;

/// Records of one value size: number `i` is always the same one.
#[derive(Clone, Debug)]
pub struct Payload {
    pool: Vec<u8>,
    size: usize,
}

impl Payload {
    pub fn new(size: usize) -> Self {
        let mut pool = Vec::with_capacity(POOL + size);
        let mut i = 0;
        while pool.len() < POOL + size {
            pool.extend_from_slice(&mix(i).to_le_bytes());
            i += 1;
        }
        Self { pool, size }
    }

    /// Bytes of a value.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The key of a record, 8 bytes.
    #[inline]
    pub fn key(&self, i: usize) -> [u8; 8] {
        mix(i as u64).to_be_bytes()
    }

    /// The value of a record.
    #[inline]
    pub fn value(&self, i: usize) -> &[u8] {
        let at = i.wrapping_mul(977) % POOL;
        &self.pool[at..at + self.size]
    }

    /// What [`Sum`] comes to over the first `records`.
    pub fn sum(&self, records: usize) -> Sum {
        let mut sum = Sum::default();
        for i in 0..records {
            sum.add(&self.key(i), self.value(i));
        }
        sum
    }
}

/// A value's size as names have it.
pub fn shown(size: usize) -> String {
    match size {
        1024 => "1 KiB".to_owned(),
        size => format!("{size} B"),
    }
}

/// Spreads a counter over 64 bits.
#[inline]
pub fn mix(i: u64) -> u64 {
    let mut z = i.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^= z >> 31;
    z.wrapping_mul(0x94d0_49bb_1331_11eb) ^ (z >> 29)
}

/// Count and checksum of records, in whatever order they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub count: usize,
    sum: u64,
}

impl Sum {
    #[inline]
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.count += 1;
        let hash = crc32c::crc32c_append(crc32c::crc32c(key), value);
        self.sum = self.sum.wrapping_add(u64::from(hash));
    }

    pub fn of(count: usize, sum: u64) -> Self {
        Self { count, sum }
    }

    /// What both come to.
    pub fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, sum: self.sum.wrapping_add(other.sum) }
    }
}
