//! Administration of groups: lag, altering, deleting and resetting what they committed.

use std::thread;
use std::time::{Duration, Instant};

use crate::homes::*;
use logreel::admin::{GroupState, ResetScope, ResetTo};
use logreel::testing::{MockClock, SimStorage};
use logreel::{
    Broker, Consumer, ConsumerGroup, Error, ErrorCode, ErrorKind, NewTopic, OffsetAndMetadata,
    OffsetReset, Offsets, RawRecord, TopicPartition,
};

fn offsets<const N: usize>(list: [(&str, i32, i64); N]) -> Offsets {
    list.into_iter().map(|(topic, partition, offset)| ((topic, partition), offset)).collect()
}

/// A topic of two partitions, with ten records in the first, a second apart, and none in the other.
fn fill(broker: &Broker) {
    let topic = broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    for n in 0..10 {
        let record = RawRecord::new(None, Some(b"x")).timestamp(NOW + n * 1000);
        topic.partition(0).unwrap().append([record]).unwrap();
    }
}

fn member(group: &ConsumerGroup) -> Consumer {
    let settings = group.member().auto_offset_reset(OffsetReset::Earliest);
    let member = settings.enable_auto_commit(false).build().unwrap();
    member.subscribe(["t"]).unwrap();
    member.poll(SECOND).unwrap();
    member
}

fn code<T>(result: Result<T, Error>) -> Option<ErrorCode> {
    result.err().and_then(|error| error.code())
}

/// What the group committed, as text.
fn committed(group: &ConsumerGroup) -> Vec<String> {
    let committed = group.committed().unwrap();
    committed.iter().map(|(tp, position)| format!("{tp}@{}", position.offset())).collect()
}

#[test]
fn lag_is_known_where_both_ends_are() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g");
        assert!(group.lag().unwrap().is_empty());
        assert_eq!(group.total_lag().unwrap(), 0);
        // A commit may lie past the end.
        group.alter_offsets(&offsets([("t", 0, 4), ("t", 1, 99)])).unwrap();
        let lags = group.lag().unwrap();
        let shown: Vec<_> = lags
            .iter()
            .map(|lag| {
                (lag.topic_partition.to_string(), lag.committed, lag.log_end_offset, lag.lag)
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("t-0".to_owned(), Some(4), Some(10), Some(6)),
                ("t-1".to_owned(), Some(99), Some(0), Some(0)),
            ]
        );
        assert_eq!(group.total_lag().unwrap(), 6);
        broker.topic("t").unwrap().partition(0).unwrap().append([(None, Some("y"))]).unwrap();
        assert_eq!(group.total_lag().unwrap(), 7);
    }
}

#[test]
fn altered_offsets_are_committed_and_stay() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g");
        group.alter_offsets(&offsets([("t", 0, 4), ("t", 1, 2)])).unwrap();
        let told: Offsets =
            [(("t", 0), OffsetAndMetadata::new(5).with_metadata("by hand"))].into_iter().collect();
        group.alter_offsets(&told).unwrap();
        assert_eq!(committed(&group), ["t-0@5", "t-1@2"]);
        drop((broker, group));
        let group = home.open().group("g");
        assert_eq!(committed(&group), ["t-0@5", "t-1@2"]);
        let position = group.committed().unwrap().get(&("t", 0).into()).cloned();
        assert_eq!(position.unwrap().metadata(), "by hand");
        // A new member goes on there.
        let member = group.join(["t"]).unwrap();
        assert_eq!(member.poll(SECOND).unwrap().iter().next().unwrap().offset(), 5);
    }
}

