//! What is appended behind a cut or a cleaning stays; what is no torn tail is not cut.

use std::collections::BTreeMap;
use std::time::Duration;

use logreel::admin::verify_storage;
use logreel::record::BatchBuilder;
use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{ConfigChange, NewTopic, OnDamage, Partition};

use crate::corpus::{Corpus, Left, MANIFEST, MARKER, NOW, batch, builder_at, open};

const POINTS: &str = "recovery-point-offset-checkpoint";

pub(crate) fn append(log: &Partition, key: &str, value: &str) -> logreel::Result<()> {
    log.append([(Some(key), Some(value))])?;
    log.sync()
}

pub(crate) fn records(log: &Partition) -> logreel::Result<BTreeMap<i64, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut from = log.log_start_offset();
    while from < log.log_end_offset() {
        let read = log.read(from, 1 << 20)?;
        for record in read.iter() {
            found.insert(record.offset(), record.value().unwrap_or_default().to_vec());
        }
        let Some(last) = read.iter().last().map(|record| record.offset()) else { break };
        from = last + 1;
    }
    Ok(found)
}

/// The last segment is one with a digest, as after `OnDamage::Truncate`.
fn digest_last() -> SimStorage {
    let disk = Corpus::of(Left::Clean).disk();
    for file in [MARKER, MANIFEST, "compact-0/00000000000000000010.log"] {
        assert!(disk.remove_file(file).unwrap());
    }
    disk.put_file(POINTS, b"0\n1\ncompact 0 10\n").unwrap();
    disk
}

/// The digest could not be removed once, and the append failed. The next append must not be
/// acknowledged while the digest is still there: it tries again to remove it, or fails too.
#[test]
fn an_append_behind_a_digest_that_could_not_be_removed_is_readable() {
    let disk = digest_last();
    let broker = builder_at(&disk, &MockClock::at_millis(NOW)).open().unwrap();
    // There is room in the segment.
    broker.alter_topic_config("compact", [ConfigChange::set("segment.bytes", "9000")]).unwrap();
    let log = broker.topic("compact").unwrap().partition(0).unwrap();
    disk.fail(Fault { op: FaultOp::Remove, nth: 0, sticky: false, kind: FaultKind::Eio });
    assert!(append(&log, "x", "first").is_err());
    disk.clear_faults();
    if append(&log, "x", "second").is_err() {
        return;
    }
    drop(log);
    broker.close().unwrap();
    let broker = builder_at(&disk, &MockClock::at_millis(NOW)).open().unwrap();
    let log = broker.topic("compact").unwrap().partition(0).unwrap();
    let found = records(&log).expect("what was acknowledged can be read");
    assert_eq!(found.get(&10).map(|v| &v[..]), Some(&b"second"[..]));
}

/// The same where the sync of the directory failed: the name may come back with a power cut.
#[test]
fn an_append_behind_a_digest_whose_removal_is_not_durable_is_readable() {
    let disk = digest_last();
    let disk = disk.power_cut_states(disk.op_count(), 1, 0).remove(0);
    let broker = builder_at(&disk, &MockClock::at_millis(NOW)).open().unwrap();
    // There is room in the segment.
    broker.alter_topic_config("compact", [ConfigChange::set("segment.bytes", "9000")]).unwrap();
    let log = broker.topic("compact").unwrap().partition(0).unwrap();
    disk.fail(Fault { op: FaultOp::SyncDir, nth: 0, sticky: false, kind: FaultKind::Eio });
    assert!(append(&log, "x", "first").is_err());
    disk.clear_faults();
    if append(&log, "x", "second").is_err() {
        return;
    }
    let mut looked = 0;
    for left in disk.power_cut_states(disk.op_count(), 50, 1) {
        let broker = builder_at(&left, &MockClock::at_millis(NOW)).open().unwrap();
        let log = broker.topic("compact").unwrap().partition(0).unwrap();
        let found = records(&log).expect("what was acknowledged can be read");
        let why = format!("{:?}", broker.recovery_report().damaged().collect::<Vec<_>>());
        assert_eq!(found.get(&10).map(|v| &v[..]), Some(&b"second"[..]), "{why}");
        looked += 1;
    }
    assert!(looked > 0);
}

