use std::time::Duration;

use crate::homes::*;
use logreel::{
    Broker, Consumer, ErrorCode, ErrorKind, NewTopic, OffsetAndMetadata, OffsetReset, Offsets,
    ProducerRecord,
};

fn member(broker: &Broker, group: &str) -> Consumer {
    broker
        .consumer()
        .group_id(group)
        .auto_offset_reset(OffsetReset::Earliest)
        .enable_auto_commit(false)
        .build()
        .unwrap()
}

fn fill(broker: &Broker, count: i32) {
    let producer = broker.producer().build().unwrap();
    for i in 0..count {
        producer.send(ProducerRecord::to("t").value(i.to_string()).partition(i % 2)).forget();
    }
    producer.flush(10 * SECOND).unwrap();
}

#[test]
fn t002_a_restarted_member_goes_on_at_the_committed_offset() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        fill(&broker, 20);
        let consumer = member(&broker, "g");
        consumer.subscribe(["t"]).unwrap();
        let mut seen = 0;
        while seen < 20 {
            seen += consumer.poll(SECOND).unwrap().len();
        }
        assert_eq!(consumer.committed(&("t", 0).into()).unwrap(), None, "line 9: None, not 0");
        consumer.commit().unwrap();
        fill(&broker, 4);
        assert_eq!(drain(&consumer).len(), 4, "read, not committed");
        consumer.close().unwrap();
        broker.close().unwrap();

        let broker = home.open();
        let consumer = member(&broker, "g");
        consumer.subscribe(["t"]).unwrap();
        let again = drain(&consumer);
        let offsets: Vec<(i32, i64)> = again.iter().map(|r| (r.partition, r.offset)).collect();
        assert_eq!(offsets, [(0, 10), (0, 11), (1, 10), (1, 11)]);
        // Line 14: another group has its own.
        drop(consumer);
        let other = member(&broker, "h");
        other.subscribe(["t"]).unwrap();
        assert_eq!(drain(&other).len(), 24);
        assert_eq!(broker.groups().unwrap(), ["g", "h"]);
    }
}

/// A poll does not wait for the commit it asks for.
fn settle(consumer: &Consumer) {
    consumer.commit_offsets(&Offsets::new()).unwrap();
}

#[test]
fn t004_auto_commit_covers_what_earlier_polls_returned() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        fill(&broker, 10);
        let consumer = broker
            .consumer()
            .group_id("g")
            .auto_offset_reset(OffsetReset::Earliest)
            .auto_commit_interval(Duration::ZERO)
            .max_poll_records(3)
            .build()
            .unwrap();
        consumer.subscribe(["t"]).unwrap();
        let first = consumer.poll(SECOND).unwrap();
        assert_eq!(first.len(), 3);
        let committed = |broker: &Broker| -> i64 {
            let offsets = broker.committed_offsets("g").unwrap();
            offsets.iter().map(|(_, o)| o.offset()).sum()
        };
        assert_eq!(committed(&broker), 0);
        assert_eq!(consumer.poll(SECOND).unwrap().len(), 3);
        settle(&consumer);
        assert_eq!(committed(&broker), 3);
        consumer.close().unwrap();
        assert_eq!(committed(&broker), 6, "close commits");

        // Line 7: a drop commits nothing, and without auto-commit neither does a close.
        let consumer = broker.consumer().group_id("g").build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(consumer.poll(SECOND).unwrap().len(), 4);
        drop(consumer);
        assert_eq!(committed(&broker), 6);
        let consumer = member(&broker, "g");
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(drain(&consumer).len(), 4);
        consumer.close().unwrap();
        assert_eq!(committed(&broker), 6);
    }
}

#[test]
fn t010_metadata_comes_back_and_has_a_limit() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic("t").unwrap();
        let consumer = member(&broker, "g");
        consumer.assign([("t", 0)]).unwrap();
        let tp = ("t", 0).into();
        let mut offsets = Offsets::new();
        offsets.set(("t", 0), OffsetAndMetadata::new(5).with_metadata("x".repeat(4096)));
        consumer.commit_offsets(&offsets).unwrap();
        let stored = consumer.committed(&tp).unwrap().unwrap();
        assert_eq!((stored.offset(), stored.metadata().len()), (5, 4096));
        offsets.set(("t", 0), OffsetAndMetadata::new(6).with_metadata("x".repeat(4097)));
        let error = consumer.commit_offsets(&offsets).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OffsetMetadataTooLarge));
        offsets.set(("t", 0), -1);
        assert!(consumer.commit_offsets(&offsets).is_err(), "line 12");
        assert_eq!(consumer.committed(&tp).unwrap().unwrap().offset(), 5);
        // Line 11: past the end is accepted; the next fetch resets.
        offsets.set(("t", 0), 1_000_000);
        consumer.commit_offsets(&offsets).unwrap();
        let again = member(&broker, "g");
        again.assign([("t", 0)]).unwrap();
        assert!(again.poll(Duration::ZERO).unwrap().is_empty());
        assert_eq!(again.position(&tp).unwrap(), 0);
    }
}

fn fill_one(broker: &Broker) {
    broker.producer().build().unwrap().send(ProducerRecord::to("t").value("x")).wait().unwrap();
}

#[test]
fn t040_subscribe_and_assign_exclude_each_other() {
    for home in homes() {
        let broker = home.open();
        let consumer = member(&broker, "g");
        let error = consumer.poll(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IllegalState);
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(consumer.assign([("t", 0)]).unwrap_err().kind(), ErrorKind::IllegalState);
        consumer.unsubscribe().unwrap();
        consumer.assign([("t", 0)]).unwrap();
        assert_eq!(consumer.subscribe(["t"]).unwrap_err().kind(), ErrorKind::IllegalState);

        // Line 42: without a group.
        let loner = broker.consumer().build().unwrap();
        let error = loner.subscribe(["t"]).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidGroupId));
        loner.assign([("t", 0)]).unwrap();
        assert_eq!(loner.commit().unwrap_err().code(), Some(ErrorCode::InvalidGroupId));
        let empty = broker.consumer().group_id("").build().unwrap();
        assert_eq!(empty.subscribe(["t"]).unwrap_err().code(), Some(ErrorCode::InvalidGroupId));
    }
}

#[test]
fn groups_of_fifty_partitions_live_where_kafka_puts_them() {
    for home in homes() {
        let broker = home.builder().offsets_topic_partitions(50).open().unwrap();
        fill_one(&broker);
        let consumer = member(&broker, "my-group");
        consumer.subscribe(["t"]).unwrap();
        consumer.poll(SECOND).unwrap();
        consumer.commit().unwrap();
        let offsets = broker.topic("__consumer_offsets").unwrap();
        let written: Vec<i32> = offsets
            .partitions()
            .iter()
            .filter(|p| p.log_end_offset() > 0)
            .map(|p| p.topic_partition().partition())
            .collect();
        assert_eq!(written, [12], "abs(javaStringHash) % 50");
    }
}