#[test]
fn offsets_of_a_group_with_members_are_its_own() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g");
        let member = member(&group);
        member.commit().unwrap();
        let altered = group.alter_offsets(&offsets([("t", 0, 4)]));
        assert_eq!(code(altered), Some(ErrorCode::UnknownMemberId));
        let planned = group.plan_reset("t", ResetTo::Earliest);
        assert_eq!(code(planned), Some(ErrorCode::NonEmptyGroup));
        assert_eq!(code(group.plan_csv("t,0,1")), Some(ErrorCode::NonEmptyGroup));
        assert_eq!(code(group.delete()), Some(ErrorCode::NonEmptyGroup));
        let deleted = group.delete_offsets([("t", 0)]);
        let error = deleted.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::GroupSubscribedToTopic));
        assert_eq!(error.topic_partition(), Some(&("t", 0).into()));
        assert_eq!(committed(&group), ["t-0@10", "t-1@0"]);
        drop(member);
        // What was planned before a member joined is refused when it is executed.
        let plan = group.plan_reset("t", ResetTo::Earliest).unwrap();
        let member = group.join(["t"]).unwrap();
        member.poll(Duration::ZERO).unwrap();
        assert_eq!(code(plan.execute()), Some(ErrorCode::UnknownMemberId));
        drop(member);
        plan.execute().unwrap();
        assert_eq!(committed(&group), ["t-0@0", "t-1@0"]);
    }
}

#[test]
fn what_does_not_exist_is_refused() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g");
        let unknown = Some(ErrorCode::UnknownTopicOrPartition);
        for (topic, partition) in [("nowhere", 0), ("t", 2), ("t", -1)] {
            let place: TopicPartition = (topic, partition).into();
            let one = offsets([("t", 0, 1), (topic, partition, 0)]);
            assert_eq!(code(group.alter_offsets(&one)), unknown);
            assert_eq!(code(group.plan_offsets(&one)), unknown);
            assert_eq!(code(group.plan_reset(place, ResetTo::Latest)), unknown);
        }
        assert_eq!(code(group.plan_reset("nowhere", ResetTo::Latest)), unknown);
        assert!(broker.groups().unwrap().is_empty(), "nothing was committed");
        assert_eq!(code(group.delete()), Some(ErrorCode::GroupIdNotFound));
        let deleted = group.delete_offsets([("t", 0)]);
        assert_eq!(code(deleted), Some(ErrorCode::GroupIdNotFound));

        let one = offsets([("t", 0, 1)]);
        let nameless = broker.group("");
        let invalid = Some(ErrorCode::InvalidGroupId);
        assert_eq!(code(nameless.alter_offsets(&one)), invalid);
        assert_eq!(code(nameless.plan_reset("t", ResetTo::Latest)), invalid);
        assert_eq!(code(nameless.delete()), invalid);
        assert_eq!(code(nameless.delete_offsets([("t", 0)])), invalid);
        assert_eq!(code(nameless.join(["t"])), invalid);

        let negative = group.alter_offsets(&offsets([("t", 0, -1)]));
        assert_eq!(code(negative), Some(ErrorCode::InvalidRequest));
        let long = OffsetAndMetadata::new(1).with_metadata("x".repeat(4097));
        let long: Offsets = [(("t", 0), long)].into_iter().collect();
        assert_eq!(code(group.alter_offsets(&long)), Some(ErrorCode::OffsetMetadataTooLarge));
        broker.close().unwrap();
        for error in [
            group.alter_offsets(&one).unwrap_err(),
            group.delete().unwrap_err(),
            group.delete_offsets([("t", 0)]).unwrap_err(),
            group.lag().unwrap_err(),
            group.plan_reset("t", ResetTo::Latest).unwrap_err(),
            group.wait_drained(SECOND).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        }
    }
}

#[test]
fn deleted_offsets_are_gone_for_good_and_others_stay() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g");
        group.alter_offsets(&offsets([("t", 0, 4), ("t", 1, 2)])).unwrap();
        broker.group("other").alter_offsets(&offsets([("t", 0, 7)])).unwrap();
        // Nothing goes if not all can.
        let deleted = group.delete_offsets([("t", 0), ("nowhere", 0)]);
        assert_eq!(code(deleted), Some(ErrorCode::UnknownTopicOrPartition));
        assert_eq!(committed(&group), ["t-0@4", "t-1@2"]);
        group.delete_offsets([("t", 0), ("t", 0)]).unwrap();
        assert_eq!(committed(&group), ["t-1@2"]);
        group.delete_offsets([("t", 0)]).unwrap();
        drop((broker, group));
        let broker = home.open();
        assert_eq!(committed(&broker.group("g")), ["t-1@2"]);
        assert_eq!(committed(&broker.group("other")), ["t-0@7"]);
    }
}

