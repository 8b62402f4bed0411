//! Faults of consumers and their commits: each test failed until its fault was mended.

use std::cell::RefCell;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::awaiting::Woken;
use crate::homes::*;
use logreel::consumer::{CommitHandle, ConsumerBuilder, ListenerResult};
use logreel::consumer::{RebalanceContext, RebalanceListener, WakeupHandle};
use logreel::testing::MockClock;
use logreel::{Acks, Broker, Consumer, OffsetReset, Offsets, ProducerRecord, TopicPartition};

fn settings(broker: &Broker) -> ConsumerBuilder {
    broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest)
}

fn at(offset: i64) -> Offsets {
    [(("t", 0), offset)].into_iter().collect()
}

thread_local! {
    static KEPT: RefCell<Option<Consumer>> = const { RefCell::new(None) };
}

/// The list of wakers that wait is gone before what the user keeps in a thread-local; `Quiet` takes
/// it all the same and panics in the destructor, which ends the process.
#[test]
fn a_consumer_in_a_thread_local_ends_the_process() {
    const CHILD: &str = "LOGREEL_REVIEW2_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let broker = Broker::in_memory();
        let consumer = settings(&broker).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        let body = move || {
            KEPT.with_borrow_mut(|kept| *kept = Some(consumer));
            KEPT.with_borrow(|kept| drop(kept.as_ref().unwrap().poll(Duration::ZERO).unwrap()));
        };
        thread::spawn(body).join().unwrap();
        assert!(broker.group("g").members().unwrap().is_empty(), "its drop left the group");
        return;
    }
    let name = "review2::a_consumer_in_a_thread_local_ends_the_process";
    let mut child = Command::new(std::env::current_exe().unwrap());
    let ended = child.args([name, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{}: {said}", ended.status);
}

/// A member, and beside it a consumer that reads by hand, whose auto-commits the group refuses.
fn refused() -> (Broker, Consumer, Consumer) {
    let broker = Broker::in_memory();
    broker.producer().build().unwrap().send(ProducerRecord::to("t").value("x")).wait().unwrap();
    let member = settings(&broker).build().unwrap();
    member.subscribe(["t"]).unwrap();
    member.poll(Duration::ZERO).unwrap();
    let by_hand = settings(&broker).auto_commit_interval(Duration::ZERO).build().unwrap();
    by_hand.assign([("t", 0)]).unwrap();
    assert_eq!(by_hand.poll(Duration::ZERO).unwrap().len(), 1);
    (broker, member, by_hand)
}

/// Each look auto-commits again, which wakes the very future that looks: its poll never returns.
#[test]
fn a_future_whose_auto_commits_are_refused_never_answers_pending() {
    must_end(|| {
        let (_broker, _member, by_hand) = refused();
        let woken = Woken::new();
        let mut next = by_hand.next_batch();
        assert!(woken.poll(&mut next).is_pending());
        thread::sleep(SECOND / 20);
        assert!(woken.poll(&mut next).is_pending());
    });
}

/// A blocking poll never parks then: it is busy for as long as it waits.
#[test]
fn a_poll_whose_auto_commits_are_refused_is_busy_waiting() {
    fn ticks() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after = stat.rsplit(')').next().unwrap();
        let fields: Vec<&str> = after.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
    let (_broker, _member, by_hand) = refused();
    let before = ticks();
    assert!(by_hand.poll(2 * SECOND).unwrap().is_empty());
    let used = ticks() - before;
    assert!(used < 50, "{used} of 200 ticks");
}

/// One poll begins while another ends: the one that ended says last that nobody polls.
#[test]
fn a_poll_that_begins_as_another_ends_does_not_count() {
    const INTERVAL: Duration = Duration::from_secs(10);
    let clock = MockClock::manual(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    broker.create_topic("t").unwrap();
    let consumer = settings(&broker).max_poll_interval(INTERVAL).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    let (stop, turn) = (AtomicBool::new(false), Barrier::new(2));
    let mut lost = None;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let _ = consumer.assignment();
            }
        });
        scope.spawn(|| {
            loop {
                turn.wait();
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                consumer.poll(Duration::ZERO).unwrap();
                turn.wait();
            }
        });
        let begun = Instant::now();
        let mut round = 0u32;
        while begun.elapsed() < 10 * SECOND && lost.is_none() {
            round += 1;
            let woken = Woken::new();
            let mut next = consumer.next_batch();
            turn.wait();
            for _ in 0..(round % 300) {
                std::hint::spin_loop();
            }
            assert!(woken.poll(&mut next).is_pending());
            turn.wait();
            clock.advance(2 * INTERVAL);
            if broker.group("g").members().unwrap().is_empty() {
                lost = Some(round);
            }
        }
        stop.store(true, Ordering::SeqCst);
        turn.wait();
    });
    assert_eq!(lost, None, "a poll was pending all the time");
}

