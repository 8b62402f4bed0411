//! lz4: one LZ4 frame of independent blocks.
//!
//! Kafka's reader is narrower than the frame format, and a batch it refuses is lost to it, so both
//! directions keep to what it takes: version 1, independent blocks, no dictionary, reserved bits 0,
//! a correct header checksum. Content size and the checksums are accepted; block checksums are
//! verified, the content checksum is not. It stops at the first end mark, and so do we: a second
//! frame is not read. The frame is small enough to be written and read here; `lz4_flex` does the
//! blocks.

use lz4_flex::block::{DecompressError, compress_into, decompress_into, get_maximum_output_size};
use twox_hash::XxHash32;

use super::super::error::{BuildError, Corruption};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Version 1, independent blocks, no checksums, no content size, as Kafka writes.
const FLAGS: u8 = 0x60;
/// Blocks of at most 64 KiB, as Kafka writes.
const BLOCK_DESCRIPTOR: u8 = 0x40;
const BLOCK_BYTES: usize = 64 << 10;
/// Set in a block's size when the block is stored as it is.
const STORED: u32 = 1 << 31;
/// No sequence of an lz4 block yields more than 255 bytes per byte it takes.
const EXPANSION_MAX: usize = 255;

fn header_checksum(descriptor: &[u8]) -> u8 {
    let [_, checksum, ..] = XxHash32::oneshot(0, descriptor).to_le_bytes();
    checksum
}

pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) -> Result<(), BuildError> {
    let descriptor = [FLAGS, BLOCK_DESCRIPTOR];
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&descriptor);
    out.push(header_checksum(&descriptor));
    let mut block = vec![0; get_maximum_output_size(BLOCK_BYTES.min(records.len()))];
    for chunk in records.chunks(BLOCK_BYTES) {
        let len = compress_into(chunk, &mut block)
            .map_err(|error| BuildError::Compression(format!("lz4: {error}")))?;
        let (body, flag) = match block.get(..len) {
            Some(compressed) if len < chunk.len() => (compressed, 0),
            // The format wants a block that does not shrink stored as it is.
            _ => (chunk, STORED),
        };
        let size = u32::try_from(body.len()).map_err(|e| BuildError::Compression(e.to_string()))?;
        out.extend_from_slice(&(size | flag).to_le_bytes());
        out.extend_from_slice(body);
    }
    out.extend_from_slice(&[0; 4]);
    Ok(())
}

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Corruption> {
    let (frame, mut rest) = Frame::parse(bytes)?;
    let mut out = Vec::new();
    loop {
        let word = u32::from_le_bytes(take(&mut rest)?);
        if word == 0 {
            return Ok(out);
        }
        let size = usize::try_from(word & !STORED).map_err(|_| cut())?;
        if size > frame.block_bytes {
            return Err(fail("a block is larger than the frame allows"));
        }
        let (block, tail) = rest.split_at_checked(size).ok_or_else(cut)?;
        rest = tail;
        if frame.block_checksums
            && XxHash32::oneshot(0, block) != u32::from_le_bytes(take(&mut rest)?)
        {
            return Err(fail("the checksum of a block is wrong"));
        }
        if word & STORED != 0 {
            if block.len() > limit.saturating_sub(out.len()) {
                return Err(Corruption::TooLarge { limit });
            }
            out.extend_from_slice(block);
        } else {
            decompress_block(block, frame.block_bytes, limit, &mut out)?;
        }
    }
}

fn decompress_block(
    block: &[u8],
    block_bytes: usize,
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), Corruption> {
    let start = out.len();
    let possible = block_bytes.min(block.len().saturating_mul(EXPANSION_MAX));
    let room = possible.min(limit.saturating_sub(start));
    out.resize(start + room, 0);
    match decompress_into(block, out.get_mut(start..).unwrap_or_default()) {
        Ok(len) => {
            out.truncate(start + len);
            Ok(())
        }
        Err(DecompressError::OutputTooSmall { .. }) if room < possible => {
            Err(Corruption::TooLarge { limit })
        }
        Err(error) => Err(fail(&error.to_string())),
    }
}

/// What the frame header says about the blocks.
struct Frame {
    block_bytes: usize,
    block_checksums: bool,
}

impl Frame {
    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Corruption> {
        let mut rest = bytes;
        if take(&mut rest)? != MAGIC {
            return Err(fail("the magic number is missing"));
        }
        let descriptor = rest;
        let [flags, block_descriptor] = take(&mut rest)?;
        if flags >> 6 != 1 {
            return Err(fail("the frame version is unknown"));
        }
        if flags & 0x20 == 0 {
            return Err(fail("dependent blocks are not supported"));
        }
        // Bit 0 announces a dictionary, which Kafka counts among the reserved bits.
        if flags & 0x03 != 0 || block_descriptor & 0x8f != 0 {
            return Err(fail("reserved bits are set"));
        }
        let block_bytes = match block_descriptor >> 4 {
            4 => BLOCK_BYTES,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Err(fail("the block size is unknown")),
        };
        if flags & 0x08 != 0 {
            let _content_size: [u8; 8] = take(&mut rest)?;
        }
        let len = descriptor.len() - rest.len();
        let [stored] = take(&mut rest)?;
        if stored != header_checksum(descriptor.get(..len).unwrap_or_default()) {
            return Err(fail("the checksum of the frame header is wrong"));
        }
        Ok((Self { block_bytes, block_checksums: flags & 0x10 != 0 }, rest))
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Corruption> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(cut)?;
    *rest = tail;
    Ok(*head)
}

fn cut() -> Corruption {
    fail("the data end inside the frame")
}

fn fail(text: &str) -> Corruption {
    Corruption::Decompression(format!("lz4: {text}"))
}
