//! What a test does to groups, the members notice as they would of a broker.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use logreel::consumer::{ListenerResult, RebalanceContext, RebalanceListener};
use logreel::testing::MockClock;
use logreel::{Broker, Consumer, ErrorCode, ErrorKind, NewTopic, Offsets, TopicPartition};

const LONG: Duration = Duration::from_secs(60);

fn world() -> (Broker, MockClock) {
    let clock = MockClock::at_millis(1_700_000_000_000);
    let topic = NewTopic::new("t").partitions(4);
    (Broker::builder().clock(&clock).topic(topic).open().unwrap(), clock)
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn note(&self, what: &str, partitions: &[TopicPartition]) {
        self.0.lock().unwrap().push(format!("{what} {}", partitions.len()));
    }
}

impl RebalanceListener for Told {
    fn on_assigned(&mut self, _: &RebalanceContext<'_>, tps: &[TopicPartition]) -> ListenerResult {
        self.note("assigned", tps);
        Ok(())
    }

    fn on_revoked(&mut self, _: &RebalanceContext<'_>, tps: &[TopicPartition]) -> ListenerResult {
        self.note("revoked", tps);
        Ok(())
    }

    fn on_lost(&mut self, _: &RebalanceContext<'_>, tps: &[TopicPartition]) -> ListenerResult {
        self.note("lost", tps);
        Ok(())
    }
}

fn member(broker: &Broker, name: &str, instance: Option<&str>) -> (Consumer, Told) {
    let mut settings = broker.consumer().group_id("g").client_id(name).enable_auto_commit(false);
    if let Some(instance) = instance {
        settings = settings.group_instance_id(instance);
    }
    let (consumer, told) = (settings.build().unwrap(), Told::default());
    consumer.subscribe_with(["t"], told.clone()).unwrap();
    (consumer, told)
}

fn settle(members: &[&Consumer]) {
    for _ in 0..4 {
        members.iter().for_each(|member| drop(member.poll(Duration::ZERO).unwrap()));
    }
}

fn position(offset: i64) -> Offsets {
    [(("t", 0), offset)].into_iter().collect()
}

fn generation(member: &Consumer) -> i32 {
    member.group_metadata().unwrap().generation().unwrap()
}

#[test]
fn a_rebalance_is_triggered() {
    let (broker, _) = world();
    let ((a, told), (b, _)) = (member(&broker, "a", None), member(&broker, "b", None));
    settle(&[&a, &b]);
    let before = generation(&a);
    told.take();
    broker.testing().group("g").trigger_rebalance().unwrap();
    // The old generation may commit what it has, until all have joined.
    a.commit_offsets(&position(1)).unwrap();
    // Twice is once.
    broker.testing().group("g").trigger_rebalance().unwrap();
    settle(&[&a, &b]);
    assert_eq!((generation(&a), generation(&b)), (before + 1, before + 1));
    assert_eq!(told.take(), ["revoked 2", "assigned 2"]);
    a.commit_offsets(&position(1)).unwrap();
}

#[test]
fn a_member_is_expired() {
    let (broker, _) = world();
    let ((a, told), (b, _)) = (member(&broker, "a", None), member(&broker, "b", None));
    settle(&[&a, &b]);
    told.take();
    let group = broker.testing().group("g");
    group.expire(&a).unwrap();
    assert_eq!(group.expire(&a).unwrap_err().code(), Some(ErrorCode::UnknownMemberId));
    let error = a.commit_offsets(&position(1)).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownMemberId));
    settle(&[&b]);
    assert_eq!(b.assignment().len(), 4);
    settle(&[&a, &b]);
    assert_eq!(told.take(), ["lost 2", "assigned 2"]);
    assert_eq!((a.assignment().len(), b.assignment().len()), (2, 2));
}

