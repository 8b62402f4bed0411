//! What broke once, each named for it.

use std::time::Duration;

use crate::homes::*;
use logreel::testing::{MockClock, SimStorage};
use logreel::{Acks, Broker, IsolationLevel, NewTopic, OffsetReset, ProducerRecord};

/// The recovery point of a deleted topic stayed in its checkpoint. A new topic of the same name was
/// then shorter than it was durable, and taken for damaged after a kill.
#[test]
fn a_deleted_topic_leaves_its_recovery_point_to_the_next() {
    let home = disk();
    let broker = home.open();
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    for _ in 0..100 {
        log.append([(None, Some("x"))]).unwrap();
    }
    drop(log);
    broker.close().unwrap();
    let broker = home.open();
    broker.delete_topic("t").unwrap();
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("new"))]).unwrap();
    log.sync().unwrap();
    let killed = tempfile::tempdir().unwrap();
    copy_dir(home.dir().unwrap(), killed.path());
    let again = Broker::open(killed.path()).unwrap();
    assert_eq!(again.recovery_report().damaged().count(), 0, "{:?}", again.recovery_report());
    again.topic("t").unwrap().partition(0).unwrap().append([(None, Some("y"))]).unwrap();
}

/// A segment that was lost at a batch boundary left a gap before the next one. The next one was
/// emptied but stayed the active one, and took offsets below its name.
#[test]
fn a_gap_between_segments_leaves_an_active_segment_of_another_base() {
    let home = disk();
    let broker = home.open();
    let topic = NewTopic::new("t").set("segment.bytes", "300");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    for _ in 0..8 {
        log.append([(None, Some("x"))]).unwrap();
    }
    assert!(log.segments().len() > 1);
    for left in [0, 1] {
        let killed = tempfile::tempdir().unwrap();
        copy_dir(home.dir().unwrap(), killed.path());
        let _ = std::fs::remove_file(killed.path().join("recovery-point-offset-checkpoint"));
        let first = killed.path().join("t-0/00000000000000000000.log");
        let bytes = std::fs::read(&first).unwrap();
        let batch = 69;
        std::fs::write(&first, &bytes[..left * batch]).unwrap();
        for _ in 0..2 {
            let broker = Broker::open(killed.path()).unwrap();
            let log = broker.topic("t").unwrap().partition(0).unwrap();
            let end = log.log_end_offset();
            let placed = log.append([(None, Some("y"))]).unwrap();
            log.sync().unwrap();
            assert_eq!(placed.base_offset, end);
            let records = log.read(end, 1 << 20).unwrap();
            assert_eq!(records.iter().next().unwrap().value(), Some(&b"y"[..]));
        }
    }
}

/// A directory whose name only looks like a partition was taken for a creation to undo, and its
/// files were deleted.
#[test]
fn strangers_directories_are_deleted() {
    let home = disk();
    home.open().close().unwrap();
    let photos = home.dir().unwrap().join("photos-2023");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("a.jpg"), "x").unwrap();
    let broker = home.open();
    assert!(broker.recovery_report().ignored.contains(&"photos-2023".to_owned()));
    assert!(broker.topics().unwrap().is_empty());
    let error = broker.create_topic(NewTopic::new("photos").partitions(2024)).unwrap_err();
    assert!(error.to_string().contains("in the way"), "{error}");
    assert_eq!(std::fs::read(photos.join("a.jpg")).unwrap(), b"x");
}

/// Any `name-1` beside no catalog was adopted, and files were written into it.
#[test]
fn strangers_directories_are_adopted() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["dbus-1", "backup-20240131", "x-2147483647"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("f"), "mine").unwrap();
    }
    assert!(Broker::open_read_only(dir.path()).unwrap().topics().unwrap().is_empty());
    let broker = Broker::open(dir.path()).unwrap();
    assert!(broker.topics().unwrap().is_empty());
    broker.create_topic("t").unwrap();
    broker.close().unwrap();
    for name in ["dbus-1", "backup-20240131", "x-2147483647"] {
        assert_eq!(std::fs::read_dir(dir.path().join(name)).unwrap().count(), 1, "{name}");
    }
}

