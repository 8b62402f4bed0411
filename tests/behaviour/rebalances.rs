//! Several members of one group: who has what, and when.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use crate::homes::*;
use logreel::admin::{GroupState, ResetScope, ResetTo};
use logreel::consumer::{
    CooperativeStickyAssignor, ListenerResult, RebalanceContext, RebalanceListener,
};
use logreel::testing::MockClock;
use logreel::{
    Broker, Consumer, ErrorCode, ErrorKind, Housekeeping, NewTopic, OffsetReset, ProducerRecord,
    TopicPartition,
};

fn broker(partitions: i32) -> (Broker, MockClock) {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    broker.create_topic(NewTopic::new("t").partitions(partitions)).unwrap();
    (broker, clock)
}

fn settings(broker: &Broker) -> logreel::consumer::ConsumerBuilder {
    broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest)
}

fn member(broker: &Broker) -> Consumer {
    let consumer = settings(broker).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

fn poll(consumer: &Consumer) {
    consumer.poll(Duration::ZERO).unwrap();
}

fn numbers(consumer: &Consumer) -> Vec<i32> {
    consumer.assignment().iter().map(TopicPartition::partition).collect()
}

/// Lets everybody poll until nothing moves.
fn settle(members: &[&Consumer]) {
    for _ in 0..4 {
        for member in members {
            poll(member);
        }
    }
}

#[test]
fn members_share_and_take_over() {
    let (broker, _) = broker(4);
    let a = member(&broker);
    poll(&a);
    assert_eq!(numbers(&a), [0, 1, 2, 3]);
    let b = member(&broker);
    poll(&b);
    assert_eq!((numbers(&a), numbers(&b)), (vec![0, 1, 2, 3], vec![]), "a has not joined again");
    poll(&a);
    poll(&b);
    assert_eq!((numbers(&a), numbers(&b)), (vec![0, 1], vec![2, 3]));
    drop(a);
    poll(&b);
    assert_eq!(numbers(&b), [0, 1, 2, 3]);
    assert_eq!(b.group_metadata().unwrap().generation(), Some(3));
}

struct Tell(&'static str, mpsc::Sender<String>);

impl Tell {
    fn tell(&self, what: &str, partitions: &[TopicPartition]) -> ListenerResult {
        let numbers: Vec<i32> = partitions.iter().map(TopicPartition::partition).collect();
        Ok(self.1.send(format!("{} {what} {numbers:?}", self.0))?)
    }
}

impl RebalanceListener for Tell {
    fn on_assigned(&mut self, _: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.tell("assigned", p)
    }

    fn on_revoked(&mut self, _: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.tell("revoked", p)
    }

    fn on_lost(&mut self, _: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.tell("lost", p)
    }
}

fn told(heard: &mpsc::Receiver<String>) -> Vec<String> {
    heard.try_iter().collect()
}

#[test]
fn a_cooperative_rebalance_moves_only_what_moves() {
    let (broker, _) = broker(4);
    let (tell, heard) = mpsc::channel();
    let member = |name| {
        let consumer = settings(&broker).assignor(CooperativeStickyAssignor).build().unwrap();
        consumer.subscribe_with(["t"], Tell(name, tell.clone())).unwrap();
        consumer
    };
    let a = member("a");
    poll(&a);
    assert_eq!(told(&heard), ["a assigned [0, 1, 2, 3]"]);
    let b = member("b");
    poll(&b);
    poll(&a);
    assert_eq!(told(&heard), ["a revoked [2, 3]", "a assigned []"]);
    assert_eq!(numbers(&a), [0, 1], "a keeps reading these");
    settle(&[&b, &a]);
    assert_eq!((numbers(&a), numbers(&b)), (vec![0, 1], vec![2, 3]));
    assert_eq!(told(&heard), ["a assigned []", "b assigned [2, 3]"]);
    a.close().unwrap();
    assert_eq!(told(&heard), ["a revoked [0, 1]"]);
    poll(&b);
    assert_eq!(told(&heard), ["b assigned [0, 1]"]);
}

#[test]
fn who_does_not_poll_in_time_has_lost_its_partitions() {
    let (broker, clock) = broker(2);
    let (tell, heard) = mpsc::channel();
    let a = settings(&broker).build().unwrap();
    a.subscribe_with(["t"], Tell("a", tell)).unwrap();
    poll(&a);
    let b = member(&broker);
    poll(&b);
    // b waits for a, which does not come; the clock moves while it waits.
    assert!(b.poll(Duration::from_secs(301)).unwrap().is_empty());
    assert_eq!(numbers(&b), [0, 1]);
    assert_eq!(a.commit().unwrap_err().code(), Some(ErrorCode::UnknownMemberId));
    assert_eq!(told(&heard), ["a assigned [0, 1]"]);
    poll(&a);
    assert_eq!(told(&heard), ["a lost [0, 1]"]);
    settle(&[&b, &a]);
    assert_eq!(numbers(&a).len(), 1);
    clock.advance(Duration::from_secs(299));
    poll(&a);
    poll(&b);
    clock.advance(Duration::from_secs(299));
    a.commit().unwrap();
}

/// Without threads nobody but the poll itself sees that another member is late.
#[test]
fn a_poll_that_waits_for_a_late_member_sees_its_end_with_and_without_threads() {
    for housekeeping in [Housekeeping::Threads, Housekeeping::Manual] {
        must_end(move || {
            let broker = Broker::builder().housekeeping(housekeeping).topic("t").open().unwrap();
            let join = |interval| {
                let consumer = settings(&broker).max_poll_interval(interval).build().unwrap();
                consumer.subscribe(["t"]).unwrap();
                consumer
            };
            let late = join(Duration::from_millis(50));
            poll(&late);
            let other = join(Duration::from_secs(300));
            let begun = std::time::Instant::now();
            while numbers(&other).is_empty() {
                other.poll(Duration::from_millis(500)).unwrap();
            }
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(5), "{took:?}");
            assert_eq!(late.commit().unwrap_err().code(), Some(ErrorCode::UnknownMemberId));
        });
    }
}

/// The wait for more members ended with nobody there, and was ended again without end.
#[test]
fn a_group_stops_gathering_when_all_went_away() {
    must_end(|| {
        let clock = MockClock::at_millis(NOW);
        let builder = Broker::builder().clock(&clock);
        let broker = builder.set("group.initial.rebalance.delay.ms", "3000").open().unwrap();
        broker.create_topic("t").unwrap();
        let a = settings(&broker).group_instance_id("s").build().unwrap();
        a.subscribe(["t"]).unwrap();
        poll(&a);
        drop(a);
        clock.advance(Duration::from_secs(3));
        let b = member(&broker);
        poll(&b);
        clock.advance(Duration::from_secs(45));
        settle(&[&b]);
        assert_eq!(numbers(&b), [0]);
    });
}

/// A group that is forgotten with its last commit counts its moves anew. A member of before took
/// the new group's for those it had seen, and went on reading what another had.
#[test]
fn a_member_of_a_forgotten_group_hears_that_it_is_none() {
    let (broker, clock) = broker(1);
    let (tell, heard) = mpsc::channel();
    let a = settings(&broker).build().unwrap();
    a.subscribe_with(["t"], Tell("a", tell)).unwrap();
    poll(&a);
    a.commit().unwrap();
    clock.advance(Duration::from_secs(15 * 24 * 60 * 60));
    assert!(broker.groups().unwrap().is_empty());
    let b = member(&broker);
    poll(&b);
    poll(&a);
    assert_eq!(told(&heard), ["a assigned [0]", "a lost [0]"]);
}

/// What it failed with came out of the polls of another subscription.
#[test]
fn a_listener_that_fails_on_being_fenced_is_heard_of() {
    struct Fail;
    impl RebalanceListener for Fail {
        fn on_lost(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
            Err("no".into())
        }
    }
    let (broker, _) = broker(1);
    let make = || settings(&broker).group_instance_id("s").build().unwrap();
    let (old, new) = (make(), make());
    old.subscribe_with(["t"], Fail).unwrap();
    poll(&old);
    new.subscribe(["t"]).unwrap();
    poll(&new);
    let error = old.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId));
    assert_eq!(old.unsubscribe().unwrap_err().kind(), ErrorKind::UserCode);
    old.subscribe(["t"]).unwrap();
    poll(&old);
}

