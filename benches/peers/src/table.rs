//! What was measured, as Markdown: a compact table for the README, and everything there is.

use std::fmt::Write as _;
use std::path::Path;

use crate::work::goal::{Outcome, short};
use crate::work::measure::{Line, Measured, Role};

const BEGIN: &str = "<!-- benchmarks: begin -->";
const END: &str = "<!-- benchmarks: end -->";

/// The table of the README.
pub fn compact(machine: &str, all: &[Measured]) -> String {
    let mut text = format!("{machine}.\n\n");
    text.push_str("| workload | survives | logreel | beside the limit | beside others |\n");
    text.push_str("|---|---|---|---|---|\n");
    for measured in all {
        let outcomes = measured.outcomes();
        for ours in headliners(measured, &outcomes) {
            let of_ours: Vec<&Outcome> =
                outcomes.iter().filter(|outcome| is_told(outcome, ours)).collect();
            writeln!(
                text,
                "| {}<br>{} | {} | {} | {} | {} |",
                measured.name,
                settings(measured, ours),
                ours.survives.text(),
                measured.unit.show(ours.median()),
                limits(measured, ours, &of_ours),
                others(measured, ours, &of_ours),
            )
            .unwrap();
        }
    }
    text
}

/// The contestants of ours that goals are about, or the first one. One that only a stretch is about
/// is told in the details.
fn headliners<'a>(measured: &'a Measured, outcomes: &[Outcome]) -> Vec<&'a Line> {
    let outcomes = outcomes.iter().filter(|outcome| !outcome.goal.stretch);
    let named: Vec<&Line> = measured
        .of(Role::Logreel)
        .filter(|line| outcomes.clone().any(|outcome| outcome.goal.ours == line.name))
        .collect();
    if named.is_empty() { measured.of(Role::Logreel).take(1).collect() } else { named }
}

/// A stretch that was not reached is told in the details.
fn is_told(outcome: &Outcome, ours: &Line) -> bool {
    outcome.goal.ours == ours.name && (!outcome.goal.stretch || outcome.reached())
}

/// The settings of the workload, and of this contestant.
fn settings(measured: &Measured, ours: &Line) -> String {
    let own = ours.name.strip_prefix("logreel").unwrap_or(&ours.name);
    let own = own.trim_start_matches([',', ' ']);
    if own.is_empty() { measured.settings.clone() } else { format!("{}; {own}", measured.settings) }
}

fn is_peer(measured: &Measured, outcome: &Outcome) -> bool {
    let found = measured.lines.iter().find(|line| line.name == outcome.against);
    found.is_none_or(|line| line.role == Role::Peer)
}

fn judged(outcome: &Outcome) -> String {
    let kind = if outcome.goal.stretch { "stretch" } else { "goal" };
    let reached = if outcome.reached() { "reached" } else { "missed" };
    format!("**{:.2}**, {kind} {} {reached}", outcome.ratios.median(), short(outcome.goal.ratio))
}

fn limits(measured: &Measured, ours: &Line, outcomes: &[&Outcome]) -> String {
    let mut cells = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| !is_peer(measured, outcome)) {
        let line = measured.line(&outcome.against);
        let figure = match line.role {
            Role::Bound => String::new(),
            _ => format!(" {}", measured.unit.show(line.median())),
        };
        cells.push(format!("{}{figure}: {}", line.name, judged(outcome)));
    }
    if cells.is_empty() {
        for line in measured.of(Role::Limit) {
            let (figure, ratio) = (measured.unit.show(line.median()), measured.ratios(ours, line));
            cells.push(format!("{} {figure}: {:.2}", line.name, ratio.median()));
        }
    }
    cells.join("<br>")
}