/// A directory of Kafka's that we adopted, compacted, and gave back: Kafka compacted it and leaves
/// files it does not know alone. Every byte is as Kafka wrote it, so every record is to be served.
#[test]
fn a_directory_that_kafka_compacted_since_is_served() {
    let (disk, clock) = (SimStorage::new(), MockClock::at_millis(NOW));
    let broker = builder_at(&disk, &clock).open().unwrap();
    let topic = NewTopic::new("t").set("segment.bytes", "300");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    for i in 0..12 {
        append(&log, &format!("k{}", i % 5), &format!("v{i}")).unwrap();
    }
    drop(log);
    broker.close().unwrap();
    for (path, _) in disk.files().unwrap() {
        if path.starts_with("logreel.") {
            disk.remove_file(&path).unwrap();
        }
    }
    // Adopted. Twice some records more and a cleaning; the second time stands for Kafka.
    let mut states = Vec::new();
    let mut truth = BTreeMap::new();
    for round in 0..2 {
        let broker = builder_at(&disk, &clock).open().unwrap();
        for (key, value) in [
            ("cleanup.policy", "compact"),
            ("segment.bytes", "300"),
            ("min.cleanable.dirty.ratio", "0"),
            ("file.delete.delay.ms", "0"),
        ] {
            broker.alter_topic_config("t", [ConfigChange::set(key, value)]).unwrap();
        }
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        for i in 0..8 {
            append(&log, &format!("k{}", i % 4 + round), &format!("w{round}{i}")).unwrap();
        }
        for _ in 0..30 {
            clock.advance(Duration::from_secs(1));
        }
        assert!(log.uncleanable().is_none());
        truth = records(&log).unwrap();
        drop(log);
        broker.close().unwrap();
        states.push(disk.files().unwrap());
    }
    let ours = |path: &str| path.starts_with("logreel.") || path.ends_with(".digest");
    assert!(states[0].iter().any(|(path, _)| path.ends_with(".digest")), "{:?}", states[0]);
    for (clean, digests) in [(true, false), (false, false), (true, true), (false, true)] {
        let disk = SimStorage::new();
        let old = states[0].iter().filter(|(path, _)| ours(path));
        let new = states[1].iter().filter(|(path, _)| !ours(path));
        for (path, bytes) in old.chain(new) {
            if (clean || path != MARKER) && (digests || !path.ends_with(".digest")) {
                disk.put_file(path, bytes).unwrap();
            }
        }
        let broker = builder_at(&disk, &clock).open().unwrap();
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        let found = records(&log);
        let why = format!("clean {clean}, digests {digests}: {:?}", broker.recovery_report());
        assert_eq!(found.expect("no byte is damaged"), truth, "{why}");
    }
}

