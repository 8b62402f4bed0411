//! Random operations on one partition against the simplest thing that could be right: a vector.

use std::time::Duration;

use crate::homes::*;
use logreel::testing::{MockClock, SimStorage};
use logreel::{Broker, Compression, NewTopic, OffsetSpec, Partition, RawRecord};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    /// Records of these value sizes and timestamps, as one batch.
    Append(Vec<(usize, i64)>),
    Read {
        from: usize,
        max_bytes: usize,
    },
    FindTime(i64),
    Consume {
        from: usize,
        max_records: usize,
    },
    Sync,
    CloseAndOpen,
    KillAndOpen,
    CutPowerAndOpen {
        state: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let record = (0usize..200, 0i64..1000);
    prop_oneof![
        6 => prop::collection::vec(record, 1..6).prop_map(Op::Append),
        3 => (0usize..100, 1usize..3000).prop_map(|(from, max_bytes)| Op::Read { from, max_bytes }),
        2 => (-10i64..1100).prop_map(Op::FindTime),
        2 => (0usize..100, 1usize..20).prop_map(|(from, max_records)| Op::Consume {
            from,
            max_records
        }),
        1 => Just(Op::Sync),
        1 => Just(Op::CloseAndOpen),
        1 => Just(Op::KillAndOpen),
        1 => (0usize..50).prop_map(|state| Op::CutPowerAndOpen { state }),
    ]
}

/// What the log must hold: value and timestamp of each record; and how many of them are durable.
#[derive(Default)]
struct Model {
    records: Vec<(Vec<u8>, i64)>,
    durable: usize,
}

fn open(sim: &SimStorage) -> (Broker, Partition) {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    (broker, log)
}

fn check_read(model: &Model, log: &Partition, from: usize, max_bytes: usize) {
    let from = from % (model.records.len() + 1);
    let records = log.read(from as i64, max_bytes).unwrap();
    assert_eq!(records.is_empty(), from == model.records.len());
    for (record, index) in records.iter().zip(from..) {
        assert_eq!(record.offset(), index as i64);
        assert_eq!(record.value(), Some(&*model.records[index].0));
        assert_eq!(record.timestamp(), Some(NOW + model.records[index].1));
    }
}

fn run(codec: Compression, ops: &[Op]) {
    let mut sim = SimStorage::new();
    let topic =
        NewTopic::new("t").set("segment.bytes", "1500").set("index.interval.bytes", "200").set(
            "compression.type",
            if codec == Compression::None { "producer" } else { codec.name() },
        );
    let clock = MockClock::at_millis(NOW);
    let first = Broker::builder().storage(sim.storage()).clock(&clock).topic(topic).open().unwrap();
    drop(first);
    let (mut broker, mut log) = open(&sim);
    let mut model = Model::default();
    for op in ops {
        match op {
            Op::Append(records) => {
                let begin = model.records.len();
                for (index, (size, time)) in records.iter().enumerate() {
                    let byte = u8::try_from((begin + index) % 251).unwrap();
                    model.records.push((vec![byte; *size], *time));
                }
                let batch = model.records[begin..]
                    .iter()
                    .map(|(value, time)| RawRecord::new(None, Some(value)).timestamp(NOW + time));
                let placed = log.append(batch).unwrap();
                assert_eq!(placed.base_offset, begin as i64);
            }
            Op::Read { from, max_bytes } => check_read(&model, &log, *from, *max_bytes),
            Op::FindTime(time) => {
                let found = log.offset_for(OffsetSpec::Timestamp(NOW + time)).unwrap();
                let expected = model.records.iter().position(|(_, t)| t >= time);
                assert_eq!(found.map(|f| f.offset), expected.map(|index| index as i64));
            }
            Op::Consume { from, max_records } => {
                let from = from % (model.records.len() + 1);
                let consumer = broker.consumer().max_poll_records(*max_records).build().unwrap();
                consumer.assign([("t", 0)]).unwrap();
                consumer.seek(("t", 0), from as i64).unwrap();
                let mut next = from;
                loop {
                    let records = consumer.poll(Duration::ZERO).unwrap();
                    if records.is_empty() {
                        break;
                    }
                    assert!(records.len() <= *max_records);
                    for record in &records {
                        assert_eq!(record.offset(), next as i64);
                        assert_eq!(record.value(), Some(&*model.records[next].0));
                        next += 1;
                    }
                }
                assert_eq!(next, model.records.len());
            }
            Op::Sync => {
                log.sync().unwrap();
                model.durable = model.records.len();
            }
            Op::CloseAndOpen => {
                drop(log);
                broker.close().unwrap();
                (broker, log) = open(&sim);
                assert!(broker.recovery_report().clean);
                model.durable = model.records.len();
            }
            Op::KillAndOpen => {
                sim = sim.kill_state(sim.op_count());
                Box::leak(Box::new((broker, log)));
                (broker, log) = open(&sim);
                model.durable = model.records.len();
            }
            Op::CutPowerAndOpen { state } => {
                let mut states = sim.power_cut_states(sim.op_count(), 50, 1);
                sim = states.swap_remove(state % states.len());
                Box::leak(Box::new((broker, log)));
                (broker, log) = open(&sim);
                let left = usize::try_from(log.log_end_offset()).unwrap();
                assert!((model.durable..=model.records.len()).contains(&left));
                model.records.truncate(left);
                model.durable = left;
            }
        }
        assert_eq!(log.log_end_offset(), model.records.len() as i64);
        assert_eq!(broker.recovery_report().damaged().count(), 0);
    }
    for from in 0..=model.records.len() {
        check_read(&model, &log, from, 1 << 20);
    }
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_log_is_a_vector_that_survives(
        codec in prop::sample::select(&Compression::ALL[..]),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        run(codec, &ops);
    }
}

/// The first segment was lost with its directory entry while a later one survived a power cut. The
/// log then began at the later one, with a hole at its front.
#[test]
fn a_later_segment_survives_the_first() {
    let append = |records: &[(usize, i64)]| Op::Append(records.to_vec());
    let ops = [
        append(&[(32, 0), (97, 0)]),
        append(&[(149, 608), (49, 0), (88, 0)]),
        append(&[(72, 0), (182, 64), (104, 64)]),
        append(&[(188, 0), (37, 64), (51, 64), (101, 64)]),
    ];
    for state in 0..50 {
        let cut = Op::CutPowerAndOpen { state };
        run(Compression::None, &[&ops[..], &[cut]].concat());
    }
}
