//! Static members, sessions, and what time does to commits.

use std::time::Duration;

use crate::groups::*;
use crate::homes::*;
use logreel::{Broker, Consumer, ErrorCode};

fn static_member(broker: &Broker, instance: &str) -> Consumer {
    let consumer = settings(broker, "c").group_instance_id(instance).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

#[test]
fn t016_commits_of_an_empty_group_expire_and_those_of_members_do_not() {
    for home in homes().into_iter().filter(Home::is_mock) {
        let broker = home.builder().set("offsets.retention.minutes", "60").open().unwrap();
        for topic in ["t", "u"] {
            home.ok(broker.create_topic(topic));
        }
        let commit = |consumer: &Consumer, topic: &str| {
            let offsets = [((topic, 0), 5)].into_iter().collect();
            home.ok(consumer.commit_offsets(&offsets));
        };
        let a = member(&broker, "a");
        poll(&a);
        commit(&a, "t");
        for _ in 0..4 {
            home.pass(minutes(4));
            poll(&a);
        }
        assert!(home.ok(a.poll(minutes(200))).is_empty(), "{home}");
        assert_eq!(committed(&broker, 0), Some(5), "{home}: it has a member");
        commit(&a, "u");
        home.ok(a.close());
        home.pass(minutes(59));
        assert_eq!(committed(&broker, 0), Some(5), "{home}: it has not been empty that long");
        home.pass(minutes(12));
        assert_eq!(committed(&broker, 0), None, "{home}");
        assert!(home.ok(broker.groups()).is_empty(), "{home}: the group went with its commits");
        home.ok(broker.close());
        let broker = home.open();
        assert_eq!(committed(&broker, 0), None, "{home}");
        // A group that never had members goes by the commits themselves.
        let plain = settings(&broker, "p").build().unwrap();
        commit(&plain, "t");
        home.pass(minutes(6 * 24 * 60));
        commit(&plain, "u");
        home.pass(minutes(24 * 60 + 11));
        let left = home.ok(broker.committed_offsets("g"));
        assert_eq!(left.iter().map(|(tp, _)| tp.topic()).collect::<Vec<_>>(), ["u"], "{home}");
    }
}

#[test]
fn t065_a_dropped_static_member_starts_its_session() {
    for home in homes().into_iter().filter(Home::is_mock) {
        let broker = with_topic(&home, 2);
        let a = member(&broker, "a");
        let s = static_member(&broker, "s");
        settle(&[&a, &s]);
        assert_eq!((has(&s), has(&a)), (vec![0], vec![1]), "{home}: static members come first");
        drop(s);
        home.pass(Duration::from_secs(44));
        poll(&a);
        assert_eq!(has(&a), [1], "{home}");
        home.pass(Duration::from_secs(1));
        settle(&[&a]);
        assert_eq!(has(&a), [0, 1], "{home}");
    }
}

#[test]
fn t066_a_static_member_comes_back_without_a_rebalance() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 0, &numbered("v", 5));
        let a = member(&broker, "a");
        let s = static_member(&broker, "s");
        settle(&[&a, &s]);
        let id =
            |member: &Consumer| member.group_metadata().unwrap().member_id().unwrap().to_owned();
        let (before, first) = (generation(&a), id(&s));
        home.ok(s.commit_offsets(&[(t(0), 3)].into_iter().collect()));
        home.ok(s.close());
        poll(&a);
        assert_eq!(has(&a), [1], "{home}");
        let s = static_member(&broker, "s");
        assert_eq!(offsets(&drain(&s)), [3, 4], "{home}");
        assert_eq!(has(&s), [0], "{home}");
        poll(&a);
        assert_eq!((generation(&a), generation(&s)), (before, before), "{home}");
        assert_ne!(id(&s), first, "{home}");
        home.ok(s.commit());
    }
}

