//! One record by its offset.

use logreel::{Broker, ErrorCode, NewTopic, Partition};

fn partition(broker: &Broker) -> Partition {
    broker.topic("t").unwrap().partition(0).unwrap()
}

/// A log of several segments, batches of three records.
fn fill(broker: &Broker, batches: usize) {
    broker.create_topic(NewTopic::new("t").set("segment.bytes", "1000")).unwrap();
    for batch in 0..batches {
        let values: Vec<String> = (0..3).map(|i| format!("value {}", batch * 3 + i)).collect();
        partition(broker).append(values.iter().map(|v| (Some("key"), Some(&v[..])))).unwrap();
    }
}

#[test]
fn every_record_is_found_and_the_log_end_is_none() {
    let broker = Broker::in_memory();
    fill(&broker, 100);
    let partition = partition(&broker);
    assert!(partition.segments().len() > 5);
    for offset in 0..300 {
        for record in [partition.get(offset), partition.get_without_crc(offset)] {
            let record = record.unwrap().unwrap();
            assert_eq!(record.offset, offset);
            assert_eq!(record.value.as_deref(), Some(format!("value {offset}").as_bytes()));
        }
    }
    assert_eq!(partition.get(300).unwrap(), None);
    for outside in [-1, 301] {
        let error = partition.get(outside).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange), "{outside}");
    }
}

#[test]
fn only_the_checksum_notices_a_value_that_changed() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    broker.create_topic("t").unwrap();
    partition(&broker).append([(Some("key"), Some("value"))]).unwrap();
    broker.close().unwrap();
    let path = dir.path().join("t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    // The last byte is the number of headers.
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let error = partition(&broker).get(0).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CorruptMessage));
    let record = partition(&broker).get_without_crc(0).unwrap().unwrap();
    assert_eq!(record.value.as_deref(), Some(&b"valud"[..]));
}
