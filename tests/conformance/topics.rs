//! Topics: their names, their partitions, and altering them while they are in use.

use crate::homes::*;
use logreel::{
    Acks, Broker, ConfigChange, ErrorCode, NewTopic, ProducerRecord, TimestampType, Topic,
};

fn names(broker: &Broker) -> Vec<String> {
    broker.topics().unwrap().iter().map(|topic| topic.name().to_owned()).collect()
}

fn alter(home: &Home, topic: &Topic, key: &str, value: &str) {
    home.ok(topic.alter_config([ConfigChange::set(key, value)]));
}

#[test]
fn t117_names_that_kafka_refuses_make_no_topic() {
    for home in homes() {
        let broker = home.open();
        home.ok(broker.create_topic("a.b_c"));
        let collide = ["a_b_c", "a.b.c", "a_b.c"];
        let (long, longest) = ("x".repeat(250), "x".repeat(249));
        let bad = ["", ".", "..", "a/b", "../x", "a b", "a:b", "a\0", "\u{e4}", long.as_str()];
        for name in collide.into_iter().chain(bad) {
            home.fails(broker.create_topic(name), ErrorCode::InvalidTopic);
            home.fails(broker.validate_topic(name), ErrorCode::InvalidTopic);
        }
        home.ok(broker.create_topic(longest.as_str()));
        home.ok(broker.create_topic("A.b_c"));
        assert_eq!(names(&broker), ["A.b_c".to_owned(), "a.b_c".to_owned(), longest], "{home}");
        // A name is free again when its topic is gone.
        home.ok(broker.delete_topic("a.b_c"));
        home.ok(broker.create_topic("a_b.c"));
    }
}

#[test]
fn t118_partitions_are_added_and_never_taken_away() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        put(&broker, 2, &["kept".to_owned()]);
        for total in [-1, 0, 1, 2, 3] {
            home.fails(broker.create_partitions("t", total), ErrorCode::InvalidPartitions);
            assert_eq!(broker.topic("t").unwrap().partition_count(), 3, "{home}");
        }
        home.fails(broker.create_partitions("u", 5), ErrorCode::UnknownTopicOrPartition);
        home.ok(broker.create_partitions("t", 5));
        put(&broker, 4, &["new".to_owned()]);
        home.ok(broker.close());
        let broker = home.open();
        assert_eq!(broker.topic("t").unwrap().partition_count(), 5, "{home}");
        assert_eq!(values(&broker, "t", 2), ["kept"], "{home}");
        assert_eq!(values(&broker, "t", 4), ["new"], "{home}");
    }
}

#[test]
fn t119_an_existing_topic_is_not_created_and_validate_only_creates_none() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 1, &["kept".to_owned()]);
        let id = broker.topic("t").unwrap().id();
        for again in [NewTopic::new("t"), NewTopic::new("t").partitions(8)] {
            home.fails(broker.create_topic(again.clone()), ErrorCode::TopicAlreadyExists);
            home.fails(broker.validate_topic(again), ErrorCode::TopicAlreadyExists);
        }
        let topic = broker.topic("t").unwrap();
        assert_eq!((topic.id(), topic.partition_count()), (id, 2), "{home}");
        assert_eq!(values(&broker, "t", 1), ["kept"], "{home}");

        home.ok(broker.validate_topic(NewTopic::new("u").partitions(9)));
        let new = || NewTopic::new("u");
        home.fails(broker.validate_topic(new().partitions(0)), ErrorCode::InvalidPartitions);
        let copies = new().replication_factor(3);
        home.fails(broker.validate_topic(copies), ErrorCode::InvalidReplicationFactor);
        let unknown = new().set("no.such", "1");
        home.fails(broker.validate_topic(unknown), ErrorCode::InvalidConfig);
        let lags = new().set("min.compaction.lag.ms", "2").set("max.compaction.lag.ms", "1");
        home.fails(broker.validate_topic(lags.clone()), ErrorCode::InvalidConfig);
        home.fails(broker.create_topic(lags), ErrorCode::InvalidConfig);
        assert_eq!(names(&broker), ["t"], "{home}");
        if let Some(dir) = home.dir() {
            assert!(!dir.join("u-0").exists(), "{home}");
        }
        home.ok(broker.create_topic(new().partitions(9)));
    }
}

