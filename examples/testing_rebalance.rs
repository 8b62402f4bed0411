//! A race that happens once in a month, every time: a rebalance between the call of a commit and
//! its answer. The barrier holds the commit back; nothing sleeps.
//!
//! `cargo run --example testing_rebalance`
#![allow(clippy::print_stdout, clippy::panic, reason = "a program that tells what it does")]

use std::sync::Arc;
use std::time::Duration;

use logreel::testing::{MockClock, OpKind};
use logreel::{Broker, ErrorCode, NewTopic, OffsetReset, Offsets, ProducerRecord, Result};

fn main() -> Result<()> {
    let clock = MockClock::at_millis(1_700_000_000_000);
    let jobs = NewTopic::new("jobs").partitions(2);
    let broker = Broker::builder().clock(&clock).topic(jobs).open()?;
    broker.producer().build()?.send(ProducerRecord::to("jobs").partition(0).value("a")).wait()?;

    let settings = broker.consumer().group_id("workers").enable_auto_commit(false);
    let worker = Arc::new(settings.auto_offset_reset(OffsetReset::Earliest).build()?);
    worker.subscribe(["jobs"])?;
    assert_eq!(worker.poll(Duration::from_secs(1))?.len(), 1);
    let done: Offsets = [(("jobs", 0), 1)].into_iter().collect();

    let barrier = broker.testing().faults().on(OpKind::Commit).group("workers").pause();
    let committing = std::thread::spawn({
        let (worker, done) = (Arc::clone(&worker), done.clone());
        move || worker.commit_offsets(&done)
    });
    barrier.wait_entered(Duration::from_secs(10))?;
    // The commit was asked for in generation 1. Before it gets through the group is in 2.
    broker.testing().group("workers").trigger_rebalance()?;
    let again = worker.poll(Duration::ZERO)?;
    barrier.release();

    let Ok(Err(error)) = committing.join() else { panic!("it went through") };
    assert_eq!(error.code(), Some(ErrorCode::IllegalGeneration));
    assert!(error.is_rebalance(), "a worker goes on polling after that");
    assert_eq!(worker.committed(&("jobs", 0).into())?, None);
    // What was not committed was read again.
    assert_eq!(again.len(), 1);
    worker.commit()?;
    println!("the late commit answered {error}; the job came again, and was committed");
    Ok(())
}
