//! The offset and time index of a segment, in Kafka's bytes.
//!
//! An `.index` entry is 8 bytes: last offset of a batch minus the segment's base, and the position
//! of that batch. A `.timeindex` entry is 12 bytes: the largest timestamp so far, and the last
//! offset (minus base) of the first batch that has it. Neither file has a header or checksum: they
//! are caches, checked before use and rebuilt from the log when in doubt.
//!
//! The active segment keeps its entries in memory, in these bytes; they become files when the
//! segment is rolled or closed.

use crate::record::BatchHeader;

pub(crate) const OFFSET_ENTRY_LEN: usize = 8;
pub(crate) const TIME_ENTRY_LEN: usize = 12;

/// One entry of an offset index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetIndexEntry {
    /// The last offset of the indexed batch, relative to the segment's base offset.
    pub relative_offset: i32,
    /// Where that batch begins in the `.log` file.
    pub position: i32,
}

/// One entry of a time index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeIndexEntry {
    /// The largest timestamp of the segment up to this entry.
    pub timestamp: i64,
    /// The last offset of the first batch with that timestamp, relative to the base offset.
    pub relative_offset: i32,
}

impl OffsetIndexEntry {
    /// The entries of an `.index` file; bytes after the last whole entry are left out.
    pub fn read_all(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.as_chunks::<OFFSET_ENTRY_LEN>().0.iter().map(|entry| {
            let [a, b, c, d, e, f, g, h] = *entry;
            Self {
                relative_offset: i32::from_be_bytes([a, b, c, d]),
                position: i32::from_be_bytes([e, f, g, h]),
            }
        })
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }
}

impl TimeIndexEntry {
    /// The entries of a `.timeindex` file; bytes after the last whole entry are left out.
    pub fn read_all(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Self> {
        bytes.as_chunks::<TIME_ENTRY_LEN>().0.iter().map(|entry| {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
            Self {
                timestamp: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
                relative_offset: i32::from_be_bytes([i, j, k, l]),
            }
        })
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }
}

fn entry_at<const N: usize>(bytes: &[u8], index: usize) -> Option<&[u8; N]> {
    bytes.as_chunks::<N>().0.get(index)
}

/// The position of the first entry whose offset is at least `relative`. Offsets grow about as
/// evenly as positions do, so it is looked for around the place where it would be then.
fn first_from(entries: &[[u8; OFFSET_ENTRY_LEN]], relative: i64) -> usize {
    let offset = |at: usize| {
        let entry = entries.get(at).and_then(|entry| OffsetIndexEntry::read_all(entry).next());
        entry.map_or(i64::MAX, |entry| i64::from(entry.relative_offset))
    };
    let last = offset(entries.len().saturating_sub(1)).max(1);
    let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let even = relative.clamp(0, last).saturating_mul(count) / last;
    let guess = usize::try_from(even).unwrap_or(usize::MAX).min(entries.len());
    let (mut from, mut to, mut step) = (guess, guess, 1);
    while from > 0 && offset(from) >= relative {
        (to, from, step) = (from, from.saturating_sub(step), step * 2);
    }
    while to < entries.len() && offset(to) < relative {
        (from, to, step) = (to, to.saturating_add(step).min(entries.len()), step * 2);
    }
    let between = entries.get(from..to).unwrap_or_default();
    from + between.partition_point(|entry| {
        OffsetIndexEntry::read_all(entry)
            .next()
            .is_some_and(|e| i64::from(e.relative_offset) < relative)
    })
}

/// The greatest entry whose offset is at most `relative`; the search start for that offset.
pub(crate) fn offset_floor(bytes: &[u8], relative: i64) -> Option<OffsetIndexEntry> {
    let entries = bytes.as_chunks::<OFFSET_ENTRY_LEN>().0;
    let after = first_from(entries, relative.saturating_add(1));
    OffsetIndexEntry::read_all(entries.get(after.checked_sub(1)?)?).next()
}

/// The last entry whose offset is below `relative`, and the one behind it.
pub(crate) fn offset_around(
    bytes: &[u8],
    relative: i64,
) -> (Option<OffsetIndexEntry>, Option<OffsetIndexEntry>) {
    let entries = bytes.as_chunks::<OFFSET_ENTRY_LEN>().0;
    let next = first_from(entries, relative);
    let read = |at: usize| OffsetIndexEntry::read_all(entries.get(at)?).next();
    (next.checked_sub(1).and_then(read), read(next))
}

/// The greatest entry whose timestamp is at most `timestamp`.
pub(crate) fn time_floor(bytes: &[u8], timestamp: i64) -> Option<TimeIndexEntry> {
    let entries = bytes.as_chunks::<TIME_ENTRY_LEN>().0;
    let after = entries.partition_point(|entry| {
        TimeIndexEntry::read_all(entry).next().is_some_and(|e| e.timestamp <= timestamp)
    });
    let entry: &[u8; TIME_ENTRY_LEN] = entry_at(bytes, after.checked_sub(1)?)?;
    TimeIndexEntry::read_all(entry).next()
}

/// Whether index files can belong to a segment of this size: whole entries, ascending, inside.
pub(crate) fn plausible(offset: &[u8], time: &[u8], segment_size: u64) -> bool {
    let whole =
        offset.len().is_multiple_of(OFFSET_ENTRY_LEN) && time.len().is_multiple_of(TIME_ENTRY_LEN);
    let offsets_ascend = OffsetIndexEntry::read_all(offset)
        .try_fold((-1, -1), |(last_offset, last_position), e| {
            (e.relative_offset > last_offset
                && e.position > last_position
                && i64::from(e.position) < i64::try_from(segment_size).unwrap_or(i64::MAX))
            .then_some((e.relative_offset, e.position))
        })
        .is_some();
    let times_ascend = TimeIndexEntry::read_all(time)
        .try_fold((i64::MIN, -1), |(last_time, last_offset), e| {
            (e.timestamp > last_time && e.relative_offset >= last_offset)
                .then_some((e.timestamp, e.relative_offset))
        })
        .is_some();
    whole && offsets_ascend && times_ascend
}

/// Builds the entries of a segment batch by batch, with Kafka 4's rule: a batch is indexed when
/// *more* than `index.interval.bytes` were appended since the last entry, so the first never is.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexBuilder {
    base_offset: i64,
    interval: u64,
    bytes_since_entry: u64,
    max_timestamp: Option<(i64, i64)>,
    offset: Vec<u8>,
    time: Vec<u8>,
}

