//! What is put in place of what, so that a scheduler decides who runs when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::copy::{Fault, files_of, root, with_faults};

/// Put in place wherever they stand.
const EVERYWHERE: [(&str, &str); 4] = [
    ("parking_lot::", "crate::schedules::"),
    ("std::sync::atomic", "crate::schedules::atomic"),
    ("std::thread", "crate::schedules::thread"),
    ("thread_local! {", "crate::schedules::locals! {"),
];

/// Put in place where they stand, once in this file.
const ONCE: [(&str, &str, &str); 5] = [
    (
        "metrics/meter.rs",
        "use std::sync::{Arc, Mutex, PoisonError};",
        "use shuttle::sync::{Arc, Mutex, PoisonError};",
    ),
    (
        "time.rs",
        "use std::time::{Duration, Instant, SystemTime};",
        "use std::time::Duration;\nuse crate::schedules::{Instant, SystemTime};",
    ),
    ("time.rs", "wall::millis(precise_millis)", "precise_millis().0"),
    ("time.rs", "std::thread::yield_now();", "crate::schedules::let_pass();"),
    ("lib.rs", "mod wait;", "mod wait;\npub mod schedules;"),
];

/// What the source must not have afterwards: it would run behind the scheduler's back.
const LEFT: [&str; 13] = [
    "parking_lot",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::thread_local",
    "sync::atomic",
    "get_or_init",
    "LazyLock",
    "mpsc",
    "sync::Barrier",
    "std::sync::{Arc, Mutex",
    "std::sync::Mutex",
    "std::sync::Condvar",
];

/// The source without its own tests.
fn of_the_library(file: &Path, text: &str) -> String {
    let tests = file.components().any(|part| part.as_os_str() == "tests");
    if tests || file.ends_with("tests.rs") {
        return String::new();
    }
    text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
}

/// The source of the copy, and how many places of it are not those of the crate.
pub(crate) fn substituted(faults: &[Fault]) -> (BTreeMap<PathBuf, String>, usize) {
    let src = root().join("src");
    let mut files: BTreeMap<PathBuf, String> = files_of(&src)
        .into_iter()
        .map(|file| (file.clone(), std::fs::read_to_string(src.join(file)).unwrap()))
        .collect();
    files.extend(with_faults(faults));
    let mut places = 0;
    for (file, from, to) in ONCE {
        let text = files.get_mut(Path::new(file)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from} in {file}");
        *text = text.replace(from, to);
        places += 1;
    }
    for (file, text) in &mut files {
        let mut library = of_the_library(file, text);
        for (from, to) in EVERYWHERE {
            places += library.matches(from).count();
            library = library.replace(from, to);
        }
        *text = library;
        for left in LEFT {
            let line = text.lines().find(|line| {
                let code = line.split("//").next().unwrap_or_default();
                code.contains(left)
            });
            assert_eq!(line, None, "{left} is left in {}", file.display());
        }
    }
    (files, places)
}
