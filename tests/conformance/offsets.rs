//! Offsets, positions and commits.

use std::time::Duration;

use crate::homes::*;
use logreel::{
    Broker, Consumer, ErrorCode, NewTopic, OffsetAndMetadata, OffsetReset, OffsetSpec, Offsets,
    ProducerRecord,
};

fn member(broker: &Broker, group: &str) -> Consumer {
    let consumer = earliest(broker).group_id(group).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

fn committed(broker: &Broker, group: &str, number: i32) -> Option<i64> {
    let offsets = broker.committed_offsets(group).unwrap();
    offsets.iter().find(|(tp, _)| **tp == t(number)).map(|(_, position)| position.offset())
}

#[test]
fn t001_offsets_begin_at_zero_and_rise_by_one_in_each_partition() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        let producer = broker.producer().build().unwrap();
        for (number, count) in [(0, 3), (2, 1), (0, 2), (1, 4)] {
            let first = partition(&broker, "t", number).log_end_offset();
            for offset in first..first + count {
                let placed = producer.send(ProducerRecord::to("t").partition(number).value("x"));
                assert_eq!(home.ok(placed.wait()).offset(), Some(offset), "{home}");
            }
        }
        for (number, count) in [(0, 5), (1, 4), (2, 1)] {
            let read = read(&broker, "t", number);
            assert_eq!(offsets(&read), (0..count).collect::<Vec<_>>(), "{home}");
        }
    }
}

#[test]
fn t002_a_committed_offset_is_the_next_to_read() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 0, &numbered("v", 10));
        put(&broker, 1, &numbered("w", 3));
        let consumer = member(&broker, "g");
        let seventh = |record: &logreel::RecordRef<'_>| {
            record.offset() == 7 && *record.topic_partition() == t(0)
        };
        let records = home.ok(consumer.read_to_end());
        let record = records.iter().find(seventh).unwrap();
        home.ok(consumer.commit_record(&record));
        let position = home.ok(consumer.committed(&t(0))).unwrap();
        assert_eq!((position.offset(), position.leader_epoch()), (8, record.leader_epoch()));
        assert_eq!(home.ok(consumer.committed(&t(1))), None, "{home}: other partitions are not");
        consumer.close().unwrap();
        broker.close().unwrap();
        let broker = home.open();
        let again = home.ok(member(&broker, "g").read_to_end()).to_vec();
        let of = |number: i32| again.iter().filter(move |r| r.partition == number).count();
        assert_eq!((of(0), of(1)), (2, 3), "{home}");
        assert!(again.iter().all(|record| record.partition == 1 || record.offset >= 8), "{home}");
    }
}

#[test]
fn t003_commit_covers_what_the_last_poll_returned_whether_or_not_it_was_worked_on() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 10));
        let consumer = earliest(&broker).group_id("g").max_poll_records(4).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        let records = home.ok(consumer.poll(LONG));
        assert_eq!(records.iter().next().unwrap().offset(), 0, "one is worked on");
        home.ok(consumer.commit());
        assert_eq!(committed(&broker, "g", 0), Some(4), "{home}: not what was read ahead");
    }
}

/// A poll does not wait for the commit it asks for.
fn settle(consumer: &Consumer) {
    consumer.commit_offsets(&Offsets::new()).unwrap();
}

#[test]
fn t004_auto_commit_covers_earlier_polls_not_the_one_that_makes_it() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 10));
        let settings = earliest(&broker).group_id("g").max_poll_records(3);
        let consumer =
            settings.enable_auto_commit(true).auto_commit_interval(Duration::ZERO).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        let mut seen = 0;
        for before in [None, Some(3), Some(6), Some(9), Some(10)] {
            seen += home.ok(consumer.poll(Duration::ZERO)).len();
            settle(&consumer);
            assert_eq!(committed(&broker, "g", 0), before, "{home}: {seen}");
        }
        assert_eq!(seen, 10, "{home}");
    }
}

