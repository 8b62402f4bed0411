//! Who has which partitions, and when they change hands.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::groups::*;
use crate::homes::*;
use logreel::admin::ResetTo;
use logreel::consumer::{
    Assignment, Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor,
    StickyAssignor, Subscription,
};
use logreel::{Consumer, ErrorCode, ErrorKind, NewTopic, TopicPartition};

#[test]
fn t013_a_member_may_commit_for_a_partition_it_does_not_have() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let (a, b) = (member(&broker, "a"), member(&broker, "b"));
        settle(&[&a, &b]);
        assert_eq!((has(&a), has(&b)), (vec![0], vec![1]), "{home}");
        home.ok(a.commit_offsets(&[(t(1), 7)].into_iter().collect()));
        assert_eq!(committed(&broker, 1), Some(7), "{home}");
    }
}

/// Order holds within a partition; what comes from several interleaves as it may.
#[test]
fn t034_order_holds_within_a_partition() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        for round in 0..20 {
            for number in 0..3 {
                put(&broker, number, &numbered(&format!("{round}-"), 3));
            }
        }
        let consumer = settings(&broker, "a").max_poll_records(7).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        let records = drain(&consumer);
        assert_eq!(records.len(), 180, "{home}");
        for number in 0..3 {
            let of = records.iter().filter(|record| record.partition == number);
            let offsets: Vec<i64> = of.map(|record| record.offset).collect();
            assert_eq!(offsets, (0..60).collect::<Vec<_>>(), "{home}");
        }
    }
}

#[test]
fn t038_pauses_and_positions_go_with_the_partition() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 0, &numbered("v", 5));
        put(&broker, 1, &numbered("v", 5));
        let a = settings(&broker, "a").max_poll_records(3).build().unwrap();
        a.subscribe(["t"]).unwrap();
        home.ok(a.poll(LONG));
        home.ok(a.commit());
        home.ok(a.poll(LONG));
        home.ok(a.pause([t(0), t(1)]));
        let b = member(&broker, "b");
        poll(&b);
        assert_eq!(poll(&a), 2, "{home}: back where it had committed");
        drop(b);
        let again = drain(&a);
        assert_eq!(has(&a), [0, 1], "{home}");
        assert!(a.paused().is_empty(), "{home}");
        assert_eq!(again.len(), 7, "{home}: all that is not committed, once more");
    }
}

#[test]
fn t044_a_predicate_takes_in_new_topics_and_drops_deleted_ones() {
    for home in homes() {
        let broker = home.open();
        let consumer = earliest(&broker).group_id("g").build().unwrap();
        home.ok(consumer.subscribe_matching(|topic| topic.starts_with("o.")));
        poll(&consumer);
        assert!(consumer.assignment().is_empty(), "{home}");
        for topic in ["o.a", "p.a", "o.b"] {
            home.ok(broker.create_topic(topic));
        }
        poll(&consumer);
        let names = |consumer: &Consumer| -> Vec<String> {
            consumer.assignment().iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(&consumer), ["o.a-0", "o.b-0"], "{home}");
        assert_eq!(consumer.subscription().len(), 2, "{home}");
        home.ok(broker.delete_topic("o.a"));
        poll(&consumer);
        assert_eq!(names(&consumer), ["o.b-0"], "{home}");
        assert!(broker.topic("o.a").is_err(), "{home}: nobody made it again");
    }
}

#[test]
fn t047_range_gives_the_rest_to_the_first_member() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        let (b, a) = (member(&broker, "b"), member(&broker, "a"));
        settle(&[&b, &a]);
        assert_eq!((has(&a), has(&b)), (vec![0, 1], vec![2]), "{home}");
    }
}

/// Two members share two topics of three partitions.
fn shares(home: &Home, assignor: impl Assignor + Copy + 'static) -> (usize, usize) {
    let broker = home.open();
    for topic in ["t", "u"] {
        home.ok(broker.create_topic(NewTopic::new(topic).partitions(3)));
    }
    let join = |name| {
        let consumer = settings(&broker, name).assignor(assignor).build().unwrap();
        consumer.subscribe(["t", "u"]).unwrap();
        consumer
    };
    let (a, b) = (join("a"), join("b"));
    settle(&[&a, &b]);
    (a.assignment().len(), b.assignment().len())
}

#[test]
fn t048_range_works_topic_by_topic() {
    for home in homes() {
        assert_eq!(shares(&home, RangeAssignor), (4, 2), "{home}");
    }
}

