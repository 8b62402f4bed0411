//! Where reading begins, what is out of range, and what transactions hide.

use std::time::Duration;

use crate::homes::*;
use logreel::record::{BatchBuilder, ControlRecord};
use logreel::{
    Broker, CleanupPolicy, Consumer, ErrorCode, ErrorKind, IsolationLevel, NewTopic, OffsetReset,
    OffsetSpec, ProducerRecord,
};

fn reader(broker: &Broker, reset: OffsetReset) -> Consumer {
    let consumer = broker.consumer().auto_offset_reset(reset).build().unwrap();
    consumer.assign([t(0)]).unwrap();
    consumer
}

#[test]
fn t019_latest_gives_nothing_from_before_the_position_was_found() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("before", 3));
        let consumer = broker.consumer().group_id("g").build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        put(&broker, 0, &numbered("between", 3));
        assert!(home.ok(consumer.poll(Duration::ZERO)).is_empty(), "{home}");
        put(&broker, 0, &numbered("after", 2));
        assert_eq!(offsets(&drain(&consumer)), [6, 7], "{home}");
    }
}

#[test]
fn t021_none_fails_without_a_commit_and_skips_nothing() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 3));
        let settings = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::None);
        let consumer = settings.build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        for _ in 0..2 {
            let error = home.err(consumer.poll(Duration::ZERO));
            assert_eq!(error.kind(), ErrorKind::NoOffsetForPartition, "{home}");
            assert_eq!(error.topic_partition(), Some(&t(0)), "{home}");
        }
        home.err(consumer.position(&t(0)));
        home.ok(consumer.seek(t(0), 0));
        assert_eq!(drain(&consumer).len(), 3, "{home}");
    }
}

#[test]
fn t023_past_the_end_the_seek_succeeds_and_the_poll_resets() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 3));
        for (reset, left) in [(OffsetReset::Earliest, 3), (OffsetReset::Latest, 0)] {
            let consumer = reader(&broker, reset);
            home.ok(consumer.seek(t(0), 4));
            assert_eq!(drain(&consumer).len(), left, "{home}");
            assert_eq!(home.ok(consumer.position(&t(0))), 3, "{home}");
        }
        let consumer = reader(&broker, OffsetReset::None);
        home.ok(consumer.seek(t(0), 4));
        let error = home.err(consumer.poll(Duration::ZERO));
        assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange), "{home}");
        assert_eq!(error.topic_partition(), Some(&t(0)), "{home}");
        assert!(error.to_string().contains('4'), "{home}: {error}");
    }
}

#[test]
fn t024_the_end_itself_is_in_range_and_waits() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 3));
        let consumer = reader(&broker, OffsetReset::None);
        home.ok(consumer.seek(t(0), 3));
        let (records, took) = home.timed(|| home.ok(consumer.poll(ms(30))));
        assert!(records.is_empty(), "{home}");
        home.assert_took(took, ms(30));
        put(&broker, 0, &numbered("w", 1));
        assert_eq!(offsets(&drain(&consumer)), [3], "{home}");
    }
}

#[test]
fn t025_a_seek_outside_the_assignment_fails_and_changes_nothing() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 0, &numbered("v", 5));
        put(&broker, 1, &numbered("v", 5));
        let consumer = reader(&broker, OffsetReset::Earliest);
        home.ok(consumer.seek(t(0), 2));
        let illegal = |outcome: logreel::Result<()>| {
            assert_eq!(home.err(outcome).kind(), ErrorKind::IllegalState, "{home}");
        };
        illegal(consumer.seek(t(1), 0));
        illegal(consumer.seek_to_beginning([t(0), t(1)]));
        illegal(consumer.seek_to_end([t(0), t(1)]));
        illegal(consumer.pause([t(0), t(1)]));
        home.fails(consumer.seek(t(0), -1), ErrorCode::InvalidRequest);
        assert_eq!(home.ok(consumer.position(&t(0))), 2, "{home}");
        assert!(consumer.paused().is_empty(), "{home}");
        assert_eq!(offsets(&drain(&consumer)), [2, 3, 4], "{home}");
    }
}

