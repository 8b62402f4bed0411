//! Properties of the record codec, through the public API.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "helpers of tests"
)]

use bytes::Bytes;
use logreel::TimestampType;
use logreel::record::{
    BATCH_HEADER_LEN, BatchBuilder, BatchRecords, Compression, Corruption, Header, RecordBatch,
    RecordView, decompress, increment_sequence,
};
use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
struct Row {
    timestamp: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

fn payload() -> impl Strategy<Value = Option<Vec<u8>>> {
    let repetitive = (any::<u8>(), 0usize..20_000).prop_map(|(byte, len)| vec![byte; len]);
    of(prop_oneof![4 => vec(any::<u8>(), 0..40), 2 => vec(any::<u8>(), 60..300), 1 => repetitive])
}

fn header() -> impl Strategy<Value = Header> {
    (".{0,6}", payload()).prop_map(|(key, value)| match value {
        Some(value) => Header::new(key, value),
        None => Header::null(key),
    })
}

fn row() -> impl Strategy<Value = Row> {
    let near = 1_700_000_000_000i64..1_700_000_100_000;
    let timestamp = weighted(0.9, prop_oneof![9 => near, 1 => 0..=i64::MAX]);
    (timestamp, payload(), payload(), vec(header(), 0..3))
        .prop_map(|(timestamp, key, value, headers)| Row { timestamp, key, value, headers })
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(Compression::ALL.to_vec())
        .prop_filter("built in", |codec| codec.is_available())
}

fn build(rows: &[Row], codec: Compression, producer: Option<(i64, i16, i32)>) -> BatchBuilder {
    let mut builder = BatchBuilder::new().compression(codec, None);
    if let Some((id, epoch, sequence)) = producer {
        builder = builder.producer(id, epoch, sequence);
    }
    for (i, row) in rows.iter().enumerate() {
        let (key, value) = (row.key.as_deref(), row.value.as_deref());
        let delta = builder.append(row.timestamp, key, value, &row.headers).unwrap();
        assert_eq!(delta as usize, i);
    }
    builder
}

fn parse(bytes: Vec<u8>) -> RecordBatch {
    let batch = RecordBatch::parse(Bytes::from(bytes)).unwrap();
    batch.verify_crc().unwrap();
    batch
}

fn row_of(record: &RecordView<'_>) -> Row {
    Row {
        timestamp: record.timestamp(),
        key: record.key().map(<[u8]>::to_vec),
        value: record.value().map(<[u8]>::to_vec),
        headers: record.headers().map(Header::from).collect(),
    }
}

fn rows_of(records: &BatchRecords) -> Vec<Row> {
    records.iter().map(|record| row_of(&record)).collect()
}

/// The format, written down a second time and without any care for speed.
mod by_the_book {
    use super::Row;

    fn varint(n: i64, out: &mut Vec<u8>) {
        let mut z = if n < 0 { ((-(n + 1)) as u64) * 2 + 1 } else { (n as u64) * 2 };
        while z > 127 {
            out.push((z % 128) as u8 + 128);
            z /= 128;
        }
        out.push(z as u8);
    }

    fn nullable(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
        varint(bytes.map_or(-1, |b| b.len() as i64), out);
        out.extend_from_slice(bytes.unwrap_or_default());
    }

    fn crc32c(bytes: &[u8]) -> u32 {
        let mut crc = !0u32;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        !crc
    }

