//! What schedules found: each test brings about by hand what two threads came to by chance.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::homes::*;
use logreel::{Broker, OffsetReset, Storage};

/// A poll whose topic went between its look at the topics and its read answered an error that no
/// caller can do anything about.
#[test]
fn a_topic_that_is_deleted_under_a_poll() {
    let deletes = Arc::new(Mutex::new(None::<Broker>));
    let inside = Arc::clone(&deletes);
    let storage = Storage::observed(Storage::memory(), move |op, path| {
        // The poll looks for where to begin.
        if op == "read"
            && path.contains("t-0")
            && let Some(broker) = inside.lock().unwrap().take()
        {
            std::thread::spawn(move || broker.delete_topic("t").unwrap()).join().unwrap();
        }
        Ok(())
    });
    let broker = Broker::builder().storage(storage).auto_create_topics(false).open().unwrap();
    let write = |value: &str| {
        let log = broker.create_topic("t").unwrap().partition(0).unwrap();
        log.append([(None, Some(value))]).unwrap();
    };
    write("x");
    let age = OffsetReset::ByDuration(3600 * SECOND);
    let consumer = broker.consumer().auto_offset_reset(age).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    *deletes.lock().unwrap() = Some(broker.clone());
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    assert!(deletes.lock().unwrap().is_none(), "it was deleted meanwhile");
    write("y");
    let records = consumer.poll(10 * SECOND).unwrap();
    assert_eq!(records.iter().next().unwrap().value(), Some(&b"y"[..]));
}
