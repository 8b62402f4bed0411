//! Producers: memory, deadlines, and waiting for either.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::homes::*;
use crate::producers::*;
use logreel::testing::{MockClock, OpKind};
use logreel::{Acks, Broker, ErrorCode, ErrorKind, NewTopic, Producer, ProducerRecord, Storage};

/// Only the thread gave up what was past its deadline; others spun.
#[test]
fn who_waits_for_memory_spins_and_gives_nothing_up() {
    let broker = manual();
    broker.create_topic("t").unwrap();
    let producer = broker
        .producer()
        .buffer_memory(16384)
        .delivery_timeout(300 * MS)
        .retry_backoff(10 * SECOND)
        .retry_backoff_max(10 * SECOND)
        .max_block(2 * SECOND)
        .build()
        .unwrap();
    broker.testing().faults().on(OpKind::Produce).fail(ErrorCode::RequestTimedOut);
    producer.send(ProducerRecord::to("t").value("1")).forget();
    let (begin, used) = (Instant::now(), cpu());
    let mut second = producer.send(ProducerRecord::to("t").value("2"));
    let (took, used) = (begin.elapsed(), cpu() - used);
    let refused = second.try_get().is_some_and(|r| r.unwrap_err().kind() == ErrorKind::QueueFull);
    assert!(
        !refused && used < 200 * MS,
        "refused: {refused} after {took:?}, of which {used:?} on the processor"
    );
}

fn refusing(broker: &Broker) -> Producer {
    broker.testing().faults().on(OpKind::Produce).fail(ErrorCode::RequestTimedOut);
    broker
        .producer()
        .buffer_memory(2 * 16384)
        .delivery_timeout(100 * MS)
        .retry_backoff(SECOND)
        .retry_backoff_max(SECOND)
        .build()
        .unwrap()
}

#[test]
fn a_callback_of_what_expired_sends_again_and_hangs() {
    must_end(|| {
        let clock = MockClock::at_millis(NOW);
        let broker = Broker::builder().clock(&clock).open().unwrap();
        let producer = refusing(&broker);
        let again = producer.clone();
        producer.send(ProducerRecord::to("a").value("1")).on_complete(move |_| {
            again.send(ProducerRecord::to("c").value("1")).forget();
            again.send(ProducerRecord::to("d").value("1")).forget();
        });
        producer.send(ProducerRecord::to("b").value("1")).forget();
        clock.advance(SECOND);
    });
}

#[test]
fn a_callback_of_what_expired_waits_and_hangs() {
    must_end(|| {
        let clock = MockClock::at_millis(NOW);
        let broker = Broker::builder().clock(&clock).open().unwrap();
        let producer = refusing(&broker);
        let again = producer.clone();
        producer.send(ProducerRecord::to("a").value("1")).on_complete(move |_| {
            assert!(again.send(ProducerRecord::to("b").value("2")).wait().is_err());
        });
        producer.send(ProducerRecord::to("b").value("1")).forget();
        clock.advance(SECOND);
    });
}

#[test]
fn a_wait_behind_a_batch_that_should_have_expired_spins() {
    let broker = manual();
    broker.create_topic("t").unwrap();
    let producer = broker
        .producer()
        .delivery_timeout(SECOND)
        .retry_backoff(10 * SECOND)
        .retry_backoff_max(10 * SECOND)
        .build()
        .unwrap();
    broker.testing().faults().on(OpKind::Produce).fail(ErrorCode::RequestTimedOut);
    let mut first = producer.send(ProducerRecord::to("t").value("1"));
    thread::sleep(800 * MS);
    let second = producer.send(ProducerRecord::to("t").value("2"));
    let used = cpu();
    assert!(second.wait().is_err());
    let used = cpu() - used;
    assert!(first.try_get().is_some(), "it is past its delivery.timeout.ms by 0.8 s");
    assert!(used < 200 * MS, "{used:?} on the processor");
}

