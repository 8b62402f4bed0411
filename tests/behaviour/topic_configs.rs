//! Altering topics' configurations, offsets of many partitions, the room that logs take, and
//! topics that are deleted under their readers.

use std::time::Duration;

use crate::homes::*;
use logreel::testing::{Fault, FaultKind, FaultOp, SimStorage};
use logreel::{
    Broker, ConfigChange, ErrorCode, ErrorKind, IsolationLevel, NewTopic, OffsetReset, OffsetSpec,
    ProducerRecord, Storage,
};

fn set(key: &str, value: &str) -> [ConfigChange; 1] {
    [ConfigChange::set(key, value)]
}

fn value_of(broker: &Broker, key: &str) -> String {
    broker.topic("t").unwrap().config().get(key).unwrap().to_owned()
}

#[test]
fn a_configuration_is_altered_wholly_or_not_at_all_and_survives() {
    for home in homes() {
        let broker = home.open();
        let topic = broker.create_topic(NewTopic::new("t").set("retention.ms", "5")).unwrap();
        topic
            .alter_config([
                ConfigChange::set("segment.ms", "7"),
                ConfigChange::delete("retention.ms"),
                ConfigChange::append("cleanup.policy", "compact"),
            ])
            .unwrap();
        let before = topic.config();
        let refused = [
            (vec![ConfigChange::set("flush.ms", "1"), ConfigChange::set("no.such", "1")], 40),
            (vec![ConfigChange::set("flush.ms", "1"), ConfigChange::set("segment.ms", "0")], 40),
            (vec![ConfigChange::set("flush.ms", "1"), ConfigChange::delete("flush.ms")], 42),
            (vec![ConfigChange::append("flush.ms", "1")], 40),
            (vec![ConfigChange::subtract("cleanup.policy", "compact,delete")], 40),
        ];
        for (changes, code) in refused {
            let error = topic.alter_config(changes.clone()).unwrap_err();
            assert_eq!(error.code().unwrap().number(), code, "{changes:?}: {error}");
            assert_eq!(topic.config(), before);
        }
        topic.alter_config([]).unwrap();
        let error = broker.alter_topic_config("nowhere", []).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));

        // Partitions that come later have it too.
        topic.alter_config(set("max.message.bytes", "100")).unwrap();
        broker.create_partitions("t", 2).unwrap();
        let large = "x".repeat(100);
        for number in 0..2 {
            let log = topic.partition(number).unwrap();
            let error = log.append([(Some("k"), Some(large.as_str()))]).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge));
        }
        let wanted = topic.config();
        drop(topic);
        broker.close().unwrap();
        let broker = home.open();
        let topic = broker.topic("t").unwrap();
        assert_eq!(topic.config(), wanted);
        let sets: Vec<(&str, &str)> = wanted.overrides().collect();
        assert_eq!(
            sets,
            [
                ("cleanup.policy", "delete,compact"),
                ("max.message.bytes", "100"),
                ("segment.ms", "7")
            ]
        );
        let log = topic.partition(1).unwrap();
        assert!(log.append([(Some("k"), Some(large.as_str()))]).is_err());
    }
}