#[test]
fn t120_a_smaller_segment_is_rolled_at_the_next_append() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let topic = broker.topic("t").unwrap();
        let log = partition(&broker, "t", 0);
        for n in 0..3 {
            put(&broker, 0, &[format!("a{n}")]);
        }
        assert_eq!(log.segments().len(), 1, "{home}");
        alter(&home, &topic, "segment.bytes", "150");
        put(&broker, 0, &["b0".to_owned()]);
        let bases = || log.segments().iter().map(|s| s.base_offset).collect::<Vec<_>>();
        assert_eq!(bases(), [0, 3], "{home}: the next append rolls");
        home.ok(topic.alter_config([ConfigChange::delete("segment.bytes")]));
        for n in 1..9 {
            put(&broker, 0, &[format!("b{n}")]);
        }
        assert_eq!(bases(), [0, 3], "{home}: the next one does not");

        alter(&home, &topic, "segment.ms", "1000");
        home.pass(ms(1001));
        put(&broker, 0, &["c".to_owned()]);
        assert_eq!(bases(), [0, 3, 12], "{home}: nor is time waited for twice");
        drop((topic, log));
        home.ok(broker.close());
        let broker = home.open();
        let config = broker.topic("t").unwrap().config();
        assert_eq!(config.get("segment.ms"), Some("1000"), "{home}");
        assert_eq!(config.get("segment.bytes"), Some("1073741824"), "{home}");
        assert_eq!(values(&broker, "t", 0).len(), 13, "{home}");
    }
}

#[test]
fn t120_other_limits_and_stamps_are_those_of_the_next_append() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let topic = broker.topic("t").unwrap();
        let producer = broker.producer().build().unwrap();
        let large = || value("x".repeat(200)).timestamp(home.now() - 5000);
        home.ok(producer.send(large()).wait());
        alter(&home, &topic, "max.message.bytes", "200");
        home.fails(producer.send(large()).wait(), ErrorCode::MessageTooLarge);
        alter(&home, &topic, "max.message.bytes", "300");

        alter(&home, &topic, "message.timestamp.type", "LogAppendTime");
        let begun = home.now();
        let stamped = home.ok(producer.send(large()).wait());
        assert!(stamped.timestamp() >= begun, "{home}");
        let records = read(&broker, "t", 0);
        let kinds: Vec<TimestampType> = records.iter().map(|r| r.timestamp_type).collect();
        assert_eq!(kinds, [TimestampType::CreateTime, TimestampType::LogAppendTime], "{home}");
        assert!(records[0].timestamp < Some(begun) && records[1].timestamp >= Some(begun));

        alter(&home, &topic, "message.timestamp.type", "CreateTime");
        alter(&home, &topic, "message.timestamp.before.max.ms", "4000");
        home.fails(producer.send(large()).wait(), ErrorCode::InvalidTimestamp);
        alter(&home, &topic, "min.insync.replicas", "2");
        let refused = broker.producer().delivery_timeout(ms(100)).build().unwrap();
        home.err(refused.send(value("x")).wait());
        let leader = broker.producer().acks(Acks::Leader).build().unwrap();
        home.ok(leader.send(value("x")).wait());
        home.ok(topic.alter_config([ConfigChange::delete("min.insync.replicas")]));
        alter(&home, &topic, "cleanup.policy", "compact");
        home.fails(producer.send(value("no key")).wait(), ErrorCode::InvalidRecord);
        home.ok(producer.send(ProducerRecord::to("t").key("k").value("x")).wait());
    }
}

/// Also that of a batch which was opened before: in Kafka the log compresses, not the client.
#[test]
fn t120_another_codec_is_that_of_the_next_append() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let topic = broker.topic("t").unwrap();
        let producer = broker.producer().linger(LONG).build().unwrap();
        let text = "compressible ".repeat(60);
        let mut sizes = Vec::new();
        let mut sent = 0;
        for codec in ["producer", "zstd", "gzip", "uncompressed"] {
            let early = producer.send(value(text.as_str()));
            alter(&home, &topic, "compression.type", codec);
            home.ok(producer.flush(LONG));
            home.ok(early.wait());
            put(&broker, 0, std::slice::from_ref(&text));
            let size = partition(&broker, "t", 0).size();
            sizes.push(size - sent);
            sent = size;
        }
        let is_small: Vec<bool> = sizes.iter().map(|size| *size < 700).collect();
        assert_eq!(is_small, [false, true, true, false], "{home}: {sizes:?}");
        assert!(values(&broker, "t", 0).iter().all(|read| *read == text), "{home}");
    }
}
