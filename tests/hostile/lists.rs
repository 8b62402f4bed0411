//! Small files with millions of entries: checkpoints, snapshots, the catalog.

use std::fs;
use std::path::Path;

use crate::homes::*;

const TOPIC_ID: &str = "AAAAAAAAAAAAAAAAAAAAAg";

/// A file of ours, with the checksum that it should have.
fn framed(kind: &str, body: &str) -> String {
    format!("logreel-{kind} 1 {:08x}\n{body}", crc32fast::hash(body.as_bytes()))
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

fn counted(count: usize, line: impl Fn(usize) -> String) -> String {
    format!("0\n{count}\n{}", lines(count, line))
}

fn with(what: &str, name: &'static str, text: Vec<u8>) -> Outcome {
    try_with(what, &[logreel::OnDamage::Serve], move |dir: &Path| {
        filled(dir);
        fs::write(dir.join(name), &text).unwrap();
    })
}

fn is_whole(outcome: &Outcome) {
    let values = outcome.read.iter().filter(|(tp, ..)| tp == "t-0").count();
    assert_eq!(values, 10, "{:?}", outcome.error);
}

#[test]
fn checkpoints_with_a_million_lines() {
    let million = counted(1_000_000, |n| format!("t{n} {n} {n}\n"));
    for name in [
        "recovery-point-offset-checkpoint",
        "log-start-offset-checkpoint",
        "cleaner-offset-checkpoint",
        "replication-offset-checkpoint",
    ] {
        is_whole(&with(&format!("a million in {name}"), name, million.clone().into_bytes()));
    }
    let huge = "0\n4000000000\nt 0 1\n".to_owned();
    is_whole(&with("a count of billions", "log-start-offset-checkpoint", huge.into_bytes()));
    let numbers = "0\n2\nt 0 9223372036854775807\nt -1 5\n".to_owned();
    with("the largest offset", "recovery-point-offset-checkpoint", numbers.clone().into_bytes());
    with("the largest start", "log-start-offset-checkpoint", numbers.into_bytes());
    let epochs = counted(1_000_000, |n| format!("{n} {n}\n"));
    is_whole(&with("a million epochs", "t-0/leader-epoch-checkpoint", epochs.into_bytes()));
}

/// A million producers who never wrote anything, with the right checksum.
#[test]
fn a_snapshot_with_a_million_producers() {
    for (what, claimed, real) in
        [("a million", 1_000_000, 1_000_000), ("too many", i32::MAX, 3), ("negative", -1, 0)]
    {
        let mut body: Vec<u8> = i32::to_be_bytes(claimed).to_vec();
        for id in 0..real {
            let mut entry = [0u8; 46];
            entry[..8].copy_from_slice(&i64::from(id).to_be_bytes());
            // A transaction that began before time, or after it.
            entry[38..].copy_from_slice(&(i64::MAX - i64::from(id)).to_be_bytes());
            body.extend_from_slice(&entry);
        }
        let mut file = vec![0, 1];
        file.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        file.extend_from_slice(&body);
        for clean in [true, false] {
            let file = file.clone();
            let outcome = try_everything(&format!("{what} producers, clean {clean}"), move |dir| {
                filled(dir);
                if !clean {
                    unclean(dir);
                }
                fs::write(segment(dir, 10, "snapshot"), &file).unwrap();
            });
            is_whole(&outcome);
        }
    }
}

/// Topics without end, each with partitions without end, and numbers that are no counts.
#[test]
fn catalogs_that_promise_too_much() {
    let topic =
        |name: &str, partitions: i64| format!("topic {name} {TOPIC_ID} {partitions} ours live\n");
    for partitions in [i64::from(i32::MAX), 100_001, 0, -1, i64::from(i32::MIN)] {
        let text = framed("catalog", &topic("big", partitions));
        let outcome = try_everything(&format!("{partitions} partitions"), move |dir: &Path| {
            filled(dir);
            fs::write(dir.join("logreel.catalog"), &text).unwrap();
        });
        assert!(outcome.report.is_some(), "{partitions}: {:?}", outcome.error);
    }
    // Within the limit of each topic, and beyond any memory together.
    let many = framed("catalog", &lines(100, |n| topic(&format!("big{n}"), 100_000)));
    with("ten million partitions", "logreel.catalog", many.into_bytes());
    for name in ["../x", "a/b", ".", "..", "", "a\u{0}b", &"x".repeat(250), "\u{e9}"] {
        let text = framed("catalog", &topic(name, 1));
        let outcome = try_everything(&format!("a topic called {name:?}"), move |dir: &Path| {
            filled(dir);
            fs::write(dir.join("logreel.catalog"), &text).unwrap();
        });
        assert!(outcome.report.is_some(), "{name:?}: {:?}", outcome.error);
    }
    let deleting = format!("topic t {TOPIC_ID} 1 ours deleting\n");
    let keys = format!("{}config retention.ms x\nconfig nonsense 1\n", topic("t", 1));
    for (what, body) in [("deleting", deleting), ("configured with nonsense", keys)] {
        let text = framed("catalog", &body);
        let outcome = try_everything(what, move |dir: &Path| {
            filled(dir);
            fs::write(dir.join("logreel.catalog"), &text).unwrap();
        });
        let told = outcome.report.is_some() || outcome.tells("retention.ms");
        assert!(told, "{what}: {:?}", outcome.error);
    }
}

/// A manifest with the right checksum vouches for offsets that do not exist.
#[test]
fn manifests_that_lie() {
    for body in [
        "partition t 0 0 9223372036854775807 0\n",
        "partition t 0 9223372036854775807 10 10\n",
        "partition t 0 -5 -7 -9\n",
        "partition t 0 0 10 10\nepoch 2147483647 9223372036854775807\n",
        "partition t 0 0 10 10\nsegment 0 18446744073709551615 0 0\n",
        "partition t 2147483647 0 10 10\npartition t -1 0 0 0\n",
        "partition .. 0 0 10 10\n",
    ] {
        let text = framed("manifest", body).into_bytes();
        let outcome = with(&format!("the manifest {body:?}"), "logreel.manifest", text);
        assert!(outcome.report.is_some(), "{:?}", outcome.error);
    }
    // Of the segments that are there, with ends that are not theirs.
    let sizes = |dir: &Path| -> String {
        let mut bases: Vec<(i64, u64)> = fs::read_dir(dir.join("t-0"))
            .unwrap()
            .filter_map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                let base = name.strip_suffix(".log")?.parse().ok()?;
                Some((base, entry.metadata().unwrap().len()))
            })
            .collect();
        bases.sort_unstable();
        bases.iter().map(|(base, size)| format!("segment {base} {size} 0 0\n")).collect()
    };
    for ends in ["0 9223372036854775807 5", "0 10 9223372036854775807", "0 -1 -1", "0 3 3"] {
        let outcome = try_everything(&format!("sizes are right, ends are {ends}"), move |dir| {
            filled(dir);
            let body = format!("partition t 0 {ends}\n{}", sizes(dir));
            fs::write(dir.join("logreel.manifest"), framed("manifest", &body)).unwrap();
        });
        assert!(outcome.report.is_some(), "{:?}", outcome.error);
    }
}
