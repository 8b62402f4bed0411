//! Faults of consumer groups: each test failed until its fault was mended.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::homes::*;
use logreel::admin::{GroupMember, GroupState};
use logreel::consumer::{
    Assignment, Assignor, ConsumerBuilder, CooperativeStickyAssignor, ListenerResult,
    RangeAssignor, RebalanceContext, RebalanceListener, Subscription,
};
use logreel::record::BatchBuilder;
use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{Broker, Consumer, NewTopic, OffsetReset, ProducerRecord, TopicPartition};

fn mocked(partitions: i32) -> (Broker, MockClock) {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    broker.create_topic(NewTopic::new("t").partitions(partitions)).unwrap();
    (broker, clock)
}

fn settings(broker: &Broker) -> ConsumerBuilder {
    broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest)
}

fn member(broker: &Broker) -> Consumer {
    subscribed(settings(broker))
}

fn subscribed(settings: ConsumerBuilder) -> Consumer {
    let consumer = settings.build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

fn poll(consumer: &Consumer) -> usize {
    consumer.poll(Duration::ZERO).unwrap().len()
}

fn settle(members: &[&Consumer]) {
    for _ in 0..6 {
        for member in members {
            poll(member);
        }
    }
}

fn put(broker: &Broker, topic: &str, count: usize) {
    let records = (0..count).map(|n| ProducerRecord::to(topic).partition(0).value(n.to_string()));
    broker.producer().build().unwrap().send_batch(records).wait().unwrap();
}

fn committed(broker: &Broker, topic: &str) -> Option<i64> {
    let offsets = broker.committed_offsets("g").unwrap();
    offsets.get(&(topic, 0).into()).map(|position| position.offset())
}

/// What a listener was told, without the partitions.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<&'static str>>>);

impl RebalanceListener for Heard {
    fn on_assigned(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
        self.0.lock().unwrap().push("assigned");
        Ok(())
    }

    fn on_revoked(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
        self.0.lock().unwrap().push("revoked");
        Ok(())
    }

    fn on_lost(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
        self.0.lock().unwrap().push("lost");
        Ok(())
    }
}

/// A group that was deleted begins counting its moves anew, so a member of before takes the moves
/// of the new group for those it has seen: both read the same partition, for ever.
#[test]
fn a_partition_has_two_owners_after_its_group_was_deleted() {
    let (broker, clock) = mocked(1);
    let old = member(&broker);
    poll(&old);
    clock.advance(Duration::from_secs(301));
    assert!(broker.group("g").members().unwrap().is_empty(), "it has not polled in time");
    broker.group("g").delete().unwrap();
    let new = member(&broker);
    poll(&new);
    put(&broker, "t", 5);
    assert_eq!(poll(&new), 5);
    assert_eq!(poll(&old), 0, "old is no member: these are new's");
}

/// The position in a topic that is gone is committed for the new topic of its name: what lies
/// before it there is never read.
#[test]
fn auto_commit_of_a_deleted_topics_position_skips_records_of_its_successor() {
    let (broker, clock) = mocked(1);
    put(&broker, "t", 5);
    let consumer = member(&broker);
    assert_eq!(poll(&consumer), 5);
    broker.delete_topic("t").unwrap();
    broker.create_topic("t").unwrap();
    put(&broker, "t", 8);
    clock.advance(Duration::from_secs(6));
    let first = consumer.poll(Duration::ZERO).unwrap().iter().next().map(|r| r.offset());
    assert_eq!(first, Some(0));
}

/// The same by hand.
#[test]
fn commit_of_a_deleted_topics_position_skips_records_of_its_successor() {
    let (broker, _) = mocked(1);
    put(&broker, "t", 5);
    let consumer = subscribed(settings(&broker).enable_auto_commit(false));
    assert_eq!(poll(&consumer), 5);
    broker.delete_topic("t").unwrap();
    broker.create_topic("t").unwrap();
    put(&broker, "t", 8);
    let _ = consumer.commit();
    let first = consumer.poll(Duration::ZERO).unwrap().iter().next().map(|r| r.offset());
    assert_eq!(first, Some(0));
}

/// What was committed for a deleted topic is remembered, and keeps the same offset of the new topic
/// from being committed.
#[test]
fn auto_commit_takes_a_deleted_topics_commit_for_that_of_its_successor() {
    let (broker, clock) = mocked(1);
    put(&broker, "t", 5);
    let consumer = member(&broker);
    assert_eq!(poll(&consumer), 5);
    clock.advance(Duration::from_secs(6));
    poll(&consumer);
    assert_eq!(committed(&broker, "t"), Some(5));
    broker.delete_topic("t").unwrap();
    poll(&consumer);
    broker.create_topic("t").ok();
    put(&broker, "t", 5);
    assert_eq!(poll(&consumer), 5);
    consumer.close().unwrap();
    assert_eq!(committed(&broker, "t"), Some(5));
}

/// The same after a commit by hand of something lower.
#[test]
fn auto_commit_does_not_know_what_was_committed_by_hand() {
    let (broker, clock) = mocked(1);
    put(&broker, "t", 5);
    let consumer = member(&broker);
    assert_eq!(poll(&consumer), 5);
    clock.advance(Duration::from_secs(6));
    poll(&consumer);
    consumer.commit_offsets(&[(("t", 0), 2)].into_iter().collect()).unwrap();
    consumer.close().unwrap();
    assert_eq!(committed(&broker, "t"), Some(5), "close commits the positions");
}

/// The end of the gathering stays in the past, and the clock never gets past it.
#[test]
fn a_static_member_that_goes_while_its_group_gathers_makes_time_spin() {
    must_end(|| {
        let clock = MockClock::at_millis(NOW);
        let settings_of = Broker::builder().clock(&clock);
        let broker = settings_of.set("group.initial.rebalance.delay.ms", "3000").open().unwrap();
        broker.create_topic("t").unwrap();
        let s = subscribed(settings(&broker).group_instance_id("s"));
        poll(&s);
        drop(s);
        clock.advance(Duration::from_secs(10));
    });
}

/// Auto-commit is looked at once, when a poll begins, and not while it blocks.
#[test]
fn a_poll_that_blocks_does_not_auto_commit() {
    let (broker, _) = mocked(1);
    put(&broker, "t", 5);
    let consumer = member(&broker);
    assert_eq!(poll(&consumer), 5);
    assert!(consumer.poll(Duration::from_secs(60)).unwrap().is_empty());
    assert_eq!(committed(&broker, "t"), Some(5), "a minute in poll, at 5 s of interval");
}

/// So a group whose members wait for more is never seen drained.
#[test]
fn a_group_whose_members_block_in_poll_never_drains() {
    let broker = Broker::in_memory();
    put(&broker, "t", 5);
    let settings = settings(&broker).auto_commit_interval(Duration::from_millis(100));
    let consumer = subscribed(settings);
    let stop = consumer.wakeup_handle();
    let (told, hear) = mpsc::channel();
    let thread = thread::spawn(move || {
        while let Ok(records) = consumer.poll(Duration::MAX) {
            told.send(records.len()).unwrap();
        }
    });
    assert_eq!(hear.recv_timeout(5 * SECOND), Ok(5));
    let drained = broker.group("g").wait_drained(3 * SECOND);
    stop.wakeup();
    thread.join().unwrap();
    drained.unwrap();
}

/// The leader that comes back counts partitions anew, so nobody sees that there are more than when
/// it decided.
#[test]
fn partitions_added_while_the_static_leader_is_away_stay_nobodys() {
    let (broker, _) = mocked(1);
    let s = subscribed(settings(&broker).group_instance_id("s"));
    let a = member(&broker);
    settle(&[&s, &a]);
    s.close().unwrap();
    broker.create_partitions("t", 4).unwrap();
    settle(&[&a]);
    let s = subscribed(settings(&broker).group_instance_id("s"));
    settle(&[&s, &a]);
    assert_eq!(s.assignment().len() + a.assignment().len(), 4);
}

/// The same over a restart of the process.
#[test]
fn partitions_added_between_two_runs_of_a_static_member_stay_nobodys() {
    let clock = MockClock::at_millis(NOW);
    let home =
        Home { files: Files::Memory(logreel::Storage::memory()), clock: Some(clock), mmap: true };
    let broker = home.open();
    broker.create_topic("t").unwrap();
    let s = subscribed(settings(&broker).group_instance_id("s"));
    poll(&s);
    drop(s);
    broker.close().unwrap();
    let broker = home.open();
    broker.create_partitions("t", 4).unwrap();
    let s = subscribed(settings(&broker).group_instance_id("s"));
    settle(&[&s]);
    assert_eq!(s.assignment().len(), 4);
}

struct Fails;

impl Assignor for Fails {
    fn name(&self) -> &'static str {
        "range"
    }

    fn assign(
        &self,
        _: &std::collections::BTreeMap<String, i32>,
        members: &[Subscription],
    ) -> Assignment {
        assert!(members.len() < 2, "an assignor that panics, as this test wants it");
        Assignment::default()
    }
}

