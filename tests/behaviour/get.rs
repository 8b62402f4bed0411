//! One record by its offset.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::homes::*;
use logreel::{Broker, ErrorCode, NewTopic, Partition, Storage};

fn partition(broker: &Broker) -> Partition {
    broker.topic("t").unwrap().partition(0).unwrap()
}

/// A log of several segments, batches of three records.
fn fill(broker: &Broker, batches: usize) {
    broker.create_topic(NewTopic::new("t").set("segment.bytes", "1000")).unwrap();
    for batch in 0..batches {
        let values: Vec<String> = (0..3).map(|i| format!("value {}", batch * 3 + i)).collect();
        partition(broker).append(values.iter().map(|v| (Some("key"), Some(&v[..])))).unwrap();
    }
}

#[test]
fn every_record_is_found_and_the_log_end_is_none() {
    let broker = Broker::in_memory();
    fill(&broker, 100);
    let partition = partition(&broker);
    assert!(partition.segments().len() > 5);
    for offset in 0..300 {
        for record in [partition.get(offset), partition.get_without_crc(offset)] {
            let record = record.unwrap().unwrap();
            assert_eq!(record.offset, offset);
            assert_eq!(record.value.as_deref(), Some(format!("value {offset}").as_bytes()));
        }
    }
    assert_eq!(partition.get(300).unwrap(), None);
    for outside in [-1, 301] {
        let error = partition.get(outside).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange), "{outside}");
    }
}

#[test]
fn only_the_checksum_notices_a_value_that_changed() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    broker.create_topic("t").unwrap();
    partition(&broker).append([(Some("key"), Some("value"))]).unwrap();
    broker.close().unwrap();
    let path = dir.path().join("t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    // The last byte is the number of headers.
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let error = partition(&broker).get(0).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CorruptMessage));
    let record = partition(&broker).get_without_crc(0).unwrap().unwrap();
    assert_eq!(record.value.as_deref(), Some(&b"valud"[..]));
}

const KIB: usize = 1024;

/// Appends so many batches of about 10 KiB, two records each.
fn grow(broker: &Broker, batches: usize) {
    let end = partition(broker).log_end_offset();
    for batch in 0..batches as i64 {
        let value = |i: i64| format!("{:>5000}", end + batch * 2 + i);
        let values = [value(0), value(1)];
        partition(broker).append(values.iter().map(|v| (None, Some(&v[..])))).unwrap();
    }
}

fn check(broker: &Broker, offset: i64) {
    let record = partition(broker).get(offset).unwrap().unwrap();
    assert_eq!(record.value.as_deref(), Some(format!("{offset:>5000}").as_bytes()));
}

/// Mapping costs more than the few reads of who follows the end.
#[test]
fn the_active_segment_is_mapped_for_those_that_are_far_behind_and_no_others() {
    let home = disk();
    let broker = home.open();
    broker.create_topic("t").unwrap();
    let mapped = || usize::try_from(broker.metrics().mapped_bytes).unwrap();
    let follower = reader(&broker);
    follower.assign([("t", 0)]).unwrap();
    for _ in 0..60 {
        grow(&broker, 1);
        assert_eq!(drain(&follower).len(), 2);
        check(&broker, partition(&broker).log_end_offset() - 1);
    }
    assert_eq!(mapped(), 0);
    let kept = partition(&broker).get(0).unwrap().unwrap();
    check(&broker, 0);
    let size = mapped();
    assert!(size > 590 * KIB, "{size}");
    // A little more is read from the file, much more is mapped.
    grow(&broker, 5);
    (0..130).for_each(|offset| check(&broker, offset));
    assert_eq!(mapped(), size);
    grow(&broker, 60);
    (0..250).for_each(|offset| check(&broker, offset));
    // What was found through the first map keeps that.
    assert!(mapped() > 2 * size, "{} after {size}", mapped());
    drop(follower);
    broker.close().unwrap();
    assert_eq!(kept.value.as_deref(), Some(format!("{:>5000}", 0).as_bytes()));
}

#[test]
fn an_active_segment_that_cannot_be_mapped_is_read_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let storage = Storage::observed(Storage::disk(dir.path()), move |op, _| {
        if op == "map" {
            count.fetch_add(1, Ordering::Relaxed);
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        Ok(())
    });
    let broker = Broker::builder().storage(storage).open().unwrap();
    broker.create_topic("t").unwrap();
    grow(&broker, 60);
    (0..120).for_each(|offset| check(&broker, offset));
    assert_eq!(partition(&broker).read(0, usize::MAX).unwrap().len(), 120);
    assert!(tried.load(Ordering::Relaxed) > 0);
}

#[test]
fn every_record_of_a_large_active_segment_is_found_wherever_it_lives() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic("t").unwrap();
        for _ in 0..4 {
            grow(&broker, 40);
            (0..partition(&broker).log_end_offset()).for_each(|offset| check(&broker, offset));
        }
        let all = partition(&broker).read(0, usize::MAX).unwrap();
        assert!(all.iter().map(|record| record.offset()).eq(0..320));
        if !home.mmap {
            assert_eq!(broker.metrics().mapped_bytes, 0);
        }
    }
}
