//! Random histories: what a partition begins with, and what happens to it.

use logreel::record::{BatchBuilder, Compression, ControlRecord, Header};

use crate::homes::NOW;

/// A small generator, so that a history's choices repeat from its seed.
pub(super) struct Draw(pub(super) u64);

impl Draw {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) ^ (self.0 >> 53)) % bound
    }

    pub(super) fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    /// `None` only where Kafka wrote the log.
    pub(super) key: Option<u8>,
    /// `None` is a tombstone.
    pub(super) value: Option<u8>,
    pub(super) time: i64,
    pub(super) header: bool,
}

/// What is in the log before it is opened.
#[derive(Clone, Debug)]
pub(super) enum Spec {
    Data {
        /// Of this producer, or of none.
        id: Option<u8>,
        transactional: bool,
        codec: Compression,
        append_time: bool,
        rows: Vec<Row>,
    },
    End {
        id: u8,
        abort: bool,
        /// With the next epoch (KIP-890).
        bump: bool,
    },
    /// The producer was initialized again.
    Bump(u8),
    Seal,
    /// Kafka compacted so many offsets away before.
    Gap(i64),
    Later(i64),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Append(Vec<Row>),
    /// Through an idempotent producer that lives as long as the broker.
    Send(Row),
    Jump(i64),
    Pass {
        ratio: &'static str,
        delete_retention: i64,
    },
    Close,
    Kill,
    /// Deletes this many thousandths of what is there.
    Delete(i64),
}

#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) adopted: bool,
    pub(super) is_deleted: bool,
    pub(super) segment_bytes: u64,
    pub(super) index_interval: u64,
    pub(super) map: (usize, usize),
    pub(super) retention_bytes: Option<u64>,
    pub(super) min_lag: i64,
    pub(super) max_lag: Option<i64>,
    pub(super) before: Vec<Spec>,
    pub(super) steps: Vec<Step>,
}

/// The map's size in bytes, and how many keys it then takes: seven eighths of a power of two.
const MAPS: [(usize, usize); 4] = [(1, 1), (400, 7), (1000, 14), (1_000_000, 14_336)];

impl History {
    pub(super) fn draw(seed: u64) -> Self {
        let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let draw = &mut draw;
        draw.below(2);
        let adopted = draw.one_in(3);
        let is_deleted = draw.one_in(3);
        let keys = draw.of(&[1, 3, 3, 8, 30]);
        let mut before = Vec::new();
        for _ in 0..draw.below(28) {
            before.push(spec(draw, adopted, keys));
        }
        let mut steps = Vec::new();
        for _ in 0..2 + draw.below(14) {
            steps.push(step(draw, is_deleted, keys));
        }
        Self {
            adopted,
            is_deleted,
            segment_bytes: draw.of(&[400, 700, 1500, 6000]),
            index_interval: draw.of(&[1, 200, 4096]),
            map: draw.of(&[MAPS[0], MAPS[1], MAPS[2], MAPS[3], MAPS[3]]),
            retention_bytes: draw.of(&[None, None, Some(500), Some(2500)]).filter(|_| is_deleted),
            min_lag: draw.of(&[0, 0, 0, 2_000, 60_000]),
            max_lag: draw.of(&[None, None, Some(1), Some(60_000)]),
            before,
            steps,
        }
        .sane()
    }

    fn sane(mut self) -> Self {
        // Data of aborted transactions below the log start may stay or go: nobody reads it.
        for spec in self.before.iter_mut().filter(|_| self.is_deleted) {
            if let Spec::End { abort, .. } = spec {
                *abort = false;
            }
        }
        if let Some(lag) = self.max_lag {
            self.min_lag = self.min_lag.min(lag);
        }
        self
    }
}

fn row(draw: &mut Draw, keys: u64) -> Row {
    Row {
        key: Some(draw.below(keys) as u8),
        value: (!draw.one_in(4)).then(|| draw.below(40) as u8),
        time: draw.below(3_000) as i64 - 1_500,
        header: draw.one_in(6),
    }
}

fn rows(draw: &mut Draw, keys: u64) -> Vec<Row> {
    (0..=draw.below(4)).map(|_| row(draw, keys)).collect()
}

fn spec(draw: &mut Draw, adopted: bool, keys: u64) -> Spec {
    let id = draw.below(3) as u8;
    match draw.below(20) {
        0 | 1 => Spec::Seal,
        2 => Spec::Later(draw.of(&[1_000, 5_000, 70_000])),
        3 => Spec::Bump(id),
        4 if adopted => Spec::Gap(1 + draw.below(5) as i64),
        5..=8 => Spec::End { id, abort: draw.one_in(2), bump: draw.one_in(6) },
        what => {
            let mut rows = rows(draw, keys);
            if adopted && draw.one_in(10) {
                rows[0].key = None;
            }
            let codec = draw.of(&[
                Compression::None,
                Compression::None,
                Compression::None,
                Compression::Lz4,
                Compression::Snappy,
                Compression::Gzip,
                Compression::Zstd,
            ]);
            Spec::Data {
                id: (what < 17).then_some(id),
                transactional: what < 14,
                codec,
                append_time: draw.one_in(12),
                rows,
            }
        }
    }
}

