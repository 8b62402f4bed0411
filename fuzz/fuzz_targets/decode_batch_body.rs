//! Any bytes as a batch: nothing panics, and what is accepted is consistent.

use bytes::Bytes;
use logreel::record::{
    BatchBuilder, BatchHeader, BatchRecords, ControlRecord, Header, RecordBatch, RecordView,
};

type Row = (i64, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>, Vec<Header>);

fn row(record: &RecordView<'_>) -> Row {
    let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let headers: Vec<Header> = record.headers().map(Header::from).collect();
    assert_eq!(headers.len(), record.header_count());
    (record.offset(), record.timestamp(), own(record.key()), own(record.value()), headers)
}

/// Runs one input.
pub fn run(data: &[u8]) {
    decode(data);
    // The same behind a header that says the right size, to get past the first check.
    let mut framed = data.to_vec();
    if let Ok(length) = i32::try_from(data.len()).map(|len| len - 12) {
        if let Some(slot) = framed.get_mut(8..12) {
            slot.copy_from_slice(&length.to_be_bytes());
        }
        if let Some(magic) = framed.get_mut(16) {
            *magic = 2;
        }
        decode(&framed);
    }
}

fn decode(data: &[u8]) {
    let Ok(batch) = RecordBatch::parse(Bytes::copy_from_slice(data)) else {
        return;
    };
    let header = *batch.header();
    assert_eq!(BatchHeader::peek_size(data), Some(header.size()));
    assert_eq!(batch.bytes().len(), header.size());
    assert!(header.next_offset() > header.last_offset());
    assert!(header.last_offset() >= header.base_offset());
    let _ = (batch.verify_crc(), format!("{batch:?}"));
    let Ok(records) = batch.records() else {
        return;
    };
    consistent(&header, &records);
}

fn consistent(header: &BatchHeader, records: &BatchRecords) {
    assert_eq!(records.iter().count(), header.records_count());
    let mut at = 0;
    for record in records {
        let (walked, next) = RecordView::decode(records.data(), at, header).unwrap();
        assert_eq!(row(&walked), row(&record));
        assert!(next > at);
        at = next;
        assert!(record.offset() >= header.base_offset());
        assert!(record.offset() < header.next_offset());
        if let (true, Some(key)) = (header.is_control(), record.key()) {
            let _ = ControlRecord::parse(key, record.value());
        }
    }
    // A copy, as compaction writes it, reads the same. It is refused when offsets do not grow.
    let mut builder = BatchBuilder::replacing(header, None);
    if records.iter().any(|record| builder.copy(&record).is_err()) {
        return;
    }
    let sealed = builder.seal().unwrap();
    let copy = RecordBatch::parse(Bytes::from(sealed.into_bytes())).unwrap();
    copy.verify_crc().unwrap();
    assert_eq!(copy.header().next_offset(), header.next_offset());
    let copied = copy.records().unwrap();
    assert!(copied.iter().map(|r| row(&r)).eq(records.iter().map(|r| row(&r))));
}
