//! Looking into topics, filling them, and having their logs looked after out of turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use logreel::testing::{MockClock, SimStorage, TopicProbe};
use logreel::{
    Acks, Broker, CleanupPolicy, ErrorCode, ErrorKind, NewTopic, OffsetReset, Partition,
    ProducerRecord, Record,
};

const NOW: i64 = 1_700_000_000_000;
const LONG: Duration = Duration::from_secs(60);

fn values(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| record.value.as_ref().map(|value| value.to_vec());
    records
        .iter()
        .map(|record| String::from_utf8(text(record).unwrap_or(b"null".to_vec())).unwrap())
        .collect()
}

fn send(broker: &Broker, topic: &str, key: &str, value: &str) {
    let producer = broker.producer().build().unwrap();
    producer.send(ProducerRecord::to(topic).key(key).value(value)).wait().unwrap();
}

fn log(broker: &Broker, topic: &str) -> Partition {
    broker.topic(topic).unwrap().partition(0).unwrap()
}

#[test]
fn a_probe_sees_what_readers_see_and_what_they_do_not() {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    let mut producer = broker.producer().build_transactional("p").unwrap();
    let record = |partition: i32, value: &'static str| {
        ProducerRecord::to("t").partition(partition).value(value)
    };
    let transaction = producer.begin().unwrap();
    transaction.send(record(1, "aborted")).wait().unwrap();
    transaction.abort().unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send(record(1, "committed")).wait().unwrap();
    transaction.commit().unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send(record(0, "open")).wait().unwrap();
    let probe = broker.testing().topic("t");
    assert_eq!(values(&probe.records().unwrap()), ["open", "aborted", "committed"]);
    assert_eq!(values(&probe.committed_records().unwrap()), ["committed"]);
    probe.expect().value("open").never();
    probe.expect().value("open").uncommitted().once();
    drop(transaction);
    let error = broker.testing().topic("no").records().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
}

#[test]
fn expectations_look_at_keys_values_headers_and_partitions() {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    let producer = broker.producer().build().unwrap();
    let record = ProducerRecord::to("t").partition(1).key("k").value("v").header("trace", "1");
    producer.send(record).wait().unwrap();
    producer.send(ProducerRecord::to("t").partition(0).key("k").value("w")).wait().unwrap();
    let expect = || broker.testing().topic("t").expect();
    expect().times(2);
    expect().key("k").times(2);
    expect().key("k").value("v").once();
    expect().header("trace", "1").once();
    expect().header("trace", "2").never();
    expect().header("other", "1").never();
    expect().partition(1).once();
    expect().partition(2).never();
    expect().matching(|record| record.offset == 0).times(2);
    expect().matching(|_| false).times(0);
}

