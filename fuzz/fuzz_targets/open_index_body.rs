//! Bytes as the indexes of a sound segment, in a directory that Kafka closed or that nobody closed:
//! every lookup finds what a rebuild finds. Byte 0 has flags; then three files, each with two
//! bytes of length: offset, time and transaction index.
//!
//! Offset indexes are checked when used. What a time index of Kafka's says too late cannot be seen
//! without reading everything, so of those only the truth of what is found is asked; the same goes
//! for its transaction index.

use std::sync::OnceLock;

use logreel::record::{BatchBuilder, ControlRecord};
use logreel::testing::{MockClock, SimStorage};
use logreel::{Broker, IsolationLevel, OffsetReset, OffsetSpec, Partition};

use crate::script::Script;

const NOW: i64 = 1_700_000_000_000;
const LEN: i64 = 24;
const SECOND: i64 = 16;
const PRODUCER: i64 = 77;

fn batch(offset: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    if matches!(offset, 5 | 7) {
        let sequence = i32::from(offset == 7);
        builder = builder.producer(PRODUCER, 0, sequence).transactional();
    }
    let value = format!("value {offset} {}", "x".repeat(300));
    builder.append(Some(time_of(offset)), None, Some(value.as_bytes()), &[]).unwrap();
    let mut sealed = match offset {
        9 => {
            let marker = ControlRecord::Abort { coordinator_epoch: 0 };
            BatchBuilder::marker(Some(time_of(9)), PRODUCER, 0, marker).unwrap()
        }
        _ => builder.seal().unwrap(),
    };
    sealed.assign(offset, 0);
    sealed.into_bytes()
}

/// Up and down, so that not each batch has a time entry.
fn time_of(offset: i64) -> i64 {
    NOW + offset * 10 - (offset % 3) * 25
}

fn segments() -> &'static [(String, Vec<u8>)] {
    static SEGMENTS: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    SEGMENTS.get_or_init(|| {
        let log = |range: std::ops::Range<i64>| {
            (format!("t-0/{:020}.log", range.start), range.flat_map(batch).collect())
        };
        vec![log(0..SECOND), log(SECOND..LEN)]
    })
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script(data);
    let flags = script.byte();
    let clean = flags & 1 != 0;
    let base = if flags & 2 != 0 { SECOND } else { 0 };
    let disk = SimStorage::new();
    segments().iter().for_each(|(path, bytes)| disk.put_file(path, bytes).unwrap());
    for kind in ["index", "timeindex", "txnindex"] {
        let bytes = script.long();
        // Kafka makes the one of transactions only where there are any.
        if kind != "txnindex" || !bytes.is_empty() {
            disk.put_file(&format!("t-0/{base:020}.{kind}"), bytes).unwrap();
        }
    }
    if clean {
        let _ = disk.put_file(".kafka_cleanshutdown", b"");
    }
    let clock = MockClock::at_millis(NOW + 1_000_000);
    let broker = Broker::builder().storage(disk.storage()).clock(&clock).open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, LEN));
    check_reads(&log);
    check_times(&log, clean);
    check_committed(&broker, clean);
    // The active segment goes on where the index ends.
    log.append([(None, Some("appended"))]).unwrap();
    drop(log);
    broker.close().unwrap();
    let broker = Broker::builder().storage(disk.storage()).clock(&clock).open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(log.log_end_offset(), LEN + 1);
    check_reads(&log);
}

fn check_reads(log: &Partition) {
    // From the end to the beginning, so that each is a lookup.
    for offset in (0..LEN).rev() {
        let records = log.read(offset, 1).unwrap();
        if offset == 9 {
            continue;
        }
        let record = records.iter().next().unwrap();
        assert_eq!(record.offset(), offset);
        assert!(record.value().unwrap().starts_with(format!("value {offset} ").as_bytes()));
        assert_eq!(record.timestamp(), Some(time_of(offset)));
    }
}

fn check_times(log: &Partition, clean: bool) {
    for wanted in (NOW - 60..NOW + 260).step_by(15) {
        let found = log.offset_for(OffsetSpec::Timestamp(wanted)).unwrap();
        let expected = (0..LEN).find(|offset| time_of(*offset) >= wanted);
        if let Some(found) = &found {
            assert!(
                found.timestamp.is_none_or(|time| time >= wanted && time == time_of(found.offset))
            );
        }
        if !clean {
            assert_eq!(found.map(|found| found.offset), expected, "of {}", wanted - NOW);
        }
    }
}

fn check_committed(broker: &Broker, clean: bool) {
    let consumer = broker
        .consumer()
        .isolation_level(IsolationLevel::ReadCommitted)
        .auto_offset_reset(OffsetReset::Earliest)
        .build()
        .unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let seen: Vec<i64> =
        consumer.read_to_end().unwrap().iter().map(|record| record.offset()).collect();
    let plain = |offset: &i64| !matches!(offset, 5 | 7 | 9);
    if clean {
        assert!((0..LEN).filter(plain).all(|offset| seen.contains(&offset)), "{seen:?}");
        assert!(seen.is_sorted_by(|a, b| a < b));
    } else {
        assert!((0..LEN).filter(plain).eq(seen.iter().copied()), "{seen:?}");
    }
}
