//! gzip: RFC 1952 members.
//!
//! Written as one member without name or time; several members are read as one stream, as Java's
//! `GZIPInputStream` does.

use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::super::error::{BuildError, Corruption};

pub(super) fn compress(
    level: Option<i32>,
    records: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), BuildError> {
    let level = level.and_then(|level| u32::try_from(level).ok());
    let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
    let fail = |error: std::io::Error| BuildError::Compression(error.to_string());
    let mut encoder = GzEncoder::new(out, level);
    encoder.write_all(records).map_err(fail)?;
    encoder.finish().map_err(fail)?;
    Ok(())
}

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Corruption> {
    let mut out = Vec::new();
    // One byte more than allowed tells "exactly the limit" from "more".
    let mut reader = MultiGzDecoder::new(bytes).take((limit as u64).saturating_add(1));
    match reader.read_to_end(&mut out) {
        Ok(_) if out.len() > limit => Err(Corruption::TooLarge { limit }),
        Ok(_) => Ok(out),
        Err(error) => Err(Corruption::Decompression(error.to_string())),
    }
}