#[test]
fn t026_a_seek_drops_what_was_read_ahead() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 0, &numbered("v", 10));
        put(&broker, 1, &numbered("w", 10));
        let consumer = earliest(&broker).max_poll_records(2).build().unwrap();
        consumer.assign([t(0), t(1)]).unwrap();
        for _ in 0..2 {
            assert_eq!(home.ok(consumer.poll(Duration::ZERO)).len(), 2, "{home}");
        }
        home.ok(consumer.seek(t(0), 7));
        let mut rest = drain(&consumer);
        rest.sort_by_key(|record| record.partition);
        assert_eq!(offsets(&rest), [7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9], "{home}");
        home.ok(consumer.seek_to_beginning([t(1)]));
        assert_eq!(drain(&consumer).len(), 10, "{home}");
        home.ok(consumer.seek_all(8));
        assert_eq!(offsets(&drain(&consumer)), [8, 9, 8, 9], "{home}");
        home.ok(consumer.seek_all(OffsetSpec::Earliest));
        home.ok(consumer.seek_to_end([t(0), t(1)]));
        assert!(drain(&consumer).is_empty(), "{home}");
        assert_eq!(home.ok(consumer.position(&t(1))), 10, "{home}");
    }
}

#[test]
fn t027_a_topic_made_anew_begins_at_zero_under_another_id() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("old", 10));
        let id = broker.topic("t").unwrap().id();
        let consumer = reader(&broker, OffsetReset::Earliest);
        assert_eq!(drain(&consumer).len(), 10, "{home}");
        home.ok(broker.delete_topic("t"));
        home.ok(broker.create_topic("t"));
        assert_ne!(broker.topic("t").unwrap().id(), id, "{home}");
        put(&broker, 0, &numbered("new", 2));
        assert_eq!(offsets(&drain(&consumer)), [0, 1], "{home}: reset, not silence");
    }
}

#[test]
fn by_duration_begins_at_the_first_record_that_is_young_enough() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let producer = broker.producer().build().unwrap();
        let hour = 60 * 60 * 1000;
        for hours in [5, 3, 1] {
            let record = ProducerRecord::to("t").timestamp(home.now() - hours * hour).value("x");
            home.ok(producer.send(record).wait());
        }
        for (policy, wanted) in [
            ("by_duration:P1D", vec![0, 1, 2]),
            ("by_duration:PT4H", vec![1, 2]),
            ("by_duration:PT90M", vec![2]),
            ("by_duration:PT0.5S", vec![]),
        ] {
            let consumer = broker.consumer().set("auto.offset.reset", policy).build().unwrap();
            consumer.assign([t(0)]).unwrap();
            assert_eq!(offsets(&drain(&consumer)), wanted, "{home}: {policy}");
            assert_eq!(home.ok(consumer.position(&t(0))), 3, "{home}: else the end");
            // Out of range it decides too.
            home.ok(consumer.seek(t(0), 99));
            assert_eq!(offsets(&drain(&consumer)), wanted, "{home}: {policy}");
        }
        for policy in ["by_duration:", "by_duration:-PT1H", "by_duration:1h", "by_duration", "now"]
        {
            let built = broker.consumer().set("auto.offset.reset", policy).build();
            home.fails(built, ErrorCode::InvalidConfig);
        }
    }
}

const PRODUCER: i64 = 77;

fn plain(offset: i64) -> Vec<u8> {
    one(offset, BatchBuilder::new())
}

fn transactional(offset: i64) -> Vec<u8> {
    one(offset, BatchBuilder::new().producer(PRODUCER, 0, 0).transactional())
}

fn one(offset: i64, mut builder: BatchBuilder) -> Vec<u8> {
    builder.append(Some(NOW + offset), None, Some(b"x"), &[]).unwrap();
    let mut sealed = builder.seal().unwrap();
    sealed.assign(offset, 0);
    sealed.into_bytes()
}

fn abort(offset: i64) -> Vec<u8> {
    let marker = ControlRecord::Abort { coordinator_epoch: 0 };
    let mut sealed = BatchBuilder::marker(Some(NOW), PRODUCER, 0, marker).unwrap();
    sealed.assign(offset, 0);
    sealed.into_bytes()
}

