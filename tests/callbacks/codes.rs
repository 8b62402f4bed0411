//! The kinds of code, and the calls in which each runs.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use logreel::consumer::{
    Assignment, Assignor, ListenerResult, RangeAssignor, RebalanceContext, RebalanceListener,
    Subscription,
};
use logreel::producer::{Partitioner, ProducerInterceptor, TopicPartitions};
use logreel::{
    Acks, Broker, Consumer, OffsetReset, Offsets, Producer, ProducerRecord, RecordMetadata, Result,
    TopicPartition,
};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata};

use crate::acts::Stage;
use crate::{Home, SECOND};

type Run = fn(Broker, &Arc<Stage>, &Home);

#[derive(Clone, Copy)]
pub(crate) struct Code {
    pub(crate) name: &'static str,
    /// Whether the call that it runs in is a close of the broker.
    pub(crate) closes: bool,
    /// Has the code called. Beside this broker only the stage has handles.
    pub(crate) run: Run,
}

fn code(name: &'static str, run: Run) -> Code {
    Code { name, closes: name.ends_with("close of the broker"), run }
}

pub(crate) fn all() -> Vec<Code> {
    vec![
        code("a delivery callback on the sender's thread", |broker, stage, home| {
            delivery(broker, stage, home, Acks::All);
        }),
        code("a delivery callback with acks=1", |broker, stage, home| {
            delivery(broker, stage, home, Acks::Leader);
        }),
        code("a delivery callback in a flush", |broker, stage, _| {
            let producer = broker.producer().linger(3600 * SECOND).build().unwrap();
            stage.use_producer(&producer);
            let inside = Arc::clone(stage);
            producer.send(to("t")).on_complete(move |_| inside.act());
            drop(broker);
            let _ = producer.flush(10 * SECOND);
        }),
        code("a delivery callback in a close of the broker", |broker, stage, _| {
            let producer = broker.producer().linger(3600 * SECOND).build().unwrap();
            let inside = Arc::clone(stage);
            producer.send(to("t")).on_complete(move |_| inside.act());
            let _ = broker.clone().close();
        }),
        code("a waker of a delivery", |broker, stage, home| {
            let producer = broker.producer().linger(3600 * SECOND).build().unwrap();
            let mut sent = pin!(producer.send(to("t")));
            let waker = Waker::from(Arc::new(Wakes(Arc::clone(stage))));
            let _ = sent.as_mut().poll(&mut Context::from_waker(&waker));
            let _ = producer.flush(10 * SECOND);
            nobody_waits(stage, home);
        }),
        code("a waker of a poll", |broker, stage, home| {
            let consumer = reader(&broker);
            consumer.assign([("t", 0)]).unwrap();
            let waker = Waker::from(Arc::new(Wakes(Arc::clone(stage))));
            let mut polled = pin!(consumer.next_batch());
            let _ = polled.as_mut().poll(&mut Context::from_waker(&waker));
            broker.producer().build().unwrap().send(to("t")).forget();
            nobody_waits(stage, home);
        }),
        code("a partitioner", |broker, stage, _| {
            let producer = broker.producer().partitioner(Inside(Arc::clone(stage)));
            let producer = producer.build().unwrap();
            send(broker, stage, producer);
        }),
        code("an interceptor of sends", |broker, stage, _| {
            let producer = broker.producer().interceptor(OnSend(Arc::clone(stage)));
            let producer = producer.build().unwrap();
            send(broker, stage, producer);
        }),
        code("an interceptor of answers", |broker, stage, _| {
            let producer = broker.producer().interceptor(OnAnswer(Arc::clone(stage)));
            let producer = producer.build().unwrap();
            send(broker, stage, producer);
        }),
        code("a commit callback", |broker, stage, home| {
            let consumer = reader(&broker);
            stage.use_consumer(&consumer);
            consumer.assign([("t", 0)]).unwrap();
            let begun: Offsets = [(("t", 0), 0)].into_iter().collect();
            let inside = Arc::clone(stage);
            consumer.commit_offsets_async(&begun).on_complete(move |_| inside.act());
            drop(broker);
            looks(&consumer, home);
        }),
        code("a listener that is given partitions", |broker, stage, home| {
            let consumer = member(&broker, stage);
            let listener = Listens { stage: Arc::clone(stage), assigned: true };
            consumer.subscribe_with(["t"], listener).unwrap();
            drop(broker);
            looks(&consumer, home);
        }),
        code("a listener that gives partitions back", |broker, stage, home| {
            let consumer = member(&broker, stage);
            let listener = Listens { stage: Arc::clone(stage), assigned: false };
            consumer.subscribe_with(["t"], listener).unwrap();
            drop(broker);
            looks(&consumer, home);
            let _ = consumer.unsubscribe();
        }),
        code("a listener of a close", |broker, stage, home| {
            let consumer = reader(&broker);
            let listener = Listens { stage: Arc::clone(stage), assigned: false };
            consumer.subscribe_with(["t"], listener).unwrap();
            drop(broker);
            looks(&consumer, home);
            let _ = Arc::into_inner(consumer).map(Consumer::close);
        }),
        code("an assignor", |broker, stage, home| {
            let builder = broker.consumer().group_id("g").assignor(Inside(Arc::clone(stage)));
            let consumer = Arc::new(builder.build().unwrap());
            stage.use_consumer(&consumer);
            consumer.subscribe(["t"]).unwrap();
            drop(broker);
            looks(&consumer, home);
        }),
        code("a predicate of topics", |broker, stage, home| {
            let consumer = member(&broker, stage);
            let inside = Arc::clone(stage);
            let wanted = move |name: &str| {
                inside.act();
                name == "t"
            };
            consumer.subscribe_matching(wanted).unwrap();
            drop(broker);
            looks(&consumer, home);
        }),
        code("a subscriber of events", |broker, stage, home| {
            tracing::subscriber::with_default(Inside(Arc::clone(stage)), || {
                let producer = broker.producer().build().unwrap();
                let consumer = member(&broker, stage);
                let _ = consumer.subscribe(["t"]);
                let _ = producer.send(to("t")).wait_timeout(5 * SECOND);
                // Told on this thread, whoever does what was asked for before.
                let _ = broker.create_topic("told");
                drop(broker);
                looks(&consumer, home);
            });
        }),
    ]
}