#[test]
fn t066_a_static_member_comes_back_after_a_restart() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let (r, s) = (static_member(&broker, "r"), static_member(&broker, "s"));
        settle(&[&r, &s]);
        let before = generation(&s);
        drop((r, s));
        home.ok(broker.close());
        let broker = home.open();
        let s = static_member(&broker, "s");
        poll(&s);
        assert_eq!((has(&s), generation(&s)), (vec![1], before), "{home}: the same, at once");
        if home.is_mock() {
            home.pass(Duration::from_secs(45));
            settle(&[&s]);
            assert_eq!(has(&s), [0, 1], "{home}: r did not come back");
        } else {
            // A newcomer waits for nobody of an earlier process.
            let a = member(&broker, "a");
            settle(&[&a, &s]);
            assert_eq!((has(&s), has(&a)), (vec![1], vec![]), "{home}: 0 waits for r");
        }
    }
}

/// Dynamic members of an earlier process are gone, and the generation goes on.
#[test]
fn after_a_restart_dynamic_members_are_gone() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let (a, b) = (member(&broker, "a"), member(&broker, "b"));
        settle(&[&a, &b]);
        let before = generation(&a);
        home.ok(broker.close());
        drop((a, b));
        let broker = home.open();
        let c = member(&broker, "c");
        poll(&c);
        // Empty was a generation, too.
        assert_eq!((has(&c), generation(&c)), (vec![0, 1], before + 2), "{home}");
    }
}

#[test]
fn t067_of_two_members_with_one_instance_id_the_older_is_fenced() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 5));
        let diary = Diary::default();
        let old = settings(&broker, "c").group_instance_id("s").build().unwrap();
        home.ok(old.subscribe_with(["t"], diary.listener("old")));
        poll(&old);
        let new = static_member(&broker, "s");
        assert_eq!(poll(&new), 5, "{home}");
        home.fails(old.commit(), ErrorCode::FencedInstanceId);
        assert_eq!(committed(&broker, 0), None, "{home}");
        for _ in 0..2 {
            home.fails(old.poll(Duration::ZERO), ErrorCode::FencedInstanceId);
        }
        assert_eq!(diary.lines(), ["old assigned 0", "old lost 0"], "{home}");
        home.ok(old.close());
        home.ok(new.commit());
        assert_eq!(has(&new), [0], "{home}: the end of the old one is nothing to it");
    }
}

#[test]
fn t073_sessions_lie_between_the_brokers_bounds() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let join = |broker: &Broker, millis: u64| {
            let settings = settings(broker, "a").session_timeout(ms(millis));
            let consumer = settings.set("heartbeat.interval.ms", "10").build().unwrap();
            consumer.subscribe(["t"]).unwrap();
            consumer.poll(Duration::ZERO)
        };
        for millis in [5_999, 1_800_001] {
            home.fails(join(&broker, millis), ErrorCode::InvalidSessionTimeout);
        }
        for millis in [6_000, 1_800_000] {
            home.ok(join(&broker, millis));
        }
        home.ok(broker.close());
        let wide = home.builder().set("group.min.session.timeout.ms", "100").open().unwrap();
        home.ok(join(&wide, 100));
        home.fails(join(&wide, 99), ErrorCode::InvalidSessionTimeout);
        let beats = settings(&wide, "a").set("heartbeat.interval.ms", "45000");
        home.fails(beats.build(), ErrorCode::InvalidConfig);
    }
}

/// The group waits for others when it was empty, and takes no more than it may.
#[test]
fn the_brokers_bounds_of_a_group_count() {
    for home in homes().into_iter().filter(Home::is_mock) {
        let settings = home.builder().set("group.initial.rebalance.delay.ms", "3000");
        let broker = settings.set("group.max.size", "2").topic("t").open().unwrap();
        let (a, b) = (member(&broker, "a"), member(&broker, "b"));
        poll(&a);
        assert!(a.assignment().is_empty(), "{home}: it waits for others");
        home.pass(ms(2_000));
        poll(&b);
        home.pass(ms(3_000));
        assert!(poll(&a) == 0 && a.assignment().is_empty(), "{home}: one came meanwhile");
        home.pass(ms(1_000));
        poll(&a);
        poll(&b);
        assert_eq!((has(&a), generation(&b)), (vec![0], 1), "{home}");
        let c = member(&broker, "c");
        home.fails(c.poll(Duration::ZERO), ErrorCode::GroupMaxSizeReached);
        drop(b);
        poll(&c);
        poll(&a);
        poll(&c);
        assert_eq!((has(&a), generation(&c)), (vec![0], 2), "{home}");
    }
}
