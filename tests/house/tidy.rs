//! What a line of any file may not hold.

use crate::floors::is_test_file;
use crate::source::{code_of, paths, without_tests};

/// No file of `src/` is longer.
pub(crate) const FILE_LINES_MAX: usize = 500;
/// No line of Rust is longer.
pub(crate) const COLUMNS_MAX: usize = 100;
/// Measures what a map would cost where the crate uses none.
const MEASURED_MAP: &str = "benches/active_segment.rs";
/// The only files with `unsafe` in them.
const UNSAFE_HOMES: [&str; 2] = ["src/storage/map.rs", "src/time/ticks.rs"];

/// Calls that belong to one place of `src/`, so that files, time and threads stay parameters.
const HOMES: &[(&str, &str)] = &[
    ("std::fs", "src/storage/"),
    ("SystemTime::now", "src/time"),
    ("Instant::now", "src/time"),
    ("thread::sleep", "src/time.rs"),
    ("thread::spawn", "src/broker/background.rs"),
    ("thread::scope", "src/broker/background.rs"),
    ("thread::Builder", "src/broker/background.rs"),
];

fn lines_where(file: &str, text: &str, what: &str, bad: impl Fn(&str) -> bool) -> Vec<String> {
    let numbered = text.lines().enumerate().filter(|(_, line)| bad(line));
    numbered.map(|(index, _)| format!("{file}:{}: {what}", index + 1)).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    let is_ident = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        !line[..start].ends_with(is_ident) && !line[start + word.len()..].starts_with(is_ident)
    })
}

/// Every file, text as well as code.
pub(crate) fn check_text(file: &str, text: &str) -> Vec<String> {
    lines_where(file, text, "not ASCII", |line| !line.is_ascii())
}

/// Every Rust file.
pub(crate) fn check_rust(file: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let mut wrong = lines_where(file, text, "longer than 100 columns", |line| {
        // A row of a table in documentation cannot be wrapped.
        line.chars().count() > COLUMNS_MAX && !line.trim_start().starts_with("//! |")
    });
    // In two pieces, so that this file passes its own rule.
    wrong.extend(lines_where(file, text, "left over", |line| has_word(line, concat!("FIX", "ME"))));
    for name in ["dbg", "todo"] {
        wrong.extend(lines_where(file, &code, "left over", |line| {
            line.contains(&format!("{name}!")) && has_word(line, name)
        }));
    }
    if !UNSAFE_HOMES.contains(&file) && file != MEASURED_MAP {
        let what = format!("unsafe lives in {} only", UNSAFE_HOMES.join(" and "));
        wrong.extend(lines_where(file, &code, &what, |line| has_word(line, "unsafe")));
    }
    wrong
}

/// Every file of `src/`.
pub(crate) fn check_src(file: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !text.starts_with("//!") {
        wrong.push(format!("{file}:1: a module begins with what it is, in `//!`"));
    }
    let count = text.lines().count();
    if count > FILE_LINES_MAX {
        wrong.push(format!("{file}:{count}: longer than {FILE_LINES_MAX} lines"));
    }
    if is_test_file(file) {
        return wrong;
    }
    let code = without_tests(&code_of(text));
    for (call, home) in HOMES {
        if file.starts_with(home) {
            continue;
        }
        let what = format!("{call} belongs to {home}");
        let wanted: Vec<&str> = call.split("::").collect();
        let mut found = lines_where(file, &code, &what, |line| has_word(line, call));
        // Also as a member of a `use` list, which the text alone does not show.
        for path in paths(&code, "std") {
            let names: Vec<&str> = path.segments.iter().map(String::as_str).collect();
            if names.windows(wanted.len()).any(|window| window == wanted) {
                found.push(format!("{file}:{}: {what}", path.line));
            }
        }
        found.sort();
        found.dedup();
        wrong.extend(found);
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Vec<String> = Vec::new();

    #[test]
    fn text_is_ascii() {
        assert_eq!(check_text("README.md", "plain\n"), NONE);
        assert_eq!(check_text("README.md", "plain\nna\u{ef}ve\n"), ["README.md:2: not ASCII"]);
    }

    #[test]
    fn a_line_has_a_limit() {
        assert_eq!(check_rust("src/a.rs", &"x".repeat(COLUMNS_MAX)), NONE);
        assert_eq!(check_rust("src/a.rs", &"x".repeat(COLUMNS_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_file_has_a_limit() {
        let lines = |count: usize| "//!\n".repeat(count);
        assert_eq!(check_src("src/a.rs", &lines(FILE_LINES_MAX)), NONE);
        assert_eq!(
            check_src("src/a.rs", &lines(FILE_LINES_MAX + 1)),
            ["src/a.rs:501: longer than 500 lines"]
        );
    }

    #[test]
    fn nothing_is_left_over() {
        assert_eq!(check_rust("src/a.rs", &format!("// {}: later", concat!("FIX", "ME"))).len(), 1);
        assert_eq!(check_rust("src/a.rs", "fn f() { dbg!(1); }").len(), 1);
        assert_eq!(check_rust("src/a.rs", "fn f() { todo!() }").len(), 1);
        assert_eq!(check_rust("src/a.rs", "// not `dbg!` itself\nlet todo = \"todo!\";"), NONE);
    }

    #[test]
    fn unsafe_has_two_homes() {
        let text = "fn f() { unsafe { g() } }";
        assert_eq!(check_rust("src/storage/map.rs", text), NONE);
        assert_eq!(
            check_rust("src/log/read.rs", text),
            ["src/log/read.rs:1: unsafe lives in src/storage/map.rs and src/time/ticks.rs only"]
        );
        assert_eq!(check_rust("src/a.rs", "#![deny(unsafe_code)] // unsafe"), NONE);
    }

    #[test]
    fn a_module_says_what_it_is() {
        assert_eq!(check_src("src/a.rs", "//! What it is.\n"), NONE);
        assert_eq!(check_src("src/a.rs", "use std::fmt;\n").len(), 1);
    }

    #[test]
    fn files_time_and_threads_have_homes() {
        let calls = [
            "use std::fs;",
            "use std::{fmt, fs::File};",
            "fn f() { std::fs::read(p); }",
            "let t = SystemTime::now();",
            "let t = std::time::Instant::now();",
            "thread::sleep(d);",
            "use std::thread::{self, spawn};",
            "std::thread::Builder::new();",
        ];
        for call in calls {
            let wrong = check_src("src/log/a.rs", &format!("//! x\n{call}\n"));
            assert_eq!(wrong.len(), 1, "{call}: {wrong:?}");
        }
        assert_eq!(check_src("src/storage/disk.rs", "//! x\nuse std::fs;\n"), NONE);
        assert_eq!(check_src("src/time.rs", "//! x\nlet t = Instant::now();\n"), NONE);
        let spawn = "//! x\nthread::Builder::new().spawn(f);\n";
        assert_eq!(check_src("src/broker/background.rs", spawn), NONE);
        let tests = "//! x\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(check_src("src/log/a.rs", tests), NONE);
    }
}
