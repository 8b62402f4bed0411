//! Every public item is shown in an example: its own, or one that uses it.
//!
//! By names alone, so two methods of one name share an example. What needs none:
//!
//! * a function that takes nothing but `self` and cannot fail: its name says it;
//! * a type one of whose functions is shown, or that is an iterator, a future or a stream, or that
//!   has nothing but public fields: what returns it is shown.

/// The code in the examples of documentation: in comments of Rust, or in Markdown.
pub(crate) fn shown(file: &str, text: &str) -> String {
    let is_rust = file.ends_with(".rs");
    let mut inside = false;
    let mut code = String::new();
    for line in text.lines() {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let Some(line) = (if is_rust { doc } else { Some(line) }) else {
            inside = false;
            continue;
        };
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

/// A public item.
#[derive(Debug, Default, PartialEq, Eq)]
struct Item {
    line: usize,
    kind: String,
    name: String,
    /// The type it is a function of.
    of: String,
    has_example: bool,
    /// From its name to its body.
    head: String,
}

fn items(text: &str) -> Vec<Item> {
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let (mut found, mut of, mut has_example) = (Vec::new(), String::new(), false);
    for (at, line) in lines.iter().enumerate() {
        if let Some(doc) = line.strip_prefix("///") {
            has_example |= doc.contains("```");
            continue;
        }
        if line.starts_with("impl") && line.ends_with('{') {
            let subject = line.rsplit(" for ").next().unwrap_or(line);
            let subject = subject.trim_start_matches("impl").trim_start();
            let subject = match subject.strip_prefix('<') {
                Some(rest) => rest.split_once("> ").map_or(rest, |(_, subject)| subject),
                None => subject,
            };
            of = word(subject);
        }
        for kind in ["fn", "struct", "enum", "trait"] {
            let Some(rest) = line.strip_prefix(&format!("pub {kind} ")) else { continue };
            let rest = [&[rest], &lines[at + 1..]].concat().join(" ");
            let head = rest.split(['{', ';']).next().unwrap_or_default().to_owned();
            let of = if kind == "fn" { of.clone() } else { String::new() };
            let (kind, name) = (kind.to_owned(), word(&rest));
            found.push(Item { line: at + 1, kind, name, of, has_example, head });
        }
        // Attributes stand between an item and its documentation.
        has_example &= line.starts_with("#[") || line.starts_with(')');
    }
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn is_called(name: &str, shown: &str) -> bool {
    let starts = |after: &str| after.starts_with('(') || after.starts_with("::<");
    shown.match_indices(name).any(|(at, _)| {
        let before = shown[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && starts(&shown[at + name.len()..])
    })
}

fn is_named(name: &str, shown: &str) -> bool {
    shown.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
}

/// Takes nothing but `self` and cannot fail.
fn is_plain(item: &Item) -> bool {
    let arguments = item.head.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    arguments.is_some_and(|(arguments, answer)| {
        let alone = matches!(arguments, "self" | "&self" | "mut self" | "&mut self");
        alone && !answer.contains("Result")
    })
}

/// Nothing but public fields.
fn is_data(name: &str, text: &str) -> bool {
    let body = text.split_once(&format!("pub struct {name} {{\n")).map(|(_, rest)| rest);
    let body = body.and_then(|body| body.split_once("\n}")).map(|(body, _)| body);
    body.is_some_and(|body| {
        let mut lines = body.lines().map(str::trim);
        lines.all(|line| {
            ["pub ", "///", "#[", ""].iter().any(|start| match *start {
                "" => line.is_empty(),
                start => line.starts_with(start),
            })
        })
    })
}

/// The public items of these files that no example shows.
pub(crate) fn without(files: &[(String, String)], shown: &str) -> Vec<String> {
    let sources: String = files.iter().map(|(_, text)| text.as_str()).collect();
    let all: Vec<(&String, &String, Item)> = files
        .iter()
        .flat_map(|(file, text)| items(text).into_iter().map(move |item| (file, text, item)))
        .collect();
    let is_shown = |item: &Item| item.has_example || is_called(&item.name, shown);
    let runs = |name: &str| {
        let kinds = ["Iterator", "Future", "Stream"];
        kinds.iter().any(|kind| sources.contains(&format!("{kind} for {name}")))
    };
    let has_shown = |name: &str| all.iter().any(|(_, _, item)| item.of == name && is_shown(item));
    let needs = |(_, text, item): &&(&String, &String, Item)| match item.kind.as_str() {
        "fn" => !is_shown(item) && !is_plain(item),
        _ => {
            let name = &item.name;
            let shown = item.has_example || is_named(name, shown) || has_shown(name);
            // A trait that keeps others from being implemented is nobody's to use.
            !shown && !runs(name) && !is_data(name, text) && name != "Sealed"
        }
    };
    let tell = |(file, _, item): &(&String, &String, Item)| {
        format!("{file}:{}: no example shows {} {}", item.line, item.kind, item.name)
    };
    all.iter().filter(needs).map(tell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(source: &str, page: &str) -> Vec<String> {
        let files = [("src/a.rs".to_owned(), source.to_owned())];
        without(&files, &(shown("src/a.rs", source) + &shown("a.md", page)))
    }

    #[test]
    fn what_no_example_shows_is_told() {
        let source = "impl A {\n/// It.\n#[must_use]\npub fn go(&self, by: i32) {}\n}\n";
        assert_eq!(missing(source, ""), ["src/a.rs:4: no example shows fn go"]);
        assert_eq!(missing(source, "go(1)"), ["src/a.rs:4: no example shows fn go"]);
        assert!(missing(source, "```\na.go(1);\n```").is_empty());
        assert!(missing(&source.replace("It.", "```\n/// x\n/// ```"), "").is_empty());
        assert!(missing(&source.replace(", by: i32", ""), "").is_empty());
        assert_eq!(missing(&source.replace(", by: i32)", ") -> Result<()>"), "").len(), 1);
        assert_eq!(missing(source, "```\na.forgo(1);\n```").len(), 1);
    }

    #[test]
    fn types_are_shown_by_name_or_by_what_they_do() {
        let source = "pub struct A {\n    x: i32,\n}\n";
        assert_eq!(missing(source, "").len(), 1);
        assert!(missing(source, "```\nlet a: A;\n```").is_empty());
        assert!(missing(&source.replace("x:", "pub x:"), "").is_empty());
        assert!(missing(&format!("{source}impl Iterator for A {{\n}}\n"), "").is_empty());
        let with = format!("{source}impl<'a> A<'a> {{\npub fn go(a: i32) {{}}\n}}\n");
        assert_eq!(missing(&with, "").len(), 2);
        assert!(missing(&with, "```\ngo(1);\n```").is_empty());
    }
}