/// A group that never had a member is nothing but its commits.
#[test]
fn a_simple_group_goes_with_its_last_commit() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g");
        group.alter_offsets(&offsets([("t", 0, 4), ("t", 1, 2)])).unwrap();
        assert_eq!(group.state().unwrap(), GroupState::Empty);
        group.delete_offsets([("t", 0)]).unwrap();
        assert_eq!(broker.groups().unwrap(), ["g"]);
        group.delete_offsets([("t", 1)]).unwrap();
        drop((broker, group));
        let broker = home.open();
        assert!(broker.groups().unwrap().is_empty());
        let group = broker.group("g");
        let gone = Some(ErrorCode::GroupIdNotFound);
        assert_eq!(code(group.describe()), gone);
        assert_eq!(code(group.delete()), gone);
        assert_eq!(code(group.delete_offsets([("t", 0)])), gone);
    }
}

#[test]
fn a_deleted_group_is_gone_for_good() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g");
        member(&group).commit().unwrap();
        broker.group("other").alter_offsets(&offsets([("t", 0, 7)])).unwrap();
        assert_eq!(broker.groups().unwrap(), ["g", "other"]);
        let log = broker.topic("__consumer_offsets").unwrap().partition(0).unwrap();
        let before = log.log_end_offset();
        group.delete().unwrap();
        assert_eq!(log.recovery_point(), log.log_end_offset(), "durable on return");
        let keys: Vec<Vec<u8>> = log
            .read(before, 1 << 20)
            .unwrap()
            .iter()
            .map(|record| {
                assert_eq!(record.value(), None, "a tombstone");
                record.key().unwrap().to_vec()
            })
            .collect();
        let commit = |number: u8| [b"\0\x01\0\x01g\0\x01t\0\0\0", &[number][..]].concat();
        assert_eq!(keys, [commit(0), commit(1), b"\0\x02\0\x01g".to_vec()]);
        assert_eq!(code(group.delete()), Some(ErrorCode::GroupIdNotFound));
        drop((broker, group, log));
        let broker = home.open();
        assert_eq!(broker.groups().unwrap(), ["other"]);
        let group = broker.group("g");
        assert_eq!(code(group.delete()), Some(ErrorCode::GroupIdNotFound));
        // The name can be used again, from the start.
        let again = member(&group);
        assert_eq!(again.position(&("t", 0).into()).unwrap(), 10);
        again.commit().unwrap();
        assert_eq!(committed(&group), ["t-0@10", "t-1@0"]);
    }
}

/// A group that only had a member has nothing but its own record.
#[test]
fn a_group_without_commits_can_be_deleted() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        drop(member(&broker.group("g")));
        drop(broker);
        let group = home.open().group("g");
        group.delete().unwrap();
        assert_eq!(code(group.delete()), Some(ErrorCode::GroupIdNotFound));
        drop(group);
        let group = home.open().group("g");
        assert_eq!(code(group.delete()), Some(ErrorCode::GroupIdNotFound));
    }
}

#[test]
fn deletions_survive_power_cuts() {
    for whole_group in [false, true] {
        let sim = SimStorage::new();
        let broker = Broker::builder().storage(sim.storage()).open().unwrap();
        fill(&broker);
        let group = broker.group("g");
        group.alter_offsets(&offsets([("t", 0, 4), ("t", 1, 0)])).unwrap();
        if whole_group {
            group.delete().unwrap();
        } else {
            group.delete_offsets([("t", 0), ("t", 1)]).unwrap();
        }
        for state in sim.power_cut_states(sim.op_count(), 100, 0) {
            let broker = Broker::builder().storage(state.storage()).open().unwrap();
            assert!(broker.groups().unwrap().is_empty());
        }
    }
}

