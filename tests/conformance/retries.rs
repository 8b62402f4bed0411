//! What fails and is tried again.

use std::time::Duration;

use crate::homes::*;
use logreel::testing::{FaultBuilder, OpKind};
use logreel::{Broker, Delivery, ErrorCode, NewTopic, ProducerRecord};

fn on_produce(broker: &Broker) -> FaultBuilder {
    broker.testing().faults().on(OpKind::Produce)
}

#[test]
fn t091_a_retriable_error_is_retried_and_stays_invisible() {
    for home in homes() {
        for code in [
            ErrorCode::RequestTimedOut,
            ErrorCode::NotEnoughReplicas,
            ErrorCode::KafkaStorageError,
            ErrorCode::UnknownTopicOrPartition,
        ] {
            let broker = home.open();
            let topic = format!("t-{}", code.number());
            let settings = broker.producer().retry_backoff(ms(4));
            let producer = settings.build().unwrap();
            let fault = on_produce(&broker).times(3).fail(code);
            let record = || ProducerRecord::to(&*topic).value("v");
            let (sent, took) = home.timed(|| producer.send(record()).wait());
            assert_eq!(home.ok(sent).offset(), Some(0), "{home}: {code}");
            assert_eq!(fault.hits(), 3, "{home}: {code}");
            // 4, 8 and 16 ms, each a fifth less at least.
            assert!(took >= ms(20), "{home}: {took:?}");
            assert!(!home.is_mock() || took <= ms(34), "{home}: {took:?}");
            assert_eq!(home.ok(producer.send(record()).wait()).offset(), Some(1), "{home}");
            assert_eq!(batch_sizes(&broker, &topic, 0), [1, 1], "{home}: {code}");
            producer.close(LONG).unwrap();
            broker.close().unwrap();
        }
    }
}

#[test]
fn t091_waits_between_retries_double_up_to_their_limit() {
    for home in homes().into_iter().filter(Home::is_mock) {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        on_produce(&broker).times(7).fail(ErrorCode::RequestTimedOut);
        let (sent, took) = home.timed(|| producer.send(value("v")).wait());
        home.ok(sent);
        // 100, 200, 400, 800 and three times a second, a fifth more or less, but 1000 is the most.
        let fifths = |part: u64| ms((1500 + 3000) * part / 5);
        assert!((fifths(4)..=fifths(6)).contains(&took), "{home}: {took:?}");
    }
}

#[test]
fn t091_a_fatal_error_is_delivered_at_once() {
    for home in homes() {
        let broker = home.open();
        for code in [ErrorCode::InvalidRecord, ErrorCode::InvalidTimestamp] {
            let producer = broker.producer().retry_backoff(LONG).build().unwrap();
            home.ok(producer.send(value("first")).wait());
            let end = partition(&broker, "t", 0);
            let fault = on_produce(&broker).times(5).fail(code);
            let (sent, took) = home.timed(|| producer.send(value("v")).wait());
            home.fails(sent, code);
            assert_eq!(fault.hits(), 1, "{home}: {code}");
            assert!(took < if home.is_mock() { ms(1) } else { LONG / 10 }, "{home}: {took:?}");
            fault.remove();
            let next = home.ok(producer.send(value("next")).wait());
            assert_eq!(next.offset(), Some(end.log_end_offset() - 1), "{home}: it goes on");
        }
    }
}