fn to(topic: &str) -> ProducerRecord<'_> {
    ProducerRecord::to(topic).value("x")
}

fn reader(broker: &Broker) -> Arc<Consumer> {
    let consumer = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
    Arc::new(consumer.build().unwrap())
}

/// A consumer that its code calls.
fn member(broker: &Broker, stage: &Stage) -> Arc<Consumer> {
    let consumer = reader(broker);
    stage.use_consumer(&consumer);
    consumer
}

/// Without threads polling a future does the work, and leaves no waker.
fn nobody_waits(stage: &Stage, home: &Home) {
    if home.clock.is_some() {
        stage.act();
    }
}

/// A few polls.
fn looks(consumer: &Consumer, home: &Home) {
    for _ in 0..3 {
        let _ = consumer.poll(Duration::from_millis(2));
        if let Some(clock) = &home.clock {
            clock.advance(Duration::from_millis(2));
        }
    }
}

/// The last handles are those that the code drops, on the sender's thread.
fn delivery(broker: Broker, stage: &Arc<Stage>, home: &Home, acks: Acks) {
    let producer = broker.producer().acks(acks).linger(Duration::from_millis(5)).build().unwrap();
    stage.use_producer(&producer);
    let inside = Arc::clone(stage);
    producer.send(to("t")).on_complete(move |_| inside.act());
    drop((broker, producer));
    if let Some(clock) = &home.clock {
        clock.advance(SECOND);
    }
}

/// Two sends: the second finds what the first has left.
fn send(broker: Broker, stage: &Stage, producer: Producer) {
    stage.use_producer(&producer);
    drop(broker);
    for _ in 0..2 {
        let _ = producer.send(to("t")).wait_timeout(5 * SECOND);
    }
}

struct Wakes(Arc<Stage>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.act();
    }
}

/// Acts wherever it is called.
struct Inside(Arc<Stage>);

impl Partitioner for Inside {
    fn partition(&self, _: &ProducerRecord<'_>, _: &TopicPartitions<'_>) -> i32 {
        self.0.act();
        0
    }
}

impl Assignor for Inside {
    fn name(&self) -> &'static str {
        "inside"
    }

    fn assign(&self, partitions: &BTreeMap<String, i32>, members: &[Subscription]) -> Assignment {
        self.0.act();
        RangeAssignor.assign(partitions, members)
    }
}

impl tracing::Subscriber for Inside {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.act();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct OnSend(Arc<Stage>);

impl ProducerInterceptor for OnSend {
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        self.0.act();
        record
    }
}

struct OnAnswer(Arc<Stage>);

impl ProducerInterceptor for OnAnswer {
    fn on_acknowledgement(&self, _: &Result<RecordMetadata>) {
        self.0.act();
    }
}

struct Listens {
    stage: Arc<Stage>,
    /// Whether it acts when it is given partitions, or when it gives them back.
    assigned: bool,
}

impl RebalanceListener for Listens {
    fn on_assigned(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
        if self.assigned {
            self.stage.act();
        }
        Ok(())
    }

    fn on_revoked(&mut self, _: &RebalanceContext<'_>, _: &[TopicPartition]) -> ListenerResult {
        if !self.assigned {
            self.stage.act();
        }
        Ok(())
    }
}
