//! Commits that are made later, and those of worker threads.

use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::awaiting::*;
use crate::homes::*;
use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{
    Acks, Broker, Consumer, ErrorCode, ErrorKind, OffsetAndMetadata, OffsetReset, Offsets,
    ProducerRecord, Result,
};

fn fill(broker: &Broker, count: usize) {
    let records = (0..count).map(|n| ProducerRecord::to("t").value(n.to_string()));
    broker.producer().build().unwrap().send_batch(records).wait().unwrap();
}

fn member(broker: &Broker) -> Consumer {
    let builder = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
    let consumer = builder.enable_auto_commit(false).max_poll_records(1).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

fn at(offset: i64) -> Offsets {
    [(("t", 0), offset)].into_iter().collect()
}

fn committed(broker: &Broker) -> Option<i64> {
    let offsets = broker.committed_offsets("g").unwrap();
    offsets.get(&("t", 0).into()).map(OffsetAndMetadata::offset)
}

/// Returns when every commit is made, and runs no callback.
fn settle(consumer: &Consumer) {
    consumer.committer().commit_offsets(&Offsets::new()).unwrap();
}

type Calls = Arc<Mutex<Vec<(i64, ThreadId, Result<()>)>>>;

fn note(calls: &Calls, number: i64) -> impl FnOnce(Result<()>) + Send + 'static {
    let calls = Arc::clone(calls);
    move |outcome| calls.lock().unwrap().push((number, thread::current().id(), outcome))
}

fn called(calls: &Calls) -> Vec<i64> {
    calls.lock().unwrap().iter().map(|(number, ..)| *number).collect()
}

#[test]
fn callbacks_run_in_order_inside_calls_of_the_consumer() {
    for home in homes() {
        let broker = home.open();
        fill(&broker, 10);
        let consumer = member(&broker);
        consumer.poll(SECOND).unwrap();
        let calls = Calls::default();
        for offset in 1..=5 {
            consumer.commit_offsets_async(&at(offset)).on_complete(note(&calls, offset));
        }
        settle(&consumer);
        assert_eq!(committed(&broker), Some(5));
        // In memory the later ones ran those of the earlier ones.
        let before = called(&calls).len() as i64;
        assert!(before < 5);
        consumer.poll(Duration::ZERO).unwrap();
        assert_eq!(called(&calls), [1, 2, 3, 4, 5]);
        for (_, on, outcome) in calls.lock().unwrap().iter() {
            assert_eq!(*on, thread::current().id());
            outcome.as_ref().unwrap();
        }
    }
}

/// On a clock that stands still nothing is made behind the consumer's back.
#[test]
fn a_commit_that_blocks_comes_after_those_before_it() {
    let home = disk();
    let broker = home.builder().clock(MockClock::manual(NOW)).open().unwrap();
    fill(&broker, 10);
    let consumer = member(&broker);
    consumer.poll(SECOND).unwrap();
    let calls = Calls::default();
    let first = consumer.commit_offsets_async(&at(7));
    assert!(first.try_get().is_none() && committed(&broker).is_none());
    first.on_complete(note(&calls, 7));
    consumer.commit_async().on_complete(note(&calls, 1));
    consumer.commit_offsets(&at(3)).unwrap();
    assert_eq!(called(&calls), [7, 1]);
    assert_eq!(committed(&broker), Some(3), "the last one wins");

    // Whoever waits for one makes those before it, too.
    let early = consumer.commit_offsets_async(&at(8));
    consumer.commit_offsets_async(&at(9)).wait().unwrap();
    early.try_get().unwrap().unwrap();
    assert_eq!(committed(&broker), Some(9));
    assert_eq!(broker.run_due().map(|due| due.is_zero()), Some(false), "nothing is left");
}

#[test]
fn a_close_makes_what_waits_and_calls_back() {
    let home = disk();
    let broker = home.builder().clock(MockClock::manual(NOW)).open().unwrap();
    fill(&broker, 10);
    let consumer = member(&broker);
    consumer.poll(SECOND).unwrap();
    let calls = Calls::default();
    for offset in [4, 6] {
        consumer.commit_offsets_async(&at(offset)).on_complete(note(&calls, offset));
    }
    consumer.close().unwrap();
    assert_eq!(called(&calls), [4, 6]);
    assert!(calls.lock().unwrap().iter().all(|(.., outcome)| outcome.is_ok()));
    assert_eq!(committed(&broker), Some(6));
}

