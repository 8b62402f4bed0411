//! One record of a mapped segment, found by touching as little of it as can be.
//!
//! What is touched for the first time in a while comes from memory, and that is most of what such a
//! read costs. So the index is asked for the batch that ends at the offset or behind it, which is
//! often the right one; nothing but headers is read of other batches; and what will be needed is
//! asked for all at once.
//!
//! Where there is anything but a plain record at a sound place this declines: a read then finds out
//! what there is, or what is wrong.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::super::digest::Digest;
use super::super::scan::{BATCH_BYTES_MAX, Demand, Expect};
use super::{ScanStart, Segment};
use crate::record::{BATCH_HEADER_LEN, BatchHeader, Compression, touch};

/// A batch that holds an offset, unless compaction removed the record.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) header: BatchHeader,
    /// What is mapped of the segment.
    pub(crate) map: Bytes,
    /// The records in it, not compressed.
    records: Range<usize>,
}

impl Picked {
    pub(crate) fn records(&self) -> &[u8] {
        self.map.get(self.records.clone()).unwrap_or_default()
    }
}

/// Where it is looked for.
struct Mapped<'a> {
    map: &'a Bytes,
    demand: Demand,
    digest: Option<Arc<Digest>>,
}

impl Segment {
    /// The batch that holds an offset.
    pub(crate) fn pick(self: &Arc<Self>, offset: i64, crc: bool) -> Option<Picked> {
        let (below, next) = self.around(offset)?;
        let map = self.mapped(below.position).ok()?;
        let mapped = Mapped { map: &map, demand: self.demand, digest: self.digest().ok()? };
        // Both at once: it is not known yet which is needed.
        mapped.touch(below.position, BATCH_HEADER_LEN as u64);
        next.into_iter().for_each(|at| mapped.touch(at.position, BATCH_HEADER_LEN as u64));
        let next = next.and_then(|at| Some((at.position, mapped.header(at)?)));
        let (position, header) = match next {
            Some(next) if next.1.base_offset() <= offset => next,
            next => mapped.search(offset, below, next)?,
        };
        let is_plain = header.compression() == Compression::None && !header.is_control();
        if !is_plain || header.size() > BATCH_BYTES_MAX {
            return None;
        }
        let batch = mapped.get(position, header.size())?;
        if crc {
            touch(batch);
            header.verify_crc(batch).ok()?;
        }
        let at = usize::try_from(position).ok()?;
        let records = at + BATCH_HEADER_LEN..at + header.size();
        Some(Picked { header, map, records })
    }
}