/// It took the partitions it found for those that it had given out.
#[test]
fn a_leader_that_comes_back_sees_what_was_added() {
    let (broker, _) = broker(2);
    let leader = || {
        let consumer = settings(&broker).group_instance_id("s").build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        consumer
    };
    let a = leader();
    poll(&a);
    let b = member(&broker);
    settle(&[&b, &a]);
    drop(a);
    broker.create_partitions("t", 3).unwrap();
    poll(&b);
    let a = leader();
    settle(&[&a, &b]);
    assert_eq!((numbers(&a), numbers(&b)), (vec![0, 1], vec![2]));
}

/// The change of mind came first and was taken for the reason: the member was told that it could
/// still commit, while others had its partitions.
#[test]
fn who_lost_its_partitions_and_wants_others_is_told_lost() {
    for instance in [None, Some("s")] {
        let (broker, clock) = broker(2);
        broker.create_topic("u").unwrap();
        let (tell, heard) = mpsc::channel();
        let mut a = settings(&broker);
        if let Some(instance) = instance {
            a = a.group_instance_id(instance);
        }
        let a = a.build().unwrap();
        a.subscribe_with(["t"], Tell("a", tell.clone())).unwrap();
        poll(&a);
        let before = a.group_metadata().unwrap();
        clock.advance(Duration::from_secs(301));
        a.subscribe_with(["u"], Tell("a", tell)).unwrap();
        poll(&a);
        assert_eq!(told(&heard), ["a assigned [0, 1]", "a lost [0, 1]", "a assigned [0]"]);
        assert_ne!(a.group_metadata().unwrap().member_id(), before.member_id());
    }
}

