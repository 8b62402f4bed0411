//! Sending that waits for memory, or for a topic, without blocking its thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::brokers;
use crate::runtimes::{Counted, Smol, Tokio};
use logreel::producer::ProducerInterceptor;
use logreel::testing::{FaultHandle, MockClock, OpKind};
use logreel::{Broker, ErrorCode, ErrorKind, Housekeeping, Producer, ProducerRecord};
use smol::future::poll_once;

const BATCH: usize = 1024;
const HOUR: Duration = Duration::from_secs(3600);

/// Room for two batches, which nobody writes before an hour is over.
fn small(broker: &Broker) -> Producer {
    let settings = broker.producer().linger(HOUR).delivery_timeout(2 * HOUR);
    settings.batch_size(BATCH).buffer_memory(2 * BATCH).build().unwrap()
}

/// Fills a batch alone.
fn record(partition: i32) -> ProducerRecord<'static> {
    ProducerRecord::to("p").partition(partition).value(vec![1; 600])
}

fn with_partitions(broker: &Broker) {
    broker.create_topic(logreel::NewTopic::new("p").partitions(3)).unwrap();
}

fn count(broker: &Broker) -> i64 {
    let partitions = broker.topic("p").unwrap().partitions();
    partitions.iter().map(|partition| partition.high_watermark()).sum()
}

/// Far more than there is room for, by tasks that share their threads.
#[test]
fn who_waits_for_memory_gets_it() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            with_partitions(&broker);
            let producer = small(&broker);
            let tasks: Vec<_> = (0..4)
                .map(|task| {
                    let producer = producer.clone();
                    runtime.spawn(async move {
                        for number in 0..50 {
                            let record = record(task % 3).key(vec![task as u8, number]);
                            producer.send_async(record).await.forget();
                        }
                    })
                })
                .collect();
            for task in tasks {
                runtime.run(task);
            }
            producer.flush(HOUR).unwrap();
            assert_eq!(count(&broker), 4 * 50);
            // Each task's records are in its order.
            for partition in broker.topic("p").unwrap().partitions() {
                let records = partition.read(0, usize::MAX).unwrap().to_vec();
                for task in 0..4 {
                    let keys = records.iter().filter_map(|record| record.key.as_deref());
                    let of_task: Vec<u8> =
                        keys.filter(|key| key[0] == task).map(|key| key[1]).collect();
                    assert!(of_task.is_sorted(), "{of_task:?}");
                }
            }
        }
    }
}

/// Memory that stays in use: the batches in it are tried again for hours.
fn full(broker: &Broker, producer: &Producer) -> FaultHandle {
    with_partitions(broker);
    let fault = broker.testing().faults().on(OpKind::Produce).topic("p").times(u64::MAX);
    let fault = fault.fail(ErrorCode::RequestTimedOut);
    for partition in 0..2 {
        producer.send(record(partition)).forget();
    }
    fault
}

#[test]
fn one_that_is_dropped_sends_nothing() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let producer = small(&broker);
            let fault = full(&broker, &producer);
            let dropped = producer.clone();
            runtime.run(async move {
                // Before it is polled, while it waits, and when its time is over.
                drop(dropped.send_async(record(2)));
                assert!(poll_once(dropped.send_async(record(2))).await.is_none());
                let limit = Duration::from_millis(5);
                assert!(runtime.timeout(limit, dropped.send_async(record(2))).await.is_none());
            });
            fault.remove();
            let last = producer.clone();
            runtime.run(async move { last.send_async(record(2)).await.forget() });
            producer.flush(HOUR).unwrap();
            assert_eq!(count(&broker), 3);
        }
    }
}

/// One that waits and is not polled any more holds up neither threads nor other tasks.
#[test]
fn one_that_is_forgotten_holds_up_nobody() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let producer = small(&broker);
            let fault = full(&broker, &producer);
            let mut forgotten = producer.send_async(record(2));
            assert!(smol::block_on(poll_once(&mut forgotten)).is_none());
            fault.remove();
            let other = producer.clone();
            runtime.run(async move {
                for _ in 0..10 {
                    other.send_async(record(1)).await.forget();
                }
            });
            producer.send(record(0)).forget();
            producer.flush(HOUR).unwrap();
            assert_eq!(count(&broker), 13);
            // It is still good.
            smol::block_on(forgotten).forget();
            producer.flush(HOUR).unwrap();
            assert_eq!(count(&broker), 14);
        }
    }
}

