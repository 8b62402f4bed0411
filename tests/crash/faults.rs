//! Every operation of a workload fails once, and from there on for ever.

use std::time::Duration;

use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{Broker, ErrorCode, ErrorKind, NewTopic, OffsetReset, ProducerRecord};

use crate::workloads::{NOW, open};

/// What a run handed in, and what of it was acknowledged as durable.
#[derive(Default)]
struct Story {
    sent: Vec<String>,
    acknowledged: Vec<String>,
}

/// Appends, rolls and commits, going on after every error as an application might.
fn run(sim: &SimStorage, story: &mut Story) {
    let clock = MockClock::at_millis(NOW);
    let Ok(broker) = Broker::builder().storage(sim.storage()).clock(&clock).open() else { return };
    let topic = NewTopic::new("t").set("segment.bytes", "400").set("index.interval.bytes", "100");
    let _ = broker.create_topic(topic);
    let Ok(producer) = broker.producer().build() else { return };
    for i in 0..14 {
        let value = format!("value {i}");
        story.sent.push(value.clone());
        let delivery = producer.send(ProducerRecord::to("t").key("key").value(&value));
        if delivery.wait().is_ok() {
            story.acknowledged.push(value);
        }
        if i % 5 == 4 {
            let consumer = broker.consumer().group_id("g");
            if let Ok(consumer) = consumer.auto_offset_reset(OffsetReset::Earliest).build() {
                let _ = consumer.subscribe(["t"]);
                let _ = consumer.poll(Duration::ZERO);
                let _ = consumer.commit();
            }
        }
    }
    drop(producer);
    let _ = broker.close();
}

fn read(broker: &Broker) -> Vec<String> {
    let Ok(topic) = broker.topic("t") else { return Vec::new() };
    let log = topic.partition(0).unwrap();
    let records = log.read(0, 1 << 20).unwrap();
    records.iter().map(|r| String::from_utf8(r.value().unwrap().to_vec()).unwrap()).collect()
}

/// What is read is what was sent, in order, with everything that was acknowledged.
fn check(what: &str, state: &SimStorage, story: &Story) {
    let broker = open(state);
    let damaged = broker.recovery_report().damaged().count();
    assert_eq!(damaged, 0, "{what}: {:?}", broker.recovery_report());
    let read = read(&broker);
    let mut sent = story.sent.iter();
    for value in &read {
        assert!(sent.any(|s| s == value), "{what}: {value} twice, invented or out of order");
    }
    for value in &story.acknowledged {
        assert!(read.contains(value), "{what}: {value} was acknowledged and is gone");
    }
}

#[test]
fn every_operation_fails_once_and_for_ever() {
    let clean = SimStorage::new();
    run(&clean, &mut Story::default());
    let operations = clean.op_count();
    let kinds = [
        FaultKind::Eio,
        FaultKind::Enospc,
        FaultKind::Edquot,
        FaultKind::Eintr,
        FaultKind::ShortWrite(1),
        FaultKind::ShortWrite(30),
        FaultKind::ShortWrite(70),
    ];
    let mut cases = 0;
    for kind in kinds {
        for op in [FaultOp::Write, FaultOp::Sync, FaultOp::SyncDir, FaultOp::Create, FaultOp::Any] {
            let short = matches!(kind, FaultKind::ShortWrite(_));
            if short && op != FaultOp::Write {
                continue;
            }
            for nth in 0..operations {
                for sticky in [false, true] {
                    // EINTR for ever would hang any program that retries it, as it must.
                    if sticky && matches!(kind, FaultKind::Eintr) {
                        continue;
                    }
                    let sim = SimStorage::new();
                    sim.fail(Fault { op, nth, sticky, kind });
                    let mut story = Story::default();
                    run(&sim, &mut story);
                    sim.clear_faults();
                    let what = format!("{kind:?} at {op:?} {nth}, sticky {sticky}");
                    check(&what, &sim.kill_state(sim.op_count()), &story);
                    for state in sim.power_cut_states(sim.op_count(), 6, nth as u64) {
                        check(&format!("{what}, then a power cut"), &state, &story);
                        cases += 1;
                    }
                    cases += 1;
                }
            }
        }
    }
    println!("{operations} operations, {cases} cases");
    assert!(cases > 5000);
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
