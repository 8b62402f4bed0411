//! A future that is dropped, at whatever moment, loses no record, and none comes twice.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::runtimes::{Runtime, Smol, Tokio};
use crate::{brokers, number, reader, send};
use logreel::OffsetReset;
use smol::future::poll_once;

const COUNT: i64 = 300;
const A_MOMENT: Duration = Duration::from_micros(20);

/// Some end before their record comes, some after, and some at that moment.
#[test]
fn time_limits_lose_nothing() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let settings = broker.consumer().auto_offset_reset(OffsetReset::Earliest);
            let consumer = settings.max_poll_records(5).build().unwrap();
            consumer.assign([("t", 0)]).unwrap();
            let producer = broker.producer().build().unwrap();
            let got = runtime.run(async move {
                let (mut got, mut over) = (Vec::new(), 0);
                let nothing = runtime.timeout(A_MOMENT, consumer.recv()).await;
                assert!(nothing.is_none());
                let sender = runtime.spawn(async move {
                    for number in 0..COUNT {
                        send(&producer, number).await.unwrap();
                    }
                });
                while got.len() < COUNT as usize {
                    let limit = A_MOMENT * (over % 7);
                    let was = got.len();
                    if over % 2 == 0 {
                        let record = runtime.timeout(limit, consumer.recv()).await;
                        got.extend(record.map(|record| number(&record.unwrap())));
                    } else {
                        let records = runtime.timeout(limit, consumer.next_batch()).await;
                        let records = records.map(|records| records.unwrap().to_vec());
                        got.extend(records.iter().flatten().map(number));
                    }
                    over += u32::from(got.len() == was);
                }
                sender.await;
                got
            });
            assert_eq!(got, (0..COUNT).collect::<Vec<_>>(), "{runtime:?}");
        }
    }
}

/// The moments that a time limit meets only by chance, one by one.
#[test]
fn a_drop_at_each_moment_loses_nothing() {
    for (broker, _dir) in brokers() {
        let producer = broker.producer().build().unwrap();
        let consumer = reader(&broker);
        let steps = async {
            // Never polled.
            drop(consumer.recv());
            // Polled, nothing there.
            assert!(poll_once(consumer.recv()).await.is_none());
            // Polled; it comes; woken and dropped.
            let mut waits = consumer.recv();
            assert!(poll_once(&mut waits).await.is_none());
            send(&producer, 0).await.unwrap();
            drop(waits);
            // It is there; dropped unpolled, of both kinds.
            drop((consumer.recv(), consumer.next_batch()));
            assert_eq!(consumer.position(&("t", 0).into()).unwrap(), 0);
            assert_eq!(number(&consumer.recv().await.unwrap()), 0);
            // One that is done keeps nothing back from the next.
            send(&producer, 1).await.unwrap();
            send(&producer, 2).await.unwrap();
            assert_eq!(number(&consumer.recv().await.unwrap()), 1);
            let mut waits = pin!(consumer.next_batch());
            let rest = poll_once(&mut waits).await.unwrap().unwrap();
            assert_eq!(rest.to_vec().iter().map(number).collect::<Vec<_>>(), [2]);
            assert!(poll_once(consumer.recv()).await.is_none());
        };
        smol::block_on(steps);
    }
}

/// A loop that waits for two things at once drops one of them each time round.
#[test]
fn a_select_loses_nothing() {
    for (broker, _dir) in brokers() {
        let (consumer, producer) = (reader(&broker), broker.producer().build().unwrap());
        let (ticks, tick) = smol::channel::bounded::<()>(1);
        let sender = Tokio.spawn(async move {
            for number in 0..COUNT {
                ticks.send(()).await.unwrap();
                send(&producer, number).await.unwrap();
            }
        });
        let (got, ticked) = Tokio.run(async move {
            let (mut got, mut ticked) = (Vec::new(), 0);
            while got.len() < COUNT as usize {
                tokio::select! {
                    record = consumer.recv() => got.push(number(&record.unwrap())),
                    Ok(()) = tick.recv() => ticked += 1,
                }
            }
            sender.await;
            (got, ticked)
        });
        assert_eq!(got, (0..COUNT).collect::<Vec<_>>());
        // Each of them dropped a `recv`. The last record may come before its tick is seen.
        assert!(ticked >= COUNT - 1);
    }
}