#[test]
fn t049_round_robin_evens_out_over_topics() {
    for home in homes() {
        assert_eq!(shares(&home, RoundRobinAssignor), (3, 3), "{home}");
    }
    for home in homes() {
        assert_eq!(shares(&home, StickyAssignor), (3, 3), "{home}");
    }
    for home in homes() {
        assert_eq!(shares(&home, CooperativeStickyAssignor), (3, 3), "{home}");
    }
}

#[test]
fn t050_members_without_partitions_take_over_when_another_goes() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let [a, b, c] = ["a", "b", "c"].map(|name| member(&broker, name));
        settle(&[&a, &b, &c]);
        assert_eq!((has(&a), has(&b), has(&c)), (vec![0], vec![1], vec![]), "{home}");
        assert_eq!(generation(&c), generation(&a), "{home}: it is in the group");
        drop(a);
        settle(&[&b, &c]);
        assert_eq!((has(&b), has(&c)), (vec![0], vec![1]), "{home}");
    }
}

/// Looked at after every single call, with members that come, go and poll in every order.
#[test]
fn t051_no_partition_has_two_owners_in_one_generation() {
    for home in homes() {
        for cooperative in [false, true] {
            let home = Home::fresh_like(&home);
            let broker = with_topic(&home, 5);
            let mut members: Vec<Consumer> = Vec::new();
            let mut dice: u32 = 12345;
            for step in 0..300 {
                dice = dice.wrapping_mul(1_103_515_245).wrapping_add(12345);
                let roll = (dice >> 16) as usize;
                if members.is_empty() || (roll.is_multiple_of(10) && members.len() < 6) {
                    let mut settings = settings(&broker, &format!("m{}", roll % 7));
                    if cooperative {
                        settings = settings.assignor(CooperativeStickyAssignor);
                    }
                    let consumer = settings.build().unwrap();
                    consumer.subscribe(["t"]).unwrap();
                    members.push(consumer);
                } else if roll % 10 == 1 {
                    members.remove(roll % members.len());
                } else {
                    poll(&members[roll % members.len()]);
                }
                let mut owned: Vec<(i32, TopicPartition)> = Vec::new();
                for member in members.iter().filter(|m| !m.assignment().is_empty()) {
                    let generation = generation(member);
                    owned.extend(member.assignment().into_iter().map(|tp| (generation, tp)));
                }
                let count = owned.len();
                owned.sort();
                owned.dedup();
                assert_eq!(owned.len(), count, "{home}, step {step}");
            }
        }
    }
}

#[test]
fn t052_a_newcomer_waits_until_all_have_joined_again() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let (a, b) = (member(&broker, "a"), member(&broker, "b"));
        settle(&[&a, &b]);
        let c = member(&broker, "c");
        for _ in 0..5 {
            poll(&c);
            poll(&b);
            assert!(has(&c).is_empty() && has(&b).is_empty(), "{home}: a has not polled");
        }
        if home.is_mock() {
            // Or until its max.poll.interval.ms has passed.
            home.pass(Duration::from_secs(200));
            poll(&b);
            assert_eq!(home.ok(c.poll(Duration::from_secs(101))).len(), 0, "{home}");
            poll(&b);
            poll(&c);
            assert_eq!((has(&b), has(&c)), (vec![0], vec![1]), "{home}");
            home.fails(
                a.commit_offsets(&[(t(0), 1)].into_iter().collect()),
                ErrorCode::UnknownMemberId,
            );
        } else {
            poll(&a);
            settle(&[&b, &c, &a]);
            assert_eq!((has(&a), has(&b), has(&c)), (vec![0], vec![1], vec![]), "{home}");
        }
    }
}

#[test]
fn t052_a_newcomer_has_its_share_when_the_last_has_polled() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        let (a, b) = (member(&broker, "a"), member(&broker, "b"));
        settle(&[&a, &b]);
        let c = member(&broker, "c");
        for _ in 0..3 {
            poll(&c);
            poll(&a);
            assert!(has(&c).is_empty(), "{home}: b has not polled");
        }
        poll(&b);
        settle(&[&c, &a, &b]);
        assert_eq!((has(&a), has(&b), has(&c)), (vec![0], vec![1], vec![2]), "{home}");
    }
}

