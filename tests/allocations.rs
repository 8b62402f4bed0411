//! Memory is allocated per batch, not per record.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails may panic"
)]

use std::time::Duration;

use logreel::{Acks, Broker, Consumer, Housekeeping, OffsetReset, Producer, ProducerRecord};

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

/// What a poll may cost: lists that grow.
const PER_POLL: u64 = 14;
/// What a chunk of 64 KiB may cost that is read where nothing is mapped.
const PER_CHUNK: u64 = 2;

fn consumer(broker: &Broker) -> Consumer {
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.max_poll_records(10_000).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

/// Reads so many records, touching each. Answers how many polls that took.
fn read(consumer: &Consumer, records: u64) -> u64 {
    let (mut count, mut polls) = (0, 0);
    while count < records {
        let polled = consumer.poll(Duration::ZERO).unwrap();
        count += polled.iter().map(|record| u64::from(record.value().is_some())).sum::<u64>();
        polls += 1;
    }
    polls
}

/// Sealed segments and the active one, with maps and without.
#[test]
fn reading_allocates_per_poll_and_chunk() {
    for mmap in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let broker = Broker::builder().dir(dir.path()).housekeeping(Housekeeping::Manual);
        let broker = broker.mmap(mmap).open().unwrap();
        let topic = logreel::NewTopic::new("t").set("segment.bytes", "4000000");
        broker.create_topic(topic).unwrap();
        let producer = broker.producer().linger(Duration::from_secs(10)).build().unwrap();
        send(&producer, &[7; 100], RECORDS);
        read(&consumer(&broker), RECORDS);
        let consumer = consumer(&broker);
        let mut polls = 0;
        let counted = allocation_counter::measure(|| polls = read(&consumer, RECORDS));
        let chunks = if mmap { 0 } else { RECORDS * 113 / 65_536 };
        let allowed = polls * PER_POLL + chunks * PER_CHUNK;
        println!(
            "mmap({mmap}): {} allocations in {polls} polls, {allowed} allowed",
            counted.count_total
        );
        assert!(counted.count_total > 0, "nothing was counted");
        assert!(counted.count_total <= allowed, "{} allocations", counted.count_total);
    }
}

/// Who follows the end polls for a batch at a time, or for nothing.
#[test]
fn a_poll_at_the_end_allocates_little() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder().dir(dir.path()).housekeeping(Housekeeping::Manual);
    let broker = broker.open().unwrap();
    broker.create_topic("t").unwrap();
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    let consumer = consumer(&broker);
    let poll = |records: usize| {
        if records > 0 {
            partition.append((0..records).map(|_| (Some("k"), Some("v")))).unwrap();
        }
        let poll = || assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), records);
        allocation_counter::measure(poll).count_total
    };
    poll(1);
    let [one, many, none] = [1, 1000, 0].map(poll);
    println!("a poll: {none} allocations for nothing, {one} for a record, {many} for 1000");
    assert!(none <= 1, "{none}");
    assert!(one > 0 && one <= 5, "{one}");
    assert_eq!(many, one, "records cost nothing");
}

#[test]
fn one_record_is_read_without_allocating() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    broker.create_topic("t").unwrap();
    let producer = broker.producer().linger(Duration::from_secs(10)).build().unwrap();
    send(&producer, &[7; 100], 10_000);
    let partition = broker.topic("t").unwrap().partition(0).unwrap();
    let read = |offset: i64| assert_eq!(partition.get(offset).unwrap().unwrap().offset, offset);
    read(0);
    let counted = allocation_counter::measure(|| (0..5000).for_each(read));
    assert_eq!(counted.count_total, 0);
}
