//! What this suite found, each by its name.

use std::time::Duration;

use logreel::testing::SimStorage;
use logreel::{
    Broker, ErrorCode, IsolationLevel, OffsetReset, OffsetSpec, OnDamage, Partition, Result,
};

use crate::corpus::{Corpus, LOG_STARTS, Left, NOW, PLAIN_START, open};

const PLAIN: [&str; 2] = ["plain-0/00000000000000000000.log", "plain-0/00000000000000000003.log"];
const COMPACT: [&str; 2] =
    ["compact-0/00000000000000000000.log", "compact-0/00000000000000000003.log"];
const ABORTED: &str = "aborted-0/00000000000000000000.log";

fn opened(disk: &SimStorage) -> Broker {
    open(disk, OnDamage::Serve).unwrap()
}

fn log(broker: &Broker, topic: &str) -> Partition {
    broker.topic(topic).unwrap().partition(0).unwrap()
}

fn flipped(corpus: &Corpus, path: &str, at: usize) -> SimStorage {
    let mut bytes = corpus.file(path).to_vec();
    bytes[at] ^= 1;
    corpus.with(path, &bytes)
}

fn at_time(log: &Partition, millis: i64) -> Result<Option<i64>> {
    let found = log.offset_for(OffsetSpec::Timestamp(NOW + millis))?;
    Ok(found.map(|found| found.offset))
}

#[track_caller]
fn assert_damage<T: std::fmt::Debug>(answer: Result<T>, path: &str) {
    let error = answer.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CorruptMessage), "{error}");
    assert!(error.position().is_some() && error.path().unwrap().ends_with(path), "{error}");
}

/// Where the second batch begins.
fn second_batch(corpus: &Corpus, path: &str) -> usize {
    let bytes = corpus.file(path);
    12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize
}

/// Kafka's checksum leaves out the base offset; where compaction had left gaps nothing else proved
/// it, and a flipped bit gave records other offsets.
#[test]
fn a_flipped_base_offset_of_a_compacted_batch_went_unnoticed() {
    let corpus = Corpus::of(Left::Clean);
    // The lowest bit of the base offset of a batch behind a gap.
    let disk = flipped(corpus, COMPACT[1], 7);
    assert_damage(log(&opened(&disk), "compact").read(3, 1 << 20), COMPACT[1]);
}

/// The lookup that met damage rebuilt the index, which ended there then; the next lookup believed
/// it, and found that no record was so late.
#[test]
fn a_lookup_by_time_forgot_the_damage_it_had_met() {
    let corpus = Corpus::of(Left::Clean);
    let broker = opened(&flipped(corpus, ABORTED, second_batch(corpus, ABORTED) + 30));
    let log = log(&broker, "aborted");
    for _ in 0..3 {
        assert_damage(at_time(&log, 1), ABORTED);
    }
    assert_damage(log.offset_for(OffsetSpec::MaxTimestamp), ABORTED);
    assert_eq!(at_time(&log, 0).unwrap(), Some(0));
}

/// The index of a killed process is rebuilt, up to damage; a lookup went on in the next segment and
/// answered with a later record.
#[test]
fn a_lookup_by_time_passed_over_a_damaged_segment() {
    let corpus = Corpus::of(Left::Killed);
    let second = second_batch(corpus, PLAIN[0]);
    let broker = opened(&flipped(corpus, PLAIN[0], second + 30));
    let log = log(&broker, "plain");
    for millis in [1, 2, 3, 6] {
        assert_damage(at_time(&log, millis), PLAIN[0]);
    }
    assert_damage(log.offset_for(OffsetSpec::MaxTimestamp), PLAIN[0]);
}

/// A group that had committed behind the damage was out of range there, and its reset policy sent
/// it to the beginning or past everything.
#[test]
fn reads_behind_damage_were_out_of_range() {
    let corpus = Corpus::of(Left::Killed);
    // The last segment holds the recovery point, so that the open finds the damage.
    let broker = opened(&flipped(corpus, ABORTED, second_batch(corpus, ABORTED) + 30));
    assert_eq!(broker.recovery_report().damaged().count(), 1);
    assert_damage(log(&broker, "aborted").read(4, 1), ABORTED);
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Latest).build().unwrap();
    consumer.assign([("aborted", 0)]).unwrap();
    consumer.seek(("aborted", 0), OffsetSpec::At(4)).unwrap();
    assert_damage(consumer.poll(Duration::ZERO), ABORTED);
    // A lookup by time too found nothing where it should have said why.
    assert_damage(at_time(&log(&broker, "aborted"), 4), ABORTED);
}

