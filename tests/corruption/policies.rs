//! The policies `Refuse` and `Truncate`, on a sample of what is tried under `Serve`.

use logreel::OnDamage;

use crate::answers::Asked;
use crate::corpus::{Corpus, LOG_STARTS, Left, campaign};
use crate::judge::{Tally, Verdict, judge_under};

/// One bit of so many; coprime to eight, so that all bits of a byte are met.
const EVERY: usize = 7;

/// Every so manieth bit of every file, asked of everything: `path` says only which file.
fn sample(policy: OnDamage) -> Tally {
    let mut tally = Tally::default();
    for left in [Left::Clean, Left::Killed] {
        let corpus = &Corpus::of_many(left);
        for (path, bytes) in corpus.files.iter().filter(|(path, _)| path != LOG_STARTS) {
            let step = if campaign() > 1 { 1 } else { EVERY };
            for bit in (0..bytes.len() * 8).step_by(step) {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let disk = corpus.with(path, &changed);
                let verdict = judge_under(policy, corpus, &disk, Asked::of(path));
                tally.take(format_args!("{policy:?}, {left:?}: bit {bit} of {path}"), verdict);
            }
        }
    }
    tally
}

#[test]
fn a_sample_under_refuse() {
    sample(OnDamage::Refuse).finish("flips under Refuse", 5000);
}

/// What is cut is told of, and the log takes appends at once.
#[test]
fn a_sample_under_truncate() {
    sample(OnDamage::Truncate).finish("flips under Truncate", 5000);
}

/// A log that was cut at damage opens again, the same, and takes what is appended.
#[test]
fn what_was_cut_stays_cut() {
    let corpus = Corpus::of(Left::Killed);
    let mut cases = 0;
    for path in corpus.ending(".log") {
        let bytes = corpus.file(path);
        for at in (0..bytes.len()).step_by(5) {
            let mut changed = bytes.to_vec();
            changed[at] ^= 16;
            let disk = corpus.with(path, &changed);
            let asked = Asked::of(path);
            let first = judge_under(OnDamage::Truncate, corpus, &disk, asked);
            assert!(first.is_ok(), "byte {at} of {path}: {first:?}");
            // Closed cleanly, it has nothing to tell the next open.
            let answers = crate::answers::Answers::of(&disk, OnDamage::Refuse, asked);
            let answers = answers.unwrap_or_else(|error| panic!("byte {at} of {path}: {error}"));
            for (name, said) in &answers.topics {
                let said = said.as_ref().unwrap();
                let is_sound = said.stopped.is_none() && said.appended.is_ok();
                // Damage that an open does not look at is met by a read.
                assert!(is_sound || first == Ok(Verdict::Detected), "byte {at} of {path}: {name}");
            }
            cases += 1;
        }
    }
    println!("{cases} logs cut and opened again");
    assert!(cases > 300);
}
