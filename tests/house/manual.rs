//! What the README and the manual say of names, keys, errors, links and numbers.

use std::collections::BTreeSet;
use std::path::Path;

/// What may not be said: it is not true, or nobody can know.
const CLAIMS: [&str; 5] =
    ["exactly like kafka", "no data loss", "replaces kafka", "faster than kafka", "pure rust"];

/// The claims in a text that may not be made.
pub(crate) fn claims(file: &str, text: &str) -> Vec<String> {
    let text = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let made = CLAIMS.iter().filter(|claim| text.contains(*claim));
    made.map(|claim| format!("{file}: it says {claim:?}")).collect()
}

/// The rows of a text's tables, as cells without their back-quotes.
pub(crate) fn rows(text: &str) -> Vec<Vec<String>> {
    let inside = |line: &str| {
        let line = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(line.split('|').map(|cell| cell.trim().replace('`', "")).collect())
    };
    text.lines().filter_map(inside).collect()
}

/// The keys that a `match` of settings has an arm for: `"linger.ms" =>`.
pub(crate) fn keys_of(source: &str) -> BTreeSet<String> {
    let arm = |line: &str| {
        let (key, rest) = line.trim_start().strip_prefix('"')?.split_once('"')?;
        let is_arm = rest.starts_with(" =>") || rest.starts_with(" if ");
        (is_arm && key.contains('.') || key == "acks").then(|| key.to_owned())
    };
    source.lines().filter_map(arm).collect()
}

/// The rows that an error of the list in `error.rs` has to have: number, names, and whether it is
/// tried again.
pub(crate) fn errors_of(source: &str) -> Vec<Vec<String>> {
    let row = |line: &str| {
        let (name, rest) = line.trim().strip_suffix(';')?.split_once(" = ")?;
        let parts: Vec<&str> = rest.split(", ").collect();
        let [number, kafka, again] = parts[..] else { return None };
        let kafka = kafka.strip_prefix('"')?.strip_suffix('"')?;
        number.parse::<i16>().ok()?;
        let again = if again == "true" { "yes" } else { "no" };
        Some([number, kafka, name, again].map(str::to_owned).to_vec())
    };
    source.lines().filter_map(row).collect()
}

/// Where the links of a page lead, but for those to other sites.
pub(crate) fn links(text: &str) -> Vec<String> {
    let target = |rest: &str| rest.split_once(')').map(|(target, _)| target.to_owned());
    let all = text.split("](").skip(1).filter_map(target);
    all.filter(|target| !target.contains("://") && !target.starts_with("crate::")).collect()
}

/// The links of a page that lead nowhere.
pub(crate) fn dead_links(root: &Path, page: &str, text: &str) -> Vec<String> {
    let folder = root.join(page).parent().map(Path::to_path_buf).unwrap_or_default();
    let anchor = |heading: &str| -> String {
        let lower = heading.trim_start_matches('#').trim().to_lowercase();
        lower.replace(' ', "-").chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
    };
    let headings: Vec<String> =
        text.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    let leads = |target: &String| match target.split_once('#') {
        Some(("", anchor)) => headings.iter().any(|heading| heading == anchor),
        Some((file, _)) => folder.join(file).exists(),
        None => folder.join(target).exists(),
    };
    let dead = links(text).into_iter().filter(|target| !leads(target));
    dead.map(|target| format!("{page}: {target} is not there")).collect()
}

/// The dependencies that a default build has, by the names in `Cargo.toml`.
pub(crate) fn dependencies(manifest: &str) -> usize {
    let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.contains(" = "));
    lines.filter(|line| !line.contains("optional = true") || line.starts_with("zstd ")).count()
}

/// The names in a cell of code that the source does not define.
pub(crate) fn unknown_names(cell: &str, source: &str) -> Vec<String> {
    let is_name = |word: &&str| word.len() > 2 && !word.starts_with(|c: char| c.is_numeric());
    let words = cell.split(|c: char| !c.is_alphanumeric() && c != '_').filter(is_name);
    let stands = |before: &str, word: &str, after: &[char]| {
        let text = format!("{before}{word}");
        source.match_indices(&text).any(|(at, _)| source[at + text.len()..].starts_with(after))
    };
    let defined = |word: &str| {
        let kinds = ["fn ", "struct ", "enum ", "trait ", "mod "];
        kinds.iter().any(|kind| stands(kind, word, &['(', '<', ' ', ';', ':', '{']))
            || stands("    ", word, &[',', '(', ' '])
    };
    words.filter(|word| *word != "await" && !defined(word)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_found() {
        assert_eq!(claims("a.md", "It is Faster\nthan Kafka.").len(), 1);
        assert!(claims("a.md", "It is fast.").is_empty());
    }

    #[test]
    fn tables_are_read() {
        assert_eq!(rows("| a | `b` |\ntext\n"), [["a", "b"]]);
        assert_eq!(keys_of("  \"linger.ms\" => x,\n  \"a.b\" if y => z,\n").len(), 2);
        assert_eq!(keys_of("let x = \"linger.ms\";\n").len(), 0);
        let rows = errors_of("    Gone = 7, \"GONE_AWAY\", true;\n    /// Other = text;\n");
        assert_eq!(rows, [["7", "GONE_AWAY", "Gone", "yes"]]);
    }

    #[test]
    fn links_lead_somewhere() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = "# The end\n[a](Cargo.toml) [b](#the-end) [c](https://x.y) [d](crate::Broker)";
        assert!(dead_links(root, "README.md", page).is_empty());
        assert_eq!(dead_links(root, "README.md", "[a](No.toml) [b](#none)").len(), 2);
    }

    #[test]
    fn names_and_numbers_are_true() {
        assert_eq!(unknown_names("Broker::open, r.await", "struct Broker; fn open()"), [""; 0]);
        assert_eq!(unknown_names("Broker::shut", "struct Broker;"), ["shut"]);
        let manifest =
            "[dependencies]\na = \"1\"\nb = { optional = true }\nzstd = { optional = true }\n[x]";
        assert_eq!(dependencies(manifest), 2);
    }
}