#[test]
fn t053_eager_gives_back_everything_and_cooperative_what_moves() {
    for home in homes() {
        let broker = with_topic(&home, 4);
        let diary = Diary::default();
        let a = settings(&broker, "a").build().unwrap();
        home.ok(a.subscribe_with(["t"], diary.listener("a")));
        poll(&a);
        let b = settings(&broker, "b").build().unwrap();
        home.ok(b.subscribe_with(["t"], diary.listener("b")));
        settle(&[&b, &a]);
        let eager = ["a assigned 0 1 2 3", "a revoked 0 1 2 3", "a assigned 0 1", "b assigned 2 3"];
        assert_eq!(diary.lines(), eager, "{home}");
    }
    for home in homes() {
        let broker = with_topic(&home, 4);
        let diary = Diary::default();
        let join = |name| {
            let consumer =
                settings(&broker, name).assignor(CooperativeStickyAssignor).build().unwrap();
            consumer.subscribe_with(["t"], diary.listener(name)).unwrap();
            consumer
        };
        let a = join("a");
        poll(&a);
        let b = join("b");
        poll(&b);
        poll(&a);
        let first = ["a assigned 0 1 2 3", "a revoked 2 3", "a assigned"];
        assert_eq!(diary.lines(), first, "{home}");
        settle(&[&b, &a]);
        assert_eq!(diary.lines(), ["a assigned", "b assigned 2 3"], "{home}");
    }
}

#[test]
fn t054_revocation_has_ended_before_the_new_owner_is_told() {
    for home in homes().into_iter().filter(|home| !home.is_mock()) {
        let broker = with_topic(&home, 1);
        let diary = Diary::default();
        let a = settings(&broker, "b").build().unwrap();
        let slow = diary.acting("old", |_, what| {
            if what == "revoked" {
                thread::sleep(ms(100));
            }
            Ok(())
        });
        home.ok(a.subscribe_with(["t"], slow));
        poll(&a);
        let (ended, ends) = mpsc::channel();
        let b = settings(&broker, "a").build().unwrap();
        home.ok(b.subscribe_with(["t"], diary.acting("new", move |_, _| Ok(ended.send(())?))));
        thread::scope(|scope| {
            scope.spawn(|| {
                let begun = std::time::Instant::now();
                while has(&b).is_empty() {
                    b.poll(ms(50)).unwrap();
                }
                assert!(begun.elapsed() >= ms(90), "it did not wait");
            });
            thread::sleep(ms(20));
            while ends.try_recv().is_err() {
                a.poll(ms(10)).unwrap();
            }
        });
        let lines = diary.lines();
        assert_eq!(lines[..2], ["old assigned 0", "old revoked 0"], "{home}");
        assert!(lines[2..].contains(&"new assigned 0".to_owned()), "{home}: {lines:?}");
    }
}

#[test]
fn t054_the_new_owner_is_told_nothing_until_the_old_one_has_let_go() {
    for home in homes() {
        for cooperative in [false, true] {
            let home = Home::fresh_like(&home);
            let broker = with_topic(&home, 1);
            let diary = Diary::default();
            let join = |name, who| {
                let settings = settings(&broker, name);
                let consumer = match cooperative {
                    true => settings.assignor(CooperativeStickyAssignor),
                    false => settings.assignor(RangeAssignor),
                };
                let consumer = consumer.build().unwrap();
                home.ok(consumer.subscribe_with(["t"], diary.listener(who)));
                consumer
            };
            let old = join("b", "old");
            poll(&old);
            // It sorts before the other: the partition becomes its own.
            let new = join("a", "new");
            broker.testing().group("g").set_assignment([(&new, [t(0)])]).unwrap();
            for _ in 0..5 {
                poll(&new);
            }
            assert_eq!(diary.lines(), ["old assigned 0"], "{home}");
            poll(&old);
            settle(&[&new, &old]);
            let lines = diary.lines();
            let at = |line: &str| lines.iter().position(|told| told == line);
            let (let_go, told) = (at("old revoked 0"), at("new assigned 0"));
            assert!(let_go.is_some() && told > let_go, "{home}: {lines:?}");
        }
    }
}

