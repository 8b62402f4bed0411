//! Who may import whom.

use std::collections::BTreeMap;

use crate::source::{PathUse, code_of, declared_modules, paths, without_tests};

// THINK ABOUT THE LAYERING BEFORE CHANGING THIS TABLE: ground floor first; a module imports
// from its own floor and those above it in this list.
pub(crate) const FLOORS: &[&str] = &[
    "types",
    "error",
    "random",
    "time",
    "trace",
    "wait",
    "metrics",
    "faults",
    "record",
    "storage",
    "log",
    "format",
    "coordinator",
    "broker",
    "producer",
    "consumer",
    "admin",
    "typed",
    "testing",
    "manual",
];

/// A folder: the order of its files, and which of them a name re-exported by `mod.rs` is from.
#[derive(Debug, Default)]
struct Folder {
    order: Vec<String>,
    exports: BTreeMap<String, String>,
}

/// The source tree: for every module path, its folder's `mod.rs`.
pub(crate) struct House {
    folders: BTreeMap<Vec<String>, Folder>,
}

/// The path of the module a file is: `src/log/mod.rs` is `[log]`, `src/lib.rs` is `[]`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|name| name == "mod" || name == "lib") {
        module.pop();
    }
    module
}

/// Whether the file holds nothing but tests.
pub(crate) fn is_test_file(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

impl House {
    pub(crate) fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut folders = BTreeMap::new();
        for (file, text) in files {
            let code = code_of(text);
            let order = declared_modules(&code);
            let mut exports = BTreeMap::new();
            for child in &order {
                for PathUse { segments, .. } in paths(&code, child) {
                    if let Some(name) = segments.last()
                        && segments.len() > 1
                    {
                        exports.insert(name.clone(), child.clone());
                    }
                }
            }
            folders.insert(module_of(file), Folder { order, exports });
        }
        Self { folders }
    }

    /// What breaks the rules of the floors in one file of `src/`.
    pub(crate) fn check(&self, file: &str, text: &str) -> Vec<String> {
        let module = module_of(file);
        let mut wrong = Vec::new();
        let Some((own, parent)) = module.split_last() else {
            return wrong;
        };
        // Of a file that no `mod` names the compiler says nothing.
        if !self.folders.get(parent).is_some_and(|folder| folder.order.contains(own)) {
            wrong.push(format!("{file}:1: no `mod {own};` names this file"));
        }
        let Some(floor) = FLOORS.iter().position(|name| *name == module[0]) else {
            wrong.push(format!("{file}:1: '{}' is on no floor", module[0]));
            return wrong;
        };
        if is_test_file(file) {
            return wrong;
        }
        let code = without_tests(&code_of(text));
        for PathUse { line, mut segments } in paths(&code, "crate") {
            segments.remove(0);
            let Some(name) = segments.first() else {
                continue;
            };
            let problem = match FLOORS.iter().position(|floor| floor == name) {
                None => Some(format!("'crate::{name}' is no floor; import it from its module")),
                Some(other) if other > floor => {
                    Some(format!("'{}' may not import '{name}'", module[0]))
                }
                Some(other) if other == floor => self.check_siblings(&module, &segments),
                Some(_) => None,
            };
            wrong.extend(problem.map(|problem| format!("{file}:{line}: {problem}")));
        }
        for PathUse { line, segments } in paths(&code, "super") {
            let up = segments.iter().take_while(|name| *name == "super").count();
            let problem = if up >= module.len() {
                Some("reaches the crate's root; say `crate::` and the module".to_owned())
            } else {
                let mut target = module[..module.len() - up].to_vec();
                target.extend_from_slice(&segments[up..]);
                self.check_siblings(&module, &target)
            };
            wrong.extend(problem.map(|problem| format!("{file}:{line}: {problem}")));
        }
        wrong.dedup();
        wrong
    }

    /// Two paths on one floor: where they part, the target must come first in `mod.rs`.
    fn check_siblings(&self, module: &[String], target: &[String]) -> Option<String> {
        let shared = module.iter().zip(target).take_while(|(a, b)| a == b).count();
        let (own, name) = (module.get(shared)?, target.get(shared)?);
        let folder = self.folders.get(&module[..shared])?;
        if name == "*" {
            return Some("a glob hides which sibling is meant".to_owned());
        }
        let position = |child: &String| folder.order.iter().position(|known| known == child);
        // A name that is neither a sibling nor re-exported from one is an item of `mod.rs`.
        let (child, via) = match position(name) {
            Some(_) => (name, String::new()),
            None => (folder.exports.get(name)?, format!(" (for '{name}')")),
        };
        (position(child)? >= position(own)?)
            .then(|| format!("'{own}' may not import '{child}'{via}: mod.rs lists it later"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[(&str, &str)] = &[
        ("src/lib.rs", "mod error;\nmod log;\nmod broker;\nmod attic;\npub use log::Log;"),
        ("src/log/mod.rs", "mod low;\nmod mid;\nmod high;\nmod deep;\npub use high::High;"),
        ("src/log/deep/mod.rs", "mod a;\nmod b;"),
    ];

    fn check(file: &str, text: &str) -> Vec<String> {
        House::new(FILES.iter().copied()).check(file, text)
    }

    #[test]
    fn an_upward_import_is_refused() {
        let wrong = check("src/log/mid.rs", "//! x\nuse crate::broker::Broker;\n");
        assert_eq!(wrong, ["src/log/mid.rs:2: 'log' may not import 'broker'"]);
        let in_a_body = "fn f() { let x = crate::broker::Broker::new(); }";
        assert_eq!(check("src/error.rs", in_a_body).len(), 1);
        let in_a_macro = "macro_rules! m { () => { $crate::broker::f() } }";
        assert_eq!(check("src/error.rs", in_a_macro).len(), 1);
        assert_eq!(check("src/error.rs", "use crate::{broker::B, error::E};").len(), 1);
    }

    #[test]
    fn an_import_from_below_is_fine() {
        let text = "use crate::error::Error;\nuse crate::log::Log;\n/// [`crate::consumer::C`]\n";
        assert_eq!(check("src/broker.rs", text), Vec::<String>::new());
        let tests = "#[cfg(test)]\nmod tests {\n    use crate::broker::Broker;\n}\n";
        assert_eq!(check("src/log/mid.rs", tests), Vec::<String>::new());
    }

    #[test]
    fn the_root_is_no_way_around() {
        assert_eq!(check("src/broker.rs", "use crate::Log;").len(), 1);
        assert_eq!(check("src/broker.rs", "use super::log::Log;").len(), 1);
        assert_eq!(check("src/log/mod.rs", "use super::broker::Broker;").len(), 1);
    }

    #[test]
    fn a_sibling_listed_later_is_refused() {
        assert_eq!(check("src/log/mid.rs", "use super::low::Low;"), Vec::<String>::new());
        let expected =
            ["src/log/mid.rs:1: 'mid' may not import 'high': mod.rs lists it later".to_owned()];
        assert_eq!(check("src/log/mid.rs", "use super::high::High;"), expected);
        assert_eq!(check("src/log/mid.rs", "use crate::log::high::High;"), expected);
        assert_eq!(check("src/log/mid.rs", "use super::High;").len(), 1, "a re-export");
        assert_eq!(check("src/log/mid.rs", "use super::{low::Low, high};").len(), 1);
        assert_eq!(check("src/log/mid.rs", "use super::*;").len(), 1, "a glob");
        assert_eq!(check("src/log/mid.rs", "use super::Item;"), Vec::<String>::new());
    }

    #[test]
    fn folders_inside_folders_keep_both_orders() {
        assert_eq!(check("src/log/deep/b.rs", "use super::super::low::Low;").len(), 0);
        assert_eq!(check("src/log/deep/b.rs", "use super::a::A;").len(), 0);
        assert_eq!(check("src/log/deep/a.rs", "use super::b::B;").len(), 1);
        assert_eq!(check("src/log/low.rs", "use super::deep::a::A;").len(), 1);
        assert_eq!(check("src/log/deep/mod.rs", "use self::b::B;\nuse super::low::L;").len(), 0);
    }

    #[test]
    fn a_file_belongs_to_a_floor_and_a_parent() {
        assert_eq!(check("src/attic.rs", ""), ["src/attic.rs:1: 'attic' is on no floor"]);
        assert_eq!(
            check("src/log/lost.rs", ""),
            ["src/log/lost.rs:1: no `mod lost;` names this file"]
        );
    }
}