/// A directory that another broker wrote may hold a group twice; the older one is not in force, and
/// does not come back when the other is deleted.
#[test]
fn an_older_copy_of_a_group_goes_too() {
    for whole_group in [false, true] {
        let ours = memory_dir();
        let open = || Broker::builder().dir(ours.path()).offsets_topic_partitions(50);
        let broker = open().open().unwrap();
        broker.create_topic("t").unwrap();
        broker.group("my-group").alter_offsets(&offsets([("t", 0, 5)])).unwrap();
        broker.close().unwrap();
        // Its hash leads to 12; it was once kept in 3.
        let dir = memory_dir();
        let log = |number| format!("__consumer_offsets-{number}/{:020}.log", 0);
        for number in [3, 12] {
            std::fs::create_dir(dir.path().join(format!("__consumer_offsets-{number}"))).unwrap();
            std::fs::copy(ours.path().join(log(12)), dir.path().join(log(number))).unwrap();
        }
        let broker = Broker::open(dir.path()).unwrap();
        let group = broker.group("my-group");
        assert_eq!(committed(&group), ["t-0@5"]);
        if whole_group {
            group.delete().unwrap();
        } else {
            group.delete_offsets([("t", 0)]).unwrap();
        }
        for number in [3, 12] {
            let tp = ("__consumer_offsets", number).into();
            let log = broker.partition(&tp).unwrap();
            let last = log.read(log.log_end_offset() - 1, 1 << 20).unwrap();
            assert_eq!(last.iter().next().unwrap().value(), None, "{tp} ends with a tombstone");
        }
        drop((broker, group));
        assert!(Broker::open(dir.path()).unwrap().groups().unwrap().is_empty());
    }
}

#[test]
fn offsets_are_reset_in_every_way() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g");
        let ms = Duration::from_millis;
        // By the records' times: the clock is set to theirs, or else long past them.
        let ago = if home.clock.is_some() { ms(0) } else { ms(500) };
        let by_duration = if home.clock.is_some() { 0 } else { 10 };
        for (to, expected) in [
            (ResetTo::Earliest, 0),
            (ResetTo::Latest, 10),
            (ResetTo::Offset(4), 4),
            (ResetTo::Offset(10), 10),
            (ResetTo::Offset(11), 10),
            (ResetTo::Offset(-3), 0),
            (ResetTo::ShiftBy(2), 5),
            (ResetTo::ShiftBy(0), 3),
            (ResetTo::ShiftBy(-2), 1),
            (ResetTo::ShiftBy(-9), 0),
            (ResetTo::ShiftBy(9), 10),
            (ResetTo::ShiftBy(i64::MAX), 10),
            (ResetTo::ShiftBy(i64::MIN), 0),
            (ResetTo::Timestamp(NOW), 0),
            (ResetTo::Timestamp(NOW + 1), 1),
            (ResetTo::Timestamp(NOW + 9000), 9),
            (ResetTo::Timestamp(NOW + 9001), 10),
            (ResetTo::Timestamp(i64::MIN), 0),
            (ResetTo::ByDuration(ago), by_duration),
            (ResetTo::ByDuration(Duration::MAX), 0),
            (ResetTo::Current, 3),
        ] {
            group.alter_offsets(&offsets([("t", 0, 3), ("t", 1, 0)])).unwrap();
            let plan = group.plan_reset(ResetScope::partitions([("t", 0)]), to).unwrap();
            let planned: Vec<_> = plan.iter().collect();
            assert_eq!(planned.len(), 1);
            assert_eq!(
                (planned[0].committed, planned[0].new_offset),
                (Some(3), expected),
                "{to:?}"
            );
            let requested = match to {
                ResetTo::Offset(offset) => offset,
                ResetTo::ShiftBy(by) => by.saturating_add(3),
                _ => expected,
            };
            assert_eq!(planned[0].requested, requested);
            assert_eq!(committed(&group), ["t-0@3", "t-1@0"], "a plan changes nothing");
            plan.execute().unwrap();
            assert_eq!(committed(&group)[0], format!("t-0@{expected}"), "{to:?}");
        }
        // What was committed stays as it is, even past the end.
        group.alter_offsets(&offsets([("t", 0, 77)])).unwrap();
        group.reset_offsets("t", ResetTo::Current).unwrap();
        assert_eq!(committed(&group), ["t-0@77", "t-1@0"]);
        group.reset_offsets("t", ResetTo::Offset(6)).unwrap();
        drop((broker, group));
        assert_eq!(committed(&home.open().group("g")), ["t-0@6", "t-1@0"]);
    }
}

