//! Readers beside writers.

use std::time::Duration;

use logreel::{Broker, Consumer, ErrorKind, OffsetReset};
use shuttle::thread;

pub(crate) fn reader(broker: &Broker) -> Consumer {
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

/// Two records of one batch are there together or not at all, and readers that wait without an end
/// are woken for every batch.
pub(crate) fn publish_and_read() {
    let broker = Broker::builder().seed(1).topic("t").open().unwrap();
    let readers = [1, 2].map(|_| {
        let consumer = reader(&broker);
        thread::spawn(move || {
            let mut seen = Vec::new();
            while seen.len() < 4 {
                let records = consumer.poll(Duration::MAX).unwrap();
                assert!(!records.is_empty(), "nothing, before the end of time");
                assert_eq!(records.len() % 2, 0, "half a batch");
                seen.extend(records.iter().map(|record| record.offset()));
            }
            assert_eq!(seen, [0, 1, 2, 3]);
        })
    });
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    for _ in 0..2 {
        log.append([(None, Some("x")), (None, Some("y"))]).unwrap();
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

/// Whoever waits in a poll is woken by the wake-up that was meant for it, not by records alone.
pub(crate) fn wakeups() {
    let broker = Broker::builder().seed(1).topic("t").open().unwrap();
    let consumer = reader(&broker);
    let wakeup = consumer.wakeup_handle();
    let waker = thread::spawn(move || wakeup.wakeup());
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    let writer = thread::spawn(move || log.append([(None, Some("x"))]).unwrap());
    let (mut woken, mut read) = (0, 0);
    while woken == 0 || read == 0 {
        match consumer.poll(Duration::MAX) {
            Ok(records) => read += records.len(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Wakeup, "{error}");
                woken += 1;
            }
        }
    }
    assert_eq!((woken, read), (1, 1));
    waker.join().unwrap();
    writer.join().unwrap();
}

/// A consumer waits for a partition whose topic is made, written, deleted and made anew beside it.
pub(crate) fn topics_that_come() {
    let broker = Broker::builder().seed(1).auto_create_topics(false).open().unwrap();
    let consumer = reader(&broker);
    let polls = thread::spawn(move || {
        let records = consumer.poll(Duration::MAX).unwrap();
        assert_eq!(records.len(), 1);
    });
    let write = |value: &str| {
        let log = broker.create_topic("t").unwrap().partition(0).unwrap();
        log.append([(None, Some(value))]).unwrap();
    };
    write("x");
    broker.delete_topic("t").unwrap();
    write("y");
    polls.join().unwrap();
}
