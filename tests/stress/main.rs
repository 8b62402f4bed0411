//! Eight threads send to four partitions with mixed `acks`, over a storage that fails at random and
//! answers that get lost at random: every record has one result, every success is readable exactly
//! once, the order of each key holds, and what was acknowledged by `acks=all` outlives the broker.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    reason = "a test that fails may panic"
)]

mod check;
mod members;
mod senders;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use logreel::testing::{Fault, FaultKind, FaultOp, OpKind, SimStorage};
use logreel::{Acks, Broker, ErrorCode, NewTopic, Producer};

use check::Checked;
use senders::{Draw, Ledger, send_all};

const THREADS: u64 = 8;
const PARTITIONS: i32 = 4;
const RECORDS: u64 = 400;
const SECOND: Duration = Duration::from_secs(1);

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Answers get lost, nothing else.
    LostAnswers,
    /// And the disk is full now and then: everything passes if it is tried again.
    Passing,
    /// Writes are cut short, interrupted, refused for want of space, or fail.
    FailingWrites,
    /// And a sync fails, which stops a partition for good.
    FailingSyncs,
}

fn faults(disk: &SimStorage, weather: Weather, draw: &mut Draw) {
    let add = |op, nth, kind| disk.fail(Fault { op, nth, sticky: false, kind });
    if weather == Weather::LostAnswers {
        return;
    }
    let hard = weather != Weather::Passing;
    for _ in 0..40 {
        let kind = match draw.below(5) {
            0 if hard => FaultKind::Eio,
            0..=2 => FaultKind::Enospc,
            3 => FaultKind::Eintr,
            _ => FaultKind::ShortWrite(usize::try_from(draw.below(90)).unwrap()),
        };
        add(FaultOp::Write, usize::try_from(draw.below(1500)).unwrap(), kind);
    }
    if weather == Weather::FailingSyncs {
        add(FaultOp::Sync, usize::try_from(draw.below(200)).unwrap(), FaultKind::Eio);
        // A write that fails and cannot be cut back.
        add(FaultOp::SetLen, usize::try_from(draw.below(6)).unwrap(), FaultKind::Eio);
    }
}

fn producers(broker: &Broker) -> [Producer; 4] {
    let settings = || {
        let quick = Duration::from_millis(1);
        let few = broker.producer().batch_size(600).retry_backoff(quick).retry_backoff_max(quick);
        few.buffer_memory(40_000)
    };
    [
        settings().acks(Acks::None).build().unwrap(),
        settings().acks(Acks::Leader).linger(Duration::from_millis(1)).build().unwrap(),
        settings().build().unwrap(),
        settings().linger(Duration::from_millis(2)).build().unwrap(),
    ]
}

fn run(seed: u64, weather: Weather) -> Checked {
    let mut draw = Draw(seed);
    let disk = SimStorage::new();
    let broker = Broker::builder().storage(disk.storage()).seed(seed).open().unwrap();
    let topic = NewTopic::new("t").partitions(PARTITIONS).set("segment.bytes", "20000");
    broker.create_topic(topic).unwrap();
    faults(&disk, weather, &mut draw);
    let producers = producers(&broker);
    let ledger = Arc::new(Ledger::default());
    // Where answers get lost all are idempotent: others would rightly write twice.
    let idempotent = matches!(weather, Weather::LostAnswers | Weather::Passing);
    if idempotent {
        let lost = broker.testing().faults().on(OpKind::Produce);
        lost.times(150).apply_then_fail(ErrorCode::RequestTimedOut);
    }
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let acks = if idempotent { 2 + thread % 2 } else { thread % 4 };
            let producer = &producers[usize::try_from(acks).unwrap()];
            let (ledger, mut draw) = (Arc::clone(&ledger), Draw(seed * 100 + thread));
            scope.spawn(move || send_all(producer, thread, acks, &ledger, &mut draw));
        }
    });
    for producer in producers {
        producer.close(60 * SECOND).unwrap();
    }
    let checked = check::check(&broker, &ledger, PARTITIONS);
    // Dies here, with a storage that works again.
    disk.clear_faults();
    let left = disk.kill_state(disk.op_count());
    let closed = broker.close();
    assert!(closed.is_ok() || weather == Weather::FailingSyncs, "{closed:?}");
    let again = Broker::builder().storage(left.storage()).open().unwrap();
    check::check_survivors(&again, &ledger, PARTITIONS);
    checked
}

fn runs(weather: Weather, seeds: u64) {
    let mut sum = Checked::default();
    for seed in 1..=seeds {
        let checked = run(seed, weather);
        assert_eq!(checked.results, THREADS * RECORDS, "seed {seed}");
        sum.add(&checked);
    }
    println!("{weather:?}: {sum:?}");
    assert!(sum.succeeded > 0);
    match weather {
        Weather::LostAnswers | Weather::Passing => {
            assert_eq!(sum.failed, 0, "what passes stays invisible");
        }
        _ => assert!(sum.failed > 0, "nothing failed: the faults were not met"),
    }
}

#[test]
fn lost_answers_duplicate_and_reorder_nothing() {
    runs(Weather::LostAnswers, 6);
}

#[test]
fn a_disk_that_is_full_for_a_moment_is_not_noticed() {
    runs(Weather::Passing, 6);
}

#[test]
fn failing_writes_fail_their_records_and_no_others() {
    runs(Weather::FailingWrites, 10);
}

#[test]
fn failing_syncs_lose_nothing_that_was_acknowledged() {
    runs(Weather::FailingSyncs, 10);
}
