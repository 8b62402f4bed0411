//! What cannot be written or read: who is told, of what, and what moves.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{SECOND, reader};
use logreel::producer::ProducerInterceptor;
use logreel::typed::{Integer, SerdeError, Serializer, Utf8};
use logreel::{
    Broker, ErrorKind, IsolationLevel, NewTopic, OffsetReset, Offsets, ProducerRecord, Result,
    Typed,
};

const AGES: Typed<Utf8, Integer> = Typed { key: Utf8, value: Integer };

/// Takes numbers that are even.
#[derive(Clone)]
struct Even;

#[derive(Debug, PartialEq)]
struct Odd(i32);

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the number is odd")
    }
}

impl std::error::Error for Odd {}

impl Serializer<i32> for Even {
    fn serialize<'a>(&self, topic: &str, value: &'a i32) -> Result<Cow<'a, [u8]>, SerdeError> {
        assert_eq!(topic, "t");
        if value % 2 == 0 { Integer.serialize(topic, value) } else { Err(Odd(*value).into()) }
    }
}

#[derive(Clone, Default)]
struct Refusals(Arc<AtomicUsize>);

impl ProducerInterceptor for Refusals {
    fn on_acknowledgement(&self, result: &Result<logreel::RecordMetadata>) {
        self.0.fetch_add(usize::from(result.is_err()), Ordering::SeqCst);
    }
}

#[test]
fn what_cannot_be_serialized_is_told_by_its_delivery_and_not_sent() {
    let broker = Broker::in_memory();
    let refusals = Refusals::default();
    let producer = broker.producer().interceptor(refusals.clone()).build().unwrap();
    let numbers = producer.typed("t", Even, Even);
    assert!(numbers.send(&2, &4).wait().is_ok());
    for (what, delivery) in [
        ("key", numbers.send(&1, &4)),
        ("value", numbers.send(&2, &3)),
        ("key", numbers.delete(&1)),
        ("value", numbers.send_value(&3)),
    ] {
        let error = delivery.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Serialization);
        assert_eq!((error.code(), error.is_retriable()), (None, false));
        let message =
            format!("the {what} of a record for topic t cannot be serialized: the number is odd");
        assert_eq!(error.to_string(), message);
        let source = std::error::Error::source(&error).unwrap().downcast_ref::<Odd>().unwrap();
        assert!(source.0 == 1 || source.0 == 3);
    }
    assert_eq!(refusals.0.load(Ordering::SeqCst), 4, "interceptors hear of them");
    assert_eq!(broker.topic("t").unwrap().partition(0).unwrap().high_watermark(), 1);
    assert!(numbers.record(Some(&2), Some(&1)).is_err());
    // Those who call back are called, too.
    let (told, hear) = std::sync::mpsc::channel();
    numbers.send(&2, &1).on_complete(move |result| told.send(result.is_err()).unwrap());
    assert_eq!(hear.recv(), Ok(true));
}

/// The transaction is dropped with the error, and so aborted.
#[test]
fn a_transaction_that_cannot_make_its_record_leaves_nothing() {
    let broker = Broker::in_memory();
    let mut producer = broker.producer().build_transactional("p").unwrap();
    let numbers = Typed { key: Even, value: Even };
    let mut write = |values: [i32; 2]| {
        let transaction = producer.begin()?;
        for value in values {
            transaction.send(numbers.record("t", Some(&0), Some(&value))?).forget();
        }
        transaction.commit()
    };
    assert_eq!(write([4, 5]).unwrap_err().kind(), ErrorKind::Serialization);
    write([6, 8]).unwrap();
    let settings = broker.consumer().isolation_level(IsolationLevel::ReadCommitted);
    let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let types = Typed { key: Integer, value: Integer };
    let records = consumer.read_to_end().unwrap();
    let read: Vec<_> = records.iter().map(|record| types.read(record).unwrap().1).collect();
    assert_eq!(read, [Some(6), Some(8)]);
}

fn three_ages(broker: &Broker, bad: &[u8]) {
    broker.create_topic(NewTopic::new("ages").partitions(3)).unwrap();
    let producer = broker.producer().build().unwrap();
    let ages = producer.typed("ages", Utf8, Integer);
    let send = |record: ProducerRecord<'_>| producer.send(record.partition(2)).wait().unwrap();
    send(ages.record(Some("ann"), Some(&41)).unwrap());
    send(ProducerRecord::to("ages").key("bob").value(bad));
    send(ages.record(Some("eve"), Some(&43)).unwrap());
}

#[test]
fn what_cannot_be_deserialized_is_named() {
    let broker = Broker::in_memory();
    three_ages(&broker, b"secret");
    let consumer = reader(&broker, "ages");
    consumer.assign([("ages", 2)]).unwrap();
    let records = consumer.poll(SECOND).unwrap();
    let owned = records.to_vec();
    let bad = records.iter().nth(1).unwrap();
    let by_reference = &bad;
    for error in [AGES.read(bad), AGES.read(by_reference), AGES.read(&owned[1])] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Serialization);
        assert_eq!(error.topic_partition(), Some(&("ages", 2).into()));
        assert_eq!(error.offset(), Some(1));
        assert_eq!(
            error.to_string(),
            "the value at offset 1 cannot be deserialized [ages-2]: \
             Integer takes 4 bytes, there are 6"
        );
        assert!(std::error::Error::source(&error).is_some());
    }
    let swapped = Typed { key: Integer, value: Utf8 };
    let error = swapped.read(bad).unwrap_err();
    assert!(error.to_string().starts_with("the key at offset 1 "), "{error}");
}

/// Kafka's consumer fails the poll and stays in front of the record. Here the caller says.
#[test]
fn a_record_that_cannot_be_read_moves_no_position() {
    let broker = Broker::in_memory();
    three_ages(&broker, b"bad");
    let join = || {
        let settings = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
        let consumer = settings.enable_auto_commit(false).build().unwrap();
        consumer.assign([("ages", 2)]).unwrap();
        consumer
    };
    let place = ("ages", 2).into();

    // Stop: commit what was read, and be in front of it the next time.
    let consumer = join();
    let records = consumer.poll(SECOND).unwrap();
    let before = consumer.position(&place).unwrap();
    assert_eq!((records.len(), before), (3, 3));
    let mut done = Offsets::new();
    let error = records
        .iter()
        .try_for_each(|record| {
            AGES.read(record)?;
            done.set(record.topic_partition(), record.offset() + 1);
            Ok::<_, logreel::Error>(())
        })
        .unwrap_err();
    assert_eq!((error.offset(), consumer.position(&place).unwrap()), (Some(1), before));
    consumer.commit_offsets(&done).unwrap();
    drop(consumer);

    // Skip: the next one begins with it, fails again, and reads what is behind it.
    let consumer = join();
    let records = consumer.poll(SECOND).unwrap();
    let read: Vec<_> = records.iter().map(|record| AGES.read(record).ok()).collect();
    assert_eq!(read, [None, Some((Some("eve"), Some(43)))]);
    assert_eq!(consumer.position(&place).unwrap(), 3);

    // Retry: it can be sought, and is still what it was.
    consumer.seek(("ages", 2), error.offset().unwrap()).unwrap();
    let again = consumer.poll(SECOND).unwrap();
    assert!(AGES.read(again.iter().next().unwrap()).is_err());
}