/// A drop commits nothing of its own, but what was asked for is made, by the member that asked.
#[test]
fn a_drop_makes_what_waits_and_calls_nobody() {
    for close_broker in [false, true] {
        let home = disk();
        let broker = home.builder().clock(MockClock::manual(NOW)).open().unwrap();
        fill(&broker, 10);
        let consumer = member(&broker);
        consumer.poll(SECOND).unwrap();
        let handle = consumer.commit_offsets_async(&at(6));
        let calls = Calls::default();
        consumer.commit_offsets_async(&at(7)).on_complete(note(&calls, 7));
        if close_broker {
            broker.close().unwrap();
            handle.try_get().unwrap().unwrap();
        } else {
            drop(consumer);
            handle.try_get().unwrap().unwrap();
            drop(broker);
        }
        handle.wait().unwrap();
        assert!(called(&calls).is_empty());
        assert_eq!(committed(&home.open()), Some(7));
    }
}

#[test]
fn an_error_comes_to_who_asked_and_stops_nobody_else() {
    for home in homes() {
        let broker = home.open();
        fill(&broker, 10);
        let consumer = member(&broker);
        consumer.poll(SECOND).unwrap();
        let long = OffsetAndMetadata::new(2).with_metadata("x".repeat(4097));
        let good = consumer.commit_offsets_async(&at(4));
        let bad = consumer.commit_offsets_async(&[(("t", 0), long)].into_iter().collect());
        let calls = Calls::default();
        consumer.commit_offsets_async(&at(-1)).on_complete(note(&calls, -1));
        let last = consumer.commit_offsets_async(&at(5));
        let error = bad.wait().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OffsetMetadataTooLarge));
        good.wait().unwrap();
        last.wait().unwrap();
        assert_eq!(committed(&broker), Some(5));
        consumer.poll(Duration::ZERO).unwrap();
        assert!(calls.lock().unwrap()[0].2.is_err());

        let loner = reader(&broker);
        loner.assign([("t", 0)]).unwrap();
        let error = loner.commit_async().wait().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidGroupId));
        let error = loner.committer().commit_offsets(&at(1)).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidGroupId));
    }
}

#[test]
fn a_callback_may_panic_and_may_commit() {
    for home in homes() {
        must_end(move || {
            let broker = home.open();
            fill(&broker, 10);
            let consumer = Arc::new(member(&broker));
            consumer.poll(SECOND).unwrap();
            let calls = Calls::default();
            consumer
                .commit_offsets_async(&at(1))
                .on_complete(|_| panic!("a callback that panics, as this test wants it"));
            let (again, noted) = (Arc::clone(&consumer), Arc::clone(&calls));
            consumer.commit_offsets_async(&at(2)).on_complete(move |_| {
                again.commit_offsets_async(&at(3)).on_complete(note(&noted, 3));
                again.commit_offsets(&at(4)).unwrap();
                note(&noted, 2)(Ok(()));
            });
            settle(&consumer);
            consumer.poll(Duration::ZERO).unwrap();
            assert_eq!(called(&calls), [2], "those of later commits come in later calls");
            assert_eq!(committed(&broker), Some(4));
            consumer.poll(Duration::ZERO).unwrap();
            assert_eq!(called(&calls), [2, 3]);
        });
    }
}

/// A callback that always commits again does not keep a poll from its end.
#[test]
fn a_poll_ends_though_callbacks_go_on() {
    fn again(consumer: &Arc<Consumer>) {
        let next = Arc::clone(consumer);
        consumer.commit_offsets_async(&at(1)).on_complete(move |_| again(&next));
    }
    for home in homes() {
        must_end(move || {
            let broker = home.open();
            broker.create_topic("t").unwrap();
            let consumer = Arc::new(member(&broker));
            consumer.poll(Duration::ZERO).unwrap();
            again(&consumer);
            assert!(consumer.poll(SECOND / 10).unwrap().is_empty());
        });
    }
}

