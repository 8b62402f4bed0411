//! Who tries again, and when.

use std::sync::mpsc;
use std::time::Duration;

use crate::homes::*;
use logreel::testing::{MockClock, OpKind};
use logreel::{Broker, ErrorCode, Housekeeping, ProducerRecord};

const HOUR: Duration = Duration::from_secs(3600);

/// The sender thread slept until the batch was to have lingered enough, and nobody tried again.
#[test]
fn a_retry_that_nobody_waits_for_comes_in_time() {
    let broker = Broker::in_memory();
    let once = broker.testing().faults().on(OpKind::Produce).times(1);
    let once = once.fail(ErrorCode::RequestTimedOut);
    let settings = broker.producer().linger(HOUR).batch_size(100);
    let producer = settings.build().unwrap();
    let (told, hear) = mpsc::channel();
    let delivery = producer.send(ProducerRecord::to("t").value("x"));
    delivery.on_complete(move |result| told.send(result.map(|placed| placed.offset())).unwrap());
    // The thread has seen the batch, and sleeps.
    std::thread::sleep(Duration::from_millis(50));
    // This one does not fit in: the sender runs the batch before it, and fails.
    producer.send(ProducerRecord::to("t").value(vec![1; 100])).forget();
    assert_eq!(hear.recv_timeout(10 * SECOND).unwrap().unwrap(), Some(0));
    assert_eq!(once.hits(), 1);
}

/// Without threads the one who waits tries again, on either clock.
#[test]
fn without_threads_who_waits_tries_again() {
    let manual = Broker::builder().housekeeping(Housekeeping::Manual);
    let mock = Broker::builder().clock(MockClock::at_millis(NOW));
    for broker in [manual, mock] {
        let broker = broker.open().unwrap();
        let twice = broker.testing().faults().on(OpKind::Produce).times(4);
        let twice = twice.fail(ErrorCode::RequestTimedOut);
        let settings = broker.producer().retry_backoff(Duration::from_millis(1));
        let producer = settings.build().unwrap();
        producer.send(ProducerRecord::to("t").value("x")).wait().unwrap();
        let delivery = producer.send(ProducerRecord::to("t").value("y"));
        broker.testing().faults().on(OpKind::Produce).times(1).fail(ErrorCode::RequestTimedOut);
        let later = producer.send(ProducerRecord::to("t").value("z"));
        producer.flush(10 * SECOND).unwrap();
        assert_eq!(delivery.wait().unwrap().offset(), Some(1));
        assert_eq!(later.wait().unwrap().offset(), Some(2));
        assert_eq!(twice.hits(), 4);
    }
}

/// Waits double up to a second, give or take a fifth.
#[test]
fn waits_between_tries_grow_to_a_limit() {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    let fails = broker.testing().faults().on(OpKind::Produce).fail(ErrorCode::RequestTimedOut);
    let producer = broker.producer().build().unwrap();
    let error = producer.send(ProducerRecord::to("t").value("x")).wait().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::RequestTimedOut));
    assert_eq!(clock.wall_millis(), NOW + 120_000, "delivery.timeout.ms");
    // 100, 200, 400, 800 ms, then about 118 waits of 0.8 to 1.2 s.
    assert!((100..150).contains(&fails.hits()), "{} tries", fails.hits());
}
