//! `buffer.memory`, and what happens where it is full.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::homes::*;
use logreel::producer::{ProducerBuilder, ProducerInterceptor};
use logreel::testing::{FaultHandle, OpKind};
use logreel::{Broker, Delivery, ErrorCode, ErrorKind, Producer, ProducerRecord, TrySendError};

/// Room for four batches; nothing can be written until the fault is removed.
fn full(broker: &Broker, settings: ProducerBuilder) -> (Producer, FaultHandle, Vec<Delivery>) {
    broker.create_topic("t").unwrap();
    let settings = settings.retry_backoff(ms(5)).retry_backoff_max(ms(5));
    let producer = settings.batch_size(1000).buffer_memory(4000).build().unwrap();
    assert_eq!(producer.buffer_available(), 4000);
    let faults = broker.testing().faults().on(OpKind::Produce);
    let fault = faults.fail(ErrorCode::NotEnoughReplicas);
    let sent = (0..4).map(|i| producer.send(value(large(i)))).collect();
    assert_eq!(producer.buffer_available(), 0);
    (producer, fault, sent)
}

/// Two do not fit into one batch.
fn large(i: usize) -> String {
    format!("{i:0700}")
}

#[test]
fn t090_send_waits_for_memory_up_to_max_block_and_then_fails() {
    for home in homes() {
        let broker = home.open();
        let (producer, fault, sent) = full(&broker, broker.producer().max_block(ms(80)));
        let (refused, took) = home.timed(|| producer.send(value(large(9))));
        home.assert_took(took, ms(80));
        let error = home.err(refused.wait());
        assert_eq!(error.kind(), ErrorKind::QueueFull, "{home}: {error}");
        assert!(error.is_retriable() && error.to_string().contains("buffer.memory"), "{error}");
        let (batch, took) = home.timed(|| producer.send_batch([value("a"), value("b")]));
        home.assert_took(took, ms(80));
        for result in batch.results() {
            assert_eq!(home.err(result).kind(), ErrorKind::QueueFull, "{home}");
        }
        fault.remove();
        producer.flush(LONG).unwrap();
        eventually("all of it comes back", || producer.buffer_available() == 4000);
        for (offset, sent) in (0..).zip(sent) {
            assert_eq!(home.ok(sent.wait()).offset(), Some(offset), "{home}");
        }
        home.ok(producer.send(value(large(4))).wait());
        let wanted: Vec<String> = (0..5).map(large).collect();
        assert_eq!(values(&broker, "t", 0), wanted, "{home}: what was refused is not there");
    }
}

#[test]
fn t090_send_goes_on_when_memory_comes_free() {
    for home in homes().into_iter().filter(|home| !home.is_mock()) {
        let broker = home.open();
        let (producer, fault, sent) = full(&broker, broker.producer());
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (4..8)
                .map(|i| {
                    let producer = &producer;
                    scope.spawn(move || producer.send(value(large(i))).wait())
                })
                .collect();
            std::thread::sleep(ms(30));
            assert!(waiting.iter().all(|thread| !thread.is_finished()), "{home}: they wait");
            fault.remove();
            for thread in waiting {
                home.ok(thread.join().unwrap());
            }
        });
        for (offset, sent) in (0..).zip(sent) {
            assert_eq!(home.ok(sent.wait()).offset(), Some(offset), "{home}");
        }
        assert_eq!(values(&broker, "t", 0).len(), 8, "{home}");
    }
}

/// Memory that only lingering batches hold is freed by whoever needs it.
#[test]
fn t090_a_full_buffer_does_not_wait_for_linger() {
    for home in homes() {
        let broker = home.open();
        let settings = broker.producer().linger(LONG).batch_size(1000).buffer_memory(2000);
        let producer = settings.max_block(ms(500)).build().unwrap();
        let names: Vec<String> = (0..50).map(large).collect();
        let (sent, took) =
            home.timed(|| names.iter().map(|name| producer.send(value(name))).collect::<Vec<_>>());
        assert!(took < Duration::from_secs(20), "{home}: {took:?}");
        producer.flush(LONG).unwrap();
        for sent in sent {
            home.ok(sent.wait());
        }
        assert_eq!(values(&broker, "t", 0), names, "{home}");
    }
}

