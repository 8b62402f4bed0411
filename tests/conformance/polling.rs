//! Polls: their limits, waking them, resting partitions, and reading without polls.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::homes::*;
use logreel::{Broker, Consumer, ErrorCode, ErrorKind, OffsetReset, ProducerRecord, Records};

/// The offsets of each partition come in order, without gaps.
#[derive(Default)]
struct Seen(BTreeMap<i32, i64>);

impl Seen {
    #[track_caller]
    fn take(&mut self, records: &Records) {
        for record in records {
            let next = self.0.entry(record.partition()).or_default();
            assert_eq!(record.offset(), *next, "partition {}", record.partition());
            *next += 1;
        }
    }

    fn total(&self) -> i64 {
        self.0.values().sum()
    }
}

fn assigned(settings: logreel::consumer::ConsumerBuilder, partitions: i32) -> Consumer {
    let consumer = settings.build().unwrap();
    consumer.assign((0..partitions).map(t)).unwrap();
    consumer
}

#[test]
fn t031_a_poll_of_zero_does_not_block() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let consumer = earliest(&broker).group_id("g").fetch_min_bytes(1000).build().unwrap();
        consumer.subscribe(["t", "later"]).unwrap();
        for _ in 0..3 {
            let (polled, took) = home.timed(|| home.ok(consumer.poll(Duration::ZERO)));
            assert!(polled.is_empty(), "{home}: held back");
            home.assert_took(took, Duration::ZERO);
            put(&broker, 0, &numbered("v", 1));
        }
        assert_eq!(consumer.assignment().len(), 2, "{home}");
    }
}

#[test]
fn t032_a_poll_has_at_most_max_poll_records_and_nothing_is_lost() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        for (number, batches) in [(0, 20), (1, 3), (2, 1)] {
            for _ in 0..batches {
                put(&broker, number, &numbered("v", 10));
            }
        }
        let consumer = assigned(earliest(&broker).max_poll_records(7), 3);
        let mut seen = Seen::default();
        while seen.total() < 240 {
            let records = home.ok(consumer.poll(Duration::ZERO));
            assert!((1..=7).contains(&records.len()), "{home}: {}", records.len());
            seen.take(&records);
        }
        assert!(drain(&consumer).is_empty(), "{home}");
        // 500 by default, over all partitions.
        put(&broker, 1, &numbered("v", 600));
        let consumer = assigned(earliest(&broker), 3);
        assert_eq!(home.ok(consumer.poll(Duration::ZERO)).len(), 500, "{home}");
        assert_eq!(drain(&consumer).len(), 340, "{home}");
        home.fails(earliest(&broker).max_poll_records(0).build(), ErrorCode::InvalidConfig);
    }
}

#[test]
fn a_poll_begins_after_the_partition_that_gave_the_last_records() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        for number in 0..3 {
            put(&broker, number, &numbered("v", 10));
        }
        let consumer = assigned(earliest(&broker).max_poll_records(5), 3);
        let mut turns = Vec::new();
        for _ in 0..6 {
            turns.extend(home.ok(consumer.poll(Duration::ZERO)).partitions());
        }
        assert_eq!(turns, [t(0), t(1), t(2), t(0), t(1), t(2)], "{home}");
        // Nobody starves behind one that always has more.
        for number in 0..3 {
            put(&broker, number, &numbered("v", 7));
        }
        let mut first = Vec::new();
        for _ in 0..5 {
            let records = home.ok(consumer.poll(Duration::ZERO));
            first.push(records.iter().next().unwrap().partition());
        }
        // The fourth is two of partition 0, two of 1 and the first of the last two of 2.
        assert_eq!(first, [0, 1, 2, 0, 2], "{home}");
    }
}

#[test]
fn t033_an_empty_poll_is_no_error_and_lists_no_partition() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        let consumer = assigned(earliest(&broker), 3);
        let records = home.ok(consumer.poll(ms(5)));
        assert!(records.is_empty() && records.partitions().is_empty(), "{home}");
        put(&broker, 1, &numbered("v", 1));
        let records = home.ok(consumer.poll(LONG));
        assert_eq!(records.partitions(), [t(1)], "{home}");
        assert_eq!(records.next_offsets().len(), 1, "{home}");
    }
}

