//! Many tasks on one consumer, and on one producer.

use std::sync::Arc;

use crate::runtimes::{Smol, Task, Tokio};
use crate::{brokers, number, reader, send};

const COUNT: i64 = 1000;
const TASKS: usize = 8;

/// Each record comes to one of them; those that are left over are cancelled in the middle of
/// waiting.
#[test]
fn tasks_on_one_consumer_share_its_records() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let consumer = Arc::new(reader(&broker));
            let (found, finds) = smol::channel::unbounded();
            let tasks: Vec<Task<()>> = (0..TASKS)
                .map(|_| {
                    let (consumer, found) = (Arc::clone(&consumer), found.clone());
                    runtime.spawn(async move {
                        loop {
                            let record = consumer.recv().await.unwrap();
                            found.send(number(&record)).await.unwrap();
                        }
                    })
                })
                .collect();
            let producer = broker.producer().build().unwrap();
            let sending = runtime.spawn(async move {
                for number in 0..COUNT {
                    send(&producer, number).await.unwrap();
                }
            });
            let mut all: Vec<i64> = runtime.run(async move {
                let mut all = Vec::new();
                while all.len() < COUNT as usize {
                    all.push(finds.recv().await.unwrap());
                }
                sending.await;
                drop(tasks);
                assert!(finds.try_recv().is_err(), "nothing comes twice");
                all
            });
            all.sort_unstable();
            assert_eq!(all, (0..COUNT).collect::<Vec<_>>());
            assert_eq!(consumer.position(&("t", 0).into()).unwrap(), COUNT);
        }
    }
}

/// Each gets its own outcome, with its own place in the log.
#[test]
fn tasks_on_one_producer_each_get_their_outcome() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let producer = broker.producer().build().unwrap();
            let tasks: Vec<_> = (0..TASKS as i64)
                .map(|task| {
                    let producer = producer.clone();
                    runtime.spawn(async move {
                        let mut placed = Vec::new();
                        for number in 0..50 {
                            let sent = send(&producer, task * 1000 + number).await.unwrap();
                            placed.push((sent.offset().unwrap(), task * 1000 + number));
                        }
                        placed
                    })
                })
                .collect();
            let mut placed: Vec<(i64, i64)> = Vec::new();
            for task in tasks {
                placed.extend(runtime.run(task));
            }
            placed.sort_unstable();
            let records = reader(&broker).read_to_end().unwrap().to_vec();
            let found: Vec<_> = records.iter().map(|r| (r.offset, number(r))).collect();
            assert_eq!(found, placed);
            assert_eq!(found.len(), TASKS * 50);
        }
    }
}