/// In Kafka a leader that has not decided when the rebalance timeout passes is removed. Here asking
/// whether it leads counts as having done so.
#[test]
fn a_leader_that_cannot_decide_holds_up_its_group_for_ever() {
    let (broker, clock) = mocked(2);
    let bad = subscribed(settings(&broker).assignor(Fails));
    poll(&bad);
    let good = subscribed(settings(&broker).assignor(RangeAssignor));
    for _ in 0..20 {
        poll(&good);
        let _ = bad.poll(Duration::ZERO);
        clock.advance(Duration::from_secs(60));
    }
    assert!(!good.assignment().is_empty(), "20 minutes, at a rebalance timeout of 5");
}

/// All partitions of a commit fail with the one that is gone; Kafka answers for each by itself.
#[test]
fn a_deleted_topic_keeps_close_from_committing_the_others() {
    let (broker, _) = mocked(1);
    broker.create_topic("u").unwrap();
    put(&broker, "t", 5);
    put(&broker, "u", 5);
    let consumer = settings(&broker).build().unwrap();
    consumer.subscribe(["t", "u"]).unwrap();
    assert_eq!(poll(&consumer), 10);
    broker.delete_topic("u").unwrap();
    let closed = consumer.close();
    assert_eq!(committed(&broker, "t"), Some(5), "{closed:?}");
}

