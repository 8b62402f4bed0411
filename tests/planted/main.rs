//! Faults planted in the source, each of which the crash suite must find: a test of the tests.
//!
//! The source has no switches for this. A copy of it is made in which every fault stands behind a
//! look at the environment, so that one build has them all, and the crash suite runs once for each.
//! That takes minutes; it is done where `LOGREEL_PLANTED` is set (`.ci/run planted`):
//!
//! ```sh
//! LOGREEL_PLANTED=all cargo test --test planted -- --nocapture
//! LOGREEL_PLANTED='only the active segment synced' cargo test --test planted -- --nocapture
//! ```
//!
//! A plain `cargo test` holds that every fault still fits the source.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that fails may panic; what was found is part of the result"
)]

mod copy;

mod faults;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use copy::{SWITCH, copy_tree, manifest, root, said, with_faults, write};
use faults::FAULTS;

/// What the copy's manifest has beside the crate's.
const MANIFEST: &str = r#"
[dev-dependencies]
logreel = { path = ".", features = ["testing"] }

[profile.test]
opt-level = 2

[profile.dev.package."*"]
opt-level = 2
"#;

/// Makes the copy. Cargo builds it beside the crate's own tests, with the same dependencies.
fn make_copy() -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    copy_tree(&root().join("src"), &copy.join("src"));
    copy_tree(&root().join("tests/crash"), &copy.join("tests/crash"));
    for (file, text) in with_faults(FAULTS) {
        write(&copy.join("src").join(file), &text);
    }
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    write(&copy.join("src/lib.rs"), &format!("{lib}{SWITCH}"));
    write(&copy.join("README.md"), "");
    write(&copy.join("Cargo.toml"), &manifest(MANIFEST));
    if !copy.join("Cargo.lock").exists() {
        std::fs::copy(root().join("Cargo.lock"), copy.join("Cargo.lock")).unwrap();
    }
    copy
}

fn cargo(copy: &Path, arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--offline", "--test", "crash"]).args(arguments);
    cargo.current_dir(copy).env("CARGO_TARGET_DIR", copy.join("target"));
    cargo.env("RUST_BACKTRACE", "0").env_remove("LOGREEL_PLANTED").env_remove("LOGREEL_CAMPAIGN");
    cargo
}

/// What the suite said when it failed.
fn finding(said: &str) -> Option<&str> {
    let after = said.split(" panicked at ").nth(1)?;
    after.lines().nth(1)
}

#[test]
fn every_planted_fault_fits_the_source() {
    let files = with_faults(FAULTS);
    let names: BTreeSet<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    assert_eq!(names.len(), FAULTS.len(), "two of one name");
    println!("{} faults in {} files", FAULTS.len(), files.len());
    assert!(FAULTS.len() >= 12);
}

#[test]
fn every_planted_fault_is_found() {
    let Ok(wanted) = std::env::var("LOGREEL_PLANTED") else {
        println!("skipped: LOGREEL_PLANTED is not set");
        return;
    };
    let copy = make_copy();
    let built = cargo(&copy, &["--no-run"]).output().unwrap();
    assert!(built.status.success(), "{}", said(&built));
    let (mut found, mut missed) = (0, Vec::new());
    for fault in FAULTS.iter().filter(|fault| wanted == "all" || wanted == fault.name) {
        let started = Instant::now();
        let run = ["--", "--exact", fault.found_by, "--nocapture"];
        // Without the fault the same test passes: the crash suite itself says so.
        let output = cargo(&copy, &run).env("LOGREEL_FAULT", fault.name).output().unwrap();
        let said = said(&output);
        assert!(said.contains("running 1 test"), "{}: there is no {}", fault.name, fault.found_by);
        match finding(&said) {
            Some(finding) if !output.status.success() => {
                found += 1;
                println!("found in {:.1?}: {}: {finding}", started.elapsed(), fault.name);
            }
            _ => {
                println!("NOT FOUND in {:.1?}: {}", started.elapsed(), fault.name);
                missed.push(fault.name);
            }
        }
    }
    println!("{found} planted faults found, {} not", missed.len());
    assert!(found + missed.len() > 0, "there is no fault {wanted}");
    assert!(missed.is_empty(), "not found: {missed:?}");
}
