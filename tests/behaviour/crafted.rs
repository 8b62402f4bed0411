//! Logs made batch by batch: transactions, damage and leftovers that the API cannot make.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::homes::*;
use logreel::record::{BatchBuilder, ControlRecord};
use logreel::testing::MockClock;
use logreel::{Broker, ErrorCode, IsolationLevel, Partition, Storage};

const PRODUCER: i64 = 77;

fn batch(offset: i64, builder: BatchBuilder) -> Vec<u8> {
    let mut builder = builder;
    builder.append(Some(NOW), None, Some(offset.to_string().as_bytes()), &[]).unwrap();
    let mut sealed = builder.seal().unwrap();
    sealed.assign(offset, 0);
    sealed.into_bytes()
}

/// A batch of one record, whose value is its offset.
fn plain(offset: i64) -> Vec<u8> {
    batch(offset, BatchBuilder::new())
}

/// The same inside a transaction.
fn transactional(offset: i64) -> Vec<u8> {
    batch(offset, BatchBuilder::new().producer(PRODUCER, 0, 0).transactional())
}

fn abort(offset: i64) -> Vec<u8> {
    let marker = ControlRecord::Abort { coordinator_epoch: 0 };
    let mut sealed = BatchBuilder::marker(Some(NOW), PRODUCER, 0, marker).unwrap();
    sealed.assign(offset, 0);
    sealed.into_bytes()
}

/// A directory with these segments of `t`, as a killed process leaves it.
fn killed(segments: &[(i64, Vec<Vec<u8>>)], recovery_point: i64) -> tempfile::TempDir {
    let dir = memory_dir();
    let broker = Broker::open(dir.path()).unwrap();
    broker.create_topic("t").unwrap();
    broker.close().unwrap();
    for (base, batches) in segments {
        std::fs::write(segment(dir.path(), *base, "log"), batches.concat()).unwrap();
    }
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    std::fs::remove_file(dir.path().join("logreel.manifest")).unwrap();
    let points = format!("0\n1\nt 0 {recovery_point}\n");
    std::fs::write(dir.path().join("recovery-point-offset-checkpoint"), points).unwrap();
    dir
}

fn segment(dir: &std::path::Path, base: i64, extension: &str) -> std::path::PathBuf {
    dir.join(format!("t-0/{base:020}.{extension}"))
}