/// A poll that waits on another thread runs them as soon as the commit is made.
#[test]
fn a_poll_that_waits_runs_callbacks() {
    for home in homes().into_iter().filter(|home| home.clock.is_none()) {
        let broker = home.open();
        broker.create_topic("t").unwrap();
        let consumer = member(&broker);
        consumer.poll(Duration::ZERO).unwrap();
        let (told, hear) = mpsc::channel();
        thread::scope(|scope| {
            let polls = scope.spawn(|| consumer.poll(60 * SECOND));
            thread::sleep(SECOND / 20);
            consumer
                .commit_offsets_async(&at(1))
                .on_complete(move |_| told.send(thread::current().id()).unwrap());
            assert_eq!(hear.recv_timeout(10 * SECOND), Ok(polls.thread().id()));
            consumer.wakeup();
            assert_eq!(polls.join().unwrap().unwrap_err().kind(), ErrorKind::Wakeup);
        });
    }
}

#[test]
fn a_commit_can_be_awaited() {
    for home in homes() {
        let broker = home.open();
        fill(&broker, 10);
        let consumer = member(&broker);
        assert_eq!(block_on(consumer.recv()).unwrap().offset, 0);
        for offset in 1..20 {
            block_on(consumer.commit_offsets_async(&at(offset))).unwrap();
            assert_eq!(committed(&broker), Some(offset));
        }
    }
    let home = disk();
    let clock = MockClock::manual(NOW);
    let broker = home.builder().clock(&clock).open().unwrap();
    fill(&broker, 10);
    let consumer = member(&broker);
    consumer.poll(Duration::ZERO).unwrap();
    let woken = Woken::new();
    let mut handle = consumer.commit_async();
    assert!(woken.poll(&mut handle).is_pending());
    clock.advance(Duration::from_millis(1));
    assert_eq!(woken.count(), 1);
    assert!(matches!(woken.poll(&mut handle), Poll::Ready(Ok(()))));
}

#[test]
fn a_committer_ends_with_its_consumer() {
    for home in homes() {
        let broker = home.open();
        fill(&broker, 10);
        let consumer = member(&broker);
        consumer.poll(SECOND).unwrap();
        let committer = consumer.committer();
        let other = committer.clone();
        thread::spawn(move || other.commit_offsets(&at(1))).join().unwrap().unwrap();
        assert_eq!(committed(&broker), Some(1));
        let handle = committer.commit_offsets_async(&at(2));
        consumer.close().unwrap();
        handle.wait().unwrap();
        assert_eq!(committer.commit_offsets(&at(3)).unwrap_err().kind(), ErrorKind::Closed);
        let late = committer.commit_offsets_async(&at(3));
        assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Closed);
        let calls = Calls::default();
        committer.commit_offsets_async(&at(3)).on_complete(note(&calls, 3));
        assert_eq!(called(&calls), [3], "nobody else would call it");
        assert_eq!(committed(&broker), Some(2));

        // It is the member of the moment.
        let consumer = member(&broker);
        let committer = consumer.committer();
        consumer.poll(SECOND).unwrap();
        committer.commit_offsets(&at(4)).unwrap();
        broker.create_topic("u").unwrap();
        consumer.subscribe(["t", "u"]).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        committer.commit_offsets(&at(5)).unwrap();
        assert_eq!(committed(&broker), Some(5));
        drop((consumer, broker));
        // It did not keep the directory.
        assert!(home.open().recovery_report().clean);
    }
}

