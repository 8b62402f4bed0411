//! Vectors A to H and E2 of the format's description, both ways where an encoder is determined.
//! All were parsed as valid by Kafka's own classes.

use super::super::*;
use super::{T, hex};
use crate::types::TimestampType;
use bytes::Bytes;

const A: &str = "00000000000000000000003d0000000002e641a44b0000000000000000018bcfe568000000018b\
cfe56800ffffffffffffffffffffffffffff0000000116000000010a68656c6c6f00";
const B: &str = "00000000000000640000004e00000007022a62b06e0000000000010000018bcfe568000000018b\
cfe56805ffffffffffffffffffffffffffff0000000226000000046b31047631040468310278046832011000\
0a02046b320100";
#[cfg(feature = "zstd")]
const C: &str = "0000000000000005000000560000000002dc5ae2970004000000020000018bcfe568000000018b\
cfe56802ffffffffffffffffffffffffffff0000000328b52ffd0058e500008852000000066b657940610052\
00020204040300c1833755ea062001";
const D: &str = "000000000000000000000043000000030299c5232c0010000000010000018bcfe568000000018b\
cfe568000000000000000fa000017fffffff00000002100000000261023100100000020262023200";
const E: &str = "000000000000000200000042000000030251c546e60030000000000000018bcfe5680a0000018b\
cfe5680a0000000000000fa00001ffffffff000000012000000008000000010c00000000000900";
const E2: &str = "0000000000000002000000420000000302a5fb90ae0030000000000000018bcfe5680a0000018b\
cfe5680a0000000000000fa00001ffffffff000000012000000008000000000c00000000000900";
const F: &str = "000000000000000a00000031000000010206b98657000000000004ffffffffffffffff0000018b\
cfe568030000000000000fa000010000001400000000";
const G: &str = "00000000000000000000003a00000000028366c5da0008000000000000018bcfe564190000018b\
cfe56800ffffffffffffffffffffffffffff0000000110000000026b027600";
const H: &str = "0000000000000014000000480000000202e5e7aedd0040000000040000018bd50bc40000000\
18bcfe56804ffffffffffffffffffffffffffff000000021400fdefb25202027801001600f7efb252080279027a00";

fn parse(text: &str) -> RecordBatch {
    let bytes = hex(text);
    let batch = RecordBatch::parse(Bytes::from(bytes.clone())).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(batch.bytes(), &bytes);
    assert_eq!(BatchHeader::peek_size(&bytes[..12]), Some(bytes.len()));
    batch
}

fn built(batch: &SealedBatch, text: &str) {
    let expected = hex(text);
    assert_eq!(batch.bytes(), expected);
    // What the sealed batch says of itself is what a reader finds.
    assert_eq!(batch.header(), &BatchHeader::parse(&expected).unwrap());
}

type Plain = (i64, Option<i64>, Option<i32>, Option<Vec<u8>>, Option<Vec<u8>>);

fn plain(records: &BatchRecords) -> Vec<Plain> {
    assert_eq!(records.iter().len(), records.len());
    let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    records
        .iter()
        .map(|r| (r.offset(), r.timestamp(), r.sequence(), own(r.key()), own(r.value())))
        .collect()
}

