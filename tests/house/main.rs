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

mod examples;
mod floors;
mod manual;
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
            let skipped = [".git", "target", "corpus", "artifacts"];
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

fn text_of(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn links_of_pages_lead_somewhere() {
    let pages: Vec<_> =
        texts(&["."]).into_iter().filter(|(name, _)| name.ends_with(".md")).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    pass(&pages, |page, text| manual::dead_links(root, page, text));
}

#[test]
fn nothing_is_claimed_that_nobody_can_know() {
    let pages = ["README.md", "CONFORMANCE.md", "CHANGELOG.md", "Cargo.toml", "src", "examples"];
    pass(&texts(&pages), manual::claims);
}

#[test]
fn the_manual_has_every_key_with_its_default() {
    let rows = manual::rows(&text_of("src/manual/kafka.md"));
    let has = |key: &str| rows.iter().any(|row| row[0] == key);
    for file in ["src/producer/config.rs", "src/consumer/config.rs", "src/broker/config.rs"] {
        let keys = manual::keys_of(&text_of(file));
        assert!(keys.len() > 15, "{file}: {keys:?}");
        let missing: Vec<_> = keys.iter().filter(|key| !has(key)).collect();
        assert!(missing.is_empty(), "{file}: {missing:?} are not in the manual");
    }
    let broker = logreel::Broker::in_memory();
    let config = broker.create_topic("t").unwrap().config();
    for entry in config.entries() {
        let is_there = |row: &&Vec<String>| row[0] == entry.name && row[1] == entry.value;
        assert!(rows.iter().any(|row| is_there(&row)), "{} = {}", entry.name, entry.value);
    }
}

#[test]
fn the_manual_has_every_error() {
    let rows = manual::rows(&text_of("src/manual/kafka.md"));
    let errors = manual::errors_of(&text_of("src/error/codes.rs"));
    assert!(errors.len() > 30, "{errors:?}");
    for error in errors {
        assert!(rows.iter().any(|row| row.starts_with(&error)), "{error:?}");
    }
}

#[test]
fn the_names_of_the_manual_are_those_of_the_code() {
    let page = text_of("src/manual/kafka.md");
    let table = page.split("# Names").nth(1).unwrap().split("\n# ").next().unwrap();
    let source: String = rust(&["src"]).into_iter().map(|(_, text)| text).collect();
    let code = |cell: &str| cell.split('`').skip(1).step_by(2).collect::<Vec<_>>().join(" ");
    let cells = table.lines().filter_map(|line| Some(code(line.split('|').nth(1)?)));
    let unknown: Vec<_> = cells.flat_map(|cell| manual::unknown_names(&cell, &source)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_readme_counts_dependencies() {
    let count = manual::dependencies(&text_of("Cargo.toml"));
    let readme = text_of("README.md").replace('\n', " ");
    let says = format!("{count} direct dependencies, {} without `zstd`", count - 1);
    assert!(readme.contains(&says), "{says}");
}

#[test]
fn every_public_item_is_shown_in_an_example() {
    let is_markdown = |name: &str| name.starts_with("src/manual/") || name == "README.md";
    let all = texts(&["src", "README.md"]);
    let pages = all.iter().filter(|(name, _)| name.ends_with(".rs") || is_markdown(name));
    let shown: String = pages.map(|(name, text)| examples::shown(name, text)).collect();
    let is_test = |name: &String| floors::is_test_file(name);
    let files: Vec<_> = rust(&["src"]).into_iter().filter(|(name, _)| !is_test(name)).collect();
    let missing = examples::without(&files, &shown);
    assert!(missing.is_empty(), "{} without:\n{}", missing.len(), missing.join("\n"));
}