#[test]
fn t090_try_send_gives_the_record_back() {
    for home in homes() {
        let broker = home.open();
        let (producer, fault, _) = full(&broker, broker.producer());
        let given = home.now() - 5;
        let record = ProducerRecord::to("t")
            .partition(0)
            .key("the key")
            .value(large(4))
            .header("h", "1")
            .null_header("n")
            .timestamp(given);
        let (refused, took) = home.timed(|| producer.try_send(record).unwrap_err());
        assert!(took < if home.is_mock() { ms(1) } else { LONG / 10 }, "{home}: {took:?}");
        let TrySendError { record, error, .. } = refused;
        assert_eq!(error.kind(), ErrorKind::QueueFull, "{home}: {error}");
        assert_eq!((record.topic(), record.chosen_partition()), ("t", Some(0)), "{home}");
        assert_eq!(record.key_bytes(), Some(&b"the key"[..]), "{home}");
        assert_eq!(record.value_bytes(), Some(large(4).as_bytes()), "{home}");
        assert_eq!(record.given_timestamp(), Some(given), "{home}");
        let headers: Vec<_> = record.headers().iter().map(|h| (h.key(), h.value())).collect();
        assert_eq!(headers, [("h", Some(&b"1"[..])), ("n", None)], "{home}");
        fault.remove();
        producer.flush(LONG).unwrap();
        let placed = home.ok(producer.try_send(record).unwrap().wait());
        assert_eq!((placed.offset(), placed.timestamp()), (Some(4), given), "{home}");
        let last = read(&broker, "t", 0).pop().unwrap();
        assert_eq!(last.key.as_deref(), Some(&b"the key"[..]), "{home}");
        assert_eq!(last.headers.len(), 2, "{home}");
    }
}

#[derive(Default)]
struct Marks(Mutex<Vec<bool>>);

impl ProducerInterceptor for Marks {
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        record.header("seen", "1")
    }
    fn on_acknowledgement(&self, result: &logreel::Result<logreel::RecordMetadata>) {
        self.0.lock().unwrap().push(result.is_ok());
    }
}

/// What comes back is what was given, not what the interceptors made of it.
#[test]
fn t090_try_send_gives_back_the_record_as_it_was_before_interceptors() {
    for home in homes() {
        let broker = home.open();
        let marks = Arc::new(Marks::default());
        let settings = broker.producer().interceptor(Arc::clone(&marks));
        let (producer, fault, _) = full(&broker, settings);
        let refused = producer.try_send(value(large(4))).unwrap_err();
        assert!(refused.record.headers().is_empty(), "{home}");
        assert_eq!(marks.0.lock().unwrap().len(), 0, "{home}: it is not done with");
        fault.remove();
        producer.flush(LONG).unwrap();
        home.ok(producer.try_send(refused.record).unwrap().wait());
        producer.flush(LONG).unwrap();
        assert_eq!(*marks.0.lock().unwrap(), [true; 5], "{home}");
        assert_eq!(read(&broker, "t", 0)[4].headers.len(), 1, "{home}: seen once");
    }
}

#[test]
fn t090_a_record_over_the_whole_buffer_is_too_large() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().buffer_memory(1000).build().unwrap();
        let (sent, took) = home.timed(|| producer.send(value("x".repeat(1000))));
        home.fails(sent.wait(), ErrorCode::MessageTooLarge);
        assert!(took < LONG / 10, "{home}: nothing is waited for");
        let halves = [value("x".repeat(600)), value("x".repeat(600))];
        home.fails(producer.send_batch(halves).wait(), ErrorCode::MessageTooLarge);
        // The buffer is smaller than batch.size, and still serves.
        for offset in 0..20 {
            let sent = producer.send(value("x".repeat(700)));
            assert_eq!(home.ok(sent.wait()).offset(), Some(offset), "{home}");
        }
        // By whoever has run the batch, after it was delivered.
        eventually("all of it comes back", || producer.buffer_available() == 1000);
    }
}