#[test]
fn many_threads_commit() {
    for home in homes().into_iter().filter(|home| home.clock.is_none()) {
        let broker = home.open();
        fill(&broker, 200);
        let consumer = member(&broker);
        consumer.poll(SECOND).unwrap();
        let calls = Calls::default();
        thread::scope(|scope| {
            for worker in 0..4i64 {
                let (committer, calls) = (consumer.committer(), &calls);
                scope.spawn(move || {
                    for step in 0..25 {
                        let offset = step * 4 + worker;
                        match step % 3 {
                            0 => committer.commit_offsets(&at(offset)).unwrap(),
                            1 => committer.commit_offsets_async(&at(offset)).wait().unwrap(),
                            _ => {
                                let handle = committer.commit_offsets_async(&at(offset));
                                handle.on_complete(note(calls, offset));
                            }
                        }
                    }
                });
            }
            for _ in 0..50 {
                consumer.poll(Duration::ZERO).unwrap();
            }
        });
        consumer.commit_offsets(&at(150)).unwrap();
        assert_eq!(committed(&broker), Some(150));
        assert_eq!(called(&calls).len(), 4 * 8);
        assert!(calls.lock().unwrap().iter().all(|(.., outcome)| outcome.is_ok()));
        consumer.close().unwrap();
        assert_eq!(committed(&broker), Some(150));
    }
}

/// The callback of a producer, run by the sync that a commit needs, waits for commits.
#[test]
fn a_callback_inside_a_commit_commits() {
    must_end(|| {
        let home = disk();
        let clock = MockClock::at_millis(NOW);
        let broker = home.builder().clock(&clock).open().unwrap();
        broker.create_topic("t").unwrap();
        let consumer = Arc::new(member(&broker));
        consumer.poll(Duration::ZERO).unwrap();
        let producer = broker.producer().linger(3600 * SECOND).build().unwrap();
        let (asked, (told, hear)) = (Arc::clone(&consumer), mpsc::channel());
        producer.send(ProducerRecord::to("t").value("x")).on_complete(move |_| {
            let own = asked.commit_offsets_async(&at(1)).wait().unwrap_err();
            told.send((own.kind(), asked.commit_offsets(&at(1)))).unwrap();
        });
        // Written by this drop, synced by the commit.
        drop(producer);
        consumer.commit_offsets_async(&at(1)).wait().unwrap();
        let (own, other) = hear.try_recv().unwrap();
        assert_eq!(own, ErrorKind::IllegalState);
        other.unwrap();
        settle(&consumer);
        assert_eq!(committed(&broker), Some(1));
    });
}

/// Wherever the power fails: what is committed is there to be read, and what was answered is
/// committed.
#[test]
fn a_commit_never_outlives_its_records() {
    let sim = SimStorage::new();
    let clock = MockClock::manual(NOW);
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    broker.create_topic("t").unwrap();
    let consumer = member(&broker);
    consumer.poll(Duration::ZERO).unwrap();
    let producer = broker.producer().acks(Acks::Leader).build().unwrap();
    let began = sim.op_count();
    for offset in 1..=6u64 {
        producer.send(ProducerRecord::to("t").value("x")).wait().unwrap();
        let handle = consumer.commit_offsets_async(&at(offset as i64));
        match offset % 3 {
            0 => handle.wait().unwrap(),
            1 => clock.advance(Duration::from_millis(1)),
            _ => continue,
        }
        sim.mark(offset);
    }
    let mut found = 0;
    for cut in began..=sim.op_count() {
        let answered = sim.marks_before(cut).last().map(|offset| *offset as i64);
        for state in sim.power_cut_states(cut, 20, 7) {
            let broker = Broker::builder().storage(state.storage()).open().unwrap();
            let log = broker.topic("t").unwrap().partition(0).unwrap();
            let committed = committed(&broker);
            assert!(committed.unwrap_or(0) <= log.log_end_offset(), "cut {cut}: {committed:?}");
            assert!(committed >= answered, "cut {cut}: {committed:?}, not {answered:?}");
            found += 1;
        }
    }
    assert!(found > 20, "{found} states");
}

/// A poll tells once that its auto-commit met a disk that failed, and reads on.
#[test]
fn a_poll_tells_of_a_failed_disk_once() {
    let sim = SimStorage::new();
    let clock = MockClock::manual(NOW);
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    fill(&broker, 10);
    let builder = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
    let consumer = builder.auto_commit_interval(SECOND).max_poll_records(1).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    sim.fail(Fault { op: FaultOp::Sync, nth: 0, sticky: false, kind: FaultKind::Eio });
    clock.advance(SECOND);
    let error = consumer.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::KafkaStorageError), "{error}");
    for _ in 0..9 {
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    }
}