#[test]
fn t035_the_byte_limits_are_soft_for_the_first_batch_only() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        for number in 0..2 {
            for _ in 0..4 {
                put(&broker, number, &["x".repeat(1000)]);
            }
        }
        let sizes = |consumer: &Consumer| -> Vec<usize> {
            let mut seen = Seen::default();
            let mut sizes = Vec::new();
            while seen.total() < 8 {
                let records = home.ok(consumer.poll(Duration::ZERO));
                seen.take(&records);
                sizes.push(records.len());
            }
            sizes
        };
        // Less than a batch: one a poll, by turns.
        let small = |bytes| earliest(&broker).fetch_max_bytes(bytes);
        for bytes in [0, 100, 1070] {
            assert_eq!(sizes(&assigned(small(bytes), 2)), [1; 8], "{home}: {bytes}");
            let both = small(bytes).max_partition_fetch_bytes(bytes);
            assert_eq!(sizes(&assigned(both, 2)), [1; 8], "{home}: {bytes}");
        }
        // A partition's limit holds for each, that of a poll for all of them.
        let two = assigned(earliest(&broker).max_partition_fetch_bytes(2300), 2);
        assert_eq!(sizes(&two), [4, 4], "{home}");
        assert_eq!(sizes(&assigned(small(3300), 2)), [3, 3, 2], "{home}");
        assert_eq!(sizes(&assigned(earliest(&broker), 2)), [8], "{home}");
    }
}

#[test]
fn t036_fetch_min_bytes_holds_back_up_to_fetch_max_wait() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let settings = || earliest(&broker).fetch_min_bytes(2000).fetch_max_wait(ms(300));
        let consumer = assigned(settings(), 2);
        put(&broker, 0, &numbered("v", 1));
        let (records, took) = home.timed(|| home.ok(consumer.poll(LONG)));
        assert_eq!(records.len(), 1, "{home}");
        home.assert_took(took, ms(300));
        // Enough in all partitions together comes at once.
        put(&broker, 0, &["x".repeat(900)]);
        assert!(home.ok(consumer.poll(Duration::ZERO)).is_empty(), "{home}: held back");
        put(&broker, 1, &["x".repeat(1100)]);
        let (records, took) = home.timed(|| home.ok(consumer.poll(Duration::ZERO)));
        assert_eq!(records.len(), 2, "{home}");
        home.assert_took(took, Duration::ZERO);
        // The wait goes on over short polls.
        put(&broker, 0, &numbered("v", 1));
        assert!(home.ok(consumer.poll(Duration::ZERO)).is_empty(), "{home}");
        home.pass(ms(300));
        assert_eq!(home.ok(consumer.poll(Duration::ZERO)).len(), 1, "{home}");
        // What was held back once is not again: the rest of a batch, and what fills a partition.
        let consumer = assigned(settings().max_poll_records(1), 1);
        assert_eq!(drain(&consumer).len(), 0, "{home}");
        put(&broker, 0, &numbered("v", 300));
        assert_eq!(drain(&consumer).len(), 303, "{home}");
        let consumer = assigned(settings().max_partition_fetch_bytes(500), 1);
        assert_eq!(home.ok(consumer.poll(Duration::ZERO)).len(), 1, "{home}");
    }
}

#[test]
fn t036_what_is_held_back_comes_when_another_thread_appends_enough() {
    for home in homes().into_iter().filter(|home| !home.is_mock()) {
        let broker = with_topic(&home, 1);
        let settings = earliest(&broker).fetch_min_bytes(1000).fetch_max_wait(LONG);
        let consumer = assigned(settings, 1);
        put(&broker, 0, &numbered("v", 1));
        std::thread::scope(|scope| {
            let polled = scope.spawn(|| home.ok(consumer.poll(LONG)).len());
            std::thread::sleep(ms(20));
            put(&broker, 0, &numbered("w", 1));
            std::thread::sleep(ms(20));
            put(&broker, 0, &["x".repeat(1000)]);
            assert_eq!(polled.join().unwrap(), 3, "{home}");
        });
    }
}

#[test]
fn t037_paused_partitions_give_nothing_and_go_on_where_they_were() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 0, &numbered("v", 10));
        put(&broker, 1, &numbered("w", 10));
        let consumer = assigned(earliest(&broker).max_poll_records(3), 2);
        let mut seen = Seen::default();
        seen.take(&home.ok(consumer.poll(Duration::ZERO)));
        assert_eq!(seen.0[&0], 3, "{home}: the rest is read ahead");
        home.ok(consumer.pause([t(0)]));
        assert_eq!(consumer.paused(), [t(0)], "{home}");
        let others = drain(&consumer);
        assert_eq!(offsets(&others), (0..10).collect::<Vec<_>>(), "{home}");
        assert!(others.iter().all(|record| record.partition == 1), "{home}");
        assert_eq!(consumer.assignment().len(), 2, "{home}: it stays assigned");
        put(&broker, 0, &numbered("more", 5));
        assert!(home.ok(consumer.poll(ms(5))).is_empty(), "{home}");
        assert!(home.ok(consumer.read_to_end()).is_empty(), "{home}");
        home.ok(consumer.resume([t(0)]));
        assert!(consumer.paused().is_empty(), "{home}");
        assert_eq!(offsets(&drain(&consumer)), (3..15).collect::<Vec<_>>(), "{home}");
    }
}

