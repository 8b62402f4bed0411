//! Opening what was not closed, and what was damaged.

use crate::homes::*;
use logreel::{Broker, ErrorCode, NewTopic, OnDamage, Partition};

/// A directory as a killed process leaves it: 40 records in several segments, the first `synced`
/// of them below the recovery point.
fn killed(synced: usize) -> (tempfile::TempDir, Vec<u8>) {
    let home = disk();
    let broker = home.open();
    let topic = NewTopic::new("t").set("segment.bytes", "1000").set("index.interval.bytes", "100");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    for i in 0..40 {
        log.append([(Some("key"), Some(format!("value {i}").as_str()))]).unwrap();
        if i + 1 == synced {
            log.sync().unwrap();
        }
    }
    let copy = tempfile::tempdir().unwrap();
    copy_dir(home.dir().unwrap(), copy.path());
    let points = format!("0\n1\nt 0 {synced}\n");
    std::fs::write(copy.path().join("recovery-point-offset-checkpoint"), points).unwrap();
    let last = last_segment(copy.path());
    let bytes = std::fs::read(last).unwrap();
    (copy, bytes)
}

fn segments(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut logs: Vec<_> = std::fs::read_dir(dir.join("t-0"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    logs.sort();
    logs
}

fn last_segment(dir: &std::path::Path) -> std::path::PathBuf {
    segments(dir).pop().unwrap()
}

fn log(broker: &Broker) -> Partition {
    broker.topic("t").unwrap().partition(0).unwrap()
}

#[test]
fn a_killed_process_loses_nothing_that_was_written() {
    let (dir, _) = killed(10);
    let broker = Broker::open(dir.path()).unwrap();
    let report = &broker.recovery_report().partitions[0];
    assert!(!report.clean && report.truncated.is_none() && report.damaged.is_none(), "{report:?}");
    assert!(report.rewritten_bytes > 0, "bytes past the recovery point are written again");
    assert_eq!(read_all(&broker, "t", 0).len(), 40);
    assert_eq!(log(&broker).recovery_point(), 40);
    assert_eq!(log(&broker).append([(None, Some("more"))]).unwrap().base_offset, 40);
    drop(broker);
    let broker = Broker::open(dir.path()).unwrap();
    assert!(broker.recovery_report().clean);
    assert_eq!(read_all(&broker, "t", 0).len(), 41);
}

#[test]
fn a_segment_cut_at_any_byte_is_a_torn_tail_past_the_recovery_point() {
    let (dir, bytes) = killed(10);
    let last = last_segment(dir.path());
    let first_in_last: usize = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let batch = bytes.len() / (40 - first_in_last);
    for cut in 0..bytes.len() {
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        std::fs::write(last_segment(copy.path()), &bytes[..cut]).unwrap();
        let broker = Broker::open(copy.path()).unwrap();
        let expected = first_in_last + cut / batch;
        assert_eq!(read_all(&broker, "t", 0).len(), expected, "cut at {cut} of {}", bytes.len());
        let report = &broker.recovery_report().partitions[0];
        // The first bytes of an offset are zeros, and may as well have been written ahead.
        let torn = bytes[cut / batch * batch..cut].iter().any(|byte| *byte != 0);
        assert_eq!(report.truncated.is_some(), torn, "cut at {cut}");
        let next = log(&broker).append([(None, Some("next"))]).unwrap();
        assert_eq!(next.base_offset, i64::try_from(expected).unwrap());
    }
}

#[test]
fn a_bad_byte_past_the_recovery_point_cuts_there_and_keeps_what_was_cut() {
    let (dir, _) = killed(10);
    let victim = segments(dir.path())[2].clone();
    let base: i64 = victim.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert!(base > 10);
    let mut bytes = std::fs::read(&victim).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&victim, bytes).unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let truncated = broker.recovery_report().partitions[0].truncated.clone().unwrap();
    assert_eq!(truncated.offset, base);
    assert!(truncated.bytes > 0 && truncated.reason.contains("checksum"), "{truncated:?}");
    let kept = truncated.kept_in.unwrap();
    assert_eq!(std::fs::metadata(&kept).unwrap().len(), truncated.bytes);
    assert_eq!(i64::try_from(read_all(&broker, "t", 0).len()).unwrap(), base);
    assert_eq!(segments(dir.path()).len(), 3);
    log(&broker).append([(None, Some("next"))]).unwrap();
    drop(broker);
    assert!(Broker::open(dir.path()).unwrap().recovery_report().clean);
}

#[test]
fn damage_below_the_recovery_point_is_served_up_to_there_and_never_cut() {
    let (dir, _) = killed(40);
    let victim = last_segment(dir.path());
    let base: i64 = victim.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let mut bytes = std::fs::read(&victim).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&victim, &bytes).unwrap();
    let error = Broker::builder().dir(dir.path()).on_damage(OnDamage::Refuse).open().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CorruptMessage));
    assert_eq!((error.path(), error.position()), (Some(&*victim), Some(0)), "{error}");
    for _ in 0..3 {
        let broker = Broker::open(dir.path()).unwrap();
        let damaged = broker.recovery_report().damaged().next().unwrap().damaged.clone().unwrap();
        assert_eq!((damaged.offset, &damaged.path), (base, &victim));
        let log = log(&broker);
        let consumer = reader(&broker);
        consumer.assign([("t", 0)]).unwrap();
        let mut seen = 0;
        let error = loop {
            match consumer.poll(std::time::Duration::ZERO) {
                Ok(records) => seen += records.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(i64::try_from(seen).unwrap(), base);
        assert_eq!(error.code(), Some(ErrorCode::CorruptMessage));
        assert_eq!((error.path(), error.position()), (Some(&*victim), Some(0)), "{error}");
        let error = log.append([(None, Some("x"))]).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::KafkaStorageError), "{error}");
        // Other topics go on.
        let other = broker.topic("other").or_else(|_| broker.create_topic("other")).unwrap();
        other.partition(0).unwrap().append([(None, Some("fine"))]).unwrap();
        drop((log, consumer, other));
        broker.close().unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), bytes, "not a byte was cut");
    }
    let broker = Broker::builder().dir(dir.path()).on_damage(OnDamage::Truncate).open().unwrap();
    let reports = &broker.recovery_report().partitions;
    let truncated = reports.iter().find_map(|report| report.truncated.clone()).unwrap();
    assert_eq!(truncated.offset, base);
    assert!(truncated.kept_in.is_some(), "{truncated:?}");
    assert_eq!(log(&broker).append([(None, Some("x"))]).unwrap().base_offset, base);
}