#[test]
fn the_wait_ends_after_max_block_ms() {
    let limit = Duration::from_millis(30);
    for runtime in [Tokio, Smol] {
        let broker = Broker::builder().auto_create_topics(false).open().unwrap();
        let settings = broker.producer().max_block(limit).linger(HOUR).delivery_timeout(2 * HOUR);
        let producer = settings.batch_size(BATCH).buffer_memory(2 * BATCH).build().unwrap();
        let _fault = full(&broker, &producer);
        for (record, kind, message) in [
            (
                record(2),
                ErrorKind::QueueFull,
                "buffer.memory = 2048 is in use: nothing came free within 30 ms (max.block.ms)",
            ),
            (
                ProducerRecord::to("none").value("x"),
                ErrorKind::Kafka(ErrorCode::UnknownTopicOrPartition),
                "topic none did not appear in 30 ms (max.block.ms)",
            ),
        ] {
            let (began, producer) = (Instant::now(), producer.clone());
            let (error, polls) = runtime.run(async move {
                let (delivery, polls) = Counted::new(producer.send_async(record)).await;
                (delivery.await.unwrap_err(), polls)
            });
            assert!(began.elapsed() >= limit);
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
            assert!(polls <= 5, "polled {polls} times");
        }
    }
}

#[test]
fn a_topic_that_comes_is_waited_for() {
    for runtime in [Tokio, Smol] {
        let broker = Broker::builder().auto_create_topics(false).open().unwrap();
        let producer = broker.producer().build().unwrap();
        let (waiting, waits) = std::sync::mpsc::channel();
        let maker = broker.clone();
        let actor = std::thread::spawn(move || {
            waits.recv().unwrap();
            maker.create_topic("t").unwrap()
        });
        let placed = runtime.run(async move {
            let mut sending = producer.send_async(ProducerRecord::to("t").value("x"));
            assert!(poll_once(&mut sending).await.is_none());
            waiting.send(()).unwrap();
            sending.await.await.unwrap()
        });
        actor.join().unwrap();
        assert_eq!(placed.offset(), Some(0));
    }
}

/// What waiting cannot help is told at once, and so is the end of the producer.
#[test]
fn other_errors_come_through_the_delivery_at_once() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let producer = small(&broker);
            let _fault = full(&broker, &producer);
            let (other, stopped) = (producer.clone(), producer.clone());
            let (delivery, polls) =
                runtime.run(async move { Counted::new(other.send_async(record(7))).await });
            let error = delivery.wait().unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
            assert_eq!(polls, 1);

            let mut waits = stopped.send_async(record(2));
            assert!(smol::block_on(poll_once(&mut waits)).is_none());
            assert!(producer.close(Duration::ZERO).is_err(), "nothing could be written");
            let error = smol::block_on(waits).wait().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
    }
}

/// The keys that an interceptor saw go by, and how many results.
#[derive(Clone, Default)]
struct Seen(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl ProducerInterceptor for Seen {
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        self.0.fetch_add(1, Ordering::SeqCst);
        record
    }

    fn on_acknowledgement(&self, _result: &logreel::Result<logreel::RecordMetadata>) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn interceptors_see_a_record_once_however_often_it_is_tried() {
    let broker = Broker::in_memory();
    let seen = Seen::default();
    let settings = broker.producer().linger(HOUR).delivery_timeout(2 * HOUR).batch_size(BATCH);
    let settings = settings.buffer_memory(2 * BATCH).interceptor(seen.clone());
    let producer = settings.build().unwrap();
    let fault = full(&broker, &producer);
    let mut sending = producer.send_async(record(2));
    assert_eq!(seen.0.load(Ordering::SeqCst), 2, "not before it is awaited");
    for _ in 0..3 {
        assert!(smol::block_on(poll_once(&mut sending)).is_none());
    }
    fault.remove();
    smol::block_on(sending).forget();
    producer.flush(HOUR).unwrap();
    assert_eq!((seen.0.load(Ordering::SeqCst), seen.1.load(Ordering::SeqCst)), (3, 3));
}

/// Where nobody else would write what holds the memory, awaiting does.
#[test]
fn without_threads_it_does_what_send_does() {
    let clock = MockClock::at_millis(1_700_000_000_000);
    let brokers = [
        Broker::builder().housekeeping(Housekeeping::Manual).open().unwrap(),
        Broker::builder().clock(&clock).open().unwrap(),
    ];
    for broker in brokers {
        with_partitions(&broker);
        let producer = small(&broker);
        for number in 0..20 {
            smol::block_on(producer.send_async(record(number % 3))).forget();
        }
        producer.flush(HOUR).unwrap();
        assert_eq!(count(&broker), 20);
    }
}

/// A clock that is moved by hand writes what holds the memory when it is moved.
#[test]
fn on_a_manual_clock_it_waits_for_the_clock() {
    let clock = MockClock::manual(1_700_000_000_000);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    with_partitions(&broker);
    let producer = small(&broker);
    producer.send(record(0)).forget();
    producer.send(record(1)).forget();
    let mut sending = producer.send_async(record(2));
    assert!(smol::block_on(poll_once(&mut sending)).is_none());
    clock.advance(Duration::from_millis(1));
    assert_eq!(count(&broker), 2, "though they linger for an hour");
    let delivery = smol::block_on(poll_once(&mut sending)).expect("there is room");
    clock.advance(HOUR);
    assert_eq!(delivery.wait().unwrap().offset(), Some(0));
}
