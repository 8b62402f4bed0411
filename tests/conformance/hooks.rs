//! Code of the user's inside a producer: partitioners, interceptors, callbacks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::homes::*;
use logreel::producer::{Partitioner, ProducerInterceptor, TopicPartitions};
use logreel::testing::OpKind;
use logreel::{
    Acks, CleanupPolicy, ErrorCode, ErrorKind, NewTopic, ProducerRecord, RecordMetadata, Result,
};

/// Goes where the value says, if it is a number, and panics otherwise.
struct ByValue;

impl Partitioner for ByValue {
    fn partition(&self, record: &ProducerRecord<'_>, topic: &TopicPartitions<'_>) -> i32 {
        assert_eq!((topic.count(), topic.is_available(0), topic.is_available(3)), (3, true, false));
        text(record.value_bytes()).parse().expect("a partitioner that panics")
    }
}

#[test]
fn a_partitioner_that_panics_or_answers_nonsense_fails_that_record_only() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        let producer = broker.producer().partitioner(ByValue).linger(ms(5)).build().unwrap();
        let record = |text: &'static str| ProducerRecord::to("t").key("k").value(text);
        let texts = ["2", "x", "0", "3", "-1", "1", "2147483647", "2"];
        let each: Vec<_> = texts.iter().map(|text| producer.send(record(text))).collect();
        let each: Vec<_> = each.into_iter().map(|sent| sent.wait()).collect();
        let batch = producer.send_batch(texts.map(record)).results();
        for (text, sent) in texts.iter().cycle().zip(each.into_iter().chain(batch)) {
            match text.parse() {
                Ok(number @ 0..3) => assert_eq!(home.ok(sent).partition(), number, "{home}"),
                _ => assert_eq!(home.err(sent).kind(), ErrorKind::UserCode, "{home}: {text}"),
            }
        }
        assert_eq!(values(&broker, "t", 2), ["2", "2", "2", "2"], "{home}");
        // A partition that the record names is not asked for.
        let named = producer.send(record("x").partition(1));
        assert_eq!(home.ok(named.wait()).partition(), 1, "{home}");
        let tried = producer.try_send(record("x")).expect("told by the delivery");
        assert_eq!(home.err(tried.wait()).kind(), ErrorKind::UserCode, "{home}");
    }
}

/// Writes down what it sees.
struct Spy {
    name: &'static str,
    log: Arc<Mutex<Vec<String>>>,
}

impl ProducerInterceptor for Spy {
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        let seen = text(record.value_bytes());
        self.log.lock().unwrap().push(format!("{} sends {seen}", self.name));
        assert!(self.name != "panics", "an interceptor that panics");
        record.value(format!("{seen}{}", self.name))
    }

    fn on_acknowledgement(&self, result: &Result<RecordMetadata>) {
        let result = result.as_ref();
        let seen = result.map_or_else(
            |error| error.code().map_or(format!("{:?}", error.kind()), |code| code.to_string()),
            |placed| placed.offset().map_or("-".to_owned(), |offset| offset.to_string()),
        );
        self.log.lock().unwrap().push(format!("{} hears {seen}", self.name));
        assert!(self.name != "panics", "an interceptor that panics");
    }
}

