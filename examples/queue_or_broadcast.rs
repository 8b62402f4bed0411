//! A queue or a broadcast: the same topic is both. Members of one group share the records; each
//! group gets all of them.
//!
//! ```text
//! cargo run --release --example queue_or_broadcast
//! ```
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use logreel::{Broker, Consumer, NewTopic, OffsetReset, ProducerRecord};

const ORDERS: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("orders").partitions(4))?;
    let join = |group: &str, name: &str| {
        let settings = broker.consumer().group_id(group).client_id(name);
        let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build()?;
        consumer.subscribe(["orders"])?;
        Ok::<Consumer, logreel::Error>(consumer)
    };
    // Three workers share the work; billing and the audit both want to see every order.
    let workers = [join("work", "w1")?, join("work", "w2")?, join("work", "w3")?];
    let others = [join("billing", "b")?, join("audit", "a")?];

    let producer = broker.producer().build()?;
    let orders = (0..ORDERS).map(|number| {
        let customer = format!("customer-{}", number % 37);
        ProducerRecord::to("orders").key(customer).value(number.to_string())
    });
    producer.send_batch(orders).wait()?;

    let mut shared = BTreeSet::new();
    let shares = read(&workers)?;
    for (name, seen) in ["w1", "w2", "w3"].iter().zip(&shares) {
        println!("group work, {name}: {} orders", seen.len());
        let before = shared.len();
        shared.extend(seen.iter().cloned());
        ensure(shared.len() == before + seen.len(), "two workers got the same order")?;
        ensure(!seen.is_empty(), "a worker got nothing")?;
    }
    ensure(shared.len() == ORDERS, "the workers together got every order")?;
    println!("group work, together: {} orders, each of them once", shared.len());

    for (name, seen) in ["billing", "audit"].iter().zip(read(&others)?) {
        println!("group {name}: {} orders", seen.len());
        ensure(seen == shared, "a group did not get every order")?;
    }
    Ok(())
}

/// Polls in turn until nobody gets anything more; answers what each got.
fn read(consumers: &[Consumer]) -> Result<Vec<BTreeSet<String>>, Box<dyn Error>> {
    let mut seen = vec![BTreeSet::new(); consumers.len()];
    let mut quiet = 0;
    while quiet < 3 {
        quiet += 1;
        for (consumer, seen) in consumers.iter().zip(&mut seen) {
            // Joining, giving back and taking partitions happens in here, too.
            for record in &consumer.poll(Duration::from_millis(10))? {
                seen.insert(String::from_utf8_lossy(record.value().unwrap_or_default()).into());
                quiet = 0;
            }
            if quiet == 0 {
                consumer.commit()?;
            }
        }
    }
    Ok(seen)
}

fn ensure(is_true: bool, what: &str) -> Result<(), Box<dyn Error>> {
    if is_true { Ok(()) } else { Err(format!("not as it should be: {what}").into()) }
}