#[test]
fn a_reset_has_a_scope() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        broker.create_topic("u").unwrap();
        let group = broker.group("g");
        let plan = |scope: ResetScope, to| group.plan_reset(scope, to).unwrap().to_csv();
        assert_eq!(plan(ResetScope::all_topics(), ResetTo::Latest), "", "nothing is committed");
        assert_eq!(plan("t".into(), ResetTo::Latest), "t,0,10\nt,1,0\n");
        assert_eq!(
            plan(ResetScope::topics(["u", "t"]), ResetTo::Current),
            "t,0,10\nt,1,0\nu,0,0\n"
        );
        let twice = ResetScope::partitions([("t", 1)]).and("t").and(ResetScope::all_topics());
        assert_eq!(plan(twice, ResetTo::Earliest), "t,0,0\nt,1,0\n");
        let error = group.plan_reset("t", ResetTo::ShiftBy(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoOffsetForPartition);
        group.alter_offsets(&offsets([("t", 0, 2), ("u", 0, 0)])).unwrap();
        let all = ResetScope::all_topics;
        assert_eq!(plan(all(), ResetTo::Current), "t,0,2\nu,0,0\n");
        let error = group.plan_reset("t", ResetTo::ShiftBy(1)).unwrap_err();
        assert_eq!(error.topic_partition(), Some(&("t", 1).into()));
        let done = group.reset_offsets(all(), ResetTo::ShiftBy(1)).unwrap();
        assert_eq!(done, offsets([("t", 0, 3), ("u", 0, 0)]));
    }
}

#[test]
fn a_plan_can_be_written_down_and_read_again() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g, \"quoted\"");
        let plan = group.plan_reset("t", ResetTo::Offset(4)).unwrap();
        let quoted = "\"g, \"\"quoted\"\"\"";
        assert_eq!(plan.to_csv(), "t,0,4\nt,1,0\n");
        let with_group = plan.to_csv_with_group();
        assert_eq!(with_group, format!("{quoted},t,0,4\n{quoted},t,1,0\n"));
        for text in [plan.to_csv(), with_group] {
            group.plan_csv(&text).unwrap().execute().unwrap();
            assert_eq!(committed(&group), ["t-0@4", "t-1@0"]);
            group.delete().unwrap();
        }
        // A file may be from before the log was cut, or from a longer one.
        let plan = group.plan_csv("t,0,400\nt,1,-7").unwrap();
        let moved: Vec<_> = plan.iter().map(|to| (to.requested, to.new_offset)).collect();
        assert_eq!(moved, [(400, 10), (-7, 0)]);
        assert_eq!(code(group.plan_csv("other,t,0,4")), Some(ErrorCode::InvalidRequest));
    }
}

#[test]
fn a_plan_for_a_topic_that_is_gone_is_refused() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g");
        let plan = group.plan_reset("t", ResetTo::Latest).unwrap();
        broker.delete_topic("t").unwrap();
        assert_eq!(code(plan.execute()), Some(ErrorCode::UnknownTopicOrPartition));
        assert!(group.committed().unwrap().is_empty());
    }
}

/// Offsets below the log start become the log start.
#[test]
fn a_reset_stays_in_a_log_that_was_cut() {
    let home = disk();
    let broker = home.open();
    fill(&broker);
    broker.partition(&("t", 0).into()).unwrap().delete_records(6).unwrap();
    broker.close().unwrap();
    let broker = home.open();
    assert_eq!(broker.partition(&("t", 0).into()).unwrap().log_start_offset(), 6);
    let group = broker.group("g");
    let plan = |to| group.plan_reset(TopicPartition::new("t", 0), to).unwrap().to_csv();
    assert_eq!(plan(ResetTo::Earliest), "t,0,6\n");
    assert_eq!(plan(ResetTo::Offset(2)), "t,0,6\n");
    assert_eq!(plan(ResetTo::Timestamp(NOW)), "t,0,6\n");
    group.alter_offsets(&offsets([("t", 0, 2)])).unwrap();
    assert_eq!(plan(ResetTo::ShiftBy(3)), "t,0,6\n");
    assert_eq!(plan(ResetTo::ShiftBy(5)), "t,0,7\n");
    assert_eq!(plan(ResetTo::Current), "t,0,2\n", "as it is");
}

