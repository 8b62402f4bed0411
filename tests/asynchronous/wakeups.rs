//! What wakes a future while every thread that could poll it is parked.

use std::sync::mpsc;

use crate::runtimes::{Counted, PATIENCE, Runtime, Smol, Tokio};
use crate::{brokers, number, reader, send};
use logreel::{Broker, Consumer, ErrorKind, Record, Result};

/// Has a future wait on a thread that does nothing else, lets `act` happen once it has left its
/// waker, and answers what comes out, with the number of polls that took.
fn woken_by(
    runtime: Runtime,
    consumer: Consumer,
    act: impl FnOnce() + Send + 'static,
) -> (Result<Record>, usize) {
    let (waiting, waits) = mpsc::channel();
    let actor = std::thread::spawn(move || {
        waits.recv().unwrap();
        act();
    });
    let wait = async move {
        let mut record = Counted::new(consumer.recv());
        assert!(smol::future::poll_once(&mut record).await.is_none());
        waiting.send(()).unwrap();
        record.await
    };
    let (answer, woken) = mpsc::channel();
    // One thread, whose only task is this.
    std::thread::spawn(move || {
        let outcome = match runtime {
            Tokio => tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(wait),
            Smol => smol::block_on(wait),
        };
        answer.send(outcome).unwrap();
    });
    actor.join().unwrap();
    woken.recv_timeout(PATIENCE).expect("it was not woken")
}

#[test]
fn a_record_from_another_thread_wakes() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let producer = broker.producer().build().unwrap();
            for round in 0..20 {
                let (consumer, producer) = (reader(&broker), producer.clone());
                consumer.seek(("t", 0), round).unwrap();
                let act = move || drop(send(&producer, round).wait().unwrap());
                let (record, polls) = woken_by(runtime, consumer, act);
                assert_eq!(number(&record.unwrap()), round);
                // The first, the one of `await`, and one for the wake-up: nobody is busy waiting.
                assert!(polls <= 3, "polled {polls} times");
            }
        }
    }
}

#[test]
fn a_wakeup_and_a_close_end_it() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let consumer = reader(&broker);
            let stop = consumer.wakeup_handle();
            let (ended, _) = woken_by(runtime, consumer, move || stop.wakeup());
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::Wakeup);

            let consumer = reader(&broker);
            let (ended, _) = woken_by(runtime, consumer, move || broker.close().unwrap());
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::Closed);
        }
    }
}

/// Who makes the topic is another part of the program.
#[test]
fn a_topic_that_comes_wakes() {
    for runtime in [Tokio, Smol] {
        let broker = Broker::in_memory();
        let settings = broker.consumer().allow_auto_create_topics(false);
        let settings = settings.auto_offset_reset(logreel::OffsetReset::Earliest);
        let consumer = settings.build().unwrap();
        consumer.assign([("t", 0)]).unwrap();
        let producer = broker.producer().build().unwrap();
        let (record, _) = woken_by(runtime, consumer, move || {
            broker.create_topic("t").unwrap();
            send(&producer, 5).wait().unwrap();
        });
        assert_eq!(number(&record.unwrap()), 5);
    }
}
