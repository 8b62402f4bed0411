//! What the second review of the producer found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::homes::*;
use crate::producers::*;
use logreel::testing::OpKind;
use logreel::{Broker, ErrorCode, ErrorKind, NewTopic, ProducerRecord};

/// The last run left when another thread took its turn, and what was left was lost.
#[test]
fn dropping_a_producer_while_others_wait_loses_what_is_left() {
    for round in 0..40 {
        let broker = Broker::in_memory();
        broker.create_topic("t").unwrap();
        let producer = broker
            .producer()
            .linger(HOUR)
            .delivery_timeout(2 * HOUR)
            .batch_size(300)
            .retry_backoff(20 * MS)
            .retry_backoff_max(20 * MS)
            .build()
            .unwrap();
        let fault = broker.testing().faults().on(OpKind::Produce).times(1);
        let fault = fault.fail(ErrorCode::RequestTimedOut);
        let begun = std::time::Instant::now();
        // Every record is a batch; the last one stays open.
        let mut sent: Vec<_> =
            (0..1000).map(|_| producer.send(ProducerRecord::to("t").value(value(200)))).collect();
        assert_eq!(fault.hits(), 1);
        let last = sent.pop().unwrap();
        let waiters: Vec<_> = (0..6)
            .map(|_| sent.pop().unwrap())
            .map(|delivery| thread::spawn(move || delivery.wait()))
            .collect();
        // They wake when the backoff is over; the producer goes at that moment.
        let at = 15 * MS + MS / 10 * (round % 60);
        thread::sleep(at.saturating_sub(begun.elapsed()));
        drop(producer);
        let last = last.wait_timeout(10 * SECOND);
        let there = end(&broker, "t");
        for waiter in waiters {
            let _ = waiter.join().unwrap();
        }
        assert!(last.is_ok(), "round {round}: {:?}, {there} of 1000", last.unwrap_err());
    }
}

/// What may not wait for memory took what was not there, without end.
#[test]
fn try_send_in_a_callback_never_finds_memory_full() {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("t").partitions(100)).unwrap();
    let producer =
        broker.producer().linger(HOUR).delivery_timeout(2 * HOUR).buffer_memory(4 * 16384);
    let producer = producer.build().unwrap();
    let again = producer.clone();
    let (told, hear) = mpsc::channel();
    producer.send(ProducerRecord::to("t").partition(0).value("x")).on_complete(move |_| {
        let mut refused = None;
        for partition in 1..100 {
            let record = ProducerRecord::to("t").partition(partition).value("x");
            match again.try_send(record) {
                Ok(sent) => sent.forget(),
                Err(error) => {
                    refused = Some((partition, error.error.kind()));
                    break;
                }
            }
        }
        told.send(refused).unwrap();
    });
    producer.flush(10 * SECOND).unwrap();
    let refused = hear.recv_timeout(10 * SECOND).unwrap();
    assert_eq!(
        refused.map(|(_, kind)| kind),
        Some(ErrorKind::QueueFull),
        "99 batches of 16384 bytes with a buffer.memory of four"
    );
}

/// The wait after a batch that had expired held up those behind it.
#[test]
fn the_backoff_of_what_expired_holds_up_what_comes_after() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let producer = broker
        .producer()
        .delivery_timeout(300 * MS)
        .retry_backoff(5 * SECOND)
        .retry_backoff_max(5 * SECOND)
        .build()
        .unwrap();
    let fault = broker.testing().faults().on(OpKind::Produce).fail(ErrorCode::RequestTimedOut);
    let (told, hear) = mpsc::channel();
    let tell = told.clone();
    producer
        .send(ProducerRecord::to("t").value("1"))
        .on_complete(move |outcome| tell.send(outcome.map(|p| p.offset())).unwrap());
    assert!(hear.recv_timeout(2 * SECOND).unwrap().is_err(), "expired");
    fault.remove();
    // Nothing is in front of this one.
    producer
        .send(ProducerRecord::to("t").value("2"))
        .on_complete(move |outcome| told.send(outcome.map(|p| p.offset())).unwrap());
    let second = hear.recv_timeout(5 * SECOND).unwrap();
    assert!(second.is_ok(), "{second:?}; the log holds {} records", end(&broker, "t"));
}