#[test]
fn a_listener_that_calls_its_consumer_is_told_so() {
    struct Poll(std::sync::Weak<Consumer>, mpsc::Sender<ErrorKind>);
    impl RebalanceListener for Poll {
        fn on_assigned(
            &mut self,
            _: &RebalanceContext<'_>,
            _: &[TopicPartition],
        ) -> ListenerResult {
            let consumer = self.0.upgrade().unwrap();
            let error = consumer.poll(Duration::ZERO).unwrap_err();
            Ok(self.1.send(error.kind())?)
        }
    }
    let (broker, _) = broker(1);
    let consumer = Arc::new(settings(&broker).build().unwrap());
    let (tell, heard) = mpsc::channel();
    consumer.subscribe_with(["t"], Poll(Arc::downgrade(&consumer), tell)).unwrap();
    poll(&consumer);
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [ErrorKind::IllegalState]);
}

/// A closed directory told of members that were gone, and they kept an export from being made.
#[test]
fn a_closed_broker_leaves_no_members_behind() {
    let dir = memory_dir();
    let broker = Broker::open(dir.path()).unwrap();
    broker.create_topic("t").unwrap();
    let (a, b) = (member(&broker), member(&broker));
    settle(&[&a, &b]);
    a.commit_offsets(&[(("t", 0), 0)].into_iter().collect()).unwrap();
    broker.close().unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    let group = reader.group("g").describe().unwrap();
    assert_eq!((group.state, group.members.len()), (GroupState::Empty, 0));
}

/// Who only reads takes what an ended process left for members; it may plan all the same.
#[test]
fn offsets_are_planned_over_what_a_killed_process_left() {
    let dir = memory_dir();
    let broker = Broker::open(dir.path()).unwrap();
    broker.create_topic("t").unwrap();
    let a = member(&broker);
    poll(&a);
    a.commit_offsets(&[(("t", 0), 0)].into_iter().collect()).unwrap();
    let reader = Broker::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.group("g").describe().unwrap().members.len(), 1);
    let plan = reader.group("g").plan_reset(ResetScope::all_topics(), ResetTo::Current).unwrap();
    assert_eq!(plan.to_csv(), "t,0,0\n");
    assert!(plan.execute().is_err());
}

#[test]
fn records_are_taken_partition_by_partition_and_committed_by_whoever_owns_them() {
    let (broker, _) = broker(2);
    let producer = broker.producer().build().unwrap();
    for number in 0..6 {
        let record = ProducerRecord::to("t").partition(number % 2);
        producer.send(record.value(number.to_string())).wait().unwrap();
    }
    let consumer = member(&broker);
    let records = consumer.poll(Duration::ZERO).unwrap();
    for tp in records.partitions() {
        let of = records.partition(&tp).map(|record| (record.partition(), record.offset()));
        let wanted = [0, 1, 2].map(|offset| (tp.partition(), offset));
        assert_eq!(of.collect::<Vec<_>>(), wanted);
    }
    assert_eq!(records.partition(&("t", 2).into()).count(), 0);
    let second = records.to_vec().into_iter().find(|record| record.offset == 1).unwrap();
    consumer.committer().commit_record(&second).unwrap();
    let committed = consumer.committed(&second.topic_partition()).unwrap().unwrap();
    assert_eq!((committed.offset(), committed.leader_epoch()), (2, second.leader_epoch));
}