/// The same in a poll.
#[test]
fn a_deleted_topic_keeps_auto_commit_from_committing_the_others() {
    let (broker, clock) = mocked(1);
    broker.create_topic("u").unwrap();
    put(&broker, "t", 5);
    put(&broker, "u", 5);
    let consumer = settings(&broker).allow_auto_create_topics(false).build().unwrap();
    consumer.assign([("t", 0), ("u", 0)]).unwrap();
    assert_eq!(poll(&consumer), 10);
    clock.advance(Duration::from_secs(6));
    broker.delete_topic("u").unwrap();
    poll(&consumer);
    assert_eq!(committed(&broker, "t"), Some(5));
}

/// Other topics than those it joined with make a member give back before it asks whether it still
/// has anything.
#[test]
fn a_member_that_was_removed_is_told_revoked_when_topics_have_changed_too() {
    let (broker, clock) = mocked(1);
    let heard = Heard::default();
    let consumer = settings(&broker).build().unwrap();
    consumer.subscribe_with(["t"], heard.clone()).unwrap();
    poll(&consumer);
    clock.advance(Duration::from_secs(301));
    broker.create_partitions("t", 2).unwrap();
    poll(&consumer);
    assert_eq!(*heard.0.lock().unwrap(), ["assigned", "lost", "assigned"]);
}

