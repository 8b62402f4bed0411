//! Flushing, closing and letting go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::homes::*;
use logreel::testing::OpKind;
use logreel::{Acks, ErrorCode, ErrorKind, NewTopic, Producer, ProducerRecord};

#[test]
fn t088_flush_returns_when_everything_sent_before_has_finished() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(4)).unwrap();
        for acks in [Acks::All, Acks::Leader, Acks::None] {
            let settings = broker.producer().acks(acks).linger(LONG).batch_size(300);
            let producer = settings.build().unwrap();
            let told = Arc::new(AtomicUsize::new(0));
            let mut sent = Vec::new();
            for i in 0..400 {
                let record = ProducerRecord::to("t").key(format!("{i}")).value("v");
                sent.push(producer.send(record));
                let told = Arc::clone(&told);
                let record = ProducerRecord::to("t").key(format!("{i}")).value("v");
                producer.send(record).on_complete(move |_| {
                    told.fetch_add(1, Ordering::SeqCst);
                });
            }
            let (flushed, took) = home.timed(|| producer.flush(LONG));
            home.ok(flushed);
            assert!(took < LONG / 2, "{home}: {acks:?}: linger is cut short");
            assert_eq!(told.load(Ordering::SeqCst), 400, "{home}: {acks:?}: called back");
            for mut sent in sent {
                home.ok(sent.try_get().expect("finished"));
            }
            producer.flush(Duration::ZERO).expect("nothing is left");
        }
        let ends: i64 =
            broker.topic("t").unwrap().partitions().iter().map(|p| p.log_end_offset()).sum();
        assert_eq!(ends, 3 * 800, "{home}");
    }
}

/// Sends a record whose callback does the same, and writes it: the batch that is filled is run by
/// who filled it.
fn send_for_ever(producer: &Producer, rounds: &Arc<AtomicUsize>, until: Instant) {
    let (again, count) = (producer.clone(), Arc::clone(rounds));
    producer.send(value("noise")).on_complete(move |result| {
        count.fetch_add(1, Ordering::SeqCst);
        if result.is_ok() && Instant::now() < until {
            send_for_ever(&again, &count, until);
        }
    });
    producer.send(value("x".repeat(300))).forget();
}

/// A thread that runs callbacks must not be kept by those that come after. On a mock clock there is
/// no thread that could go on with them.
#[test]
fn t088_what_others_send_meanwhile_extends_neither_a_flush_nor_a_send() {
    for home in homes().into_iter().filter(|home| !home.is_mock()) {
        let broker = home.open();
        broker.create_topic("t").unwrap();
        let settings = broker.producer().acks(Acks::Leader).batch_size(200).linger(LONG);
        let producer = settings.build().unwrap();
        let (begun, rounds) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let until = begun + ms(1500);
        send_for_ever(&producer, &rounds, until);
        for round in 0..5 {
            eventually("it goes on", || rounds.load(Ordering::SeqCst) > round * 10);
            let told = Arc::new(AtomicBool::new(false));
            let tell = Arc::clone(&told);
            let mut sent = producer.send(value("mine"));
            let tell = move |_| tell.store(true, Ordering::SeqCst);
            producer.send(value("mine")).on_complete(tell);
            home.ok(producer.flush(LONG));
            home.ok(sent.try_get().expect("finished"));
            assert!(told.load(Ordering::SeqCst), "{home}: round {round}");
        }
        // Nor is the thread of the broker: it has batches of others to run.
        let other = broker.producer().linger(ms(5)).build().unwrap();
        other.send(ProducerRecord::to("other").value("v")).forget();
        eventually("it is written", || partition(&broker, "other", 0).log_end_offset() == 1);
        assert!(Instant::now() < until, "{home}: only when the others stopped");
        let before = rounds.load(Ordering::SeqCst);
        eventually("and still does", || rounds.load(Ordering::SeqCst) > before);
        home.ok(producer.close(LONG));
    }
}