fn commit(offset: i64) -> Vec<u8> {
    let marker = ControlRecord::Commit { coordinator_epoch: 0 };
    let mut sealed = BatchBuilder::marker(Some(NOW), PRODUCER, 0, marker).unwrap();
    sealed.assign(offset, 0);
    sealed.into_bytes()
}

/// Brokers on disk whose partition holds these batches, as a killed process leaves them.
fn holding(batches: &[Vec<u8>]) -> Vec<(Home, Broker)> {
    holding_from(0, batches)
}

/// The same for a partition whose first segments are gone.
fn holding_from(base: i64, batches: &[Vec<u8>]) -> Vec<(Home, Broker)> {
    let on_disk = homes().into_iter().filter(|home| home.dir().is_some());
    on_disk
        .map(|home| {
            with_topic(&home, 1).close().unwrap();
            let dir = home.dir().unwrap();
            std::fs::write(dir.join(format!("t-0/{base:020}.log")), batches.concat()).unwrap();
            std::fs::remove_file(dir.join(".kafka_cleanshutdown")).unwrap();
            std::fs::remove_file(dir.join("logreel.manifest")).unwrap();
            let start = format!("0\n1\nt 0 {base}\n");
            std::fs::write(dir.join("log-start-offset-checkpoint"), start).unwrap();
            let broker = home.open();
            (home, broker)
        })
        .collect()
}

fn isolated(broker: &Broker, level: IsolationLevel) -> Consumer {
    let consumer = earliest(broker).group_id("g").isolation_level(level).build().unwrap();
    consumer.assign([t(0)]).unwrap();
    consumer
}

#[test]
fn t030_the_end_is_the_last_stable_offset_for_read_committed() {
    for (home, broker) in holding(&[plain(0), plain(1), transactional(2), plain(3)]) {
        for (level, end) in
            [(IsolationLevel::ReadCommitted, 2), (IsolationLevel::ReadUncommitted, 4)]
        {
            let consumer = isolated(&broker, level);
            assert_eq!(home.ok(consumer.end_offset(&t(0))), end, "{home}");
            assert_eq!(home.ok(consumer.end_offsets([t(0)]))[&t(0)], end, "{home}");
            assert_eq!(home.ok(consumer.beginning_offsets([t(0)]))[&t(0)], 0, "{home}");
            home.ok(consumer.commit_offsets(&[(t(0), 1)].into_iter().collect()));
            let lag = home.ok(consumer.lag())[&t(0)];
            assert_eq!(lag, u64::try_from(end - 1).ok(), "{home}: line 74");
            // Nothing past it answers a search by time.
            let found = home.ok(consumer.offsets_for_times([(t(0), NOW + 2)]))[&t(0)];
            assert_eq!(found.map(|found| found.offset), (end > 2).then_some(2), "{home}");
            home.ok(consumer.seek_to_end([t(0)]));
            assert_eq!(home.ok(consumer.position(&t(0))), end, "{home}");
            home.ok(consumer.seek_to_beginning([t(0)]));
            let all: Vec<i64> = (0..end).collect();
            assert_eq!(offsets(&home.ok(consumer.read_to_end()).to_vec()), all, "{home}");
            assert!(drain(&consumer).is_empty(), "{home}");
        }
    }
}

/// The same of a transaction that is open now, also in memory.
#[test]
fn t030_the_end_is_where_an_open_transaction_begins() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 2));
        let mut producer = broker.producer().build_transactional("p").unwrap();
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("open")).wait());
        put(&broker, 0, &numbered("w", 1));
        for (level, end, lag) in
            [(IsolationLevel::ReadCommitted, 2, 1), (IsolationLevel::ReadUncommitted, 4, 3)]
        {
            let listed = home.ok(broker.list_offsets([(t(0), OffsetSpec::Latest)], level));
            assert_eq!(listed[0].1.as_ref().unwrap().unwrap().offset, end, "{home}");
            let consumer = isolated(&broker, level);
            assert_eq!(home.ok(consumer.end_offset(&t(0))), end, "{home}");
            home.ok(consumer.commit_offsets(&[(t(0), 1)].into_iter().collect()));
            assert_eq!(home.ok(consumer.lag())[&t(0)], Some(lag), "{home}: line 74");
        }
        home.ok(transaction.commit());
        let committed = isolated(&broker, IsolationLevel::ReadCommitted);
        assert_eq!(home.ok(committed.end_offset(&t(0))), 5, "{home}");
    }
}

