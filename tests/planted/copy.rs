//! A copy of the package in which the source is changed, for tests that build and run it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A change of one place: in `file` the text `from`, which stands there once, becomes `to`, where
/// `PLANTED` says whether the fault is at work. The white space at the ends of both is left out.
pub(crate) struct Edit {
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) edits: &'static [Edit],
    /// The test that must fail.
    pub(crate) found_by: &'static str,
}

/// What `lib.rs` has in the copy, at its end.
pub(crate) const SWITCH: &str = r#"
/// Whether the fault of this name is at work.
pub(crate) fn planted(name: &str) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var("LOGREEL_FAULT").ok()).as_deref() == Some(name)
}
"#;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of `src` that have faults, with all of them in.
pub(crate) fn with_faults(faults: &[Fault]) -> BTreeMap<PathBuf, String> {
    let read = |file: &Path| std::fs::read_to_string(root().join("src").join(file)).unwrap();
    let mut files = BTreeMap::new();
    for fault in faults {
        for edit in fault.edits {
            let file = PathBuf::from(edit.file);
            let text = files.entry(file).or_insert_with_key(|file| read(file));
            let places = text.matches(edit.from).count();
            assert_eq!(places, 1, "{}: where it belongs in {}", fault.name, edit.file);
            let switch = format!("crate::planted({:?})", fault.name);
            assert!(edit.to.contains("PLANTED"), "{}: its switch", fault.name);
            *text = text.replace(edit.from, &edit.to.replace("PLANTED", &switch));
        }
    }
    files
}

/// Every file below a directory, as paths within it.
pub(crate) fn files_of(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = PathBuf::from(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_of(&entry.path()).iter().map(|file| name.join(file)));
        } else {
            files.push(name);
        }
    }
    files
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    for file in files_of(from) {
        write(&to.join(&file), &std::fs::read_to_string(from.join(&file)).unwrap());
    }
}

/// Writes a file unless it is so already: what did not change is not built again.
pub(crate) fn write(path: &Path, text: &str) {
    if std::fs::read_to_string(path).ok().as_deref() != Some(text) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// The manifest with what the copy needs, and `more`: no benchmarks, no lints, no other tests'
/// dependencies, no profiles.
pub(crate) fn manifest(more: &str) -> String {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let wanted = |section: &&str| {
        let head = section.lines().next().unwrap_or_default();
        ["package]", "features]", "dependencies]"].iter().any(|w| head.starts_with(w))
    };
    let sections = text.split("\n[").map(|section| section.trim_start_matches('['));
    let kept: Vec<String> = sections.filter(wanted).map(|s| format!("[{s}")).collect();
    format!("{}\n\n{more}\n\n[workspace]\n", kept.join("\n"))
}

pub(crate) fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}
