//! The end of a broker beside what goes on in it.

use std::sync::Arc;
use std::time::Duration;

use logreel::testing::SimStorage;
use logreel::{Acks, Broker, Error, ErrorKind, OffsetReset, ProducerRecord, Storage};
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use crate::durability::{Places, assert_durable, batch_size};

fn closed(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

/// What was acknowledged is there when the directory is opened again, and that was a clean close.
fn reopen(storage: Storage, at_least: usize) {
    let broker = Broker::builder().storage(storage).seed(2).open().unwrap();
    assert!(broker.recovery_report().clean);
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert!(log.log_end_offset() >= i64::try_from(at_least).unwrap());
}

/// A close while others send, poll and commit: every delivery has an outcome, nobody hangs, later
/// calls are told.
pub(crate) fn close_races() {
    let sim = SimStorage::new();
    let broker = Broker::builder().storage(sim.storage()).seed(1).offsets_topic_partitions(1);
    let broker = broker.topic("t").open().unwrap();
    let (told, acknowledged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let producer = broker.producer().linger(Duration::from_millis(1)).build().unwrap();
    let consumer = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.build().unwrap();
    let sender = {
        let (told, acknowledged) = (Arc::clone(&told), Arc::clone(&acknowledged));
        thread::spawn(move || {
            for _ in 0..2 {
                let told = Arc::clone(&told);
                producer.send(ProducerRecord::to("t").value("x")).on_complete(move |_| {
                    told.fetch_add(1, Ordering::SeqCst);
                });
            }
            match producer.send(ProducerRecord::to("t").value("y")).wait() {
                Ok(_) => drop(acknowledged.fetch_add(1, Ordering::SeqCst)),
                Err(error) => closed(&error),
            }
            if let Err(error) = producer.flush(Duration::MAX) {
                closed(&error);
            }
        })
    };
    let poller = thread::spawn(move || {
        if let Err(error) = consumer.subscribe(["t"]) {
            return closed(&error);
        }
        let outcome = loop {
            if let Err(error) = consumer.poll(Duration::MAX).and_then(|_| consumer.commit()) {
                break error;
            }
        };
        closed(&outcome);
        closed(&consumer.poll(Duration::ZERO).unwrap_err());
    });
    let other = broker.clone();
    let closer = thread::spawn(move || other.close().unwrap());
    broker.clone().close().unwrap();
    closed(&broker.topics().unwrap_err());
    sender.join().unwrap();
    poller.join().unwrap();
    closer.join().unwrap();
    assert_eq!(told.load(Ordering::SeqCst), 2, "every delivery has an outcome");
    reopen(sim.storage(), acknowledged.load(Ordering::SeqCst));
}

/// A close beside appends to the log itself: what they were told is what is there, and the close
/// made it durable.
pub(crate) fn close_beside_appends() {
    let size = batch_size();
    let sim = SimStorage::new();
    let broker = Broker::builder().storage(sim.storage()).seed(1).topic("t").open().unwrap();
    let writers = [1, 2].map(|_| {
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        thread::spawn(move || {
            let mut written = 0;
            for _ in 0..2 {
                match log.append([(None, Some("x"))]) {
                    Ok(_) => written += 1,
                    Err(error) => closed(&error),
                }
            }
            written
        })
    });
    broker.close().unwrap();
    let written: i64 = writers.map(|writer| writer.join().unwrap()).iter().sum();
    for offset in 0..written {
        assert_durable(&sim, "t", offset, Places::in_one(size));
    }
    let broker = Broker::builder().storage(sim.storage()).seed(2).open().unwrap();
    assert!(broker.recovery_report().clean);
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(log.log_end_offset(), written);
}

/// A callback closes the broker, on whichever thread it runs, while another closes it too.
pub(crate) fn close_in_a_callback() {
    let storage = Storage::memory();
    let broker = Broker::builder().storage(storage.clone()).seed(1).topic("t").open().unwrap();
    let producer = broker.producer().linger(Duration::from_millis(1)).build().unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let (other, tells) = (broker.clone(), Arc::clone(&told));
    producer.send(ProducerRecord::to("t").value("x")).on_complete(move |outcome| {
        other.close().unwrap();
        outcome.unwrap();
        tells.fetch_add(1, Ordering::SeqCst);
    });
    let flusher = thread::spawn(move || match producer.flush(Duration::MAX) {
        Ok(()) => {}
        Err(error) => closed(&error),
    });
    broker.close().unwrap();
    flusher.join().unwrap();
    assert_eq!(told.load(Ordering::SeqCst), 1);
    reopen(storage, 1);
}

/// Each thread lets go of one handle, one of them inside a callback: the last of them closes.
pub(crate) fn last_handles() {
    let storage = Storage::memory();
    let broker = Broker::builder().storage(storage.clone()).seed(1).topic("t").open().unwrap();
    let producer = broker.producer().acks(Acks::Leader);
    let producer = producer.linger(Duration::from_millis(1)).build().unwrap();
    let topic = broker.topic("t").unwrap();
    let consumer = crate::reading::reader(&broker);
    let callback = broker.clone();
    let told = Arc::new(AtomicUsize::new(0));
    let tells = Arc::clone(&told);
    producer.send(ProducerRecord::to("t").value("x")).on_complete(move |_| {
        drop(callback);
        tells.fetch_add(1, Ordering::SeqCst);
    });
    let threads = [
        thread::spawn(move || drop(producer)),
        thread::spawn(move || drop((topic, consumer))),
        thread::spawn(move || drop(broker)),
    ];
    for thread in threads {
        thread.join().unwrap();
    }
    // The callback may be at its last breath, and close, on the broker's own thread.
    while let Err(error) = Broker::builder().storage(storage.clone()).seed(2).open() {
        assert_eq!(error.kind(), ErrorKind::DirectoryLocked, "{error}");
        thread::yield_now();
    }
    assert_eq!(told.load(Ordering::SeqCst), 1);
    reopen(storage, 1);
}