#[test]
fn t055_on_assigned_ends_every_rebalance_also_with_nothing() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let diary = Diary::default();
        let join = |name| {
            let consumer = settings(&broker, name).build().unwrap();
            consumer.subscribe_with(["t"], diary.listener(name)).unwrap();
            consumer
        };
        let (a, b) = (join("a"), join("b"));
        settle(&[&a, &b]);
        diary.take();
        let c = join("c");
        settle(&[&c, &a, &b]);
        let mut lines = diary.lines();
        lines.sort();
        assert_eq!(lines, ["a assigned 0", "a revoked 0", "b assigned", "c assigned"], "{home}");
    }
}

#[test]
fn t056_listeners_run_on_the_thread_of_the_owners_call() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let diary = Diary::default();
        let here = thread::current().id();
        let a = settings(&broker, "a").build().unwrap();
        home.ok(a.subscribe_with(["t"], diary.listener("a")));
        poll(&a);
        let b = member(&broker, "b");
        thread::scope(|scope| {
            scope.spawn(|| poll(&b)).join().unwrap();
        });
        assert_eq!(diary.take().len(), 1, "{home}: nothing outside its own calls");
        poll(&a);
        home.ok(a.unsubscribe());
        home.ok(a.subscribe_with(["t"], diary.listener("a")));
        settle(&[&a, &b]);
        home.ok(a.close());
        let told = diary.take();
        let revoked = told.iter().filter(|told| told.what == "revoked").count();
        assert_eq!(revoked, 3, "{home}: in a poll, in unsubscribe, in close: {told:?}");
        assert!(told.iter().all(|told| told.thread == here), "{home}");
        let dropped = settings(&broker, "d").build().unwrap();
        home.ok(dropped.subscribe_with(["t"], diary.listener("d")));
        settle(&[&dropped, &b]);
        diary.take();
        drop(dropped);
        poll(&b);
        assert_eq!(diary.lines(), [] as [&str; 0], "{home}: a drop calls no listener");
    }
}

#[test]
fn t057_after_revocation_nothing_of_the_partition_is_returned() {
    for home in homes() {
        for cooperative in [false, true] {
            let home = Home::fresh_like(&home);
            let broker = with_topic(&home, 2);
            for number in 0..2 {
                put(&broker, number, &numbered("v", 50));
            }
            let build = |name| {
                let settings = settings(&broker, name).max_poll_records(5);
                match cooperative {
                    true => settings.assignor(CooperativeStickyAssignor),
                    false => settings,
                }
                .build()
                .unwrap()
            };
            let a = build("a");
            a.subscribe(["t"]).unwrap();
            assert_eq!(poll(&a), 5, "{home}: more was read ahead");
            let b = build("b");
            b.subscribe(["t"]).unwrap();
            poll(&b);
            loop {
                let records = home.ok(a.poll(Duration::ZERO));
                let mine = a.assignment();
                assert!(records.partitions().iter().all(|tp| mine.contains(tp)), "{home}");
                poll(&b);
                if has(&a).len() == 1 && has(&b).len() == 1 {
                    break;
                }
            }
            let (mut of_a, mut of_b) = (drain(&a), drain(&b));
            of_a.retain(|record| record.partition != has(&a)[0]);
            of_b.retain(|record| record.partition != has(&b)[0]);
            assert!(of_a.is_empty() && of_b.is_empty(), "{home}");
        }
    }
}

#[test]
fn t058_a_commit_inside_on_revoked_counts_and_the_new_owner_starts_there() {
    for home in homes() {
        for cooperative in [false, true] {
            let home = Home::fresh_like(&home);
            let broker = with_topic(&home, 2);
            for number in 0..2 {
                put(&broker, number, &numbered("v", 10));
            }
            let build = |name| {
                let settings = settings(&broker, name);
                match cooperative {
                    true => settings.assignor(CooperativeStickyAssignor),
                    false => settings,
                }
                .build()
                .unwrap()
            };
            let diary = Diary::default();
            let a = build("a");
            let commit = diary.acting("a", |context, what| {
                if what == "revoked" {
                    context.commit()?;
                }
                Ok(())
            });
            home.ok(a.subscribe_with(["t"], commit));
            assert_eq!(drain(&a).len(), 20, "{home}");
            let b = build("b");
            b.subscribe(["t"]).unwrap();
            settle(&[&b, &a]);
            assert_eq!((has(&a), has(&b)), (vec![0], vec![1]), "{home}");
            assert_eq!(committed(&broker, 1), Some(10), "{home}");
            assert_eq!(home.ok(b.position(&t(1))), 10, "{home}");
            put(&broker, 1, &numbered("w", 1));
            assert_eq!(offsets(&drain(&b)), [10], "{home}");
        }
    }
}

