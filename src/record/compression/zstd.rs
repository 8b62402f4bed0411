//! zstd: standard frames, one written, several read.
//!
//! The contexts of zstd are large (a megabyte and more for an encoder), so a few are kept for the
//! next batch. One that failed is dropped: the next call must not meet what it left behind.

use std::io::Cursor;

use parking_lot::Mutex;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective};
use zstd::zstd_safe::{compress_bound, get_error_name, get_frame_content_size};

use super::super::error::{BuildError, Corruption};

/// Contexts kept of each kind; threads beyond this many at once make their own.
const KEPT_MAX: usize = 4;
/// A context with more memory than this is not kept: high levels and large windows are rare.
const KEPT_BYTES_MAX: usize = 16 << 20;
/// Windows of up to 128 MiB, what zstd's own decoder and Kafka's accept. Larger ones need a switch
/// on every reader.
const WINDOW_LOG_MAX: u32 = 27;
/// The output starts at this size, or at what the frame announces if that is less.
const FIRST_GUESS: usize = 64 << 10;
const DEFAULT_LEVEL: i32 = 3;

/// Idle encoders, each with the level it is set to.
static ENCODERS: Mutex<Vec<(i32, Compressor<'static>)>> = Mutex::new(Vec::new());
static DECODERS: Mutex<Vec<DCtx<'static>>> = Mutex::new(Vec::new());

fn give_back<T>(pool: &Mutex<Vec<T>>, context: T, bytes: usize) {
    let mut kept = pool.lock();
    if bytes <= KEPT_BYTES_MAX && kept.len() < KEPT_MAX {
        kept.push(context);
    }
}

pub(super) fn compress(
    level: Option<i32>,
    records: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), BuildError> {
    let fail = |error: std::io::Error| BuildError::Compression(format!("zstd: {error}"));
    let level = level.unwrap_or(DEFAULT_LEVEL);
    let kept = ENCODERS.lock().pop();
    let mut encoder = match kept {
        Some((set, encoder)) if set == level => encoder,
        Some((_, mut encoder)) => {
            encoder.set_compression_level(level).map_err(fail)?;
            encoder
        }
        None => Compressor::new(level).map_err(fail)?,
    };
    let start = out.len();
    out.reserve(compress_bound(records.len()));
    // Behind what is there, into memory that need not be cleared.
    let mut room = Cursor::new(std::mem::take(out));
    room.set_position(start as u64);
    let compressed = encoder.compress_to_buffer(records, &mut room).map_err(fail);
    *out = room.into_inner();
    compressed?;
    let bytes = encoder.context_mut().sizeof();
    give_back(&ENCODERS, (level, encoder), bytes);
    Ok(())
}

pub(super) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Corruption> {
    let kept = DECODERS.lock().pop();
    let mut context = match kept {
        Some(context) => context,
        None => {
            let mut context = DCtx::try_create().ok_or_else(|| fail("out of memory"))?;
            context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(code)?;
            context
        }
    };
    context.reset(ResetDirective::SessionOnly).map_err(code)?;
    let out = run(&mut context, bytes, limit)?;
    let bytes = context.sizeof();
    give_back(&DECODERS, context, bytes);
    Ok(out)
}

fn run(context: &mut DCtx<'_>, bytes: &[u8], limit: usize) -> Result<Vec<u8>, Corruption> {
    // One byte more than allowed tells "exactly the limit" from "more".
    let most = limit.saturating_add(1);
    let announced = get_frame_content_size(bytes).ok().flatten();
    let announced = announced.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
    let guess = FIRST_GUESS.max(bytes.len().saturating_mul(4));
    let mut out = vec![0; guess.min(announced).max(1).min(most)];
    let mut input = InBuffer::around(bytes);
    let mut filled = 0;
    loop {
        let mut output = OutBuffer::around_pos(out.as_mut_slice(), filled);
        let hint = context.decompress_stream(&mut output, &mut input).map_err(code)?;
        filled = output.pos();
        let exhausted = input.pos() == bytes.len();
        if filled > limit {
            return Err(Corruption::TooLarge { limit });
        }
        // A hint of 0 says that a frame is complete and flushed; another may follow.
        if hint == 0 && exhausted {
            out.truncate(filled);
            return Ok(out);
        }
        if hint != 0 && filled == out.len() {
            let larger = out.len().saturating_mul(2).min(most);
            out.resize(larger, 0);
        } else if exhausted {
            return Err(fail("the data end inside a frame"));
        }
    }
}

fn code(code: usize) -> Corruption {
    fail(get_error_name(code))
}

fn fail(text: &str) -> Corruption {
    Corruption::Decompression(format!("zstd: {text}"))
}
