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

#[cfg(test)]
mod tests {
    use super::super::measure::{Survives, Workload};
    use super::*;

    const ALL: &[&str] = &["slow", "fast"];

    fn workload(unit: Unit) -> Workload {
        Workload::new("w", "", unit)
            .limit("limit", Survives::Nothing, || 10.0)
            .bound("bound", 10.0)
            .ours("ours", Survives::Nothing, || 9.5)
            .peer("slow", Survives::Nothing, || 4.0)
            .peer("fast", Survives::Nothing, || 20.0)
    }

    fn outcome(unit: Unit, ratio: f64, against: Against) -> Outcome {
        let measured = workload(unit).goal_of("ours", ratio, against).measure(3);
        measured.outcomes().remove(0)
    }

    #[test]
    fn level_with_a_limit_is_enough_and_with_a_bound_it_is_not() {
        assert!(outcome(Unit::Rate, 1.0, Against::One("limit")).reached());
        assert!(!outcome(Unit::Rate, 0.96, Against::One("limit")).reached());
        assert!(!outcome(Unit::Rate, 1.0, Against::One("bound")).reached());
        assert!(outcome(Unit::Bytes, 1.0, Against::One("bound")).reached());
    }

    #[test]
    fn best_worst_and_middle_go_by_the_unit() {
        let ratio = |unit, against| outcome(unit, 1.0, against).ratios.median();
        assert_eq!(ratio(Unit::Rate, Against::BestPeer), 9.5 / 20.0);
        assert_eq!(ratio(Unit::Time, Against::BestPeer), 4.0 / 9.5);
        assert_eq!(ratio(Unit::Rate, Against::Worst(ALL)), 9.5 / 4.0);
        assert_eq!(ratio(Unit::Time, Against::Worst(ALL)), 20.0 / 9.5);
        assert_eq!(ratio(Unit::Rate, Against::Middle(ALL)), 9.5 / 12.0);
    }

    #[test]
    fn everybody_runs_once_a_round_and_the_median_counts() {
        let mut next = 0.0;
        let ours = move || {
            next += 1.0;
            next
        };
        let work = Workload::new("w", "", Unit::Rate).ours("ours", Survives::Nothing, ours);
        let measured = work.limit("limit", Survives::Nothing, || 1.0).measure(5);
        assert_eq!(measured.line("ours").figures, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(measured.line("ours").median(), 3.0);
        let ratios = measured.ratios(measured.line("ours"), measured.line("limit"));
        assert_eq!(ratios.to_string(), "**3.00** (1.00 2.00 3.00 4.00 5.00)");
    }
}
