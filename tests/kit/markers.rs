//! Markers that come after the answer, as Kafka's may.

use std::time::Duration;

use logreel::consumer::GroupMetadata;
use logreel::testing::MockClock;
use logreel::{
    Broker, Consumer, ErrorCode, IsolationLevel, OffsetReset, Offsets, ProducerRecord,
    TransactionalProducer,
};

const LONG: Duration = Duration::from_secs(60);

fn world() -> (Broker, MockClock) {
    let clock = MockClock::at_millis(1_700_000_000_000);
    (Broker::builder().clock(&clock).topic("t").open().unwrap(), clock)
}

fn reader(broker: &Broker) -> Consumer {
    let settings = broker.consumer().isolation_level(IsolationLevel::ReadCommitted);
    let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

fn transact(producer: &mut TransactionalProducer, commits: bool) {
    let transaction = producer.begin().unwrap();
    transaction.send(ProducerRecord::to("t").value("v")).wait().unwrap();
    let position: Offsets = [(("t", 0), 1)].into_iter().collect();
    transaction.send_offsets(&position, &GroupMetadata::without_members("g")).unwrap();
    if commits { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
}

#[test]
fn what_is_committed_shows_when_its_markers_are_let_go() {
    for commits in [true, false] {
        let (broker, clock) = world();
        let reader = reader(&broker);
        broker.testing().hold_transaction_markers(true).unwrap();
        let mut producer = broker.producer().build_transactional("p").unwrap();
        transact(&mut producer, commits);
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        // However long it takes.
        assert!(reader.poll(Duration::from_secs(3600)).unwrap().is_empty());
        clock.advance(Duration::from_secs(3600));
        assert_eq!((log.last_stable_offset(), log.log_end_offset()), (0, 1));
        broker.testing().hold_transaction_markers(false).unwrap();
        assert_eq!((log.last_stable_offset(), log.log_end_offset()), (2, 2));
        assert_eq!(reader.poll(LONG).unwrap().len(), usize::from(commits));
        let group = broker.group("g").committed().unwrap();
        assert_eq!(group.iter().count(), usize::from(commits));
        transact(&mut producer, true);
        assert_eq!(log.last_stable_offset(), 4);
    }
}

#[test]
fn the_next_transaction_waits_for_the_markers() {
    let (broker, _) = world();
    broker.testing().hold_transaction_markers(true).unwrap();
    let mut producer = broker.producer().build_transactional("p").unwrap();
    transact(&mut producer, true);
    let transaction = producer.begin().unwrap();
    let sent = transaction.send(ProducerRecord::to("t").value("v")).wait();
    // Nobody lets go of them within a minute.
    assert_eq!(sent.unwrap_err().code(), Some(ErrorCode::RequestTimedOut));
    drop(transaction);
    let other = broker.producer().build_transactional("p");
    assert_eq!(other.unwrap_err().code(), Some(ErrorCode::RequestTimedOut));
    broker.testing().hold_transaction_markers(false).unwrap();
    let mut producer = broker.producer().build_transactional("p").unwrap();
    transact(&mut producer, true);
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!((log.last_stable_offset(), log.log_end_offset()), (4, 4));
}

#[test]
fn an_open_after_a_crash_writes_the_markers() {
    let (broker, _) = world();
    broker.testing().hold_transaction_markers(true).unwrap();
    let mut producer = broker.producer().build_transactional("p").unwrap();
    transact(&mut producer, true);
    let broker = broker.testing().kill().unwrap();
    assert_eq!(reader(&broker).poll(LONG).unwrap().len(), 1);
}
