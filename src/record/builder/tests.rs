//! The rules of the builder, and its limits at the edge.

use bytes::Bytes;

use super::super::batch::RecordBatch;
use super::super::compression::DECOMPRESSED_BYTES_MAX;
use super::*;
use crate::error::{Error, ErrorCode};

fn read(sealed: SealedBatch) -> RecordBatch {
    let batch = RecordBatch::parse(Bytes::from(sealed.into_bytes())).unwrap();
    batch.verify_crc().unwrap();
    batch
}

#[test]
fn a_batch_needs_a_record() {
    let error = BatchBuilder::new().seal().unwrap_err();
    assert_eq!(error, BuildError::Empty);
    assert_eq!(Error::from(error).code(), Some(ErrorCode::InvalidRecord));
}

#[test]
fn negative_timestamps_are_refused_and_leave_the_batch_alone() {
    let mut builder = BatchBuilder::new();
    for timestamp in [-1, i64::MIN] {
        let error = builder.append(Some(timestamp), None, None, &[]).unwrap_err();
        assert_eq!(error, BuildError::InvalidTimestamp(timestamp));
        assert_eq!(Error::from(error).code(), Some(ErrorCode::InvalidTimestamp));
    }
    assert_eq!((builder.len(), builder.size()), (0, BATCH_HEADER_LEN));
    assert!(builder.is_empty() && !builder.has_null_key());
}

#[test]
fn records_without_a_timestamp_mix_with_others() {
    let times = [None, Some(0), Some(i64::MAX), None, Some(7)];
    let mut builder = BatchBuilder::new();
    for time in times {
        builder.append(time, None, None, &[]).unwrap();
    }
    assert_eq!((builder.min_timestamp(), builder.max_timestamp()), (Some(0), Some(i64::MAX)));
    let batch = read(builder.seal().unwrap());
    assert_eq!(batch.header().max_timestamp(), Some(i64::MAX));
    let read: Vec<_> = batch.records().unwrap().iter().map(|r| r.timestamp()).collect();
    assert_eq!(read, times);

    let mut none = BatchBuilder::new();
    none.append(None, None, None, &[]).unwrap();
    let header = *none.seal().unwrap().header();
    assert_eq!((header.base_timestamp(), header.max_timestamp()), (None, None));
}

#[test]
fn offsets_must_grow_and_stay_in_the_batch() {
    let mut builder = BatchBuilder::new();
    builder.append_at(5, None, None, None, &[]).unwrap();
    for delta in [5, 4, 0, -1, i32::MIN] {
        let error = builder.append_at(delta, None, None, None, &[]).unwrap_err();
        assert_eq!(error, BuildError::OffsetDelta { delta: delta.into(), minimum: 6 });
    }
    assert_eq!(builder.append(None, None, None, &[]), Ok(6));
    builder.append_at(i32::MAX, None, None, None, &[]).unwrap();
    let delta = i64::from(i32::MAX) + 1;
    let full = builder.append(None, None, None, &[]).unwrap_err();
    assert_eq!(full, BuildError::OffsetDelta { delta, minimum: delta });
    let batch = read(builder.seal().unwrap());
    assert_eq!(batch.header().last_offset(), i64::from(i32::MAX));
    let offsets: Vec<_> = batch.records().unwrap().iter().map(|r| r.offset()).collect();
    assert_eq!(offsets, [5, 6, i64::from(i32::MAX)]);

    let mut replacement = BatchBuilder::replacing(batch.header(), None);
    replacement.append_at(i32::MAX, None, None, None, &[]).unwrap();
    let mut short = BatchBuilder::new();
    short.append(None, None, None, &[]).unwrap();
    let mut replacement = BatchBuilder::replacing(short.seal().unwrap().header(), None);
    assert!(replacement.append_at(1, None, None, None, &[]).is_err());
}

#[test]
fn sizes_are_exact_and_bounded() {
    let mut builder = BatchBuilder::new();
    let headers = [Header::new("name", vec![7; 300]), Header::null("")];
    let long = vec![1; 10_000];
    for (time, key, value) in [
        (Some(1), None, None),
        (None, Some(&b""[..]), Some(&b""[..])),
        (Some(i64::MAX), Some(&b"key"[..]), Some(&long[..])),
        (Some(0), Some(&long[..63]), Some(&long[..64])),
    ] {
        for headers in [&headers[..], &[]] {
            let expected = builder.encoded_size(time, key, value, headers);
            let before = builder.size();
            builder.append(time, key, value, headers).unwrap();
            assert_eq!(builder.size() - before, expected);
            let max = BatchBuilder::record_size_max(key, value, headers);
            assert!(expected <= max && max <= expected + 19, "{expected} {max}");
        }
    }
    let size = builder.size();
    assert_eq!(builder.seal().unwrap().bytes().len(), size);
}

