//! Records as lines of JSON.

use logreel::testing::MockClock;
use logreel::{Broker, ErrorCode, NewTopic, ProducerRecord, Record};

fn broker() -> Broker {
    Broker::builder().clock(MockClock::at_millis(1_700_000_000_000)).open().unwrap()
}

fn plain(records: &[Record]) -> Vec<String> {
    let parts = |r: &Record| {
        format!(
            "{} {} {:?} {:?} {:?} {:?}",
            r.partition, r.offset, r.timestamp, r.key, r.value, r.headers
        )
    };
    records.iter().map(parts).collect()
}

#[test]
fn what_is_written_is_read_again() {
    let old = broker();
    old.create_topic(NewTopic::new("t").partitions(3)).unwrap();
    old.testing().topic("t").seed(2, 40, [(Some("first"), Some("at 40"))]).unwrap();
    let producer = old.producer().build().unwrap();
    let record = || ProducerRecord::to("t").partition(2);
    let all = [
        record().key("k").value("v").header("a", "1").header("a", "2").timestamp(5),
        record().value([0_u8, 255, 10]).timestamp(4),
        record().key("").value(""),
        record().key("tombstone"),
        ProducerRecord::to("t").partition(0).value("line\n\"two\""),
    ];
    for record in all {
        producer.send(record).wait().unwrap();
    }
    let mut lines = Vec::new();
    assert_eq!(old.testing().topic("t").write_json(&mut lines).unwrap(), 6);
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 6);
    let new = broker();
    assert_eq!(new.testing().topic("t").load_json(&lines[..]).unwrap(), 6);
    let (was, is) = (old.testing().topic("t").records(), new.testing().topic("t").records());
    assert_eq!(plain(&was.unwrap()), plain(&is.unwrap()));
    assert_eq!(new.topic("t").unwrap().partition_count(), 3);
    // Once more: behind what is there.
    assert_eq!(new.testing().topic("t").load_json(&lines[..]).unwrap(), 6);
    assert_eq!(new.topic("t").unwrap().partition(2).unwrap().log_end_offset(), 50);
    assert_eq!(new.testing().topic("t").load_json(&b""[..]).unwrap(), 0);
}

#[test]
fn a_line_that_is_none_is_named_and_nothing_is_appended() {
    let good = r#"{"topic":"t","partition":0,"offset":0,"timestamp":1,"key":null,"value":null}"#;
    for (bad, why) in [
        ("{", "line 2 is no record of t: no JSON"),
        (r#"{"topic":"u","partition":0,"offset":0}"#, "it names another topic, or none"),
        (r#"{"partition":0,"offset":0}"#, "it names another topic, or none"),
        (r#"{"topic":"t","offset":0}"#, "it has no partition"),
        (r#"{"topic":"t","partition":-1,"offset":0}"#, "it has no partition"),
        (r#"{"topic":"t","partition":3000000000,"offset":0}"#, "it has no partition"),
        (r#"{"topic":"t","partition":0}"#, "it has no offset"),
        (r#"{"topic":"t","partition":0,"offset":1.5}"#, "it has no offset"),
        (r#"{"topic":"t","partition":0,"offset":0,"key":"~"}"#, "bytes are not in base64"),
        (r#"{"topic":"t","partition":0,"offset":0,"value":7}"#, "bytes are not in base64"),
        (r#"{"topic":"t","partition":0,"offset":0,"headers":7}"#, "its headers are no list"),
        (r#"{"topic":"t","partition":0,"offset":0,"headers":[[]]}"#, "a header has no name"),
    ] {
        let broker = broker();
        let lines = format!("{good}\n{bad}\n");
        let error = broker.testing().topic("t").load_json(lines.as_bytes()).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidRecord));
        assert!(error.to_string().contains(why), "{bad}: {error}");
        assert!(broker.topic("t").is_err(), "{bad}");
    }
    let broker = broker();
    let lines = format!("\n{good}\n\n");
    assert_eq!(broker.testing().topic("t").load_json(lines.as_bytes()).unwrap(), 1);
    // A topic that has too few partitions is not changed.
    let other = good.replace("\"partition\":0", "\"partition\":1");
    let error = broker.testing().topic("t").load_json(other.as_bytes()).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
}