#[test]
fn t091_the_delivery_timeout_ends_retries() {
    for home in homes() {
        let broker = home.open();
        for lost in [false, true] {
            let settings = broker.producer().retry_backoff(ms(10)).retry_backoff_max(ms(20));
            let producer = settings.delivery_timeout(ms(120)).build().unwrap();
            let before = home.ok(producer.send(value("v")).wait()).offset().unwrap() + 1;
            let faults = on_produce(&broker);
            let code = ErrorCode::NotEnoughReplicas;
            let fault = if lost { faults.apply_then_fail(code) } else { faults.fail(code) };
            let (sent, took) = home.timed(|| producer.send(value("v")).wait());
            let error = home.err(sent);
            assert_eq!(error.code(), Some(ErrorCode::RequestTimedOut), "{home}: {error}");
            let cause = std::error::Error::source(&error).expect("it says why").to_string();
            assert!(cause.contains("fault"), "{home}: {cause}");
            home.assert_took(took, ms(120));
            assert!(fault.hits() >= 3, "{home}: {} tries", fault.hits());
            fault.remove();
            // What was lost and given up may stand in the log, once; what comes next is not it.
            let next = home.ok(producer.send(value("next")).wait());
            let end = before + i64::from(lost);
            assert_eq!(next.offset(), Some(end), "{home}: lost answers: {lost}");
            producer.close(LONG).unwrap();
        }
    }
}

/// The log has lost count of the producer: it begins anew, with a wait like any other, and does not
/// try for ever.
#[test]
fn t091_a_wrong_sequence_is_retried_under_a_new_epoch_until_the_delivery_timeout() {
    for home in homes() {
        let broker = home.open();
        let settings = broker.producer().retry_backoff(ms(2)).batch_size(0);
        let producer = settings.delivery_timeout(ms(150)).linger(ms(1)).build().unwrap();
        let code = ErrorCode::OutOfOrderSequenceNumber;
        home.ok(producer.send(value("a")).wait());
        let fault = on_produce(&broker).times(3).fail(code);
        let sent = [producer.send(value("b")), producer.send(value("c"))];
        let offsets = sent.map(|sent| home.ok(sent.wait()).offset());
        assert_eq!((offsets, fault.hits()), ([Some(1), Some(2)], 3), "{home}");
        let fault = on_produce(&broker).fail(code);
        let (sent, took) = home.timed(|| producer.send(value("d")).wait());
        home.fails(sent, ErrorCode::RequestTimedOut);
        home.assert_took(took, ms(150));
        assert!((2..100).contains(&fault.hits()), "{home}: {} tries", fault.hits());
        fault.remove();
        home.ok(producer.send(value("e")).wait());
        // Without idempotence there is no count to lose: it is an error like any other.
        let plain = broker.producer().enable_idempotence(false).build().unwrap();
        on_produce(&broker).times(1).fail(code);
        home.fails(plain.send(value("f")).wait(), code);
        assert_eq!(values(&broker, "t", 0), ["a", "b", "c", "e"], "{home}");
    }
}

#[test]
fn t091_what_lingers_too_long_for_its_delivery_timeout_fails_although_nobody_looks() {
    for home in homes() {
        let broker = home.open();
        let settings = broker.producer().retry_backoff(ms(10)).delivery_timeout(ms(60));
        let producer = settings.linger(ms(20)).build().unwrap();
        let fault = on_produce(&broker).fail(ErrorCode::RequestTimedOut);
        let mut sent = producer.send(value("v"));
        assert!(sent.try_get().is_none(), "{home}");
        home.pass(ms(60));
        let mut outcome = None;
        eventually("the sender thread gives it up", || {
            outcome = sent.try_get();
            outcome.is_some()
        });
        home.fails(outcome.unwrap(), ErrorCode::RequestTimedOut);
        assert!(fault.hits() > 0, "{home}: it was tried");
    }
}

#[test]
fn t091_retries_that_are_used_up_end_with_the_error_itself() {
    for home in homes() {
        let broker = home.open();
        for (retries, idempotent) in [(0, false), (2, true), (2, false)] {
            let settings = broker.producer().retries(retries).retry_backoff(ms(1));
            let producer = settings.enable_idempotence(idempotent).build().unwrap();
            let fault = on_produce(&broker).fail(ErrorCode::NotEnoughReplicas);
            home.fails(producer.send(value("v")).wait(), ErrorCode::NotEnoughReplicas);
            assert_eq!(fault.hits(), u64::from(retries) + 1, "{home}");
            fault.remove();
            home.ok(producer.send(value("next")).wait());
        }
        assert_eq!(values(&broker, "t", 0), ["next"; 3], "{home}");
    }
}

