//! What the simulated machine was doing when it stopped.

use std::time::Duration;

use logreel::testing::{MockClock, SimStorage};
use logreel::{Acks, Broker, NewTopic, OffsetReset, Partition, ProducerRecord};

use crate::oracle::Mark;

pub(crate) const NOW: i64 = 1_700_000_000_000;

pub(crate) fn open(sim: &SimStorage) -> Broker {
    let clock = MockClock::at_millis(NOW);
    Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap()
}

fn topic() -> NewTopic {
    NewTopic::new("t").set("segment.bytes", "400").set("index.interval.bytes", "100")
}

pub(crate) fn value(i: usize) -> String {
    format!("value {i}")
}

struct Run {
    sim: SimStorage,
    topic: NewTopic,
    written: usize,
}

impl Run {
    fn new() -> Self {
        Self::with(topic())
    }

    fn with(topic: NewTopic) -> Self {
        Self { sim: SimStorage::new(), topic, written: 0 }
    }

    fn mark(&self, mark: Mark) {
        self.sim.mark(mark.encode());
    }

    fn append(&mut self, log: &Partition) {
        log.append([(Some("key"), Some(value(self.written).as_str()))]).unwrap();
        self.written += 1;
        self.mark(Mark::Written(self.written));
    }

    fn sync(&self, log: &Partition) {
        log.sync().unwrap();
        self.mark(Mark::Durable(self.written));
    }

    fn create(&self, broker: &Broker) -> Partition {
        let topic = broker.create_topic(self.topic.clone()).unwrap();
        self.mark(Mark::Created);
        topic.partition(0).unwrap()
    }
}

pub(crate) fn appends() -> SimStorage {
    appends_in(Run::new())
}

/// The same into zeros that were written ahead.
pub(crate) fn appends_ahead() -> SimStorage {
    appends_in(Run::with(topic().set("preallocate", "true")))
}

fn appends_in(mut run: Run) -> SimStorage {
    let broker = open(&run.sim);
    let log = run.create(&broker);
    for i in 0..12 {
        run.append(&log);
        if i % 4 == 3 {
            run.sync(&log);
        }
    }
    for acks in [Acks::All, Acks::Leader, Acks::All] {
        let producer = broker.producer().acks(acks).build().unwrap();
        for _ in 0..3 {
            let value = value(run.written);
            producer.send(ProducerRecord::to("t").key("key").value(&value)).wait().unwrap();
            run.written += 1;
            run.mark(match acks {
                Acks::All => Mark::Durable(run.written),
                _ => Mark::Written(run.written),
            });
        }
    }
    // The broker stays open: nothing of a clean close may help.
    Box::leak(Box::new((log, broker)));
    run.sim
}

pub(crate) fn closes() -> SimStorage {
    closes_in(Run::new())
}

/// The same with zeros that are cut off at each close.
pub(crate) fn closes_ahead() -> SimStorage {
    closes_in(Run::with(topic().set("preallocate", "true")))
}

fn closes_in(mut run: Run) -> SimStorage {
    let broker = open(&run.sim);
    drop(run.create(&broker));
    broker.close().unwrap();
    for _ in 0..3 {
        let broker = open(&run.sim);
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        for _ in 0..3 {
            run.append(&log);
        }
        drop(log);
        broker.close().unwrap();
        run.mark(Mark::Durable(run.written));
    }
    run.sim
}

pub(crate) fn topics() -> SimStorage {
    let mut run = Run::new();
    let broker = open(&run.sim);
    for _ in 0..3 {
        let log = run.create(&broker);
        run.append(&log);
        run.append(&log);
        run.sync(&log);
        run.mark(Mark::Deleting);
        broker.delete_topic("t").unwrap();
        run.written = 0;
        run.mark(Mark::Deleted);
    }
    let log = run.create(&broker);
    broker.create_topic("other").unwrap();
    run.append(&log);
    run.sync(&log);
    Box::leak(Box::new((log, broker)));
    run.sim
}

pub(crate) fn commits() -> SimStorage {
    let mut run = Run::new();
    let broker = open(&run.sim);
    let log = run.create(&broker);
    let consumer =
        broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    for _ in 0..5 {
        run.append(&log);
        run.append(&log);
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 2);
        consumer.commit().unwrap();
        run.mark(Mark::Durable(run.written));
        run.mark(Mark::Committed(run.written));
    }
    Box::leak(Box::new((log, consumer, broker)));
    run.sim
}

/// A log that says "durable" when it has only written.
pub(crate) fn lying_acks() -> SimStorage {
    let mut run = Run::new();
    let broker = open(&run.sim);
    let log = run.create(&broker);
    for _ in 0..3 {
        run.append(&log);
        run.mark(Mark::Durable(run.written));
    }
    Box::leak(Box::new((log, broker)));
    run.sim
}