#[test]
fn t037_a_poll_that_waits_sees_a_resume_and_a_seek() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 3));
        let consumer = assigned(earliest(&broker), 1);
        home.ok(consumer.pause([t(0)]));
        std::thread::scope(|scope| {
            let polled = scope.spawn(|| home.ok(consumer.poll(Duration::MAX)).len());
            std::thread::sleep(ms(20));
            home.ok(consumer.resume([t(0)]));
            assert_eq!(polled.join().unwrap(), 3, "{home}");
            let polled = scope.spawn(|| home.ok(consumer.poll(Duration::MAX)).to_vec());
            std::thread::sleep(ms(20));
            home.ok(consumer.seek(t(0), 2));
            assert_eq!(offsets(&polled.join().unwrap()), [2], "{home}");
        });
    }
}

#[test]
fn t039_a_wake_up_ends_one_poll_and_is_not_lost() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let consumer = assigned(earliest(&broker), 1);
        let handle = consumer.wakeup_handle();
        let woken = |polled: logreel::Result<Records>| {
            assert_eq!(home.err(polled).kind(), ErrorKind::Wakeup, "{home}");
        };
        // Before the poll, however often; nothing that could be read is lost.
        put(&broker, 0, &numbered("v", 2));
        for _ in 0..3 {
            handle.clone().wakeup();
        }
        woken(consumer.poll(LONG));
        assert_eq!(home.ok(consumer.poll(Duration::ZERO)).len(), 2, "{home}");
        // During the poll.
        for _ in 0..3 {
            std::thread::scope(|scope| {
                let polled = scope.spawn(|| consumer.poll(Duration::MAX));
                std::thread::sleep(ms(10));
                handle.wakeup();
                woken(polled.join().unwrap());
            });
            assert!(home.ok(consumer.poll(Duration::ZERO)).is_empty(), "{home}");
        }
        // It ends an iteration; calls that wait for nothing go on.
        consumer.wakeup();
        assert!(home.ok(consumer.read_to_end()).is_empty(), "{home}");
        let mut iter = consumer.iter();
        assert_eq!(home.err(iter.next().unwrap()).kind(), ErrorKind::Wakeup, "{home}");
        assert!(iter.next().is_none(), "{home}");
        drop(consumer);
        handle.wakeup();
    }
}

#[test]
fn t040_subscribe_and_assign_exclude_each_other_until_unsubscribe() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let consumer = earliest(&broker).group_id("g").build().unwrap();
        let illegal = |error: logreel::Error| {
            assert_eq!(error.kind(), ErrorKind::IllegalState, "{home}: {error}");
        };
        illegal(home.err(consumer.poll(Duration::ZERO)));
        illegal(home.err(consumer.read_to_end()));
        home.ok(consumer.subscribe(["t"]));
        illegal(home.err(consumer.assign([t(0)])));
        assert_eq!(consumer.subscription().len(), 1, "{home}: it stays as it was");
        home.ok(consumer.unsubscribe());
        home.ok(consumer.assign([t(0)]));
        illegal(home.err(consumer.subscribe(["t"])));
        assert_eq!(consumer.assignment(), [t(0)], "{home}: it stays as it was");
        home.ok(consumer.unsubscribe());
        illegal(home.err(consumer.poll(Duration::ZERO)));
        home.ok(consumer.subscribe(["t"]));
    }
}

#[test]
fn t041_assigned_consumers_of_one_group_get_the_same_records() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 5));
        let member = earliest(&broker).group_id("g").build().unwrap();
        member.subscribe(["t"]).unwrap();
        assert_eq!(drain(&member).len(), 5, "{home}");
        for _ in 0..2 {
            let consumer = assigned(earliest(&broker).group_id("g"), 1);
            assert_eq!(drain(&consumer).len(), 5, "{home}");
        }
        put(&broker, 0, &numbered("w", 2));
        assert_eq!(drain(&member).len(), 2, "{home}: no rebalance");
        home.ok(member.commit());
    }
}

#[test]
fn t042_without_a_group_there_is_neither_subscription_nor_commit() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 5));
        for consumer in [earliest(&broker), earliest(&broker).group_id("")] {
            let consumer = consumer.enable_auto_commit(true).build().unwrap();
            home.fails(consumer.subscribe(["t"]), ErrorCode::InvalidGroupId);
            home.ok(consumer.assign([t(0)]));
            let records = home.ok(consumer.poll(LONG));
            assert_eq!(records.len(), 5, "{home}");
            home.fails(consumer.commit(), ErrorCode::InvalidGroupId);
            let record = records.iter().next().unwrap();
            home.fails(consumer.commit_record(&record), ErrorCode::InvalidGroupId);
            home.fails(consumer.committed(&t(0)), ErrorCode::InvalidGroupId);
            home.ok(consumer.close());
        }
    }
}