/// Whoever had sought past a damaged batch was told of it again, as long as both lay in one stretch
/// of the offset index.
#[test]
fn a_reader_was_stopped_by_damage_that_it_had_sought_past() {
    let corpus = Corpus::of(Left::Clean);
    let broker = opened(&flipped(corpus, ABORTED, second_batch(corpus, ABORTED) + 30));
    let log = log(&broker, "aborted");
    assert_damage(log.read(1, 1 << 20), ABORTED);
    let behind = log.read(2, 1 << 20).unwrap();
    assert!(behind.iter().all(|record| record.offset() >= 2), "{behind:?}");
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("aborted", 0)]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    assert_damage(consumer.poll(Duration::ZERO), ABORTED);
    consumer.seek(("aborted", 0), OffsetSpec::At(2)).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), behind.len());
    let appended = log.append([(Some("k"), Some("v"))]).unwrap();
    assert_eq!(log.read(appended.base_offset, 1).unwrap().len(), 1);
}

/// The marker that ends the transaction lay behind the damage: a committed reader was told that
/// there was nothing yet, for ever.
#[test]
fn committed_readers_waited_for_a_transaction_that_damage_had_left_open() {
    let corpus = Corpus::of(Left::Killed);
    let first_end = second_batch(corpus, ABORTED);
    let bytes = corpus.file(ABORTED);
    let size = u32::from_be_bytes(bytes[first_end + 8..first_end + 12].try_into().unwrap());
    let third = first_end + 12 + size as usize;
    let broker = opened(&flipped(corpus, ABORTED, third + 30));
    let consumer = broker.consumer().isolation_level(IsolationLevel::ReadCommitted);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("aborted", 0)]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    assert_damage(consumer.poll(Duration::ZERO), ABORTED);
}

/// A digit of Kafka's checkpoint, which has no checksum, hid records of a directory that was closed
/// cleanly, though the manifest knows where the log begins.
#[test]
fn a_log_start_checkpoint_was_believed_over_the_manifest() {
    let corpus = Corpus::of(Left::Clean);
    let disk = corpus.with(LOG_STARTS, b"0\n1\nplain 0 5\n");
    assert_eq!(log(&opened(&disk), "plain").log_start_offset(), PLAIN_START);
}

/// A file that looked like a compaction about to end, and was not, had segments deleted.
#[test]
fn a_swap_from_nowhere_replaced_segments() {
    let corpus = Corpus::of(Left::Clean);
    let foreign = "compact-0/00000000000000000001.log.swap";
    let disk = corpus.with(foreign, corpus.file("compact-0/00000000000000000006.log"));
    let read = |disk: &SimStorage| {
        let broker = opened(disk);
        let report = broker.recovery_report().clone();
        let log = log(&broker, "compact");
        let records = log.read(log.log_start_offset(), 1 << 20).unwrap().to_vec();
        broker.close().unwrap();
        (records, report)
    };
    let (records, report) = read(&disk);
    assert_eq!(records, read(&corpus.disk()).0);
    assert_eq!(report.damaged().count(), 0, "{report:?}");
    let ignored: Vec<&String> = report.partitions.iter().flat_map(|p| &p.ignored).collect();
    assert_eq!(ignored, ["00000000000000000001.log.swap"]);
    // It is still there, for who knows what it is, and does no harm.
    assert_eq!(read(&disk).0, records);
    assert!(disk.files().unwrap().iter().any(|(path, _)| path == foreign));
}

/// Between compacted segments offsets may be missing, so a whole segment could be.
#[test]
fn a_compacted_segment_that_was_missing_was_not_missed() {
    // A clean close wrote down which there were; then the open itself finds that one is missing,
    // and names the one behind it.
    let behind = "compact-0/00000000000000000006.log";
    for (left, path) in [(Left::Clean, behind), (Left::Killed, COMPACT[0])] {
        let disk = Corpus::of(left).disk();
        assert!(disk.remove_file(COMPACT[1]).unwrap());
        let broker = opened(&disk);
        let log = log(&broker, "compact");
        assert_damage(log.read(3, 1 << 20), path);
        assert_damage(at_time(&log, 60), COMPACT[0]);
    }
}

/// The first segment was missing after a clean close: the log began behind it, as if its records
/// had expired.
#[test]
fn a_first_segment_missing_after_a_clean_close_was_taken_for_deleted() {
    for (topic, path) in [("plain", PLAIN[0]), ("compact", COMPACT[0])] {
        let corpus = Corpus::of(Left::Clean);
        let disk = corpus.disk();
        assert!(disk.remove_file(path).unwrap());
        let broker = opened(&disk);
        let log = log(&broker, topic);
        let start = if topic == "plain" { PLAIN_START } else { 0 };
        assert_eq!(log.log_start_offset(), start);
        let error = log.read(start, 1).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::CorruptMessage), "{error}");
    }
}
