//! How a service is tested with faults: its acknowledgement is lost, its consumer's commits fail,
//! the process is killed between reading and committing. In the end every order is billed once.
//!
//! `cargo run --example testing_service`; in your crate this is a `#[test]`.
#![allow(clippy::print_stdout, clippy::mem_forget, reason = "a program that tells what it does")]

use std::time::Duration;

use logreel::consumer::GroupMetadata;
use logreel::testing::{MockClock, OpKind};
use logreel::{Broker, Consumer, ErrorCode, OffsetReset, ProducerRecord, Result};

const SECOND: Duration = Duration::from_secs(1);

/// The service: reads orders, writes bills, both in one transaction.
struct Billing {
    orders: Consumer,
    bills: logreel::TransactionalProducer,
}

impl Billing {
    fn start(broker: &Broker) -> Result<Self> {
        let settings = broker.consumer().group_id("billing").enable_auto_commit(false);
        let orders = settings.auto_offset_reset(OffsetReset::Earliest).build()?;
        orders.subscribe(["orders"])?;
        let bills = broker.producer().build_transactional("billing")?;
        Ok(Self { orders, bills })
    }

    /// Bills what has come. Answers how many orders that were.
    fn work(&mut self, crash_before_commit: bool) -> Result<usize> {
        let orders = self.orders.poll(SECOND)?;
        let transaction = self.bills.begin()?;
        for order in &orders {
            let bill = ProducerRecord::to("bills").key(order.key().unwrap_or_default());
            transaction.send(bill.value("5 EUR")).forget();
        }
        let group = self.orders.group_metadata();
        let group = group.unwrap_or_else(|| GroupMetadata::without_members("billing"));
        transaction.send_offsets(&orders.next_offsets(), &group)?;
        if crash_before_commit {
            // The guard is not dropped: that would abort, which a process that dies does not.
            std::mem::forget(transaction);
            return Ok(orders.len());
        }
        transaction.commit()?;
        Ok(orders.len())
    }
}

fn main() -> Result<()> {
    let clock = MockClock::at_millis(1_700_000_000_000);
    let broker = Broker::builder().clock(&clock).topic("orders").topic("bills").open()?;
    let producer = broker.producer().build()?;

    // The first order's acknowledgement is lost: the producer sends it again, and it is one.
    let lost = broker.testing().faults().on(OpKind::Produce).topic("orders").times(1);
    let lost = lost.apply_then_fail(ErrorCode::NetworkException);
    producer.send(ProducerRecord::to("orders").key("o-1")).wait()?;
    producer.send(ProducerRecord::to("orders").key("o-2")).wait()?;
    assert_eq!(lost.hits(), 1);
    broker.testing().topic("orders").expect().times(2);

    // The service is killed with its work done and not committed.
    let mut service = Billing::start(&broker)?;
    assert_eq!(service.work(true)?, 2);
    let broker = broker.testing().kill()?;
    broker.testing().topic("bills").expect().never();

    // The next one has a bad day: the coordinator is away when it commits, and then it is slow.
    let faults = broker.testing().faults().clone();
    faults.on(OpKind::EndTxn).times(1).fail(ErrorCode::CoordinatorNotAvailable);
    faults.on(OpKind::EndTxn).times(1).delay(Duration::from_secs(3));
    let mut service = Billing::start(&broker)?;
    assert_eq!(service.work(false)?, 2);
    faults.assert_all_hit();
    for order in ["o-1", "o-2"] {
        broker.testing().topic("bills").expect().key(order).once();
    }
    println!(
        "2 orders; one answer lost, one process killed, one commit retried, one slow: 2 bills"
    );
    Ok(())
}
