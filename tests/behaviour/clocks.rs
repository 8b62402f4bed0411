//! Time that moves when told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use crate::homes::*;
use logreel::testing::MockClock;
use logreel::{Broker, ErrorCode, ProducerRecord};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn on_a_manual_clock_blocking_calls_park_until_another_thread_moves_it() {
    let clock = MockClock::manual(NOW);
    let broker = Broker::builder().clock(&clock).topic("t").open().unwrap();
    let consumer = reader(&broker);
    consumer.assign([("t", 0)]).unwrap();
    let producer = broker.producer().linger(60 * SECOND).build().unwrap();
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| consumer.poll(3600 * SECOND).unwrap().len());
        let wait = scope.spawn(|| producer.send(ProducerRecord::to("t").value("x")).wait());
        while !(poll.is_finished() && wait.is_finished()) {
            clock.advance(SECOND);
            std::thread::yield_now();
        }
        assert_eq!(poll.join().unwrap(), 1);
        assert_eq!(wait.join().unwrap().unwrap().offset(), Some(0));
    });
    let passed = clock.wall_millis() - NOW;
    assert!(passed >= 60_000, "not before the linger was over");
}

#[test]
fn on_a_manual_clock_a_delivery_is_pending_until_the_clock_is_moved() {
    let clock = MockClock::manual(NOW);
    let broker = Broker::builder().clock(&clock).topic("t").open().unwrap();
    let producer = broker.producer().linger(5 * SECOND).build().unwrap();
    let mut delivery = std::pin::pin!(producer.send(ProducerRecord::to("t").value("x")));
    let woken = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Arc::clone(&woken).into();
    let mut context = Context::from_waker(&waker);
    assert!(delivery.as_mut().poll(&mut context).is_pending());
    clock.advance(4 * SECOND);
    assert!(delivery.as_mut().poll(&mut context).is_pending());
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    clock.advance(SECOND);
    assert!(woken.0.load(Ordering::SeqCst) > 0);
    let Poll::Ready(outcome) = delivery.as_mut().poll(&mut context) else { panic!("not ready") };
    assert_eq!(outcome.unwrap().offset(), Some(0));
}

#[test]
fn on_a_mock_clock_waiting_moves_the_time_and_nothing_sleeps() {
    let began = std::time::Instant::now();
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).topic("t").open().unwrap();
    let producer = broker.producer().linger(3600 * SECOND).build().unwrap();
    let delivery = producer.send(ProducerRecord::to("t").value("x"));
    let error = delivery.wait_timeout(60 * SECOND).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::RequestTimedOut));
    assert_eq!(clock.wall_millis(), NOW + 60_000);
    let consumer = reader(&broker);
    consumer.assign([("t", 0)]).unwrap();
    // The poll finds the lingering batch due on its way to its own deadline.
    assert_eq!(consumer.poll(7200 * SECOND).unwrap().len(), 1);
    assert_eq!(clock.wall_millis(), NOW + 3_600_000);
    assert!(consumer.poll(Duration::from_secs(86_400 * 365)).unwrap().is_empty());
    clock.set_wall_millis(5);
    assert_eq!(clock.wall_millis(), 5, "the wall clock may be set back, timeouts do not notice");
    assert!(began.elapsed() < 10 * SECOND);
}