#[test]
fn interceptors_see_and_replace_records_in_order_and_one_that_panics_is_passed_over() {
    for home in homes() {
        let broker = home.open();
        let log = Arc::new(Mutex::new(Vec::new()));
        let spy = |name| Spy { name, log: Arc::clone(&log) };
        let settings = broker.producer().interceptor(spy("A")).interceptor(spy("panics"));
        let producer = settings.interceptor(spy("B")).build().unwrap();
        let tell = Arc::clone(&log);
        producer.send(value("v")).on_complete(move |result| {
            let offset = result.unwrap().offset().unwrap();
            tell.lock().unwrap().push(format!("callback hears {offset}"));
        });
        home.ok(producer.flush(LONG));
        let heard = std::mem::take(&mut *log.lock().unwrap());
        let wanted = [
            "A sends v",
            "panics sends vA",
            "B sends vA",
            "A hears 0",
            "panics hears 0",
            "B hears 0",
            "callback hears 0",
        ];
        // The callback may have come too late to wait for its turn, but never before the others.
        assert_eq!(heard, wanted, "{home}");
        home.ok(producer.send_batch([value("w"), value("x")]).wait());
        home.ok(producer.flush(LONG));
        assert_eq!(values(&broker, "t", 0), ["vAB", "wAB", "xAB"], "{home}");
        let heard = std::mem::take(&mut *log.lock().unwrap());
        let hears = |name: &str, what: &[&str]| {
            let wanted: Vec<String> = what.iter().map(|what| format!("{name} {what}")).collect();
            let got: Vec<_> = heard.iter().filter(|line| line.starts_with(name)).cloned().collect();
            assert_eq!(got, wanted, "{home}");
        };
        hears("A", &["sends w", "sends x", "hears 1", "hears 2"]);
        hears("B", &["sends wA", "sends xA", "hears 1", "hears 2"]);
    }
}

#[test]
fn interceptors_hear_of_every_record_once_whatever_became_of_it() {
    for home in homes() {
        let broker = home.open();
        let compacted = NewTopic::new("c").cleanup_policy(CleanupPolicy::Compact);
        broker.create_topic(compacted).unwrap();
        for acks in [Acks::All, Acks::Leader, Acks::None] {
            let log = Arc::new(Mutex::new(Vec::new()));
            let spy = Spy { name: "A", log: Arc::clone(&log) };
            let settings = broker.producer().acks(acks).interceptor(spy).max_request_size(500);
            let producer = settings.build().unwrap();
            let clone = producer.clone();
            let refused = || [value("v").partition(9), value("x".repeat(500))];
            for record in refused() {
                home.err(producer.send(record).wait());
            }
            producer.send_batch(refused()).results();
            let late = producer.send(ProducerRecord::to("c").value("no key")).wait();
            assert_eq!(late.is_err(), acks != Acks::None, "{home}");
            home.ok(producer.send(value("v")).wait());
            home.ok(producer.send_batch([value("v"), value("v")]).wait());
            home.ok(producer.close(LONG));
            home.err(clone.send(value("late")).wait());
            let lines = log.lock().unwrap();
            let heard: Vec<&str> =
                lines.iter().filter_map(|line| line.strip_prefix("A hears ")).collect();
            assert_eq!(heard.len(), 9, "{home}: {acks:?}: {heard:?}");
            let early = ["UNKNOWN_TOPIC_OR_PARTITION", "MESSAGE_TOO_LARGE"];
            assert_eq!(heard[..4], [early, early].concat(), "{home}: {acks:?}");
            let known = |offset| if acks == Acks::None { "-" } else { offset };
            let no_key = if acks == Acks::None { "-" } else { "INVALID_RECORD" };
            assert_eq!(heard[4], no_key, "{home}: {acks:?}");
            if acks != Acks::Leader {
                let offsets = ["0", "1", "2"].map(known);
                assert_eq!(heard[5..8], offsets, "{home}: {acks:?}");
            }
            assert_eq!(heard[8], "Closed", "{home}: {acks:?}");
        }
    }
}

#[test]
fn callbacks_run_in_the_order_of_their_partition_also_across_retries_and_failures() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        let settings = broker.producer().batch_size(100).retry_backoff(ms(2));
        let producer = settings.linger(ms(1)).build().unwrap();
        let faults = broker.testing().faults().clone();
        faults.on(OpKind::Produce).partition(1).times(4).fail(ErrorCode::RequestTimedOut);
        let called = Arc::new(Mutex::new(vec![Vec::new(); 3]));
        for i in 0..300 {
            if i == 150 {
                faults.on(OpKind::Produce).partition(0).times(1).fail(ErrorCode::InvalidRecord);
            }
            let called = Arc::clone(&called);
            let sent = producer.send(value(format!("{i}")).partition(i % 3));
            sent.on_complete(move |_| called.lock().unwrap()[(i % 3) as usize].push(i));
        }
        home.ok(producer.flush(LONG));
        for (number, called) in (0..).zip(called.lock().unwrap().iter()) {
            let wanted: Vec<i32> = (0..300).filter(|i| i % 3 == number).collect();
            assert_eq!(*called, wanted, "{home}: partition {number}");
        }
    }
}

