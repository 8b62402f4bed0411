//! `CONFORMANCE.md` says what ran: each test of a number notes the homes that it opens, and the
//! columns of the file have to say just that. The test here comes last and waits for the others.
//!
//! `LOGREEL_CONFORMANCE=write` has all of them run in a process of their own, so that it is known
//! how they end, and writes the columns.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use crate::homes::{SEEN, homes, seen};

/// Statements whose tests are still to come.
const PENDING: [usize; 0] = [];
/// What Kafka's other client does: its row says so, and there is no test.
const NOT_THERE: [usize; 2] = [6, 77];

const COMMAND: &str = "LOGREEL_CONFORMANCE=write cargo test --test conformance written";
const COUNT_BEGINS: &str = "behaves as Kafka in ";
const COUNT_ENDS: &str = " listed statements";

/// What ran for each number: each home with whether all went well on it.
type Ran = BTreeMap<usize, BTreeMap<String, bool>>;

/// The number of a test's name: `offsets::t061_a_stale_..`.
pub fn number_of(test: &str) -> Option<usize> {
    let digits = test.rsplit("::").next()?.strip_prefix('t')?.get(..3)?;
    digits.parse().ok()
}

/// Runs the tests that have a number, and says how they went and where.
fn run_all() -> (Ran, String) {
    let seen = tempfile::NamedTempFile::new().unwrap();
    // A single thread would not have the name of its test.
    let threads = available_parallelism().map_or(2, |n| n.get().max(2)).to_string();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["::t0", "::t1", "--test-threads", &threads])
        .env(SEEN, seen.path())
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut went: BTreeMap<&str, bool> = BTreeMap::new();
    for line in said.lines().filter_map(|line| line.strip_prefix("test ")) {
        if let Some((test, how)) = line.split_once(" ... ") {
            went.insert(test, how == "ok");
        }
    }
    let mut ran = Ran::new();
    for line in fs::read_to_string(seen.path()).unwrap().lines() {
        let (test, home) = line.split_once('\t').unwrap();
        let well = *went.get(test).unwrap_or(&false);
        let homes = ran.entry(number_of(test).unwrap()).or_default();
        *homes.entry(home.to_owned()).or_insert(true) &= well;
    }
    assert!(went.len() > 100, "{said}{}", String::from_utf8_lossy(&output.stderr));
    for test in went.keys() {
        assert!(ran.contains_key(&number_of(test).unwrap()), "{test} opens no home");
    }
    let failed = if output.status.success() { String::new() } else { said };
    (ran, failed)
}

/// Whether all tests of this process run, not some that the command line names, and in threads of
/// their own, which have their names.
fn all_run() -> bool {
    let is_named = std::thread::current().name().is_some_and(|name| name.contains("::"));
    is_named
        && std::env::args().skip(1).all(|arg| arg.starts_with("--") && !arg.starts_with("--skip"))
}

/// What the file says.
fn as_written(text: &str) -> Ran {
    let mut ran = Ran::new();
    for (number, cells) in text.lines().filter_map(cells) {
        for (home, cell) in homes().iter().zip(&cells[1..5]) {
            if matches!(*cell, "yes" | "failed") {
                ran.entry(number).or_default().insert(home.to_string(), *cell == "yes");
            }
        }
    }
    ran
}

/// What the tests beside this one have noted, when it is as much as the file says or nothing more
/// comes.
fn wait_for(written: &Ran) -> Ran {
    let (mut known, mut since) = (0, Instant::now());
    loop {
        let mut ran = Ran::new();
        for (test, home) in seen() {
            ran.entry(number_of(&test).unwrap()).or_default().insert(home, true);
        }
        let is_there = |(number, homes): (&usize, &BTreeMap<String, bool>)| {
            ran.get(number).is_some_and(|ran| homes.keys().all(|home| ran.contains_key(home)))
        };
        let count = ran.values().map(BTreeMap::len).sum();
        if written.iter().all(is_there) || since.elapsed() > Duration::from_secs(20) {
            return ran;
        }
        if count > known {
            (known, since) = (count, Instant::now());
        }
        sleep(Duration::from_millis(5));
    }
}