#[test]
fn t043_new_partitions_come_without_a_new_subscribe() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let consumer = earliest(&broker).group_id("g").build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        put(&broker, 0, &numbered("v", 2));
        let first = home.ok(consumer.poll(LONG));
        home.ok(consumer.commit());
        home.ok(broker.create_partitions("t", 2));
        put(&broker, 1, &numbered("w", 3));
        assert_eq!(first.len() + drain(&consumer).len(), 5, "{home}");
        assert_eq!(consumer.assignment(), [t(0), t(1)], "{home}");
    }
}

#[test]
fn t043_latest_misses_the_first_records_of_new_partitions() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let settings = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Latest);
        let consumer = settings.build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        assert!(drain(&consumer).is_empty(), "{home}");
        home.ok(broker.create_partitions("t", 2));
        put(&broker, 1, &numbered("missed", 3));
        assert!(drain(&consumer).is_empty(), "{home}");
        assert_eq!(consumer.assignment(), [t(0), t(1)], "{home}");
        put(&broker, 1, &numbered("seen", 2));
        assert_eq!(offsets(&drain(&consumer)), [3, 4], "{home}");
    }
}

#[test]
fn t046_read_to_end_stops_where_the_end_was() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        for number in 0..3 {
            for _ in 0..5 {
                put(&broker, number, &numbered("v", 100));
            }
        }
        let settings = earliest(&broker).max_poll_records(70).max_partition_fetch_bytes(100);
        let consumer = assigned(settings, 3);
        let mut seen = Seen::default();
        seen.take(&home.ok(consumer.poll(LONG)));
        assert_eq!(seen.total(), 70, "{home}");
        let rest = home.ok(consumer.read_to_end());
        seen.take(&rest);
        assert_eq!(seen.0, [(0, 500), (1, 500), (2, 500)].into(), "{home}");
        assert!(home.ok(consumer.read_to_end()).is_empty(), "{home}");
        put(&broker, 1, &numbered("w", 3));
        assert_eq!(home.ok(consumer.read_to_end()).len(), 3, "{home}");
        // Lingering batches whose time has come belong to it.
        let producer = broker.producer().linger(ms(5)).build().unwrap();
        producer.send(ProducerRecord::to("t").partition(0).value("x")).forget();
        home.pass(ms(10));
        eventually("it is written", || home.ok(consumer.read_to_end()).len() == 1);
    }
}

#[test]
fn an_iterator_hands_out_each_record_once_and_may_be_dropped_at_any_time() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 0, &numbered("v", 20));
        put(&broker, 1, &numbered("w", 20));
        let consumer = earliest(&broker).group_id("g").build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        let mut next = [0, 0];
        for _ in 0..4 {
            for record in consumer.iter().take(5) {
                let record = home.ok(record);
                let next = &mut next[record.partition as usize];
                assert_eq!(record.offset, *next, "{home}");
                *next += 1;
            }
            home.ok(consumer.commit());
            let lag = home.ok(consumer.lag()).values().map(|lag| lag.unwrap_or(0)).sum::<u64>();
            assert_eq!(lag, 40 - next.iter().sum::<i64>() as u64, "{home}: no more, no less");
        }
        let rest = || consumer.iter().until_idle(ms(30)).filter(|record| record.is_ok()).count();
        let (count, took) = home.timed(rest);
        assert_eq!(count, 20, "{home}");
        home.assert_took(took, ms(30));
        assert_eq!(consumer.iter().until_idle(Duration::ZERO).count(), 0, "{home}");
        broker.close().unwrap();
        let mut ended = consumer.iter();
        assert_eq!(home.err(ended.next().unwrap()).kind(), ErrorKind::Closed, "{home}");
        assert!(ended.next().is_none(), "{home}");
    }
}

#[test]
fn the_keys_of_a_real_consumer_load() {
    let broker = Broker::in_memory();
    let settings = broker
        .consumer()
        .set("bootstrap.servers", "b:9092")
        .set("key.deserializer", "x")
        .set("request.timeout.ms", "30000")
        .set("ssl.protocol", "TLSv1.3")
        .set("fetch.min.bytes", "1")
        .set("fetch.max.wait.ms", "500")
        .set("max.poll.records", "10");
    let ignored = ["bootstrap.servers", "key.deserializer", "request.timeout.ms", "ssl.protocol"];
    assert_eq!(settings.ignored(), ignored);
    settings.build().unwrap();
    for (key, value) in [("max.poll.records", "0"), ("fetch.min.bytes", "-1"), ("fetch.min", "1")] {
        let error = broker.consumer().set(key, value).build().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidConfig), "{key}");
        assert!(error.to_string().contains(key), "{error}");
    }
}
