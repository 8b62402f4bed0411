//! Aborted transactions: the `.txnindex` entries of a segment, in Kafka's bytes.
//!
//! An entry belongs to the segment that holds the abort marker. A reader who wants only committed
//! records skips the transactional batches of a producer from the entry's first offset up to its
//! abort marker.

pub(crate) const ENTRY_LEN: usize = 34;

/// One entry of a transaction index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Who aborted.
    pub producer_id: i64,
    /// The first offset of the transaction in this partition.
    pub first_offset: i64,
    /// The offset of the abort marker.
    pub last_offset: i64,
    /// The last stable offset right after the abort.
    pub last_stable_offset: i64,
}

impl AbortedTxn {
    /// The entries of a `.txnindex` file; reading stops at the first that cannot be one.
    pub fn read_all(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.as_chunks::<ENTRY_LEN>().0.iter().map_while(Self::read)
    }

    fn read(entry: &[u8; ENTRY_LEN]) -> Option<Self> {
        let (version, rest) = entry.split_first_chunk::<2>()?;
        let (numbers, _) = rest.as_chunks::<8>();
        let [pid, first, last, stable] = *<&[[u8; 8]; 4]>::try_from(numbers).ok()?;
        (*version == [0, 0]).then_some(Self {
            producer_id: i64::from_be_bytes(pid),
            first_offset: i64::from_be_bytes(first),
            last_offset: i64::from_be_bytes(last),
            last_stable_offset: i64::from_be_bytes(stable),
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&0i16.to_be_bytes());
        for number in
            [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset]
        {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// The bytes of a `.txnindex` file with these entries.
pub(crate) fn encode(entries: &[AbortedTxn]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ENTRY_LEN);
    for entry in entries {
        entry.write(&mut out);
    }
    out
}

/// Reads a `.txnindex` file of the segment at `base_offset`; `None` if it cannot belong to it.
pub(crate) fn decode(bytes: &[u8], base_offset: i64) -> Option<Vec<AbortedTxn>> {
    let entries: Vec<AbortedTxn> = AbortedTxn::read_all(bytes).collect();
    let whole = entries.len() * ENTRY_LEN == bytes.len();
    let sane =
        entries.iter().all(|e| e.last_offset >= base_offset && e.first_offset <= e.last_offset);
    let ascend = entries.is_sorted_by_key(|e| e.last_offset);
    (whole && sane && ascend).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip() {
        let entry = AbortedTxn {
            producer_id: 4000,
            first_offset: 462,
            last_offset: 463,
            last_stable_offset: 464,
        };
        let bytes = encode(&[entry, entry]);
        assert_eq!(bytes.len(), 68);
        assert_eq!(decode(&bytes, 100), Some(vec![entry, entry]));
        assert_eq!(decode(&bytes, 464), None, "ends before its segment begins");
        assert_eq!(decode(bytes.get(..40).unwrap(), 100), None, "half an entry");
        let mut other = bytes.clone();
        other[1] = 1;
        assert_eq!(decode(&other, 100), None, "unknown version");
    }
}