#[test]
fn a_log_shorter_than_its_recovery_point_is_damaged() {
    let (dir, bytes) = killed(40);
    let half = bytes.len() / 2;
    std::fs::write(last_segment(dir.path()), &bytes[..half]).unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    assert_eq!(broker.recovery_report().damaged().count(), 1);
    drop(broker);
    // Also when whole batches, or the whole log, are gone.
    for path in segments(dir.path()) {
        std::fs::remove_file(path).unwrap();
    }
    let broker = Broker::open(dir.path()).unwrap();
    assert_eq!(broker.recovery_report().damaged().count(), 1, "{:?}", broker.recovery_report());
    assert!(log(&broker).append([(None, Some("x"))]).is_err());
}

#[test]
fn derived_files_may_all_be_deleted() {
    let home = disk();
    let broker = home.open();
    let topic = NewTopic::new("t").set("segment.bytes", "350").set("index.interval.bytes", "0");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    for i in 0..20 {
        log.append([(None, Some(format!("value {i}").as_str()))]).unwrap();
    }
    drop(log);
    broker.close().unwrap();
    let truth = snapshot(home.dir().unwrap());
    let derived = ["index", "timeindex", "snapshot"];
    let is_derived = |path: &std::path::Path| {
        path.extension().is_some_and(|e| derived.iter().any(|d| e == *d))
            || path.file_name().is_some_and(|n| n == "leader-epoch-checkpoint")
    };
    for keep_marker in [true, false] {
        for (path, _) in truth.iter().filter(|(path, _)| is_derived(path)) {
            // What could not be missed was written again by the last close.
            let _ = std::fs::remove_file(path);
        }
        if !keep_marker {
            std::fs::remove_file(home.dir().unwrap().join(".kafka_cleanshutdown")).unwrap();
        }
        let broker = home.open();
        for from in 0..20 {
            let log = broker.topic("t").unwrap().partition(0).unwrap();
            assert_eq!(log.read(from, 1).unwrap().iter().next().unwrap().offset(), from);
        }
        broker.topic("t").unwrap().partition(0).unwrap().sync().unwrap();
        broker.close().unwrap();
    }
    for (path, bytes) in &truth {
        if path.extension().is_some_and(|e| e == "log" || e == "index") {
            assert_eq!(&std::fs::read(path).unwrap(), bytes, "{}", path.display());
        }
    }
}
