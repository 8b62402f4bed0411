//! Threads that send in every way there is, and what they were told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use logreel::{Producer, ProducerRecord, RecordMetadata, Result};

use crate::{RECORDS, SECOND};

/// A small generator, so that a run's choices repeat from its seed.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A record: who sent it, with which `acks`, under which key, as the how-manieth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) thread: u64,
    pub(crate) acks: u64,
    pub(crate) key: u64,
    pub(crate) number: u64,
}

impl Id {
    pub(crate) fn key(self) -> String {
        format!("{}-{}", self.thread, self.key)
    }

    pub(crate) fn value(self) -> String {
        format!("{} {} {} {}", self.thread, self.acks, self.key, self.number)
    }

    pub(crate) fn parse(value: &[u8]) -> Self {
        let text = std::str::from_utf8(value).unwrap();
        let numbers: Vec<u64> = text.split(' ').map(|word| word.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 4, "{text}");
        Self { thread: numbers[0], acks: numbers[1], key: numbers[2], number: numbers[3] }
    }
}

/// Every result that came, by record.
#[derive(Default)]
pub(crate) struct Ledger(pub(crate) Mutex<BTreeMap<Id, Vec<Result<RecordMetadata>>>>);

impl Ledger {
    fn tell(&self, id: Id, result: Result<RecordMetadata>) {
        self.0.lock().unwrap().entry(id).or_default().push(result);
    }
}

/// Sends a thread's records: one and wait, one with a callback, one polled later, many at once,
/// without blocking.
pub(crate) fn send_all(
    producer: &Producer,
    thread: u64,
    acks: u64,
    ledger: &Arc<Ledger>,
    draw: &mut Draw,
) {
    let mut kept = Vec::new();
    let mut number = 0;
    let mut next = |draw: &mut Draw| {
        number += 1;
        Id { thread, acks, key: draw.below(3), number }
    };
    let record = |id: Id| ProducerRecord::to("t").key(id.key()).value(id.value());
    let mut left = RECORDS;
    while left > 0 {
        let many = if draw.below(8) == 0 { draw.below(7).min(left - 1) + 1 } else { 1 };
        left -= many;
        let ids: Vec<Id> = (0..many).map(|_| next(draw)).collect();
        let id = ids[0];
        match draw.below(5) {
            _ if many > 1 => {
                let results = producer.send_batch(ids.iter().map(|id| record(*id))).results();
                assert_eq!(results.len(), ids.len());
                ids.iter().zip(results).for_each(|(id, result)| ledger.tell(*id, result));
            }
            0 => ledger.tell(id, producer.send(record(id)).wait()),
            1 => kept.push((id, producer.send(record(id)))),
            2 => match producer.try_send(record(id)) {
                Ok(delivery) => kept.push((id, delivery)),
                Err(full) => {
                    assert_eq!(full.record.value_bytes(), Some(id.value().as_bytes()));
                    ledger.tell(id, producer.send(full.record).wait());
                }
            },
            _ => {
                let told = Arc::clone(ledger);
                producer.send(record(id)).on_complete(move |result| told.tell(id, result));
            }
        }
        if draw.below(100) == 0 {
            producer.flush(60 * SECOND).unwrap();
        }
    }
    for (id, delivery) in kept {
        ledger.tell(id, delivery.wait());
    }
}
