//! Crashes and failing disks while a log is compacted, retained and cut at its beginning.
//!
//! What a log says is, of each key, its last value. Whatever compaction has done and wherever it
//! was interrupted, that is what the records up to the log's end said when they were appended.

use std::collections::BTreeMap;
use std::time::Duration;

use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{Broker, NewTopic, Partition};

use crate::explore::{Count, Explorer, Oracle, Plan};
use crate::workloads::NOW;

const PLAN: Plan = Plan { states_per_cut: 10, nested_every: 97, nested_states: 4, kills_every: 3 };

/// How a workload compacts.
#[derive(Clone, Copy)]
struct Shape {
    seed: u64,
    map_bytes: u32,
    policy: &'static str,
}

fn open(sim: &SimStorage, shape: Shape) -> (Broker, MockClock) {
    let clock = MockClock::at_millis(NOW);
    let broker = try_open(sim, shape, &clock);
    (broker.unwrap(), clock)
}

fn try_open(sim: &SimStorage, shape: Shape, clock: &MockClock) -> logreel::Result<Broker> {
    Broker::builder()
        .storage(sim.storage())
        .clock(clock)
        .set("log.cleaner.backoff.ms", "1000")
        .set("log.initial.task.delay.ms", "0")
        .set("log.retention.check.interval.ms", "1000")
        .set("log.cleaner.dedupe.buffer.size", shape.map_bytes.to_string())
        .open()
}

fn topic(shape: Shape) -> NewTopic {
    let topic = NewTopic::new("t").set("segment.bytes", "300").set("cleanup.policy", shape.policy);
    let topic = topic.set("delete.retention.ms", "0").set("min.cleanable.dirty.ratio", "0");
    if shape.policy == "delete" { topic.set("retention.bytes", "900") } else { topic }
}

/// The record at an offset: its key, and its value if it is no tombstone.
fn record(shape: Shape, offset: usize) -> (String, Option<String>) {
    let mix = (offset as u64 + shape.seed * 1000).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let value = (!mix.is_multiple_of(3)).then(|| format!("value {offset}"));
    (format!("key {}", mix / 3 % 5), value)
}

fn append(log: &Partition, shape: Shape) -> logreel::Result<()> {
    let (key, value) = record(shape, log.log_end_offset() as usize);
    log.append([(Some(key.as_str()), value.as_deref())]).map(|_| ())
}

/// What a log says: of each key its last value.
fn said(shape: Shape, upto: usize) -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    for offset in 0..upto {
        match record(shape, offset) {
            (key, Some(value)) => drop(said.insert(key, value)),
            (key, None) => drop(said.remove(&key)),
        }
    }
    said
}

/// Reads a log from its start; every record is the one that was appended there.
fn read(what: &str, log: &Partition, shape: Shape) -> Vec<i64> {
    let mut found = Vec::new();
    let mut at = log.log_start_offset();
    while at < log.log_end_offset() {
        let records = log.read(at, 1 << 20).unwrap_or_else(|e| panic!("{what}: {e}"));
        let Some(last) = records.iter().last() else { break };
        for found_record in records.iter().filter(|record| record.offset() >= at) {
            let (key, value) = record(shape, found_record.offset() as usize);
            assert_eq!(found_record.key(), Some(key.as_bytes()), "{what}");
            assert_eq!(found_record.value(), value.as_ref().map(String::as_bytes), "{what}");
            found.push(found_record.offset());
        }
        at = last.offset() + 1;
    }
    assert!(found.is_sorted_by(|a, b| a < b), "{what}: {found:?}");
    found
}

fn check_said(what: &str, log: &Partition, shape: Shape) -> Vec<i64> {
    let offsets = read(what, log, shape);
    let end = log.log_end_offset() as usize;
    if shape.policy == "compact" {
        let mut says = BTreeMap::new();
        for offset in &offsets {
            match record(shape, *offset as usize) {
                (key, Some(value)) => drop(says.insert(key, value)),
                (key, None) => drop(says.remove(&key)),
            }
        }
        assert_eq!(says, said(shape, end), "{what}: it says something else, {offsets:?}");
    } else {
        let all: Vec<i64> = (log.log_start_offset()..end as i64).collect();
        assert_eq!(offsets, all, "{what}: records are gone");
    }
    offsets
}

