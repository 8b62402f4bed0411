//! Hours in no time: `max.poll.interval.ms`, a static member's session, a transaction's timeout and
//! retention, on a clock that moves when told.
//!
//! `cargo run --example testing_time`
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::time::{Duration, Instant};

use logreel::testing::MockClock;
use logreel::{Broker, ErrorCode, NewTopic, Offsets, ProducerRecord, Result};

fn main() -> Result<()> {
    let begun = Instant::now();
    let clock = MockClock::at_millis(1_700_000_000_000);
    let day = NewTopic::new("events").set("retention.ms", "86400000");
    let broker = Broker::builder().clock(&clock).topic(day).open()?;
    let producer = broker.producer().build()?;
    producer.send(ProducerRecord::to("events").value("a")).wait()?;

    // A member that does not poll for five minutes has left its group.
    let slow = broker.group("slow").join(["events"])?;
    slow.poll(Duration::ZERO)?;
    clock.advance(Duration::from_secs(301));
    let position: Offsets = [(("events", 0), 1)].into_iter().collect();
    let late = slow.commit_offsets(&position);
    assert_eq!(late.err().and_then(|error| error.code()), Some(ErrorCode::UnknownMemberId));

    // A static member may come back for 45 seconds.
    let group = broker.group("static");
    let member = group.member().group_instance_id("s-1").build()?;
    member.subscribe(["events"])?;
    member.poll(Duration::ZERO)?;
    drop(member);
    clock.advance(Duration::from_secs(44));
    assert_eq!(group.members()?.len(), 1);
    clock.advance(Duration::from_secs(2));
    assert!(group.members()?.is_empty());

    // A transaction that is left open for a minute is aborted, and its producer fenced.
    let mut transactional = broker.producer().build_transactional("t")?;
    let transaction = transactional.begin()?;
    transaction.send(ProducerRecord::to("events").value("never")).wait()?;
    clock.advance(Duration::from_secs(61));
    assert!(transaction.commit().is_err_and(|error| error.is_fatal()));
    broker.testing().topic("events").expect().value("never").never();

    // After a day everything has expired.
    clock.advance(Duration::from_secs(2 * 86_400));
    assert!(broker.testing().topic("events").records()?.is_empty());

    println!("two days passed in {:?}", begun.elapsed());
    Ok(())
}
