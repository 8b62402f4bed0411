//! One record of a batch, found without reading those before it.

use std::hint::black_box;

use super::header::BatchHeader;
use super::varint::read_varint;
use super::view::RecordView;

/// What the processor fetches from memory at a time.
const LINE_BYTES: usize = 64;

/// Has the processor fetch these bytes all at once. Where each place says how far it is to the next
/// one it would fetch and wait, over and over.
pub(crate) fn touch(bytes: &[u8]) {
    let first = |line: &[u8]| line.first().copied().unwrap_or_default();
    black_box(bytes.chunks(LINE_BYTES).fold(0, |sum, line| sum ^ first(line)));
}

/// The record with this offset among `data`, the uncompressed records of a batch. Where none is
/// missing it is known how many come before it, and only their lengths are looked at. `None` where
/// it is not there, and where something is wrong on the way to it.
pub(crate) fn find_record<'a>(
    data: &'a [u8],
    header: &BatchHeader,
    offset: i64,
) -> Option<RecordView<'a>> {
    let before = usize::try_from(offset.checked_sub(header.base_offset())?).ok()?;
    let mut at = 0;
    if header.last_offset_delta.checked_add(1) == Some(header.count) {
        // As far as it is if all are of a size.
        let far =
            (data.len() / header.records_count().max(1)).saturating_mul(before.saturating_add(1));
        touch(data.get(..far).unwrap_or(data));
        for _ in 0..before {
            let (length, next) = read_varint(data, at).ok()?;
            at = next.checked_add(usize::try_from(length).ok()?)?;
        }
        let (record, _) = RecordView::decode(data, at, header).ok()?;
        return (record.offset() == offset).then_some(record);
    }
    for _ in 0..header.count {
        let (found, next) = RecordView::check(data, at, header).ok()?;
        if found >= offset {
            let (record, _) = RecordView::decode(data, at, header).ok()?;
            return (found == offset).then_some(record);
        }
        at = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BATCH_HEADER_LEN, BatchBuilder, Header, RecordBatch};

    fn batch() -> RecordBatch {
        let mut builder = BatchBuilder::new();
        let headers = [Header::new("h", "x")];
        for size in [3, 0, 200, 9000, 1, 70, 64] {
            let value = vec![7; size];
            let headers = if size == 1 { &headers[..] } else { &[] };
            builder.append(Some(5), Some(b"key"), Some(&value), headers).unwrap();
        }
        let mut sealed = builder.seal().unwrap();
        sealed.assign(40, 0);
        RecordBatch::parse(sealed.into_bytes().into()).unwrap()
    }

    /// What is found of each offset in and around a batch.
    fn found(data: &[u8], header: &BatchHeader) -> Vec<Option<(i64, usize)>> {
        let find = |offset| find_record(data, header, offset);
        let shown = |view: RecordView<'_>| (view.offset(), view.value().map_or(0, <[u8]>::len));
        (38..50).map(|offset| find(offset).map(shown)).collect()
    }

    #[test]
    fn what_is_there_is_found_and_nothing_else() {
        let batch = batch();
        let records = batch.records().unwrap();
        let mut expected = vec![None; 12];
        for (at, record) in records.iter().enumerate() {
            expected[at + 2] = Some((record.offset(), record.value().unwrap().len()));
        }
        let data = &batch.bytes()[BATCH_HEADER_LEN..];
        assert_eq!(found(data, batch.header()), expected);
        // Where some may be missing, offsets are looked at.
        let header = BatchHeader { last_offset_delta: 9, ..*batch.header() };
        assert_eq!(found(data, &header), expected);
        // Without the first record: a header that says so, and one that does not.
        let (_, second) = RecordView::check(data, 0, batch.header()).unwrap();
        let header = BatchHeader { count: 6, ..*batch.header() };
        expected[2] = None;
        assert_eq!(found(&data[second..], &header), expected);
        assert!(found(&data[second..], batch.header()).iter().all(Option::is_none));
        assert_eq!(found(&data[..0], batch.header()), [None; 12]);
        assert_eq!(found(&data[..0], &BatchHeader { count: 0, ..*batch.header() }), [None; 12]);
    }

    #[test]
    fn bytes_that_are_wrong_are_no_other_record() {
        let batch = batch();
        let good = found(&batch.bytes()[BATCH_HEADER_LEN..], batch.header());
        let mut declined = 0;
        for at in BATCH_HEADER_LEN..batch.bytes().len() {
            let mut data = batch.bytes().to_vec();
            data[at] ^= 0x81;
            let found = found(&data[BATCH_HEADER_LEN..], batch.header());
            for (found, good) in found.into_iter().zip(&good) {
                declined += usize::from(found.is_none() && good.is_some());
                assert!(found.is_none_or(|(offset, _)| good.is_some_and(|good| good.0 == offset)));
            }
        }
        assert!(declined > 50);
    }
}