/// Batches 0, 1 and 2, of which 1 has 70 MiB and a sound checksum.
fn with_large() -> Vec<u8> {
    let mut large = batch(1, BatchBuilder::new())[..61].to_vec();
    let mut body = vec![0, 0, 0, 1];
    let varint = |mut n: u64, out: &mut Vec<u8>| {
        n <<= 1;
        while n >= 0x80 {
            out.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
    };
    let value = vec![b'x'; 70 << 20];
    varint(value.len() as u64, &mut body);
    body.extend_from_slice(&value);
    body.push(0);
    let mut record = Vec::new();
    varint(body.len() as u64, &mut record);
    record.extend_from_slice(&body);
    large.extend_from_slice(&record);
    let len = (large.len() - 12) as i32;
    large[8..12].copy_from_slice(&len.to_be_bytes());
    let crc = crc32c::crc32c(&large[21..]);
    large[17..21].copy_from_slice(&crc.to_be_bytes());
    [batch(0, BatchBuilder::new()), large, batch(2, BatchBuilder::new())].concat()
}

/// A batch of 70 MiB by Kafka, with a sound checksum, in a directory that nobody closed. It may be
/// refused, but it is no torn tail: neither it nor what follows it may be cut off the only copy.
#[test]
fn a_sound_batch_above_the_limit_is_not_cut_off() {
    let whole = with_large();
    let disk = SimStorage::new();
    let path = "big-0/00000000000000000000.log";
    disk.put_file(path, &whole).unwrap();
    let broker = open(&disk, OnDamage::Serve).unwrap();
    let log = broker.topic("big").unwrap().partition(0).unwrap();
    let end = log.log_end_offset();
    let files = disk.files().unwrap();
    let left = files.iter().find(|(name, _)| name == path).unwrap().1.len();
    let kept: usize = files
        .iter()
        .filter(|(name, _)| name.contains("logreel-cut"))
        .map(|(_, bytes)| bytes.len())
        .sum();
    assert!(left + kept >= whole.len(), "end {end}: {left} left, {kept} kept of {}", whole.len());
}

/// The digest says that a segment followed which is not there, and a cleaning had made it durable:
/// that is damage, however old the recovery point. What lies behind it is not cut off.
#[test]
fn a_segment_behind_one_that_a_digest_misses_is_not_cut_off() {
    let corpus = Corpus::of(Left::Killed);
    let disk = corpus.disk();
    disk.remove_file(POINTS).unwrap();
    assert!(disk.remove_file("compact-0/00000000000000000006.log").unwrap());
    let broker = open(&disk, OnDamage::Serve).unwrap();
    let behind = "compact-0/00000000000000000010.log";
    let left = disk.files().unwrap().iter().any(|(path, _)| path == behind);
    assert!(left, "{:?}", broker.recovery_report().partitions);
}

/// A segment has another size than at the clean close, and the log is cut there. What is known of
/// producers then is of what is left, not of what was cut: the next close writes it down.
#[test]
fn producers_are_those_of_what_a_cut_left() {
    let corpus = Corpus::of(Left::Clean);
    let path = "plain-0/00000000000000000000.log";
    let bytes = corpus.file(path);
    let disk = corpus.with(path, &bytes[..bytes.len() - 1]);
    let broker = open(&disk, OnDamage::Truncate).unwrap();
    let log = broker.topic("plain").unwrap().partition(0).unwrap();
    let end = log.log_end_offset();
    assert!(end < 3);
    drop(log);
    broker.close().unwrap();
    let verified = verify_storage(&disk.storage()).unwrap();
    assert!(verified.is_sound(), "end {end}: {:?}", verified.findings);
}

/// Wherever a compacted log was cut, it takes appends and keeps them.
#[test]
fn a_compacted_log_that_was_cut_keeps_what_is_appended() {
    let mut cases = 0;
    for left in [Left::Clean, Left::Killed] {
        let corpus = Corpus::of(left);
        let logs = corpus.ending(".log");
        for path in logs.into_iter().filter(|path| path.starts_with("compact-0")) {
            let bytes = corpus.file(path);
            for at in (0..bytes.len()).step_by(7) {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1;
                let mut disks = vec![corpus.with(path, &changed), corpus.with(path, &bytes[..at])];
                if at == 0 {
                    let missing = corpus.disk();
                    missing.remove_file(path).unwrap();
                    disks.push(missing);
                }
                for disk in disks {
                    cases += 1;
                    let broker = open(&disk, OnDamage::Truncate).unwrap();
                    let change = ConfigChange::set("segment.bytes", "9000");
                    broker.alter_topic_config("compact", [change]).unwrap();
                    let log = broker.topic("compact").unwrap().partition(0).unwrap();
                    let Ok(before) = records(&log) else { continue };
                    for value in ["one", "two"] {
                        append(&log, "x", value).unwrap();
                    }
                    let after = records(&log).unwrap();
                    assert_eq!(after.len(), before.len() + 2, "{left:?} {path} {at}");
                    drop(log);
                    let killed = disk.kill_state(disk.op_count());
                    broker.close().unwrap();
                    let verified = verify_storage(&disk.storage()).unwrap();
                    let bad: Vec<_> = verified
                        .findings
                        .iter()
                        .filter(|found| found.path.to_string_lossy().contains("compact-0"))
                        .collect();
                    assert!(bad.is_empty(), "{left:?} {path} {at}: {bad:?}");
                    for disk in [killed, disk] {
                        let broker = open(&disk, OnDamage::Serve).unwrap();
                        let log = broker.topic("compact").unwrap().partition(0).unwrap();
                        let found = records(&log);
                        assert_eq!(found.unwrap(), after, "{left:?} {path} {at}");
                    }
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 100);
}

/// A damaged log was cut because the user said so, took appends, and the process was killed. The
/// stored recovery point must not be above the cut: the next open is of a log without damage.
#[test]
fn a_log_that_was_cut_is_not_damaged_again_after_a_kill() {
    for (topic, path) in [
        ("plain", "plain-0/00000000000000000003.log"),
        ("compact", "compact-0/00000000000000000003.log"),
        ("compact", "compact-0/00000000000000000000.log"),
    ] {
        let corpus = Corpus::of(Left::Clean);
        // The first batch of a segment is gone, and what is behind it.
        let disk = corpus.with(path, &corpus.file(path)[..1]);
        let broker = open(&disk, OnDamage::Truncate).unwrap();
        let log = broker.topic(topic).unwrap().partition(0).unwrap();
        assert!(broker.recovery_report().partitions.iter().any(|p| p.truncated.is_some()));
        append(&log, "x", "acknowledged").unwrap();
        let killed = disk.kill_state(disk.op_count());
        let broker = open(&killed, OnDamage::Serve).unwrap();
        let damaged: Vec<_> = broker.recovery_report().damaged().collect();
        assert!(damaged.is_empty(), "{path}: {damaged:?}");
        let log = broker.topic(topic).unwrap().partition(0).unwrap();
        println!("{path}: {} {}", log.log_end_offset(), log.recovery_point());
        append(&log, "x", "more").unwrap();
    }
}

/// A cleaning in which one operation failed, another after it, and a kill or a power cut: the last
/// value of each key is there, and nothing is damaged.
#[test]
fn a_cleaning_that_failed_once_leaves_no_wrong_digest() {
    let mut cases = 0;
    let last = |log: &Partition| -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut from = log.log_start_offset();
        while from < log.log_end_offset() {
            let read = log.read(from, 1 << 20).unwrap();
            for record in read.iter() {
                let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
                found.insert(key, record.value().unwrap().to_vec());
            }
            let Some(end) = read.iter().last().map(|record| record.offset()) else { break };
            from = end + 1;
        }
        found
    };
    for kind in [FaultKind::Eio, FaultKind::Enospc] {
        for sticky in [false, true] {
            for nth in 0.. {
                let (disk, clock) = (SimStorage::new(), MockClock::at_millis(NOW));
                let broker = builder_at(&disk, &clock).open().unwrap();
                let topic = NewTopic::new("t").set("segment.bytes", "300");
                let topic = topic.set("min.cleanable.dirty.ratio", "0");
                let topic = topic.set("cleanup.policy", "compact").set("file.delete.delay.ms", "0");
                let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
                let mut truth = BTreeMap::new();
                let mut put = |log: &Partition, key: usize, value: String| {
                    let key = format!("k{key}");
                    if append(log, &key, &value).is_ok() {
                        truth.insert(key, value.into_bytes());
                        return true;
                    }
                    false
                };
                for i in 0..14 {
                    assert!(put(
                        &log,
                        [0, 1, 2, 3, 4, 5, 0, 1, 2, 9, 4, 3, 7, 8][i],
                        format!("a{i}")
                    ));
                }
                clock.advance(Duration::from_secs(3));
                for i in 0..9 {
                    assert!(put(&log, [0, 1, 2, 0, 1, 2, 3, 4, 0][i], format!("b{i}")));
                }
                disk.fail(Fault { op: FaultOp::Any, nth, sticky, kind });
                clock.advance(Duration::from_secs(16));
                let hit = disk.fault_hits() > 0;
                disk.clear_faults();
                for i in 0..7 {
                    put(&log, [5, 6, 7, 5, 6, 0, 0][i], format!("c{i}"));
                }
                clock.advance(Duration::from_secs(16));
                let what = format!("{kind:?} {sticky} {nth}");
                assert_eq!(last(&log), truth, "{what}");
                let mut left = vec![disk.kill_state(disk.op_count())];
                left.extend(disk.power_cut_states(disk.op_count(), 6, nth as u64));
                for left in left {
                    let broker = builder_at(&left, &clock).open().unwrap();
                    let report: Vec<_> = broker.recovery_report().damaged().collect();
                    assert!(report.is_empty(), "{what}: {report:?}");
                    let log = broker.topic("t").unwrap().partition(0).unwrap();
                    let mut found = last(&log);
                    found.retain(|key, _| truth.contains_key(key));
                    assert_eq!(found, truth, "{what}");
                    cases += 1;
                }
                if !hit {
                    break;
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 200);
}
