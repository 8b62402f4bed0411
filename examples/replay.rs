//! Replay: a projection (sums by day, here) had a mistake in it since some moment. Its group is set
//! back to that moment, and reads what it had read before once more.
//!
//! ```text
//! cargo run --release --example replay
//! ```
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use logreel::admin::ResetTo;
use logreel::typed::{Integer, Utf8};
use logreel::{Broker, NewTopic, OffsetReset, Typed};

const DAY: i64 = 24 * 60 * 60 * 1000;
const SALES_A_DAY: i64 = 100;

type Outcome<T> = Result<T, Box<dyn Error>>;
type Sums = BTreeMap<i64, i64>;

fn main() -> Outcome<()> {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("sales").partitions(3))?;
    let sales = broker.producer().build()?.typed("sales", Utf8, Integer);
    let today = 20_000 * DAY;
    let days: Vec<i64> = (0..5).map(|day| today - (4 - day) * DAY).collect();
    for day in &days {
        for sale in 0..SALES_A_DAY {
            let shop = format!("shop-{}", sale % 7);
            let record = sales.record(Some(&shop), Some(&2))?.timestamp(day + sale);
            sales.producer().send(record).forget();
        }
    }
    sales.producer().flush(Duration::from_secs(10))?;

    // Since the third day it counts every sale double.
    let mistake = days.get(2).copied().ok_or("there are five days")?;
    let mut sums = Sums::new();
    let read =
        project(&broker, &mut sums, |at, cents| if at < mistake { cents } else { 2 * cents })?;
    println!("the projection read {read} sales: {:?}", sums.values());

    // It is corrected: what it made since then is thrown away and made again.
    let group = broker.group("sums");
    let plan = group.plan_reset("sales", ResetTo::Timestamp(mistake))?;
    for line in plan.iter() {
        let (place, from) = (&line.topic_partition, line.committed.unwrap_or_default());
        println!("{place} goes back from {from} to {}", line.new_offset);
    }
    plan.execute()?;
    sums.retain(|day, _| *day < mistake / DAY);
    let lag = group.total_lag()?;
    let again = project(&broker, &mut sums, |_, cents| cents)?;
    println!("it read {again} sales again: {:?}", sums.values());

    ensure(read == 5 * SALES_A_DAY && again == 3 * SALES_A_DAY, "what it read")?;
    ensure(i64::try_from(lag)? == again, "the lag told so before")?;
    ensure(sums.len() == 5 && sums.values().all(|sum| *sum == 2 * SALES_A_DAY), "the sums")
}

/// Adds up what the group has not read yet, and commits how far it came.
fn project(broker: &Broker, sums: &mut Sums, count: impl Fn(i64, i64) -> i64) -> Outcome<i64> {
    let settings = broker.group("sums").member().auto_offset_reset(OffsetReset::Earliest);
    let consumer = settings.enable_auto_commit(false).build()?;
    consumer.subscribe(["sales"])?;
    let types = Typed { key: Utf8, value: Integer };
    let mut read = 0;
    loop {
        let records = consumer.poll(Duration::ZERO)?;
        if records.is_empty() {
            consumer.close()?;
            return Ok(read);
        }
        for record in &records {
            let at = record.timestamp().ok_or("a sale without a time")?;
            let (_, cents) = types.read(record)?;
            *sums.entry(at / DAY).or_default() += count(at, cents.map_or(0, i64::from));
            read += 1;
        }
        consumer.commit_offsets(&records.next_offsets())?;
    }
}

fn ensure(holds: bool, what: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(format!("not as it should be: {what}").into()) }
}
