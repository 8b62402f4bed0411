//! How a log of somebody else runs each kind of workload.

use std::rc::Rc;
use std::time::Instant;

use crate::logs::{Durable, Indexed, Log};
use crate::work::limits::Touch;
use crate::work::measure::{Survives, Workload};
use crate::work::payload::{Payload, Sum};
use crate::work::random::Places;

/// What a record takes in the least compact of the logs, besides key and value.
const OVERHEAD: usize = 64;

fn room(records: usize, size: usize) -> usize {
    (records + 1) * (size + OVERHEAD) + (1 << 16)
}

/// One call a record.
pub fn each<L: Log>(work: Workload, survives: Survives, size: usize, records: usize) -> Workload {
    let payload = Payload::new(size);
    let expected = payload.sum(records);
    work.peer(L::NAME, survives, move || {
        let dir = tempfile::tempdir().unwrap();
        let mut log = L::create(dir.path(), room(records, size));
        let began = Instant::now();
        for i in 0..records {
            log.append(&payload.key(i), payload.value(i));
        }
        log.finish();
        let rate = records as f64 / began.elapsed().as_secs_f64();
        assert_eq!(log.read_back(), expected, "{}", L::NAME);
        rate
    })
}

/// A hundred records a call.
pub fn batches<L: Log>(
    work: Workload,
    survives: Survives,
    size: usize,
    records: usize,
) -> Workload {
    let payload = Payload::new(size);
    let records = records / 100 * 100;
    let expected = payload.sum(records);
    work.peer(L::NAME, survives, move || {
        let dir = tempfile::tempdir().unwrap();
        let mut log = L::create(dir.path(), room(records, size));
        let began = Instant::now();
        for first in (0..records).step_by(100) {
            log.append_batch(&payload, first..first + 100);
        }
        log.finish();
        let rate = records as f64 / began.elapsed().as_secs_f64();
        assert_eq!(log.read_back(), expected, "{}", L::NAME);
        rate
    })
}

/// Four threads, each with a log of its own, one call a record.
pub fn threads<L: Log + Send>(
    work: Workload,
    survives: Survives,
    size: usize,
    each: usize,
) -> Workload {
    const THREADS: usize = 4;
    let payload = Payload::new(size);
    let expected = payload.sum(each * THREADS);
    work.peer(L::NAME, survives, move || {
        let dirs: Vec<_> = (0..THREADS).map(|_| tempfile::tempdir().unwrap()).collect();
        let create = |dir: &tempfile::TempDir| L::create(dir.path(), room(each, size));
        let mut logs: Vec<L> = dirs.iter().map(create).collect();
        let began = Instant::now();
        std::thread::scope(|scope| {
            for (n, log) in logs.iter_mut().enumerate() {
                let payload = &payload;
                scope.spawn(move || {
                    for i in n * each..(n + 1) * each {
                        log.append(&payload.key(i), payload.value(i));
                    }
                    log.finish();
                });
            }
        });
        let rate = (each * THREADS) as f64 / began.elapsed().as_secs_f64();
        let sum = logs.iter_mut().map(Log::read_back).fold(Sum::default(), Sum::and);
        assert_eq!(sum, expected, "{}", L::NAME);
        rate
    })
}

/// So many threads on one log, each waits until its record is synced.
pub fn durable<D: Durable>(work: Workload, size: usize, threads: usize, each: usize) -> Workload {
    let payload = Payload::new(size);
    let expected = payload.sum(threads * each);
    work.peer(D::NAME, Survives::Power, move || {
        let dir = tempfile::tempdir().unwrap();
        let mut log = D::create(dir.path(), room(threads * each, size));
        let began = Instant::now();
        std::thread::scope(|scope| {
            for n in 0..threads {
                let (log, payload) = (&log, &payload);
                scope.spawn(move || {
                    for i in n * each..(n + 1) * each {
                        log.append(n, &payload.key(i), payload.value(i));
                    }
                });
            }
        });
        let rate = (each * threads) as f64 / began.elapsed().as_secs_f64();
        assert_eq!(log.read_back(threads), expected, "{}", D::NAME);
        rate
    })
}

/// Fills a log before anything is measured.
fn filled<L: Log>(payload: &Payload, records: usize) -> (tempfile::TempDir, L) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = L::create(dir.path(), room(records, payload.size()));
    for first in (0..records).step_by(100) {
        log.append_batch(payload, first..(first + 100).min(records));
    }
    log.finish();
    (dir, log)
}

/// Everything in order.
pub fn consume<L: Log + 'static>(work: Workload, size: usize, records: usize) -> Workload {
    let payload = Payload::new(size);
    let expected = Touch::of(&payload, records);
    let (dir, mut log) = filled::<L>(&payload, records);
    work.peer(L::NAME, Survives::Unasked, move || {
        let _ = &dir;
        let began = Instant::now();
        let mut touch = Touch::default();
        log.scan(|key, value| touch.add(key, value));
        let rate = records as f64 / began.elapsed().as_secs_f64();
        assert_eq!(Sum::from(touch), expected, "{}", L::NAME);
        rate
    })
}

/// One record after the other, anywhere.
pub fn random<L: Indexed + 'static>(
    work: Workload,
    size: usize,
    records: usize,
    reads: usize,
) -> Workload {
    let payload = Rc::new(Payload::new(size));
    let places = Places::new(&payload, reads, records);
    let (dir, mut log) = filled::<L>(&payload, records);
    work.peer(L::NAME, Survives::Unasked, move || {
        let _ = &dir;
        places.read(|i, touch| log.get(i, touch))
    })
}
