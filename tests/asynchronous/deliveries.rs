//! Deliveries go from one runtime to another, and are what they are.

use std::time::Duration;

use crate::runtimes::{Counted, Smol, Tokio};
use crate::{brokers, send};
use logreel::{ErrorCode, ProducerRecord};
use smol::future::poll_once;

/// Made and polled here, awaited there: the waker that was left last is the one that is called.
#[test]
fn a_delivery_may_change_its_runtime() {
    for (here, there) in [(Tokio, Smol), (Smol, Tokio)] {
        for (broker, _dir) in brokers() {
            let lingering = broker.producer().linger(Duration::from_millis(5));
            let producer = lingering.build().unwrap();
            let mut changed = 0;
            for number in 0..20 {
                let producer = producer.clone();
                let (delivery, pending) = here.run(async move {
                    let mut delivery = send(&producer, number);
                    let pending = poll_once(&mut delivery).await.is_none();
                    (delivery, pending)
                });
                // Else it has lingered already, on a machine that was busy.
                if pending {
                    let placed = there.run(delivery).unwrap();
                    assert_eq!(placed.offset(), Some(number));
                    changed += 1;
                }
            }
            assert!(changed > 0);
        }
    }
}

#[test]
fn a_batch_is_awaited_as_one() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let producer = broker.producer().build().unwrap();
            let records = (0..100).map(|n| ProducerRecord::to("t").value(vec![n]));
            let batch = producer.send_batch(records);
            let placed = runtime.run(batch).unwrap();
            let offsets: Vec<_> = placed.iter().map(|placed| placed.offset().unwrap()).collect();
            assert_eq!(offsets, (0..100).collect::<Vec<_>>());
        }
    }
}

/// An error that came before the record was taken is there at once.
#[test]
fn an_early_error_needs_no_waiting() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let producer = broker.producer().build().unwrap();
            let (error, polls) = runtime.run(async move {
                let there_is_none = ProducerRecord::to("t").partition(7).value("x");
                Counted::new(producer.send(there_is_none)).await
            });
            assert_eq!(error.unwrap_err().code(), Some(ErrorCode::UnknownTopicOrPartition));
            assert_eq!(polls, 1);
        }
    }
}

/// It is polled to leave its waker, and when that was called.
#[test]
fn a_delivery_is_woken_once() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let lingering = broker.producer().linger(Duration::from_millis(20));
            let producer = lingering.build().unwrap();
            let (placed, polls) =
                runtime.run(async move { Counted::new(send(&producer, 0)).await });
            assert_eq!(placed.unwrap().offset(), Some(0));
            assert!(polls <= 2, "polled {polls} times");
        }
    }
}