/// A producer dropped the open batches of a topic that was made anew, and nobody decided them.
#[test]
fn deliveries_to_a_topic_made_anew_never_complete() {
    must_end(|| {
        let broker = Broker::in_memory();
        broker.create_topic("t").unwrap();
        let producer = broker.producer().linger(Duration::from_millis(300)).build().unwrap();
        let old = producer.send(ProducerRecord::to("t").value("1"));
        broker.delete_topic("t").unwrap();
        broker.create_topic("t").unwrap();
        let new = producer.send(ProducerRecord::to("t").value("2"));
        assert_eq!(new.wait().unwrap().offset(), Some(0));
        assert!(old.wait().is_err());
    });
}

/// One sync completed two batches; the callback of the first waited for the second, which the same
/// thread was to complete next.
#[test]
fn a_callback_waits_for_the_next_batch_of_its_own_sync() {
    must_end(|| {
        let broker = Broker::in_memory();
        let producer = broker.producer().linger(3600 * SECOND).batch_size(100).build().unwrap();
        let value = "x".repeat(120);
        let first = producer.send(ProducerRecord::to("t").value(&value));
        let second = producer.send(ProducerRecord::to("t").value(&value));
        first.on_complete(move |_| {
            second.wait().unwrap();
        });
        producer.flush(10 * SECOND).unwrap();
    });
}

/// Deleting a topic failed its waiting batches under the catalog's lock; their callbacks made a
/// topic.
#[test]
fn a_callback_makes_a_topic_while_one_is_deleted() {
    must_end(|| {
        let home = disk();
        let broker = home.open();
        broker.create_topic("t").unwrap();
        broker.create_topic("s").unwrap();
        let slow = broker.producer().linger(Duration::from_millis(20)).build().unwrap();
        // The sender thread is busy in a callback and syncs nothing meanwhile.
        slow.send(ProducerRecord::to("s").value("a"))
            .on_complete(|_| std::thread::sleep(2 * SECOND));
        std::thread::sleep(Duration::from_millis(300));
        let producer = broker.producer().linger(3600 * SECOND).batch_size(1000).build().unwrap();
        let again = producer.clone();
        producer.send(ProducerRecord::to("t").value("a")).on_complete(move |_| {
            again.send(ProducerRecord::to("dead-letters").value("z")).forget();
        });
        producer.send(ProducerRecord::to("t").value("x".repeat(2000))).forget();
        broker.delete_topic("t").unwrap();
    });
}

/// The old position in a topic that was made anew was kept, so its beginning was skipped.
#[test]
fn t027_positions_of_a_topic_made_anew() {
    for home in homes() {
        let broker = home.open();
        let log = broker.create_topic("t").unwrap().partition(0).unwrap();
        for _ in 0..5 {
            log.append([(None, Some("old"))]).unwrap();
        }
        let consumer = reader(&broker);
        consumer.assign([("t", 0)]).unwrap();
        assert_eq!(drain(&consumer).len(), 5);
        broker.delete_topic("t").unwrap();
        let log = broker.create_topic("t").unwrap().partition(0).unwrap();
        for _ in 0..10 {
            log.append([(None, Some("new"))]).unwrap();
        }
        assert_eq!(drain(&consumer).len(), 10);
    }
}

/// The recovery point was stored after rolls and at the close only, so that damage in bytes synced
/// long ago was cut like a torn tail.
#[test]
fn recovery_points_are_stored_every_minute() {
    for home in homes().into_iter().filter(|home| home.clock.is_some() && home.dir().is_some()) {
        let (clock, broker) = (home.clock.clone().unwrap(), home.open());
        let producer = broker.producer().acks(Acks::All).build().unwrap();
        for _ in 0..3 {
            producer.send(ProducerRecord::to("t").value("x")).wait().unwrap();
        }
        clock.advance(61 * SECOND);
        let points = home.dir().unwrap().join("recovery-point-offset-checkpoint");
        assert_eq!(std::fs::read_to_string(points).unwrap(), "0\n1\nt 0 3\n");
    }
}

/// Subscribing to other topics forgot what auto-commit had not committed yet.
#[test]
fn a_new_subscription_commits_first() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic("u").unwrap();
        let producer = broker.producer().build().unwrap();
        producer.send(ProducerRecord::to("t").value("x")).wait().unwrap();
        let consumer = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
        let consumer = consumer.build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(consumer.poll(SECOND).unwrap().len(), 1);
        consumer.subscribe(["t", "u"]).unwrap();
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty(), "delivered once");
    }
}

