//! The format as a whole: vectors that Kafka's own classes accepted, and damage of every kind.

mod damage;
mod golden;

use bytes::Bytes;

use super::compression::Compression;
use super::header::{BATCH_HEADER_LEN, BatchHeader};

/// 2023-11-14T22:13:20Z, the time in the vectors.
const T: i64 = 1_700_000_000_000;

fn hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// A batch around any bytes, with a right length and checksum.
pub(crate) fn batch_of(
    codec: Compression,
    count: i32,
    last_offset_delta: i32,
    section: &[u8],
) -> Bytes {
    let mut bytes = vec![0; BATCH_HEADER_LEN];
    bytes.extend_from_slice(section);
    let mut header = BatchHeader {
        base_offset: 0,
        base_timestamp: T,
        max_timestamp: T,
        producer_id: -1,
        size: 0,
        leader_epoch: 0,
        crc: 0,
        last_offset_delta,
        base_sequence: -1,
        count,
        attributes: u16::from(codec.id()),
        producer_epoch: -1,
        compression: codec,
    };
    header.write(&mut bytes);
    Bytes::from(bytes)
}
