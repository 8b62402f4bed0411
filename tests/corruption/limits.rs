//! What the format cannot show. Each is small, and each is said in the documentation.

use crate::answers::{Answers, Asked};
use crate::corpus::{Corpus, LOG_STARTS, Left, PLAIN_START, older};
use crate::judge::{Verdict, judge, judge_answers};
use logreel::OnDamage;

/// A whole file of valid batches of another time at just the expected place: Kafka's batches do not
/// say which log they are of. What is read is what stands there; nothing made of both, and nothing
/// behind it that does not follow.
#[test]
fn a_whole_older_segment_at_the_expected_place_is_read() {
    let path = "plain-0/00000000000000000000.log";
    let (_, old) = older().iter().find(|(other, _)| other == path).unwrap();
    for left in [Left::Clean, Left::Killed] {
        let corpus = Corpus::of(left);
        let answers =
            Answers::of(&corpus.with(path, old), OnDamage::Serve, Asked::Topic("plain")).unwrap();
        let said = answers.topics["plain"].as_ref().unwrap();
        let first = said.records.first().unwrap();
        assert_eq!(first.offset, PLAIN_START);
        assert_eq!(first.value.as_deref(), Some(&b"older 1"[..]));
        let truth = corpus.truth().topics["plain"].as_ref().unwrap();
        for record in &said.records {
            let wanted = truth.records.iter().find(|wanted| wanted.offset == record.offset);
            let is_old = record.key.as_deref() == Some(b"old");
            assert!(is_old || wanted == Some(record), "{record:?}");
        }
    }
}

/// The same in the place of a compacted segment is detected: its digest knows.
#[test]
fn an_older_segment_in_the_place_of_a_compacted_one_is_detected() {
    let path = "compact-0/00000000000000000000.log";
    let (_, old) = older().iter().find(|(other, _)| other == path).unwrap();
    for left in [Left::Clean, Left::Killed] {
        let corpus = Corpus::of(left);
        let disk = corpus.with(path, old);
        assert_eq!(judge(corpus, &disk, path), Ok(Verdict::Detected));
    }
}

/// Kafka's checkpoint of log starts has no checksum, and after a kill no manifest that knows
/// better: a digit or a name that flips moves the start. Where the file cannot be read any more the
/// open says so. Nothing else is ever wrong, and after a clean close nothing is.
#[test]
fn a_log_start_checkpoint_is_believed_after_a_kill() {
    let corpus = Corpus::of(Left::Killed);
    let bytes = corpus.file(LOG_STARTS);
    let (mut moved, mut told) = (0, 0);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        let disk = corpus.with(LOG_STARTS, &changed);
        let answers = Answers::of(&disk, OnDamage::Serve, Asked::Everything).unwrap();
        if answers.repaired.iter().any(|what| what.contains(LOG_STARTS)) {
            told += 1;
            continue;
        }
        let why = judge_answers(corpus, &answers).unwrap_err();
        assert!(why.contains("it starts at"), "bit {bit}: {why}");
        moved += 1;
    }
    println!("log starts: {moved} moved, {told} told of");
    assert!(moved > 0 && told > moved / 2);
}

/// After a kill nothing says that the first segment was not deleted when its records expired.
#[test]
fn a_first_segment_that_is_missing_after_a_kill_was_deleted() {
    let corpus = Corpus::of(Left::Killed);
    let disk = corpus.disk();
    assert!(disk.remove_file("zstd-0/00000000000000000000.log").unwrap());
    let answers = Answers::of(&disk, OnDamage::Serve, Asked::Topic("zstd")).unwrap();
    let said = answers.topics["zstd"].as_ref().unwrap();
    assert!(said.start > 0 && said.stopped.is_none());
    assert_eq!(said.records.first().unwrap().offset, said.start);
}
