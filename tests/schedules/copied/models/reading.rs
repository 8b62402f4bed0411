//! Readers beside writers.

use std::sync::Arc;
use std::time::Duration;

use logreel::{Broker, OffsetReset};
use shuttle::thread;

/// Two records of one batch are there together or not at all, and a reader that waits without an
/// end is woken for every batch.
pub(crate) fn publish_and_read() {
    let broker = Broker::builder().seed(1).topic("t").open().unwrap();
    let broker = Arc::new(broker);
    let reader = {
        let broker = Arc::clone(&broker);
        thread::spawn(move || {
            let consumer =
                broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
            consumer.assign([("t", 0)]).unwrap();
            let mut seen = Vec::new();
            while seen.len() < 4 {
                let records = consumer.poll(Duration::MAX).unwrap();
                assert_eq!(records.len() % 2, 0, "half a batch");
                seen.extend(records.iter().map(|record| record.offset()));
            }
            assert_eq!(seen, [0, 1, 2, 3]);
        })
    };
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    let writer = thread::spawn(move || {
        for _ in 0..2 {
            log.append([(None, Some("x")), (None, Some("y"))]).unwrap();
        }
    });
    writer.join().unwrap();
    reader.join().unwrap();
}
