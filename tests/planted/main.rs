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

mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use faults::FAULTS;

/// What the copy has beside the source.
const SWITCH: &str = r#"
/// Whether the fault of this name is at work.
pub(crate) fn planted(name: &str) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var("LOGREEL_FAULT").ok()).as_deref() == Some(name)
}
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of `src` that have faults, with all of them in.
fn with_faults() -> BTreeMap<&'static str, String> {
    let mut files = BTreeMap::new();
    for fault in FAULTS {
        for edit in fault.edits {
            let text = files.entry(edit.file).or_insert_with(|| {
                std::fs::read_to_string(root().join("src").join(edit.file)).unwrap()
            });
            let places = text.matches(edit.from).count();
            assert_eq!(places, 1, "{}: where it belongs in {}", fault.name, edit.file);
            let switch = format!("crate::planted({:?})", fault.name);
            assert!(edit.to.contains("PLANTED"), "{}: its switch", fault.name);
            *text = text.replace(edit.from, &edit.to.replace("PLANTED", &switch));
        }
    }
    files
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&from, &to);
        } else {
            write(&to, &std::fs::read_to_string(&from).unwrap());
        }
    }
}

/// Writes a file unless it is so already: what did not change is not built again.
fn write(path: &Path, text: &str) {
    if std::fs::read_to_string(path).ok().as_deref() != Some(text) {
        std::fs::write(path, text).unwrap();
    }
}

/// The manifest with what the copy needs: no benchmarks, no lints, no other tests' dependencies.
fn manifest() -> String {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let wanted = |section: &&str| {
        let head = section.lines().next().unwrap_or_default();
        ["package]", "features]", "dependencies]", "profile"].iter().any(|w| head.starts_with(w))
    };
    let sections = text.split("\n[").map(|section| section.trim_start_matches('['));
    let kept: Vec<String> = sections.filter(wanted).map(|s| format!("[{s}")).collect();
    let tests = "[dev-dependencies]\nlogreel = { path = \".\", features = [\"testing\"] }\n\n\
                 [workspace]\n";
    format!("{}\n\n{tests}", kept.join("\n"))
}

/// Makes the copy. Cargo builds it beside the crate's own tests, with the same dependencies.
fn make_copy() -> PathBuf {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    copy_tree(&root().join("src"), &copy.join("src"));
    copy_tree(&root().join("tests/crash"), &copy.join("tests/crash"));
    for (file, text) in with_faults() {
        write(&copy.join("src").join(file), &text);
    }
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    write(&copy.join("src/lib.rs"), &format!("{lib}{SWITCH}"));
    write(&copy.join("README.md"), "");
    write(&copy.join("Cargo.toml"), &manifest());
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

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// What the suite said when it failed.
fn finding(said: &str) -> Option<&str> {
    let after = said.split(" panicked at ").nth(1)?;
    after.lines().nth(1)
}

#[test]
fn every_planted_fault_fits_the_source() {
    let files = with_faults();
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
    assert!(built.status.success(), "{}", text(&built));
    let (mut found, mut missed) = (0, Vec::new());
    for fault in FAULTS.iter().filter(|fault| wanted == "all" || wanted == fault.name) {
        let started = Instant::now();
        let run = ["--", "--exact", fault.found_by, "--nocapture"];
        // Without the fault the same test passes: the crash suite itself says so.
        let output = cargo(&copy, &run).env("LOGREEL_FAULT", fault.name).output().unwrap();
        let said = text(&output);
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
