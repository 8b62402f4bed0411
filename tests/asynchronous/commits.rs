//! Commits that are awaited, by whoever.

use std::sync::Arc;

use crate::brokers;
use crate::runtimes::{Smol, Tokio};
use logreel::{Broker, Consumer, ErrorKind, OffsetReset, ProducerRecord};
use smol::future::poll_once;

fn filled(broker: &Broker, count: i64) -> Consumer {
    let producer = broker.producer().build().unwrap();
    let records = (0..count).map(|n| ProducerRecord::to("t").value(n.to_string()));
    producer.send_batch(records).wait().unwrap();
    let settings = broker.consumer().group_id("g").enable_auto_commit(false);
    let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

fn committed(broker: &Broker) -> Option<i64> {
    let offsets = broker.group("g").committed().unwrap();
    offsets.get(&("t", 0).into()).map(|committed| committed.offset())
}

#[test]
fn what_was_awaited_is_committed() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let consumer = Arc::new(filled(&broker, 20));
            for next in 1..=20 {
                let reader = Arc::clone(&consumer);
                runtime.run(async move {
                    reader.recv().await.unwrap();
                    reader.commit_async().await.unwrap();
                });
                assert_eq!(committed(&broker), Some(next));
            }
        }
    }
}

/// One polls, others process and commit; each commit is made in its turn, and none is lost.
#[test]
fn workers_commit_for_the_consumer() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let consumer = filled(&broker, 200);
            let (hand_out, jobs) = smol::channel::bounded(4);
            let workers: Vec<_> = (0..3)
                .map(|_| {
                    let (jobs, committer) = (jobs.clone(), consumer.committer());
                    runtime.spawn(async move {
                        let mut done = 0;
                        while let Ok(offsets) = jobs.recv().await {
                            committer.commit_offsets_async(&offsets).await.unwrap();
                            done += 1;
                        }
                        done
                    })
                })
                .collect();
            let done = runtime.run(async move {
                for _ in 0..200 {
                    let record = consumer.recv().await.unwrap();
                    let next = (record.topic_partition(), record.offset + 1);
                    hand_out.send([next].into_iter().collect()).await.unwrap();
                }
                drop(hand_out);
                let mut done = 0;
                for worker in workers {
                    done += worker.await;
                }
                consumer.commit_async().await.unwrap();
                done
            });
            assert_eq!((done, committed(&broker)), (200, Some(200)));
        }
    }
}

/// A handle that is dropped changes nothing; one that was polled elsewhere goes on here.
#[test]
fn a_commit_outlives_its_handle_and_its_runtime() {
    for (here, there) in [(Tokio, Smol), (Smol, Tokio)] {
        for (broker, _dir) in brokers() {
            let consumer = Arc::new(filled(&broker, 3));
            let (first, second) = (Arc::clone(&consumer), Arc::clone(&consumer));
            here.run(async move {
                first.recv().await.unwrap();
                let mut dropped = first.commit_async();
                let _ = poll_once(&mut dropped).await;
            });
            let polled = here.run(async move {
                second.recv().await.unwrap();
                let mut commit = second.commit_async();
                let outcome = poll_once(&mut commit).await;
                outcome.is_none().then_some(commit)
            });
            if let Some(commit) = polled {
                there.run(commit).unwrap();
            }
            // They are made in their order, so the first is made as well.
            assert_eq!(committed(&broker), Some(2));
        }
    }
}

#[test]
fn a_commit_of_a_consumer_that_is_gone_says_so() {
    for runtime in [Tokio, Smol] {
        let (broker, _dir) = brokers().remove(0);
        let consumer = filled(&broker, 1);
        let committer = consumer.committer();
        drop(consumer);
        let offsets = [(("t", 0), 1)].into_iter().collect();
        let outcome = runtime.run(async move { committer.commit_offsets_async(&offsets).await });
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Closed);
    }
}