/// What was past its deadline was written first and given up then.
#[test]
fn what_is_past_its_deadline_is_written_and_then_fails() {
    let broker = manual();
    broker.create_topic("t").unwrap();
    let producer = broker.producer().linger(50 * MS).delivery_timeout(100 * MS).build().unwrap();
    producer.send(ProducerRecord::to("t").value("1")).forget();
    thread::sleep(150 * MS);
    let second = producer.send(ProducerRecord::to("t").value("2")).wait();
    let there = end(&broker, "t");
    assert!(
        second.is_ok() || there == 0,
        "sent a moment ago: {:?}; {there} records are in the log",
        second.unwrap_err()
    );
}

/// A topic was deleted and made again while others looked it up.
#[test]
fn a_sender_with_an_old_look_throws_away_the_queues_of_the_new_topic() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let producer = broker.producer().linger(MS).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let closed = thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let (producer, stop) = (producer.clone(), Arc::clone(&stop));
                scope.spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let sent = producer.send(ProducerRecord::to("t").value("x")).wait();
                        if let Err(error) = sent
                            && error.kind() == ErrorKind::Closed
                        {
                            return Some(error.to_string());
                        }
                    }
                    None
                })
            })
            .collect();
        let begin = std::time::Instant::now();
        while begin.elapsed() < 2 * SECOND && !senders.iter().any(|sender| sender.is_finished()) {
            let _ = broker.delete_topic("t");
            let _ = broker.create_topic("t");
        }
        stop.store(true, Ordering::SeqCst);
        senders.into_iter().filter_map(|sender| sender.join().unwrap()).next()
    });
    assert_eq!(closed, None, "nobody has closed the producer");
}

/// Two queues for one log numbered their batches alike: the log took one for a repetition. The
/// window is narrow: without the mending this fails when `Topics::find` sleeps for 600 us now and
/// then before `take_in`, and else seldom.
#[test]
fn a_record_that_was_acknowledged_is_not_in_the_log() {
    use std::collections::HashMap;
    use std::sync::atomic::AtomicUsize;
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let producer = broker.producer().build().unwrap();
    // Even while the topic stays.
    let generation = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let mut there: HashMap<usize, Vec<Option<String>>> = HashMap::new();
    let acknowledged: Vec<(usize, usize, String)> = thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (producer, generation, stop) = (producer.clone(), &generation, &stop);
                scope.spawn(move || {
                    let mut acknowledged = Vec::new();
                    for i in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let value = format!("{sender}:{i}");
                        let before = generation.load(Ordering::SeqCst);
                        let sent = producer.send(ProducerRecord::to("t").value(&value)).wait();
                        let after = generation.load(Ordering::SeqCst);
                        if let Ok(placed) = sent
                            && before == after
                            && before % 2 == 0
                        {
                            let offset = placed.offset().unwrap();
                            acknowledged.push((before, offset as usize, value));
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        let begin = std::time::Instant::now();
        while begin.elapsed() < 3 * SECOND {
            let now = generation.fetch_add(1, Ordering::SeqCst);
            let values = read_all(&broker, "t", 0).iter().map(|r| text(&r.value)).collect();
            there.insert(now, values);
            let _ = broker.delete_topic("t");
            let _ = broker.create_topic("t");
            generation.fetch_add(1, Ordering::SeqCst);
            thread::sleep(MS / 5);
        }
        stop.store(true, Ordering::SeqCst);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    let lost: Vec<_> = acknowledged
        .iter()
        .filter_map(|(generation, offset, value)| {
            let stands = there.get(generation)?.get(*offset)?.as_ref()?;
            (stands != value).then_some((generation, offset, value, stands))
        })
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged records are not where they should be, such as {:?}",
        lost.len(),
        acknowledged.len(),
        lost.first()
    );
}