#[test]
fn t059_auto_commit_comes_before_on_revoked() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        put(&broker, 0, &numbered("v", 10));
        let (tell, told) = mpsc::channel();
        let a = settings(&broker, "a").enable_auto_commit(true).build().unwrap();
        let ask = Diary::default().acting("a", move |context, what| {
            if what == "revoked" {
                tell.send(context.committed(("t", 0))?.map(|position| position.offset()))?;
            }
            Ok(())
        });
        home.ok(a.subscribe_with(["t"], ask));
        assert_eq!(poll(&a), 10, "{home}");
        let b = member(&broker, "b");
        poll(&b);
        poll(&a);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [Some(10)], "{home}");
    }
}

#[test]
fn t060_who_exceeded_the_poll_interval_has_left() {
    for home in homes().into_iter().filter(Home::is_mock) {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 5));
        let diary = Diary::default();
        let a = settings(&broker, "a").max_poll_interval(Duration::from_secs(10)).build().unwrap();
        home.ok(a.subscribe_with(["t"], diary.listener("a")));
        assert_eq!(poll(&a), 5, "{home}");
        home.pass(ms(9_999));
        home.ok(a.commit());
        home.pass(ms(1));
        home.fails(a.commit(), ErrorCode::UnknownMemberId);
        assert_eq!(diary.lines(), ["a assigned 0"], "{home}: it is told in its own calls only");
        poll(&a);
        assert_eq!(diary.lines(), ["a lost 0", "a assigned 0"], "{home}");
        home.ok(a.commit());
        // A long poll is no silence.
        assert!(home.ok(a.poll(Duration::from_secs(100))).is_empty(), "{home}");
        home.ok(a.commit());
    }
}

#[test]
fn t061_a_stale_generation_cannot_commit() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let a = member(&broker, "a");
        poll(&a);
        let old = a.group_metadata().unwrap();
        let committer = a.committer().in_generation(&old);
        let at = |offset: i64| [(t(1), offset)].into_iter().collect();
        home.ok(committer.commit_offsets(&at(5)));
        let b = member(&broker, "b");
        settle(&[&b, &a]);
        home.ok(b.commit_offsets(&at(9)));
        home.fails(committer.commit_offsets(&at(6)), ErrorCode::IllegalGeneration);
        home.fails(committer.commit_offsets_async(&at(6)).wait(), ErrorCode::IllegalGeneration);
        assert_eq!(committed(&broker, 1), Some(9), "{home}");
        // The member itself is in the generation of now.
        home.ok(a.committer().commit_offsets(&at(10)));
        home.ok(a.unsubscribe());
        home.fails(committer.commit_offsets(&at(6)), ErrorCode::UnknownMemberId);
        assert_eq!(committed(&broker, 1), Some(10), "{home}");
    }
}

#[test]
fn t062_between_join_and_sync_a_commit_has_to_wait_for_a_poll() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        for number in 0..2 {
            put(&broker, number, &numbered("v", 10));
        }
        let (a, b) = (member(&broker, "a"), member(&broker, "b"));
        settle(&[&a, &b]);
        let c = member(&broker, "c");
        poll(&c);
        poll(&b);
        let seven = [(t(1), 7)].into_iter().collect();
        home.fails(b.commit_offsets(&seven), ErrorCode::RebalanceInProgress);
        home.ok(a.commit_offsets(&[(t(0), 3)].into_iter().collect()));
        poll(&a);
        home.fails(b.commit_offsets(&seven), ErrorCode::RebalanceInProgress);
        assert_eq!(committed(&broker, 1), None, "{home}");
        poll(&b);
        home.ok(b.commit_offsets(&seven));
        assert_eq!(committed(&broker, 1), Some(7), "{home}");
    }
}

#[test]
fn t063_only_members_commit_into_a_group_that_has_some() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 3));
        let outside = settings(&broker, "o").build().unwrap();
        home.ok(outside.assign([t(0)]));
        assert_eq!(poll(&outside), 3, "{home}");
        home.ok(outside.commit());
        let a = member(&broker, "a");
        poll(&a);
        home.fails(outside.commit(), ErrorCode::UnknownMemberId);
        drop(a);
        home.ok(outside.commit());
    }
}