/// Half of a commit, as a power cut may leave it: one of two partitions has its marker.
#[test]
fn t100_a_transaction_is_visible_in_each_partition_at_its_marker() {
    for home in homes().into_iter().filter(|home| home.dir().is_some()) {
        with_topic(&home, 2).close().unwrap();
        let dir = home.dir().unwrap();
        let lay = |number: i32, batches: &[Vec<u8>]| {
            let file = dir.join(format!("t-{number}/{:020}.log", 0));
            std::fs::write(file, batches.concat()).unwrap();
        };
        lay(0, &[transactional(0), commit(1), plain(2)]);
        lay(1, &[transactional(0), plain(1)]);
        for file in [".kafka_cleanshutdown", "logreel.manifest"] {
            std::fs::remove_file(dir.join(file)).unwrap();
        }
        let broker = home.open();
        let consumer = earliest(&broker).isolation_level(IsolationLevel::ReadCommitted);
        let consumer = consumer.build().unwrap();
        consumer.assign([t(0), t(1)]).unwrap();
        let visible = drain(&consumer);
        assert!(visible.iter().all(|record| record.partition == 0), "{home}");
        assert_eq!(offsets(&visible), [0, 2], "{home}");
        let stable = |number| partition(&broker, "t", number).last_stable_offset();
        assert_eq!((stable(0), stable(1)), (3, 0), "{home}");
    }
}

#[test]
fn t045_markers_of_commits_and_aborts_leave_gaps() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let mut producer = broker.producer().build_transactional("p").unwrap();
        for commits in [true, false, true] {
            let transaction = home.ok(producer.begin());
            home.ok(transaction.send_batch([value("a"), value("b")]).wait());
            let ended = if commits { transaction.commit() } else { transaction.abort() };
            home.ok(ended);
        }
        for (level, wanted) in [
            (IsolationLevel::ReadCommitted, vec![0, 1, 6, 7]),
            (IsolationLevel::ReadUncommitted, vec![0, 1, 3, 4, 6, 7]),
        ] {
            let consumer = isolated(&broker, level);
            assert_eq!(offsets(&drain(&consumer)), wanted, "{home}");
            assert_eq!(home.ok(consumer.position(&t(0))), 9, "{home}: over all markers");
        }
    }
}

#[test]
fn t045_markers_and_aborted_records_leave_gaps() {
    let batches = [plain(0), transactional(1), abort(2), plain(3), transactional(4), abort(5)];
    for (home, broker) in holding(&batches) {
        for (level, wanted) in [
            (IsolationLevel::ReadCommitted, vec![0, 3]),
            (IsolationLevel::ReadUncommitted, vec![0, 1, 3, 4]),
        ] {
            let consumer = isolated(&broker, level);
            assert_eq!(offsets(&drain(&consumer)), wanted, "{home}");
            assert_eq!(home.ok(consumer.position(&t(0))), 6, "{home}: it moves over them");
        }
    }
}

#[test]
fn t046_a_partition_without_records_up_to_its_end_is_read_to_the_end() {
    for (home, broker) in holding(&[transactional(0), abort(1), transactional(2), abort(3)]) {
        let consumer = isolated(&broker, IsolationLevel::ReadCommitted);
        assert!(home.ok(consumer.read_to_end()).is_empty(), "{home}");
        assert_eq!(home.ok(consumer.position(&t(0))), 4, "{home}");
        let consumer = isolated(&broker, IsolationLevel::ReadCommitted);
        assert!(home.ok(consumer.poll(Duration::ZERO)).is_empty(), "{home}");
        eventually("it gets to the end", || {
            home.ok(consumer.poll(Duration::ZERO));
            home.ok(consumer.position(&t(0))) == 4
        });
        // So does one that waits for many bytes.
        let settings = earliest(&broker).isolation_level(IsolationLevel::ReadCommitted);
        let consumer = settings.fetch_min_bytes(1000).build().unwrap();
        consumer.assign([t(0)]).unwrap();
        assert!(home.ok(consumer.poll(Duration::ZERO)).is_empty(), "{home}");
        assert_eq!(home.ok(consumer.position(&t(0))), 4, "{home}");
    }
}

