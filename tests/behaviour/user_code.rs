//! Code of the user's that runs inside a call: callbacks and wakers.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::homes::*;
use logreel::testing::MockClock;
use logreel::{Acks, Broker, Consumer, Delivery, OffsetReset, ProducerRecord};

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics, as this test wants it");
    }
}

/// Leaves a waker that panics.
fn poll_with_panic(delivery: &mut Delivery) {
    let waker = Waker::from(Arc::new(Panics));
    let polled = Pin::new(delivery).poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Pending));
}

/// An auto-commit led a sync, and the callbacks that followed ran while the consumer was locked.
#[test]
fn a_callback_calls_the_consumer_whose_commit_led_the_sync() {
    type Act = fn(&Consumer);
    let acts: [(&str, Act); 3] = [
        ("poll", |consumer| drop(consumer.poll(Duration::ZERO).unwrap())),
        ("unsubscribe", |consumer| consumer.unsubscribe().unwrap()),
        ("commit", |consumer| consumer.commit().unwrap()),
    ];
    for (name, act) in acts {
        must_end(move || {
            let clock = MockClock::at_millis(NOW);
            let broker = Broker::builder().clock(&clock).open().unwrap();
            broker.create_topic("t").unwrap();
            let consumer = broker
                .consumer()
                .group_id("g")
                .auto_offset_reset(OffsetReset::Earliest)
                .auto_commit_interval(Duration::ZERO);
            let consumer = Arc::new(consumer.build().unwrap());
            consumer.subscribe(["t"]).unwrap();
            assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
            let producer = broker.producer().linger(3600 * SECOND).build().unwrap();
            let (told, hear) = mpsc::channel();
            let asked = Arc::clone(&consumer);
            producer.send(ProducerRecord::to("t").value("x")).on_complete(move |outcome| {
                told.send((outcome.unwrap().offset(), asked.assignment().len())).unwrap();
            });
            // Written by this drop, synced by whoever comes first.
            drop(producer);
            assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
            assert!(hear.try_recv().is_err(), "nobody has synced it");
            act(&consumer);
            assert_eq!(hear.try_recv().unwrap(), (Some(0), 1), "{name}");
        });
    }
}

/// A waker that panicked ended the background thread, or made it forget what else was due.
#[test]
fn a_waker_that_panics_stops_the_background_thread() {
    for acks in [Acks::Leader, Acks::All] {
        let broker = Broker::in_memory();
        let build = |linger| {
            broker.producer().acks(acks).linger(Duration::from_millis(linger)).build().unwrap()
        };
        let (first, second) = (build(50), build(200));
        let mut bad = first.send(ProducerRecord::to("t").value("x"));
        let (told, hear) = mpsc::channel();
        let good = second.send(ProducerRecord::to("u").value("y"));
        good.on_complete(move |outcome| told.send(outcome.unwrap().offset()).unwrap());
        poll_with_panic(&mut bad);
        assert_eq!(hear.recv_timeout(10 * SECOND).unwrap(), Some(0));
        assert_eq!(bad.wait().unwrap().offset(), Some(0));
    }
}

/// A waker that panicked kept those from their answer that waited for the same sync, and the panic
/// went to whoever had led it.
#[test]
fn a_waker_that_panics_takes_the_answers_of_others() {
    let clock = MockClock::manual(NOW);
    let broker = Broker::builder().clock(&clock).topic("t").open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    let mut deliveries: Vec<Delivery> = (0..3)
        .map(|_| {
            let producer = broker.producer().linger(3600 * SECOND).build().unwrap();
            let mut delivery = producer.send(ProducerRecord::to("t").value("x"));
            poll_with_panic(&mut delivery);
            // Written by the drop of the producer, synced by whoever comes first.
            delivery
        })
        .collect();
    assert_eq!((log.log_end_offset(), log.recovery_point()), (3, 0));
    log.sync().unwrap();
    for (offset, delivery) in (0..).zip(&mut deliveries) {
        assert_eq!(delivery.try_get().unwrap().unwrap().offset(), Some(offset));
    }
}

/// A waker that panicked in a close left the directory locked.
#[test]
fn a_waker_that_panics_keeps_a_broker_from_closing() {
    for acks in [Acks::Leader, Acks::All] {
        let home = disk();
        let clock = MockClock::manual(NOW);
        let broker = home.builder().clock(&clock).open().unwrap();
        let producer = broker.producer().acks(acks).linger(3600 * SECOND).build().unwrap();
        let mut delivery = producer.send(ProducerRecord::to("t").value("x"));
        poll_with_panic(&mut delivery);
        broker.close().unwrap();
        assert!(home.open().recovery_report().clean);
    }
}

/// With `acks=1` there is no sync: a waker that panicked came out of the flush, and the callback of
/// another record of its batch never ran.
#[test]
fn a_waker_that_panics_comes_out_of_a_flush() {
    let broker = Broker::in_memory();
    let producer = broker.producer().acks(Acks::Leader).linger(3600 * SECOND).build().unwrap();
    let mut polled = producer.send(ProducerRecord::to("t").value("x"));
    poll_with_panic(&mut polled);
    let (told, hear) = mpsc::channel();
    let other = producer.send(ProducerRecord::to("t").value("y"));
    other.on_complete(move |outcome| told.send(outcome.unwrap().offset()).unwrap());
    producer.flush(10 * SECOND).unwrap();
    assert_eq!(hear.try_recv(), Ok(Some(1)));
    assert!(polled.try_get().unwrap().is_ok());
}