#[test]
fn t092_a_retry_after_a_lost_answer_writes_once_with_idempotence_twice_without() {
    for home in homes() {
        for (lost, wanted) in [(1, 2), (3, 4)] {
            for idempotent in [true, false] {
                let broker = home.open();
                let topic = format!("t-{lost}-{idempotent}");
                // Both are in one batch, however long it takes to send them.
                let settings = broker.producer().retry_backoff(ms(1)).linger(LONG);
                let producer = settings.enable_idempotence(idempotent).build().unwrap();
                let code = ErrorCode::RequestTimedOut;
                let fault = on_produce(&broker).topic(&topic).times(lost).apply_then_fail(code);
                let record = |text: &'static str| ProducerRecord::to(topic.clone()).value(text);
                let sent = [producer.send(record("a")), producer.send(record("b"))];
                producer.flush(LONG).unwrap();
                let offsets = sent.map(|sent| home.ok(sent.wait()).offset());
                assert_eq!(fault.hits(), lost, "{home}");
                let after = producer.send(record("c"));
                producer.flush(LONG).unwrap();
                let after = home.ok(after.wait()).offset();
                let all = values(&broker, &topic, 0);
                if idempotent {
                    assert_eq!(offsets, [Some(0), Some(1)], "{home}: those of the first try");
                    assert_eq!(after, Some(2), "{home}");
                    assert_eq!(all, ["a", "b", "c"], "{home}");
                } else {
                    // Each try is in the log; the delivery tells of the last.
                    assert_eq!(all.len(), wanted * 2 + 1, "{home}: {all:?}");
                    assert!(all[..wanted * 2].chunks(2).all(|pair| pair == ["a", "b"]), "{home}");
                    let last = (wanted as i64 - 1) * 2;
                    assert_eq!(offsets, [Some(last), Some(last + 1)], "{home}");
                }
                producer.close(LONG).unwrap();
                broker.close().unwrap();
            }
        }
    }
}

/// The log remembers five batches of a producer. Here a lost answer is always that of the last.
#[test]
fn t092_every_batch_of_many_may_lose_its_answer() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().retry_backoff(ms(1)).batch_size(0).build().unwrap();
        let names = numbered("v", 14);
        let mut lost = Vec::new();
        for (offset, name) in (0..).zip(&names) {
            let fault = on_produce(&broker).times(1);
            lost.push(fault.apply_then_fail(ErrorCode::RequestTimedOut));
            let sent = home.ok(producer.send(value(name)).wait());
            assert_eq!(sent.offset(), Some(offset), "{home}");
        }
        assert!(lost.iter().all(|fault| fault.hits() == 1), "{home}");
        assert_eq!(values(&broker, "t", 0), names, "{home}");
        // Several producers at once do not mistake each other's.
        let others: Vec<_> =
            (0..7).map(|_| broker.producer().retry_backoff(ms(1)).build().unwrap()).collect();
        for round in 0..3 {
            for (number, other) in others.iter().enumerate() {
                on_produce(&broker).times(1).apply_then_fail(ErrorCode::RequestTimedOut);
                let sent = home.ok(other.send(value(format!("{number}"))).wait());
                assert_eq!(sent.offset(), Some(14 + round * 7 + number as i64), "{home}");
            }
        }
    }
}

