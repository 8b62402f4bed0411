//! Deleting a topic, with everything that may come in between.

use std::time::Duration;

use logreel::testing::{Fault, FaultKind, FaultOp, SimStorage};
use logreel::{Broker, ErrorCode, NewTopic, OffsetReset, Offsets, ProducerRecord};

use crate::explore::{Explorer, Oracle, Plan};
use crate::workloads::open;

const DELETING: u64 = 1;
const DELETED: u64 = 2;
const MADE_ANEW: u64 = 3;

fn commit(broker: &Broker, offset: i64) {
    let consumer = broker.consumer().group_id("g").build().unwrap();
    let offsets: Offsets = [(("t", 0), offset)].into_iter().collect();
    consumer.commit_offsets(&offsets).unwrap();
}

fn committed(broker: &Broker) -> Option<i64> {
    let offsets = broker.committed_offsets("g").unwrap();
    offsets.get(&("t", 0).into()).map(|position| position.offset())
}

fn values(broker: &Broker) -> Option<Vec<String>> {
    let log = broker.topic("t").ok()?.partition(0).unwrap();
    let records = log.read(0, 1 << 20).unwrap();
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    Some(records.iter().map(|record| text(record.value().unwrap())).collect())
}

/// Makes the topic if it is not there, and reads one record as the group does.
fn first_of_the_next(broker: &Broker) -> i64 {
    broker.producer().build().unwrap().send(ProducerRecord::to("t").value("next")).wait().unwrap();
    let consumer = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap().iter().next().unwrap().offset()
}

/// A topic with three records, all of them read by a group; deleted, and made anew with one.
fn deletion() -> SimStorage {
    let sim = SimStorage::new();
    let broker = open(&sim);
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    for value in ["a", "b", "c"] {
        log.append([(None, Some(value))]).unwrap();
    }
    log.sync().unwrap();
    commit(&broker, 3);
    sim.mark(DELETING);
    broker.delete_topic("t").unwrap();
    sim.mark(DELETED);
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("new"))]).unwrap();
    log.sync().unwrap();
    sim.mark(MADE_ANEW);
    Box::leak(Box::new((log, broker)));
    sim
}

/// From the beginning of the deletion on.
struct Deletion;

impl Oracle for Deletion {
    /// The marks: everything before the deletion is none of them.
    type Promise = Vec<u64>;

    fn promise(&self, trace: &SimStorage, cut: usize) -> Vec<u64> {
        trace.marks_before(cut)
    }

    fn killed(&self, promise: Vec<u64>) -> Vec<u64> {
        promise
    }

    fn check(&self, what: &str, state: &SimStorage, marks: &Vec<u64>) -> (SimStorage, usize) {
        let opened = state.kill_state(state.op_count());
        let broker = open(&opened);
        let recovered = opened.op_count();
        let (values, committed) = (values(&broker), committed(&broker));
        let is_old = values.as_deref().is_some_and(|values| values == ["a", "b", "c"]);
        assert!(!is_old || !marks.contains(&DELETED), "{what}: the topic is back");
        if is_old {
            assert_eq!(committed, Some(3), "{what}: the topic is there, and not wholly");
            return (opened, recovered);
        }
        assert_eq!(committed, None, "{what}: a commit outlived its topic");
        let new = values.unwrap_or_default();
        assert!(new.len() <= 1 && new.iter().all(|value| value == "new"), "{what}: {new:?}");
        assert!(!marks.contains(&MADE_ANEW) || new.len() == 1, "{what}: the new topic is gone");
        assert_eq!(first_of_the_next(&broker), 0, "{what}: the group begins in the middle");
        (opened, recovered)
    }
}

/// The groups' commits went after the topic: a crash in between left them to the next topic of its
/// name.
#[test]
fn a_crash_leaves_the_commits_of_a_deleted_topic() {
    let trace = deletion();
    let began = (0..trace.op_count()).find(|cut| trace.marks_before(*cut).contains(&DELETING));
    let plan = Plan { states_per_cut: 40, nested_every: 1, nested_states: 3, kills_every: 1 };
    let explorer = Explorer::default();
    let count = explorer.explore_from("deletion", &trace, began.unwrap(), &Deletion, plan);
    println!("deletion: {count}");
    assert!(count.states > 200 && count.nested > 500);
}

/// A deletion that failed halfway went on taking records, and the next open deleted them.
#[test]
fn a_deletion_that_fails_is_no_deletion_or_one_to_be_finished() {
    let (mut failed, mut kept) = (0, 0);
    for (op, most) in [
        (FaultOp::Any, 60),
        (FaultOp::Write, 8),
        (FaultOp::Sync, 8),
        (FaultOp::SyncDir, 8),
        (FaultOp::Rename, 8),
        (FaultOp::Remove, 12),
        (FaultOp::Create, 8),
        (FaultOp::List, 4),
    ] {
        for (nth, sticky) in (0..most).flat_map(|nth| [(nth, false), (nth, true)]) {
            let what = format!("{op:?} {nth}, sticky {sticky}");
            let sim = SimStorage::new();
            let broker = open(&sim);
            let log = broker.create_topic(NewTopic::new("t")).unwrap().partition(0).unwrap();
            log.append([(None, Some("a"))]).unwrap();
            log.sync().unwrap();
            commit(&broker, 1);
            log.append([(None, Some("b"))]).unwrap();
            sim.fail(Fault { op, nth, sticky, kind: FaultKind::Eio });
            let outcome = broker.delete_topic("t");
            sim.clear_faults();
            let there = broker.topic("t").is_ok();
            assert!(outcome.is_err() || !there, "{what}: it is still there");
            failed += usize::from(outcome.is_err());
            kept += usize::from(there);
            let mut acknowledged = vec!["a".to_owned()];
            if log.sync().is_ok() {
                acknowledged.push("b".to_owned());
                if log.append([(None, Some("c"))]).is_ok() && log.sync().is_ok() {
                    acknowledged.push("c".to_owned());
                }
            }
            assert!(there || acknowledged.len() == 1, "{what}: a deleted topic takes records");
            if !there && outcome.is_err() {
                let code = broker.create_topic("t").unwrap_err().code();
                assert_eq!(code, Some(ErrorCode::TopicAlreadyExists), "{what}");
            }
            let last = sim.op_count();
            let mut states = sim.power_cut_states(last, 4, nth as u64);
            states.push(sim.kill_state(last));
            for state in states {
                let broker = open(&state);
                match values(&broker) {
                    Some(values) => {
                        assert!(there, "{what}: it is back");
                        assert!(values.starts_with(&acknowledged), "{what}");
                        assert_eq!(committed(&broker), Some(1), "{what}");
                    }
                    None => {
                        assert!(acknowledged.len() == 1, "{what}: {acknowledged:?} are gone");
                        assert_eq!(committed(&broker), None, "{what}");
                        assert_eq!(first_of_the_next(&broker), 0, "{what}");
                    }
                }
            }
        }
    }
    println!("{failed} failed, {kept} left the topic");
    assert!(failed > 50 && kept > 10);
}