#[test]
fn a_drained_group_is_waited_for() {
    for home in homes().into_iter().filter(|home| home.clock.is_none()) {
        let broker = home.open();
        fill(&broker);
        let group = broker.group("g");
        let begun = Instant::now();
        thread::scope(|scope| {
            // It begins before the group has committed anything.
            let waiting = scope.spawn(|| group.wait_drained(30 * SECOND));
            let member = member(&group);
            thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            member.commit_offsets(&offsets([("t", 0, 9)])).unwrap();
            thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            member.commit_offsets(&offsets([("t", 0, 10)])).unwrap();
            waiting.join().unwrap().unwrap();
        });
        broker.topic("t").unwrap().partition(0).unwrap().append([(None, Some("y"))]).unwrap();
        let error = group.wait_drained(Duration::ZERO).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RequestTimedOut));
        assert_eq!(error.to_string(), "group g is still 1 behind [t-0]");
        // The rest of what it read goes.
        thread::scope(|scope| {
            let waiting = scope.spawn(|| group.wait_drained(30 * SECOND));
            broker.create_topic("u").unwrap();
            group.alter_offsets(&offsets([("u", 0, 0)])).unwrap();
            broker.delete_topic("t").unwrap();
            waiting.join().unwrap().unwrap();
        });
        assert!(begun.elapsed() < 20 * SECOND, "commits wake those who wait");
    }
}

#[test]
fn waiting_for_a_drained_group_ends() {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    fill(&broker);
    let group = broker.group("g");
    let error = group.wait_drained(30 * SECOND).unwrap_err();
    assert_eq!(error.to_string(), "group g has committed nothing in time");
    assert_eq!(clock.wall_millis(), NOW + 30_000);
    group.alter_offsets(&offsets([("t", 0, 10), ("t", 1, 0)])).unwrap();
    group.wait_drained(Duration::ZERO).unwrap();
    group.reset_offsets("t", ResetTo::Earliest).unwrap();
    let error = group.wait_drained(SECOND).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::RequestTimedOut));
    assert_eq!(clock.wall_millis(), NOW + 31_000);

    let broker = Broker::in_memory();
    let group = broker.group("g");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| group.wait_drained(30 * SECOND));
        thread::sleep(Duration::from_millis(20));
        broker.close().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_second_broker_may_look_and_wait_but_not_change() {
    let home = disk();
    let owner = home.open();
    fill(&owner);
    let ours = owner.group("g");
    ours.alter_offsets(&offsets([("t", 0, 4)])).unwrap();
    let watcher = Broker::open_read_only(home.dir().unwrap()).unwrap();
    let group = watcher.group("g");
    assert_eq!(group.total_lag().unwrap(), 6);
    for error in [
        group.alter_offsets(&offsets([("t", 0, 1)])).unwrap_err(),
        group.delete().unwrap_err(),
        group.delete_offsets([("t", 0)]).unwrap_err(),
        group.plan_reset("t", ResetTo::Latest).unwrap().execute().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| group.wait_drained(30 * SECOND));
        ours.alter_offsets(&offsets([("t", 0, 10)])).unwrap();
        waiting.join().unwrap().unwrap();
    });
    owner.topic("t").unwrap().partition(0).unwrap().append([(None, Some("y"))]).unwrap();
    assert_eq!(group.total_lag().unwrap(), 1);
    ours.delete().unwrap();
    assert!(group.committed().unwrap().is_empty());
}

