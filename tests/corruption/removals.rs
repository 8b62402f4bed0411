//! Segments below the log start that are still there, or there again, after a clean close.

use std::time::Duration;

use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{NewTopic, OnDamage};

use crate::corpus::{NOW, builder_at};
use crate::cuts::{append, records};

/// One of the segments below the log start could not be removed, those behind it could. What is
/// below the log start is nobody's; a clean close and an open later the log is as it was.
#[test]
fn a_segment_below_the_log_start_that_stayed_is_no_damage() {
    let mut hits = 0;
    for nth in 0..12 {
        let (disk, clock) = (SimStorage::new(), MockClock::at_millis(NOW));
        let broker = builder_at(&disk, &clock).open().unwrap();
        let topic = NewTopic::new("t").set("segment.bytes", "300");
        let topic = topic.set("file.delete.delay.ms", "0");
        let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
        for i in 0..20 {
            append(&log, "k", &format!("value {i}")).unwrap();
        }
        let start = log.segments()[3].base_offset;
        disk.fail(Fault { op: FaultOp::Rename, nth, sticky: false, kind: FaultKind::Eio });
        let deleted = log.delete_records(start);
        clock.advance(Duration::from_secs(400));
        hits += usize::from(disk.fault_hits() > 0);
        disk.clear_faults();
        if deleted.is_err() && log.log_start_offset() != start {
            continue;
        }
        let truth = records(&log).unwrap();
        drop(log);
        if broker.close().is_err() {
            continue;
        }
        let names: Vec<_> = disk.files().unwrap().into_iter().map(|(path, _)| path).collect();
        let broker = builder_at(&disk, &clock).open().unwrap();
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        let report: Vec<_> = broker.recovery_report().damaged().collect();
        assert!(report.is_empty(), "rename {nth}, {names:?}: {report:?}");
        assert_eq!(records(&log).unwrap(), truth, "rename {nth}");
        append(&log, "k", "more").unwrap();
    }
    assert!(hits > 3, "{hits}");
}

/// Without a disk that fails: segments were removed, the broker closed, and a power cut
/// took some of the removals back.
#[test]
fn a_removal_that_a_power_cut_took_back_after_a_clean_close_is_no_damage() {
    removal_taken_back(OnDamage::Serve);
}

/// Under `Truncate` the records behind the hole below the log start are removed from the disk.
#[test]
fn a_removal_that_a_power_cut_took_back_does_not_cut_what_is_above_the_log_start() {
    removal_taken_back(OnDamage::Truncate);
}

fn removal_taken_back(policy: OnDamage) {
    let (disk, clock) = (SimStorage::new(), MockClock::at_millis(NOW));
    let broker = builder_at(&disk, &clock).open().unwrap();
    let topic = NewTopic::new("t").set("segment.bytes", "300").set("file.delete.delay.ms", "0");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    for i in 0..20 {
        append(&log, "k", &format!("value {i}")).unwrap();
    }
    log.delete_records(log.segments()[3].base_offset).unwrap();
    clock.advance(Duration::from_secs(400));
    let truth = records(&log).unwrap();
    drop(log);
    broker.close().unwrap();
    let states = disk.power_cut_states(disk.op_count(), 300, 3);
    println!("{} states", states.len());
    for left in states {
        let names: Vec<_> = left.files().unwrap().into_iter().map(|(path, _)| path).collect();
        let broker = builder_at(&left, &clock).on_damage(policy).open().unwrap();
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        let report = broker.recovery_report();
        assert!(report.damaged().next().is_none(), "{names:?}: {:?}", report.partitions);
        assert_eq!(records(&log).unwrap(), truth, "{names:?}: {:?}", report.partitions);
    }
}