#[test]
fn t088_a_flush_that_takes_too_long_says_so_and_the_records_go_on() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().retry_backoff(ms(5)).build().unwrap();
        let faults = broker.testing().faults().on(OpKind::Produce);
        let fault = faults.fail(ErrorCode::RequestTimedOut);
        let sent = producer.send(value("v"));
        let (flushed, took) = home.timed(|| producer.flush(ms(60)));
        home.fails(flushed, ErrorCode::RequestTimedOut);
        home.assert_took(took, ms(60));
        fault.remove();
        producer.flush(LONG).unwrap();
        assert_eq!(home.ok(sent.wait()).offset(), Some(0), "{home}");
    }
}

#[test]
fn t089_after_close_every_send_fails_and_what_was_sent_is_written() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().linger(LONG).build().unwrap();
        let clone = producer.clone();
        let told = Arc::new(AtomicUsize::new(0));
        let sent: Vec<_> = numbered("v", 50).into_iter().map(|v| producer.send(value(v))).collect();
        let tell = Arc::clone(&told);
        producer.send(value("last")).on_complete(move |result| {
            tell.store(result.unwrap().offset().unwrap() as usize, Ordering::SeqCst);
        });
        home.ok(producer.close(LONG));
        assert_eq!(told.load(Ordering::SeqCst), 50, "{home}: called back before it returned");
        for (offset, mut sent) in (0..).zip(sent) {
            let result = sent.try_get().expect("finished");
            assert_eq!(home.ok(result).offset(), Some(offset), "{home}");
        }
        assert_eq!(home.err(clone.send(value("x")).wait()).kind(), ErrorKind::Closed, "{home}");
        let refused = clone.try_send(value("y")).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Closed, "{home}");
        assert_eq!(refused.record.value_bytes(), Some(&b"y"[..]), "{home}");
        for result in clone.send_batch([value("x"), value("y")]).results() {
            assert_eq!(home.err(result).kind(), ErrorKind::Closed, "{home}");
        }
        let unknown = clone.send(ProducerRecord::to("unknown").value("x"));
        assert_eq!(home.err(unknown.wait()).kind(), ErrorKind::Closed, "{home}");
        home.ok(clone.flush(LONG));
        home.ok(clone.close(LONG));
        assert_eq!(values(&broker, "t", 0).len(), 51, "{home}");
        assert!(broker.topic("unknown").is_err(), "{home}");
    }
}

#[test]
fn t089_what_cannot_be_delivered_in_time_fails_when_the_producer_is_closed() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        let producer = broker.producer().retry_backoff(ms(5)).build().unwrap();
        let faults = broker.testing().faults().on(OpKind::Produce).partition(0);
        let fault = faults.fail(ErrorCode::RequestTimedOut);
        let mut stuck: Vec<_> =
            numbered("v", 20).into_iter().map(|v| producer.send(value(v))).collect();
        let fine = producer.send(value("fine").partition(1));
        let (told, hear) = std::sync::mpsc::channel();
        stuck.pop().unwrap().on_complete(move |result| told.send(result).unwrap());
        let (closed, took) = home.timed(|| producer.close(ms(60)));
        home.fails(closed, ErrorCode::RequestTimedOut);
        home.assert_took(took, ms(60));
        for mut stuck in stuck {
            let error = home.err(stuck.try_get().expect("none vanishes"));
            assert_eq!(error.kind(), ErrorKind::Closed, "{home}: {error}");
        }
        let last = hear.recv_timeout(LONG / 6).expect("called back");
        assert_eq!(home.err(last).kind(), ErrorKind::Closed, "{home}");
        assert_eq!(home.ok(fine.wait()).offset(), Some(0), "{home}");
        fault.remove();
        home.pass(ms(30));
        assert_eq!(values(&broker, "t", 0).len(), 0, "{home}: it is not written later");
    }
}