#[test]
fn t064_every_rebalance_raises_the_generation_by_one() {
    for home in homes() {
        let broker = with_topic(&home, 4);
        let a = member(&broker, "a");
        poll(&a);
        let mut members = vec![a];
        for name in ["b", "c", "d"] {
            let before = generation(&members[0]);
            members.push(member(&broker, name));
            settle(&members.iter().collect::<Vec<_>>());
            assert!(members.iter().all(|m| generation(m) == before + 1), "{home}");
        }
        while members.len() > 1 {
            let before = generation(&members[0]);
            drop(members.remove(0));
            settle(&members.iter().collect::<Vec<_>>());
            assert!(members.iter().all(|m| generation(m) == before + 1), "{home}");
        }
        let last = members.remove(0);
        let before = generation(&last);
        let metadata = last.group_metadata().unwrap();
        assert_eq!(metadata.group_id(), "g", "{home}");
        let id = metadata.member_id().unwrap();
        assert!(id.starts_with("d-"), "{home}: {id}");
        drop(last);
        let next = member(&broker, "e");
        poll(&next);
        assert_eq!(generation(&next), before + 2, "{home}: the empty group was one, too");
    }
}

#[test]
fn t065_a_closed_or_dropped_member_leaves_at_once() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let [a, b, c] = ["a", "b", "c"].map(|name| member(&broker, name));
        settle(&[&a, &b, &c]);
        home.ok(a.close());
        settle(&[&b, &c]);
        assert_eq!((has(&b), has(&c)), (vec![0], vec![1]), "{home}");
        drop(b);
        settle(&[&c]);
        assert_eq!(has(&c), [0, 1], "{home}");
    }
}

#[test]
fn t068_without_a_common_assignor_the_newcomer_is_refused() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 3));
        let a = settings(&broker, "a").assignor(RangeAssignor).build().unwrap();
        a.subscribe(["t"]).unwrap();
        poll(&a);
        let b = settings(&broker, "b").assignor(StickyAssignor).build().unwrap();
        b.subscribe(["t"]).unwrap();
        for _ in 0..2 {
            home.fails(b.poll(Duration::ZERO), ErrorCode::InconsistentGroupProtocol);
        }
        let before = generation(&a);
        put(&broker, 0, &numbered("w", 2));
        assert_eq!(drain(&a).len(), 2, "{home}: the group goes on");
        assert_eq!(generation(&a), before, "{home}");
        home.ok(a.commit());
    }
}

#[test]
fn t069_a_listener_that_fails_or_panics_does_not_stop_the_rebalance() {
    for home in homes() {
        for panics in [false, true] {
            let home = Home::fresh_like(&home);
            let broker = with_topic(&home, 2);
            let a = settings(&broker, "a").build().unwrap();
            let diary = Diary::default();
            let bad = diary.acting("a", move |_, what| {
                assert!(!panics, "as this test wants it");
                Err(format!("no good: {what}").into())
            });
            home.ok(a.subscribe_with(["t"], bad));
            let error = home.err(a.poll(Duration::ZERO));
            assert_eq!(error.kind(), ErrorKind::UserCode, "{home}: {error}");
            if !panics {
                let cause = std::error::Error::source(&error).unwrap().to_string();
                assert_eq!(cause, "no good: assigned", "{home}");
            }
            assert_eq!(has(&a), [0, 1], "{home}");
            let b = member(&broker, "b");
            poll(&b);
            home.err(a.poll(Duration::ZERO));
            poll(&b);
            assert_eq!((has(&a), has(&b)), (vec![0], vec![1]), "{home}");
            put(&broker, 0, &numbered("v", 2));
            assert_eq!(poll(&a), 2, "{home}: said once, and over");
            assert_eq!(diary.lines().len(), 3, "{home}");
        }
    }
}

#[test]
fn t070_another_subscription_rebalances_and_the_same_one_does_not() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        home.ok(broker.create_topic("u"));
        let (a, b) = (member(&broker, "a"), member(&broker, "b"));
        settle(&[&a, &b]);
        let before = generation(&a);
        home.ok(b.subscribe(["t"]));
        settle(&[&a, &b]);
        assert_eq!((generation(&a), generation(&b)), (before, before), "{home}");
        home.ok(b.subscribe(["u", "t"]));
        settle(&[&b, &a]);
        assert_eq!((generation(&a), generation(&b)), (before + 1, before + 1), "{home}");
        assert_eq!(b.assignment(), [t(1), ("u", 0).into()], "{home}");
        home.ok(b.subscribe(["u"]));
        settle(&[&b, &a]);
        assert_eq!((a.assignment(), b.assignment()), (vec![t(0), t(1)], vec![("u", 0).into()]));
    }
}