#[test]
fn a_group_is_described_with_its_members() {
    for home in homes() {
        let broker = home.open();
        fill(&broker);
        broker.create_topic("u").unwrap();
        let group = broker.group("g");
        assert_eq!(code(group.describe()), Some(ErrorCode::GroupIdNotFound));
        assert_eq!(code(group.state()), Some(ErrorCode::GroupIdNotFound));
        let settings = group.member().client_id("rider").enable_auto_commit(false);
        let first = settings.clone().build().unwrap();
        first.subscribe(["t"]).unwrap();
        first.poll(Duration::ZERO).unwrap();
        assert_eq!(group.state().unwrap(), GroupState::Stable);
        let generation = group.describe().unwrap().generation;

        let second = settings.group_instance_id("i-2").build().unwrap();
        second.subscribe(["t", "u"]).unwrap();
        second.poll(Duration::ZERO).unwrap();
        assert_eq!(group.state().unwrap(), GroupState::PreparingRebalance);
        assert_eq!(group.members().unwrap().len(), 2);
        for member in [&first, &second, &first, &second] {
            member.poll(Duration::ZERO).unwrap();
        }
        let described = group.wait_stable(2, SECOND).unwrap();
        assert_eq!(described, group.describe().unwrap());
        assert_eq!(described.state.to_string(), "Stable");
        assert_eq!(described.generation, generation + 1);
        assert_eq!(described.assignor.as_deref(), Some("range"));
        let [a, b] = &described.members[..] else { panic!("{described:?}") };
        let (dynamic, fixed) = if a.instance_id.is_none() { (a, b) } else { (b, a) };
        assert_eq!(described.leader.as_ref(), Some(&dynamic.member_id));
        assert!(dynamic.member_id.starts_with("rider-"), "{}", dynamic.member_id);
        assert_eq!(fixed.instance_id.as_deref(), Some("i-2"));
        assert_eq!((&*fixed.client_id, fixed.host), ("rider", "/127.0.0.1"));
        assert_eq!(dynamic.subscription, ["t".into()]);
        assert_eq!(fixed.subscription, ["t".into(), "u".into()]);
        // Static members come first.
        assert_eq!(fixed.assignment, [("t", 0).into(), ("u", 0).into()]);
        assert_eq!(dynamic.assignment, [("t", 1).into()]);

        // What nobody has committed has no lag; other topics can be forgotten meanwhile.
        second.commit_offsets(&offsets([("t", 0, 4)])).unwrap();
        let lags: Vec<_> =
            group.lag().unwrap().iter().map(|lag| (lag.committed, lag.lag)).collect();
        assert_eq!(lags, [(Some(4), Some(6)), (None, None), (None, None)]);
        let deleted = group.delete_offsets([("u", 0)]);
        assert_eq!(code(deleted), Some(ErrorCode::GroupSubscribedToTopic));
        broker.create_topic("w").unwrap();
        group.delete_offsets([("w", 0)]).unwrap();

        first.close().unwrap();
        let error = group.wait_stable(2, Duration::ZERO).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RequestTimedOut));
        assert!(error.to_string().ends_with("PreparingRebalance with 1"), "{error}");
        // A static member stays when its consumer goes, until it is removed.
        second.poll(Duration::ZERO).unwrap();
        drop(second);
        let members = group.members().unwrap();
        assert_eq!(members.len(), 1);
        group.remove_member(&members[0].member_id).unwrap();
        let removed = group.remove_member(&members[0].member_id);
        assert_eq!(code(removed), Some(ErrorCode::UnknownMemberId));
        assert_eq!(group.wait_stable(0, SECOND).unwrap().state, GroupState::Empty);
        group.delete().unwrap();
        assert_eq!(code(group.describe()), Some(ErrorCode::GroupIdNotFound));
        drop((broker, group));
        assert_eq!(code(home.open().group("g").describe()), Some(ErrorCode::GroupIdNotFound));
    }
}

#[test]
fn a_stable_group_is_waited_for() {
    let broker = Broker::in_memory();
    fill(&broker);
    let group = broker.group("g");
    let begun = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| group.wait_stable(2, 30 * SECOND));
        let work = || {
            let member = group.join(["t"]).unwrap();
            while group.members().map_or(0, |members| members.len()) < 2 || !is_stable(&group) {
                member.poll(Duration::from_millis(5)).unwrap();
            }
            member
        };
        let (first, second) = (scope.spawn(work), scope.spawn(work));
        let members = [first.join().unwrap(), second.join().unwrap()];
        assert_eq!(waiting.join().unwrap().unwrap().members.len(), 2);
        let waiting = scope.spawn(|| group.wait_stable(0, 30 * SECOND));
        drop(members);
        waiting.join().unwrap().unwrap();
        let waiting = scope.spawn(|| group.wait_stable(1, 30 * SECOND));
        thread::sleep(Duration::from_millis(20));
        broker.clone().close().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
    assert!(begun.elapsed() < 20 * SECOND, "what happens to a group wakes those who wait");
}

fn is_stable(group: &ConsumerGroup) -> bool {
    group.state().is_ok_and(|state| state == GroupState::Stable)
}