    pub(crate) fn encode(rows: &[Row], producer: Option<(i64, i16, i32)>) -> Vec<u8> {
        let base = rows[0].timestamp.unwrap_or(-1);
        let max = rows.iter().filter_map(|row| row.timestamp).max().unwrap_or(-1);
        let (id, epoch, sequence) = producer.unwrap_or((-1, -1, -1));
        let mut covered = vec![0, 0];
        covered.extend_from_slice(&(rows.len() as i32 - 1).to_be_bytes());
        covered.extend_from_slice(&base.to_be_bytes());
        covered.extend_from_slice(&max.to_be_bytes());
        covered.extend_from_slice(&id.to_be_bytes());
        covered.extend_from_slice(&epoch.to_be_bytes());
        covered.extend_from_slice(&sequence.to_be_bytes());
        covered.extend_from_slice(&(rows.len() as i32).to_be_bytes());
        for (offset_delta, row) in rows.iter().enumerate() {
            let mut body = vec![0];
            varint(row.timestamp.unwrap_or(-1) - base, &mut body);
            varint(offset_delta as i64, &mut body);
            nullable(row.key.as_deref(), &mut body);
            nullable(row.value.as_deref(), &mut body);
            varint(row.headers.len() as i64, &mut body);
            for header in &row.headers {
                nullable(Some(header.key().as_bytes()), &mut body);
                nullable(header.value(), &mut body);
            }
            varint(body.len() as i64, &mut covered);
            covered.extend_from_slice(&body);
        }
        let mut out = vec![0; 8];
        out.extend_from_slice(&(covered.len() as i32 + 9).to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, 2]);
        out.extend_from_slice(&crc32c(&covered).to_be_bytes());
        out.extend_from_slice(&covered);
        out
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read(
        rows in vec(row(), 1..12),
        codec in codec(),
        producer in of((0..=i64::MAX, 0..=i16::MAX, 0..=i32::MAX)),
        base_offset in 0..i64::MAX - 100,
        leader_epoch in 0..=i32::MAX,
    ) {
        let builder = build(&rows, codec, producer);
        prop_assert_eq!(builder.has_null_key(), rows.iter().any(|row| row.key.is_none()));
        let mut sealed = builder.seal().unwrap();
        sealed.assign(base_offset, leader_epoch);
        let batch = parse(sealed.into_bytes());
        let header = batch.header();
        prop_assert_eq!(header.records_count(), rows.len());
        prop_assert_eq!(header.base_offset(), base_offset);
        prop_assert_eq!(header.next_offset(), base_offset + rows.len() as i64);
        prop_assert_eq!(header.leader_epoch(), Some(leader_epoch));
        prop_assert_eq!(header.compression(), codec);
        prop_assert_eq!(header.max_timestamp(), rows.iter().filter_map(|row| row.timestamp).max());
        prop_assert_eq!(header.producer_id(), producer.map(|p| p.0));
        prop_assert_eq!(header.producer_epoch(), producer.map(|p| p.1));
        prop_assert_eq!(header.base_sequence(), producer.map(|p| p.2));
        let records = batch.records().unwrap();
        for (i, record) in (0..).zip(&records) {
            prop_assert_eq!(record.offset(), base_offset + i64::from(i));
            prop_assert_eq!(record.sequence(), producer.map(|p| increment_sequence(p.2, i)));
        }
        prop_assert_eq!(rows_of(&records), rows);
    }

    #[test]
    fn the_builder_writes_what_the_format_says(
        rows in vec(row(), 1..8),
        producer in of((0..=i64::MAX, 0..=i16::MAX, 0..=i32::MAX)),
    ) {
        let sealed = build(&rows, Compression::None, producer).seal().unwrap();
        prop_assert_eq!(sealed.into_bytes(), by_the_book::encode(&rows, producer));
    }

    #[test]
    fn walking_in_place_sees_what_the_iterator_sees(rows in vec(row(), 1..8), codec in codec()) {
        let batch = parse(build(&rows, codec, None).seal().unwrap().into_bytes());
        let data = batch.records_data().unwrap();
        let (mut at, mut walked) = (0, Vec::new());
        while at < data.len() {
            let (record, next) = RecordView::decode(&data, at, batch.header()).unwrap();
            walked.push(row_of(&record));
            at = next;
        }
        prop_assert_eq!(walked, rows);
    }

    #[test]
    fn compaction_keeps_the_records_it_keeps(
        rows in vec((row(), any::<bool>()), 1..10),
        codec in codec(),
        horizon in of(0..=i64::MAX),
        append_time in of(0..=i64::MAX),
        base_offset in 0..1i64 << 40,
    ) {
        let all: Vec<Row> = rows.iter().map(|(row, _)| row.clone()).collect();
        let mut sealed = build(&all, codec, Some((4000, 1, i32::MAX))).seal().unwrap();
        sealed.assign(base_offset, 3);
        if let Some(now) = append_time {
            sealed.set_log_append_time(now);
        }
        let original = parse(sealed.into_bytes());
        let records = original.records().unwrap();
        let mut replacement = BatchBuilder::replacing(original.header(), horizon);
        let kept: Vec<_> =
            records.iter().zip(&rows).filter(|(_, (_, keep))| *keep).map(|(r, _)| r).collect();
        for record in &kept {
            replacement.copy(record).unwrap();
        }
        let after = parse(replacement.seal().unwrap().into_bytes());
        let header = after.header();
        prop_assert_eq!(header.base_offset(), base_offset);
        prop_assert_eq!(header.next_offset(), original.header().next_offset());
        prop_assert_eq!(header.base_sequence(), Some(i32::MAX));
        prop_assert_eq!(header.last_sequence(), original.header().last_sequence());
        prop_assert_eq!(header.leader_epoch(), Some(3));
        prop_assert_eq!(header.timestamp_type(), original.header().timestamp_type());
        if kept.is_empty() {
            prop_assert_eq!(after.bytes().len(), BATCH_HEADER_LEN);
            prop_assert_eq!(header.max_timestamp(), original.header().max_timestamp());
        } else {
            prop_assert_eq!(header.delete_horizon(), horizon);
            prop_assert_eq!(header.compression(), codec);
            let times = kept.iter().filter_map(|r| r.timestamp());
            prop_assert_eq!(header.max_timestamp(), times.max());
        }
        let again = after.records().unwrap();
        prop_assert_eq!(again.len(), kept.len());
        for (new, old) in again.iter().zip(&kept) {
            prop_assert_eq!(new.offset(), old.offset());
            prop_assert_eq!(new.sequence(), old.sequence());
            prop_assert_eq!(row_of(&new), row_of(old));
        }
    }