#[test]
fn a_static_member_is_fenced() {
    let (broker, clock) = world();
    let ((a, told), (b, _)) = (member(&broker, "a", Some("a-1")), member(&broker, "b", None));
    settle(&[&a, &b]);
    told.take();
    let group = broker.testing().group("g");
    assert_eq!(group.fence(&b).unwrap_err().code(), Some(ErrorCode::InvalidRequest));
    group.fence(&a).unwrap();
    let error = a.commit_offsets(&position(1)).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId));
    let error = a.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId));
    assert_eq!(told.take(), ["lost 2"]);
    // Until its session ends the other one keeps what it had.
    settle(&[&b]);
    assert_eq!(b.assignment().len(), 2);
    clock.advance(Duration::from_secs(46));
    settle(&[&b]);
    assert_eq!(b.assignment().len(), 4);
}

#[test]
fn a_test_decides_who_gets_what() {
    let (broker, _) = world();
    let ((a, _), (b, _)) = (member(&broker, "a", None), member(&broker, "b", None));
    settle(&[&a, &b]);
    let group = broker.testing().group("g");
    group.set_assignment([(&a, vec![("t", 3)]), (&b, vec![("t", 0), ("t", 1)])]).unwrap();
    settle(&[&a, &b]);
    assert_eq!(a.assignment(), [("t", 3).into()]);
    assert_eq!(b.assignment(), [("t", 0).into(), ("t", 1).into()]);
    // It stays in force: also for one that comes later and is not named.
    let (c, _) = member(&broker, "c", None);
    settle(&[&a, &b, &c]);
    assert_eq!(a.assignment(), [("t", 3).into()]);
    assert!(c.assignment().is_empty());
    group.clear_assignment().unwrap();
    settle(&[&a, &b, &c]);
    let all: usize = [&a, &b, &c].iter().map(|member| member.assignment().len()).sum();
    assert_eq!((all, c.assignment().len()), (4, 1));
}

#[test]
fn groups_without_members_say_so() {
    let (broker, _) = world();
    let group = broker.testing().group("nobody");
    for refused in [group.trigger_rebalance(), group.clear_assignment()] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::IllegalState);
    }
    let (a, _) = member(&broker, "a", None);
    assert_eq!(group.expire(&a).unwrap_err().kind(), ErrorKind::IllegalState);
    assert_eq!(group.fence(&a).unwrap_err().kind(), ErrorKind::IllegalState);
    assert!(a.poll(LONG).unwrap().is_empty());
    assert_eq!(group.expire(&a).unwrap_err().code(), Some(ErrorCode::UnknownMemberId));
}

/// A rebalance between the call of a commit and its answer, without sleeping.
#[test]
fn a_commit_races_a_rebalance() {
    use logreel::testing::OpKind;
    let (broker, _) = world();
    let (a, _) = member(&broker, "a", None);
    let a = Arc::new(a);
    settle(&[&a]);
    let barrier = broker.testing().faults().on(OpKind::Commit).group("g").pause();
    let racing = std::thread::spawn({
        let a = Arc::clone(&a);
        move || a.commit_offsets(&position(1))
    });
    barrier.wait_entered(LONG).unwrap();
    broker.testing().group("g").trigger_rebalance().unwrap();
    settle(&[&a]);
    assert_eq!(generation(&a), 2);
    barrier.release();
    let outcome = racing.join().unwrap();
    assert_eq!(outcome.unwrap_err().code(), Some(ErrorCode::IllegalGeneration));
    assert_eq!(a.committed(&("t", 0).into()).unwrap(), None);
    a.commit_offsets(&position(1)).unwrap();
}

/// The member that joined before is the one that joins again (KIP-394).
#[test]
fn a_join_whose_answer_is_lost_leaves_no_ghost() {
    use logreel::testing::OpKind;
    let (broker, _) = world();
    let faults = broker.testing().faults().clone();
    let lost = faults.on(OpKind::JoinGroup).times(2).apply_then_fail(ErrorCode::NetworkException);
    let (a, _) = member(&broker, "a", None);
    assert!(a.poll(Duration::from_secs(1)).unwrap().is_empty());
    assert_eq!((lost.hits(), a.assignment().len()), (2, 4));
    assert_eq!(broker.group("g").members().unwrap().len(), 1);
}