/// What has been acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Promise {
    created: bool,
    durable: i64,
    start: i64,
}

const CREATED: u64 = 1 << 32;
const DELETING: u64 = 2 << 32;
const DURABLE: u64 = 3 << 32;
const START: u64 = 4 << 32;

fn promise(sim: &SimStorage, cut: usize) -> Promise {
    let mut promise = Promise::default();
    for mark in sim.marks_before(cut) {
        let number = (mark & 0xffff_ffff) as i64;
        match mark >> 32 << 32 {
            CREATED => promise = Promise { created: true, ..Promise::default() },
            DELETING => promise = Promise::default(),
            DURABLE => promise.durable = number,
            _ => promise.start = number,
        }
    }
    promise
}

/// Opens a state and checks it. The storage comes back, with the length of the recovery's trace.
fn check(what: &str, state: &SimStorage, promise: &Promise, shape: Shape) -> (SimStorage, usize) {
    let opened = state.kill_state(state.op_count());
    let (broker, clock) = open(&opened, shape);
    let recovered = opened.op_count();
    let report = broker.recovery_report();
    assert_eq!(report.damaged().count(), 0, "{what}: {report:?}");
    let Ok(topic) = broker.topic("t") else {
        assert!(!promise.created, "{what}: the topic is gone");
        return (opened, recovered);
    };
    let log = topic.partition(0).unwrap();
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    assert!(end >= promise.durable, "{what}: {end} of {} are left", promise.durable);
    assert!(start >= promise.start, "{what}: start {start} was {}", promise.start);
    let offsets = check_said(what, &log, shape);
    // Opening again changes nothing.
    let again = opened.kill_state(opened.op_count());
    let (second, _) = open(&again, shape);
    let same = second.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(read(what, &same, shape), offsets, "{what}: the second open");
    // Life goes on, and so does the upkeep.
    append(&log, shape).unwrap();
    assert_eq!(log.log_end_offset(), end + 1, "{what}");
    for _ in 0..3 {
        clock.advance(Duration::from_secs(1));
    }
    assert!(log.uncleanable().is_none(), "{what}: {:?}", log.uncleanable());
    check_said(&format!("{what}, cleaned again"), &log, shape);
    (opened, recovered)
}

impl Oracle for Shape {
    type Promise = Promise;

    fn promise(&self, trace: &SimStorage, cut: usize) -> Promise {
        promise(trace, cut)
    }

    /// Nothing here is written that is not synced before it is promised.
    fn killed(&self, promise: Promise) -> Promise {
        promise
    }

    fn check(&self, what: &str, state: &SimStorage, promise: &Promise) -> (SimStorage, usize) {
        check(what, state, promise, *self)
    }
}

fn explore(name: &str, trace: &SimStorage, shape: Shape) -> usize {
    Explorer::default().explore(name, trace, &shape, PLAN).states
}

/// Appends, seals and cleans in rounds. Goes on after every error as an application might.
fn compacts(sim: &SimStorage, shape: Shape) {
    let clock = MockClock::at_millis(NOW);
    let Ok(broker) = try_open(sim, shape, &clock) else { return };
    let Ok(topic) = broker.create_topic(topic(shape)) else { return };
    let log = topic.partition(0).unwrap();
    sim.mark(CREATED);
    for _ in 0..3 {
        for _ in 0..11 {
            let _ = append(&log, shape);
        }
        let end = log.log_end_offset();
        if log.sync().is_ok() {
            sim.mark(DURABLE | end as u64);
        }
        clock.advance(Duration::from_secs(1));
    }
    Box::leak(Box::new((log, broker)));
}

/// With a map that takes one key, seven, and all.
fn shapes() -> [Shape; 3] {
    [1, 400, 1_000_000].map(|map_bytes| Shape { seed: 1, map_bytes, policy: "compact" })
}