/// Of two polls on two threads the first to end starts the time within which the next has to begin,
/// though the other goes on.
#[test]
fn a_member_in_poll_is_removed_when_another_threads_poll_has_ended() {
    must_end(|| {
        let clock = MockClock::manual(NOW);
        let broker = Broker::builder().clock(&clock).open().unwrap();
        broker.create_topic("t").unwrap();
        let heard = Heard::default();
        let consumer = Arc::new(settings(&broker).build().unwrap());
        consumer.subscribe_with(["t"], heard.clone()).unwrap();
        poll(&consumer);
        let waits = Arc::clone(&consumer);
        let thread = thread::spawn(move || waits.poll(Duration::from_secs(1000)).is_ok());
        thread::sleep(Duration::from_millis(200));
        poll(&consumer);
        clock.advance(Duration::from_secs(400));
        thread::sleep(Duration::from_millis(200));
        consumer.wakeup();
        thread.join().unwrap();
        assert_eq!(*heard.0.lock().unwrap(), ["assigned"]);
    });
}

/// Kafka removes a group that is empty and has committed nothing at the next check; here only the
/// expiry of a commit leads there.
#[test]
fn a_group_that_committed_nothing_is_kept_for_ever() {
    let (broker, clock) = mocked(1);
    let consumer = subscribed(settings(&broker).enable_auto_commit(false));
    poll(&consumer);
    consumer.close().unwrap();
    clock.advance(Duration::from_secs(30 * 24 * 3600));
    assert!(broker.groups().unwrap().is_empty(), "a month later");
}

/// `assign` and `unsubscribe` wake a poll that waits; `subscribe` does not.
#[test]
fn a_poll_that_waits_does_not_see_a_new_subscription() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    put(&broker, "u", 3);
    let consumer = Arc::new(member(&broker));
    poll(&consumer);
    let waits = Arc::clone(&consumer);
    let begun = Instant::now();
    let thread = thread::spawn(move || waits.poll(5 * SECOND).unwrap().len());
    thread::sleep(Duration::from_millis(300));
    consumer.subscribe(["u"]).unwrap();
    assert_eq!(thread.join().unwrap(), 3);
    assert!(begun.elapsed() < 3 * SECOND, "it came at its deadline: {:?}", begun.elapsed());
}

/// A cooperative member still has its partitions while the leader decides, but may not commit them,
/// as in Kafka: what it has read is read again. Its close failed for that.
#[test]
fn a_cooperative_member_that_closes_while_the_leader_decides_fails() {
    let (broker, _) = mocked(2);
    let join = || subscribed(settings(&broker).assignor(CooperativeStickyAssignor));
    let (leader, owner) = (join(), join());
    settle(&[&leader, &owner]);
    let number = owner.assignment()[0].partition();
    let record = ProducerRecord::to("t").partition(number).value("x");
    broker.producer().build().unwrap().send(record).wait().unwrap();
    assert_eq!(poll(&owner), 1);
    let newcomer = join();
    for member in [&newcomer, &leader, &owner] {
        poll(member);
    }
    assert_eq!(broker.group("g").state().unwrap(), GroupState::CompletingRebalance);
    let record = ProducerRecord::to("t").partition(number).value("y");
    broker.producer().build().unwrap().send(record).wait().unwrap();
    assert_eq!(poll(&owner), 1, "it still reads");
    owner.close().unwrap();
    let offsets = broker.committed_offsets("g").unwrap();
    assert_eq!(offsets.get(&("t", number).into()).map(|p| p.offset()), Some(1));
}

/// A static member that was away too long is taken back under its old id when it also wants other
/// topics: it never asks whether it still has its partitions, and reads on beside the new owner.
#[test]
fn a_partition_has_two_owners_when_a_silent_static_member_wants_other_topics() {
    let (broker, clock) = mocked(2);
    broker.create_topic("u").unwrap();
    let coop = || settings(&broker).assignor(CooperativeStickyAssignor);
    let heard = Heard::default();
    let s = coop().group_instance_id("s").build().unwrap();
    s.subscribe_with(["t"], heard.clone()).unwrap();
    poll(&s);
    clock.advance(Duration::from_secs(301));
    let b = subscribed(coop().client_id("b"));
    settle(&[&b]);
    assert_eq!(b.assignment().len(), 1, "one moved while s was away");
    let number = b.assignment()[0].partition();
    let record = ProducerRecord::to("t").partition(number).value("x");
    broker.producer().build().unwrap().send(record).wait().unwrap();
    assert_eq!(poll(&b), 1);
    s.subscribe_with(["t", "u"], heard.clone()).unwrap();
    assert_eq!(poll(&s), 0, "{number} is b's, and s was told {:?}", heard.0.lock().unwrap());
}

