//! Producers: who runs which batch, and that each record is told once.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::homes::*;
use logreel::testing::{MockClock, OpKind};
use logreel::{Acks, Broker, ErrorCode, Housekeeping, NewTopic, ProducerRecord, Storage};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn value(len: usize) -> Vec<u8> {
    vec![b'x'; len]
}

/// A topic whose batches hold one record of 100 bytes.
pub(crate) fn narrow() -> NewTopic {
    NewTopic::new("t").set("max.message.bytes", "200")
}

pub(crate) fn end(broker: &Broker, topic: &str) -> i64 {
    broker.topic(topic).unwrap().partition(0).unwrap().high_watermark()
}

pub(crate) fn comes(within: Duration, mut is_there: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < within {
        if is_there() {
            return true;
        }
        thread::sleep(5 * MS);
    }
    is_there()
}

pub(crate) fn manual() -> Broker {
    Broker::builder().storage(Storage::memory()).housekeeping(Housekeeping::Manual).open().unwrap()
}

/// Time this thread has used the processor.
pub(crate) fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// The last run ended after so many rounds, and what was left was lost.
#[test]
fn dropping_a_producer_loses_what_took_too_many_rounds() {
    let broker = Broker::in_memory();
    broker.create_topic(narrow()).unwrap();
    let producer = broker.producer().linger(HOUR).batch_size(1 << 20).build().unwrap();
    for _ in 0..200 {
        producer.send(ProducerRecord::to("t").value(value(100))).forget();
    }
    drop(producer);
    assert!(comes(SECOND, || end(&broker, "t") == 200), "{} of 200", end(&broker, "t"));
}

#[test]
fn closing_a_broker_loses_what_took_too_many_rounds() {
    let storage = Storage::memory();
    let broker = Broker::builder().storage(storage.clone()).open().unwrap();
    broker.create_topic(narrow()).unwrap();
    let producer = broker.producer().linger(HOUR).batch_size(1 << 20).build().unwrap();
    for _ in 0..200 {
        producer.send(ProducerRecord::to("t").value(value(100))).forget();
    }
    broker.close().unwrap();
    drop(producer);
    let broker = Broker::builder().storage(storage).open().unwrap();
    assert_eq!(end(&broker, "t"), 200);
}

#[test]
fn dropping_a_producer_with_many_batches_that_the_disk_refused_before() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let producer = broker
        .producer()
        .batch_size(0)
        .retry_backoff(30 * SECOND)
        .retry_backoff_max(30 * SECOND)
        .build()
        .unwrap();
    let fault = broker.testing().faults().on(OpKind::Produce).times(1);
    let fault = fault.fail(ErrorCode::RequestTimedOut);
    for _ in 0..8000 {
        producer.send(ProducerRecord::to("t").value(value(100))).forget();
    }
    assert_eq!(fault.hits(), 1);
    // The fault is over: all of it can be written.
    drop(producer);
    assert!(comes(SECOND, || end(&broker, "t") == 8000), "{} of 8000", end(&broker, "t"));
}

/// Batches that were sealed and not written were forgotten until their delivery timeout.
#[test]
fn a_batch_that_takes_many_splits_stops_half_way() {
    let broker = Broker::in_memory();
    broker.create_topic(narrow()).unwrap();
    let producer = broker.producer().build().unwrap();
    let (told, hear) = mpsc::channel();
    producer.send_batch((0..400).map(|_| ProducerRecord::to("t").value(value(100)))).on_complete(
        move |results| told.send(results.iter().filter(|r| r.is_ok()).count()).unwrap(),
    );
    let done = hear.recv_timeout(5 * SECOND);
    assert_eq!(done, Ok(400), "{} of 400 are written", end(&broker, "t"));
}

#[test]
fn waiting_for_a_batch_that_takes_many_splits_with_acks_1() {
    let broker = Broker::in_memory();
    broker.create_topic(narrow()).unwrap();
    let producer = broker.producer().acks(Acks::Leader).build().unwrap();
    let sent = producer.send_batch((0..400).map(|_| ProducerRecord::to("t").value(value(100))));
    let placed = sent.wait_timeout(5 * SECOND);
    assert!(placed.is_ok(), "{:?}; {} of 400", placed.unwrap_err(), end(&broker, "t"));
}

