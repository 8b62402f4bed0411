//! Members of a group that only ever await: they take part in its rebalances all the same.

use std::time::Duration;

use crate::brokers;
use crate::runtimes::{Runtime, Smol, Task, Tokio};
use logreel::{Broker, ErrorKind, NewTopic, OffsetReset, ProducerRecord, WakeupHandle};

const PATIENCE: Duration = Duration::from_secs(20);

struct Member {
    stop: WakeupHandle,
    task: Task<()>,
}

fn member(broker: &Broker, runtime: Runtime, found: &smol::channel::Sender<i64>) -> Member {
    let settings = broker.group("g").member().auto_offset_reset(OffsetReset::Earliest);
    let consumer = settings.enable_auto_commit(false).build().unwrap();
    consumer.subscribe(["jobs"]).unwrap();
    let stop = consumer.wakeup_handle();
    let found = found.clone();
    let task = runtime.spawn(async move {
        loop {
            match consumer.recv().await {
                Ok(record) => {
                    found.send(crate::number(&record)).await.unwrap();
                    consumer.commit_async().await.unwrap();
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Wakeup);
                    return consumer.close().unwrap();
                }
            }
        }
    });
    Member { stop, task }
}

/// While one waits for records nobody else polls it; it is woken to give up what another takes.
#[test]
fn members_that_wait_are_woken_for_a_rebalance() {
    for runtimes in [[Tokio, Tokio], [Smol, Smol], [Tokio, Smol]] {
        for (broker, _dir) in brokers() {
            broker.create_topic(NewTopic::new("jobs").partitions(4)).unwrap();
            let producer = broker.producer().build().unwrap();
            let (found, finds) = smol::channel::unbounded();
            let mut sent = 0;
            let mut round = |members: usize| {
                broker.group("g").wait_stable(members, PATIENCE).unwrap();
                for number in sent..sent + 40 {
                    let record = ProducerRecord::to("jobs").partition((number % 4) as i32);
                    producer.send(record.value(number.to_string())).wait().unwrap();
                }
                let finds = finds.clone();
                let mut got = runtimes[0].run(async move {
                    let mut got = Vec::new();
                    while got.len() < 40 {
                        got.push(finds.recv().await.unwrap());
                    }
                    got
                });
                got.sort_unstable();
                assert_eq!(got, (sent..sent + 40).collect::<Vec<i64>>());
                sent += 40;
                // All are committed before anybody comes or goes, so that none is read again.
                broker.group("g").wait_drained(PATIENCE).unwrap();
            };
            let first = member(&broker, runtimes[0], &found);
            round(1);
            let second = member(&broker, runtimes[1], &found);
            round(2);
            first.stop.wakeup();
            runtimes[0].run(first.task);
            round(1);
            second.stop.wakeup();
            runtimes[1].run(second.task);
            assert!(finds.try_recv().is_err(), "each came once");
        }
    }
}