impl IndexBuilder {
    pub(crate) fn new(base_offset: i64, interval: u64) -> Self {
        Self { base_offset, interval, ..Self::default() }
    }

    /// Goes on where the index files of a segment of `size` bytes end. The counter follows from
    /// the rule: it holds the bytes from the last indexed batch on.
    pub(crate) fn resume(
        base_offset: i64,
        interval: u64,
        offset: &[u8],
        time: &[u8],
        size: u64,
    ) -> Self {
        let indexed = OffsetIndexEntry::read_all(offset).last().map_or(0, |entry| entry.position);
        let last = TimeIndexEntry::read_all(time).next_back();
        Self {
            base_offset,
            interval,
            bytes_since_entry: size.saturating_sub(u64::try_from(indexed).unwrap_or(0)),
            max_timestamp: last
                .map(|e| (e.timestamp, base_offset.saturating_add(i64::from(e.relative_offset)))),
            offset: offset.to_vec(),
            time: time.to_vec(),
        }
    }

    /// Takes note of a batch that was written at `position`.
    pub(crate) fn add(&mut self, header: &BatchHeader, position: u64) {
        if let Some(timestamp) = header.max_timestamp()
            && self.max_timestamp.is_none_or(|(max, _)| timestamp > max)
        {
            self.max_timestamp = Some((timestamp, header.last_offset()));
        }
        if self.bytes_since_entry > self.interval {
            let relative = self.relative(header.last_offset());
            if let (Some(relative_offset), Ok(position)) = (relative, i32::try_from(position)) {
                OffsetIndexEntry { relative_offset, position }.write(&mut self.offset);
            }
            self.add_time_entry();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.size() as u64;
    }

    /// Adds the entry of the largest timestamp that a roll or close forces.
    pub(crate) fn finish(&mut self) {
        self.add_time_entry();
    }

    fn add_time_entry(&mut self) {
        let Some((timestamp, offset)) = self.max_timestamp else { return };
        let last = TimeIndexEntry::read_all(&self.time).next_back();
        if last.is_some_and(|last| last.timestamp >= timestamp) {
            return;
        }
        if let Some(relative_offset) = self.relative(offset) {
            TimeIndexEntry { timestamp, relative_offset }.write(&mut self.time);
        }
    }

    fn relative(&self, offset: i64) -> Option<i32> {
        offset.checked_sub(self.base_offset).and_then(|relative| i32::try_from(relative).ok())
    }

    pub(crate) fn interval(&self) -> u64 {
        self.interval
    }

    pub(crate) fn offset_bytes(&self) -> &[u8] {
        &self.offset
    }

    pub(crate) fn time_bytes(&self) -> &[u8] {
        &self.time
    }

    /// The largest timestamp and the last offset of the first batch that has it.
    pub(crate) fn max_timestamp(&self) -> Option<(i64, i64)> {
        self.max_timestamp
    }

    /// Whether an index of `limit` bytes is full; the time index keeps a slot for the roll.
    pub(crate) fn is_full(&self, limit: usize) -> bool {
        self.offset.len() / OFFSET_ENTRY_LEN >= limit / OFFSET_ENTRY_LEN
            || self.time.len() / TIME_ENTRY_LEN + 1 >= limit / TIME_ENTRY_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(entries: &[(i32, i32)]) -> Vec<u8> {
        let mut out = Vec::new();
        for &(relative_offset, position) in entries {
            OffsetIndexEntry { relative_offset, position }.write(&mut out);
        }
        out
    }

    #[test]
    fn lookups_find_the_greatest_entry_below() {
        let bytes = offsets(&[(10, 100), (20, 200), (30, 300)]);
        assert_eq!(offset_floor(&bytes, 9), None);
        assert_eq!(offset_floor(&bytes, 10).unwrap().position, 100);
        assert_eq!(offset_floor(&bytes, 29).unwrap().position, 200);
        assert_eq!(offset_floor(&bytes, i64::MAX).unwrap().position, 300);
        assert_eq!(offset_floor(&[], 1), None);

        let around = |relative| {
            let (below, next) = offset_around(&bytes, relative);
            (below.map(|entry| entry.position), next.map(|entry| entry.position))
        };
        assert_eq!(around(10), (None, Some(100)));
        assert_eq!(around(11), (Some(100), Some(200)));
        assert_eq!(around(20), (Some(100), Some(200)));
        assert_eq!(around(31), (Some(300), None));
        assert_eq!(offset_around(&[], 1), (None, None));

        let mut time = Vec::new();
        for (timestamp, relative_offset) in [(1000, 1), (2000, 5)] {
            TimeIndexEntry { timestamp, relative_offset }.write(&mut time);
        }
        assert_eq!(time_floor(&time, 999), None);
        assert_eq!(time_floor(&time, 1999).unwrap().relative_offset, 1);
        assert_eq!(time_floor(&time, 2000).unwrap().relative_offset, 5);
    }

    #[test]
    fn entries_that_lie_unevenly_are_found_too() {
        let mut offset = 0;
        let uneven: Vec<(i32, i32)> = (0..500)
            .map(|i| {
                offset += if i % 7 == 0 { 1 + i * i } else { 1 + i % 3 };
                (offset, i)
            })
            .collect();
        let (late, early) = ([(0, 0), (1, 1), (2, 2), (i32::MAX, 3)], [(5, 0), (6, 1), (7, 2)]);
        for entries in [&uneven[..], &uneven[..1], &late, &early, &[]] {
            let bytes = offsets(entries);
            let near = entries.iter().flat_map(|(o, _)| [-1, 0, 1].map(|d| i64::from(*o) + d));
            for relative in near.chain([i64::MIN, -1, 0, i64::MAX]) {
                let next = entries.iter().position(|(offset, _)| i64::from(*offset) >= relative);
                let below = next.unwrap_or(entries.len()).checked_sub(1).map(|at| entries[at].1);
                let next = next.map(|at| entries[at].1);
                let found = offset_around(&bytes, relative);
                let position = |entry: Option<OffsetIndexEntry>| entry.map(|entry| entry.position);
                assert_eq!((position(found.0), position(found.1)), (below, next), "{relative}");
            }
        }
    }

    #[test]
    fn implausible_files_are_seen() {
        assert!(plausible(&offsets(&[(1, 10), (2, 20)]), &[], 21));
        assert!(!plausible(&offsets(&[(1, 10), (2, 20)]), &[], 20), "position past the end");
        assert!(!plausible(&offsets(&[(2, 10), (1, 20)]), &[], 100), "offsets descend");
        assert!(!plausible(&offsets(&[(1, 20), (2, 10)]), &[], 100), "positions descend");
        assert!(!plausible(&[0; 9], &[], 100), "half an entry");
        assert!(!plausible(&[0; 16], &[], 100), "a zero tail");
        assert!(!plausible(&[], &[0; 24], 100), "a zero tail");
    }
}
