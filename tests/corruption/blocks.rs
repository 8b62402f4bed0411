//! Blocks of a disk that are lost, exchanged or written twice.

use crate::corpus::{Corpus, LOG_STARTS, Left};
use crate::judge::{Tally, judge};

/// A sector, and a page.
const BLOCKS: [usize; 2] = [512, 4096];

/// The file after something happened to its block at `at`; what is past its end is left out.
fn changes(bytes: &[u8], at: usize, len: usize) -> Vec<(&'static str, Vec<u8>)> {
    let end = (at + len).min(bytes.len());
    let with = |what, new: &[u8]| {
        let mut changed = bytes.to_vec();
        changed[at..at + new.len()].copy_from_slice(new);
        (what, changed)
    };
    let mut changed = vec![
        with("zeros", &vec![0; end - at]),
        with("ones", &vec![0xff; end - at]),
        ("left out", [&bytes[..at], &bytes[end..]].concat()),
        ("written twice", [&bytes[..end], &bytes[at..]].concat()),
    ];
    // Another block of the same file, whole or not.
    for other in [0, bytes.len() / len / 2 * len].into_iter().filter(|other| *other != at) {
        let other_end = (other + len).min(bytes.len());
        let size = (end - at).min(other_end - other);
        changed.push(with("another", &bytes[other..other + size]));
        let (_, mut swapped) = with("", &bytes[other..other + size]);
        swapped[other..other + size].copy_from_slice(&bytes[at..at + size]);
        changed.push(("swapped", swapped));
    }
    changed
}

fn every_block(left: Left) -> Tally {
    let corpus = Corpus::of_blocks(left);
    let mut tally = Tally::default();
    let mut large = 0;
    for (path, bytes) in corpus.files.iter().filter(|(path, _)| path != LOG_STARTS) {
        large += usize::from(path.ends_with(".log") && bytes.len() > 2 * BLOCKS[1]);
        for len in BLOCKS {
            for at in (0..bytes.len()).step_by(len) {
                for (what, changed) in changes(bytes, at, len) {
                    let verdict = judge(&corpus, &corpus.with(path, &changed), path);
                    let case = format_args!("{left:?}: {what} at {at} of {path}, {len} bytes");
                    tally.take(case, verdict);
                }
            }
        }
    }
    assert!(large >= 4, "only {large} segments have more than two pages");
    tally
}

#[test]
fn every_block_of_a_closed_directory() {
    every_block(Left::Clean).finish("blocks after a close", 1000);
}

#[test]
fn every_block_of_a_killed_directory() {
    every_block(Left::Killed).finish("blocks after a kill", 1000);
}