#[test]
fn t005_auto_commit_happens_in_calls_only_however_much_time_passes() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 10));
        let settings = earliest(&broker).group_id("g").enable_auto_commit(true);
        let consumer = settings.auto_commit_interval(ms(20)).max_poll_records(4).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(home.ok(consumer.poll(Duration::ZERO)).len(), 4);
        home.pass(ms(60));
        broker.run_due();
        assert_eq!(committed(&broker, "g", 0), None, "{home}");
        assert_eq!(home.ok(consumer.poll(Duration::ZERO)).len(), 4);
        settle(&consumer);
        assert_eq!(committed(&broker, "g", 0), Some(4), "{home}: the poll did");
        home.ok(consumer.close());
        assert_eq!(committed(&broker, "g", 0), Some(8), "{home}: the close did");
    }
}

#[test]
fn t005_an_assignment_commits_what_it_replaces() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 0, &numbered("v", 10));
        let settings = earliest(&broker).group_id("g").enable_auto_commit(true);
        let consumer = settings.auto_commit_interval(LONG).max_poll_records(4).build().unwrap();
        consumer.assign([t(0)]).unwrap();
        assert_eq!(home.ok(consumer.poll(Duration::ZERO)).len(), 4);
        assert_eq!(committed(&broker, "g", 0), None, "{home}");
        home.ok(consumer.assign([t(1)]));
        settle(&consumer);
        assert_eq!(committed(&broker, "g", 0), Some(4), "{home}");
    }
}

#[test]
fn t007_without_auto_commit_neither_close_nor_drop_commits() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 10));
        for close in [true, false] {
            let consumer = member(&broker, "g");
            assert_eq!(drain(&consumer).len(), 10, "{home}");
            if close {
                home.ok(consumer.close());
            } else {
                drop(consumer);
            }
            assert_eq!(committed(&broker, "g", 0), None, "{home}");
        }
        // With it a drop does not either: it may be a panic's.
        let settings = earliest(&broker).group_id("g").enable_auto_commit(true);
        let consumer = settings.build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(drain(&consumer).len(), 10, "{home}");
        drop(consumer);
        assert_eq!(committed(&broker, "g", 0), None, "{home}");
    }
}

#[test]
fn t008_a_position_before_the_first_poll_is_the_commit_else_the_reset() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 0, &numbered("v", 10));
        put(&broker, 1, &numbered("v", 5));
        for (reset, other) in [(OffsetReset::Earliest, 0), (OffsetReset::Latest, 5)] {
            let consumer = broker.consumer().group_id("g").auto_offset_reset(reset);
            let consumer = consumer.build().unwrap();
            consumer.assign([t(0), t(1)]).unwrap();
            home.ok(consumer.commit_offsets(&[(t(0), 4)].into_iter().collect()));
            assert_eq!(home.ok(consumer.position(&t(0))), 4, "{home}");
            assert_eq!(home.ok(consumer.position(&t(1))), other, "{home}");
        }
    }
}

#[test]
fn t009_without_a_commit_committed_is_none() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let consumer = member(&broker, "g");
        home.ok(consumer.poll(Duration::ZERO));
        assert_eq!(home.ok(consumer.committed(&t(0))), None, "{home}");
        home.ok(consumer.commit_offsets(&[(t(0), 0)].into_iter().collect()));
        assert_eq!(home.ok(consumer.committed(&t(0))), Some(OffsetAndMetadata::new(0)), "{home}");
        assert_eq!(home.ok(consumer.committed(&t(1))), None, "{home}");
    }
}

#[test]
fn t010_metadata_comes_back_and_may_have_4096_bytes() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let consumer = member(&broker, "g");
        home.ok(consumer.poll(Duration::ZERO));
        let with = |offset: i64, text: &str| -> Offsets {
            [(t(0), OffsetAndMetadata::new(offset).with_metadata(text))].into_iter().collect()
        };
        for text in ["", "by \u{fc}ber \u{1f980}\n\0", &"x".repeat(4096)] {
            home.ok(consumer.commit_offsets(&with(5, text)));
            assert_eq!(home.ok(consumer.committed(&t(0))).unwrap().metadata(), text, "{home}");
        }
        let refused = consumer.commit_offsets(&with(6, &"x".repeat(4097)));
        home.fails(refused, ErrorCode::OffsetMetadataTooLarge);
        assert_eq!(committed(&broker, "g", 0), Some(5), "{home}");
    }
}

