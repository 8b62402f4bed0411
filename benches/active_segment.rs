//! How to read the active segment: three ways over the same file, to keep the best.
//!
//! *pread*: into a chunk that is then shared. *map*: a map of what is published, renewed when the
//! file has grown. *buffers*: the newest batches kept as they were written, older ones by pread.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::slow_vector_initialization,
    clippy::indexing_slicing,
    missing_docs,
    unsafe_code,
    reason = "a benchmark that cannot run may panic; the map here is nobody else's"
)]

use std::collections::VecDeque;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};

const BATCH: usize = 16 * 1024;
const SMALL: usize = 200;
const FILE: usize = 64 * 1024 * 1024;

fn map(file: &File) -> Bytes {
    // SAFETY: the benchmark only ever extends the file.
    Bytes::from_owner(unsafe { memmap2::Mmap::map(file) }.unwrap())
}

fn pread(file: &File, at: u64, len: usize) -> Bytes {
    let mut buffer = Vec::with_capacity(len);
    buffer.resize(len, 0);
    file.read_exact_at(&mut buffer, at).unwrap();
    Bytes::from(buffer)
}

/// A consumer at the end: each batch is read as soon as it is written.
fn tail(c: &mut Criterion) {
    for (name, size) in [("16 KiB", BATCH), ("200 B", SMALL)] {
        let mut group = c.benchmark_group(format!("tail, batches of {name}"));
        let batch = Bytes::from(vec![7u8; size]);
        for way in ["pread", "map", "buffers"] {
            let file = tempfile::tempfile().unwrap();
            let mut end = 0u64;
            let mut newest: VecDeque<Bytes> = VecDeque::new();
            group.bench_function(way, |b| {
                b.iter(|| {
                    if end as usize > FILE {
                        file.set_len(0).unwrap();
                        end = 0;
                    }
                    file.write_all_at(&batch, end).unwrap();
                    let read = match way {
                        "pread" => pread(&file, end, size),
                        "map" => map(&file).slice(end as usize..end as usize + size),
                        _ => {
                            newest.push_back(Bytes::copy_from_slice(&batch));
                            if newest.len() > 64 {
                                newest.pop_front();
                            }
                            newest.back().unwrap().clone()
                        }
                    };
                    end += size as u64;
                    black_box(crc_fast::crc32_iscsi(&read))
                });
            });
        }
        group.finish();
    }
}

fn filled() -> File {
    let file = tempfile::tempfile().unwrap();
    let block = vec![7u8; 1024 * 1024];
    for i in 0..FILE / block.len() {
        file.write_all_at(&block, (i * block.len()) as u64).unwrap();
    }
    file
}

/// Reading the whole active segment once, and one small batch anywhere in it.
fn replay_and_random(c: &mut Criterion) {
    let file = filled();
    let mut group = c.benchmark_group("replay 64 MiB");
    group.sample_size(10);
    for chunk in [64 * 1024, 256 * 1024, 1024 * 1024] {
        group.bench_function(format!("pread of {} KiB", chunk / 1024), |b| {
            b.iter(|| {
                (0..FILE / chunk).fold(0u32, |sum, i| {
                    sum ^ crc_fast::crc32_iscsi(&pread(&file, (i * chunk) as u64, chunk))
                })
            });
        });
    }
    group.bench_function("map", |b| {
        b.iter(|| map(&file).chunks(64 * 1024).fold(0u32, |sum, c| sum ^ crc_fast::crc32_iscsi(c)));
    });
    group.finish();

    let mut group = c.benchmark_group("one record anywhere");
    let mut at = 1usize;
    let mut next = move || {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (at >> 33) % (FILE - BATCH)
    };
    for chunk in [4 * 1024, 8 * 1024, 16 * 1024] {
        group.bench_function(format!("pread of {} KiB", chunk / 1024), |b| {
            b.iter(|| crc_fast::crc32_iscsi(&pread(&file, next() as u64, chunk)[..SMALL]));
        });
    }
    let mapped = map(&file);
    group.bench_function("map that is there", |b| {
        b.iter(|| {
            let at = next();
            crc_fast::crc32_iscsi(&mapped[at..at + SMALL])
        });
    });
    group.bench_function("map made anew", |b| {
        b.iter(|| {
            let at = next();
            crc_fast::crc32_iscsi(&map(&file)[at..at + SMALL])
        });
    });
    group.finish();
}

criterion_group!(benches, tail, replay_and_random);
criterion_main!(benches);
