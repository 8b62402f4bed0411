//! What was wrong with retention, compaction and their threads once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::homes::*;
use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{Broker, Clock, Housekeeping, NewTopic, OffsetSpec, RawRecord, Storage};

/// A record that was appended while `delete_records` looked for the first one of a time or later,
/// and found none, was deleted although it is of that time.
#[test]
fn deleting_what_is_older_than_a_time_spares_what_is_appended_meanwhile() {
    let broker = Broker::in_memory();
    let topic = NewTopic::new("t").set("retention.ms", "-1");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The record at offset n has the time n.
        let writer = log.clone();
        let done = &done;
        scope.spawn(move || {
            for at in 0..200_000 {
                writer.append([RawRecord::new(None, Some(b"v")).timestamp(at)]).unwrap();
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let time = log.log_end_offset();
            let start = log.delete_records(OffsetSpec::Timestamp(time)).unwrap();
            if start > time {
                done.store(true, Ordering::Relaxed);
                panic!("records of time {time} and later are gone: the log begins at {start}");
            }
        }
    });
}

/// What was to expire while another thread cleaned the log was never looked at again.
#[test]
fn what_expires_while_another_thread_cleans_goes_all_the_same() {
    let broker = Broker::builder()
        .housekeeping(Housekeeping::Manual)
        .set("log.initial.task.delay.ms", "0")
        .set("log.retention.check.interval.ms", "10")
        .set("log.cleaner.backoff.ms", "1")
        .open()
        .unwrap();
    let topic = NewTopic::new("t")
        .set("cleanup.policy", "compact,delete")
        .set("segment.bytes", "20000000")
        .set("min.cleanable.dirty.ratio", "0")
        .set("retention.ms", "3600000");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    let clock = Clock::system();
    let expires = clock.wall_millis() + 3000;
    let at = expires - 3_600_000;
    let mut key = 0_u64;
    while log.segments().len() < 4 {
        let keys: Vec<[u8; 8]> = (0..2000).map(|i| (key + i).to_be_bytes()).collect();
        key += 2000;
        log.append(keys.iter().map(|k| RawRecord::new(Some(k), Some(b"v")).timestamp(at))).unwrap();
    }
    std::thread::sleep(Duration::from_millis(50));
    std::thread::scope(|scope| {
        // The cleaning begins shortly before the records expire.
        let wait = (expires - 20 - clock.wall_millis()).max(0);
        std::thread::sleep(Duration::from_millis(wait as u64));
        let began = Instant::now();
        let cleaner = broker.clone();
        let cleans = scope.spawn(move || {
            cleaner.run_due();
            began.elapsed()
        });
        std::thread::sleep(Duration::from_millis(10));
        while began.elapsed() < Duration::from_millis(3000) {
            broker.run_due();
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = cleans.join().unwrap();
        let due = broker.run_due();
        assert_eq!(
            log.log_start_offset(),
            log.log_end_offset(),
            "cleaned for {took:?}, next due {due:?}"
        );
    });
}

/// What `delete_records` deleted of a log that Kafka wrote stayed on the disk for good when the
/// broker was closed before the next check of retention.
#[test]
fn what_was_deleted_of_an_adopted_log_goes_after_a_reopen_too() {
    let dir = tempfile::tempdir().unwrap();
    let clock = MockClock::at_millis(NOW);
    let open = || Broker::builder().dir(dir.path()).clock(&clock).open().unwrap();
    let broker = open();
    let topic = NewTopic::new("t").set("segment.bytes", "100");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    for _ in 0..10 {
        log.append([(None, Some("some twenty bytes or"))]).unwrap();
    }
    drop(log);
    broker.close().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("logreel.") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let broker = open();
    assert_eq!(broker.recovery_report().adopted, ["t"]);
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(log.segments().len(), 10);
    assert_eq!(log.delete_records(9).unwrap(), 9);
    drop(log);
    broker.close().unwrap();
    let broker = open();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("x"))]).unwrap();
    clock.advance(SECOND * 86_400);
    assert_eq!(log.log_start_offset(), 9);
    assert_eq!(log.segments()[0].base_offset, 9, "{} segments", log.segments().len());
}