/// Everything before the end was compacted away, but for records that were aborted.
#[test]
fn t046_a_partition_that_compaction_has_emptied_is_read_to_the_end() {
    for home in homes() {
        let lively = home.builder().set("log.initial.task.delay.ms", "1");
        let broker = lively.set("log.cleaner.backoff.ms", "5").open().unwrap();
        let topic = NewTopic::new("t").cleanup_policy(CleanupPolicy::Compact);
        let topic = topic.set("segment.bytes", "200").set("min.cleanable.dirty.ratio", "0");
        home.ok(broker.create_topic(topic.set("delete.retention.ms", "0")));
        let producer = broker.producer().build().unwrap();
        for _ in 0..10 {
            home.ok(producer.send(value("v").key("k")).wait());
            home.ok(producer.send(ProducerRecord::to("t").key("k")).wait());
        }
        // What is in the active segment is not compacted: nothing of it is to be returned.
        let mut transactional = broker.producer().build_transactional("p").unwrap();
        let mut abort = || {
            let transaction = home.ok(transactional.begin());
            home.ok(transaction.send(value("aborted").key("a")).wait());
            home.ok(transaction.abort());
        };
        let consumer = isolated(&broker, IsolationLevel::ReadCommitted);
        let mut rounds = 0;
        loop {
            abort();
            home.pass(ms(10));
            home.ok(consumer.seek_to_beginning([t(0)]));
            if home.ok(consumer.read_to_end()).is_empty() {
                break;
            }
            rounds += 1;
            assert!(rounds < 1000, "{home}: never compacted");
        }
        let end = partition(&broker, "t", 0).high_watermark();
        assert!(end > 20, "{home}");
        assert_eq!(home.ok(consumer.position(&t(0))), end, "{home}");
        let consumer = isolated(&broker, IsolationLevel::ReadCommitted);
        eventually("polls get to the end", || {
            assert!(home.ok(consumer.poll(Duration::ZERO)).is_empty(), "{home}");
            home.ok(consumer.position(&t(0))) == end
        });
    }
}

#[test]
fn t020_earliest_is_where_deleted_records_end() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 10));
        home.ok(partition(&broker, "t", 0).delete_records(4));
        let consumer = reader(&broker, OffsetReset::Earliest);
        assert_eq!(home.ok(consumer.position(&t(0))), 4, "{home}");
        assert_eq!(offsets(&drain(&consumer)), (4..10).collect::<Vec<_>>(), "{home}");
    }
}

#[test]
fn t022_when_records_are_deleted_behind_a_reader_the_policy_decides() {
    for home in homes() {
        for (reset, wanted) in [
            (OffsetReset::Earliest, Some((6..10).collect::<Vec<_>>())),
            (OffsetReset::Latest, Some(vec![])),
            (OffsetReset::None, None),
        ] {
            let home = Home::fresh_like(&home);
            let broker = with_topic(&home, 1);
            put(&broker, 0, &numbered("v", 10));
            let settings = broker.consumer().auto_offset_reset(reset).max_poll_records(1);
            let consumer = settings.fetch_max_bytes(1).build().unwrap();
            consumer.assign([t(0)]).unwrap();
            home.ok(consumer.seek(t(0), 2));
            home.ok(partition(&broker, "t", 0).delete_records(6));
            match wanted {
                Some(wanted) => assert_eq!(offsets(&drain(&consumer)), wanted, "{home}"),
                None => {
                    let error = home.err(consumer.poll(Duration::ZERO));
                    assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange), "{home}");
                    assert_eq!(error.topic_partition(), Some(&t(0)), "{home}");
                    assert!(error.to_string().contains('2'), "{home}: {error}");
                }
            }
        }
    }
}