/// An open batch that had expired took records.
#[test]
fn a_record_joins_a_batch_that_has_expired() {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    broker.create_topic("t").unwrap();
    let fault = broker.testing().faults().on(OpKind::Produce).fail(ErrorCode::RequestTimedOut);
    let producer = broker
        .producer()
        .delivery_timeout(100 * MS)
        .retry_backoff(SECOND)
        .retry_backoff_max(SECOND)
        .build()
        .unwrap();
    producer.send(ProducerRecord::to("t").value("1")).forget();
    producer.send(ProducerRecord::to("t").value("2")).forget();
    clock.advance(100 * MS);
    fault.remove();
    let third = producer.send(ProducerRecord::to("t").value("3")).wait();
    assert!(third.is_ok(), "sent a moment ago: {:?}", third.unwrap_err());
}

/// A full batch that `try_send` had closed was run by nobody.
#[test]
fn try_send_finds_no_memory_although_a_full_batch_waits() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let producer =
        broker.producer().linger(HOUR).batch_size(1000).buffer_memory(1000).build().unwrap();
    let send = || match producer.try_send(ProducerRecord::to("t").value(value(300))) {
        Ok(delivery) => {
            delivery.forget();
            true
        }
        Err(_) => false,
    };
    assert!(send());
    // The thread sleeps until the batch is due.
    thread::sleep(50 * MS);
    while send() {}
    assert!(comes(3 * SECOND, send), "the batch is full, and nobody writes it");
}

/// A close did not reach who waited for a topic.
#[test]
fn a_send_that_waits_for_a_topic_goes_on_after_the_close() {
    let broker = Broker::builder()
        .storage(Storage::memory())
        .set("auto.create.topics.enable", "false")
        .open()
        .unwrap();
    let producer = broker.producer().max_block(4 * SECOND).build().unwrap();
    let sending = producer.clone();
    let sender = thread::spawn(move || {
        let begin = Instant::now();
        let error = sending.send(ProducerRecord::to("t").value("x")).wait().unwrap_err();
        (begin.elapsed(), error)
    });
    thread::sleep(200 * MS);
    producer.close(SECOND).unwrap();
    let (took, error) = sender.join().unwrap();
    assert!(took < 2 * SECOND, "{took:?}, {error:?}");
}

/// Slow callbacks held nobody back.
#[test]
fn callbacks_that_stall_let_memory_grow_past_buffer_memory() {
    let broker = Broker::in_memory();
    broker.create_topic("t").unwrap();
    let settings = broker.producer().buffer_memory(64 * 1024).max_block(200 * MS).linger(HOUR);
    let producer = settings.build().unwrap();
    let (open, gate) = mpsc::channel::<()>();
    let (entered, is_inside) = mpsc::channel();
    producer.send(ProducerRecord::to("t").value("x")).on_complete(move |_| {
        entered.send(()).unwrap();
        gate.recv().unwrap_or_default();
    });
    let flushing = producer.clone();
    let flush = thread::spawn(move || flushing.flush(20 * SECOND));
    is_inside.recv().unwrap();
    let mut taken = 0_usize;
    let full = loop {
        match producer.send(ProducerRecord::to("t").value(value(1000))).try_get() {
            Some(Err(error)) => break error,
            _ => taken += 1000,
        }
        assert!(taken <= 64 * 1024, "{taken} bytes are held by callbacks that have not run");
    };
    assert_eq!(full.kind(), ErrorKind::QueueFull);
    drop(open);
    flush.join().unwrap().unwrap();
    producer.send(ProducerRecord::to("t").value("y")).forget();
    producer.flush(10 * SECOND).unwrap();
}

/// A `batch.size` above the most a batch may hold was never full.
#[test]
fn a_batch_larger_than_a_batch_can_be() {
    let broker = manual();
    broker.create_topic("t").unwrap();
    let producer = broker
        .producer()
        .batch_size(100 << 20)
        .buffer_memory(200 << 20)
        .linger(HOUR)
        .acks(Acks::Leader)
        .build()
        .unwrap();
    let value = value(1 << 19);
    for i in 0..140 {
        let mut sent = producer.send(ProducerRecord::to("t").value(&value));
        let early = sent.try_get();
        assert!(early.is_none(), "record {i}: {early:?}");
    }
}

