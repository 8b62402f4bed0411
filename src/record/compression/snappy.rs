//! snappy in the framing of snappy-java ("xerial"), which is neither raw snappy nor snappy's own
//! framing format: a magic of 8 bytes, two version numbers, then blocks of `i32` length (big
//! endian) and raw snappy.
//!
//! Bytes that do not start with the magic are read as one raw block, as snappy-java does; that is
//! never written.

use super::super::error::{BuildError, Corruption};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version 1, compatible with version 1. Old readers take no other numbers.
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// The block size of snappy-java.
const BLOCK_BYTES: usize = 32 << 10;
/// No element of raw snappy yields more than 64 bytes, and each takes at least two.
const EXPANSION_MAX: usize = 32;

pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) -> Result<(), BuildError> {
    let fail = |error: snap::Error| BuildError::Compression(error.to_string());
    let mut encoder = snap::raw::Encoder::new();
    let mut block = vec![0; snap::raw::max_compress_len(BLOCK_BYTES.min(records.len()))];
    out.extend_from_slice(&HEADER);
    for chunk in records.chunks(BLOCK_BYTES) {
        let len = encoder.compress(chunk, &mut block).map_err(fail)?;
        let size = u32::try_from(len).map_err(|e| BuildError::Compression(e.to_string()))?;
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(block.get(..len).unwrap_or_default());
    }
    Ok(())
}

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Corruption> {
    let mut out = Vec::new();
    let mut decoder = snap::raw::Decoder::new();
    let Some(mut rest) = after_header(bytes)? else {
        block(&mut decoder, bytes, limit, &mut out)?;
        return Ok(out);
    };
    while !rest.is_empty() {
        // snappy-java reads streams written one after the other as one.
        if let Some(next) = after_header(rest)? {
            rest = next;
            continue;
        }
        let (size, tail) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let size = usize::try_from(i32::from_be_bytes(*size))
            .map_err(|_| Corruption::Decompression("snappy: negative block size".into()))?;
        let (compressed, tail) = tail.split_at_checked(size).ok_or_else(cut)?;
        block(&mut decoder, compressed, limit, &mut out)?;
        rest = tail;
    }
    Ok(out)
}

/// What follows the stream header, or `None` when there is none.
fn after_header(bytes: &[u8]) -> Result<Option<&[u8]>, Corruption> {
    let Some((header, rest)) = bytes.split_first_chunk::<16>() else {
        return Ok(None);
    };
    let [magic @ .., v0, v1, v2, v3, _, _, _, _] = header;
    if magic != &MAGIC {
        return Ok(None);
    }
    let version = i32::from_be_bytes([*v0, *v1, *v2, *v3]);
    if version < 1 {
        let text = format!("snappy: version {version} of the framing is unknown");
        return Err(Corruption::Decompression(text));
    }
    Ok(Some(rest))
}

fn cut() -> Corruption {
    Corruption::Decompression("snappy: the data end inside a block".into())
}

fn block(
    decoder: &mut snap::raw::Decoder,
    compressed: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Corruption> {
    let fail = |error: snap::Error| Corruption::Decompression(format!("snappy: {error}"));
    let start = out.len();
    let size = snap::raw::decompress_len(compressed).map_err(fail)?;
    // The size is announced, not known: it must be possible before memory is taken for it.
    if size > compressed.len().saturating_mul(EXPANSION_MAX) {
        return Err(Corruption::Decompression("snappy: a block cannot hold its size".into()));
    }
    if size > limit.saturating_sub(start) {
        return Err(Corruption::TooLarge { limit });
    }
    out.resize(start + size, 0);
    decoder.decompress(compressed, out.get_mut(start..).unwrap_or_default()).map_err(fail)?;
    Ok(())
}
