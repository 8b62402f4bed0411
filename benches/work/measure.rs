//! Contestants, measured one after the other, again and again, in one process.

use std::fmt::Write as _;

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
    /// What the machine allows, or a fixed figure to keep.
    Limit,
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

/// A ratio to be reached.
#[derive(Clone, Debug)]
pub struct Goal {
    /// The contestant of ours.
    pub ours: &'static str,
    /// The one it is compared with.
    pub against: &'static str,
    pub ratio: f64,
}

/// Something to be done, and who does it.
pub struct Workload {
    pub name: &'static str,
    /// `batch.size`, partitions, producers and the like.
    pub settings: String,
    pub unit: Unit,
    pub goals: Vec<Goal>,
    pub contestants: Vec<Contestant>,
}

impl Workload {
    pub fn new(name: &'static str, settings: impl Into<String>, unit: Unit) -> Self {
        let (goals, contestants) = (Vec::new(), Vec::new());
        Self { name, settings: settings.into(), unit, goals, contestants }
    }

    pub fn limit(self, name: &str, survives: Survives, run: impl FnMut() -> f64 + 'static) -> Self {
        self.with(name, Role::Limit, survives, run)
    }

    pub fn ours(self, name: &str, survives: Survives, run: impl FnMut() -> f64 + 'static) -> Self {
        self.with(name, Role::Logreel, survives, run)
    }

    pub fn goal(mut self, ours: &'static str, ratio: f64, against: &'static str) -> Self {
        self.goals.push(Goal { ours, against, ratio });
        self
    }

    pub fn with(
        mut self,
        name: &str,
        role: Role,
        survives: Survives,
        run: impl FnMut() -> f64 + 'static,
    ) -> Self {
        self.contestants.push(Contestant { name: name.to_owned(), role, survives, run: Box::new(run) });
        self
    }

    /// Lets everybody run once in each round, one after the other.
    pub fn measure(mut self, rounds: usize) -> Measured {
        let mut figures = vec![Vec::with_capacity(rounds); self.contestants.len()];
        for _ in 0..rounds {
            for (contestant, figures) in self.contestants.iter_mut().zip(&mut figures) {
                figures.push((contestant.run)());
            }
        }
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

/// What a workload came to.
#[derive(Clone, Debug)]
pub struct Measured {
    pub name: &'static str,
    pub settings: String,
    pub unit: Unit,
    pub goals: Vec<Goal>,
    pub lines: Vec<Line>,
}

/// Ratios of one contestant to another, a round each.
#[derive(Clone, Debug)]
pub struct Ratios(pub Vec<f64>);

impl Ratios {
    pub fn median(&self) -> f64 {
        median(&self.0)
    }

    /// The median, and all of them.
    pub fn show(&self) -> String {
        let all: Vec<String> = self.0.iter().map(|ratio| format!("{ratio:.2}")).collect();
        format!("**{:.2}** ({})", self.median(), all.join(" "))
    }
}

impl Measured {
    pub fn line(&self, name: &str) -> &Line {
        self.lines.iter().find(|line| line.name == name).expect("a contestant of this name")
    }

    pub fn ratios(&self, ours: &str, against: &str) -> Ratios {
        let pairs = self.line(ours).figures.iter().zip(&self.line(against).figures);
        Ratios(pairs.map(|(ours, against)| self.unit.ratio(*ours, *against)).collect())
    }

    /// The best of the peers, if there are any.
    pub fn best_peer(&self) -> Option<&Line> {
        let peers = self.lines.iter().filter(|line| line.role == Role::Peer);
        peers.max_by(|a, b| {
            let better = self.unit.ratio(median(&a.figures), median(&b.figures));
            better.partial_cmp(&1.0).expect("figures are numbers")
        })
    }

    /// Goals reached and not, and what each contestant came to.
    pub fn report(&self) -> String {
        let mut text = format!("{} ({})\n", self.name, self.settings);
        for line in &self.lines {
            let figure = self.unit.show(median(&line.figures));
            let (name, survives) = (&line.name, line.survives.text());
            writeln!(text, "  {figure:>14}  {name} [survives: {survives}]").unwrap();
        }
        for Goal { ours, against, ratio } in &self.goals {
            let ratios = self.ratios(ours, against);
            let verdict = if ratios.median() >= *ratio { "reached" } else { "not reached" };
            let shown = ratios.show();
            writeln!(text, "  {ours} / {against}: {shown}, goal {ratio}: {verdict}").unwrap();
        }
        if let Some(peer) = self.best_peer() {
            for ours in self.lines.iter().filter(|line| line.role == Role::Logreel) {
                let shown = self.ratios(&ours.name, &peer.name).show();
                writeln!(text, "  {} / {} (best peer): {shown}", ours.name, peer.name).unwrap();
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