/// A group's commits outlived their topic, and a new topic of its name was read from the middle.
#[test]
fn t017_deleting_a_topic_removes_its_commits() {
    for home in homes() {
        let broker = home.open();
        let fill = |count: i32| {
            let producer = broker.producer().build().unwrap();
            for _ in 0..count {
                producer.send(ProducerRecord::to("t").value("x")).wait().unwrap();
            }
        };
        let read = || {
            let consumer = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
            let consumer = consumer.build().unwrap();
            consumer.subscribe(["t"]).unwrap();
            let read = drain(&consumer).len();
            consumer.close().unwrap();
            read
        };
        fill(5);
        assert_eq!(read(), 5);
        broker.delete_topic("t").unwrap();
        assert!(broker.committed_offsets("g").unwrap().is_empty());
        fill(8);
        assert_eq!(read(), 8);
        broker.clone().close().unwrap();
        let again = home.open();
        assert_eq!(again.committed_offsets("g").unwrap().len(), 1);
    }
}

/// A limit of no bytes a poll returned nothing, for ever, at full speed.
#[test]
fn a_fetch_limit_of_nothing_still_brings_the_first_batch() {
    let broker = Broker::in_memory();
    broker.producer().build().unwrap().send(ProducerRecord::to("t").value("x")).wait().unwrap();
    let consumer = broker.consumer().fetch_max_bytes(0).max_partition_fetch_bytes(0);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
}

/// A read-only consumer of a group began by the reset policy instead of the group's position.
#[test]
fn a_read_only_consumer_begins_where_its_group_is() {
    let home = disk();
    let broker = home.open();
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    for _ in 0..10 {
        log.append([(None, Some("x"))]).unwrap();
    }
    let consumer = broker.consumer().group_id("g").build().unwrap();
    consumer.commit_offsets(&[(("t", 0), 6)].into_iter().collect()).unwrap();
    let watcher = Broker::open_read_only(home.dir().unwrap()).unwrap();
    let consumer = watcher.consumer().group_id("g").build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    assert_eq!(drain(&consumer).len(), 4);
}

/// Every close left a producer snapshot behind.
#[test]
fn closes_leave_one_snapshot() {
    let home = disk();
    for _ in 0..10 {
        let broker = home.open();
        broker.producer().build().unwrap().send(ProducerRecord::to("t").value("x")).wait().unwrap();
        broker.close().unwrap();
    }
    let files = std::fs::read_dir(home.dir().unwrap().join("t-0")).unwrap();
    let snapshots =
        files.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "snapshot"));
    assert_eq!(snapshots.count(), 1);
}

/// The record that found its batch full was written as a batch of its own.
#[test]
fn full_batches_are_followed_by_full_batches() {
    let broker = Broker::in_memory();
    let producer = broker.producer().acks(Acks::Leader).linger(60 * SECOND).batch_size(1000);
    let producer = producer.build().unwrap();
    for _ in 0..1000 {
        producer.send(ProducerRecord::to("t").value("0123456789")).forget();
    }
    producer.flush(10 * SECOND).unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    // 61 bytes of header for about 55 records of 17 bytes.
    assert!(log.size() < 1000 * 17 + 25 * 61, "{} bytes", log.size());
}

/// Damage met at a clean open without a manifest lowered the recovery point to what was sound, and
/// the next open cut it like a torn tail.
#[test]
fn damage_in_a_directory_kafka_closed_is_cut_by_the_second_open() {
    let home = disk();
    let broker = home.open();
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    for _ in 0..5 {
        log.append([(None, Some("x"))]).unwrap();
    }
    drop(log);
    broker.close().unwrap();
    let root = home.dir().unwrap();
    // As after Kafka's own close, with one partition copied: no manifest, no recovery point.
    let marker = "{\"version\":0,\"brokerEpoch\":9}";
    std::fs::write(root.join(".kafka_cleanshutdown"), marker).unwrap();
    std::fs::remove_file(root.join("logreel.manifest")).unwrap();
    std::fs::remove_file(root.join("recovery-point-offset-checkpoint")).unwrap();
    let file = root.join("t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    for _ in 0..3 {
        let broker = home.open();
        assert_eq!(broker.recovery_report().damaged().count(), 1);
        broker.close().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "not a byte was cut");
    }
}