    #[test]
    fn the_append_time_replaces_every_timestamp(rows in vec(row(), 1..6), now in 0..=i64::MAX) {
        let mut sealed = build(&rows, Compression::None, None).seal().unwrap();
        sealed.set_log_append_time(now);
        sealed.assign(9, 1);
        let batch = parse(sealed.into_bytes());
        prop_assert_eq!(batch.header().timestamp_type(), TimestampType::LogAppendTime);
        for record in &batch.records().unwrap() {
            prop_assert_eq!(record.timestamp(), Some(now));
        }
    }

    #[test]
    fn a_flipped_bit_is_always_found(
        rows in vec(row(), 1..4),
        codec in codec(),
        at in any::<u64>(),
    ) {
        let good = build(&rows, codec, None).seal().unwrap().into_bytes();
        let bits = (good.len() - 16) * 8;
        let bit = (at % bits as u64) as usize + 16 * 8;
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let found = RecordBatch::parse(Bytes::from(bytes)).and_then(|batch| batch.verify_crc());
        prop_assert!(found.is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        for codec in Compression::ALL {
            let _ = decompress(codec, &bytes, 1 << 16);
        }
        let mut framed = bytes.clone();
        if let Some(length) = framed.get_mut(8..12) {
            length.copy_from_slice(&(bytes.len() as i32 - 12).to_be_bytes());
        }
        if let Some(magic) = framed.get_mut(16) {
            *magic = 2;
        }
        for bytes in [bytes, framed] {
            if let Ok(batch) = RecordBatch::parse(Bytes::from(bytes)) {
                let _ = (batch.verify_crc(), batch.records());
            }
        }
    }

    /// Damage that a checksum would have caught, met where nobody checks it.
    #[test]
    fn damaged_batches_never_panic_and_never_lie_about_their_size(
        rows in vec(row(), 1..4),
        codec in codec(),
        damage in vec((any::<u64>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = build(&rows, codec, None).seal().unwrap().into_bytes();
        let len = bytes.len();
        for (at, byte) in damage {
            bytes[(at % len as u64) as usize] = byte;
        }
        if let Ok(batch) = RecordBatch::parse(Bytes::from(bytes)) {
            prop_assert_eq!(batch.bytes().len(), batch.header().size());
            if let Ok(records) = batch.records() {
                prop_assert_eq!(records.iter().count(), batch.header().records_count());
                for record in &records {
                    prop_assert!(record.offset() < batch.header().next_offset());
                    prop_assert_eq!(record.headers().count(), record.header_count());
                }
            }
        }
    }
}

#[test]
fn every_single_bit_of_a_small_batch_is_covered() {
    for codec in Compression::ALL.into_iter().filter(|codec| codec.is_available()) {
        let rows = [Row {
            timestamp: Some(5),
            key: Some(b"key".to_vec()),
            value: Some(vec![b'v'; 100]),
            headers: vec![Header::new("h", "x")],
        }];
        let good = build(&rows, codec, Some((1, 1, 1))).seal().unwrap().into_bytes();
        for bit in 16 * 8..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = RecordBatch::parse(Bytes::from(bytes)).and_then(|batch| batch.verify_crc());
            assert!(found.is_err(), "{codec} bit {bit}");
        }
    }
}

#[test]
fn a_bomb_inside_a_batch_is_refused() {
    use logreel::record::{BatchHeader, DECOMPRESSED_BYTES_MAX, compress};
    let zeros = vec![0; DECOMPRESSED_BYTES_MAX + 1];
    for codec in Compression::ALL.into_iter().filter(|codec| codec.is_available()) {
        if codec == Compression::None {
            continue;
        }
        let mut builder = BatchBuilder::new().compression(codec, None);
        builder.append(None, None, None, &[]).unwrap();
        let mut bytes = builder.seal().unwrap().into_bytes();
        bytes.truncate(BATCH_HEADER_LEN);
        compress(codec, None, &zeros, &mut bytes).unwrap();
        let length = bytes.len() as i32 - 12;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        assert_eq!(BatchHeader::peek_size(&bytes), Some(bytes.len()));
        let batch = RecordBatch::parse(Bytes::from(bytes)).unwrap();
        let error = batch.records().unwrap_err();
        let limit = DECOMPRESSED_BYTES_MAX;
        assert_eq!(error.reason(), &Corruption::TooLarge { limit }, "{codec}");
    }
}