#[test]
fn t011_a_commit_past_the_end_is_taken_and_the_next_fetch_is_out_of_range() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 3));
        let consumer = member(&broker, "g");
        home.ok(consumer.poll(Duration::ZERO));
        home.ok(consumer.commit_offsets(&[(t(0), 1_000_000)].into_iter().collect()));
        assert_eq!(home.ok(consumer.committed(&t(0))).unwrap().offset(), 1_000_000, "{home}");
        drop(consumer);
        assert_eq!(drain(&member(&broker, "g")).len(), 3, "{home}: reset to the start");
        let strict = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::None);
        let strict = strict.build().unwrap();
        strict.assign([t(0)]).unwrap();
        home.fails(strict.poll(Duration::ZERO), ErrorCode::OffsetOutOfRange);
    }
}

#[test]
fn t012_a_negative_offset_is_not_committed() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let consumer = member(&broker, "g");
        home.ok(consumer.poll(Duration::ZERO));
        for offset in [-1, i64::MIN] {
            let offsets: Offsets = [(t(0), 3), (t(1), offset)].into_iter().collect();
            home.err(consumer.commit_offsets(&offsets));
            assert_eq!(committed(&broker, "g", 0), None, "{home}: all or nothing");
        }
    }
}

#[test]
fn t014_groups_commit_independently_and_a_new_one_sees_nothing() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 9));
        for (group, offset) in [("a", 3), ("b", 7)] {
            let consumer = member(&broker, group);
            home.ok(consumer.poll(Duration::ZERO));
            home.ok(consumer.commit_offsets(&[(t(0), offset)].into_iter().collect()));
        }
        for (group, commit, left) in [("a", Some(3), 6), ("b", Some(7), 2), ("c", None, 9)] {
            assert_eq!(committed(&broker, group, 0), commit, "{home}");
            assert_eq!(drain(&member(&broker, group)).len(), left, "{home}: {group}");
        }
    }
}

#[test]
fn t015_commits_survive_a_restart_and_positions_do_not() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 9));
        let consumer = earliest(&broker).group_id("g").max_poll_records(3).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(home.ok(consumer.poll(LONG)).len(), 3);
        home.ok(consumer.commit());
        assert_eq!(home.ok(consumer.poll(LONG)).len(), 3);
        home.ok(consumer.close());
        home.ok(broker.close());
        let broker = home.open();
        assert_eq!(committed(&broker, "g", 0), Some(3), "{home}");
        assert_eq!(offsets(&drain(&member(&broker, "g"))), [3, 4, 5, 6, 7, 8], "{home}");
    }
}

#[test]
fn t017_the_commits_of_a_deleted_topic_go_from_every_group() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        broker.create_topic("other").unwrap();
        for group in ["a", "b"] {
            let consumer = earliest(&broker).group_id(group).build().unwrap();
            let offsets = [(t(0), 3), (t(1), 4), (("other", 0).into(), 5)];
            home.ok(consumer.commit_offsets(&offsets.into_iter().collect()));
        }
        home.ok(broker.delete_topic("t"));
        home.ok(broker.create_topic(NewTopic::new("t").partitions(2)));
        for group in ["a", "b"] {
            let left = home.ok(broker.committed_offsets(group));
            let left: Vec<_> = left.iter().map(|(tp, o)| (tp.clone(), o.offset())).collect();
            assert_eq!(left, [(("other", 0).into(), 5)], "{home}");
        }
    }
}

#[test]
fn t018_subscribing_clears_no_commits() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        broker.create_topic("other").unwrap();
        put(&broker, 0, &numbered("v", 5));
        let consumer = member(&broker, "g");
        home.ok(consumer.poll(Duration::ZERO));
        home.ok(consumer.commit_offsets(&[(t(0), 2)].into_iter().collect()));
        for topics in [vec!["other"], vec!["t", "other"], vec!["t"]] {
            home.ok(consumer.subscribe(topics));
            home.ok(consumer.poll(Duration::ZERO));
            assert_eq!(committed(&broker, "g", 0), Some(2), "{home}");
        }
        home.ok(consumer.unsubscribe());
        assert_eq!(committed(&broker, "g", 0), Some(2), "{home}");
    }
}

