//! The crate itself under a scheduler that decides who runs when.
//!
//! A copy of the source is made in which locks, atomics, threads and clocks are those of `shuttle`
//! (`substitutions.rs`, `copied/shim.rs`), and the models in `copied/models` run on it: each is a
//! few threads that use a broker as a program does, run once for every schedule that a random and
//! a PCT scheduler choose from a seed. A schedule that hangs or breaks a promise is printed:
//!
//! ```sh
//! LOGREEL_SCHEDULES=1000 cargo test --test schedules -- --nocapture
//! LOGREEL_SCHEDULES=1000 LOGREEL_MODEL=group_commit LOGREEL_SEED=7 cargo test ...
//! LOGREEL_SCHEDULES=1 LOGREEL_MODEL=group_commit LOGREEL_REPLAY=<schedule> cargo test ...
//! ```
//!
//! The count is for each model; each scheduler chooses half of them. Faults planted in the copy
//! must be found, or the models could not find anything. A plain `cargo test` holds that the
//! substitutions still fit.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that fails may panic; what was found is part of the result"
)]

#[path = "../planted/copy.rs"]
mod copy;

mod faults;
mod substitutions;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use copy::{SWITCH, copy_tree, manifest, root, said, write};
use faults::FAULTS;
use substitutions::substituted;

/// What the copy's manifest has beside the crate's. Building it takes longer than running it.
const MANIFEST: &str = r#"
[dependencies.shuttle]
version = "0.9"

[profile.test]
opt-level = 1
debug = 0

[profile.dev.package."*"]
opt-level = 1
debug = 0
"#;

/// Makes the copy. Its lock file is its own: the crate does not need `shuttle`.
fn make_copy() -> PathBuf {
    let copied = root().join("tests/schedules/copied");
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schedules");
    for (file, mut text) in substituted(FAULTS).0 {
        if file == Path::new("lib.rs") {
            text.push_str(SWITCH);
        }
        write(&copy.join("src").join(file), &text);
    }
    let shim = std::fs::read_to_string(copied.join("shim.rs")).unwrap();
    write(&copy.join("src/schedules.rs"), &shim);
    copy_tree(&copied.join("models"), &copy.join("tests/models"));
    write(&copy.join("README.md"), "");
    write(&copy.join("Cargo.toml"), &manifest(MANIFEST));
    let lock = std::fs::read_to_string(copied.join("Cargo.lock")).unwrap();
    write(&copy.join("Cargo.lock"), &lock);
    copy
}

fn cargo(copy: &Path, arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    // Without C code, and without a codec: schedules are what counts.
    cargo.args(["test", "--locked", "--no-default-features", "--features", "testing"]);
    cargo.args(["--test", "models"]).args(arguments);
    cargo.current_dir(copy).env("CARGO_TARGET_DIR", copy.join("target"));
    cargo.env("RUST_BACKTRACE", "0");
    cargo
}

#[test]
fn the_substitutions_fit_the_source() {
    let (files, places) = substituted(FAULTS);
    println!("{places} places of {} files are the scheduler's", files.len());
    assert!(places > 50);
}

/// How many schedules of a model a planted fault may take to be found.
const PATIENCE: u32 = 100_000;

#[test]
fn no_schedule_breaks_a_promise() {
    let Ok(count) = std::env::var("LOGREEL_SCHEDULES") else {
        println!("skipped: LOGREEL_SCHEDULES is not set");
        return;
    };
    assert_ne!(count.parse(), Ok(0), "no schedule is none that holds");
    let copy = make_copy();
    let built = cargo(&copy, &["--no-run"]).output().unwrap();
    assert!(built.status.success(), "{}", said(&built));
    let model = std::env::var("LOGREEL_MODEL").unwrap_or_default();
    let output = cargo(&copy, &["--", "--nocapture", &model]).output().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    let counts = said.lines().filter_map(|line| line.strip_suffix(" schedules"));
    let counts: Vec<&str> = counts.collect();
    counts.iter().for_each(|line| println!("{line} schedules"));
    let sum: u64 =
        counts.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    println!("{sum} schedules in all");
    assert!(sum > 0, "no schedule was run: {said}");
    if model.is_empty() {
        planted_faults_are_found(&copy);
    }
}

/// What the model said of the schedule that it printed.
fn finding(said: &str) -> Option<&str> {
    let after = said.contains("failing schedule").then_some(said)?.split(" panicked at ").nth(1)?;
    after.lines().nth(1)
}

fn planted_faults_are_found(copy: &Path) {
    let mut missed = Vec::new();
    for fault in FAULTS {
        let started = Instant::now();
        let run = ["--", "--exact", fault.found_by, "--nocapture"];
        let mut cargo = cargo(copy, &run);
        cargo.env("LOGREEL_FAULT", fault.name).env("LOGREEL_SCHEDULES", PATIENCE.to_string());
        let output = cargo.output().unwrap();
        let said = said(&output);
        assert!(said.contains("running 1 test"), "{}: there is no {}", fault.name, fault.found_by);
        match finding(&said) {
            Some(finding) if !output.status.success() => {
                println!("found in {:.1?}: {}: {finding}", started.elapsed(), fault.name);
            }
            _ => {
                println!("NOT FOUND in {:.1?}: {}", started.elapsed(), fault.name);
                missed.push(fault.name);
            }
        }
    }
    println!("{} planted faults found, {} not", FAULTS.len() - missed.len(), missed.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}