#[test]
fn t020_earliest_is_the_log_start() {
    for (home, broker) in holding_from(100, &[plain(100), plain(101)]) {
        let consumer = reader(&broker, OffsetReset::Earliest);
        assert_eq!(home.ok(consumer.position(&t(0))), 100, "{home}");
        assert_eq!(home.ok(consumer.beginning_offsets([t(0)]))[&t(0)], 100, "{home}");
        assert_eq!(offsets(&drain(&consumer)), [100, 101], "{home}");
        let found = home.ok(consumer.offsets_for_times([(t(0), 0)]))[&t(0)];
        assert_eq!(found.map(|found| found.offset), Some(100), "{home}: line 28");
    }
}

#[test]
fn t022_below_the_log_start_the_policy_decides() {
    for (home, broker) in holding_from(100, &[plain(100), plain(101)]) {
        for (reset, wanted) in
            [(OffsetReset::Earliest, vec![100, 101]), (OffsetReset::Latest, vec![])]
        {
            let consumer = reader(&broker, reset);
            home.ok(consumer.seek(t(0), 99));
            assert_eq!(offsets(&drain(&consumer)), wanted, "{home}");
        }
        let consumer = reader(&broker, OffsetReset::None);
        home.ok(consumer.seek(t(0), 99));
        for _ in 0..2 {
            let error = home.err(consumer.poll(Duration::ZERO));
            assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange), "{home}");
            assert_eq!(error.topic_partition(), Some(&t(0)), "{home}");
            assert!(error.to_string().contains("99"), "{home}: {error}");
        }
    }
}

#[test]
fn partitions_that_stay_assigned_stay_where_they_are() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        for number in 0..3 {
            put(&broker, number, &numbered("v", 10));
        }
        let consumer = earliest(&broker).build().unwrap();
        home.ok(consumer.assign([t(0), t(1)]));
        home.ok(consumer.seek(t(0), 3));
        home.ok(consumer.seek(t(1), 6));
        home.ok(consumer.pause([t(1)]));
        home.ok(consumer.assign([t(1), t(2)]));
        assert_eq!(consumer.paused(), [t(1)], "{home}");
        assert_eq!(home.ok(consumer.position(&t(1))), 6, "{home}");
        home.ok(consumer.assign([t(0), t(1)]));
        assert_eq!(home.ok(consumer.position(&t(0))), 0, "{home}: it was given back");
        // Unsubscribing gives everything back.
        home.ok(consumer.unsubscribe());
        home.ok(consumer.assign([t(1)]));
        assert!(consumer.paused().is_empty(), "{home}");
        assert_eq!(home.ok(consumer.position(&t(1))), 0, "{home}");
    }
}

/// What was read before the damage would be lost with the error.
#[test]
fn read_to_end_that_meets_damage_moves_no_position() {
    for home in homes().into_iter().filter(|home| home.dir().is_some()) {
        let broker = with_topic(&home, 2);
        for number in [0, 1, 0, 0] {
            put(&broker, number, &numbered("v", 5));
        }
        broker.close().unwrap();
        let file = home.dir().unwrap().join("t-0/00000000000000000000.log");
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let broker = home.open();
        let consumer = earliest(&broker).build().unwrap();
        home.ok(consumer.assign([t(0), t(1)]));
        home.ok(consumer.seek(t(0), 2));
        for _ in 0..2 {
            home.fails(consumer.read_to_end(), ErrorCode::CorruptMessage);
            assert_eq!(home.ok(consumer.position(&t(0))), 2, "{home}");
            assert_eq!(home.ok(consumer.position(&t(1))), 0, "{home}");
        }
        let mut sound = 0;
        while sound < 13 {
            sound += home.ok(consumer.poll(Duration::ZERO)).len();
        }
        home.fails(consumer.poll(Duration::ZERO), ErrorCode::CorruptMessage);
        // An iterator ends with it; the other partition goes on.
        put(&broker, 1, &numbered("w", 3));
        let items: Vec<_> = consumer.iter().until_idle(Duration::ZERO).collect();
        assert!(items.last().is_some_and(|item| item.is_err()), "{home}");
        let next = || consumer.iter().until_idle(Duration::ZERO).filter(|r| r.is_ok()).count();
        let mut others = items.len() - 1;
        eventually("the other partition goes on", || {
            others += next();
            others == 3
        });
    }
}
