//! Names that nobody gave in good faith, and too many of them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use crate::homes::*;
use logreel::{Broker, OnDamage};

/// Directory names that are no partition's, each with a sound log in it.
const STRANGE_DIRS: [&str; 26] = [
    "..-0",
    ".-0",
    "...-0",
    "-0",
    "--0",
    "t--1",
    "t-00",
    "t-01",
    "t-+1",
    "t- 1",
    "t-1 ",
    "t-0x1",
    "t-2147483648",
    "t-2147483647",
    "t-99999999999999999999",
    "t-1.0123456789abcdef0123456789abcdef-delete",
    "t-1.0123456789abcdef0123456789abcdef-stray",
    "t-1.xyz-delete",
    "t-1-future",
    "a\\..\\b-0",
    "a%2f..-0",
    "a\n-0",
    "\u{1f980}-0",
    "__cluster_metadata-0",
    "lost+found",
    ".git",
];

fn put(dir: &Path, name: &[u8]) {
    let dir = dir.join(OsStr::from_bytes(name));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("00000000000000000000.log"), batch(0)).unwrap();
}

/// Beside a directory of ours and in one of Kafka's. `...-0` alone is a topic: its name is `...`.
#[test]
fn strange_directories_are_left_alone() {
    let long = "x".repeat(255 - 2) + "-0";
    let strange: Vec<Vec<u8>> = STRANGE_DIRS
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .chain([b"t\xff\xfe-0".to_vec(), b"\xc0\xae\xc0\xae-0".to_vec(), long.into_bytes()])
        .collect();
    for ours in [true, false] {
        let names = strange.clone();
        let outcome = try_everything(&format!("strange directories, ours {ours}"), move |dir| {
            if ours {
                filled(dir);
            }
            names.iter().for_each(|name| put(dir, name));
        });
        let report = outcome.report.unwrap();
        // The last dash counts: `t--1` is partition 1 of `t-`.
        assert_eq!(report.adopted, ["-", "...", "t-"], "{report:?}");
        // A name that is text is told as it is, and may be anything.
        let told = report.ignored.len() + report.repaired.len();
        assert!(told + 4 >= strange.len(), "{told} of {}: {report:?}", strange.len());
        let read: Vec<&str> = outcome.read.iter().map(|(tp, ..)| &tp[..]).collect();
        assert_eq!(read.iter().filter(|tp| **tp == "...-0").count(), 1);
        assert_eq!(read.iter().filter(|tp| **tp == "t-0").count(), if ours { 10 } else { 0 });
    }
}

/// `t-99999` and `u-99999`, and so on: each name stands for a hundred thousand partitions, of which
/// one is there.
#[test]
fn a_high_partition_number_costs_memory_for_all_below_it() {
    for (topics, number) in [(1, i32::MAX), (1, 100_000), (3, 99_999)] {
        let serve = [OnDamage::Serve];
        let outcome = try_with(&format!("{topics} partitions {number}"), &serve, move |dir| {
            for topic in 0..topics {
                put(dir, format!("t{topic}-{number}").as_bytes());
            }
        });
        let report = outcome.report.unwrap();
        let told = report.ignored.contains(&format!("t{}-{number}", topics - 1));
        assert!(told, "{:?}", report.ignored);
        assert_eq!(report.adopted.len(), topics - 1);
    }
}

/// Files in a partition that are none of a segment's, or of segments that cannot be.
#[test]
fn strange_files_in_a_partition_are_left_alone() {
    let sound = batch(0);
    let names: Vec<Vec<u8>> = [
        "0.log",
        "0000000000000000001.log",
        "000000000000000000010.log",
        "-0000000000000000001.log",
        "+0000000000000000001.log",
        "0000000000000000001x.log",
        "99999999999999999999.log",
        "09223372036854775808.log",
        "00000000000000000001.LOG",
        "00000000000000000001.log.bak",
        "00000000000000000001.kafka",
        "00000000000000000001.log.kafka-stray",
        "..log",
        "lost\n.log",
        "a\\b.log",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .chain([b"\xff\xff.log".to_vec()])
    .collect();
    let count = names.len();
    let outcome = try_everything("strange files", move |dir| {
        filled(dir);
        for name in &names {
            fs::write(dir.join("t-0").join(OsStr::from_bytes(name)), &sound).unwrap();
        }
        fs::create_dir(dir.join("t-0/dir")).unwrap();
    });
    let report = outcome.report.unwrap();
    let ignored: usize = report.partitions.iter().map(|p| p.ignored.len()).sum();
    assert_eq!(ignored, count + 1, "{report:?}");
    assert_eq!(outcome.read.iter().filter(|(tp, ..)| tp == "t-0").count(), 10);
}

/// The last offsets there are: nothing is added to them.
#[test]
fn base_offsets_at_the_end_of_all_numbers() {
    for base in [i64::MAX, i64::MAX - 1, i64::MAX - 2, i64::MAX - (1 << 31), 1 << 62] {
        for (what, bytes) in [
            ("empty", Vec::new()),
            ("zeros", vec![0; 4096]),
            ("its batch", batch(base)),
            ("another batch", batch(0)),
            ("two", [batch(base), batch(base.saturating_add(1))].concat()),
        ] {
            for ours in [true, false] {
                let bytes = bytes.clone();
                try_everything_quietly(&format!("{what} at {base}, ours {ours}"), move |dir| {
                    if ours {
                        filled(dir);
                        unclean(dir);
                    } else {
                        put(dir, b"t-0");
                    }
                    fs::write(segment(dir, base, "log"), &bytes).unwrap();
                    let index = [255u8, 255, 255, 255, 0, 0, 0, 0];
                    fs::write(segment(dir, base, "index"), index).unwrap();
                    let time = [127u8, 255, 255, 255, 255, 255, 255, 255, 127, 255, 255, 255];
                    fs::write(segment(dir, base, "timeindex"), time).unwrap();
                    fs::write(segment(dir, base, "snapshot"), [0; 10]).unwrap();
                });
            }
        }
    }
}

/// Opening looks at each name once: ten times as many take about ten times as long.
#[test]
fn a_hundred_thousand_files_that_are_nobodys() {
    let dir = home();
    filled(dir.path());
    let measure = |from: usize, to: usize| {
        for number in from..to {
            // In the root, and in a partition.
            let at = if number % 2 == 0 { "" } else { "t-0/" };
            fs::write(dir.path().join(format!("{at}junk-{number:07}.txt")), "").unwrap();
        }
        let began = Instant::now();
        let broker = Broker::open(dir.path()).unwrap();
        assert_eq!(read_everything(&broker).len(), 11);
        broker.close().unwrap();
        let opened = began.elapsed();
        drop(Broker::open_read_only(dir.path()).unwrap());
        assert!(logreel::admin::verify(dir.path()).unwrap().is_sound());
        println!("{to} junk files: opened in {opened:?}, in all {:?}", began.elapsed());
        began.elapsed()
    };
    let few = measure(0, 10_000);
    let many = measure(10_000, 100_000);
    assert!(many < few * 40 + std::time::Duration::from_secs(2), "{few:?}, then {many:?}");
}
