//! Everything a reader must refuse, each with its own reason, and everything it must let pass.

use super::super::*;
use super::{T, batch_of, hex};
use crate::error::{Error, ErrorCode};
use bytes::Bytes;

/// A batch of one record without key: attributes 0, deltas 0, null key, value "hello".
const HELLO: [u8; 12] = *b"\x16\0\0\0\x01\x0ahello\0";

fn reason(bytes: &[u8]) -> Corruption {
    failure(bytes).reason().clone()
}

fn failure(bytes: &[u8]) -> DecodeError {
    let bytes = Bytes::copy_from_slice(bytes);
    RecordBatch::parse(bytes).and_then(|batch| batch.records()).unwrap_err()
}

fn good() -> Vec<u8> {
    batch_of(Compression::None, 1, 0, &HELLO).to_vec()
}

fn patched(at: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = good();
    bytes[at..at + patch.len()].copy_from_slice(patch);
    bytes
}

/// The reason for refusing a batch with this record, given without its length.
fn record_reason(body: &[u8]) -> Corruption {
    let mut section = vec![u8::try_from(body.len() * 2).unwrap()];
    section.extend_from_slice(body);
    reason(&batch_of(Compression::None, 1, 0, &section))
}

#[test]
fn cut_bytes_are_too_short_at_every_place() {
    let bytes = good();
    for cut in 0..bytes.len() {
        let error = failure(&bytes[..cut]);
        let needed = if cut < BATCH_HEADER_LEN { BATCH_HEADER_LEN } else { bytes.len() };
        assert_eq!(error.reason(), &Corruption::TooShort { needed, available: cut });
        assert_eq!(error.position(), cut);
        assert_eq!(error.base_offset().is_some(), cut >= BATCH_HEADER_LEN);
    }
    assert_eq!(BatchHeader::peek_size(&bytes[..11]), None);
}

#[test]
fn impossible_lengths() {
    for length in [0, -1, i32::MIN, 13] {
        let bytes = patched(8, &length.to_be_bytes());
        assert_eq!(reason(&bytes), Corruption::BadLength(length));
        assert_eq!(failure(&bytes).position(), 8);
        assert_eq!(BatchHeader::peek_size(&bytes), None);
    }
    for length in [14i32, 48] {
        assert_eq!(reason(&patched(8, &length.to_be_bytes())), Corruption::BadLength(length));
    }
    let needed = i32::MAX as usize + LOG_OVERHEAD;
    let available = good().len();
    let whole = Corruption::TooShort { needed, available };
    assert_eq!(reason(&patched(8, &i32::MAX.to_be_bytes())), whole);
    // Exactly the header: a batch without records, but this one announces one.
    assert_eq!(reason(&patched(8, &49i32.to_be_bytes())), Corruption::EndOfData);
}

#[test]
fn zeros_are_not_a_batch() {
    assert_eq!(reason(&[0; 4096]), Corruption::BadLength(0));
}

#[test]
fn older_formats_are_unsupported_even_where_shorter_than_a_header() {
    for magic in [0, 1] {
        assert_eq!(reason(&patched(16, &[magic])), Corruption::UnsupportedMagic(magic as i8));
        let mut short = vec![0; 34];
        short[11] = 22;
        short[16] = magic;
        assert_eq!(reason(&short), Corruption::UnsupportedMagic(magic as i8));
        assert_eq!(BatchHeader::peek_size(&short), Some(34));
    }
    for magic in [3, 0xff] {
        assert_eq!(reason(&patched(16, &[magic])), Corruption::UnknownMagic(magic as i8));
    }
}

#[test]
fn unknown_codecs() {
    for codec in [5, 6, 7] {
        assert_eq!(reason(&patched(22, &[codec])), Corruption::UnknownCompression(codec));
        assert_eq!(Compression::from_id(codec), None);
    }
}

#[test]
fn impossible_offsets_and_counts() {
    let base = |offset: i64| reason(&patched(0, &offset.to_be_bytes()));
    let range =
        |base_offset, last_offset_delta| Corruption::OffsetRange { base_offset, last_offset_delta };
    assert_eq!(base(-1), range(-1, 0));
    assert_eq!(base(i64::MAX), range(i64::MAX, 0), "there is no next offset");
    let largest = patched(0, &(i64::MAX - 1).to_be_bytes());
    assert_eq!(BatchHeader::parse(&largest).unwrap().next_offset(), i64::MAX);
    assert_eq!(reason(&patched(23, &(-1i32).to_be_bytes())), range(0, -1));
    assert_eq!(reason(&patched(57, &(-1i32).to_be_bytes())), Corruption::NegativeCount(-1));
}

#[test]
fn a_wrong_checksum_is_found_before_the_records_are_read() {
    let bytes = patched(70, b"X");
    let batch = RecordBatch::parse(Bytes::from(bytes)).unwrap();
    let error = batch.verify_crc().unwrap_err();
    assert!(matches!(error.reason(), Corruption::ChecksumMismatch { .. }));
    assert_eq!((error.position(), error.base_offset()), (17, Some(0)));
    let short = batch.header().verify_crc(&batch.bytes()[..60]).unwrap_err();
    assert!(matches!(short.reason(), Corruption::TooShort { .. }));
}