/// The second half of a cooperative rebalance is begun by whoever has given back. A static member
/// that goes away before it has seen what it is to give back never does, and coming back without a
/// rebalance it does not have the partition, and nobody does.
#[test]
fn what_a_static_member_was_to_give_back_when_it_went_stays_nobodys() {
    let (broker, _) = mocked(4);
    let coop = || settings(&broker).assignor(CooperativeStickyAssignor);
    let join_s = || subscribed(coop().client_id("s").group_instance_id("s"));
    let b = subscribed(coop().client_id("b"));
    poll(&b);
    let s = join_s();
    settle(&[&b, &s]);
    assert_eq!((b.assignment().len(), s.assignment().len()), (2, 2));
    let c = subscribed(coop().client_id("c"));
    poll(&c);
    poll(&s);
    poll(&b);
    assert_eq!(broker.group("g").state().unwrap(), GroupState::Stable);
    let given = |m: &GroupMember| m.assignment.len();
    let all: usize = broker.group("g").members().unwrap().iter().map(given).sum();
    assert_eq!(all, 3, "one is to be given back by s");
    drop(s);
    let s = join_s();
    settle(&[&b, &s, &c]);
    let total = b.assignment().len() + s.assignment().len() + c.assignment().len();
    assert_eq!(total, 4, "b {:?} s {:?} c {:?}", b.assignment(), s.assignment(), c.assignment());
}

/// A static member comes back, and that cannot be written: the group has taken it in all the same,
/// without anybody who knows its new id. No session of it ends, and what it has is nobody's.
#[test]
fn a_static_member_whose_return_could_not_be_written_is_there_for_ever() {
    let clock = MockClock::at_millis(NOW);
    let sim = SimStorage::new();
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    let join_s = || subscribed(settings(&broker).group_instance_id("s"));
    let (a, s) = (member(&broker), join_s());
    settle(&[&a, &s]);
    drop(s);
    let s = join_s();
    sim.fail(Fault { op: FaultOp::Write, nth: 0, sticky: false, kind: FaultKind::Enospc });
    let error = s.poll(Duration::ZERO).unwrap_err();
    drop(s);
    for _ in 0..30 {
        clock.advance(Duration::from_secs(120));
        poll(&a);
    }
    assert_eq!(a.assignment().len(), 2, "an hour later, after {error}");
}

/// A value of a version that is not known reads as a tombstone: what was committed before it is
/// gone, and the group begins by its policy. Kafka refuses to go on.
#[test]
fn a_commit_of_an_unknown_version_is_taken_for_a_tombstone() {
    let dir = memory_dir();
    let open = || Broker::open(dir.path()).unwrap();
    let broker = open();
    broker.create_topic("t").unwrap();
    broker.group("g").alter_offsets(&[(("t", 0), 7)].into_iter().collect()).unwrap();
    broker.close().unwrap();
    let path = dir.path().join(format!("__consumer_offsets-0/{:020}.log", 0));
    let mut bytes = std::fs::read(&path).unwrap();
    let mut batch = BatchBuilder::new();
    let key = b"\0\x01\0\x01g\0\x01t\0\0\0\0";
    // Version 5: nobody knows what follows.
    batch.append(Some(NOW), Some(key), Some(b"\0\x05\0\0\0\0\0\0\0\x09\0\0"), &[]).unwrap();
    let mut sealed = batch.seal().unwrap();
    sealed.assign(1, 0);
    bytes.extend(sealed.into_bytes());
    std::fs::write(&path, &bytes).unwrap();
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    let broker = open();
    let found = broker.committed_offsets("g");
    let nothing = found.as_ref().is_ok_and(|offsets| offsets.iter().next().is_none());
    assert!(!nothing, "an error, or what was committed before, but not nothing: {found:?}");
}