#[test]
fn a_batch_holds_exactly_the_limit() {
    // Length 4, attributes 1, deltas 2, key 1, value length 4, header count 1.
    let largest = vec![0; DECOMPRESSED_BYTES_MAX - 13];
    let mut builder = BatchBuilder::new();
    let mut more = largest.clone();
    more.push(0);
    let size = DECOMPRESSED_BYTES_MAX + 1;
    let error = builder.append(None, None, Some(&more), &[]).unwrap_err();
    assert_eq!(error, BuildError::TooLarge { size, limit: DECOMPRESSED_BYTES_MAX });
    assert_eq!(Error::from(error).code(), Some(ErrorCode::MessageTooLarge));
    assert_eq!(builder.size(), BATCH_HEADER_LEN);
    builder.append(None, None, Some(&largest), &[]).unwrap();
    assert_eq!(builder.size(), BATCH_HEADER_LEN + DECOMPRESSED_BYTES_MAX);
    assert!(matches!(builder.append(None, None, None, &[]), Err(BuildError::TooLarge { .. })));
    assert_eq!(builder.len(), 1);
    let codec = if cfg!(feature = "zstd") { Compression::Zstd } else { Compression::None };
    let batch = read(builder.compression(codec, None).seal().unwrap());
    let records = batch.records().unwrap();
    assert_eq!(records.iter().next().unwrap().value().map(<[u8]>::len), Some(largest.len()));
}

#[test]
fn a_compressed_batch_past_the_limit_is_refused_when_read() {
    if !Compression::Zstd.is_available() {
        return;
    }
    let mut section = Vec::new();
    let zeros = vec![0; DECOMPRESSED_BYTES_MAX + 1];
    compress(Compression::Zstd, None, &zeros, &mut section).unwrap();
    let batch = super::super::tests::batch_of(Compression::Zstd, 1, 0, &section);
    let error = RecordBatch::parse(batch).unwrap().records().unwrap_err();
    let limit = DECOMPRESSED_BYTES_MAX;
    assert_eq!(error.reason(), &super::super::error::Corruption::TooLarge { limit });
    assert_eq!((error.position(), error.base_offset()), (BATCH_HEADER_LEN, Some(0)));
}

#[test]
fn a_buffer_is_used_again_and_does_not_grow() {
    let mut builder = BatchBuilder::with_buffer(vec![9; 4096]);
    assert_eq!(builder.size(), BATCH_HEADER_LEN);
    let before = builder.buffer.as_ptr();
    while builder.size() + 100 < 4096 {
        builder.append(Some(1), Some(b"key"), Some(b"value"), &[]).unwrap();
    }
    assert_eq!(builder.buffer.as_ptr(), before);
    let mut fresh = BatchBuilder::new();
    for _ in 0..builder.len() {
        fresh.append(Some(1), Some(b"key"), Some(b"value"), &[]).unwrap();
    }
    assert_eq!(builder.seal().unwrap().bytes(), fresh.seal().unwrap().bytes());
}

#[test]
fn a_codec_that_cannot_run_is_refused_when_sealing() {
    let mut builder = BatchBuilder::new().compression(Compression::None, Some(3));
    builder.append(None, None, None, &[]).unwrap();
    assert!(matches!(builder.seal(), Err(BuildError::CompressionLevel { level: 3, .. })));
    for codec in Compression::ALL.into_iter().filter(|codec| !codec.is_available()) {
        let mut builder = BatchBuilder::new().compression(codec, None);
        builder.append(None, None, None, &[]).unwrap();
        let error = builder.seal().unwrap_err();
        assert_eq!(error, BuildError::CompressionUnavailable(codec.name()));
        let code = Error::from(error).code();
        assert_eq!(code, Some(ErrorCode::UnsupportedCompressionType));
    }
}

#[test]
fn the_producer_may_be_named_last() {
    let mut builder = BatchBuilder::new();
    builder.append(Some(1), None, Some(b"v"), &[]).unwrap();
    builder.set_producer(4000, 1, 17);
    let header = *builder.seal().unwrap().header();
    assert_eq!((header.producer_id(), header.base_sequence()), (Some(4000), Some(17)));
}

/// A buffer of 1000 bytes grew to 1952 for a batch of 990.
#[test]
fn a_batch_that_fits_its_buffer_allocates_nothing() {
    let mut builder = BatchBuilder::with_buffer(Vec::with_capacity(1000));
    while builder.join(991, 1, None, Some(b"0123456789"), &[]).is_some() {}
    assert!(builder.size() > 970 && builder.size() <= 990);
    assert_eq!(builder.seal().unwrap().into_bytes().capacity(), 1000);
}

#[test]
fn a_record_joins_while_the_batch_stays_below_the_limit() {
    let value = &[7; 100][..];
    let size = BatchBuilder::new().encoded_size(Some(1), None, Some(value), &[]);
    for (limit, fits) in [(61 + 2 * size, false), (62 + 2 * size, true)] {
        // What was in the buffer is not seen.
        let mut builder = BatchBuilder::with_buffer(vec![9; 5000]);
        assert_eq!(builder.join(62 + size, 1, None, Some(value), &[]), Some(0));
        let second = builder.join(limit, 1, None, Some(value), &[]);
        assert_eq!(second.is_some(), fits, "limit {limit}");
        let count = 1 + usize::from(fits);
        assert_eq!((builder.len(), builder.size()), (count, 61 + count * size));
        let mut fresh = BatchBuilder::new();
        (0..count).for_each(|_| assert!(fresh.append(Some(1), None, Some(value), &[]).is_ok()));
        assert_eq!(builder.seal().unwrap().bytes(), fresh.seal().unwrap().bytes());
    }
}

#[test]
fn a_record_that_is_no_good_does_not_join() {
    let mut builder = BatchBuilder::new();
    assert_eq!(builder.join(1000, -1, None, Some(b"v"), &[]), None);
    assert_eq!(builder.join(1000, 0, None, Some(b"v"), &[]), Some(0));
    assert_eq!(builder.join(1000, -1, None, Some(b"v"), &[]), None);
    assert_eq!(builder.len(), 1);
}
