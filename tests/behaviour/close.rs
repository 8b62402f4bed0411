use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::homes::*;
use logreel::testing::{Fault, FaultKind, FaultOp, SimStorage};
use logreel::{Acks, Broker, ErrorKind, ProducerRecord, Storage};

#[test]
fn close_ends_every_handle_and_completes_every_delivery() {
    for home in homes() {
        let broker = home.open();
        let topic = broker.create_topic("t").unwrap();
        let log = topic.partition(0).unwrap();
        let producer = broker.producer().linger(600 * SECOND).build().unwrap();
        let consumer = reader(&broker);
        consumer.assign([("t", 0)]).unwrap();
        let delivery = producer.send(ProducerRecord::to("t").value("x"));
        broker.clone().close().unwrap();
        assert_eq!(delivery.wait().unwrap().offset(), Some(0), "run by the close");
        let closed = |error: logreel::Error| assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        closed(broker.topics().unwrap_err());
        closed(broker.create_topic("u").unwrap_err());
        closed(log.append([(None, Some("y"))]).unwrap_err());
        closed(log.read(0, 1).unwrap_err());
        closed(consumer.poll(Duration::ZERO).unwrap_err());
        closed(producer.send(ProducerRecord::to("t").value("y")).wait().unwrap_err());
        broker.close().unwrap();
        // The directory is free although handles are still there.
        let again = home.open();
        assert!(again.recovery_report().clean);
        assert_eq!(read_all(&again, "t", 0).len(), 1);
    }
}

#[test]
fn the_last_handle_closes_the_broker_whichever_it_is() {
    for home in homes() {
        let broker = home.open();
        let topic = broker.create_topic("t").unwrap();
        let producer = broker.producer().acks(Acks::Leader).build().unwrap();
        let consumer = reader(&broker);
        consumer.assign([("t", 0)]).unwrap();
        drop(broker);
        producer.send(ProducerRecord::to("t").value("x")).wait().unwrap();
        let records = consumer.poll(SECOND).unwrap();
        drop((topic, consumer));
        if home.dir().is_some() {
            let error = home.builder().open().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DirectoryLocked, "{error}");
        }
        drop(producer);
        let again = home.open();
        assert!(again.recovery_report().clean, "the drop did what a close does");
        assert_eq!(records.iter().next().unwrap().value(), Some(&b"x"[..]), "outlives the broker");
    }
}

#[test]
fn t121_brokers_share_nothing_and_leave_nothing() {
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let before = threads();
    for i in 0..1000 {
        let broker = logreel::Broker::in_memory();
        if i % 50 == 0 {
            let producer = broker.producer().build().unwrap();
            producer.send(ProducerRecord::to("t").value("x")).wait().unwrap();
        }
        assert!(broker.topics().unwrap().len() <= 1);
    }
    // Other tests of this binary run beside this one and have threads of their own.
    assert!(threads() < before + 50, "{} threads, {before} before", threads());
}

#[test]
fn a_broker_may_be_closed_or_dropped_inside_a_callback() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().linger(Duration::from_millis(1)).build().unwrap();
        let (done, wait) = std::sync::mpsc::channel();
        let last = broker.clone();
        producer.send(ProducerRecord::to("t").value("x")).on_complete(move |outcome| {
            last.close().unwrap();
            done.send(outcome.unwrap().offset()).unwrap();
        });
        if let Some(clock) = &home.clock {
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(wait.recv_timeout(10 * SECOND).unwrap(), Some(0));
        drop((producer, broker));
        home.open();
    }
}

