//! Every operation of a workload fails once, and from there on for ever.

use logreel::testing::{Fault, FaultKind, FaultOp, SimStorage};
use logreel::{Broker, ErrorCode, ErrorKind, NewTopic, ProducerRecord};

use crate::explore::{Count, Oracle, campaign, on_two_threads};
use crate::story::{Step, Told, World};
use crate::workloads::open;

/// What is tried on a disk that fails. Between them they do everything a broker does with files.
pub(crate) const WORKLOADS: [&[Step]; 6] = [
    &[Step::Append, Step::Batch, Step::Roll, Step::Leader, Step::Sync, Step::Append],
    &[Step::Batch, Step::Commit, Step::Batch, Step::Commit, Step::Close, Step::Commit],
    &[Step::Roll, Step::Roll, Step::Compact, Step::Roll, Step::Compact, Step::Batch],
    &[Step::Roll, Step::Roll, Step::DeleteRecords, Step::Retain, Step::Batch, Step::Close],
    &[Step::Batch, Step::Commit, Step::Recreate, Step::Batch, Step::Recreate, Step::Append],
    &[Step::Leader, Step::Close, Step::Batch, Step::Compact, Step::Close, Step::Append],
];

/// Goes through a workload on a disk that fails, and then has what a crash leaves checked. Says
/// whether anything failed.
fn run(what: &str, workload: &[Step], sim: &SimStorage, cuts: usize, ahead: bool) -> usize {
    let (trace, told) = match World::on(sim, true, ahead) {
        Ok(mut world) => {
            for step in workload {
                let _ = world.try_step(*step);
            }
            world.finish()
        }
        Err(_) => (sim.kill_state(sim.op_count()), Told::default()),
    };
    let promise = told.promise(&trace, trace.op_count());
    let killed = trace.kill_state(trace.op_count());
    told.check(&format!("{what}, killed"), &killed, &told.killed(promise.clone()));
    let states = trace.power_cut_states(trace.op_count(), cuts, cuts as u64);
    for state in &states {
        told.check(&format!("{what}, then a power cut"), state, &promise);
    }
    1 + states.len()
}

/// The fault at each operation of its kind, until there are no more of them.
pub(crate) fn at_each(
    (kind, op, sticky): (FaultKind, FaultOp, bool),
    workload: &[Step],
    ahead: bool,
) -> usize {
    let mut cases = 0;
    for nth in 0.. {
        let sim = SimStorage::new();
        sim.fail(Fault { op, nth, sticky, kind });
        let what = format!("{workload:?}, {kind:?} at {op:?} {nth}, sticky {sticky}, {ahead}");
        cases += run(&what, workload, &sim, 4 * campaign(), ahead);
        if sim.fault_hits() == 0 {
            break;
        }
    }
    cases
}

#[test]
fn every_operation_fails_once_and_for_ever() {
    let mut faults = Vec::new();
    for kind in [FaultKind::Eio, FaultKind::Enospc, FaultKind::Edquot, FaultKind::Emfile] {
        let ops = [FaultOp::Any, FaultOp::Write, FaultOp::Sync, FaultOp::SyncDir, FaultOp::Rename];
        faults.extend(ops.iter().flat_map(|op| [(kind, *op, false), (kind, *op, true)]));
    }
    // EINTR for ever would hang any program that retries it, as it must.
    faults.extend([FaultOp::Any, FaultOp::Write].map(|op| (FaultKind::Eintr, op, false)));
    let cases: Vec<_> =
        WORKLOADS.iter().flat_map(|workload| faults.iter().map(move |f| (*workload, *f))).collect();
    let count = on_two_threads(&cases, |(workload, fault)| Count {
        states: at_each(*fault, workload, false),
        ..Count::default()
    });
    println!("{} faults of {} workloads: {} cases", faults.len(), WORKLOADS.len(), count.states);
    assert!(count.states > 20_000);
}

#[test]
fn writes_are_short_by_every_length() {
    // No write of this workload is longer.
    let lengths: Vec<usize> = (0..300).collect();
    let count = on_two_threads(&lengths, |len| {
        let kind = FaultKind::ShortWrite(*len);
        let cases = |sticky| at_each((kind, FaultOp::Write, sticky), WORKLOADS[0], false);
        // One byte at a time for ever comes to an end; none for ever is a full disk.
        Count { states: cases(false) + cases(true), ..Count::default() }
    });
    println!("{} lengths: {} cases", lengths.len(), count.states);
    assert!(count.states > 10_000);
}

