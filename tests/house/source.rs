//! Rust source as the rules see it: without comments, literals and tests, and as paths.

/// The source with comments and the contents of literals blanked, every line where it was.
pub(crate) fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => (i..chars.len()).find(|&j| at(j) == '\n').unwrap_or(chars.len()),
            ('/', '*') => end_of_block_comment(&chars, i),
            ('"', _) => end_of_string(&chars, i),
            ('\'', '\\') => {
                (i + 3..chars.len()).find(|&j| at(j) == '\'').map_or(chars.len(), |j| j + 1)
            }
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            _ => {
                out.push(at(i));
                i += 1;
                continue;
            }
        };
        out.extend((i..end).map(|j| if at(j) == '\n' { '\n' } else { ' ' }));
        i = end;
    }
    out
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

/// `start` is the opening quote; what stands before it says whether the literal is a raw one.
fn end_of_string(chars: &[char], start: usize) -> usize {
    let before = &chars[..start];
    let hashes = before.iter().rev().take_while(|c| **c == '#').count();
    let prefix: String = before[..start - hashes].iter().rev().take(3).collect();
    let mut prefix = prefix.chars();
    let is_raw = prefix.next() == Some('r')
        && match prefix.next() {
            Some('b' | 'c') => !prefix.next().is_some_and(is_ident),
            other => !other.is_some_and(is_ident),
        };
    let mut i = start + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' if !is_raw => i += 1,
            '"' if !is_raw => return i + 1,
            '"' if chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes => {
                return i + 1 + hashes;
            }
            _ => {}
        }
        i += 1;
    }
    chars.len()
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The code with the test modules at its end blanked. `code` has passed [`code_of`].
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut in_tests = false;
    let mut after_cfg = false;
    for line in code.lines() {
        // Only items at the margin count, as rustfmt leaves them: no nesting to follow.
        if line.starts_with("#[cfg(test)]") {
            after_cfg = true;
        } else if after_cfg && !line.starts_with("#[") {
            in_tests = line.starts_with("mod ") && line.ends_with('{');
            after_cfg = false;
        }
        if !in_tests {
            out.push_str(line);
        }
        if line.starts_with('}') {
            in_tests = false;
        }
        out.push('\n');
    }
    out
}

/// A path as it stands in the code, `use` lists spread out.
#[derive(Debug, PartialEq)]
pub(crate) struct PathUse {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

/// Every path that begins with the name `root`.
pub(crate) fn paths(code: &str, root: &str) -> Vec<PathUse> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices(root) {
        let before = code[..start].trim_end();
        let follows_a_name = before.strip_suffix("::").is_some_and(|b| b.ends_with(is_ident));
        let end = start + root.len();
        let is_part = code[..start].ends_with(is_ident) || code[end..].starts_with(is_ident);
        if follows_a_name || is_part {
            continue;
        }
        let line = code[..start].matches('\n').count() + 1;
        let mut reader = Reader { rest: &code[end..], found: Vec::new() };
        reader.tail(vec![root.to_owned()]);
        found.extend(reader.found.into_iter().map(|segments| PathUse { line, segments }));
    }
    found
}

struct Reader<'a> {
    rest: &'a str,
    found: Vec<Vec<String>>,
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let trimmed = self.rest.trim_start();
        let rest = trimmed.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn name(&mut self) -> Option<String> {
        let trimmed = self.rest.trim_start();
        let len = trimmed.find(|c| !is_ident(c)).unwrap_or(trimmed.len());
        self.rest = if len > 0 { &trimmed[len..] } else { self.rest };
        (len > 0).then(|| trimmed[..len].to_owned())
    }

    /// What follows a name of a path.
    fn tail(&mut self, mut path: Vec<String>) {
        loop {
            if !self.eat("::") {
                break;
            }
            if self.eat("{") {
                return self.list(&path);
            }
            if self.eat("*") {
                path.push("*".to_owned());
                break;
            }
            match self.name() {
                Some(name) => path.push(name),
                None => break,
            }
        }
        self.found.push(path);
    }

    fn list(&mut self, prefix: &[String]) {
        while !self.eat("}") && !self.rest.is_empty() {
            let mut path = prefix.to_vec();
            if self.eat("*") {
                path.push("*".to_owned());
                self.found.push(path);
            } else if let Some(name) = self.name() {
                path.push(name);
                self.tail(path);
                if self.eat("as ") {
                    self.name();
                }
            }
            if !self.eat(",") && !self.rest.trim_start().starts_with('}') {
                return; // Not a list of paths after all.
            }
        }
    }
}

/// The modules a file declares in files of their own, in order, with their lines.
pub(crate) fn declared_modules(code: &str) -> Vec<String> {
    let words = |line: &str| -> Option<String> {
        let mut line = line.trim();
        if let Some(rest) = line.strip_prefix("pub") {
            line = rest.trim_start();
            if line.starts_with('(') {
                line = line.split_once(')')?.1.trim_start();
            }
        }
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.trim().to_owned())
    };
    code.lines().filter_map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(code: &str, root: &str) -> Vec<String> {
        paths(code, root).into_iter().map(|p| p.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = concat!(
            "a /* b /* c */ d */ e // f\n",
            "g \"h \\\" i\" 'j' '\\'' '\\u{6b}' k::<'l>() r#\"m \" n\"# br\"o\\\" p\n",
        );
        let code = code_of(text);
        assert_eq!(code.split_whitespace().collect::<String>(), "aegk::<'l>()r#brp");
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn test_modules_are_not_code() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n    use x;\n}\nfn b() {}\n";
        assert_eq!(without_tests(code), "fn a() {}\n#[cfg(test)]\n\n\n\nfn b() {}\n");
        let shim = "#[cfg(test)]\nfn a() {}\nmod b {\n    use x;\n}\n";
        assert_eq!(without_tests(shim), shim, "a function for tests hides nothing after it");
    }

    #[test]
    fn paths_are_found_and_lists_spread() {
        let code = "use crate::a::{self, b::{C, D as E}, f::*};\nlet x: crate::g::H<$crate::i>;";
        let expected =
            ["crate::a::self", "crate::a::b::C", "crate::a::b::D", "crate::a::f::*", "crate::g::H"];
        assert_eq!(all(code, "crate")[..5], expected);
        assert_eq!(all(code, "crate")[5..], ["crate::i"]);
        assert_eq!(paths(code, "crate")[4].line, 2);
        assert_eq!(all("super::super::x; my_super::y", "super"), ["super::super::x"]);
        assert_eq!(all("use ::std::fs; use other::std::fs;", "std"), ["std::fs"]);
    }

    #[test]
    fn modules_are_read_in_order() {
        let code = "mod b;\npub(crate) mod a;\npub mod c;\nmod inline {\n}\n";
        assert_eq!(declared_modules(code), ["b", "a", "c"]);
    }
}