#[test]
fn a_handle_of_a_deleted_topic_alters_nothing() {
    for home in homes() {
        let broker = home.open();
        let old = broker.create_topic("t").unwrap();
        broker.delete_topic("t").unwrap();
        broker.create_topic("t").unwrap();
        let error = old.alter_config(set("retention.ms", "1")).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
        assert_eq!(value_of(&broker, "retention.ms"), "604800000");
        let closed = broker.topic("t").unwrap();
        broker.close().unwrap();
        let error = closed.alter_config(set("retention.ms", "1")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
}

#[test]
fn the_offsets_topic_can_be_altered() {
    for home in homes() {
        let broker = home.open();
        let group = broker.group("g");
        broker.create_topic("t").unwrap();
        group.alter_offsets(&[(("t", 0), 0)].into_iter().collect()).unwrap();
        let offsets = broker.topic("__consumer_offsets").unwrap();
        assert!(offsets.is_internal() && !broker.topic("t").unwrap().is_internal());
        offsets.alter_config(set("segment.bytes", "1048576")).unwrap();
        assert_eq!(offsets.config().get("segment.bytes"), Some("1048576"));
    }
}

#[test]
fn a_reader_of_the_directory_follows_the_configuration() {
    let home = disk();
    let owner = home.open();
    let topic = owner.create_topic("t").unwrap();
    let watcher = Broker::open_read_only(home.dir().unwrap()).unwrap();
    let watched = watcher.topic("t").unwrap();
    assert_eq!(watched.config().get("retention.ms"), Some("604800000"));
    topic.alter_config(set("retention.ms", "1")).unwrap();
    watcher.topics().unwrap();
    assert_eq!(watched.config().get("retention.ms"), Some("1"));
    assert_eq!(watched.config(), topic.config());
    let error = watched.alter_config(set("retention.ms", "2")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    let error = watcher.validate_topic("u").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
}

/// Whatever fails, the broker goes on with what it told, and so does the next one.
#[test]
fn an_alteration_that_cannot_be_stored_changes_nothing() {
    let mut failed = 0;
    for sticky in [false, true] {
        for nth in 0.. {
            let sim = SimStorage::new();
            let broker = Broker::builder().storage(sim.storage()).open().unwrap();
            let topic = broker.create_topic(NewTopic::new("t").set("retention.ms", "1")).unwrap();
            let before = sim.op_count();
            sim.fail(Fault { op: FaultOp::Any, nth, sticky, kind: FaultKind::Eio });
            let outcome = topic.alter_config(set("retention.ms", "2"));
            sim.clear_faults();
            let told = if outcome.is_ok() { "2" } else { "1" };
            assert_eq!(value_of(&broker, "retention.ms"), told, "{nth} {sticky}");
            failed += usize::from(outcome.is_err());
            if !sticky {
                let killed = sim.kill_state(sim.op_count());
                let next = Broker::builder().storage(killed.storage()).open().unwrap();
                assert_eq!(value_of(&next, "retention.ms"), told, "{nth}");
            }
            topic.alter_config(set("retention.ms", "3")).unwrap();
            drop(topic);
            broker.close().unwrap();
            let next = Broker::builder().storage(sim.storage()).open().unwrap();
            assert_eq!(value_of(&next, "retention.ms"), "3", "{nth} {sticky}");
            if nth > sim.op_count() - before {
                break;
            }
        }
    }
    assert!(failed > 4, "{failed}");
}

#[test]
fn an_alteration_is_durable_when_it_returns_and_whole_before() {
    let sim = SimStorage::new();
    let broker = Broker::builder().storage(sim.storage()).open().unwrap();
    let topic = broker.create_topic(NewTopic::new("t").set("retention.ms", "1")).unwrap();
    let begun = sim.op_count();
    topic.alter_config([set("retention.ms", "2"), set("segment.ms", "2")].concat()).unwrap();
    let done = sim.op_count();
    for cut in begun..=done {
        for state in sim.power_cut_states(cut, 50, 7) {
            let next = Broker::builder().storage(state.storage()).open().unwrap();
            let both = (value_of(&next, "retention.ms"), value_of(&next, "segment.ms"));
            let is_old = both == ("1".to_owned(), "604800000".to_owned());
            let is_new = both == ("2".to_owned(), "2".to_owned());
            assert!(is_new || (is_old && cut < done), "cut at {cut}: {both:?}");
        }
    }
}

/// A timer that ran by the old `flush.ms` was waited for.
#[test]
fn a_shorter_flush_time_is_in_force_at_once() {
    for home in homes().into_iter().filter(|home| home.clock.is_some()) {
        let broker = home.open();
        let topic = broker.create_topic(NewTopic::new("t").set("flush.ms", "3600000")).unwrap();
        let log = topic.partition(0).unwrap();
        log.append([(None, Some("x"))]).unwrap();
        topic.alter_config(set("flush.ms", "10")).unwrap();
        let clock = home.clock.as_ref().unwrap();
        clock.advance(Duration::from_millis(9));
        assert_eq!(log.recovery_point(), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(log.recovery_point(), 1);
        topic.alter_config([ConfigChange::delete("flush.ms")]).unwrap();
        log.append([(None, Some("x"))]).unwrap();
        clock.advance(Duration::from_secs(7200));
        assert_eq!(log.recovery_point(), 1, "nobody asked for a sync");
        topic.alter_config(set("flush.ms", "10")).unwrap();
        clock.advance(Duration::from_millis(10));
        assert_eq!(log.recovery_point(), 2);
    }
}

/// Appends and alterations in all orders: every append finds one configuration or the other.
#[test]
fn alterations_while_records_come() {
    for home in homes() {
        let broker = home.open();
        let topic = broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        std::thread::scope(|scope| {
            for number in 0..2 {
                let log = topic.partition(number).unwrap();
                scope.spawn(move || {
                    for n in 0..500 {
                        log.append([(None, Some(n.to_string().as_str()))]).unwrap();
                    }
                });
            }
            for round in 0..40 {
                let bytes = if round % 2 == 0 { "200" } else { "400" };
                topic.alter_config(set("segment.bytes", bytes)).unwrap();
            }
        });
        for number in 0..2 {
            assert_eq!(read_all(&broker, "t", number).len(), 500);
            let log = topic.partition(number).unwrap();
            assert!(log.segments().iter().skip(1).all(|segment| segment.size <= 400));
        }
    }
}

#[test]
fn offsets_of_many_partitions_are_listed_at_once() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        let producer = broker.producer().build().unwrap();
        for (number, timestamp) in [(0, 10), (0, 30), (0, 20)] {
            let record = ProducerRecord::to("t").partition(number).value("x");
            producer.send(record.timestamp(timestamp)).wait().unwrap();
        }
        let queries = [
            (("t", 0), OffsetSpec::Earliest),
            (("t", 0), OffsetSpec::Latest),
            (("t", 0), OffsetSpec::MaxTimestamp),
            (("t", 0), OffsetSpec::Timestamp(15)),
            (("t", 0), OffsetSpec::Timestamp(31)),
            (("t", 1), OffsetSpec::Latest),
            (("t", 1), OffsetSpec::MaxTimestamp),
        ];
        let wanted = [
            Some((0, None)),
            Some((3, None)),
            Some((1, Some(30))),
            Some((1, Some(30))),
            None,
            Some((0, None)),
            None,
        ];
        for isolation in [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted] {
            let listed = broker.list_offsets(queries, isolation).unwrap();
            let found: Vec<_> = listed
                .into_iter()
                .map(|(_, found)| found.unwrap().map(|found| (found.offset, found.timestamp)))
                .collect();
            assert_eq!(found, wanted, "{isolation:?}");
        }
        let mixed = [(("t", 9), OffsetSpec::Latest), (("t", 0), OffsetSpec::Latest)];
        let listed = broker.list_offsets(mixed, IsolationLevel::ReadUncommitted).unwrap();
        let error = listed[0].1.as_ref().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
        assert_eq!(listed[1].1.as_ref().unwrap().unwrap().offset, 3);
        assert_eq!(listed[0].0, ("t", 9).into());
        let none: [(logreel::TopicPartition, OffsetSpec); 0] = [];
        assert!(broker.list_offsets(none, IsolationLevel::ReadCommitted).unwrap().is_empty());
        if let Some(dir) = home.dir() {
            let watcher = Broker::open_read_only(dir).unwrap();
            let ends = || {
                let query = [(("t", 0), OffsetSpec::Latest)];
                let listed = watcher.list_offsets(query, IsolationLevel::ReadCommitted).unwrap();
                listed[0].1.as_ref().unwrap().unwrap().offset
            };
            assert_eq!(ends(), 3);
            producer.send(ProducerRecord::to("t").partition(0).value("x")).wait().unwrap();
            assert_eq!(ends(), 4, "a reader follows");
        }
    }
}

#[test]
fn the_room_that_logs_take_is_told() {
    for home in homes() {
        let broker = home.open();
        let topic = NewTopic::new("t").partitions(2).set("segment.bytes", "100");
        let topic = broker.create_topic(topic).unwrap();
        for _ in 0..5 {
            topic.partition(1).unwrap().append([(None, Some("x"))]).unwrap();
        }
        let told = broker.describe_log_dir().unwrap();
        let sizes: Vec<(String, u64)> =
            told.partitions.iter().map(|p| (p.topic_partition.to_string(), p.size)).collect();
        assert_eq!(sizes, [("t-0".to_owned(), 0), ("t-1".to_owned(), 5 * 69)]);
        assert_eq!(told.size, 5 * 69);
        assert_eq!(told.path.as_deref(), home.dir());
        assert_eq!(told.total_bytes.is_some(), home.dir().is_some());
        assert!(told.usable_bytes <= told.total_bytes);
        if let Some(dir) = home.dir() {
            assert!(told.total_bytes > Some(0));
            let watcher = Broker::open_read_only(dir).unwrap();
            assert_eq!(watcher.describe_log_dir().unwrap().size, 5 * 69);
            topic.partition(0).unwrap().append([(None, Some("x"))]).unwrap();
            assert_eq!(watcher.describe_log_dir().unwrap().size, 6 * 69);
        }
    }
}

/// On disk with and without maps, and in memory: what a reader holds stays, and it goes on with
/// the topic that is made next under the name.
#[test]
fn a_topic_is_deleted_under_its_readers() {
    let bare = Home { mmap: false, ..disk() };
    let memory = Home { files: Files::Memory(Storage::memory()), clock: None, mmap: true };
    for home in [disk(), bare, memory] {
        let broker = home.builder().auto_create_topics(false).open().unwrap();
        let made = || broker.create_topic(NewTopic::new("t").set("segment.bytes", "300")).unwrap();
        let topic = made();
        let log = topic.partition(0).unwrap();
        for n in 0..40 {
            log.append([(None, Some(format!("old-{n}").as_str()))]).unwrap();
        }
        assert!(topic.partition(0).unwrap().segments().len() > 3);
        let member = broker.group("g").member().auto_offset_reset(OffsetReset::Earliest);
        let member = member.max_poll_records(15).build().unwrap();
        member.subscribe(["t"]).unwrap();
        assert_eq!(member.poll(SECOND).unwrap().len(), 15);
        let reader = reader(&broker);
        reader.assign([("t", 0)]).unwrap();
        let held = reader.poll(SECOND).unwrap();
        let raw = log.read(0, 1 << 20).unwrap();

        broker.delete_topic("t").unwrap();
        if let Some(dir) = home.dir() {
            assert!(!dir.join("t-0").exists());
        }
        for (n, record) in held.iter().enumerate() {
            assert_eq!(record.value(), Some(format!("old-{n}").as_bytes()));
        }
        assert!(raw.iter().all(|record| record.value().unwrap().starts_with(b"old-")));
        assert!(log.read(0, 1).is_err());
        // Neither hangs, and none brings records that are gone.
        for consumer in [&reader, &member] {
            match consumer.poll(Duration::from_millis(20)) {
                Ok(records) => assert!(records.is_empty()),
                Err(error) => {
                    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition), "{error}");
                }
            }
        }

        let topic = made();
        topic.partition(0).unwrap().append([(None, Some("new"))]).unwrap();
        let again = read_all(&broker, "t", 0);
        assert_eq!(again.len(), 1);
        assert_eq!(text(&again[0].value).unwrap(), "new");
        assert_eq!(held.len(), 40, "still there");
        assert_eq!(held.iter().last().unwrap().value(), Some(&b"old-39"[..]));
    }
}
