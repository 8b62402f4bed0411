//! Checkpoints: who writes them, and until when.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::homes::*;
use logreel::testing::MockClock;
use logreel::{Acks, Broker, NewTopic, Partition, ProducerRecord, Storage};

/// Two threads wrote the checkpoints at once, through one temporary file.
#[test]
fn checkpoints_are_written_by_two_at_once() {
    let (place, armed) = (Arc::new(Place::default()), Arc::new(AtomicBool::new(false)));
    let (writing, is_armed) = (Arc::clone(&place), Arc::clone(&armed));
    let storage = Storage::observed(Storage::memory(), move |op, path| {
        let writes = op == "create" && path.ends_with("recovery-point-offset-checkpoint.tmp");
        if writes && is_armed.load(Ordering::SeqCst) {
            writing.visit();
        }
        Ok(())
    });
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().storage(storage).clock(&clock).topic("t").open().unwrap();
    let log = broker.create_topic("a").unwrap().partition(0).unwrap();
    log.append([(None, Some("x"))]).unwrap();
    log.sync().unwrap();
    armed.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let deleting = scope.spawn(|| broker.delete_topic("t"));
        place.wait_for_the_first();
        // The minute is over: the other writer.
        clock.advance(61 * SECOND);
        deleting.join().unwrap().unwrap();
    });
    assert!(!place.was_shared());
}

/// A checkpoint was written when the directory was closed already, over that of its next owner.
#[test]
fn a_checkpoint_is_written_into_a_directory_that_is_closed() {
    let operations = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&operations);
    let storage = Storage::memory();
    let observed = Storage::observed(storage.clone(), move |_, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().storage(observed).clock(&clock).open().unwrap();
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("x"))]).unwrap();
    log.sync().unwrap();
    broker.clone().close().unwrap();
    let owner = Broker::builder().storage(storage).clock(&clock).open().unwrap();
    let before = operations.load(Ordering::SeqCst);
    clock.advance(61 * SECOND);
    broker.run_due();
    assert_eq!(operations.load(Ordering::SeqCst), before);
    drop(owner);
}

/// What was appended while a sync ran, for whatever reason it ran, was left out of `flush.ms`.
#[test]
fn what_comes_during_a_sync_is_not_flushed_in_time() {
    for reason in ["a sync", "the timer", "a producer"] {
        let late: Arc<Mutex<Option<Partition>>> = Arc::default();
        let append = Arc::clone(&late);
        let storage = Storage::observed(Storage::memory(), move |op, path| {
            let log = append.lock().unwrap().take_if(|_| op == "sync" && path.ends_with(".log"));
            if let Some(log) = log {
                log.append([(None, Some("late"))]).unwrap();
            }
            Ok(())
        });
        let clock = MockClock::at_millis(NOW);
        let broker = Broker::builder().storage(storage).clock(&clock).open().unwrap();
        let topic = NewTopic::new("t").set("flush.ms", "500");
        let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
        for round in 1..=3 {
            log.append([(None, Some("x"))]).unwrap();
            *late.lock().unwrap() = Some(log.clone());
            match reason {
                "a sync" => log.sync().unwrap(),
                "the timer" => clock.advance(Duration::from_millis(500)),
                _ => {
                    let producer = broker.producer().build().unwrap();
                    producer.send(ProducerRecord::to("t").value("x")).wait().unwrap();
                }
            }
            assert!(late.lock().unwrap().is_none(), "{reason}: no sync ran");
            assert_eq!(log.log_end_offset() - log.recovery_point(), 1, "{reason} {round}");
            clock.advance(Duration::from_millis(500));
            assert_eq!(log.recovery_point(), log.log_end_offset(), "{reason} {round}");
        }
    }
}

/// Whoever ran a batch was told that its topic wants a sync; some did not do it.
#[test]
fn a_sync_that_flush_messages_asks_for_is_dropped() {
    for home in homes() {
        let broker = home.open();
        for way in ["send", "wait", "flush", "time", "drop"] {
            let topic = NewTopic::new(way).set("flush.messages", "1");
            let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
            let linger = Duration::from_millis(if way == "send" { 0 } else { 20 });
            let producer = broker.producer().acks(Acks::Leader).linger(linger).build().unwrap();
            let delivery = producer.send(ProducerRecord::to(way).value("x"));
            match way {
                "wait" => drop(delivery.wait().unwrap()),
                "flush" => producer.flush(10 * SECOND).unwrap(),
                "drop" => drop(producer),
                _ => delivery.forget(),
            }
            if let Some(clock) = &home.clock {
                clock.advance(linger);
            }
            // Where the broker has a thread that one does it, in its time.
            let began = std::time::Instant::now();
            while home.clock.is_none() && log.recovery_point() < 1 && began.elapsed() < 10 * SECOND
            {
                std::thread::yield_now();
            }
            assert_eq!(log.recovery_point(), 1, "{way}");
        }
    }
}

/// Every sync that nobody waited for had the recovery points stored a second later.
#[test]
fn recovery_points_are_stored_with_every_acknowledgement() {
    let writes = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&writes);
    let storage = Storage::observed(Storage::memory(), move |op, path| {
        if op == "create" && path.ends_with("recovery-point-offset-checkpoint.tmp") {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().storage(storage).clock(&clock).open().unwrap();
    broker.create_topic(NewTopic::new("t").set("segment.bytes", "2000")).unwrap();
    let producer = broker.producer().linger(SECOND / 10).build().unwrap();
    let before = writes.load(Ordering::SeqCst);
    let send = |size: usize| {
        producer.send(ProducerRecord::to("t").value(vec![7; size])).forget();
        clock.advance(SECOND);
    };
    for _ in 0..10 {
        send(10);
    }
    assert_eq!(writes.load(Ordering::SeqCst), before, "ten seconds, ten syncs");
    send(1500);
    clock.advance(2 * SECOND);
    assert_eq!(writes.load(Ordering::SeqCst), before + 1, "a roll");
    send(10);
    clock.advance(61 * SECOND);
    assert_eq!(writes.load(Ordering::SeqCst), before + 2, "a minute");
}
