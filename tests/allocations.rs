//! Memory is allocated per batch, not per record.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails may panic"
)]

use std::time::Duration;

use logreel::{Acks, Broker, Housekeeping, Producer, ProducerRecord};

const RECORDS: u64 = 100_000;
/// What a full batch may cost: its slot, the lists it passes through, its wait for a sync.
const PER_BATCH: u64 = 9;

fn send(producer: &Producer, payload: &[u8], records: u64) {
    for _ in 0..records {
        producer.send(ProducerRecord::to("t").key(b"12345678").value(payload)).forget();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// How many batches of 16 KiB so many records of 100 bytes fill.
fn batches(records: u64) -> u64 {
    records / 140 + 1
}

#[test]
fn sending_allocates_per_batch() {
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        let dir = tempfile::tempdir().unwrap();
        // Everything happens on this thread, which is the one whose allocations are counted.
        let broker = Broker::builder().dir(dir.path()).housekeeping(Housekeeping::Manual);
        let broker = broker.open().unwrap();
        let linger = Duration::from_secs(10);
        let producer = broker.producer().acks(acks).linger(linger).build().unwrap();
        let payload = [7; 100];
        send(&producer, &payload, RECORDS / 10);
        let counted = allocation_counter::measure(|| send(&producer, &payload, RECORDS));
        let allowed = batches(RECORDS) * PER_BATCH + 100;
        println!("{acks:?}: {} allocations, {allowed} allowed", counted.count_total);
        assert!(counted.count_total > 0, "nothing was counted");
        assert!(counted.count_total <= allowed, "{acks:?}: {} allocations", counted.count_total);
    }
}

/// One call allocates for its lists and its batch, whatever it sends.
#[test]
fn a_large_send_batch_allocates_no_more_often_than_a_small_one() {
    let broker = Broker::builder().housekeeping(Housekeeping::Manual).open().unwrap();
    let producer = broker.producer().acks(Acks::Leader).build().unwrap();
    let send = |records: usize| {
        let records = (0..records).map(|_| ProducerRecord::to("t").key("k").value("v"));
        producer.send_batch(records).wait().unwrap();
    };
    send(1000);
    let [few, many] = [10, 1000].map(|records| {
        allocation_counter::measure(|| (0..100).for_each(|_| send(records))).count_total
    });
    println!("100 calls: {few} allocations with 10 records each, {many} with 1000");
    // Lists that grow do so by doubling.
    assert!(many <= few + 100 * 10, "{few} with 10 records, {many} with 1000");
}
