//! Files that are cut, extended, missing, another's or of another time.

use logreel::record::RecordBatch;
use logreel::testing::SimStorage;

use crate::corpus::{Corpus, LOG_STARTS, Left, older};
use crate::judge::{Tally, judge};

/// The part of a name that says what a file is for.
pub(crate) fn kind(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.find('.').map_or(name, |dot| &name[dot..])
}

/// Whether a file holds whole batches at just the place where those of another should be: no
/// format of Kafka's can tell them apart. `limits` says what is read then.
pub(crate) fn fits(corpus: &Corpus, path: &str, bytes: &[u8]) -> bool {
    let has_digest = corpus.files.iter().any(|(name, _)| *name == path.replace(".log", ".digest"));
    if !path.ends_with(".log") || has_digest {
        return false;
    }
    let base: i64 = path[path.len() - 24..path.len() - 4].parse().unwrap();
    let first = RecordBatch::parse(bytes.to_vec().into());
    first.is_ok_and(|batch| batch.header().base_offset() == base)
}

/// Of a killed directory the first segment of a log may have been deleted: nothing else says that
/// it was not.
pub(crate) fn may_be_deleted(left: Left, path: &str) -> bool {
    left == Left::Killed && path.ends_with("00000000000000000000.log")
}

fn every_cut(left: Left) -> Tally {
    let corpus = &Corpus::of_many(left);
    let mut tally = Tally::default();
    for (path, bytes) in corpus.files.iter().filter(|(path, _)| path != LOG_STARTS) {
        for len in 0..bytes.len() {
            let verdict = judge(corpus, &corpus.with(path, &bytes[..len]), path);
            tally.take(format_args!("{left:?}: {path} cut at {len}"), verdict);
        }
        for more in [1, 8, 12, 17, 60, 61, 100, 512, 4096] {
            for fill in [0u8, 0x20, 0xff] {
                let long = [&bytes[..], &vec![fill; more]].concat();
                let verdict = judge(corpus, &corpus.with(path, &long), path);
                tally.take(format_args!("{left:?}: {path} and {more} of {fill}"), verdict);
            }
        }
        let twice = [&bytes[..], bytes].concat();
        let verdict = judge(corpus, &corpus.with(path, &twice), path);
        tally.take(format_args!("{left:?}: {path} twice"), verdict);
    }
    tally
}

#[test]
fn every_file_of_a_closed_directory_cut_and_extended() {
    every_cut(Left::Clean).finish("cuts after a close", 4000);
}

#[test]
fn every_file_of_a_killed_directory_cut_and_extended() {
    every_cut(Left::Killed).finish("cuts after a kill", 4000);
}

#[test]
fn every_file_missing() {
    let mut tally = Tally::default();
    for left in [Left::Clean, Left::Killed] {
        let corpus = Corpus::of(left);
        for (path, _) in &corpus.files {
            if path == LOG_STARTS || may_be_deleted(left, path) {
                continue;
            }
            let disk = corpus.disk();
            assert!(disk.remove_file(path).unwrap());
            tally.take(format_args!("{left:?}: {path} is missing"), judge(corpus, &disk, path));
        }
    }
    tally.finish("missing files", 100);
}

/// Every file in the place of every other of its kind: one of them lost, or both exchanged; and in
/// place of each what another time had there.
#[test]
fn every_file_anothers() {
    let mut tally = Tally::default();
    let mut fitting = 0;
    for left in [Left::Clean, Left::Killed] {
        let corpus = Corpus::of(left);
        for (path, bytes) in corpus.files.iter().filter(|(path, _)| path != LOG_STARTS) {
            let mut try_one = |what: String, others: &[(&str, &[u8])]| {
                if others.iter().any(|(path, bytes)| fits(corpus, path, bytes)) {
                    fitting += 1;
                    return;
                }
                let disk: SimStorage = corpus.disk();
                for (path, bytes) in others {
                    disk.put_file(path, bytes).unwrap();
                }
                let verdict = judge(corpus, &disk, others.last().unwrap().0);
                tally.take(format_args!("{left:?}: {what}"), verdict);
            };
            for (other, instead) in corpus.files.iter().filter(|(other, _)| other != path) {
                if kind(other) == kind(path) && instead != bytes {
                    try_one(format!("{path} is {other}"), &[(path, instead)]);
                    try_one(
                        format!("{path} and {other} exchanged"),
                        &[(other, bytes), (path, instead)],
                    );
                }
            }
            for (_, instead) in older().iter().filter(|(other, old)| other == path && old != bytes)
            {
                try_one(format!("{path} is older"), &[(path, instead)]);
            }
        }
    }
    println!("{fitting} cases in which whole batches fit: no format tells them apart");
    assert!(fitting > 0);
    tally.finish("files of others", 1000);
}
