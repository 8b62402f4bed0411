//! Brokers, producers and consumers as the workloads need them.

use std::path::Path;
use std::time::{Duration, Instant};

use logreel::{Acks, Broker, NewTopic, OffsetReset, Producer, ProducerRecord};

use super::payload::{Payload, Sum};

pub const TOPIC: &str = "t";
pub const LONG: Duration = Duration::from_secs(600);

/// A broker in `dir` with the topic.
pub fn broker(dir: &Path, partitions: i32) -> Broker {
    let broker = Broker::open(dir).unwrap();
    broker.create_topic(NewTopic::new(TOPIC).partitions(partitions)).unwrap();
    broker
}

/// A producer whose batches wait for company.
pub fn lingering(broker: &Broker, acks: Acks, batch_size: usize) -> Producer {
    let producer = broker.producer().acks(acks).batch_size(batch_size);
    producer.linger(Duration::from_millis(20)).build().unwrap()
}

/// Sends records without waiting, then waits for all of them. Records a second.
pub fn send_all(producer: &Producer, payload: &Payload, records: usize) -> f64 {
    let began = Instant::now();
    for i in 0..records {
        let key = payload.key(i);
        producer.send(ProducerRecord::to(TOPIC).key(&key[..]).value(payload.value(i))).forget();
    }
    producer.flush(LONG).unwrap();
    records as f64 / began.elapsed().as_secs_f64()
}

/// Reads everything and sums it up.
pub fn read_back(broker: &Broker) -> Sum {
    let mut sum = Sum::default();
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    let topic = broker.topic(TOPIC).unwrap();
    consumer.assign(topic.partitions().iter().map(|p| p.topic_partition().clone())).unwrap();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return sum;
        }
        for record in &records {
            sum.add(record.key().unwrap(), record.value().unwrap());
        }
    }
}
