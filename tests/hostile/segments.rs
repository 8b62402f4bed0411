//! Segments that contradict each other, and what an interrupted swap may be made to look like.

use std::fs;

use logreel::Broker;

use crate::homes::*;

type Named = (String, Vec<u8>);

fn log(base: i64, bytes: Vec<u8>) -> Named {
    (format!("{base:020}.log"), bytes)
}

/// These files are the whole partition `t-0`, of ours or of Kafka's, closed cleanly or not.
fn partition(what: &str, files: Vec<Named>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (ours, point) in [(true, 0), (true, 5), (false, 0), (false, 5)] {
        for clean in [true, false] {
            let files = files.clone();
            let name = format!("{what}, ours {ours}, point {point}, clean {clean}");
            outcomes.push(try_everything_quietly(&name, move |dir| {
                if ours {
                    let made = killed(&[], point);
                    copy_dir(made.path(), dir);
                    fs::remove_file(segment(dir, 0, "log")).unwrap_or_default();
                } else {
                    fs::create_dir(dir.join("t-0")).unwrap();
                    let points = format!("0\n1\nt 0 {point}\n");
                    fs::write(dir.join("recovery-point-offset-checkpoint"), points).unwrap();
                }
                if clean {
                    fs::write(dir.join(".kafka_cleanshutdown"), "").unwrap();
                }
                for (name, bytes) in &files {
                    fs::write(dir.join("t-0").join(name), bytes).unwrap();
                }
            }));
        }
    }
    outcomes
}

/// What is read never has an offset twice, and never goes back.
fn ascend(what: &str, outcomes: &[Outcome]) {
    for outcome in outcomes {
        let offsets: Vec<i64> = outcome.read.iter().map(|(_, offset, _)| *offset).collect();
        assert!(offsets.is_sorted_by(|a, b| a < b), "{what}: {offsets:?}");
        for (_, offset, value) in &outcome.read {
            if !value.starts_with(b"appended") {
                assert_eq!(value, offset.to_string().as_bytes(), "{what}");
            }
        }
    }
}

#[test]
fn segments_that_overlap_repeat_or_leave_gaps() {
    let cases: Vec<(&str, Vec<Named>)> = vec![
        ("overlap", vec![log(0, batches(0..8)), log(5, batches(5..12))]),
        ("inside", vec![log(0, batches(0..12)), log(5, batches(5..7)), log(12, batches(12..13))]),
        ("twice the same", vec![log(0, batches(0..5)), log(5, batches(0..5))]),
        ("gap", vec![log(0, batches(0..5)), log(9, batches(9..12))]),
        ("first is late", vec![log(7, batches(7..9))]),
        ("batch before its base", vec![log(7, batches(0..9))]),
        ("batch after its base", vec![log(0, batches(3..9))]),
        ("backwards", vec![log(0, [batch(4), batch(3), batch(2)].concat())]),
        ("repeats", vec![log(0, [batch(0), batch(0), batch(1)].concat())]),
        ("empty between", vec![log(0, batches(0..3)), log(3, vec![]), log(4, batches(4..6))]),
        ("all empty", (0..5).map(|n| log(n, vec![])).collect()),
        ("zeros between", vec![log(0, batches(0..3)), log(3, vec![0; 999]), log(4, batch(4))]),
        ("nothing", vec![]),
        ("only indexes", vec![(format!("{:020}.index", 3), vec![1; 80])]),
    ];
    for (what, files) in cases {
        let outcomes = partition(what, files);
        ascend(what, &outcomes);
        assert!(outcomes.iter().all(|o| o.report.is_some()), "{what}: an open failed");
    }
}

/// Every kind of leftover, with every kind of content, alone and beside each other.
#[test]
fn leftovers_of_operations_that_never_were() {
    let contents: [(&str, Vec<u8>); 4] = [
        ("empty", vec![]),
        ("rubbish", vec![0xff; 100]),
        ("sound", batches(2..7)),
        ("all of it", batches(0..10)),
    ];
    let mut cases = 0;
    for suffix in ["deleted", "cleaned", "swap", "tmp"] {
        for kind in ["log", "index", "timeindex", "txnindex", "snapshot"] {
            for base in [0, 2, 5, i64::MAX] {
                // What stands in an index that is not believed does not matter.
                let interesting = if kind == "log" { contents.len() } else { 2 };
                for (content, bytes) in &contents[..interesting] {
                    let what = format!("{content} {base}.{kind}.{suffix}");
                    let name = format!("{base:020}.{kind}.{suffix}");
                    let files = vec![
                        log(0, batches(0..5)),
                        log(5, batches(5..10)),
                        (name.clone(), bytes.clone()),
                    ];
                    let outcomes = partition(&what, files);
                    ascend(&what, &outcomes);
                    cases += outcomes.len();
                    let told = outcomes.iter().all(|o| o.report.is_some() && o.tells(&name));
                    assert!(told, "{what}: {:?}", outcomes[0].report);
                }
            }
        }
    }
    println!("{cases} cases");
    for pair in [["swap", "cleaned"], ["swap", "deleted"], ["swap", "swap"]] {
        for (first, second) in [(0, 5), (5, 0), (2, 7)] {
            let files = vec![
                log(0, batches(0..5)),
                log(5, batches(5..10)),
                (format!("{first:020}.log.{}", pair[0]), batches(first..9)),
                (format!("{second:020}.log.{}", pair[1]), batches(second..10)),
            ];
            let what = format!("{first}.{} and {second}.{}", pair[0], pair[1]);
            let outcomes = partition(&what, files);
            ascend(&what, &outcomes);
            assert!(outcomes.iter().all(|o| o.report.is_some()), "{what}: an open failed");
        }
    }
}

/// Found by fuzzing: an open gave such a file a segment's name, and the segment was gone.
#[test]
fn a_swap_that_holds_no_batch_takes_no_segments_place() {
    let torn = batch(0)[..40].to_vec();
    for (what, bytes) in [("rubbish", vec![0xff; 100]), ("short", vec![0; 8]), ("torn", torn)] {
        for base in [0, 5] {
            let files = vec![
                log(0, batches(0..5)),
                log(5, batches(5..10)),
                (format!("{base:020}.log.swap"), bytes.clone()),
            ];
            let what = format!("{what} at {base}");
            for outcome in partition(&what, files.clone()) {
                let read = outcome.read.iter().map(|(_, offset, _)| *offset);
                assert!((0..10).all(|offset| read.clone().any(|found| found == offset)), "{what}");
            }
            // Nor for who only looks: it is still there after the owner has been.
            let dir = killed(&[], 0);
            for (name, bytes) in &files {
                fs::write(dir.path().join("t-0").join(name), bytes).unwrap();
            }
            for owned in [false, true] {
                if owned {
                    Broker::open(dir.path()).unwrap().close().unwrap();
                }
                let looking = Broker::builder().dir(dir.path()).open_read_only().unwrap();
                let log = looking.topic("t").unwrap().partition(0).unwrap();
                for offset in 0..10 {
                    assert!(log.get(offset).unwrap().is_some(), "{what}: {offset}, {owned}");
                }
            }
        }
    }
}