#[test]
fn the_same_seed_and_calls_give_the_same_bytes() {
    let run = || {
        let home = disk();
        let clock = logreel::testing::MockClock::at_millis(NOW);
        let broker = home.builder().clock(&clock).open().unwrap();
        broker.create_topic(logreel::NewTopic::new("t").partitions(3)).unwrap();
        let producer = broker.producer().linger(Duration::from_millis(3)).build().unwrap();
        for i in 0..100 {
            producer.send(ProducerRecord::to("t").value(i.to_string())).forget();
            clock.advance(Duration::from_millis(i % 5));
        }
        let consumer =
            broker.consumer().group_id("g").auto_offset_reset(logreel::OffsetReset::Earliest);
        let consumer = consumer.build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        consumer.poll(SECOND).unwrap();
        consumer.commit().unwrap();
        drop((producer, consumer));
        broker.close().unwrap();
        let root = home.dir().unwrap().to_path_buf();
        let files = snapshot(&root);
        files
            .into_iter()
            .map(|(path, bytes)| (path.strip_prefix(&root).unwrap().to_path_buf(), bytes))
            .filter(|(path, _)| path.as_os_str() != ".lock")
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

/// The background thread looks into producers while it works. When it did so with a handle of its
/// own, the broker outlived the last handle of the user for a moment, and the directory was still
/// locked.
#[test]
fn the_directory_is_free_when_the_last_handle_is_gone() {
    for home in homes() {
        for _ in 0..50 {
            let broker = home.open();
            let producer = broker.producer().acks(Acks::Leader).build().unwrap();
            for _ in 0..5 {
                producer.send(ProducerRecord::to("t").value("x")).forget();
            }
        }
    }
}

/// A second close answered before the first was through: the directory was still locked, and what
/// the first could not make durable was not told.
#[test]
fn a_second_close_waits_for_the_first() {
    let (place, released) = (Arc::new(Place::default()), Arc::new(AtomicBool::new(false)));
    let (in_close, is_released) = (Arc::clone(&place), Arc::clone(&released));
    let storage = Storage::memory();
    let observed = Storage::observed(storage.clone(), move |op, path| {
        if op == "create" && path.ends_with(".kafka_cleanshutdown.tmp") {
            in_close.visit();
            is_released.store(true, Ordering::SeqCst);
        }
        Ok(())
    });
    let broker = Broker::builder().storage(observed).topic("t").open().unwrap();
    let other = broker.clone();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| broker.close());
        place.wait_for_the_first();
        other.close().unwrap();
        assert!(released.load(Ordering::SeqCst));
        Broker::builder().storage(storage.clone()).open().unwrap();
        first.join().unwrap().unwrap();
    });

    let sim = SimStorage::new();
    let broker = Broker::builder().storage(sim.storage()).topic("t").open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("x"))]).unwrap();
    sim.fail(Fault { op: FaultOp::Sync, nth: 0, sticky: true, kind: FaultKind::Eio });
    assert!(broker.clone().close().is_err());
    assert!(broker.close().is_err(), "it is as it was");
}

#[test]
fn a_close_inside_a_callback_never_waits_for_itself() {
    // On the thread that closes: the close runs the batch.
    must_end(|| {
        let broker = Broker::in_memory();
        let producer = broker.producer().linger(600 * SECOND).build().unwrap();
        let (again, (told, hear)) = (broker.clone(), mpsc::channel());
        producer.send(ProducerRecord::to("t").value("x")).on_complete(move |outcome| {
            again.close().unwrap();
            told.send(outcome.unwrap().offset()).unwrap();
        });
        broker.close().unwrap();
        assert_eq!(hear.recv().unwrap(), Some(0));
    });
    // On the background thread, which the close joins.
    must_end(|| {
        let broker = Broker::in_memory();
        let producer = broker.producer().linger(Duration::from_millis(1)).build().unwrap();
        let (again, (told, hear)) = (broker.clone(), mpsc::channel());
        producer.send(ProducerRecord::to("t").value("x")).on_complete(move |_| {
            told.send(()).unwrap();
            while again.topics().is_ok() {
                std::thread::yield_now();
            }
            again.close().unwrap();
            told.send(()).unwrap();
        });
        hear.recv().unwrap();
        broker.close().unwrap();
        hear.try_recv().unwrap();
    });
}