fn failure(expectation: impl FnOnce()) -> String {
    let failed = catch_unwind(AssertUnwindSafe(expectation)).unwrap_err();
    failed.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn an_expectation_that_fails_shows_the_log_and_the_groups() {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    for n in 0..12 {
        send(&broker, "t", "k", &format!("v{n}"));
    }
    let consumer = broker.group("g").join(["t"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    consumer.commit_offsets(&[(("t", 0), 5)].into_iter().collect()).unwrap();
    broker.group("elsewhere").alter_offsets(&[(("t", 0), 1)].into_iter().collect()).unwrap();
    let expect = || broker.testing().topic("t").expect();
    let second = Duration::from_secs(1);
    let said = failure(|| expect().key("k").value("x").within(second).once());
    let mut lines = said.lines();
    let first = r#"topic t: expected 1 records (key "k", value "x") within 1s, found 0"#;
    assert_eq!(lines.next(), Some(first));
    assert_eq!(lines.next(), Some("partition 0: 0..12, last stable 12"));
    assert_eq!(lines.next(), Some(r#"  2: key "k", value "v2""#), "the last ten");
    assert_eq!(lines.nth(8), Some(r#"  11: key "k", value "v11""#));
    assert_eq!(lines.next(), Some("group elsewhere: Empty"));
    assert_eq!(lines.next(), Some("  t-0: committed Some(1), lag Some(11)"));
    assert_eq!(lines.next(), Some("group g: Stable"));
    assert!(lines.next().unwrap().starts_with("  consumer-g-1-"), "{said}");
    assert_eq!(lines.next(), Some("  t-0: committed Some(5), lag Some(7)"));
    assert_eq!(clock.wall_millis(), NOW + 1000, "it waited on the broker's clock");

    assert!(failure(|| expect().key("k").once()).contains("expected 1 records"));
    assert!(failure(|| expect().key("k").times(13)).contains("found 12"));
    assert!(failure(|| expect().key("k").never()).contains("expected no record"));
    let said = failure(|| expect().in_order(["v2", "v1"]));
    assert!(said.contains(r#"in one partition the values "v2", "v1""#), "{said}");
    let no = broker.testing().topic("no");
    assert!(failure(|| no.expect().once()).ends_with("the topic does not exist"));
    no.expect().never();
    let long = "x".repeat(100);
    send(&broker, "t", "k", &long);
    assert!(failure(|| expect().value("y").once()).contains(&format!("\"{}\"..", &long[..60])));
}

#[test]
fn expectations_wait_on_the_log_itself() {
    let broker = Broker::in_memory();
    let waiting = std::thread::spawn({
        let broker = broker.clone();
        move || broker.testing().topic("t").expect().value("late").within(LONG).once()
    });
    send(&broker, "t", "k", "early");
    send(&broker, "t", "k", "late");
    waiting.join().unwrap();
    // A batch that lingers is run by whoever waits, on a clock that moves for it.
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).topic("t").open().unwrap();
    let producer = broker.producer().linger(Duration::from_secs(5)).build().unwrap();
    producer.send(ProducerRecord::to("t").value("lingers")).forget();
    broker.testing().topic("t").expect().within(LONG).once();
    assert_eq!(clock.wall_millis(), NOW + 5000);
    broker.testing().topic("t").expect().value("never").within(LONG).never();
    assert_eq!(clock.wall_millis(), NOW + 65_000);
}

#[test]
fn values_in_order_lie_in_one_partition() {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    let producer = broker.producer().build().unwrap();
    for (partition, value) in [(0, "a"), (1, "b"), (0, "x"), (0, "c"), (1, "d"), (0, "a")] {
        producer.send(ProducerRecord::to("t").partition(partition).value(value)).wait().unwrap();
    }
    let expect = || broker.testing().topic("t").expect();
    expect().in_order(["a", "c", "a"]);
    expect().in_order(["b", "d"]);
    expect().in_order::<&str>([]);
    failure(|| expect().in_order(["a", "b"]));
    failure(|| expect().in_order(["c", "x"]));
    failure(|| expect().partition(1).in_order(["a"]));
}

#[test]
fn a_partition_is_seeded_from_an_offset_on() {
    let disk = SimStorage::new();
    let broker = Broker::builder().storage(disk.storage()).open().unwrap();
    broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    let probe = broker.testing().topic("t");
    let far = i64::from(i32::MAX) * 10;
    probe.seed(1, far, [(Some("a"), Some("1")), (None, Some("2")), (Some("b"), None)]).unwrap();
    let check = |broker: &Broker| {
        let log = broker.topic("t").unwrap().partition(1).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (far, far + 3));
        let records = broker.testing().topic("t").records().unwrap();
        assert_eq!(values(&records), ["1", "2", "null"]);
        assert_eq!(records[0].offset, far);
        let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
        consumer.assign([("t", 1)]).unwrap();
        assert_eq!(consumer.poll(LONG).unwrap().len(), 3);
    };
    check(&broker);
    let nothing: [(Option<&str>, Option<&str>); 0] = [];
    probe.seed(0, 7, nothing).unwrap();
    assert_eq!(log(&broker, "t").log_end_offset(), 7);
    // Once there is something, it is too late.
    for offset in [0, far + 10] {
        let error = probe.seed(1, offset, nothing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IllegalState);
    }
    assert_eq!(
        probe.seed(2, 0, nothing).unwrap_err().code(),
        Some(ErrorCode::UnknownTopicOrPartition)
    );
    let broker = broker.testing().restart().unwrap();
    check(&broker);
    let broker = broker.testing().kill().unwrap();
    check(&broker);
    let broker = broker.testing().cut_power(3).unwrap();
    // What was appended was not synced; where the log begins was.
    let log = broker.topic("t").unwrap().partition(1).unwrap();
    assert_eq!(log.log_start_offset(), far);
    log.append([(Some("k"), Some("more"))]).unwrap();
    broker.close().unwrap();
}

fn filled(probe: &TopicProbe, broker: &Broker) {
    for n in 0..6 {
        send(broker, "t", &format!("k{}", n % 2), &n.to_string());
    }
    probe.roll_segments().unwrap();
}

#[test]
fn logs_are_looked_after_out_of_turn() {
    let clock = MockClock::at_millis(NOW);
    let compact = NewTopic::new("t").cleanup_policy(CleanupPolicy::Compact);
    let broker = Broker::builder().clock(&clock).topic(compact).open().unwrap();
    let probe = broker.testing().topic("t");
    for _ in 0..2 {
        filled(&probe, &broker);
        probe.compact().unwrap();
        assert_eq!(values(&probe.records().unwrap()), ["4", "5"]);
        // With nothing to gain nothing happens.
        probe.compact().unwrap();
    }
    assert_eq!(log(&broker, "t").log_end_offset(), 12);
    probe.roll_segments().unwrap();
    probe.roll_segments().unwrap();
    assert_eq!(log(&broker, "t").segments().last().unwrap().base_offset, 12);

    let delete = NewTopic::new("t").set("retention.ms", "1000");
    let broker = Broker::builder().clock(&clock).topic(delete).open().unwrap();
    let probe = broker.testing().topic("t");
    filled(&probe, &broker);
    probe.apply_retention().unwrap();
    assert_eq!(probe.records().unwrap().len(), 6);
    clock.set_wall_millis(NOW + 1001);
    probe.apply_retention().unwrap();
    assert_eq!(probe.records().unwrap().len(), 0);
    assert_eq!(log(&broker, "t").log_start_offset(), 6);
    assert_eq!(probe.compact().unwrap_err().kind(), ErrorKind::IllegalState);
    let no = broker.testing().topic("no");
    assert!(no.compact().is_err() && no.apply_retention().is_err() && no.roll_segments().is_err());
}

#[test]
fn what_is_probed_is_not_struck_and_not_written_down() {
    use logreel::testing::OpKind;
    let broker = Broker::in_memory();
    send(&broker, "t", "k", "v");
    broker.testing().record_history();
    let fault = broker.testing().faults().on(OpKind::Fetch).surface(ErrorCode::RequestTimedOut);
    assert_eq!(broker.testing().topic("t").records().unwrap().len(), 1);
    assert_eq!((fault.hits(), broker.testing().history().len()), (0, 0));
    let _ = Acks::All;
}
