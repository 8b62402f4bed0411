//! Batches that go out with one write leave the same bytes as batches written one by one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use crate::homes::*;
use logreel::testing::MockClock;
use logreel::{Acks, Broker, NewTopic, ProducerRecord};

/// Every file of the partition.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir.join("t-0")).unwrap().map(Result::unwrap);
    let named = entries.filter(|entry| entry.file_name() != "partition.metadata");
    named
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// Sends records as batches of one; `together` says how many go out at once.
fn write(
    settings: &[(&str, String)],
    sizes: &[usize],
    together: usize,
) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().dir(dir.path()).clock(&clock).seed(5).open().unwrap();
    let topic =
        settings.iter().fold(NewTopic::new("t"), |topic, (key, value)| topic.set(*key, value));
    broker.create_topic(topic).unwrap();
    let producer = broker.producer().acks(Acks::Leader).batch_size(0);
    let producer = producer.linger(Duration::from_secs(3600));
    // Full batches are run by who fills them; a fault keeps them waiting for each other.
    let producer = producer.retry_backoff(Duration::from_secs(60)).build().unwrap();
    for (group, sizes) in sizes.chunks(together).enumerate() {
        let keep = broker.testing().faults().on(logreel::testing::OpKind::Produce);
        let keep = keep.fail(logreel::ErrorCode::RequestTimedOut);
        for (index, size) in sizes.iter().enumerate() {
            let number = i64::try_from(group * together + index).unwrap();
            let record = ProducerRecord::to("t").value(vec![7; *size]);
            producer.send(record.timestamp(NOW + number * 10)).forget();
        }
        keep.remove();
        producer.flush(Duration::from_secs(3600)).unwrap();
    }
    drop(producer);
    broker.close().unwrap();
    files(dir.path())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn one_write_or_many_the_bytes_are_the_same(
        sizes in prop::collection::vec(0_usize..400, 1..120),
        together in 2_usize..80,
        segment in 600_i32..5000,
        interval in 0_i32..2000,
        index in 24_i32..400,
        roll in 50_i64..5000,
    ) {
        let settings = [
            ("segment.bytes", segment.to_string()),
            ("index.interval.bytes", interval.to_string()),
            ("segment.index.bytes", index.to_string()),
            ("segment.ms", roll.to_string()),
        ];
        let one_by_one = write(&settings, &sizes, 1);
        let grouped = write(&settings, &sizes, together);
        prop_assert!(one_by_one.keys().eq(grouped.keys()), "other files");
        for (name, bytes) in &one_by_one {
            prop_assert!(grouped.get(name) == Some(bytes), "{} differs", name);
        }
    }
}