#[test]
fn t093_order_holds_across_retries() {
    for home in homes() {
        for lost in [false, true] {
            for idempotent in [true, false] {
                let broker = home.open();
                let topic = format!("t-{lost}-{idempotent}");
                broker.create_topic(NewTopic::new(&topic)).unwrap();
                let settings = broker.producer().retry_backoff(ms(2)).batch_size(0);
                let settings = settings.enable_idempotence(idempotent);
                let producer = settings.linger(ms(5)).build().unwrap();
                let code = ErrorCode::RequestTimedOut;
                let faults = on_produce(&broker).topic(&topic).times(5);
                let fault = if lost { faults.apply_then_fail(code) } else { faults.fail(code) };
                let names = numbered("v", 100);
                // Many batches stand behind the one that fails.
                let sent: Vec<_> = names
                    .iter()
                    .map(|name| producer.send(ProducerRecord::to(&*topic).value(name)))
                    .collect();
                producer.flush(LONG).unwrap();
                assert_eq!(fault.hits(), 5, "{home}");
                let sent: Vec<_> =
                    sent.into_iter().map(|sent| home.ok(sent.wait()).offset().unwrap()).collect();
                assert!(sent.is_sorted(), "{home}: {sent:?}");
                let mut all = values(&broker, &topic, 0);
                if lost && !idempotent {
                    assert_eq!(all.len(), 105, "{home}: every try that was lost is there");
                    all.dedup();
                }
                assert_eq!(all, names, "{home}: lost answers {lost}, idempotent {idempotent}");
                producer.close(LONG).unwrap();
                broker.close().unwrap();
            }
        }
    }
}

/// The batch in front is given up while others wait behind it: what follows is renumbered, and
/// nothing is taken for the one that may have been written.
#[test]
fn t093_order_holds_when_a_batch_in_between_fails_for_good() {
    for home in homes() {
        for lost in [false, true] {
            let broker = home.open();
            let topic = format!("t-{lost}");
            broker.create_topic(NewTopic::new(&topic)).unwrap();
            let settings = broker.producer().retry_backoff(ms(1)).batch_size(0);
            let producer = settings.linger(LONG).build().unwrap();
            let names = numbered("v", 30);
            let send = |names: &[String]| -> Vec<Delivery> {
                let record = |name: &String| ProducerRecord::to(topic.clone()).value(name.clone());
                let sent = names.iter().map(|name| producer.send(record(name))).collect();
                producer.flush(LONG).unwrap();
                sent
            };
            let mut sent = send(&names[..10]);
            if lost {
                on_produce(&broker).times(1).apply_then_fail(ErrorCode::RequestTimedOut);
            }
            let fatal = on_produce(&broker).times(1).fail(ErrorCode::InvalidRecord);
            sent.extend(send(&names[10..]));
            assert_eq!(fatal.hits(), 1, "{home}");
            for (i, sent) in sent.into_iter().enumerate() {
                match i {
                    10 => home.fails(sent.wait(), ErrorCode::InvalidRecord),
                    _ => drop(home.ok(sent.wait())),
                }
            }
            let mut wanted = names.clone();
            if !lost {
                wanted.remove(10);
            }
            assert_eq!(values(&broker, &topic, 0), wanted, "{home}: lost answer {lost}");
            producer.close(LONG).unwrap();
            broker.close().unwrap();
        }
    }
}

/// A partition that fails does not hold up another one.
#[test]
fn t093_other_partitions_are_written_meanwhile() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        let producer = broker.producer().retry_backoff(ms(5)).build().unwrap();
        let fault = on_produce(&broker).partition(0).fail(ErrorCode::RequestTimedOut);
        let stuck: Vec<_> = numbered("s", 5).into_iter().map(|s| producer.send(value(s))).collect();
        for offset in 0..5 {
            let sent = producer.send(value("v").partition(1)).wait_timeout(Duration::from_secs(5));
            assert_eq!(home.ok(sent).offset(), Some(offset), "{home}");
        }
        assert_eq!(partition(&broker, "t", 0).log_end_offset(), 0, "{home}");
        fault.remove();
        producer.flush(LONG).unwrap();
        for (offset, sent) in (0..).zip(stuck) {
            assert_eq!(home.ok(sent.wait()).offset(), Some(offset), "{home}");
        }
        assert_eq!(values(&broker, "t", 0), numbered("s", 5), "{home}");
    }
}
