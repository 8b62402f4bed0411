//! `preallocate`: crashes and failing disks while there are zeros behind the log.

use logreel::testing::{FaultKind, FaultOp, SimStorage};
use logreel::{Broker, NewTopic, OnDamage};

use crate::explore::{Count, Explorer, Plan, on_two_threads};
use crate::faults::{WORKLOADS, at_each, full_at};
use crate::sequences::{last_step, of_length, random};
use crate::story::World;
use crate::workloads::{appends_ahead, closes_ahead, open};

const LOG: &str = "t-0/00000000000000000000.log";
const POINTS: &str = "recovery-point-offset-checkpoint";

fn world() -> World {
    World::on(&SimStorage::new(), false, true).unwrap()
}

#[test]
fn appends_and_rolls_over_zeros() {
    let trace = appends_ahead();
    let states = crate::explore("appends ahead", &trace, 7);
    assert!(states > 1000, "{states} states");
    let cuts = trace.op_log().iter().filter(|op| op.starts_with("set length of t-0")).count();
    assert!(cuts > 1, "each roll cuts them off: {cuts}");
}

#[test]
fn zeros_are_cut_off_by_each_close() {
    let states = crate::explore("closes ahead", &closes_ahead(), 11);
    assert!(states > 1000, "{states} states");
}

#[test]
fn sequences_of_steps_over_zeros() {
    let explorer = Explorer::default();
    let plan = Plan { states_per_cut: 60, nested_every: 50, nested_states: 4, kills_every: 4 };
    let mut count = Count::default();
    for length in 1..=2 {
        let paths = of_length(length);
        count.add(on_two_threads(&paths, |path| last_step(&explorer, world(), path, plan)));
    }
    let numbers: Vec<u64> = (0..10).collect();
    count.add(on_two_threads(&numbers, |number| {
        let mut world = world();
        let path = random(*number);
        path.iter().for_each(|step| world.step(*step));
        let (trace, told) = world.finish();
        explorer.explore_from(&format!("{path:?} ahead"), &trace, 0, &told, plan)
    }));
    println!("sequences ahead: {count}");
    assert!(count.states > 50_000, "{count}");
}

#[test]
fn every_operation_fails_while_there_are_zeros() {
    let mut cases = Vec::new();
    for kind in [FaultKind::Eio, FaultKind::Enospc, FaultKind::ShortWrite(70)] {
        for op in [FaultOp::Any, FaultOp::Write, FaultOp::SetLen, FaultOp::Sync] {
            cases.extend(WORKLOADS.iter().map(|workload| (*workload, (kind, op, false))));
            cases.extend(WORKLOADS.iter().map(|workload| (*workload, (kind, op, true))));
        }
    }
    let count = on_two_threads(&cases, |(workload, fault)| Count {
        states: at_each(*fault, workload, true),
        ..Count::default()
    });
    println!("{} faults ahead: {} cases", cases.len(), count.states);
    assert!(count.states > 5_000, "{count}");
}

#[test]
fn the_disk_is_full_at_any_byte_of_the_zeros() {
    let sizes: Vec<u64> = (0..3000).step_by(4).collect();
    let count = on_two_threads(&sizes, |bytes| full_at(*bytes, true));
    assert!(count.states > 1500, "{count}");
}

/// Whatever fits without zeros fits with them, and what they could not have is given back.
#[test]
fn a_full_disk_takes_what_it_takes_without_zeros() {
    let fitting = |preallocate: &str, room: u64| {
        let sim = SimStorage::new();
        let broker = open(&sim);
        let topic = NewTopic::new("t").set("preallocate", preallocate);
        let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
        let used: u64 = sim.files().unwrap().iter().map(|(_, bytes)| bytes.len() as u64).sum();
        sim.set_capacity(Some(used + room));
        let fit = (0..).take_while(|_| log.append([(None, Some("record"))]).is_ok()).count();
        let left = log_bytes(&sim).len();
        sim.set_capacity(None);
        log.append([(None, Some("again"))]).unwrap();
        log.sync().unwrap();
        (fit, left)
    };
    for room in [0, 1, 100, 1000, 1037, 5000] {
        assert_eq!(fitting("true", room), fitting("false", room), "{room} bytes");
    }
}

/// A log of twelve records, six of which the recovery point covers, as a kill left it.
fn left() -> SimStorage {
    let sim = SimStorage::new();
    let broker = open(&sim);
    let topic = NewTopic::new("t").set("preallocate", "true").set("segment.bytes", "4000");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    for _ in 0..12 {
        log.append([(None, Some("value"))]).unwrap();
    }
    Box::leak(Box::new((log, broker)));
    let left = sim.kill_state(sim.op_count());
    left.put_file(POINTS, b"0\n1\nt 0 6\n").unwrap();
    left
}

fn log_bytes(sim: &SimStorage) -> Vec<u8> {
    let files = sim.files().unwrap();
    files.into_iter().find(|(path, _)| path == LOG).map_or_else(Vec::new, |(_, bytes)| bytes)
}

/// A run of zeros is where the log ends only if nothing was there once. Below the recovery point
/// it is damage, and not a byte of the file is changed.
#[test]
fn zeros_in_the_place_of_acknowledged_records_are_damage() {
    let log = log_bytes(&left());
    assert_eq!(log.len(), 4000, "zeros up to segment.bytes");
    let size = 12 + u32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
    for kept in 0..=12 {
        let sim = left();
        let mut zeroed = log_bytes(&sim);
        zeroed[kept * size..].fill(0);
        sim.put_file(LOG, &zeroed).unwrap();
        let broker = Broker::builder().storage(sim.storage()).on_damage(OnDamage::Serve);
        let broker = broker.open().unwrap();
        let report = broker.recovery_report().partitions[0].clone();
        let end = broker.topic("t").unwrap().partition(0).unwrap().log_end_offset();
        assert_eq!(end, kept as i64);
        assert_eq!(report.damaged.is_some(), kept < 6, "{kept} kept: {report:?}");
        assert!(report.truncated.is_none(), "{kept} kept: {report:?}");
        let found = log_bytes(&sim);
        if kept < 6 {
            assert!(found == zeroed, "{kept} kept: damage is left as it is");
        } else {
            assert_eq!(found.len(), kept * size, "cut at the end of the log");
        }
    }
}

/// Anything but zeros behind the log is a torn tail, as ever.
#[test]
fn a_byte_among_the_zeros_is_a_torn_tail() {
    for at in [2000, 3999] {
        let sim = left();
        let mut torn = log_bytes(&sim);
        torn[at] = 1;
        sim.put_file(LOG, &torn).unwrap();
        let broker = open(&sim);
        let report = &broker.recovery_report().partitions[0];
        let cut = report.truncated.as_ref().unwrap();
        assert_eq!(cut.offset, 12);
        assert!(cut.kept_in.is_none() && report.damaged.is_none(), "{report:?}");
    }
}