/// Any number of bytes may fit: whatever could not be written then can be when there is room.
pub(crate) fn full_at(bytes: u64, ahead: bool) -> Count {
    // Those that go on in the same process.
    let workloads = [WORKLOADS[0], WORKLOADS[2], &WORKLOADS[3][..5]];
    let workload = workloads[bytes as usize % workloads.len()];
    let what = format!("{workload:?} with {bytes} bytes");
    let sim = SimStorage::new();
    sim.set_capacity(Some(bytes));
    if let Ok(mut world) = World::on(&sim, true, ahead) {
        let failed = workload.iter().filter(|step| world.try_step(**step).is_err()).count();
        sim.set_capacity(None);
        for step in [Step::Append, Step::Batch, Step::Sync, Step::Commit] {
            world.try_step(step).unwrap_or_else(|e| panic!("{what}, {failed} failed: {e}"));
        }
    }
    let sim = SimStorage::new();
    sim.set_capacity(Some(bytes));
    Count { states: run(&what, workload, &sim, 3, ahead), ..Count::default() }
}

#[test]
fn the_disk_is_full_at_every_byte() {
    let sizes: Vec<u64> = (0..3000).collect();
    let count = on_two_threads(&sizes, |bytes| full_at(*bytes, false));
    println!("{} sizes: {} cases", sizes.len(), count.states);
    assert!(count.states > 5000);
}

fn read(broker: &Broker) -> Vec<String> {
    let Ok(topic) = broker.topic("t") else { return Vec::new() };
    let log = topic.partition(0).unwrap();
    let records = log.read(0, 1 << 20).unwrap();
    records.iter().map(|r| String::from_utf8(r.value().unwrap().to_vec()).unwrap()).collect()
}

#[test]
fn a_failed_sync_stops_the_partition_and_is_never_retried() {
    let sim = SimStorage::new();
    let broker = open(&sim);
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    let producer = broker.producer().build().unwrap();
    producer.send(ProducerRecord::to("t").value("safe")).wait().unwrap();
    sim.fail(Fault { op: FaultOp::Sync, nth: 0, sticky: false, kind: FaultKind::Eio });
    let error = producer.send(ProducerRecord::to("t").value("lost?")).wait().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::KafkaStorageError), "{error}");
    // The disk is well again; the partition is not.
    for _ in 0..3 {
        let error = producer.send(ProducerRecord::to("t").value("later")).wait().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::KafkaStorageError), "{error}");
        assert!(log.sync().is_err());
    }
    assert_eq!(log.recovery_point(), 1);
    assert_eq!(read(&broker)[0], "safe", "reads go on");
    let other = broker.create_topic("other").unwrap().partition(0).unwrap();
    other.append([(None, Some("fine"))]).unwrap();
    drop((log, other, producer));
    assert!(broker.close().is_err(), "not everything could be made durable");
    for state in sim.power_cut_states(sim.op_count(), 100, 0) {
        let broker = open(&state);
        assert_eq!(read(&broker)[0], "safe");
    }
    let broker = open(&sim);
    assert!(!broker.recovery_report().clean, "what was not synced is not trusted");
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("works again"))]).unwrap();
    log.sync().unwrap();
}

/// The first append of a log makes its segment. When it failed, a close found nothing to sync, and
/// left the file without its name on the disk; the next process took it for one of a clean close,
/// and acknowledged records in it that a power cut took with the name.
#[test]
fn a_segment_whose_first_append_failed_was_not_in_its_directory() {
    let sim = SimStorage::new();
    let broker = open(&sim);
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    sim.fail(Fault { op: FaultOp::Write, nth: 1, sticky: false, kind: FaultKind::Eio });
    log.append([(None, Some("fails"))]).unwrap_err();
    sim.clear_faults();
    broker.close().unwrap();
    let broker = open(&sim);
    assert!(broker.recovery_report().clean);
    let producer = broker.producer().build().unwrap();
    producer.send(ProducerRecord::to("t").value("acknowledged")).wait().unwrap();
    let states = sim.power_cut_states(sim.op_count(), 100, 0);
    assert!(!states.is_empty());
    for state in states {
        assert_eq!(read(&open(&state)), ["acknowledged"]);
    }
}

#[test]
fn a_full_disk_stops_nothing_for_good() {
    let sim = SimStorage::new();
    let broker = open(&sim);
    let topic = NewTopic::new("t").set("segment.bytes", "400");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    let mut written = 0;
    for round in 0..20 {
        log.append([(None, Some("fits"))]).unwrap();
        written += 1;
        // Any number of bytes may be left, also fewer than a batch.
        for nth in 0..4 {
            sim.fail(Fault { op: FaultOp::Write, nth, sticky: true, kind: FaultKind::Enospc });
            let mut failed = 0;
            for _ in 0..6 {
                match log.append([(None, Some("x"))]) {
                    Ok(_) => written += 1,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                        assert!(error.is_retriable());
                        failed += 1;
                    }
                }
            }
            assert!(failed > 0);
            sim.clear_faults();
        }
        assert_eq!(log.log_end_offset(), written, "round {round}");
        assert_eq!(log.read(0, 1 << 20).unwrap().len() as i64, written);
    }
    log.sync().unwrap();
}