fn flip(path: &std::path::Path, position: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[position] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn log(broker: &Broker) -> Partition {
    broker.topic("t").unwrap().partition(0).unwrap()
}

fn committed(broker: &Broker) -> logreel::Consumer {
    let consumer = broker.consumer().isolation_level(IsolationLevel::ReadCommitted);
    let consumer = consumer.auto_offset_reset(logreel::OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

fn offsets(records: &[logreel::Record]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}

/// Damage below the log start moved the log start back to the damage; when the bytes were mended,
/// records that had been deleted were there again.
#[test]
fn damage_below_the_log_start_brings_deleted_records_back() {
    let first: Vec<Vec<u8>> = (0..10).map(plain).collect();
    let second: Vec<Vec<u8>> = (10..20).map(plain).collect();
    let bad = second[..2].concat().len() + 65;
    let dir = killed(&[(0, first), (10, second)], 20);
    let starts = dir.path().join("log-start-offset-checkpoint");
    std::fs::write(starts, "0\n1\nt 0 15\n").unwrap();
    flip(&segment(dir.path(), 10, "log"), bad);
    for _ in 0..2 {
        let broker = Broker::open(dir.path()).unwrap();
        assert_eq!(broker.recovery_report().damaged().count(), 1);
        assert_eq!(log(&broker).log_start_offset(), 15);
        let consumer = reader(&broker);
        consumer.assign([("t", 0)]).unwrap();
        let error = consumer.poll(SECOND).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::CorruptMessage), "{error}");
        assert!(log(&broker).append([(None, Some("x"))]).is_err());
        drop(consumer);
        broker.close().unwrap();
    }
    flip(&segment(dir.path(), 10, "log"), bad);
    let broker = Broker::open(dir.path()).unwrap();
    assert_eq!(offsets(&read_all(&broker, "t", 0)), [15, 16, 17, 18, 19]);
}

/// A poll that waited at the last stable offset of a log with damage behind it, or with nothing
/// behind it but the open transaction, went round and round instead of waiting. With damage behind
/// it nothing will come, and it says so.
#[test]
fn a_poll_behind_an_open_transaction_burns_the_processor() {
    for damaged in [false, true] {
        must_end(move || {
            let mut batches: Vec<Vec<u8>> = (0..3).map(plain).collect();
            batches.push(transactional(3));
            batches.extend((4..8).map(plain));
            let bad = batches[..6].concat().len() + 65;
            let dir = killed(&[(0, batches)], if damaged { 8 } else { 0 });
            if damaged {
                flip(&segment(dir.path(), 0, "log"), bad);
            }
            // On this clock a poll that does not wait never comes to its end.
            let clock = MockClock::at_millis(NOW);
            let broker = Broker::builder().dir(dir.path()).clock(&clock).open().unwrap();
            assert_eq!(broker.recovery_report().damaged().count(), usize::from(damaged));
            assert_eq!(log(&broker).last_stable_offset(), 3);
            let consumer = committed(&broker);
            assert_eq!(consumer.poll(SECOND).unwrap().len(), 3);
            let polled = consumer.poll(3600 * SECOND);
            if damaged {
                assert_eq!(polled.unwrap_err().code(), Some(ErrorCode::CorruptMessage));
            } else {
                assert!(polled.unwrap().is_empty());
                assert_eq!(clock.wall_millis(), NOW + 3_600_000);
            }
            let all = reader(&broker);
            all.assign([("t", 0)]).unwrap();
            assert_eq!(all.poll(SECOND).unwrap().len(), if damaged { 6 } else { 8 });
        });
    }
}

/// After a kill a segment without a transaction index was taken for one without aborts, once its
/// other indexes had been rebuilt.
#[test]
fn a_missing_transaction_index_is_believed_after_a_kill() {
    let first = vec![transactional(0), plain(1), abort(2), plain(3)];
    let dir = killed(&[(0, first), (4, vec![plain(4), plain(5)])], 6);
    for extension in ["index", "timeindex"] {
        std::fs::write(segment(dir.path(), 0, extension), "").unwrap();
    }
    let broker = Broker::open(dir.path()).unwrap();
    assert_eq!(log(&broker).read(3, 1).unwrap().iter().next().unwrap().offset(), 3);
    assert_eq!(offsets(&drain(&committed(&broker))), [1, 3, 4, 5]);
}

/// Recovery began with the newest producer snapshot, but passed over the rest of the segment that
/// the snapshot lies in: a transaction that began there was open, and its records were handed out.
#[test]
fn a_transaction_behind_a_snapshot_inside_a_segment_is_forgotten() {
    let mut first: Vec<Vec<u8>> = (0..6).map(plain).collect();
    first.push(transactional(6));
    first.extend((7..10).map(plain));
    let dir = killed(&[(0, first), (10, (10..13).map(plain).collect())], 12);
    // What a close at offset 4 leaves: the state of no producers.
    let other = memory_dir();
    let closed = Broker::open(other.path()).unwrap();
    let closed_log = closed.create_topic("t").unwrap().partition(0).unwrap();
    for _ in 0..4 {
        closed_log.append([(None, Some("x"))]).unwrap();
    }
    drop(closed_log);
    closed.close().unwrap();
    std::fs::copy(segment(other.path(), 4, "snapshot"), segment(dir.path(), 4, "snapshot"))
        .unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    assert_eq!(log(&broker).log_end_offset(), 13);
    assert_eq!(log(&broker).last_stable_offset(), 6);
    assert_eq!(drain(&committed(&broker)).len(), 6);
}

fn side_files(dir: &std::path::Path) -> Vec<Vec<u8>> {
    let files = snapshot(&dir.join("t-0"));
    let is_side = |path: &std::path::Path| {
        path.file_name().unwrap().to_string_lossy().starts_with("logreel-cut-")
    };
    files.into_iter().filter(|(path, _)| is_side(path)).map(|(_, bytes)| bytes).collect()
}

/// A cut that was interrupted when the last segments had gone began anew with those that were left,
/// and their side file replaced the one that held everything.
#[test]
fn an_interrupted_cut_loses_what_it_had_set_aside() {
    let segments: Vec<(i64, Vec<Vec<u8>>)> =
        (0..4).map(|n| (n * 3, (n * 3..n * 3 + 3).map(plain).collect())).collect();
    let cut = segments[1..].iter().map(|(_, batches)| batches.concat()).collect::<Vec<_>>();
    let dir = killed(&segments, 1);
    let bad = segment(dir.path(), 3, "log");
    flip(&bad, 65);
    let mut expected = cut.concat();
    expected[65] ^= 1;

    let operations = Arc::new(AtomicUsize::new(0));
    let dies_after = |last: usize, dir: &std::path::Path| {
        operations.store(0, Ordering::SeqCst);
        let seen = Arc::clone(&operations);
        let reads = ["open", "read", "len", "map", "list", "lock", "modified"];
        Storage::observed(Storage::disk(dir), move |op, _| {
            let alive = reads.contains(&op) || seen.fetch_add(1, Ordering::SeqCst) < last;
            if alive { Ok(()) } else { Err(std::io::Error::other("it is dead")) }
        })
    };
    let whole = memory_dir();
    copy_dir(dir.path(), whole.path());
    drop(Broker::builder().storage(dies_after(usize::MAX, whole.path())).open().unwrap());
    assert_eq!(side_files(whole.path()), [expected.clone()]);
    let count = operations.load(Ordering::SeqCst);
    assert!(count > 20, "{count} operations");
    for last in 0..count {
        let copy = memory_dir();
        copy_dir(dir.path(), copy.path());
        drop(Broker::builder().storage(dies_after(last, copy.path())).open());
        let broker = Broker::open(copy.path()).unwrap();
        assert_eq!(read_all(&broker, "t", 0).len(), 3, "died after {last}");
        assert_eq!(side_files(copy.path()), [expected.clone()], "died after {last}");
    }
}