#[test]
fn record_lengths() {
    let length = |section: &[u8]| reason(&batch_of(Compression::None, 1, 0, section));
    assert_eq!(length(&[]), Corruption::EndOfData);
    assert_eq!(length(&[0x01]), Corruption::RecordLength { length: -1, available: 0 });
    let mut long = HELLO;
    long[0] = 0x18;
    assert_eq!(length(&long), Corruption::RecordLength { length: 12, available: 11 });
    let huge = [0xfe, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(length(&huge), Corruption::RecordLength { length: i32::MAX, available: 1 });
    assert_eq!(length(&[0x80; 9]), Corruption::VarintTooLong);
    // A record of no bytes has no room for its attributes.
    assert_eq!(length(&[0x00]), Corruption::EndOfData);
}

#[test]
fn fields_past_the_end_of_their_record() {
    let field = |field, length, available| Corruption::FieldLength { field, length, available };
    assert_eq!(record_reason(&[0, 0, 0, 0x04, b'k']), field("key", 2, 1));
    assert_eq!(record_reason(&[0, 0, 0, 1, 0x04, b'v']), field("value", 2, 1));
    assert_eq!(record_reason(&[0, 0, 0, 1, 1]), Corruption::EndOfData);
    let header = |bytes: &[u8]| record_reason(&[&[0, 0, 0, 1, 1, 0x02][..], bytes].concat());
    assert_eq!(header(&[0x01, 0x01]), field("header key", -1, 1));
    assert_eq!(header(&[0x04, b'h']), field("header key", 2, 1));
    assert_eq!(header(&[0x02, b'h', 0x04, 1]), field("header value", 2, 1));
    assert_eq!(header(&[0x02, b'h']), Corruption::EndOfData);
    // The field would fit the batch but not its record: the next record is not its value.
    let mut two = vec![0x0a, 0, 0, 0, 1, 0x0a];
    two.extend_from_slice(&HELLO);
    let reason = reason(&batch_of(Compression::None, 2, 1, &two));
    assert_eq!(reason, field("value", 5, 0));
}

#[test]
fn header_counts() {
    let count = |count, available| Corruption::HeaderCount { count, available };
    assert_eq!(record_reason(&[0, 0, 0, 1, 1, 0x01]), count(-1, 0));
    assert_eq!(record_reason(&[0, 0, 0, 1, 1, 0x02]), count(1, 0));
    let max = [0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    assert_eq!(record_reason(&max), count(i32::MAX, 2));
}

#[test]
fn fields_that_do_not_fill_their_record() {
    let reason = record_reason(&[0, 0, 0, 1, 1, 0, 0, 0]);
    assert_eq!(reason, Corruption::RecordSize { length: 8, consumed: 6 });
}

#[test]
fn offsets_outside_the_batch() {
    let delta = |delta| Corruption::OffsetDelta { delta, last: 0 };
    assert_eq!(record_reason(&[0, 0, 0x02, 1, 1, 0]), delta(1));
    assert_eq!(record_reason(&[0, 0, 0x01, 1, 1, 0]), delta(-1));
}

#[test]
fn too_many_and_too_few_records() {
    let two = [HELLO, HELLO].concat();
    let error = failure(&batch_of(Compression::None, 1, 0, &two));
    assert_eq!(error.reason(), &Corruption::TrailingBytes(12));
    assert_eq!(error.position(), BATCH_HEADER_LEN + HELLO.len());
    assert_eq!(reason(&batch_of(Compression::None, 3, 2, &two)), Corruption::EndOfData);
    assert_eq!(reason(&batch_of(Compression::None, 0, 0, &HELLO)), Corruption::TrailingBytes(12));
    // The count alone makes nothing large or slow.
    assert_eq!(reason(&batch_of(Compression::None, i32::MAX, 0, &two)), Corruption::EndOfData);
}

#[test]
fn errors_say_the_place_and_become_the_crates_error() {
    let error = failure(&batch_of(Compression::None, 1, 0, &[0x08, 0, 0, 0, 0x04]));
    assert_eq!(error.position(), BATCH_HEADER_LEN + 5);
    let text =
        "key of 2 bytes with 0 left in the record at byte 66 of the batch with base offset 0";
    assert_eq!(error.to_string(), text);
    let error = Error::from(error);
    assert_eq!(error.code(), Some(ErrorCode::CorruptMessage));
    assert_eq!(error.to_string(), format!("cannot read a record batch: {text}"));
    let off = DecodeError::new(Corruption::CompressionUnavailable("lz4"), 61, Some(3));
    assert_eq!(Error::from(off).code(), Some(ErrorCode::UnsupportedCompressionType));
}

#[test]
fn what_a_reader_lets_pass() {
    let read = |bytes: Vec<u8>| {
        let batch = RecordBatch::parse(Bytes::from(bytes)).unwrap();
        batch.records().unwrap()
    };
    // Attribute bits nobody has assigned, in the header and in a record.
    let unknown_bits = read(patched(21, &[0xff, 0x80]));
    assert_eq!(unknown_bits.len(), 1);
    read(patched(62, &[0xff]));
    // A timestamp before the base, and one that no clock shows.
    let earlier = read(patched(63, &[0x01]));
    assert_eq!(earlier.iter().next().unwrap().timestamp(), Some(T - 1));
    let none = hex("1e00ffffffffffffffffff0100010000");
    let none = read(batch_of(Compression::None, 1, 0, &none).to_vec());
    assert_eq!(none.iter().next().unwrap().timestamp(), None);
    // Lengths written longer than needed.
    let padded = [0x9a, 0x00, 0, 0x80, 0x00, 0, 1, 0x8a, 0x00, b'h', b'e', b'l', b'l', b'o', 0];
    let padded = read(batch_of(Compression::None, 1, 0, &padded).to_vec());
    assert_eq!(padded.iter().next().unwrap().value(), Some(&b"hello"[..]));
    // Gaps, and a first record that is not at the base offset.
    let gaps = [[0x0c, 0, 0, 0x06, 1, 1, 0], [0x0c, 0, 0, 0x0e, 1, 1, 0]].concat();
    let gaps = read(batch_of(Compression::None, 2, 9, &gaps).to_vec());
    assert_eq!(gaps.iter().map(|r| r.offset()).collect::<Vec<_>>(), [3, 7]);
    // Header keys that repeat and are not UTF-8.
    let headers = [0x18, 0, 0, 0, 1, 1, 0x04, 0x02, 0xff, 1, 0x02, 0xff, 1];
    let headers = read(batch_of(Compression::None, 1, 0, &headers).to_vec());
    let record = headers.iter().next().unwrap();
    let keys: Vec<_> = record.headers().map(|h| h.key_lossy().into_owned()).collect();
    assert_eq!(keys, ["\u{fffd}", "\u{fffd}"]);
    // Any negative length is null, as in Kafka's reader.
    let null = read(batch_of(Compression::None, 1, 0, &[0x0c, 0, 0, 0, 3, 3, 0]).to_vec());
    let null = null.iter().next().unwrap();
    assert_eq!((null.key(), null.value()), (None, None));
    // A compressed batch without records is never decompressed, whatever its section holds.
    for codec in Compression::ALL {
        if codec != Compression::None {
            assert!(read(batch_of(codec, 0, 4, b"rubbish").to_vec()).is_empty());
        }
    }
}

#[test]
fn debug_output_has_no_payload() {
    let mut builder = BatchBuilder::new();
    let headers = [Header::new("h", "SECRET")];
    builder.append(Some(T), Some(b"SECRET"), Some(b"SECRET"), &headers).unwrap();
    let text = format!("{builder:?}");
    let batch = RecordBatch::parse(Bytes::from(builder.seal().unwrap().into_bytes())).unwrap();
    let records = batch.records().unwrap();
    let record = records.iter().next().unwrap();
    let header = record.headers().next().unwrap();
    let all = format!("{text}{batch:?}{records:?}{record:?}{header:?}{headers:?}");
    assert!(!all.contains("SECRET"), "{all}");
}

#[test]
fn compressed_sections_with_more_or_fewer_records_than_announced() {
    for codec in Compression::ALL.into_iter().filter(|c| c.is_available()) {
        let squeeze = |bytes: &[u8]| {
            let mut out = Vec::new();
            compress(codec, None, bytes, &mut out).unwrap();
            out
        };
        let mut two = vec![];
        for delta in [0, 2] {
            two.extend_from_slice(&HELLO);
            let at = two.len() - 9;
            two[at] = delta;
        }
        let ok = batch_of(codec, 2, 1, &squeeze(&two));
        assert_eq!(RecordBatch::parse(ok).unwrap().records().unwrap().len(), 2);
        assert_eq!(reason(&batch_of(codec, 1, 1, &squeeze(&two))), Corruption::TrailingBytes(12));
        assert_eq!(reason(&batch_of(codec, 3, 2, &squeeze(&two))), Corruption::EndOfData);
        // The second half in a stream of its own: lz4 readers stop at the first end mark.
        let split = [squeeze(&two[..12]), squeeze(&two[12..])].concat();
        let split = RecordBatch::parse(batch_of(codec, 2, 1, &split)).unwrap().records();
        match codec {
            Compression::Lz4 => {
                let error = split.unwrap_err();
                assert_eq!(error.reason(), &Corruption::EndOfData);
                assert_eq!(error.position(), BATCH_HEADER_LEN);
            }
            _ => assert_eq!(split.unwrap().len(), 2, "{codec}"),
        }
    }
}
