//! Records that are sent in every usual and unusual way at once, against a naive model: each goes
//! where its partition or its key says, in order, with its own headers and time, or is refused.

use std::collections::BTreeMap;

use crate::producers::HOUR;
use logreel::producer::murmur2;
use logreel::{
    Acks, Broker, Delivery, ErrorCode, NewTopic, OffsetReset, Producer, ProducerRecord, Result,
};
use proptest::prelude::*;

/// More than a producer finds without its map.
const TOPICS: usize = 11;
const SECONDS: std::time::Duration = std::time::Duration::from_secs(60);

#[derive(Clone, Debug)]
struct Sent {
    topic: usize,
    partition: Option<i32>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: u8,
    timestamp: Option<i64>,
}

#[derive(Clone, Debug)]
enum Step {
    Send(Sent),
    Try(Sent),
    Batch(Vec<Sent>),
    Flush,
    Delete(usize),
    Grow(usize),
}

fn sent() -> impl Strategy<Value = Sent> {
    let key = prop::option::weighted(0.9, prop::collection::vec(any::<u8>(), 0..20));
    let value = prop::option::weighted(
        0.9,
        prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..60),
            1 => prop::collection::vec(any::<u8>(), 200..600),
        ],
    );
    let partition =
        prop_oneof![6 => Just(None), 3 => (0..3_i32).prop_map(Some), 1 => Just(Some(9))];
    let topic = prop_oneof![3 => 0..2_usize, 2 => 0..TOPICS];
    let timestamp =
        prop_oneof![4 => Just(None), 4 => (0..90_000_i64).prop_map(Some), 1 => Just(Some(-5))];
    (topic, partition, key, value, 0..3_u8, timestamp).prop_map(
        |(topic, partition, key, value, headers, timestamp)| {
            // A record without both goes where it sticks: another test's.
            let partition = partition.or(key.is_none().then_some(0));
            Sent { topic, partition, key, value, headers, timestamp }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => sent().prop_map(Step::Send),
        2 => sent().prop_map(Step::Try),
        3 => prop::collection::vec(sent(), 0..9).prop_map(Step::Batch),
        2 => Just(Step::Flush),
        1 => (0..TOPICS).prop_map(Step::Delete),
        1 => (0..TOPICS).prop_map(Step::Grow),
    ]
}

impl Sent {
    fn record(&self) -> ProducerRecord<'_> {
        let mut record = ProducerRecord::to(name(self.topic));
        if let Some(partition) = self.partition {
            record = record.partition(partition);
        }
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(value) = &self.value {
            record = record.value(value);
        }
        for header in 0..self.headers {
            record = record.header(format!("h{header}"), "x");
        }
        if let Some(timestamp) = self.timestamp {
            record = record.timestamp(timestamp);
        }
        record
    }

    /// What there is to be read back.
    fn shown(&self) -> Shown {
        (self.key.clone(), self.value.clone(), usize::from(self.headers), self.timestamp)
    }
}

/// Topic, partition and offset.
type Place = (usize, i32, i64);

type Shown = (Option<Vec<u8>>, Option<Vec<u8>>, usize, Option<i64>);

fn name(topic: usize) -> String {
    format!("topic-{topic}")
}

/// What should be where, and which deliveries are out.
#[derive(Default)]
struct Model {
    counts: BTreeMap<usize, i32>,
    logs: BTreeMap<(usize, i32), Vec<Shown>>,
    open: Vec<(Delivery, Option<Place>)>,
}

impl Model {
    /// Where a record will stand, or `None` if it is refused.
    fn place(&mut self, sent: &Sent) -> Option<Place> {
        let count = *self.counts.entry(sent.topic).or_insert(2);
        let by_key = |key: &Vec<u8>| (murmur2(key) & i32::MAX) % count;
        let partition = sent.partition.or(sent.key.as_ref().map(by_key)).unwrap();
        let size = sent.key.as_ref().map_or(0, Vec::len) + sent.value.as_ref().map_or(0, Vec::len);
        if partition >= count || sent.timestamp.is_some_and(|t| t < 0) || size >= 200 {
            return None;
        }
        let log = self.logs.entry((sent.topic, partition)).or_default();
        log.push(sent.shown());
        Some((sent.topic, partition, log.len() as i64 - 1))
    }

    fn settle(&mut self, producer: &Producer, acks: Acks) {
        producer.flush(SECONDS).unwrap();
        for (delivery, place) in self.open.drain(..) {
            check(delivery.wait(), place, acks);
        }
    }
}