/// Nobody woke the thread for a retry.
#[test]
fn a_send_batch_that_failed_once_is_never_tried_again() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let producer = broker.producer().delivery_timeout(3 * SECOND).build().unwrap();
    let faults = broker.testing().faults().clone();
    faults.on(OpKind::Produce).times(1).fail(ErrorCode::RequestTimedOut);
    let (told, hear) = mpsc::channel();
    producer
        .send_batch([ProducerRecord::to("t").value("x")])
        .on_complete(move |results| told.send(results[0].is_ok()).unwrap());
    assert_eq!(hear.recv_timeout(6 * SECOND), Ok(true));
}

#[test]
fn a_filled_batch_that_failed_is_tried_again_only_when_it_would_have_lingered() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let producer = broker.producer().linger(HOUR).batch_size(1000).build().unwrap();
    producer.send(ProducerRecord::to("t").value(value(100))).forget();
    // The thread sleeps until it is due.
    thread::sleep(50 * MS);
    let fault = broker.testing().faults().on(OpKind::Produce).times(1);
    let fault = fault.fail(ErrorCode::RequestTimedOut);
    producer.send(ProducerRecord::to("t").value(value(900))).forget();
    assert_eq!(fault.hits(), 1, "the second record filled the first batch, which failed");
    assert!(comes(3 * SECOND, || end(&broker, "t") > 0), "tried again after 100 ms");
}

/// A callback ran while later batches of the same write had no result yet.
#[test]
fn a_callback_waits_for_a_batch_of_the_same_round() {
    let broker = manual();
    broker.create_topic("t").unwrap();
    let producer = broker
        .producer()
        .batch_size(0)
        .linger(HOUR)
        .retry_backoff(50 * MS)
        .retry_backoff_max(50 * MS)
        .build()
        .unwrap();
    let faults = broker.testing().faults().clone();
    faults.on(OpKind::Produce).times(1).apply_then_fail(ErrorCode::RequestTimedOut);
    let first = producer.send(ProducerRecord::to("t").value("1"));
    let second = producer.send(ProducerRecord::to("t").value("2"));
    assert_eq!(end(&broker, "t"), 1, "written, and the answer is lost");
    broker.topic("t").unwrap().partition(0).unwrap().sync().unwrap();
    let (told, hear) = mpsc::channel();
    first.on_complete(move |first| {
        let second = second.wait_timeout(3 * SECOND);
        told.send((first.map(|p| p.offset()), second.map(|p| p.offset()))).unwrap();
    });
    thread::sleep(100 * MS);
    broker.run_due();
    let (first, second) = hear.recv_timeout(10 * SECOND).unwrap();
    assert_eq!(first.unwrap(), Some(0));
    assert_eq!(second.unwrap(), Some(1), "it stands in the log and is durable");
}

/// There was no wait and no end after `OUT_OF_ORDER_SEQUENCE_NUMBER`.
#[test]
fn out_of_order_again_and_again_never_ends() {
    must_end(|| {
        let clock = MockClock::at_millis(NOW);
        let broker = Broker::builder().clock(&clock).open().unwrap();
        broker.create_topic("t").unwrap();
        let faults = broker.testing().faults().clone();
        faults.on(OpKind::Produce).fail(ErrorCode::OutOfOrderSequenceNumber);
        let producer = broker.producer().delivery_timeout(SECOND).build().unwrap();
        assert!(producer.send(ProducerRecord::to("t").value("1")).wait().is_err());
    });
}

