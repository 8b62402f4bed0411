//! Brokers that end, and what is found afterwards; copies to begin from.

use std::time::Duration;

use logreel::testing::{MockClock, SimStorage};
use logreel::{
    Acks, Broker, BrokerBuilder, Consumer, ErrorKind, NewTopic, OffsetReset, Offsets,
    ProducerRecord,
};

const NOW: i64 = 1_700_000_000_000;
const LONG: Duration = Duration::from_secs(60);

fn end(broker: &Broker) -> i64 {
    broker.topic("t").unwrap().partition(0).unwrap().log_end_offset()
}

fn send(broker: &Broker, value: &str) {
    let producer = broker.producer().build().unwrap();
    producer.send(ProducerRecord::to("t").partition(0).value(value)).wait().unwrap();
}

fn member(broker: &Broker) -> Consumer {
    let settings = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
    let consumer = settings.enable_auto_commit(false).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

fn homes() -> Vec<BrokerBuilder> {
    let clock = MockClock::at_millis(NOW);
    let of = |builder: BrokerBuilder| builder.set("num.partitions", "2");
    vec![
        of(Broker::builder()),
        of(Broker::builder().clock(&clock)),
        of(Broker::builder().storage(SimStorage::new().storage())),
        of(Broker::builder().storage(SimStorage::new().storage()).clock(&clock)),
    ]
}

#[test]
fn a_broker_is_closed_and_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = Broker::builder().dir(dir.path()).set("num.partitions", "2");
    for builder in homes().into_iter().chain([on_disk]) {
        let old = builder.open().unwrap();
        send(&old, "1");
        member(&old).commit_offsets(&position(1)).unwrap_err();
        let consumer = member(&old);
        assert_eq!(consumer.poll(LONG).unwrap().len(), 1);
        consumer.commit().unwrap();
        let new = old.testing().restart().unwrap();
        assert_eq!(old.create_topic("u").unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(consumer.poll(Duration::ZERO).unwrap_err().kind(), ErrorKind::Closed);
        assert!(new.recovery_report().clean);
        assert_eq!(new.topic("t").unwrap().partition_count(), 2, "the settings are the same");
        send(&new, "2");
        let records = member(&new).poll(LONG).unwrap();
        assert_eq!(records.iter().next().and_then(|record| record.value()), Some(&b"2"[..]));
        assert_eq!(new.create_topic("u").unwrap().partition_count(), 2);
    }
}

fn position(offset: i64) -> Offsets {
    [(("t", 0), offset)].into_iter().collect()
}

#[test]
fn a_broker_is_killed_and_keeps_what_was_acknowledged() {
    for builder in homes() {
        let old = builder.open().unwrap();
        send(&old, "1");
        let producer = old.producer().linger(LONG).acks(Acks::Leader).build().unwrap();
        let lingers = producer.send(ProducerRecord::to("t").partition(0).value("lost"));
        let mut transactional = old.producer().build_transactional("p").unwrap();
        let open = transactional.begin().unwrap();
        open.send(ProducerRecord::to("t").partition(1).value("open")).wait().unwrap();
        let new = old.testing().kill().unwrap();
        let error = lingers.wait().unwrap_err();
        assert!(!error.to_string().is_empty());
        assert!(open.commit().is_err());
        assert_eq!(end(&new), 1);
        assert!(!new.recovery_report().clean);
        // The old handles do nothing to the new broker.
        assert!(old.create_topic("u").is_err());
        assert_eq!(new.topics().unwrap().iter().filter(|topic| !topic.is_internal()).count(), 1);
        let log = new.topic("t").unwrap().partition(1).unwrap();
        assert_eq!((log.last_stable_offset(), log.log_end_offset()), (0, 1), "it is still open");
        send(&new, "2");
        assert_eq!(end(&new), 2);
    }
}

#[test]
fn a_power_cut_takes_what_was_not_synced_at_most() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let builder = Broker::builder().storage(SimStorage::new().storage());
        let old = builder.open().unwrap();
        send(&old, "synced");
        let producer = old.producer().acks(Acks::Leader).build().unwrap();
        for _ in 0..2 {
            producer.send(ProducerRecord::to("t").value("written")).wait().unwrap();
        }
        let new = old.testing().cut_power(seed).unwrap();
        assert!((1..=3).contains(&end(&new)), "{}", end(&new));
        ends.insert(end(&new));
        send(&new, "more");
    }
    assert!(ends.len() > 1, "{ends:?}");
}

#[test]
fn what_cannot_be_crashed_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = Broker::open(dir.path()).unwrap();
    assert_eq!(on_disk.testing().kill().unwrap_err().kind(), ErrorKind::IllegalState);
    assert_eq!(on_disk.testing().cut_power(1).unwrap_err().kind(), ErrorKind::IllegalState);
    assert_eq!(on_disk.snapshot().unwrap_err().kind(), ErrorKind::IllegalState);
    let in_memory = Broker::in_memory();
    assert_eq!(in_memory.testing().cut_power(1).unwrap_err().kind(), ErrorKind::IllegalState);
    // Nothing has happened to them.
    on_disk.create_topic("t").unwrap();
    in_memory.create_topic("t").unwrap();
}

#[test]
fn every_test_begins_from_a_snapshot() {
    let fixture = Broker::in_memory();
    fixture.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    (0..100).for_each(|n| send(&fixture, &n.to_string()));
    let consumer = member(&fixture);
    consumer.poll(LONG).unwrap();
    consumer.commit_offsets(&position(40)).unwrap();
    let snapshot = fixture.snapshot().unwrap();
    send(&fixture, "later");
    let tests: Vec<Broker> = (0..3).map(|_| snapshot.open().unwrap()).collect();
    for (number, broker) in tests.iter().enumerate() {
        assert!(broker.recovery_report().clean);
        assert_eq!(end(broker), 100, "{number}");
        (0..number).for_each(|_| send(broker, "own"));
        let consumer = member(broker);
        assert_eq!(consumer.poll(LONG).unwrap().len(), 60 + number);
        consumer.commit().unwrap();
    }
    assert_eq!((end(&fixture), end(&tests[0]), end(&tests[2])), (101, 100, 102));
    // The fixture's member is still in its group, and its broker open.
    consumer.commit_offsets(&position(41)).unwrap();
    fixture.close().unwrap();
    let clock = MockClock::at_millis(NOW);
    let broker = snapshot.settings().clock(&clock).open().unwrap();
    assert_eq!(member(&broker).poll(Duration::ZERO).unwrap().len(), 60);
    let copy_of_copy = broker.snapshot().unwrap().open().unwrap();
    assert_eq!(end(&copy_of_copy), 100);
}

#[test]
fn a_simulated_disk_can_be_copied_too() {
    let disk = SimStorage::new();
    let broker = Broker::builder().storage(disk.storage()).open().unwrap();
    send(&broker, "1");
    let copy = broker.snapshot().unwrap().open().unwrap();
    send(&copy, "2");
    assert_eq!((end(&broker), end(&copy)), (1, 2));
}
