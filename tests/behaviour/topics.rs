use crate::homes::*;
use logreel::{CleanupPolicy, ErrorCode, ErrorKind, NewTopic, ProducerRecord};

#[test]
fn topics_and_their_configuration_survive_a_reopen() {
    for home in homes() {
        let broker = home.open();
        let users = NewTopic::new("users")
            .partitions(3)
            .cleanup_policy(CleanupPolicy::Compact)
            .set("retention.ms", "1000");
        let id = broker.create_topic(users).unwrap().id();
        broker.create_topic("plain").unwrap();
        broker.close().unwrap();

        let broker = home.open();
        assert!(broker.recovery_report().clean);
        let names: Vec<String> =
            broker.topics().unwrap().iter().map(|t| t.name().to_owned()).collect();
        assert_eq!(names, ["plain", "users"]);
        let users = broker.topic("users").unwrap();
        assert_eq!((users.id(), users.partition_count()), (id, 3));
        assert_eq!(users.config().cleanup_policy(), CleanupPolicy::Compact);
        assert_eq!(users.config().get("retention.ms"), Some("1000"));
        assert_eq!(users.config().get("no.such.key"), None);
    }
}

#[test]
fn t119_an_existing_topic_is_not_created_again() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic("t").unwrap();
        let error = broker.create_topic(NewTopic::new("t").partitions(8)).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::TopicAlreadyExists));
        assert_eq!(broker.topic("t").unwrap().partition_count(), 1);
    }
}

#[test]
fn t117_names_outside_kafkas_rules_are_refused_and_make_nothing() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic("a.b").unwrap();
        for name in ["", ".", "..", "../x", "a/b", "a b", "a_b", &"x".repeat(250), "\u{e9}", "a\0"]
        {
            let error = broker.create_topic(name).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::InvalidTopic), "{name:?}");
            assert!(error.to_string().len() < 300, "{error}");
        }
        broker.create_topic("x".repeat(249)).unwrap();
        assert_eq!(broker.topics().unwrap().len(), 2);
        if let Some(dir) = home.dir() {
            assert!(!dir.parent().unwrap().join("x-0").exists());
        }
    }
}

#[test]
fn t118_partitions_can_only_grow() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        for total in [-1, 0, 1, 2, 100_001] {
            let error = broker.create_partitions("t", total).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::InvalidPartitions), "{total}");
        }
        broker.create_partitions("t", 5).unwrap();
        assert_eq!(broker.topic("t").unwrap().partition_count(), 5);
        let error = broker.create_partitions("nowhere", 5).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
        broker.close().unwrap();
        assert_eq!(home.open().topic("t").unwrap().partition_count(), 5);
    }
}

#[test]
fn absurd_topics_are_refused() {
    for home in homes() {
        let broker = home.open();
        for count in [0, -3, 100_001] {
            let error = broker.create_topic(NewTopic::new("t").partitions(count)).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::InvalidPartitions));
        }
        let error = broker.create_topic(NewTopic::new("t").replication_factor(3)).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidReplicationFactor));
        let error =
            broker.create_topic(NewTopic::new("t").set("retention.hours", "1")).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidConfig));
        assert!(broker.topics().unwrap().is_empty());
    }
}

#[test]
fn t027_a_topic_made_anew_has_nothing_of_the_old_one() {
    for home in homes() {
        let broker = home.open();
        let old = broker.create_topic("t").unwrap();
        let producer = broker.producer().build().unwrap();
        for _ in 0..3 {
            producer.send(ProducerRecord::to("t").value("old")).wait().unwrap();
        }
        let kept = old.partition(0).unwrap().read(0, 1 << 20).unwrap();
        broker.delete_topic("t").unwrap();
        assert_eq!(broker.topic("t").unwrap_err().code(), Some(ErrorCode::UnknownTopicOrPartition));
        assert_eq!(kept.len(), 3, "batches in readers' hands stay valid");
        assert!(kept.iter().all(|r| r.value() == Some(b"old")));
        assert!(old.partition(0).unwrap().append([(None, Some("x"))]).is_err());

        let new = broker.create_topic("t").unwrap();
        assert_ne!(new.id(), old.id());
        let placed = producer.send(ProducerRecord::to("t").value("new")).wait().unwrap();
        assert_eq!(placed.offset(), Some(0));
        drop((old, new, producer));
        broker.close().unwrap();
        let broker = home.open();
        let records = read_all(&broker, "t", 0);
        assert_eq!(records.len(), 1);
        assert_eq!(text(&records[0].value).unwrap(), "new");
    }
}

#[test]
fn internal_topics_are_not_the_users() {
    for home in homes() {
        let broker = home.open();
        let consumer = broker.consumer().group_id("g").build().unwrap();
        consumer.assign([("t", 0)]).unwrap();
        consumer.poll(std::time::Duration::ZERO).unwrap();
        consumer.commit().unwrap();
        let offsets = broker.topic("__consumer_offsets").unwrap();
        let error = offsets.partition(0).unwrap().append([(None, Some("x"))]).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidTopic));
        let producer = broker.producer().build().unwrap();
        let error =
            producer.send(ProducerRecord::to("__consumer_offsets").value("x")).wait().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidTopic));
        let error = broker.delete_topic("__consumer_offsets").unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidTopic));
    }
}

#[test]
fn unknown_broker_keys_fail_the_open() {
    for home in homes() {
        let error = home.builder().set("log.dirs", "/x").open().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidConfig));
        assert_ne!(error.kind(), ErrorKind::DirectoryLocked);
        home.open();
    }
}
