//! The house rules, held by a test: who may import whom, and what a file may hold.
//!
//! Every rule is tried on a small text that breaks it, beside the rule; here they meet the
//! repository. A failure lists every breach as `file:line: what`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test of the repository itself"
)]

mod floors;
mod source;
mod tidy;

use std::fs;
use std::path::{Path, PathBuf};

use crate::floors::House;

/// Text files under `roots` (files or folders), as paths inside the repository.
fn texts(roots: &[&str]) -> Vec<(String, String)> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut todo: Vec<PathBuf> = roots.iter().map(|root| repository.join(root)).collect();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let skipped = ["target", "corpus", "artifacts"];
            let entries = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            todo.extend(entries.filter(|p| {
                !p.file_name().is_some_and(|name| skipped.iter().any(|skip| name == *skip))
            }));
        } else if let Ok(text) = fs::read_to_string(&path) {
            let name = path.strip_prefix(repository).unwrap().to_str().unwrap();
            found.push((name.replace('\\', "/"), text));
        }
    }
    found.sort();
    found
}

fn rust(roots: &[&str]) -> Vec<(String, String)> {
    texts(roots).into_iter().filter(|(name, _)| name.ends_with(".rs")).collect()
}

fn pass(files: &[(String, String)], check: impl Fn(&str, &str) -> Vec<String>) {
    assert!(!files.is_empty(), "nothing was checked");
    let wrong: Vec<String> = files.iter().flat_map(|(name, text)| check(name, text)).collect();
    assert!(wrong.is_empty(), "{} breaches:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_module_imports_only_from_the_floors_above_it_in_the_list() {
    let files = rust(&["src"]);
    let house = House::new(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    pass(&files, |name, text| house.check(name, text));
}

#[test]
fn a_file_of_the_crate_is_short_documented_and_keeps_to_its_seams() {
    pass(&rust(&["src"]), tidy::check_src);
}

#[test]
fn rust_is_tidy() {
    let files = rust(&["src", "tests", "examples", "benches", "fuzz/fuzz_targets"]);
    pass(&files, tidy::check_rust);
}

#[test]
fn text_is_ascii() {
    let pages = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CONFORMANCE.md"];
    let folders = ["src", "examples", ".ci", "tests/house"];
    pass(&texts(&[&pages[..], &folders[..]].concat()), tidy::check_text);
}
