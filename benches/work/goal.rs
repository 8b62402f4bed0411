//! Ratios to be reached, and whether they were.

use std::fmt;

use super::measure::{Line, Measured, Role, Unit, median};

/// Whom a contestant of ours is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Against {
    /// The contestant of this name.
    One(&'static str),
    /// The peer with the best median.
    BestPeer,
    /// Of these, the one with the worst median.
    Worst(&'static [&'static str]),
    /// The middle of these, round by round.
    Middle(&'static [&'static str]),
}

/// A ratio to be reached.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The contestant of ours.
    pub ours: &'static str,
    pub against: Against,
    pub ratio: f64,
    /// It would be good to reach it, and is no failure not to.
    pub stretch: bool,
}

/// Where the goal is the limit itself, this much of it counts as reached: what it is compared with
/// is measured too, and moves as much from round to round.
pub const LEVEL: f64 = 0.9;

/// What a goal came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub goal: Goal,
    /// Who it was compared with.
    pub against: String,
    pub ratios: Ratios,
    /// What the median has to be.
    pub needed: f64,
}

impl Outcome {
    pub fn reached(&self) -> bool {
        self.ratios.median() >= self.needed
    }

    /// What was to be reached, and whether it was.
    pub fn verdict(&self) -> String {
        let Goal { ratio, stretch, .. } = self.goal;
        let kind = if stretch { "stretch" } else { "goal" };
        let level = if self.needed < ratio { format!(", {LEVEL} counts") } else { String::new() };
        let reached = if self.reached() { "reached" } else { "not reached" };
        format!("{kind} {}{level}: {reached}", short(ratio))
    }
}

/// A ratio without the digits that say nothing.
pub fn short(ratio: f64) -> String {
    let text = format!("{ratio:.2}");
    let text = text.trim_end_matches('0');
    if text.ends_with('.') { format!("{text}0") } else { text.to_owned() }
}

/// Ratios of one contestant to another, a round each.
#[derive(Clone, Debug)]
pub struct Ratios(pub Vec<f64>);

impl Ratios {
    pub fn of(unit: Unit, ours: &[f64], against: &[f64]) -> Self {
        Self(ours.iter().zip(against).map(|(ours, other)| unit.ratio(*ours, *other)).collect())
    }

    pub fn median(&self) -> f64 {
        median(&self.0)
    }
}

/// The median, and all of them.
impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|ratio| format!("{ratio:.2}")).collect();
        write!(f, "**{:.2}** ({})", self.median(), all.join(" "))
    }
}

impl Measured {
    /// What each goal came to.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.goals.iter().map(|goal| self.outcome(*goal)).collect()
    }

    fn outcome(&self, goal: Goal) -> Outcome {
        let (against, figures, is_limit) = match goal.against {
            Against::One(name) => named(self.line(name)),
            Against::BestPeer => named(self.best_peer().expect("a goal against peers")),
            Against::Worst(names) => {
                let lines = names.iter().map(|name| self.line(name));
                let (name, figures, is_limit) = named(self.worst_of(lines));
                (format!("{name} (the slowest of {})", names.len()), figures, is_limit)
            }
            Against::Middle(names) => {
                let lines: Vec<&Line> = names.iter().map(|name| self.line(name)).collect();
                let rounds = lines.iter().map(|line| line.figures.len()).min().unwrap_or(0);
                let middle = |round: usize| {
                    let figures: Vec<f64> = lines.iter().map(|line| line.figures[round]).collect();
                    median(&figures)
                };
                let figures = (0..rounds).map(middle).collect();
                (format!("the median of {}", names.join(", ")), figures, false)
            }
        };
        let ratios = Ratios::of(self.unit, &self.line(goal.ours).figures, &figures);
        let level = is_limit && (goal.ratio - 1.0).abs() < f64::EPSILON;
        let needed = if level { LEVEL } else { goal.ratio };
        Outcome { goal, against, ratios, needed }
    }

    fn worst_of<'a>(&self, lines: impl Iterator<Item = &'a Line>) -> &'a Line {
        lines.min_by(|a, b| self.compare(a, b)).expect("somebody to compare with")
    }
}

fn named(line: &Line) -> (String, Vec<f64>, bool) {
    (line.name.clone(), line.figures.clone(), line.role == Role::Limit)
}