/// The thread itself spun.
#[test]
fn the_thread_spins_in_a_callback_that_sends_again() {
    let broker = Broker::in_memory();
    broker.testing().faults().on(OpKind::Produce).fail(ErrorCode::RequestTimedOut);
    let producer = broker
        .producer()
        .buffer_memory(2 * 16384)
        .delivery_timeout(300 * MS)
        .retry_backoff(10 * SECOND)
        .retry_backoff_max(10 * SECOND)
        .max_block(2 * SECOND)
        .build()
        .unwrap();
    let again = producer.clone();
    let (told, hear) = mpsc::channel();
    producer.send(ProducerRecord::to("a").value("1")).on_complete(move |_| {
        again.send(ProducerRecord::to("c").value("1")).forget();
        let used = cpu();
        let mut last = again.send(ProducerRecord::to("d").value("1"));
        let refused = last.try_get().is_some_and(|r| r.unwrap_err().kind() == ErrorKind::QueueFull);
        told.send((refused, cpu() - used)).unwrap();
    });
    producer.send(ProducerRecord::to("b").value("1")).forget();
    let (refused, used) = hear.recv_timeout(10 * SECOND).unwrap();
    assert!(!refused && used < 200 * MS, "refused: {refused}, {used:?} on the processor");
}

/// Who waited for memory was not told of a batch that was opened with it.
#[test]
fn lingering_batches_keep_the_memory_that_another_waits_for() {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
    let producer = broker
        .producer()
        .linger(HOUR)
        .batch_size(1000)
        .buffer_memory(1000)
        .max_block(2 * SECOND)
        .build()
        .unwrap();
    thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|partition| {
                let producer = producer.clone();
                scope.spawn(move || {
                    for i in 0..100_000 {
                        let record = ProducerRecord::to("t").partition(partition).value("x");
                        let begin = Instant::now();
                        let mut sent = producer.send(record);
                        if let Some(Err(error)) = sent.try_get() {
                            return Err((i, error.to_string()));
                        }
                        if begin.elapsed() > SECOND {
                            return Err((i, format!("took {:?}", begin.elapsed())));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for sender in senders {
            let outcome = sender.join().unwrap();
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    });
}

/// With `retry.backoff.ms=0`, which Kafka allows, a mock clock stood still.
#[test]
fn no_backoff_on_a_mock_clock_never_ends() {
    must_end(|| {
        let clock = MockClock::at_millis(NOW);
        let broker = Broker::builder().clock(&clock).open().unwrap();
        broker.create_topic("t").unwrap();
        broker.testing().faults().on(OpKind::Produce).fail(ErrorCode::RequestTimedOut);
        let producer = broker.producer().delivery_timeout(SECOND).retry_backoff(Duration::ZERO);
        let producer = producer.build().unwrap();
        assert!(producer.send(ProducerRecord::to("t").value("1")).wait().is_err());
    });
}

/// A record that had to wait for memory was given to the partitioner again, and round-robin passed
/// over a partition.
#[test]
fn a_partitioner_is_asked_twice_for_a_record_that_waits_for_memory() {
    let broker = manual();
    broker.create_topic(NewTopic::new("t").partitions(4)).unwrap();
    let settings = broker.producer().partitioner(logreel::producer::RoundRobin::default());
    let settings = settings.linger(HOUR).delivery_timeout(2 * HOUR).acks(Acks::Leader);
    // Room for one open batch: every record but the first waits.
    let producer = settings.batch_size(1000).buffer_memory(1500).build().unwrap();
    let sent: Vec<_> = (0..8).map(|_| producer.send(ProducerRecord::to("t").value("x"))).collect();
    producer.flush(10 * SECOND).unwrap();
    let placed: Vec<i32> = sent.into_iter().map(|d| d.wait().unwrap().partition()).collect();
    assert_eq!(placed, [0, 1, 2, 3, 0, 1, 2, 3]);
}