fn others(measured: &Measured, ours: &Line, outcomes: &[&Outcome]) -> String {
    let mut cells = Vec::new();
    if let Some(best) = measured.best_peer() {
        let (figure, class) = (measured.unit.show(best.median()), best.survives.text());
        let class = if class == "-" { String::new() } else { format!(" (survives: {class})") };
        let of_best = outcomes.iter().find(|outcome| outcome.against == best.name);
        let ratio = match of_best {
            Some(outcome) => judged(outcome),
            None => format!("{:.2}", measured.ratios(ours, best).median()),
        };
        cells.push(format!("best: {}{class} {figure}: {ratio}", best.name));
    }
    let best = measured.best_peer().map(|best| best.name.as_str());
    for outcome in outcomes.iter().filter(|outcome| is_peer(measured, outcome)) {
        if Some(outcome.against.as_str()) != best {
            cells.push(format!("{}: {}", outcome.against, judged(outcome)));
        }
    }
    cells.join("<br>")
}

/// Everything: who came to what in every round, and all ratios.
pub fn detailed(machine: &str, all: &[Measured]) -> String {
    let mut text = String::from("# What the benchmarks came to\n\n");
    writeln!(text, "{machine}.\n").unwrap();
    text.push_str(INTRODUCTION);
    for measured in all {
        writeln!(text, "\n## {}\n\n{}.\n", measured.name, measured.settings).unwrap();
        text.push_str("| who | an acknowledged record survives | median | all runs |\n");
        text.push_str("|---|---|---|---|\n");
        for line in &measured.lines {
            let show = |figure: &f64| measured.unit.show(*figure);
            let runs: Vec<String> = line.figures.iter().map(show).collect();
            let (median, survives) = (show(&line.median()), line.survives.text());
            let runs = if line.role == Role::Bound { String::new() } else { runs.join(", ") };
            writeln!(text, "| {} | {survives} | {median} | {runs} |", line.name).unwrap();
        }
        text.push('\n');
        let outcomes = measured.outcomes();
        for outcome in &outcomes {
            let (ours, against) = (outcome.goal.ours, &outcome.against);
            let (ratios, verdict) = (&outcome.ratios, outcome.verdict());
            writeln!(text, "- {ours} / {against}: {ratios}, {verdict}").unwrap();
        }
        if let Some(best) = measured.best_peer() {
            for ours in measured.of(Role::Logreel) {
                let told = |outcome: &Outcome| {
                    outcome.goal.ours == ours.name && outcome.against == best.name
                };
                if !outcomes.iter().any(told) {
                    let (peer, ratios) = (&best.name, measured.ratios(ours, best));
                    writeln!(text, "- {} / {peer} (the best peer): {ratios}", ours.name).unwrap();
                }
            }
        }
    }
    text
}

const INTRODUCTION: &str = "\
Written by the command above; nothing here was typed. Everybody runs in one process, one after the
other in each round. Count and checksum of what each wrote or read are verified. A ratio is of two
figures of the same round, and says how many times as good ours is; the bold one is the median,
all of them stand behind it. Where a goal is the limit itself, 0.9 of it counts as reached. The
limits are minimal code that does the same thing with files, not laws of nature.

Peers take part with their own best call for the workload. The one that is slow writes or reads
fewer records. Logs of one writer have one for each thread. kafko has segments of 1 MiB, as it
reads the rest of a segment to find a record; so its reading gets slower with larger ones. It runs
on tokio's usual runtime, or all on the thread that calls it. raft-engine does not compress.
seglog allocates its file before it is timed, and is told by its reader where a record lies. redb
does not check what it reads; the others do. A message of a channel owns its bytes.
";

/// Puts both where they belong, in the repository at `root`.
pub fn write(root: &Path, machine: &str, all: &[Measured]) {
    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme).unwrap();
    std::fs::write(&readme, between(&text, &compact(machine, all))).unwrap();
    std::fs::write(root.join("benches/RESULTS.md"), detailed(machine, all)).unwrap();
}

/// The text with what stands between the marks replaced.
fn between(text: &str, table: &str) -> String {
    let (before, rest) = text.split_once(BEGIN).expect("a mark in README.md");
    let (_, after) = rest.split_once(END).expect("a mark in README.md");
    format!("{before}{BEGIN}\n\n{table}\n{END}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let once = between(&text, "new\n");
        assert_eq!(once, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(between(&once, "new\n"), once);
    }
}