/// One thread makes a commit and runs a producer's callback in it, which waits for its turn with
/// the consumer; the thread that has it waits for the commit.
#[test]
fn a_callback_inside_a_commit_and_unsubscribe_wait_for_each_other() {
    must_end(|| {
        let home = disk();
        let clock = MockClock::at_millis(NOW);
        let broker = home.builder().clock(&clock).open().unwrap();
        broker.create_topic("t").unwrap();
        let consumer = Arc::new(settings(&broker).build().unwrap());
        consumer.subscribe(["t"]).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        let producer = broker.producer().linger(3600 * SECOND).build().unwrap();
        let (asked, (told, hear)) = (Arc::clone(&consumer), mpsc::channel());
        producer.send(ProducerRecord::to("t").value("x")).on_complete(move |_| {
            told.send(()).unwrap();
            thread::sleep(SECOND / 2);
            let _ = asked.subscribe(["t"]);
        });
        drop(producer);
        let handle = consumer.commit_offsets_async(&at(1));
        let commits = thread::spawn(move || handle.wait());
        hear.recv().unwrap();
        // The clock goes on while a thread waits, perhaps past the member's time.
        let _ = consumer.unsubscribe();
        let _ = commits.join().unwrap();
    });
}

/// A commit by hand is noted before it is made: an auto-commit that comes between is thought to be
/// in force afterwards, and the close does not commit it again.
#[test]
fn a_close_does_not_commit_what_an_older_commit_has_taken_back() {
    must_end(|| {
        let home = disk();
        let clock = MockClock::at_millis(NOW);
        let broker = home.builder().clock(&clock).open().unwrap();
        broker.create_topic("t").unwrap();
        let builder = settings(&broker).auto_commit_interval(Duration::ZERO);
        let consumer = Arc::new(builder.max_poll_records(1).build().unwrap());
        consumer.assign([("t", 0)]).unwrap();
        let producer = broker.producer().linger(3600 * SECOND).build().unwrap();
        let asked = Arc::clone(&consumer);
        producer.send(ProducerRecord::to("t").value("0")).on_complete(move |_| {
            assert_eq!(asked.poll(Duration::ZERO).unwrap().len(), 1);
            assert_eq!(asked.poll(Duration::ZERO).unwrap().len(), 0);
        });
        drop(producer);
        let producer = broker.producer().acks(Acks::Leader).build().unwrap();
        producer.send(ProducerRecord::to("t").value("1")).wait().unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
        consumer.commit().unwrap();
        assert_eq!(consumer.position(&("t", 0).into()).unwrap(), 2, "the callback has run");
        Arc::into_inner(consumer).unwrap().close().unwrap();
        let committed = broker.committed_offsets("g").unwrap();
        assert_eq!(committed.get(&("t", 0).into()).map(|c| c.offset()), Some(2));
    });
}

struct Completes(Mutex<Option<CommitHandle>>, WakeupHandle);

impl RebalanceListener for Completes {
    fn on_assigned(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
        if let Some(handle) = self.0.lock().unwrap().take() {
            let wakeup = self.1.clone();
            handle.on_complete(move |_| wakeup.wakeup());
        }
        Ok(())
    }

    fn on_revoked(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
        Ok(())
    }
}

/// What `on_complete` wakes looks only whether commits were made meanwhile: a callback for an
/// earlier one that comes while the poll does its duties waits for the poll's end.
#[test]
fn a_poll_that_waits_does_not_see_a_callback_for_an_earlier_commit() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let consumer = settings(&broker).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    let handle = consumer.commit_offsets_async(&at(0));
    assert!(matches!(handle.try_get(), Some(Ok(()))));
    consumer.unsubscribe().unwrap();
    let listener = Completes(Mutex::new(Some(handle)), consumer.wakeup_handle());
    consumer.subscribe_with(["t"], listener).unwrap();
    let begun = Instant::now();
    let _ = consumer.poll(5 * SECOND);
    assert!(begun.elapsed() < 4 * SECOND, "the callback did not run");
}

/// A commit that waits for its turn while its topic is deleted and made anew counts for the new
/// topic: what lies before it there is never read.
#[test]
fn a_queued_commit_of_a_deleted_topic_skips_records_of_its_successor() {
    let home = disk();
    let clock = MockClock::at_millis(NOW);
    let broker = home.builder().clock(&clock).open().unwrap();
    let producer = broker.producer().build().unwrap();
    let put = |count: i32| {
        let records = (0..count).map(|n| ProducerRecord::to("t").value(n.to_string()));
        producer.send_batch(records).wait().unwrap();
    };
    put(5);
    let consumer = settings(&broker).enable_auto_commit(false).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 5);
    drop(consumer.commit_async());
    broker.delete_topic("t").unwrap();
    broker.create_topic("t").unwrap();
    put(8);
    consumer.close().unwrap();
    let next = settings(&broker).build().unwrap();
    next.subscribe(["t"]).unwrap();
    let first = next.poll(Duration::ZERO).unwrap().iter().next().map(|r| r.offset());
    assert_eq!(first, Some(0));
}