#[test]
fn t089_none_vanishes_while_others_send() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic("t").unwrap();
        let producer = broker.producer().acks(Acks::Leader).linger(ms(1)).build().unwrap();
        let sending = AtomicUsize::new(0);
        let (written, closed) = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let (producer, sending) = (producer.clone(), &sending);
                    scope.spawn(move || {
                        let mut sent = Vec::new();
                        loop {
                            sent.push(producer.send(value("v")));
                            sending.fetch_add(1, Ordering::SeqCst);
                            let is_over = sent.last_mut().unwrap().try_get();
                            if is_over.is_some_and(|result| result.is_err()) {
                                break;
                            }
                        }
                        let results = sent.into_iter().map(|sent| sent.wait());
                        results.partition::<Vec<_>, _>(Result::is_ok)
                    })
                })
                .collect();
            eventually("records are sent", || sending.load(Ordering::SeqCst) > 300);
            // With a deadline a mock clock would go there while another thread is at work.
            home.ok(producer.clone().close(Duration::MAX));
            let mut all = (Vec::new(), Vec::new());
            for thread in threads {
                let (written, closed) = thread.join().unwrap();
                all.0.extend(written);
                all.1.extend(closed);
            }
            all
        });
        for result in closed {
            assert_eq!(home.err(result).kind(), ErrorKind::Closed, "{home}");
        }
        let mut offsets: Vec<i64> =
            written.into_iter().map(|result| home.ok(result).offset().unwrap()).collect();
        offsets.sort_unstable();
        let end = partition(&broker, "t", 0).log_end_offset();
        assert_eq!(offsets, (0..end).collect::<Vec<_>>(), "{home}");
    }
}

/// A mock clock stands still while another thread writes: who waits for that thread would move it
/// to the end of the record's time, and give up what is written the next moment.
#[test]
fn t089_no_record_times_out_on_a_mock_clock_because_another_thread_writes_it() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic("t").unwrap();
        let small = broker.producer().linger(ms(1)).batch_size(200).buffer_memory(600);
        let producer = small.build().unwrap();
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let producer = producer.clone();
                    let send = move |_| {
                        let sent: Vec<_> = (0..5).map(|_| producer.send(value("v"))).collect();
                        sent.into_iter().map(logreel::Delivery::wait).collect::<Vec<_>>()
                    };
                    scope.spawn(move || (0..200).flat_map(send).collect::<Vec<_>>())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut offsets: Vec<i64> =
            results.into_iter().map(|result| home.ok(result).offset().unwrap()).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (0..3000).collect::<Vec<_>>(), "{home}");
    }
}

/// The last handle goes while a batch is being retried: it is tried once more and told.
#[test]
fn t089_dropping_the_producer_or_closing_the_broker_tells_every_record() {
    for home in homes() {
        for drops in [true, false] {
            let broker = home.open();
            let topic = format!("t-{drops}");
            broker.create_topic(NewTopic::new(&topic)).unwrap();
            let producer = broker.producer().retry_backoff(LONG).build().unwrap();
            let faults = broker.testing().faults().on(OpKind::Produce).topic(&topic);
            let fault = faults.fail(ErrorCode::NotEnoughReplicas);
            let sent: Vec<_> =
                (0..5).map(|_| producer.send(ProducerRecord::to(&*topic).value("v"))).collect();
            eventually("it was tried", || fault.hits() > 0);
            let kept = producer.clone();
            let producer = if drops {
                drop((producer, kept));
                None
            } else {
                broker.clone().close().unwrap();
                Some((producer, kept))
            };
            for mut sent in sent {
                home.err(sent.try_get().expect("none vanishes"));
            }
            drop(producer);
            broker.close().unwrap();
        }
    }
}

#[test]
fn t095_dropping_a_delivery_does_not_cancel_the_record() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().linger(ms(20)).build().unwrap();
        drop(producer.send(value("dropped")));
        producer.send(value("forgotten")).forget();
        let mut polled = Box::pin(producer.send(value("polled")));
        let waiting = polled.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        // Without threads polling does what waiting does.
        assert_eq!(waiting.is_ready(), home.is_mock(), "{home}");
        drop(polled);
        drop(producer.send_batch([value("batch"), value("batch")]));
        let given_up = producer.send(value("given up")).wait_timeout(Duration::ZERO);
        home.fails(given_up, ErrorCode::RequestTimedOut);
        let kept = producer.send(value("kept"));
        assert_eq!(home.ok(kept.wait()).offset(), Some(6), "{home}");
        let wanted = ["dropped", "forgotten", "polled", "batch", "batch", "given up", "kept"];
        assert_eq!(values(&broker, "t", 0), wanted, "{home}");
        // Nor does letting go of the producer.
        drop(producer.send(value("last")));
        drop(producer);
        assert_eq!(values(&broker, "t", 0).len(), 8, "{home}");
    }
}