/// A log whose active segment had expired when the disk was full was not looked at again until
/// something was appended.
#[test]
fn what_expired_while_the_disk_was_full_goes_when_there_is_space() {
    let clock = MockClock::at_millis(NOW);
    let sim = SimStorage::with_clock((&clock).into());
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let topic = NewTopic::new("t").set("retention.ms", "60000");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    log.append([(None, Some("x"))]).unwrap();
    let op = FaultOp::Create;
    sim.fail(Fault { op, nth: 0, sticky: true, kind: FaultKind::Enospc });
    clock.advance(SECOND * 1000);
    assert_eq!(log.log_start_offset(), 0);
    sim.clear_faults();
    clock.advance(SECOND * 86_400 * 30);
    assert_eq!(log.log_start_offset(), 1, "next due: {:?}", broker.run_due());
}

/// With no initial delay the first check of retention came a whole interval late.
#[test]
fn retention_is_checked_at_once_without_an_initial_delay() {
    let clock = MockClock::at_millis(NOW);
    let storage = Storage::memory();
    let open = || {
        let builder = Broker::builder().storage(storage.clone()).clock(&clock);
        builder.set("log.initial.task.delay.ms", "0").open().unwrap()
    };
    let broker = open();
    let topic = NewTopic::new("t").set("retention.ms", "1000");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    log.append([RawRecord::new(None, Some(b"x")).timestamp(NOW - 5000)]).unwrap();
    drop(log);
    broker.close().unwrap();
    let broker = open();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    clock.advance(SECOND);
    assert_eq!(log.log_start_offset(), 1, "next due: {:?}", broker.run_due());
}

/// When the record with the largest timestamp lay below a log start inside its segment, the log
/// seemed to have none.
#[test]
fn the_largest_timestamp_is_that_of_a_record_that_is_there() {
    let broker = Broker::in_memory();
    let topic = NewTopic::new("t").set("retention.ms", "-1");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    let at = |time| RawRecord::new(None, Some(b"v")).timestamp(time);
    log.append([at(10), at(30), at(20)]).unwrap();
    log.delete_records(2).unwrap();
    let found = log.offset_for(OffsetSpec::MaxTimestamp).unwrap();
    assert_eq!(found.map(|found| (found.offset, found.timestamp)), Some((2, Some(20))));
}

/// The same made `delete_records` delete that record and everything after it.
#[test]
fn deleting_up_to_the_largest_timestamp_spares_the_record_that_has_it() {
    let broker = Broker::in_memory();
    let topic = NewTopic::new("t").set("retention.ms", "-1");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    let at = |time| RawRecord::new(None, Some(b"v")).timestamp(time);
    log.append([at(10), at(30), at(20)]).unwrap();
    assert_eq!(log.delete_records(2).unwrap(), 2);
    assert_eq!(log.delete_records(OffsetSpec::MaxTimestamp).unwrap(), 2);
}

/// A read that had found its offset in range, just before retention removed its segment, began at
/// the next segment instead of being out of range.
#[test]
fn a_read_whose_segment_goes_is_out_of_range_and_skips_nothing() {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    // One record a segment.
    let topic = NewTopic::new("t").set("retention.ms", "-1").set("segment.bytes", "100");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    let put = || log.append([(None, Some("some twenty bytes or"))]).unwrap();
    put();
    let done = AtomicBool::new(false);
    let skipped = std::thread::scope(|scope| {
        let read = || {
            while !done.load(Ordering::Relaxed) {
                let from = log.log_start_offset();
                let Ok(read) = log.read(from, 1) else { continue };
                let first = read.iter().next().map(|record| record.offset());
                if first.is_some_and(|first| first != from) {
                    done.store(true, Ordering::Relaxed);
                    return Some((from, first));
                }
            }
            None
        };
        let readers: Vec<_> = (0..6).map(|_| scope.spawn(read)).collect();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) && !done.load(Ordering::Relaxed) {
            put();
            put();
            log.delete_records(log.log_end_offset() - 1).unwrap();
            clock.advance(SECOND * 300);
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().filter_map(|reader| reader.join().unwrap()).next()
    });
    assert_eq!(skipped, None, "(the offset that was in range, what the read began with)");
}