/// The same for a group of version 4, which Kafka's schema has.
#[test]
fn a_group_of_version_4_is_taken_for_a_tombstone() {
    let dir = memory_dir();
    let open = || Broker::open(dir.path()).unwrap();
    let broker = open();
    broker.create_topic("t").unwrap();
    let a = subscribed(settings(&broker));
    poll(&a);
    drop(a);
    let generation = broker.group("g").describe().unwrap().generation;
    assert_eq!(generation, 2);
    broker.close().unwrap();
    let path = dir.path().join(format!("__consumer_offsets-0/{:020}.log", 0));
    let mut bytes = std::fs::read(&path).unwrap();
    let mut batch = BatchBuilder::new();
    // "consumer", generation 8, no protocol, no leader, a time, no members, no tagged fields.
    let value = b"\0\x04\x09consumer\0\0\0\x08\0\0\0\0\x01\x8b\xcf\xe5\x68\0\x01\0";
    batch.append(Some(NOW), Some(b"\0\x02\0\x01g"), Some(value), &[]).unwrap();
    let mut sealed = batch.seal().unwrap();
    sealed.assign(2, 0);
    bytes.extend(sealed.into_bytes());
    std::fs::write(&path, &bytes).unwrap();
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    let broker = open();
    let found = broker.group("g").describe().map(|described| described.generation);
    assert_eq!(found.unwrap(), 8);
}

