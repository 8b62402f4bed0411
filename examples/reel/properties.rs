//! Settings from Java's properties files, and the flags that override them.

use std::collections::BTreeMap;
use std::path::Path;

use logreel::producer::ProducerBuilder;

use crate::failure::{Failure, Outcome};

/// What separates a key from its value, besides `=` and `:`, and what may begin a line.
const BLANKS: [char; 3] = [' ', '\t', '\x0c'];

/// The pairs of the file, if there is one, with those of the flags in their place.
pub(crate) fn merged(
    file: Option<&Path>,
    flags: &[(String, String)],
) -> Outcome<BTreeMap<String, String>> {
    let mut pairs = match file {
        Some(path) => read(path)?,
        None => BTreeMap::new(),
    };
    pairs.extend(flags.iter().cloned());
    Ok(pairs)
}

/// Gives the producer these settings. Blanks around a value are no part of it, as in Kafka.
pub(crate) fn with_properties(
    builder: ProducerBuilder,
    properties: &BTreeMap<String, String>,
) -> ProducerBuilder {
    properties.iter().fold(builder, |builder, (key, value)| builder.set(key, value.trim()))
}

fn read(path: &Path) -> Outcome<BTreeMap<String, String>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("cannot read {shown}: {error}")))?;
    let malformed = |line| Failure::new(format!("{shown}: a malformed escape in {line:?}"));
    joined_lines(&text).iter().map(|line| pair(line).ok_or_else(|| malformed(line))).collect()
}

/// The lines that say something; a line that ends in a backslash goes on in the next.
fn joined_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut joined = String::new();
    for line in text.lines() {
        let line = line.trim_start_matches(BLANKS);
        if joined.is_empty() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        match line.strip_suffix('\\') {
            Some(begun) if backslashes % 2 == 1 => joined.push_str(begun),
            _ => {
                joined.push_str(line);
                lines.push(std::mem::take(&mut joined));
            }
        }
    }
    // The file may end in a backslash.
    lines.extend(Some(joined).filter(|line| !line.is_empty()));
    lines
}

/// `key=value`, `key: value` or `key value`; `None` if an escape is malformed.
fn pair(line: &str) -> Option<(String, String)> {
    let mut escaped = false;
    let key_ends = |c: char| {
        let ends = !escaped && (BLANKS.contains(&c) || c == '=' || c == ':');
        escaped = !escaped && c == '\\';
        ends
    };
    let (key, rest) = line.split_at(line.find(key_ends).unwrap_or(line.len()));
    let rest = rest.trim_start_matches(BLANKS);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(BLANKS);
    Some((unescaped(key)?, unescaped(value)?))
}

/// The text with Java's escapes read; `None` if one is malformed.
pub(crate) fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => {
                let (digits, after) = rest.as_str().split_at_checked(4)?;
                out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                rest = after.chars();
            }
            Some(other) => out.push(other),
            // Java drops a backslash at the end.
            None => {}
        }
    }
    Some(out)
}
