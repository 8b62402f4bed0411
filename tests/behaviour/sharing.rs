//! What threads and producers share: writes and syncs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread::ThreadId;
use std::time::Duration;

use crate::homes::*;
use logreel::{Acks, Broker, ErrorCode, Housekeeping, NewTopic, ProducerRecord, Storage};

const HOUR: Duration = Duration::from_secs(3600);

/// A storage in memory that counts an operation on segments.
fn counting(wanted: &'static str) -> (Storage, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let storage = Storage::observed(Storage::memory(), move |op, path| {
        if op == wanted && path.ends_with(".log") {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    (storage, count)
}

#[test]
fn one_sync_covers_the_batches_of_all_producers() {
    let (storage, syncs) = counting("sync");
    let broker = Broker::builder().storage(storage).housekeeping(Housekeeping::Manual);
    let broker = broker.topic("t").open().unwrap();
    let mut deliveries = Vec::new();
    for _ in 0..5 {
        let producer = broker.producer().linger(HOUR).build().unwrap();
        deliveries.push(producer.send(ProducerRecord::to("t").value("x")));
        // Written by the drop; the sync is left to who waits.
        drop(producer);
    }
    assert_eq!(syncs.load(Ordering::SeqCst), 0);
    for (offset, delivery) in (0..).zip(deliveries) {
        assert_eq!(delivery.wait().unwrap().offset(), Some(offset));
        assert_eq!(syncs.load(Ordering::SeqCst), 1);
    }
}

/// Each of two syncs waits inside for the other, so they must be at work at the same time.
#[test]
fn partitions_are_synced_in_parallel_on_the_threads_that_wait() {
    must_end(|| {
        let both = Arc::new(Barrier::new(2));
        let threads: Arc<Mutex<Vec<ThreadId>>> = Arc::default();
        let (inside, seen) = (Arc::clone(&both), Arc::clone(&threads));
        let storage = Storage::observed(Storage::memory(), move |op, path| {
            if op == "sync" && path.ends_with(".log") {
                seen.lock().unwrap().push(std::thread::current().id());
                inside.wait();
            }
            Ok(())
        });
        let broker = Broker::builder().storage(storage).housekeeping(Housekeeping::Manual);
        let broker = broker.topic(NewTopic::new("t").partitions(2)).open().unwrap();
        let producer = broker.producer().linger(Duration::from_millis(1)).build().unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|partition| {
                let producer = producer.clone();
                std::thread::spawn(move || {
                    let record = ProducerRecord::to("t").partition(partition).value("x");
                    producer.send(record).wait().unwrap();
                    std::thread::current().id()
                })
            })
            .collect();
        let mut waited: Vec<_> = waiting.into_iter().map(|t| t.join().unwrap()).collect();
        let mut synced = threads.lock().unwrap().clone();
        waited.sort_by_key(|id| format!("{id:?}"));
        synced.sort_by_key(|id| format!("{id:?}"));
        assert_eq!(waited, synced);
    });
}

/// While one thread writes a batch another fills the next ones without waiting for it, and those go
/// out together.
#[test]
fn batches_fill_while_one_is_written_and_share_the_next_write() {
    must_end(|| {
        let writes = Arc::new(AtomicUsize::new(0));
        let (entered, is_inside) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let (seen, gate) = (Arc::clone(&writes), Mutex::new(gate));
        let storage = Storage::observed(Storage::memory(), move |op, path| {
            if op == "write" && path.ends_with(".log") && seen.fetch_add(1, Ordering::SeqCst) == 0 {
                entered.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
            }
            Ok(())
        });
        let broker = Broker::builder().storage(storage).housekeeping(Housekeeping::Manual);
        let broker = broker.topic("t").open().unwrap();
        let settings = broker.producer().acks(Acks::Leader).batch_size(1000);
        let producer = settings.linger(Duration::from_millis(1)).build().unwrap();
        let record = || ProducerRecord::to("t").value(vec![7; 100]);
        let first = producer.send(record());
        let writer = std::thread::spawn(move || first.wait().unwrap());
        is_inside.recv().unwrap();
        // About fifty batches, while the first is being written.
        let deliveries: Vec<_> = (0..450).map(|_| producer.send(record())).collect();
        assert_eq!(writes.load(Ordering::SeqCst), 1);
        go.send(()).unwrap();
        writer.join().unwrap();
        producer.flush(10 * SECOND).unwrap();
        for (offset, delivery) in (1..).zip(deliveries) {
            assert_eq!(delivery.wait().unwrap().offset(), Some(offset));
        }
        let writes = writes.load(Ordering::SeqCst);
        assert!(writes <= 3, "{writes} writes");
    });
}

/// A disk that does not answer holds the thread that writes; others get their answer in time.
#[test]
fn nobody_else_waits_for_a_hung_disk_longer_than_the_delivery_timeout() {
    must_end(|| {
        let (entered, is_inside) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let storage = Storage::observed(Storage::memory(), move |op, path| {
            if op == "write" && path.ends_with(".log") {
                let _ = entered.send(());
                // Open for good once it is opened.
                let _ = gate.lock().unwrap().recv();
            }
            Ok(())
        });
        let broker = Broker::builder().storage(storage).housekeeping(Housekeeping::Manual);
        let broker = broker.topic("t").open().unwrap();
        let settings = broker.producer().delivery_timeout(Duration::from_millis(50));
        let producer = settings.linger(Duration::from_millis(1)).build().unwrap();
        let first = producer.send(ProducerRecord::to("t").value("x"));
        let writer = std::thread::spawn(move || first.wait());
        is_inside.recv().unwrap();
        let late = producer.send(ProducerRecord::to("t").value("y"));
        let told = Arc::new(AtomicUsize::new(0));
        let tells = Arc::clone(&told);
        producer.send(ProducerRecord::to("t").value("z")).on_complete(move |result| {
            assert_eq!(result.unwrap_err().code(), Some(ErrorCode::RequestTimedOut));
            tells.fetch_add(1, Ordering::SeqCst);
        });
        let error = late.wait().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RequestTimedOut));
        drop(go);
        // Nobody could know how this one would end.
        let error = writer.join().unwrap().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RequestTimedOut));
        producer.flush(10 * SECOND).unwrap();
        assert_eq!(told.load(Ordering::SeqCst), 1);
        // What was given up before it was tried is not written later.
        let end = broker.topic("t").unwrap().partition(0).unwrap().log_end_offset();
        assert_eq!(end, 1);
    });
}