/// A commit that has found its topic may be written after those of the topic were forgotten.
#[test]
fn a_commit_beside_the_deletion_of_its_topic_outlives_it() {
    let broker = Broker::in_memory();
    let stop = AtomicBool::new(false);
    let found = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let group = broker.group("g");
                let offsets = [(("d", 0), 0)].into_iter().collect();
                while !stop.load(Ordering::SeqCst) {
                    let _ = group.alter_offsets(&offsets);
                }
            });
        }
        let begun = Instant::now();
        while begun.elapsed() < 2 * SECOND && found.load(Ordering::SeqCst) == 0 {
            broker.create_topic("d").unwrap();
            thread::sleep(Duration::from_micros(300));
            broker.delete_topic("d").unwrap();
            // Whoever was between the look and the write is through after this.
            thread::sleep(Duration::from_millis(2));
            if committed(&broker, "d").is_some() {
                found.fetch_add(1, Ordering::SeqCst);
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(found.into_inner(), 0, "there is a commit of a topic that is gone");
}

/// With manual housekeeping nobody but the polls themselves can end a rebalance.
#[test]
fn a_poll_under_manual_housekeeping_waits_past_the_rebalance_timeout() {
    let broker = Broker::builder().housekeeping(logreel::Housekeeping::Manual).open().unwrap();
    broker.create_topic("t").unwrap();
    let settings = || settings(&broker).max_poll_interval(Duration::from_millis(300));
    let a = subscribed(settings());
    poll(&a);
    let b = subscribed(settings());
    b.poll(2 * SECOND).unwrap();
    assert_eq!(b.assignment().len(), 1);
}

/// The same when the whole process goes between the two halves: all come back without a rebalance.
#[test]
fn what_was_to_be_given_back_when_the_process_ended_stays_nobodys() {
    let home = Home {
        files: Files::Memory(logreel::Storage::memory()),
        clock: Some(MockClock::at_millis(NOW)),
        mmap: true,
    };
    let broker = home.open();
    broker.create_topic(NewTopic::new("t").partitions(4)).unwrap();
    let join = |broker: &Broker, name: &str| {
        let coop = settings(broker).assignor(CooperativeStickyAssignor);
        subscribed(coop.group_instance_id(name))
    };
    let b = join(&broker, "b");
    poll(&b);
    let s = join(&broker, "s");
    settle(&[&b, &s]);
    let c = join(&broker, "c");
    for member in [&c, &s, &b] {
        poll(member);
    }
    assert_eq!(broker.group("g").state().unwrap(), GroupState::Stable);
    drop((b, s, c));
    broker.close().unwrap();
    let broker = home.open();
    let members = ["b", "s", "c"].map(|name| join(&broker, name));
    settle(&members.each_ref());
    let total: usize = members.iter().map(|member| member.assignment().len()).sum();
    assert_eq!(total, 4);
}

/// A member alone waits for others for three seconds; without a thread its own poll does not see
/// that they are over.
#[test]
fn a_poll_under_manual_housekeeping_waits_past_the_initial_delay() {
    let settings_of = Broker::builder().housekeeping(logreel::Housekeeping::Manual);
    let broker = settings_of.set("group.initial.rebalance.delay.ms", "200").open().unwrap();
    broker.create_topic("t").unwrap();
    put(&broker, "t", 1);
    let a = subscribed(settings(&broker));
    let begun = Instant::now();
    let read = a.poll(3 * SECOND).unwrap().len();
    assert_eq!(read, 1, "after {:?}", begun.elapsed());
}

/// What an earlier listener failed with comes out of a poll of a later subscription.
#[test]
fn a_listeners_error_outlives_its_subscription() {
    struct Refuses;
    impl RebalanceListener for Refuses {
        fn on_lost(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
            Err("it was mine".into())
        }
    }
    let clock = MockClock::at_millis(NOW);
    let settings_of = Broker::builder().clock(&clock).set("group.max.size", "1");
    let broker = settings_of.open().unwrap();
    broker.create_topic("t").unwrap();
    let a = settings(&broker).build().unwrap();
    a.subscribe_with(["t"], Refuses).unwrap();
    poll(&a);
    clock.advance(Duration::from_secs(301));
    let b = member(&broker);
    poll(&b);
    assert!(a.poll(Duration::ZERO).is_err(), "the group is full");
    let _ = a.unsubscribe();
    drop(b);
    a.subscribe(["t"]).unwrap();
    a.poll(Duration::ZERO).unwrap();
}

/// A commit of an expired partition goes, and whoever waits for the group to drain is not told.
#[test]
fn a_wait_for_a_group_to_drain_does_not_see_that_commits_expired() {
    must_end(|| {
        let clock = MockClock::manual(NOW);
        let broker = Broker::builder().clock(&clock).set("offsets.retention.minutes", "60");
        let broker = broker.open().unwrap();
        for topic in ["t", "u"] {
            broker.create_topic(topic).unwrap();
        }
        put(&broker, "t", 5);
        let group = broker.group("g");
        group.alter_offsets(&[(("t", 0), 1)].into_iter().collect()).unwrap();
        clock.advance(Duration::from_secs(3000));
        group.alter_offsets(&[(("u", 0), 0)].into_iter().collect()).unwrap();
        let (told, hear) = mpsc::channel();
        let waits = group.clone();
        thread::spawn(move || told.send(waits.wait_drained(Duration::MAX).is_ok()).unwrap());
        thread::sleep(Duration::from_millis(200));
        clock.advance(Duration::from_secs(1500));
        assert_eq!(group.total_lag().unwrap(), 0, "what lagged has expired");
        assert_eq!(hear.recv_timeout(3 * SECOND), Ok(true));
    });
}

/// Counts what happens to partition 1: odd while it is given back.
#[derive(Clone, Default)]
struct Epoch(Arc<AtomicUsize>);

impl RebalanceListener for Epoch {
    fn on_assigned(&mut self, _: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        if p.iter().any(|tp| tp.partition() == 1) && self.0.load(Ordering::SeqCst) % 2 == 1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn on_revoked(&mut self, _: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        if p.iter().any(|tp| tp.partition() == 1) && self.0.load(Ordering::SeqCst).is_multiple_of(2)
        {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Between a listener's return and the removal of the partitions the state is neither locked nor
/// marked as busy: a poll on another thread returns records of what was given back.
#[test]
fn another_threads_poll_returns_records_of_partitions_just_given_back() {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    let records = (0..50_000).map(|_| ProducerRecord::to("t").partition(1).value("x"));
    broker.producer().build().unwrap().send_batch(records).wait().unwrap();
    let settings = || {
        let settings = settings(&broker).assignor(CooperativeStickyAssignor);
        settings.enable_auto_commit(false).max_poll_records(1)
    };
    let shared = settings().client_id("a").build().unwrap();
    let epoch = Epoch::default();
    epoch.0.store(1, Ordering::SeqCst);
    shared.subscribe_with(["t"], epoch.clone()).unwrap();
    let (stop, wrong) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut stuck = None;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let before = epoch.0.load(Ordering::SeqCst);
                    let count = shared.poll(Duration::ZERO).unwrap().len();
                    let after = epoch.0.load(Ordering::SeqCst);
                    if before % 2 == 1 && before == after && count > 0 {
                        wrong.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        let begun = Instant::now();
        while begun.elapsed() < 2 * SECOND && wrong.load(Ordering::SeqCst) == 0 {
            let other = subscribed(settings().client_id("b"));
            let joined = Instant::now();
            while other.assignment().is_empty() && wrong.load(Ordering::SeqCst) == 0 {
                other.poll(Duration::from_millis(1)).unwrap();
                if joined.elapsed() > 3 * SECOND {
                    stuck = Some((broker.group("g").describe().unwrap(), shared.assignment()));
                    break;
                }
            }
            if stuck.is_some() {
                break;
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(stuck.is_none(), "the group does not go on: {stuck:?}");
    assert_eq!(wrong.into_inner(), 0, "partition 1 had been given back before the poll began");
}

/// The same where another thread unsubscribes in that moment: the join goes on, and a member stays
/// that wants nothing.
#[test]
fn a_member_stays_in_the_group_after_unsubscribe_beside_a_poll() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let shared = settings(&broker).enable_auto_commit(false).build().unwrap();
    let turn = std::sync::Barrier::new(2);
    let stop = AtomicBool::new(false);
    let mut left = None;
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                turn.wait();
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let _ = shared.poll(Duration::ZERO);
                turn.wait();
            }
        });
        let begun = Instant::now();
        let mut round = 0u32;
        while begun.elapsed() < 2 * SECOND && left.is_none() {
            round += 1;
            shared.subscribe(["t"]).unwrap();
            turn.wait();
            for _ in 0..(round % 400) {
                std::hint::spin_loop();
            }
            shared.unsubscribe().unwrap();
            turn.wait();
            let members = broker.group("g").members().map_or(0, |members| members.len());
            if members > 0 || !shared.assignment().is_empty() {
                left = Some((round, members, shared.assignment()));
            }
        }
        stop.store(true, Ordering::SeqCst);
        turn.wait();
    });
    assert_eq!(left, None, "round, members, assignment");
}

/// The same where two threads poll for the first time at once: one consumer joins twice, and what
/// the forgotten member is given is nobody's until `max.poll.interval.ms` has passed.
#[test]
fn one_consumer_joins_twice_when_two_threads_poll_it() {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    let begun = Instant::now();
    let mut twice = None;
    let mut round = 0;
    while begun.elapsed() < 2 * SECOND && twice.is_none() {
        round += 1;
        let consumer = subscribed(settings(&broker).enable_auto_commit(false));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..20).for_each(|_| _ = poll(&consumer)));
            }
        });
        let members = broker.group("g").members().unwrap().len();
        if members != 1 || consumer.assignment().len() != 2 {
            twice = Some((round, members, consumer.assignment()));
        }
        drop(consumer);
    }
    assert_eq!(twice, None, "round, members, assignment");
}

/// What a leave could not write is tried again, and until then hurts nobody else.
#[test]
fn a_leave_that_could_not_be_written_is_written_later() {
    let sim = SimStorage::new();
    let open = || Broker::builder().storage(sim.storage()).open().unwrap();
    let broker = open();
    broker.create_topic("t").unwrap();
    let a = member(&broker);
    poll(&a);
    let state = || broker.group("g").state().unwrap();
    sim.fail(Fault { op: FaultOp::Write, nth: 0, sticky: true, kind: FaultKind::Enospc });
    a.unsubscribe().unwrap_err();
    assert_eq!(state(), GroupState::Empty, "it has left all the same");
    sim.clear_faults();
    broker.group("g").alter_offsets(&[(("t", 0), 0)].into_iter().collect()).unwrap();
    drop(a);
    broker.close().unwrap();
    let broker = open();
    assert_eq!(broker.group("g").describe().unwrap().generation, 2);
}
