//! Every bit of every file, and every two bits of a batch's header.

use crate::corpus::{Corpus, LOG_STARTS, Left, campaign};
use crate::judge::{Tally, judge};

/// The bytes of a batch's header.
const HEADER_LEN: usize = 61;
/// Those of them that the checksum does not cover: base offset, length, leader epoch and magic.
const UNCOVERED_LEN: usize = 17;

fn flipped(bytes: &[u8], bits: &[usize]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for bit in bits {
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    bytes
}

/// The untouched directory, closed or killed, says what was appended.
#[test]
fn the_untouched_directory_says_what_was_appended() {
    for left in [Left::Clean, Left::Killed] {
        let truth = Corpus::of(left).truth();
        for (name, said) in &truth.topics {
            let said = said.as_ref().unwrap();
            assert!(said.stopped.is_none() && said.committed_stopped.is_none(), "{name}");
            assert!(said.records.len() >= 4, "{name}: {}", said.records.len());
            assert_eq!(*said.appended.as_ref().unwrap(), said.end, "{name}");
            assert!(said.times.iter().all(|(_, found)| found.is_ok()), "{name}");
        }
        let aborted = truth.topics["aborted"].as_ref().unwrap();
        assert_eq!(aborted.committed, [0, 2, 4]);
        assert_eq!(truth.commits.as_ref().unwrap().as_ref().unwrap().iter().count(), 2);
        assert!(truth.reports.iter().all(|report| report.damaged.is_none()));
        let compact = truth.topics["compact"].as_ref().unwrap();
        assert!((compact.records.len() as i64) < compact.end, "compaction left no gaps");
    }
    let corpus = Corpus::of(Left::Clean);
    for kind in [
        ".log",
        ".index",
        ".timeindex",
        ".txnindex",
        ".snapshot",
        ".digest",
        "catalog",
        "catalog.copy",
        "manifest",
        "checkpoint",
        "producer-ids",
        "compacted",
        "partition.metadata",
        "cleanshutdown",
        ".lock",
    ] {
        assert!(!corpus.ending(kind).is_empty(), "no {kind} among {:?}", corpus.ending(""));
    }
    assert!(corpus.ending(".digest").len() >= 2, "{:?}", corpus.ending(""));
    let verified = logreel::admin::verify_storage(&corpus.disk().storage()).unwrap();
    assert!(verified.is_sound(), "{:?}", verified.findings);
}

fn every_bit(left: Left, is_checked: impl Fn(&str) -> bool) -> Tally {
    let corpus = &Corpus::of_many(left);
    let mut tally = Tally::default();
    for (path, bytes) in corpus.files.iter().filter(|(path, _)| is_checked(path)) {
        for bit in 0..bytes.len() * 8 {
            let disk = corpus.with(path, &flipped(bytes, &[bit]));
            let verdict = judge(corpus, &disk, path);
            tally.take(format_args!("{left:?}: bit {bit} of {path}"), verdict);
        }
    }
    tally
}

#[test]
fn every_bit_of_a_closed_directory() {
    every_bit(Left::Clean, |_| true).finish("flips after a close", 10_000);
}

/// What the log start checkpoint says after a kill is the business of `limits`.
#[test]
fn every_bit_of_a_killed_directory() {
    every_bit(Left::Killed, |path| path != LOG_STARTS).finish("flips after a kill", 10_000);
}

/// Two bits of a header that was never compacted, and of one that was.
#[test]
fn every_two_bits_of_a_header() {
    let corpus = Corpus::of(Left::Clean);
    let of = |topic: &str| {
        let logs = corpus.ending(".log");
        *logs.iter().find(|path| path.starts_with(topic) && !corpus.file(path).is_empty()).unwrap()
    };
    let mut tally = Tally::default();
    for path in [of("plain"), of("compact")] {
        let bytes = corpus.file(path);
        // Of a log without gaps those that the checksum does not cover, unless there is time.
        let is_all = path.starts_with("compact") || campaign() > 1;
        let bits = if is_all { HEADER_LEN } else { UNCOVERED_LEN } * 8;
        for first in 0..bits {
            for second in 0..first {
                let disk = corpus.with(path, &flipped(bytes, &[first, second]));
                let verdict = judge(corpus, &disk, path);
                tally.take(format_args!("bits {first} and {second} of {path}"), verdict);
            }
        }
    }
    assert_eq!(tally.harmless, 0, "a header is no cache");
    tally.finish("pairs of bits", 118_828 + 9180);
}
