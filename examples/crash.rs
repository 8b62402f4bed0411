//! A power cut, on a simulated disk: whatever it leaves, what was acknowledged is there, and the
//! report says what was cut off.
//!
//! `cargo run --example crash`
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::BTreeMap;

use logreel::testing::SimStorage;
use logreel::{Acks, Broker, ProducerRecord, Result};

fn main() -> Result<()> {
    let disk = SimStorage::new();
    let broker = Broker::builder().storage(disk.storage()).topic("orders").open()?;
    let synced = broker.producer().acks(Acks::All).build()?;
    synced.send(ProducerRecord::to("orders").value("synced")).wait()?;
    // Acknowledged once it is written: it survives the process, a power cut may take it.
    let written = broker.producer().acks(Acks::Leader).build()?;
    for n in 0..3 {
        written.send(ProducerRecord::to("orders").value(format!("written {n}"))).wait()?;
    }

    let mut found: BTreeMap<(i64, bool), usize> = BTreeMap::new();
    for left in disk.power_cut_states(disk.op_count(), 200, 0) {
        let broker = Broker::builder().storage(left.storage()).open()?;
        let log = broker.topic("orders")?.partition(0)?;
        broker.testing().topic("orders").expect().value("synced").once();
        let torn = broker.recovery_report().truncated_bytes() > 0;
        *found.entry((log.log_end_offset(), torn)).or_default() += 1;
        // It goes on.
        log.append([(None::<&str>, Some("after"))])?;
    }
    for ((records, torn), states) in &found {
        let tail = if *torn { ", and a torn end that was cut off" } else { "" };
        println!("{states:>3} states hold {records} records{tail}");
    }
    assert!(found.keys().all(|(records, _)| (1..=4).contains(records)));
    assert!(found.len() > 2, "a power cut has more than one outcome");
    Ok(())
}