/// A row of the table: its number, and the cells behind it.
fn cells(line: &str) -> Option<(usize, Vec<&str>)> {
    let inside = line.strip_prefix("| ")?.strip_suffix('|')?;
    let mut cells = inside.split('|').map(str::trim);
    let number = cells.next()?.parse().ok()?;
    Some((number, cells.collect()))
}

/// What the four columns of a number say.
fn columns(number: usize, ran: &Ran) -> Vec<&'static str> {
    let cell = |home: String| match ran.get(&number).map(|homes| homes.get(&home)) {
        None if PENDING.contains(&number) => "pending",
        None => "no",
        Some(None) => "-",
        Some(Some(true)) => "yes",
        Some(Some(false)) => "failed",
    };
    homes().iter().map(|home| cell(home.to_string())).collect()
}

/// The file with the columns as they should be; and how many statements hold, of how many.
fn as_ran(text: &str, ran: &Ran) -> (String, usize, usize) {
    let (mut lines, mut holds, mut rows) = (Vec::new(), 0, 0);
    for line in text.lines() {
        let Some((number, cells)) = cells(line) else {
            lines.push(line.to_owned());
            continue;
        };
        rows += 1;
        assert_eq!(number, rows, "the statements are numbered: {line}");
        assert_eq!(cells.len(), 6, "{line}");
        let columns = columns(number, ran);
        holds += usize::from(columns.contains(&"yes") && !columns.contains(&"failed"));
        let is_there = !cells[0].starts_with("Not there yet");
        assert_eq!(is_there, !NOT_THERE.contains(&number), "{line}");
        let others = if cells[5].is_empty() { String::new() } else { format!(" {}", cells[5]) };
        lines.push(format!("| {number} | {} | {} |{others} |", cells[0], columns.join(" | ")));
    }
    (lines.join("\n") + "\n", holds, rows)
}

/// The text with the count that it gives.
fn with_count(text: &str, holds: usize, rows: usize) -> String {
    let at = text.find(COUNT_BEGINS).expect("it gives the count") + COUNT_BEGINS.len();
    let end = at + text[at..].find(COUNT_ENDS).expect("it gives the count");
    format!("{}{holds} of {rows}{}", &text[..at], &text[end..])
}

#[test]
fn what_is_written_is_what_ran() {
    let path = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let [table, readme] = ["CONFORMANCE.md", "README.md"].map(|n| fs::read_to_string(path(n)));
    let (table, readme) = (table.unwrap(), readme.unwrap());
    let writes = std::env::var_os("LOGREEL_CONFORMANCE").is_some_and(|value| value == "write");
    let written = as_written(&table);
    let (ran, failed) = match writes {
        true => run_all(),
        false if all_run() => (wait_for(&written), String::new()),
        // There is only the file itself to compare it with.
        false => (written, String::new()),
    };
    let (ought, holds, rows) = as_ran(&table, &ran);
    let untested: BTreeSet<usize> = (1..=rows).filter(|n| !ran.contains_key(n)).collect();
    let excused: BTreeSet<usize> = PENDING.into_iter().chain(NOT_THERE).collect();
    assert_eq!(untested, excused, "left: no test has run; right: there is a reason for that");
    let unlisted: Vec<_> = ran.keys().filter(|n| **n > rows).collect();
    assert!(unlisted.is_empty(), "tests of no statement: {unlisted:?}");
    let ought = with_count(&ought, holds, rows);
    let readme_ought = with_count(&readme, holds, rows);
    if writes {
        fs::write(path("CONFORMANCE.md"), ought).unwrap();
        fs::write(path("README.md"), readme_ought).unwrap();
        assert!(failed.is_empty(), "{failed}");
        return;
    }
    for (was, ought) in [(&table, &ought), (&readme, &readme_ought)] {
        let wrong = was.lines().zip(ought.lines()).find(|(was, ought)| was != ought);
        assert!(was == ought, "not what ran: {wrong:#?}\n{COMMAND}");
    }
}