/// Somebody else synced between the write and the wait for it.
#[test]
fn callbacks_that_wait_while_somebody_syncs() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let producer = broker.producer().batch_size(0).build().unwrap();
    let (stop, late) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    thread::scope(|scope| {
        let partition = broker.topic("t").unwrap().partition(0).unwrap();
        let (syncs, stopped) = (partition, Arc::clone(&stop));
        scope.spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                syncs.sync().unwrap();
            }
        });
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let (producer, late, stop) =
                    (producer.clone(), Arc::clone(&late), Arc::clone(&stop));
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if late.load(Ordering::SeqCst) > 0 || stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let first = producer.send(ProducerRecord::to("t").value("1"));
                        let second = producer.send(ProducerRecord::to("t").value("2"));
                        let late = Arc::clone(&late);
                        first.on_complete(move |_| {
                            if late.load(Ordering::SeqCst) == 0
                                && second.wait_timeout(2 * SECOND).is_err()
                            {
                                late.fetch_add(1, Ordering::SeqCst);
                            }
                        });
                    }
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(late.load(Ordering::SeqCst), 0, "a wait for what is in the log timed out");
}

/// The same with default limits: 25 MB in one call, batches of 1 MiB.
#[test]
fn a_large_send_batch_with_default_limits_stops_half_way() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let producer = broker.producer().acks(Acks::Leader).build().unwrap();
    let (told, hear) = mpsc::channel();
    producer
        .send_batch((0..25_000).map(|_| ProducerRecord::to("t").value(value(1000))))
        .on_complete(move |results| {
            told.send(results.iter().filter(|r| r.is_ok()).count()).unwrap()
        });
    let done = hear.recv_timeout(5 * SECOND);
    assert_eq!(done, Ok(25_000), "{} of 25000 are written", end(&broker, "t"));
}

/// Exactly once and in order, whatever the answers.
#[test]
fn exactly_once_in_order_with_answers_lost_at_random() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let memory = 20_000;
    for round in 0..3_u64 {
        let broker = Broker::in_memory();
        broker
            .create_topic(NewTopic::new("t").partitions(2).set("max.message.bytes", "400"))
            .unwrap();
        let producer = broker
            .producer()
            .batch_size(if round == 1 { 900 } else { 300 })
            .linger(if round == 2 { MS } else { Duration::ZERO })
            .buffer_memory(memory)
            .retry_backoff(MS)
            .retry_backoff_max(2 * MS)
            .build()
            .unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let faults = broker.testing().faults().clone();
                let mut i = round;
                while !stop.load(Ordering::SeqCst) {
                    i = i
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let fault = faults.on(OpKind::Produce).times(1 + (i >> 60) % 3);
                    let fault = match (i >> 40) % 4 {
                        0 => fault.fail(ErrorCode::RequestTimedOut),
                        _ => fault.apply_then_fail(ErrorCode::RequestTimedOut),
                    };
                    thread::sleep(MS);
                    fault.remove();
                    thread::sleep(5 * MS);
                }
            });
            let senders: Vec<_> = (0..3)
                .map(|sender| {
                    let producer = producer.clone();
                    scope.spawn(move || {
                        (0..3000)
                            .map(|i| {
                                let text = format!("{sender}:{i:05}");
                                let record = ProducerRecord::to("t").partition(i % 2).value(&text);
                                let sent = producer.send(record);
                                (text, i % 2, if i % 7 == 0 { Ok(sent.wait()) } else { Err(sent) })
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            let mut sent = Vec::new();
            for sender in senders {
                for (text, partition, outcome) in sender.join().unwrap() {
                    let placed = outcome.unwrap_or_else(|sent| sent.wait()).unwrap();
                    sent.push((partition, placed.offset().unwrap(), text));
                }
            }
            stop.store(true, Ordering::SeqCst);
            sent.sort();
            let mut there = Vec::new();
            for partition in 0..2 {
                for record in read_all(&broker, "t", partition) {
                    there.push((partition, record.offset, text(&record.value).unwrap()));
                }
            }
            assert_eq!(sent.len(), there.len(), "round {round}");
            assert_eq!(sent, there);
            for partition in 0..2 {
                for sender in 0..3 {
                    let of = format!("{sender}:");
                    let mine: Vec<&String> = there
                        .iter()
                        .filter(|(p, _, t)| *p == partition && t.starts_with(&of))
                        .map(|(_, _, t)| t)
                        .collect();
                    assert!(mine.is_sorted(), "round {round}, partition {partition}, {of}");
                }
            }
        });
    }
}