fn step(draw: &mut Draw, is_deleted: bool, keys: u64) -> Step {
    match draw.below(16) {
        0..=3 => Step::Append(rows(draw, keys)),
        4 | 5 => Step::Send(row(draw, keys)),
        6 => Step::Jump(draw.of(&[1_000, 30_000, 100_000, 86_400_000])),
        7 => Step::Close,
        8 => Step::Kill,
        9 if is_deleted => Step::Delete(draw.below(1_001) as i64),
        _ => Step::Pass {
            ratio: draw.of(&["0", "0", "0.3", "0.5", "1"]),
            delete_retention: draw.of(&[0, 1_000, 1_001, 60_000, 86_400_000]),
        },
    }
}

pub(super) fn key(row: &Row) -> Option<String> {
    row.key.map(|key| format!("key {key}"))
}

pub(super) fn value(row: &Row, offset: i64) -> Option<String> {
    row.value.map(|size| format!("{offset}{}", "v".repeat(size.into())))
}

pub(super) fn headers(row: &Row) -> Vec<Header> {
    if row.header { vec![Header::new("h", "x"), Header::null("n")] } else { Vec::new() }
}

/// Segments of batches, each with its base offset.
pub(super) struct Made {
    pub(super) segments: Vec<(i64, Vec<u8>)>,
    pub(super) end: i64,
    pub(super) now: i64,
}

#[derive(Clone, Copy, Default)]
struct Writer {
    epoch: i16,
    sequence: i32,
    open: bool,
}

/// The bytes that a broker would have written.
pub(super) fn make(history: &History) -> Made {
    let mut made = Made { segments: vec![(0, Vec::new())], end: 0, now: NOW };
    let mut writers = [Writer::default(); 3];
    // A transaction that is open for ever while its records are deleted is not looked at here.
    let end = |id| Spec::End { id, abort: false, bump: false };
    let ends: Vec<Spec> = if history.is_deleted { (0..3).map(end).collect() } else { vec![] };
    for spec in history.before.iter().chain(&ends) {
        let (base, mut sealed) = (made.end, None);
        match spec {
            Spec::Later(by) => made.now += by,
            Spec::Gap(by) => made.end += by,
            Spec::Seal => {
                if made.segments.last().is_some_and(|(_, bytes)| !bytes.is_empty()) {
                    made.segments.push((made.end, Vec::new()));
                }
            }
            Spec::Bump(id) => {
                let writer = &mut writers[usize::from(*id)];
                if !writer.open {
                    *writer = Writer { epoch: writer.epoch + 1, ..Writer::default() };
                }
            }
            Spec::End { id, .. } if history.is_deleted && !writers[usize::from(*id)].open => {}
            Spec::End { id, abort, bump } => {
                let writer = &mut writers[usize::from(*id)];
                if *bump {
                    *writer = Writer { epoch: writer.epoch + 1, ..Writer::default() };
                }
                writer.open = false;
                let coordinator_epoch = 3;
                let kind = if *abort {
                    ControlRecord::Abort { coordinator_epoch }
                } else {
                    ControlRecord::Commit { coordinator_epoch }
                };
                let id = 1000 + i64::from(*id);
                let marker = BatchBuilder::marker(Some(made.now), id, writer.epoch, kind);
                sealed = Some(marker.unwrap());
            }
            Spec::Data { id, transactional, codec, append_time, rows } => {
                let mut builder = BatchBuilder::new().compression(*codec, None);
                if let Some(id) = id {
                    let writer = &mut writers[usize::from(*id)];
                    let id = 1000 + i64::from(*id);
                    builder.set_producer(id, writer.epoch, writer.sequence);
                    writer.sequence += rows.len() as i32;
                    writer.open |= transactional;
                    if writer.open {
                        builder = builder.transactional();
                    }
                }
                for (row, offset) in rows.iter().zip(base..) {
                    let (key, value) = (key(row), value(row, offset));
                    let key = key.as_ref().map(String::as_bytes);
                    let value = value.as_ref().map(String::as_bytes);
                    let time = Some(made.now + row.time);
                    builder.append(time, key, value, &headers(row)).unwrap();
                }
                let mut batch = builder.seal().unwrap();
                if *append_time {
                    batch.set_log_append_time(made.now);
                }
                sealed = Some(batch);
            }
        }
        if let Some(mut batch) = sealed {
            batch.assign(base, 0);
            made.end = batch.header().next_offset();
            made.segments.last_mut().unwrap().1.extend_from_slice(batch.bytes());
        }
    }
    // A gap at the end is not a part of the log.
    made.end = match made.segments.last() {
        Some((base, bytes)) if bytes.is_empty() => *base,
        _ => made.end,
    };
    made
}