fn check(told: Result<logreel::RecordMetadata>, place: Option<Place>, acks: Acks) {
    match (told, place) {
        (Ok(told), Some((topic, partition, offset))) => {
            assert_eq!((told.topic(), told.partition()), (&*name(topic), partition));
            assert_eq!(told.offset(), (acks != Acks::None).then_some(offset));
        }
        (Err(error), None) => assert!(
            matches!(
                error.code(),
                Some(
                    ErrorCode::UnknownTopicOrPartition
                        | ErrorCode::InvalidTimestamp
                        | ErrorCode::MessageTooLarge
                )
            ),
            "{error}"
        ),
        (told, place) => panic!("{told:?}, but {place:?}"),
    }
}

fn read(broker: &Broker, topic: usize, partition: i32) -> Vec<(Shown, i64)> {
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    let partition = broker.topic(&name(topic)).unwrap().partition(partition).unwrap();
    consumer.assign([partition.topic_partition().clone()]).unwrap();
    let mut all = Vec::new();
    loop {
        let records = consumer.poll(std::time::Duration::ZERO).unwrap();
        if records.is_empty() {
            return all;
        }
        for record in &records {
            let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            let (key, value) = (bytes(record.key()), bytes(record.value()));
            let time = record.timestamp().unwrap();
            all.push(((key, value, record.headers().count(), Some(time)), time));
        }
    }
}

fn run(steps: &[Step], acks: Acks, batch_size: usize) {
    let broker = Broker::in_memory();
    for topic in 0..TOPICS {
        broker.create_topic(NewTopic::new(name(topic)).partitions(2)).unwrap();
    }
    let producer = broker.producer().acks(acks).batch_size(batch_size).linger(HOUR);
    // A record of 200 bytes is over it, one of 100 is not.
    let producer = producer.max_request_size(150).build().unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Send(sent) => {
                let delivery = producer.send(sent.record());
                let place = model.place(sent);
                model.open.push((delivery, place));
            }
            Step::Try(sent) => {
                let delivery = producer.try_send(sent.record()).unwrap();
                let place = model.place(sent);
                model.open.push((delivery, place));
            }
            Step::Batch(all) => {
                let places: Vec<_> = all.iter().map(|sent| model.place(sent)).collect();
                let outcome = producer.send_batch(all.iter().map(Sent::record));
                let results: Vec<_> = if places.iter().all(Option::is_some) {
                    // As runs of records, asked for one by one and all in turn.
                    let placed = outcome.wait().unwrap();
                    let one_by_one = (0..placed.len()).map(|index| placed.get(index).unwrap());
                    assert!(one_by_one.eq(&placed) && placed.get(placed.len()).is_none());
                    placed.iter().map(Ok).collect()
                } else {
                    outcome.results()
                };
                assert_eq!(results.len(), all.len());
                for ((sent, told), place) in all.iter().zip(results).zip(places) {
                    if let (Ok(told), Some(given)) = (&told, sent.timestamp) {
                        assert_eq!(told.timestamp(), given);
                    }
                    check(told, place, acks);
                }
            }
            Step::Flush => model.settle(&producer, acks),
            Step::Delete(topic) => {
                model.settle(&producer, acks);
                broker.delete_topic(&name(*topic)).unwrap();
                broker.create_topic(NewTopic::new(name(*topic)).partitions(2)).unwrap();
                model.counts.insert(*topic, 2);
                model.logs.retain(|(of, _), _| of != topic);
            }
            Step::Grow(topic) => {
                let count = model.counts.entry(*topic).or_insert(2);
                *count += 1;
                broker.create_partitions(&name(*topic), *count).unwrap();
            }
        }
    }
    model.settle(&producer, acks);
    for ((topic, partition), expected) in &model.logs {
        let found = read(&broker, *topic, *partition);
        assert_eq!(found.len(), expected.len(), "{topic} {partition}");
        for ((found, time), expected) in found.into_iter().zip(expected) {
            let (key, value, headers, timestamp) = expected.clone();
            let timestamp = timestamp.unwrap_or(time);
            assert_eq!(found, (key, value, headers, Some(timestamp)));
            assert!(expected.3.is_some() || time > 1_600_000_000_000);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_record_goes_where_it_belongs_or_is_refused(
        steps in prop::collection::vec(step(), 1..150),
        acks in prop_oneof![Just(Acks::None), Just(Acks::Leader), Just(Acks::All)],
        // Below and above what a request may have: below it most records are usual ones.
        batch_size in prop_oneof![Just(0_usize), Just(140), Just(1000), Just(16_384)],
    ) {
        run(&steps, acks, batch_size);
    }
}