#[test]
fn t028_offsets_for_times_are_the_first_at_or_after_the_time() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let producer = broker.producer().batch_size(200).build().unwrap();
        let now = home.now();
        for i in 0..50 {
            let record = ProducerRecord::to("t").partition(0).timestamp(now + 10 * i).value("x");
            producer.send(record).forget();
        }
        producer.flush(LONG).unwrap();
        let consumer = earliest(&broker).build().unwrap();
        for (time, wanted) in [
            (0, Some(0)),
            (now, Some(0)),
            (now + 1, Some(1)),
            (now + 100, Some(10)),
            (now + 490, Some(49)),
            (now + 491, None),
            (i64::MAX, None),
        ] {
            let found = home.ok(consumer.offsets_for_times([(t(0), time), (t(1), time)]));
            let offset = found[&t(0)].map(|found| found.offset);
            assert_eq!(offset, wanted, "{home}: {time}");
            let stamp = found[&t(0)].and_then(|found| found.timestamp);
            assert_eq!(stamp, wanted.map(|offset| now + 10 * offset), "{home}");
            assert_eq!(found[&t(1)], None, "{home}: an empty partition");
        }
        home.fails(consumer.offsets_for_times([(t(0), -1)]), ErrorCode::InvalidRequest);
        let unknown = consumer.offsets_for_times([(t(2), 0)]);
        home.fails(unknown, ErrorCode::UnknownTopicOrPartition);
        // A seek there goes to the end where there is none.
        consumer.assign([t(0)]).unwrap();
        home.ok(consumer.seek(t(0), OffsetSpec::Timestamp(now + 491)));
        assert_eq!(home.ok(consumer.position(&t(0))), 50, "{home}");
    }
}

#[test]
fn t029_with_times_out_of_order_the_first_offset_counts() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let now = home.now();
        let producer = broker.producer().batch_size(0).build().unwrap();
        for after in [5, 1, 9, 3, 9, 0, 7] {
            producer.send(value("x").timestamp(now + after)).wait().unwrap();
        }
        let consumer = earliest(&broker).build().unwrap();
        for (after, wanted) in [(0, 0), (5, 0), (6, 2), (7, 2), (9, 2)] {
            let found = home.ok(consumer.offsets_for_times([(t(0), now + after)]));
            assert_eq!(found[&t(0)].unwrap().offset, wanted, "{home}: {after}");
        }
        let found = home.ok(consumer.offsets_for_times([(t(0), now + 10)]));
        assert_eq!(found[&t(0)], None, "{home}");
    }
}

#[test]
fn t074_lag_is_end_minus_commit_and_without_a_commit_there_is_none() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        for number in 0..3 {
            put(&broker, number, &numbered("v", 10));
        }
        let consumer = member(&broker, "g");
        assert_eq!(drain(&consumer).len(), 30);
        let lag = |consumer: &Consumer| -> Vec<Option<u64>> {
            home.ok(consumer.lag()).into_values().collect()
        };
        assert_eq!(lag(&consumer), [None, None, None], "{home}: positions are no commits");
        let offsets = [(t(0), 4), (t(1), 10), (t(2), 99)];
        home.ok(consumer.commit_offsets(&offsets.into_iter().collect()));
        assert_eq!(lag(&consumer), [Some(6), Some(0), Some(0)], "{home}");
        // The group says the same, also of partitions that nobody has committed in.
        put(&broker, 1, &numbered("v", 2));
        let of_group = |id: &str| -> Vec<Option<u64>> {
            home.ok(broker.group(id).lag()).iter().map(|lag| lag.lag).collect()
        };
        assert_eq!(of_group("g"), [Some(6), Some(2), Some(0)], "{home}");
        let newcomer = member(&broker, "new");
        home.ok(newcomer.poll(Duration::ZERO));
        assert_eq!(of_group("new"), [None, None, None], "{home}");
        let loner = earliest(&broker).build().unwrap();
        loner.assign([t(0)]).unwrap();
        home.fails(loner.lag(), ErrorCode::InvalidGroupId);
    }
}