impl Mapped<'_> {
    /// Bytes that are what they were, as far as there is a digest to tell.
    fn get(&self, position: u64, len: usize) -> Option<&[u8]> {
        if let Some(digest) = &self.digest {
            let read = |at: u64, len: usize| {
                let at = usize::try_from(at).unwrap_or(usize::MAX).min(self.map.len());
                Ok(self.map.slice(at..at.saturating_add(len).min(self.map.len())))
            };
            let touched = position..position.saturating_add(len as u64);
            digest.check(touched, read).ok()?.is_none().then_some(())?;
        }
        let at = usize::try_from(position).ok()?;
        self.map.get(at..at.checked_add(len)?)
    }

    /// Has bytes fetched, if there are any.
    fn touch(&self, position: u64, len: u64) {
        let range = usize::try_from(position).ok().zip(usize::try_from(len).ok());
        let bytes = range.and_then(|(at, len)| self.map.get(at..at.checked_add(len)?));
        touch(bytes.unwrap_or_default());
    }

    fn header(&self, at: ScanStart) -> Option<BatchHeader> {
        let bytes = self.get(at.position, BATCH_HEADER_LEN)?;
        let header = BatchHeader::parse(bytes).ok()?;
        self.demand.misplaced(at.expect, &header).is_none().then_some(header)
    }

    /// The first batch from a place on that ends at the offset or behind it, if it holds it. The
    /// batch at `next`, if that is known, lies behind it.
    fn search(
        &self,
        offset: i64,
        from: ScanStart,
        next: Option<(u64, BatchHeader)>,
    ) -> Option<(u64, BatchHeader)> {
        let (mut at, mut next) = (from, next);
        loop {
            let header = self.header(at)?;
            if header.last_offset() >= offset {
                return (header.base_offset() <= offset).then_some((at.position, header));
            }
            let position = at.position.checked_add(header.size() as u64)?;
            let begins = header.next_offset();
            at = ScanStart { position, expect: Expect::Next(begins) };
            if let Some((end, next)) = next.take() {
                // The header, and the records up to where the one should be: most often it is in
                // this batch.
                let (bytes, offsets) =
                    (end.saturating_sub(position), next.base_offset().saturating_sub(begins));
                let before = offset.saturating_sub(begins).saturating_add(1);
                let parts = u64::try_from(before).ok().zip(u64::try_from(offsets).ok());
                let far = parts.and_then(|(a, b)| bytes.saturating_mul(a).checked_div(b));
                self.touch(position, far.unwrap_or(0).min(bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::context::{LogContext, Maps};
    use super::super::{SegmentFile, Trust};
    use super::*;
    use crate::record::{BatchBuilder, find_record};
    use crate::storage::{FileName, FilePath, Open, Storage};

    /// A sealed segment of batches of so many records, on a disk.
    fn segment(home: &tempfile::TempDir, batches: &[(usize, Compression)]) -> Arc<Segment> {
        let context = LogContext::for_tests(Storage::disk(home.path()), Maps::default());
        let dir = FileName::new("t-0").unwrap();
        context.storage.create_dir(&dir).unwrap();
        let path = FilePath::within(&dir, SegmentFile::Log.name(100));
        let file = context.storage.open(&path, Open::CreateNew).unwrap();
        let (mut bytes, mut next) = (Vec::new(), 100);
        for (records, compression) in batches {
            let mut batch = BatchBuilder::new().compression(*compression, None);
            for record in 0..*records {
                let value = format!("value {}", next + record as i64);
                batch.append(Some(1), None, Some(value.as_bytes()), &[]).unwrap();
            }
            let mut batch = batch.seal().unwrap();
            batch.assign(next, 0);
            next += *records as i64;
            bytes.extend_from_slice(batch.bytes());
        }
        file.write_all_at(0, &bytes).unwrap();
        let demand = Demand { crc: true, continuous: true, epoch: Some(0) };
        let from = (file, bytes.len() as u64);
        // Three of these batches between two entries.
        Arc::new(Segment::existing(&context, &dir, 100, from, Trust::Never, 200, demand))
    }

    fn value(segment: &Arc<Segment>, offset: i64, crc: bool) -> Option<Vec<u8>> {
        let picked = segment.pick(offset, crc)?;
        let record = find_record(picked.records(), &picked.header, offset)?;
        record.value().map(<[u8]>::to_vec)
    }

    const PLAIN: (usize, Compression) = (3, Compression::None);

    #[test]
    fn every_record_of_a_segment_is_found_once_its_index_is_read() {
        let home = tempfile::tempdir().unwrap();
        let segment = segment(&home, &[PLAIN; 20]);
        assert!(segment.pick(100, true).is_none(), "the index is not read yet");
        segment.find_offset(150, false).unwrap();
        for offset in 100..160 {
            let expected = format!("value {offset}").into_bytes();
            assert_eq!(value(&segment, offset, true), Some(expected.clone()), "{offset}");
            assert_eq!(value(&segment, offset, false), Some(expected), "{offset}");
        }
        assert_eq!((value(&segment, 99, true), value(&segment, 160, true)), (None, None));
    }

    #[test]
    fn what_is_not_plain_is_declined() {
        let home = tempfile::tempdir().unwrap();
        let mut batches = [PLAIN; 9];
        batches[4] = (3, Compression::Zstd);
        let segment = segment(&home, &batches);
        segment.find_offset(150, false).unwrap();
        for offset in 100..127 {
            let is_plain = !(112..115).contains(&offset);
            assert_eq!(segment.pick(offset, true).is_some(), is_plain, "{offset}");
        }
    }

    #[test]
    fn damage_is_declined_and_never_another_record() {
        let whole = {
            let home = tempfile::tempdir().unwrap();
            segment(&home, &[PLAIN; 9]).size()
        };
        let mut declined = 0;
        for at in 0..usize::try_from(whole).unwrap() {
            let home = tempfile::tempdir().unwrap();
            let segment = segment(&home, &[PLAIN; 9]);
            segment.find_offset(150, false).unwrap();
            let path = segment.file().path().to_path_buf();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            for offset in 100..127 {
                let expected = format!("value {offset}").into_bytes();
                match value(&segment, offset, true) {
                    Some(found) => assert_eq!(found, expected, "{offset} with byte {at} changed"),
                    None => declined += 1,
                }
            }
        }
        assert!(declined >= usize::try_from(whole).unwrap(), "{declined} of {whole}");
    }
}