/// A callback that is registered while callbacks run, for a commit that is not made yet, is taken
/// for one of those that were counted, and dropped.
#[test]
fn a_callback_registered_inside_a_callback_is_never_called() {
    let home = disk();
    let clock = MockClock::manual(NOW);
    let broker = home.builder().clock(&clock).open().unwrap();
    broker.create_topic("t").unwrap();
    let member = || settings(&broker).group_instance_id("i").enable_auto_commit(false).build();
    let consumer = member().unwrap();
    consumer.subscribe(["t"]).unwrap();
    let first = consumer.commit_offsets_async(&at(0));
    assert!(matches!(first.try_get(), Some(Err(_))), "it has not joined");
    consumer.poll(Duration::ZERO).unwrap();
    let other = member().unwrap();
    other.subscribe(["t"]).unwrap();
    other.poll(Duration::ZERO).unwrap();
    let second = consumer.commit_offsets_async(&at(0));
    consumer.poll(Duration::ZERO).unwrap_err();
    let third = consumer.commit_offsets_async(&at(0));
    assert!(matches!(third.try_get(), Some(Err(_))), "it is fenced");
    assert!(second.try_get().is_none(), "it waits");
    let called = Arc::new(Mutex::new(Vec::new()));
    let note = |number: i32| {
        let called = Arc::clone(&called);
        move |_| called.lock().unwrap().push(number)
    };
    let (one, two, three) = (note(1), note(2), note(3));
    first.on_complete(move |outcome| {
        one(outcome);
        second.on_complete(two);
    });
    third.on_complete(three);
    let _ = consumer.poll(Duration::ZERO);
    consumer.close().unwrap();
    assert_eq!(*called.lock().unwrap(), [1, 2, 3]);
}

/// An error whose drop calls the consumer.
struct Calls(Weak<Consumer>);

impl Drop for Calls {
    fn drop(&mut self) {
        let _ = self.0.upgrade().map(|consumer| consumer.assignment());
    }
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("as this test wants it")
    }
}

impl std::fmt::Display for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("as this test wants it")
    }
}

impl std::error::Error for Calls {}

struct Closes(Broker, Weak<Consumer>);

impl RebalanceListener for Closes {
    fn on_assigned(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
        Ok(())
    }

    fn on_revoked(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
        self.0.clone().close()?;
        Err(Box::new(Calls(Weak::clone(&self.1))))
    }
}

/// Where leaving fails as well, what a listener failed with is dropped while the consumer is
/// locked: its drop is the user's code.
#[test]
fn a_listeners_error_is_dropped_under_the_lock() {
    must_end(|| {
        let broker = Broker::in_memory();
        broker.create_topic("t").unwrap();
        let consumer = Arc::new(settings(&broker).build().unwrap());
        let listener = Closes(broker.clone(), Arc::downgrade(&consumer));
        consumer.subscribe_with(["t"], listener).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        consumer.unsubscribe().unwrap_err();
    });
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("a drop that panics, as this test wants it");
        }
    }
}

/// What a callback panicked with may panic when it is dropped: no callback runs any more.
#[test]
fn a_panic_that_panics_when_dropped_ends_all_callbacks() {
    let broker = Broker::in_memory();
    let consumer = settings(&broker).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer.commit_async().on_complete(|_| std::panic::panic_any(Bomb));
    let poll = || consumer.poll(Duration::ZERO).map(drop);
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll));
    let (told, hear) = mpsc::channel();
    consumer.commit_async().on_complete(move |_| told.send(()).unwrap());
    poll().unwrap();
    assert_eq!(hear.try_recv(), Ok(()));
}

/// What is registered after the close has run the callbacks, for a commit that is made in that very
/// moment, is kept where nobody looks any more.
#[test]
fn a_callback_registered_beside_a_close_is_never_called() {
    let mut missed = None;
    let begun = Instant::now();
    let mut round = 0u32;
    while begun.elapsed() < 8 * SECOND && missed.is_none() {
        round += 1;
        let broker = Broker::in_memory();
        broker.create_topic("t").unwrap();
        let consumer = settings(&broker).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        let committers = [consumer.committer(), consumer.committer()];
        let (told, hear) = mpsc::channel();
        let turn = Barrier::new(3);
        thread::scope(|scope| {
            for c in committers {
                let (told, turn) = (told.clone(), &turn);
                scope.spawn(move || {
                    turn.wait();
                    for _ in 0..20 {
                        let told = told.clone();
                        c.commit_offsets_async(&at(0)).on_complete(move |_| told.send(()).unwrap());
                    }
                });
            }
            turn.wait();
            for _ in 0..(round % 500) * 20 {
                std::hint::spin_loop();
            }
            consumer.close().unwrap();
        });
        let count = hear.try_iter().count();
        if count != 40 {
            missed = Some((round, count));
        }
    }
    assert_eq!(missed, None);
}
