//! Producers beside each other.

use std::time::Duration;

use logreel::{Acks, Broker, ProducerRecord};
use shuttle::{future, thread};

fn values(broker: &Broker) -> Vec<String> {
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    let (mut found, mut from) = (Vec::new(), 0);
    while from < log.log_end_offset() {
        for record in log.read(from, 1 << 20).unwrap().iter() {
            found.push(String::from_utf8(record.value().unwrap().to_vec()).unwrap());
            from = record.offset() + 1;
        }
    }
    found
}

/// Two futures and a thread wait for deliveries of the same producer: whoever runs the batch, all
/// get their answer.
pub(crate) fn deliveries_awaited() {
    let broker = Broker::builder().seed(1).topic("t").open().unwrap();
    let producer = broker.producer().linger(Duration::from_millis(1)).build().unwrap();
    let mut sent: Vec<_> =
        (0..3).map(|_| producer.send(ProducerRecord::to("t").value("x"))).collect();
    let waits = sent.pop().unwrap();
    let awaits = sent
        .into_iter()
        .map(|sent| thread::spawn(move || future::block_on(sent).unwrap().offset().unwrap()));
    let awaits: Vec<_> = awaits.collect();
    let mut offsets: Vec<i64> = vec![waits.wait().unwrap().offset().unwrap()];
    offsets.extend(awaits.into_iter().map(|thread| thread.join().unwrap()));
    offsets.sort_unstable();
    assert_eq!(offsets, [0, 1, 2]);
}

/// Futures and a thread wait for the memory of one batch, which lingers for an hour: each in its
/// turn gets it, by a wake-up that is not lost.
pub(crate) fn sends_awaited() {
    let broker = Broker::builder().seed(1).topic("t").open().unwrap();
    let hour = Duration::from_secs(3600);
    let settings = broker.producer().linger(hour).delivery_timeout(2 * hour);
    let producer = settings.batch_size(200).buffer_memory(200).build().unwrap();
    let record = || ProducerRecord::to("t").value("x".repeat(150));
    let tasks = [1, 2].map(|_| {
        let producer = producer.clone();
        thread::spawn(move || {
            for _ in 0..2 {
                future::block_on(producer.send_async(record())).forget();
            }
        })
    });
    producer.send(record()).forget();
    for task in tasks {
        task.join().unwrap();
    }
    producer.flush(Duration::MAX).unwrap();
    assert_eq!(values(&broker).len(), 5);
}

/// What two idempotent producers send to one partition is there once, each in its order.
pub(crate) fn two_idempotent_producers() {
    let broker = Broker::builder().seed(1).topic("t").open().unwrap();
    let threads = ["a", "b"].map(|name| {
        let producer = broker.producer().batch_size(1).build().unwrap();
        thread::spawn(move || {
            let sent: Vec<_> = (0..3)
                .map(|i| producer.send(ProducerRecord::to("t").value(format!("{name}{i}"))))
                .collect();
            sent.into_iter().map(|sent| sent.wait().unwrap().offset().unwrap()).collect::<Vec<_>>()
        })
    });
    let offsets = threads.map(|thread| thread.join().unwrap());
    let values = values(&broker);
    assert_eq!(values.len(), 6, "{values:?}");
    for (name, offsets) in ["a", "b"].iter().zip(&offsets) {
        assert!(offsets.is_sorted(), "{offsets:?}");
        for (i, offset) in offsets.iter().enumerate() {
            assert_eq!(values[usize::try_from(*offset).unwrap()], format!("{name}{i}"));
        }
    }
}

/// Threads share a producer: one sends, one flushes, one waits; after the flush everything sent
/// before it is there.
pub(crate) fn one_producer_of_many_threads() {
    let broker = Broker::builder().seed(1).topic("t").open().unwrap();
    let linger = Duration::from_secs(3600);
    let producer = broker.producer().acks(Acks::Leader).linger(linger).build().unwrap();
    let other = producer.clone();
    let sender = thread::spawn(move || {
        let first = other.send(ProducerRecord::to("t").value("a"));
        let second = other.send(ProducerRecord::to("t").value("b"));
        other.flush(Duration::MAX).unwrap();
        let [first, second] = [first, second]
            .map(|mut sent| sent.try_get().expect("flushed").unwrap().offset().unwrap());
        assert!(first < second);
    });
    let sent = producer.send(ProducerRecord::to("t").value("c"));
    producer.flush(Duration::MAX).unwrap();
    sent.wait().unwrap();
    sender.join().unwrap();
    let mut values = values(&broker);
    values.sort_unstable();
    assert_eq!(values, ["a", "b", "c"]);
}