#[test]
fn a_crash_while_a_log_is_compacted() {
    let mut states = 0;
    for shape in shapes() {
        let sim = SimStorage::new();
        compacts(&sim, shape);
        let name = format!("compaction {} with {}", shape.seed, shape.map_bytes);
        states += explore(&name, &sim, shape);
    }
    assert!(states > 2000, "{states} states");
}

#[test]
fn a_disk_that_fails_while_a_log_is_compacted() {
    let shape = Shape { seed: 1, map_bytes: 400, policy: "compact" };
    let clean = SimStorage::new();
    compacts(&clean, shape);
    let mut cases = 0;
    for op in [
        FaultOp::Any,
        FaultOp::Write,
        FaultOp::Sync,
        FaultOp::SyncDir,
        FaultOp::Rename,
        FaultOp::Remove,
        FaultOp::Create,
    ] {
        for (nth, sticky) in (0..clean.op_count()).flat_map(|nth| [(nth, false), (nth, true)]) {
            let kind = if nth % 2 == 0 { FaultKind::Eio } else { FaultKind::Enospc };
            let what = format!("{kind:?} at {op:?} {nth}, sticky {sticky}");
            let sim = SimStorage::new();
            sim.fail(Fault { op, nth, sticky, kind });
            compacts(&sim, shape);
            sim.clear_faults();
            let last = sim.op_count();
            let promise = promise(&sim, last);
            check(&what, &sim.kill_state(last), &promise, shape);
            for state in sim.power_cut_states(last, 1, nth as u64) {
                check(&format!("{what}, then a power cut"), &state, &promise, shape);
                cases += 1;
            }
            cases += 1;
        }
    }
    println!("{cases} cases");
    assert!(cases > 1000, "{cases} cases");
}

/// Retention by size, deletion of records, and the topic deleted and made anew.
#[test]
fn a_crash_while_the_beginning_of_a_log_goes() {
    let shape = Shape { seed: 3, map_bytes: 1000, policy: "delete" };
    let sim = SimStorage::new();
    let (broker, clock) = open(&sim, shape);
    for _ in 0..2 {
        let log = broker.create_topic(topic(shape)).unwrap().partition(0).unwrap();
        sim.mark(CREATED);
        for round in 0..3 {
            for _ in 0..10 {
                append(&log, shape).unwrap();
            }
            if round < 2 {
                log.sync().unwrap();
                sim.mark(DURABLE | log.log_end_offset() as u64);
            }
            if round != 1 {
                let start = log.delete_records(log.log_end_offset() - 7).unwrap();
                sim.mark(START | start as u64);
            }
            clock.advance(Duration::from_secs(1));
            sim.mark(START | log.log_start_offset() as u64);
        }
        drop(log);
        sim.mark(DELETING);
        broker.delete_topic("t").unwrap();
    }
    Box::leak(Box::new(broker));
    let states = explore("retention", &sim, shape);
    assert!(states > 500, "{states} states");
}

/// A process that was killed between a swap's renames and the sync of the directory left names
/// that a power cut could still take back. The next open removed the old segments at once: a power
/// cut then left neither them nor the new one.
#[test]
fn an_open_that_finished_a_swap_removed_what_the_disk_still_needed() {
    let shape = shapes()[0];
    let trace = SimStorage::new();
    compacts(&trace, shape);
    let log = trace.op_log();
    let swaps = (0..log.len()).filter(|at| log[*at].ends_with(".log.swap"));
    let mut count = Count::default();
    for cut in swaps.map(|at| at + 1) {
        let what = format!("killed after {cut}");
        let promise = shape.promise(&trace, cut);
        let (next, opened) = shape.check(&what, &trace.kill_state(cut), &promise);
        for at in cut..=opened {
            for state in next.power_cut_states(at, 6, at as u64) {
                let what = format!("{what}, power cut after operation {at} of recovery");
                shape.check(&what, &state, &promise);
                count.nested += 1;
            }
        }
    }
    println!("{} cuts of opens that finish a swap", count.nested);
    assert!(count.nested > 300, "{count}");
}