fn some(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

#[test]
fn a_one_record() {
    let batch = parse(A);
    let header = batch.header();
    assert_eq!((header.base_offset(), header.last_offset(), header.next_offset()), (0, 0, 1));
    assert_eq!((header.leader_epoch(), header.crc()), (Some(0), 0xe641_a44b));
    assert_eq!((header.base_timestamp(), header.max_timestamp()), (Some(T), Some(T)));
    assert_eq!((header.producer_id(), header.producer_epoch()), (None, None));
    assert_eq!((header.base_sequence(), header.last_sequence()), (None, None));
    assert_eq!((header.is_control(), header.is_transactional()), (false, false));
    assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
    assert_eq!((header.delete_horizon(), header.compression()), (None, Compression::None));
    let records = batch.records().unwrap();
    assert_eq!(plain(&records), [(0, Some(T), None, None, some("hello"))]);

    let mut builder = BatchBuilder::new();
    assert_eq!(builder.append(Some(T), None, Some(b"hello"), &[]), Ok(0));
    assert!(builder.has_null_key());
    assert_eq!(builder.size(), 73);
    built(&builder.seal().unwrap(), A);
}

#[test]
fn b_headers_and_a_tombstone() {
    let batch = parse(B);
    assert_eq!((batch.header().base_offset(), batch.header().leader_epoch()), (100, Some(7)));
    let records = batch.records().unwrap();
    let expected =
        [(100, Some(T), None, some("k1"), some("v1")), (101, Some(T + 5), None, some("k2"), None)];
    assert_eq!(plain(&records), expected);
    let first = records.iter().next().unwrap();
    assert_eq!((first.header_count(), first.headers().len()), (2, 2));
    let headers: Vec<_> = first.headers().map(|h| (h.key(), h.value())).collect();
    assert_eq!(headers, [(&b"h1"[..], Some(&b"x"[..])), (&b"h2"[..], None)]);

    let mut builder = BatchBuilder::new();
    let headers = [Header::new("h1", "x"), Header::null("h2")];
    builder.append(Some(T), Some(b"k1"), Some(b"v1"), &headers).unwrap();
    builder.append(Some(T + 5), Some(b"k2"), None, &[]).unwrap();
    assert_eq!((builder.min_timestamp(), builder.max_timestamp()), (Some(T), Some(T + 5)));
    assert!(!builder.has_null_key());
    let mut sealed = builder.seal().unwrap();
    sealed.assign(100, 7);
    built(&sealed, B);
    let owned: Vec<Header> = first.headers().map(Header::from).collect();
    assert_eq!(owned, [Header::new("h1", "x"), Header::null("h2")]);
}

#[cfg(feature = "zstd")]
#[test]
fn c_zstd() {
    let batch = parse(C);
    assert_eq!(batch.header().compression(), Compression::Zstd);
    let row = |i| (5 + i, Some(T + i), None, some("key"), Some(vec![b'a'; 32]));
    assert_eq!(plain(&batch.records().unwrap()), [row(0), row(1), row(2)]);
}

#[test]
fn d_sequences_wrap_to_zero() {
    let batch = parse(D);
    let header = batch.header();
    assert!(header.is_transactional() && !header.is_control());
    assert_eq!((header.producer_id(), header.producer_epoch()), (Some(4000), Some(1)));
    assert_eq!((header.base_sequence(), header.last_sequence()), (Some(i32::MAX), Some(0)));
    let sequences: Vec<_> = batch.records().unwrap().iter().map(|r| r.sequence()).collect();
    assert_eq!(sequences, [Some(i32::MAX), Some(0)]);

    let mut builder = BatchBuilder::new().producer(4000, 1, i32::MAX).transactional();
    builder.append(Some(T), Some(b"a"), Some(b"1"), &[]).unwrap();
    builder.append(Some(T), Some(b"b"), Some(b"2"), &[]).unwrap();
    let mut sealed = builder.seal().unwrap();
    sealed.assign(0, 3);
    built(&sealed, D);
}

#[test]
fn e_transaction_markers() {
    let commit = ControlRecord::Commit { coordinator_epoch: 9 };
    let abort = ControlRecord::Abort { coordinator_epoch: 9 };
    for (text, control) in [(E, commit), (E2, abort)] {
        let batch = parse(text);
        let header = batch.header();
        assert!(header.is_control() && header.is_transactional());
        assert_eq!((header.base_sequence(), header.last_sequence()), (None, None));
        assert_eq!((header.base_offset(), header.next_offset()), (2, 3));
        let records = batch.records().unwrap();
        let record = records.iter().next().unwrap();
        assert_eq!(ControlRecord::parse(record.key().unwrap(), record.value()), Ok(control));
        assert_eq!((record.timestamp(), record.sequence()), (Some(T + 10), None));

        let mut sealed = BatchBuilder::marker(Some(T + 10), 4000, 1, control).unwrap();
        sealed.assign(2, 3);
        built(&sealed, text);
        assert_eq!(sealed.bytes().len(), 78);
    }
}

#[test]
fn f_empty_batch_left_by_compaction() {
    let batch = parse(F);
    let header = batch.header();
    assert_eq!((header.base_offset(), header.last_offset(), header.next_offset()), (10, 14, 15));
    assert_eq!((header.base_sequence(), header.last_sequence()), (Some(20), Some(24)));
    assert_eq!((header.base_timestamp(), header.max_timestamp()), (None, Some(T + 3)));
    assert_eq!(header.records_count(), 0);
    assert!(batch.records().unwrap().is_empty());

    let mut builder = BatchBuilder::new().producer(4000, 1, 20);
    for i in [0, 1, 3, 2, 1] {
        builder.append(Some(T + i), Some(b"k"), Some(b"v"), &[]).unwrap();
    }
    let mut original = builder.seal().unwrap();
    original.assign(10, 1);
    built(&SealedBatch::hollow(original.header()), F);
    built(&BatchBuilder::replacing(original.header(), Some(T)).seal().unwrap(), F);
}

#[test]
fn g_log_append_time() {
    let batch = parse(G);
    let header = batch.header();
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!((header.base_timestamp(), header.max_timestamp()), (Some(T - 999), Some(T)));
    let records = batch.records().unwrap();
    assert_eq!(plain(&records), [(0, Some(T), None, some("k"), some("v"))]);

    let mut builder = BatchBuilder::new();
    builder.append(Some(T - 999), Some(b"k"), Some(b"v"), &[]).unwrap();
    let mut sealed = builder.seal().unwrap();
    sealed.set_log_append_time(T);
    built(&sealed, G);
}

#[test]
fn h_compacted_with_a_delete_horizon() {
    let batch = parse(H);
    let header = batch.header();
    assert_eq!((header.base_offset(), header.next_offset()), (20, 25));
    assert_eq!(header.delete_horizon(), Some(T + 86_400_000));
    assert_eq!((header.records_count(), header.last_offset_delta()), (2, 4));
    let records = batch.records().unwrap();
    let expected =
        [(21, Some(T + 1), None, some("x"), None), (24, Some(T + 4), None, some("y"), some("z"))];
    assert_eq!(plain(&records), expected);

    let mut builder = BatchBuilder::new();
    let rows: [(&[u8], Option<&[u8]>); 5] =
        [(b"w", None), (b"x", None), (b"y", None), (b"y", None), (b"y", Some(b"z"))];
    for (i, (key, value)) in (0..).zip(rows) {
        builder.append(Some(T + i), Some(key), value, &[]).unwrap();
    }
    let mut original = builder.seal().unwrap();
    original.assign(20, 2);
    let original = RecordBatch::parse(Bytes::from(original.into_bytes())).unwrap();
    let source = original.records().unwrap();

    let mut copied = BatchBuilder::replacing(original.header(), Some(T + 86_400_000));
    for record in source.iter().filter(|r| [21, 24].contains(&r.offset())) {
        copied.copy(&record).unwrap();
    }
    built(&copied.seal().unwrap(), H);

    let mut placed = BatchBuilder::replacing(original.header(), Some(T + 86_400_000));
    placed.append_at(1, Some(T + 1), Some(b"x"), None, &[]).unwrap();
    placed.append_at(4, Some(T + 4), Some(b"y"), Some(b"z"), &[]).unwrap();
    built(&placed.seal().unwrap(), H);

    // A later round of compaction keeps the horizon.
    let mut again = BatchBuilder::replacing(batch.header(), None);
    for record in &records {
        again.copy(&record).unwrap();
    }
    built(&again.seal().unwrap(), H);
}

#[test]
fn compaction_without_a_horizon_starts_at_the_first_record_kept() {
    let original = parse(B);
    let records = original.records().unwrap();
    let mut builder = BatchBuilder::replacing(original.header(), None);
    builder.copy(&records.iter().last().unwrap()).unwrap();
    let sealed = builder.seal().unwrap();
    let batch = RecordBatch::parse(Bytes::from(sealed.into_bytes())).unwrap();
    batch.verify_crc().unwrap();
    let header = batch.header();
    assert_eq!((header.base_offset(), header.last_offset()), (100, 101));
    assert_eq!((header.base_timestamp(), header.max_timestamp()), (Some(T + 5), Some(T + 5)));
    assert_eq!(header.leader_epoch(), Some(7));
    let row = (101, Some(T + 5), None, some("k2"), None);
    assert_eq!(plain(&batch.records().unwrap()), [row]);
}

#[test]
fn compaction_keeps_headers_and_the_append_time() {
    let mut builder = BatchBuilder::new();
    let headers = [Header::new("a", "1"), Header::null("a")];
    builder.append(Some(T), Some(b"k"), None, &headers).unwrap();
    builder.append(Some(T + 1), Some(b"l"), None, &[]).unwrap();
    let mut sealed = builder.seal().unwrap();
    sealed.set_log_append_time(T + 50);
    let original = RecordBatch::parse(Bytes::from(sealed.into_bytes())).unwrap();
    let records = original.records().unwrap();
    let mut builder = BatchBuilder::replacing(original.header(), None);
    builder.copy(&records.iter().next().unwrap()).unwrap();
    let batch = RecordBatch::parse(Bytes::from(builder.seal().unwrap().into_bytes())).unwrap();
    assert_eq!(batch.header().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(batch.header().max_timestamp(), Some(T + 50));
    let kept = batch.records().unwrap();
    let kept = kept.iter().next().unwrap();
    assert_eq!(kept.timestamp(), Some(T + 50));
    let owned: Vec<Header> = kept.headers().map(Header::from).collect();
    assert_eq!(owned, headers);
}