#[test]
fn a_callback_may_send_wait_flush_and_panic() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        // Long enough for the callback to be there before the record is delivered.
        let linger = if home.is_mock() { ms(0) } else { ms(100) };
        let producer = broker.producer().linger(linger).build().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let (tell, inside) = (Arc::clone(&told), producer.clone());
        producer.send(value("outer")).on_complete(move |_| {
            // The same partition, another one, and a batch; each is waited for.
            let waited = [value("same"), value("other").partition(1)]
                .map(|record| inside.send(record).wait().unwrap().offset());
            let batch = inside.send_batch([value("b"), value("b")]).wait().unwrap();
            // Its own callbacks cannot run before it returns, and a flush does not wait for them.
            let later = Arc::clone(&tell);
            let sent = inside.send(value("callback"));
            sent.on_complete(move |_| later.lock().unwrap().push("inner"));
            inside.flush(LONG / 6).unwrap();
            assert_eq!((waited, batch.get(1).unwrap().offset()), ([Some(1), Some(0)], Some(3)));
            tell.lock().unwrap().push("outer");
            panic!("a callback that panics hurts nobody else");
        });
        // Where the record was delivered before it got its callback, as always on a mock clock,
        // that ran by itself, just now, and not in the partition's turn.
        let by_itself = told.lock().unwrap().contains(&"outer");
        let (flushed, took) = home.timed(|| producer.flush(LONG));
        home.ok(flushed);
        assert!(took < LONG / 6, "{home}: {took:?}");
        eventually("the inner callback", || told.lock().unwrap().len() == 2);
        let mut order = told.lock().unwrap().clone();
        order.sort_unstable_by_key(|name| by_itself && *name == "inner");
        assert_eq!(order, ["outer", "inner"], "{home}");
        let wanted = ["outer", "same", "b", "b", "callback"];
        assert_eq!(values(&broker, "t", 0), wanted, "{home}");
        home.ok(producer.send(value("next")).wait());
        home.ok(producer.close(LONG));
    }
}

/// A flush outside waits for callbacks that another thread is in the middle of.
#[test]
fn flush_and_close_return_after_callbacks() {
    for home in homes() {
        for closes in [false, true] {
            let broker = home.open();
            let producer = broker.producer().linger(ms(1)).build().unwrap();
            let called = Arc::new(AtomicUsize::new(0));
            for i in 0..40 {
                let count = Arc::clone(&called);
                producer.send(value("v")).on_complete(move |_| {
                    if i % 10 == 0 {
                        std::thread::sleep(Duration::from_millis(3));
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                });
                if i == 20 {
                    home.pass(ms(2));
                }
            }
            home.ok(if closes { producer.close(LONG) } else { producer.flush(LONG) });
            assert_eq!(called.load(Ordering::SeqCst), 40, "{home}: close: {closes}");
        }
    }
}

#[test]
fn a_callback_that_comes_late_is_called_at_once() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        let sent = producer.send(value("v"));
        home.ok(producer.flush(LONG));
        let called = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&called);
        sent.on_complete(move |result| {
            assert_eq!(result.unwrap().offset(), Some(0));
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(called.load(Ordering::SeqCst), 1, "{home}");
        let count = Arc::clone(&called);
        producer.send(value("v").partition(5)).on_complete(move |result| {
            assert!(result.is_err());
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(called.load(Ordering::SeqCst), 2, "{home}: what is refused at once");
    }
}