/// Our marker of a clean close without our manifest, whose removal had lasted where that of the
/// marker had not, was taken for Kafka's: a missing `.txnindex` meant that nothing was aborted.
#[test]
fn a_clean_marker_of_ours_without_its_manifest_is_no_clean_close() {
    let home = disk();
    let broker = home.open();
    let mut producer = broker.producer().build_transactional("p").unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send(ProducerRecord::to("t").value("dropped")).wait().unwrap();
    transaction.abort().unwrap();
    drop(producer);
    broker.close().unwrap();
    let root = home.dir().unwrap();
    std::fs::remove_file(root.join("logreel.manifest")).unwrap();
    std::fs::remove_file(root.join("t-0/00000000000000000000.txnindex")).unwrap();
    let broker = home.open();
    assert!(!broker.recovery_report().clean);
    let consumer = broker.consumer().isolation_level(IsolationLevel::ReadCommitted);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
}

/// The open of a log whose older records were deleted forgot what an open transaction had there,
/// and a stale snapshot brought it back at the next open, where nothing ended it any more.
#[test]
fn what_is_below_the_log_start_holds_no_reader_back_for_ever() {
    let sim = SimStorage::new();
    let clock = MockClock::at_millis(1_700_000_000_000);
    let open = |sim: &SimStorage| Broker::builder().storage(sim.storage()).clock(&clock).open();
    let broker = open(&sim).unwrap();
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    let mut producer = broker.producer().build_transactional("p").unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send(ProducerRecord::to("t").value("open")).wait().unwrap();
    std::mem::forget(transaction);
    log.append([(None, Some("plain"))]).unwrap();
    log.delete_records(1).unwrap();
    broker.close().unwrap();
    let killed = open(&sim).unwrap();
    let left = sim.kill_state(sim.op_count());
    let broker = open(&left).unwrap();
    clock.advance(60 * SECOND);
    broker.close().unwrap();
    let broker = open(&left).unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("plain"))]).unwrap();
    assert_eq!(log.last_stable_offset(), log.high_watermark());
    drop(killed);
}

/// A transaction that was over and could not be ended, on a full disk, was due again at once, and
/// whoever moved the clock never came back.
#[test]
fn a_transaction_that_cannot_be_ended_does_not_stop_the_clock() {
    let sim = SimStorage::new();
    let clock = MockClock::at_millis(1_700_000_000_000);
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let mut producer = broker.producer().build_transactional("p").unwrap();
    let transaction = producer.begin().unwrap();
    transaction.send(ProducerRecord::to("t").value("v")).wait().unwrap();
    sim.set_capacity(Some(0));
    clock.advance(70 * SECOND);
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(log.last_stable_offset(), 0, "there is no room for the decision");
    sim.set_capacity(None);
    clock.advance(SECOND);
    assert_eq!(log.last_stable_offset(), 2, "it is aborted when there is");
    assert!(transaction.commit().unwrap_err().is_fatal());
}

/// A batch that could not be taken apart was skipped together with the sound ones behind it.
#[test]
fn a_bad_batch_takes_the_sound_ones_behind_it_along() {
    for codec in ["uncompressed", "zstd"] {
        let home = disk();
        let broker = home.open();
        let topic = NewTopic::new("t").set("compression.type", codec);
        let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
        for _ in 0..3 {
            log.append([(None, Some("x"))]).unwrap();
        }
        drop(log);
        broker.close().unwrap();
        let file = home.dir().unwrap().join("t-0/00000000000000000000.log");
        let mut bytes = std::fs::read(&file).unwrap();
        let batch = bytes.len() / 3;
        // The length of the second batch's record, or the first byte of its compressed ones.
        bytes[batch + 61] = 0x7e;
        std::fs::write(&file, &bytes).unwrap();
        let broker = home.open();
        let consumer = broker.consumer().check_crcs(false).auto_offset_reset(OffsetReset::Earliest);
        let consumer = consumer.build().unwrap();
        consumer.assign([("t", 0)]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        for _ in 0..2 {
            assert!(consumer.poll(Duration::ZERO).is_err());
            assert_eq!(consumer.position(&("t", 0).into()).unwrap(), 1, "the position stays");
        }
        consumer.seek(("t", 0), 2).unwrap();
        assert_eq!(drain(&consumer).len(), 1, "a seek may pass it");
    }
}