/// Who is woken for a record and dropped must not take the wake-up with it.
#[test]
fn one_that_is_dropped_leaves_its_record_to_the_others() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let producer = broker.producer().build().unwrap();
            let consumer = std::sync::Arc::new(reader(&broker));
            for number in 0..50 {
                // It comes first, in case only the first should be woken.
                let mut dropped = consumer.recv();
                assert!(smol::block_on(poll_once(&mut dropped)).is_none());
                let (waiting, waits) = smol::channel::bounded::<()>(1);
                let other = std::sync::Arc::clone(&consumer);
                let task = runtime.spawn(async move {
                    let mut record = other.recv();
                    assert!(poll_once(&mut record).await.is_none());
                    waiting.send(()).await.unwrap();
                    record.await.unwrap().offset
                });
                runtime.run(async move { waits.recv().await.unwrap() });
                send(&producer, number).wait().unwrap();
                drop(dropped);
                assert_eq!(runtime.run(task), number);
            }
        }
    }
}

/// A delivery that nobody waits for any more is a delivery all the same.
#[test]
fn a_dropped_delivery_is_still_sent_once() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let lingering = broker.producer().linger(Duration::from_millis(2));
            let producer = lingering.build().unwrap();
            let consumer = reader(&broker);
            let got = runtime.run(async move {
                let mut over = 0;
                for number in 0..20 {
                    let sent = runtime.timeout(Duration::ZERO, send(&producer, number)).await;
                    over += usize::from(sent.is_none());
                }
                assert!(over > 0, "nothing was dropped");
                receive(&consumer, 20).await
            });
            assert_eq!(got, (0..20).collect::<Vec<_>>());
            let end = broker.topic("t").unwrap().partition(0).unwrap().high_watermark();
            assert_eq!(end, 20);
        }
    }
}

async fn receive(consumer: &logreel::Consumer, count: usize) -> Vec<i64> {
    let mut got = Vec::new();
    for _ in 0..count {
        got.push(number(&consumer.recv().await.unwrap()));
    }
    got
}

/// What a task owns goes with it: the broker's directory can be opened again.
#[test]
fn a_cancelled_task_lets_go_of_everything() {
    fn owned<F: Future + Send + 'static>(future: F) -> F {
        future
    }
    for runtime in [Tokio, Smol] {
        let dir = tempfile::tempdir().unwrap();
        let broker = logreel::Broker::open(dir.path()).unwrap();
        broker.create_topic("t").unwrap();
        let consumer = reader(&broker);
        let (waiting, waits) = smol::channel::bounded::<()>(1);
        drop(broker);
        let task = runtime.spawn(owned(async move {
            let mut record = consumer.recv();
            assert!(poll_once(&mut record).await.is_none());
            waiting.send(()).await.unwrap();
            record.await.map(|record| record.offset)
        }));
        runtime.run(async move {
            waits.recv().await.unwrap();
            drop(task);
            // The sender goes with the task.
            assert!(waits.recv().await.is_err());
        });
        open_again(runtime, dir.path());
    }
}

/// The runtime drops the task's future on a thread of its own; what it owned may go last.
fn open_again(runtime: Runtime, dir: &std::path::Path) {
    let began = std::time::Instant::now();
    loop {
        match logreel::Broker::open(dir) {
            Ok(broker) => {
                assert!(broker.recovery_report().clean);
                return;
            }
            Err(error) => {
                assert_eq!(error.kind(), logreel::ErrorKind::DirectoryLocked);
                assert!(began.elapsed() < Duration::from_secs(20), "{runtime:?}: {error}");
                std::thread::yield_now();
            }
        }
    }
}
