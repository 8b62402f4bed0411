//! Room on the disk that is taken before it is needed, and given back.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::homes::*;
use logreel::{NewTopic, Partition};
use nix::fcntl::{FallocateFlags, fallocate};

const FIRST: &str = "t-0/00000000000000000000.log";
const MIB: u64 = 1024 * 1024;

/// The length of a file, and the bytes it takes on the disk.
fn sizes(dir: &Path, file: &str) -> (u64, u64) {
    let meta = std::fs::metadata(dir.join(file)).unwrap();
    (meta.len(), meta.blocks() * 512)
}

/// Whether the disk that tests are on can do this.
fn reserves(dir: &Path) -> bool {
    let probe = std::fs::File::create(dir.join("probe")).unwrap();
    let could = fallocate(&probe, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, 1 << 20).is_ok();
    std::fs::remove_file(dir.join("probe")).unwrap();
    could
}

fn append(log: &Partition, mebibytes: u64) {
    let value = "x".repeat(1 << 16);
    for _ in 0..mebibytes * 16 {
        log.append([(None, Some(value.as_str()))]).unwrap();
    }
    log.sync().unwrap();
}

#[test]
fn a_large_segment_has_room_behind_it_until_it_is_full_or_closed() {
    let home = disk();
    let dir = home.dir().unwrap();
    if !reserves(dir) {
        return;
    }
    let broker = home.open();
    let topic = NewTopic::new("t").set("segment.bytes", (8 * MIB).to_string());
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    append(&log, 5);
    let (len, taken) = sizes(dir, FIRST);
    assert_eq!(len, log.size());
    // The file system counts whole blocks, and may have some of its own.
    assert!(taken > len + MIB / 8 && taken <= len + MIB + MIB / 4, "{taken} for {len}");
    append(&log, 5);
    let (len, taken) = sizes(dir, FIRST);
    assert!(len < 8 * MIB && taken < len + MIB / 8, "it is full: {taken} for {len}");
    let last = log.segments().last().unwrap().base_offset;
    let last = format!("t-0/{last:020}.log");
    drop(log);
    broker.close().unwrap();
    let (len, taken) = sizes(dir, &last);
    assert!(taken < len + MIB / 8, "it is closed: {taken} for {len}");
    let broker = home.open();
    assert!(broker.recovery_report().clean);
    assert_eq!(read_all(&broker, "t", 0).len(), 160);
}

#[test]
fn what_a_process_that_died_had_taken_is_given_back() {
    let home = disk();
    let dir = home.dir().unwrap();
    if !reserves(dir) {
        return;
    }
    let broker = home.open();
    let log = broker.create_topic(NewTopic::new("t")).unwrap().partition(0).unwrap();
    append(&log, 1);
    drop(log);
    broker.close().unwrap();
    let (len, before) = sizes(dir, FIRST);
    let file = std::fs::File::options().write(true).open(dir.join(FIRST)).unwrap();
    let keep = FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(&file, keep, len.try_into().unwrap(), 4 << 20).unwrap();
    assert!(sizes(dir, FIRST).1 >= before + 4 * MIB - 4096);
    std::fs::remove_file(dir.join(".kafka_cleanshutdown")).unwrap();
    let broker = home.open();
    assert!(!broker.recovery_report().clean);
    broker.close().unwrap();
    assert_eq!(sizes(dir, FIRST), (len, before));
}
