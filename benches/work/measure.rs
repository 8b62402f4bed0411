//! Contestants, measured one after the other, again and again, in one process.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::goal::{Against, Goal, Ratios};

/// What the figures of a workload are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Records a second: more is better.
    Rate,
    /// Seconds: less is better.
    Time,
    /// Bytes: less is better.
    Bytes,
}

impl Unit {
    /// How many times as good `a` is as `b`.
    pub fn ratio(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Rate => a / b,
            Self::Time | Self::Bytes => b / a,
        }
    }

    /// A figure with its unit.
    pub fn show(self, figure: f64) -> String {
        match self {
            Self::Rate if figure >= 1e6 => format!("{:.2} M/s", figure / 1e6),
            Self::Rate => format!("{:.1} k/s", figure / 1e3),
            Self::Time if figure >= 1.0 => format!("{figure:.2} s"),
            Self::Time if figure >= 1e-3 => format!("{:.2} ms", figure * 1e3),
            Self::Time => format!("{:.1} us", figure * 1e6),
            Self::Bytes if figure >= 1e6 => format!("{:.1} MiB", figure / f64::from(1 << 20)),
            Self::Bytes => format!("{figure:.1} bytes"),
        }
    }
}

/// Who a contestant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What the machine allows, measured with as little code as does the same thing.
    Limit,
    /// A fixed figure to keep.
    Bound,
    Logreel,
    Peer,
}

/// What a record that was acknowledged survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// It is in the process's memory.
    Nothing,
    /// Panic, abort and kill.
    Process,
    /// A power cut.
    Power,
    /// Nothing is written.
    Unasked,
}

impl Survives {
    pub fn text(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Process => "the process",
            Self::Power => "power loss",
            Self::Unasked => "-",
        }
    }
}

/// One that runs the workload.
pub struct Contestant {
    pub name: String,
    pub role: Role,
    pub survives: Survives,
    /// Runs it once and answers its figure.
    pub run: Box<dyn FnMut() -> f64>,
}

/// Something to be done, and who does it.
pub struct Workload {
    pub name: String,
    /// `batch.size`, partitions, producers and the like.
    pub settings: String,
    pub unit: Unit,
    pub goals: Vec<Goal>,
    pub contestants: Vec<Contestant>,
}

impl Workload {
    pub fn new(name: impl Into<String>, settings: impl Into<String>, unit: Unit) -> Self {
        let (goals, contestants) = (Vec::new(), Vec::new());
        Self { name: name.into(), settings: settings.into(), unit, goals, contestants }
    }

    pub fn limit(self, name: &str, survives: Survives, run: impl FnMut() -> f64 + 'static) -> Self {
        self.with(name, Role::Limit, survives, run)
    }

    /// A figure that is not measured.
    pub fn bound(self, name: &str, figure: f64) -> Self {
        self.with(name, Role::Bound, Survives::Unasked, move || figure)
    }

    pub fn ours(self, name: &str, survives: Survives, run: impl FnMut() -> f64 + 'static) -> Self {
        self.with(name, Role::Logreel, survives, run)
    }

    pub fn peer(self, name: &str, survives: Survives, run: impl FnMut() -> f64 + 'static) -> Self {
        self.with(name, Role::Peer, survives, run)
    }

    fn with(
        mut self,
        name: &str,
        role: Role,
        survives: Survives,
        run: impl FnMut() -> f64 + 'static,
    ) -> Self {
        let (name, run) = (name.to_owned(), Box::new(run));
        self.contestants.push(Contestant { name, role, survives, run });
        self
    }

    pub fn goal(self, ours: &'static str, ratio: f64, against: &'static str) -> Self {
        self.goal_of(ours, ratio, Against::One(against))
    }

    pub fn goal_of(mut self, ours: &'static str, ratio: f64, against: Against) -> Self {
        self.goals.push(Goal { ours, against, ratio, stretch: false });
        self
    }

    pub fn stretch(mut self, ours: &'static str, ratio: f64, against: Against) -> Self {
        self.goals.push(Goal { ours, against, ratio, stretch: true });
        self
    }

    /// Whether somebody of this name takes part.
    pub fn has(&self, name: &str) -> bool {
        self.contestants.iter().any(|contestant| contestant.name == name)
    }

    /// Lets everybody run once in each round, one after the other.
    pub fn measure(mut self, rounds: usize) -> Measured {
        let mut figures = vec![Vec::with_capacity(rounds); self.contestants.len()];
        for _ in 0..rounds {
            for (contestant, figures) in self.contestants.iter_mut().zip(&mut figures) {
                figures.push((contestant.run)());
            }
        }
        self.measured(figures)
    }

    /// What these figures, a list for each contestant, come to.
    pub fn measured(self, figures: Vec<Vec<f64>>) -> Measured {
        let lines = self.contestants.into_iter().zip(figures).map(|(contestant, figures)| Line {
            name: contestant.name,
            role: contestant.role,
            survives: contestant.survives,
            figures,
        });
        Measured {
            name: self.name,
            settings: self.settings,
            unit: self.unit,
            goals: self.goals,
            lines: lines.collect(),
        }
    }
}

/// What a contestant came to.
#[derive(Clone, Debug)]
pub struct Line {
    pub name: String,
    pub role: Role,
    pub survives: Survives,
    /// One for each round.
    pub figures: Vec<f64>,
}

impl Line {
    pub fn median(&self) -> f64 {
        median(&self.figures)
    }
}

/// What a workload came to.
#[derive(Clone, Debug)]
pub struct Measured {
    pub name: String,
    pub settings: String,
    pub unit: Unit,
    pub goals: Vec<Goal>,
    pub lines: Vec<Line>,
}

impl Measured {
    pub fn line(&self, name: &str) -> &Line {
        let found = self.lines.iter().find(|line| line.name == name);
        found.unwrap_or_else(|| panic!("{}: no contestant {name}", self.name))
    }

    pub fn of(&self, role: Role) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.role == role)
    }

    /// Which of two is the better one, by their medians.
    pub fn compare(&self, a: &Line, b: &Line) -> Ordering {
        self.unit.ratio(a.median(), b.median()).total_cmp(&1.0)
    }

    /// The best of the peers, if there are any.
    pub fn best_peer(&self) -> Option<&Line> {
        self.of(Role::Peer).max_by(|a, b| self.compare(a, b))
    }

    pub fn ratios(&self, ours: &Line, against: &Line) -> Ratios {
        Ratios::of(self.unit, &ours.figures, &against.figures)
    }

    /// What each contestant came to, goals reached and not, and the best peer.
    pub fn report(&self) -> String {
        let mut text = format!("{} ({})\n", self.name, self.settings);
        for line in &self.lines {
            let (figure, name) = (self.unit.show(line.median()), &line.name);
            writeln!(text, "  {figure:>14}  {name} [survives: {}]", line.survives.text()).unwrap();
        }
        for outcome in self.outcomes() {
            let (ours, against) = (outcome.goal.ours, &outcome.against);
            let (ratios, verdict) = (&outcome.ratios, outcome.verdict());
            writeln!(text, "  {ours} / {against}: {ratios}, {verdict}").unwrap();
        }
        if let Some(peer) = self.best_peer() {
            for ours in self.of(Role::Logreel) {
                let ratios = self.ratios(ours, peer);
                writeln!(text, "  {} / {} (best peer): {ratios}", ours.name, peer.name).unwrap();
            }
        }
        text
    }
}

pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}