#[test]
fn t071_offsets_are_reset_only_while_nobody_is_there() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 10));
        let a = member(&broker, "a");
        assert_eq!(drain(&a).len(), 10, "{home}");
        home.ok(a.commit());
        let group = broker.group("g");
        let three = [(t(0), 3)].into_iter().collect();
        home.fails(group.alter_offsets(&three), ErrorCode::UnknownMemberId);
        home.fails(group.reset_offsets("t", ResetTo::Earliest), ErrorCode::NonEmptyGroup);
        assert_eq!(committed(&broker, 0), Some(10), "{home}");
        home.ok(a.close());
        home.ok(group.alter_offsets(&three));
        let a = member(&broker, "a");
        assert_eq!(offsets(&drain(&a)), (3..10).collect::<Vec<_>>(), "{home}");
        drop(a);
        home.ok(group.reset_offsets("t", ResetTo::Offset(8)));
        assert_eq!(offsets(&drain(&member(&broker, "a"))), [8, 9], "{home}");
    }
}

#[test]
fn t072_a_group_with_members_is_not_deleted() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let a = member(&broker, "a");
        poll(&a);
        home.ok(a.commit_offsets(&[(t(0), 0)].into_iter().collect()));
        let group = broker.group("g");
        home.fails(group.delete(), ErrorCode::NonEmptyGroup);
        assert_eq!(committed(&broker, 0), Some(0), "{home}");
        home.ok(a.close());
        home.ok(group.delete());
        assert_eq!(committed(&broker, 0), None, "{home}");
        home.fails(group.delete(), ErrorCode::GroupIdNotFound);
        home.fails(broker.group("nobody").delete(), ErrorCode::GroupIdNotFound);
    }
}

#[test]
fn t075_what_a_dead_member_had_not_committed_comes_again() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 10));
        let a = settings(&broker, "a").max_poll_records(4).build().unwrap();
        a.subscribe(["t"]).unwrap();
        assert_eq!(poll(&a), 4, "{home}");
        home.ok(a.commit());
        assert_eq!(poll(&a), 4, "{home}");
        let b = member(&broker, "b");
        poll(&b);
        // It ends without another word.
        drop(a);
        let again = drain(&b);
        assert_eq!(offsets(&again), [4, 5, 6, 7, 8, 9], "{home}: the first is the commit");
    }
}

/// What an assignor of the user says is checked before anybody is given anything.
#[test]
fn an_assignor_of_the_users_own_decides_and_is_checked() {
    #[derive(Clone, Copy)]
    struct Mine(fn(&[Subscription]) -> Assignment);
    impl Assignor for Mine {
        fn name(&self) -> &str {
            "mine"
        }
        fn assign(
            &self,
            _: &std::collections::BTreeMap<String, i32>,
            members: &[Subscription],
        ) -> Assignment {
            (self.0)(members)
        }
    }
    let last = |members: &[Subscription]| {
        let all = vec![t(0), t(1)];
        members.last().map(|m| (m.member_id().to_owned(), all)).into_iter().collect()
    };
    for home in homes() {
        let broker = with_topic(&home, 2);
        let join = |name, assign| {
            let consumer = settings(&broker, name).assignor(Mine(assign)).build().unwrap();
            consumer.subscribe(["t"]).unwrap();
            consumer
        };
        let (a, b) = (join("a", last), join("b", last));
        settle(&[&a, &b]);
        assert_eq!((has(&a), has(&b)), (vec![], vec![0, 1]), "{home}");
        drop((a, b));
        let bad: [fn(&[Subscription]) -> Assignment; 3] = [
            |members| {
                let each = |m: &Subscription| (m.member_id().to_owned(), vec![t(0), t(0)]);
                members.iter().map(each).collect()
            },
            |members| members.iter().map(|m| (m.member_id().to_owned(), vec![t(2)])).collect(),
            |_| panic!("as this test wants it"),
        ];
        for assign in bad {
            let consumer = join("c", assign);
            let error = home.err(consumer.poll(Duration::ZERO));
            assert_eq!(error.kind(), ErrorKind::UserCode, "{home}: {error}");
            assert!(has(&consumer).is_empty(), "{home}");
        }
    }
}
