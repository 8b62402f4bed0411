//! The life of a digest: which segments have one, and that it goes with its segment.

use std::time::Duration;

use logreel::admin::verify_storage;
use logreel::testing::{MockClock, SimStorage};
use logreel::{Broker, NewTopic, OnDamage, Partition};

use crate::answers::Asked;
use crate::corpus::{Corpus, Left, MANIFEST, MARKER, NOW, builder_at};
use crate::judge::{Verdict, judge, judge_under};

/// Names in `t-0` that end so, without the ending.
fn ending(disk: &SimStorage, suffix: &str) -> Vec<String> {
    let files = disk.files().unwrap();
    let names = files.iter().filter_map(|(path, _)| path.strip_prefix("t-0/"));
    names.filter_map(|name| name.strip_suffix(suffix)).map(str::to_owned).collect()
}

fn made(policy: &str) -> (SimStorage, MockClock, Broker, Partition) {
    let (disk, clock) = (SimStorage::new(), MockClock::at_millis(NOW));
    let broker = builder_at(&disk, &clock);
    let broker = broker.set("log.retention.check.interval.ms", "1000").open().unwrap();
    let topic = NewTopic::new("t").set("cleanup.policy", policy).set("segment.bytes", "300");
    let topic = topic.set("min.cleanable.dirty.ratio", "0").set("file.delete.delay.ms", "0");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    (disk, clock, broker, log)
}

fn append(log: &Partition, keys: impl IntoIterator<Item = usize>) {
    for key in keys {
        let key = format!("key {key}");
        log.append([(key.as_str(), "some value")].map(|(k, v)| (Some(k), Some(v)))).unwrap();
    }
    log.sync().unwrap();
}

fn clean(clock: &MockClock) {
    for _ in 0..3 {
        clock.advance(Duration::from_secs(1));
    }
}

/// Every segment that may have gaps has a digest after a cleaning, also one that stayed as it was;
/// what is merged into another leaves none behind.
#[test]
fn every_cleaned_segment_has_a_digest_and_nothing_else_has() {
    let (disk, clock, broker, log) = made("compact");
    append(&log, 0..12);
    clean(&clock);
    assert!(ending(&disk, ".digest").is_empty(), "without gaps offsets prove each other");
    for round in 0..4 {
        append(&log, (0..7).map(|i| i * (round + 1)));
        clean(&clock);
        let (mut logs, digests) = (ending(&disk, ".log"), ending(&disk, ".digest"));
        assert!(logs.pop().is_some_and(|active| !digests.contains(&active)));
        assert_eq!(digests, logs, "round {round}");
        assert!(ending(&disk, ".tmp").is_empty() && log.uncleanable().is_none());
    }
    drop(log);
    broker.close().unwrap();
    let verified = verify_storage(&disk.storage()).unwrap();
    assert!(verified.is_sound() && verified.notes.is_empty(), "{verified:?}");
}

#[test]
fn a_digest_goes_with_its_segment() {
    let (disk, clock, broker, log) = made("compact,delete");
    append(&log, [0, 1, 0, 2, 0, 3, 0, 4, 5, 6, 7, 8]);
    clean(&clock);
    assert!(!ending(&disk, ".digest").is_empty());
    log.delete_records(log.log_end_offset()).unwrap();
    clean(&clock);
    assert!(ending(&disk, ".digest").is_empty(), "{:?}", ending(&disk, ""));
    drop(log);
    broker.delete_topic("t").unwrap();
    assert!(ending(&disk, "").is_empty());
}

/// Without one, or with one that cannot be read, nothing is refused.
#[test]
fn a_missing_or_damaged_digest_proves_nothing() {
    let corpus = Corpus::of(Left::Clean);
    for path in corpus.ending(".digest") {
        let missing = corpus.disk();
        missing.remove_file(path).unwrap();
        let damaged = corpus.with(path, b"logreel-digest 1 00000000\nsegment 0 3 1\n");
        let newer = String::from_utf8(corpus.file(path).to_vec()).unwrap();
        let newer = corpus.with(path, newer.replacen(" 1 ", " 9 ", 1).as_bytes());
        let huge = corpus.with(path, &vec![b'0'; 5 << 20]);
        for disk in [missing, damaged, newer, huge] {
            assert_eq!(judge(corpus, &disk, path), Ok(Verdict::Harmless));
        }
    }
}

/// What has no catalog of ours was compacted last by who knows whom.
#[test]
fn the_digests_of_an_adopted_directory_are_not_believed() {
    let corpus = Corpus::of(Left::Clean);
    let disk = corpus.disk();
    for (path, _) in &corpus.files {
        if path.starts_with("logreel.") {
            disk.remove_file(path).unwrap();
        }
    }
    for path in corpus.ending(".digest") {
        // Sound, but of other bytes.
        let other = corpus.ending(".digest").into_iter().find(|other| *other != path).unwrap();
        disk.put_file(path, corpus.file(other)).unwrap();
    }
    let verdict = judge_under(OnDamage::Serve, corpus, &disk, Asked::Topic("compact"));
    assert_eq!(verdict, Ok(Verdict::Harmless));
    let left = disk.files().unwrap();
    assert!(!left.iter().any(|(path, _)| path.ends_with(".digest")));
}

/// The active segment was lost with a power cut before it held anything: the last one is then one
/// that compaction went over, and is appended to. Its digest goes first.
#[test]
fn a_compacted_segment_that_is_appended_to_loses_its_digest() {
    let corpus = Corpus::of(Left::Clean);
    let disk = corpus.disk();
    for file in [MARKER, MANIFEST, "compact-0/00000000000000000010.log"] {
        disk.remove_file(file).unwrap();
    }
    let points = "0\n1\ncompact 0 10\n";
    disk.put_file("recovery-point-offset-checkpoint", points.as_bytes()).unwrap();
    let digest = "compact-0/00000000000000000006.digest";
    let has_digest = || disk.files().unwrap().iter().any(|(path, _)| path == digest);
    for more in 0..3 {
        let broker = builder_at(&disk, &MockClock::at_millis(NOW)).open().unwrap();
        let log = broker.topic("compact").unwrap().partition(0).unwrap();
        assert_eq!(log.log_end_offset(), 10 + more);
        log.read(6, 1 << 20).unwrap();
        append(&log, [1]);
        assert!(!has_digest());
        drop(log);
        broker.close().unwrap();
    }
    let verified = verify_storage(&disk.storage()).unwrap();
    assert!(verified.is_sound(), "{:?}", verified.findings);
}

/// The cleaner too reads through the digest: what is damaged is not compacted into something sound.
#[test]
fn damage_is_not_compacted_away() {
    let corpus = Corpus::of(Left::Clean);
    let path = "compact-0/00000000000000000003.log";
    let mut bytes = corpus.file(path).to_vec();
    bytes[7] ^= 1;
    let (disk, clock) = (corpus.with(path, &bytes), MockClock::at_millis(NOW + 60_000));
    let verified = verify_storage(&disk.storage()).unwrap();
    let finding = verified.findings.first().unwrap();
    assert!(finding.path.ends_with(path) && finding.position == Some(0), "{finding}");
    let broker = builder_at(&disk, &clock).open().unwrap();
    let log = broker.topic("compact").unwrap().partition(0).unwrap();
    append(&log, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
    clean(&clock);
    let error = log.uncleanable().unwrap();
    assert!(error.path().unwrap().ends_with(path), "{error}");
    let kept = disk.files().unwrap().into_iter().find(|(name, _)| name == path).unwrap();
    assert_eq!(kept.1, bytes);
}
