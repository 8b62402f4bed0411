//! Bytes as one of the small files beside the segments. Byte 0 chooses the file, byte 1 whether it
//! gets the frame and checksum that it should have, and whether the directory was closed cleanly.
//! The records stay what they are, or the partition says that it is damaged.

use std::sync::OnceLock;

use logreel::format::{AbortedTxn, OffsetIndexEntry, ProducerSnapshotEntry, TimeIndexEntry};
use logreel::testing::{MockClock, SimStorage};
use logreel::{Acks, Broker, NewTopic, OffsetReset, ProducerRecord};

use crate::script::Script;

const NOW: i64 = 1_700_000_000_000;
const LEN: i64 = 9;

/// The file, and the word in the frame of those that are ours.
const FILES: [(&str, Option<&str>); 13] = [
    ("t-0/00000000000000000009.snapshot", None),
    ("t-0/00000000000000000004.snapshot", None),
    ("recovery-point-offset-checkpoint", None),
    ("log-start-offset-checkpoint", None),
    ("cleaner-offset-checkpoint", None),
    ("t-0/leader-epoch-checkpoint", None),
    ("t-0/partition.metadata", None),
    ("logreel.catalog", Some("catalog")),
    ("logreel.catalog.copy", Some("catalog")),
    ("logreel.manifest", Some("manifest")),
    ("logreel.compacted", Some("compacted")),
    ("logreel.producer-ids", Some("producer-ids")),
    ("meta.properties", None),
];

fn disk() -> (SimStorage, Broker, MockClock) {
    let disk = SimStorage::new();
    let clock = MockClock::at_millis(NOW);
    let topic = NewTopic::new("t").set("segment.bytes", "300").set("index.interval.bytes", "0");
    let broker = Broker::builder().storage(disk.storage()).clock(&clock).topic(topic).open();
    (disk, broker.unwrap(), clock)
}

fn template() -> &'static [(String, Vec<u8>)] {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let (disk, broker, _) = disk();
        let producer = broker.producer().acks(Acks::All).build().unwrap();
        for n in 0..LEN {
            let record = ProducerRecord::to("t").value(n.to_string()).timestamp(NOW + n);
            producer.send(record).wait().unwrap();
        }
        drop(producer);
        broker.close().unwrap();
        disk.files().unwrap()
    })
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script(data);
    let (path, frame) = FILES[script.below(FILES.len())];
    let flags = script.byte();
    let mut bytes = script.0.to_vec();
    read_as_tools_do(&bytes);
    if frame == Some("catalog") && asks_for_many(&bytes) {
        // It may: a hundred thousand partitions take seconds, which is measured elsewhere.
        return;
    }
    match frame {
        Some(kind) if flags & 1 != 0 => {
            let head = format!("logreel-{kind} 1 {:08x}\n", crc32fast::hash(&bytes));
            bytes.splice(0..0, head.into_bytes());
        }
        None if flags & 1 != 0 && path.ends_with("snapshot") => {
            let crc = crc32c::crc32c(&bytes);
            bytes.splice(0..0, [&[0, 1][..], &crc.to_be_bytes()].concat());
            read_as_tools_do(&bytes);
        }
        _ => {}
    }
    let disk = SimStorage::new();
    for (path, content) in template() {
        let is_mark = path == ".kafka_cleanshutdown" || path == "logreel.manifest";
        if flags & 2 == 0 || !is_mark {
            let _ = disk.put_file(path, content);
        }
    }
    let _ = disk.put_file(path, &bytes);
    let first = open_and_read(&disk, path);
    let second = open_and_read(&disk, path);
    if let (Some((seen, true)), Some((again, _))) = (first, second) {
        assert_eq!(seen, again, "{path}: another open reads otherwise");
    }
}

/// What is read, and whether the close went well; `None` when the open was refused.
fn open_and_read(disk: &SimStorage, path: &str) -> Option<(Vec<i64>, bool)> {
    let clock = MockClock::at_millis(NOW + 1000);
    let broker = match Broker::builder().storage(disk.storage()).clock(&clock).open() {
        Ok(broker) => broker,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            assert!(path.starts_with("logreel."), "{path} stops the open: {error}");
            return None;
        }
    };
    let mut seen = Vec::new();
    if broker.topic("t").is_ok() {
        let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
        consumer.assign([("t", 0)]).unwrap();
        while let Ok(records) = consumer.poll(std::time::Duration::ZERO) {
            if records.is_empty() {
                break;
            }
            for record in &records {
                assert_eq!(record.value(), Some(record.offset().to_string().as_bytes()));
                seen.push(record.offset());
            }
        }
        assert!(seen.is_sorted_by(|a, b| a < b) && seen.iter().all(|offset| *offset < LEN));
    }
    let closed = broker.close().is_ok();
    Some((seen, closed))
}

fn asks_for_many(bytes: &[u8]) -> bool {
    bytes.split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() > 3)
}

fn read_as_tools_do(bytes: &[u8]) {
    assert_eq!(OffsetIndexEntry::read_all(bytes).count(), bytes.len() / 8);
    assert_eq!(TimeIndexEntry::read_all(bytes).count(), bytes.len() / 12);
    assert!(AbortedTxn::read_all(bytes).count() <= bytes.len() / 34);
    if let Some(entries) = ProducerSnapshotEntry::read_all(bytes) {
        assert_eq!(entries.len(), (bytes.len() - 10) / 46);
    }
}
