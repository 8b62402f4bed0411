//! Every cut of a workload, the states it may leave, and crashes of their recoveries.
//!
//! `LOGREEL_CAMPAIGN=<factor>` looks at that many times more states; `LOGREEL_SEED=<number>` makes
//! other choices where not all can be tried; `LOGREEL_CUT=<workload>:<cut>` looks at one cut only,
//! as the message of a failure says.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use logreel::testing::SimStorage;

/// Says what was promised at a cut, and whether a state keeps it.
pub(crate) trait Oracle: Sync {
    type Promise: Clone + Eq + Hash;

    /// What had been acknowledged when the first `cut` operations were done.
    fn promise(&self, trace: &SimStorage, cut: usize) -> Self::Promise;

    /// The promise to those whose process dies while the machine lives.
    fn killed(&self, promise: Self::Promise) -> Self::Promise;

    /// Opens a state and panics if it breaks the promise. The storage comes back with the length
    /// its trace had when it was open.
    fn check(&self, what: &str, state: &SimStorage, promise: &Self::Promise)
    -> (SimStorage, usize);
}

/// How much to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// States of one cut; all there are if they are fewer.
    pub(crate) states_per_cut: usize,
    /// Of so many states one has its recovery cut, at every operation.
    pub(crate) nested_every: usize,
    /// States of one cut of a recovery.
    pub(crate) nested_states: usize,
    /// Of so many kills one is followed by power cuts while the next process opens.
    pub(crate) kills_every: usize,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) traces: usize,
    pub(crate) operations: usize,
    /// Distinct states of power cuts, by trace and cut.
    pub(crate) states: usize,
    /// Those that no cut before them left under the same promise, and that were opened therefore.
    pub(crate) opened: usize,
    pub(crate) kills: usize,
    /// States that a cut of a recovery left.
    pub(crate) nested: usize,
    /// States that a cut of the recovery from a cut recovery left.
    pub(crate) thrice: usize,
}

impl Count {
    pub(crate) fn add(&mut self, other: Self) {
        self.traces += other.traces;
        self.operations += other.operations;
        self.states += other.states;
        self.opened += other.opened;
        self.kills += other.kills;
        self.nested += other.nested;
        self.thrice += other.thrice;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traces, operations, states, opened, kills, nested, thrice } = self;
        write!(
            f,
            "{traces} traces, {operations} operations, {states} states of power cuts ({opened} \
             opened, the others seen before), {kills} kills, {nested} cuts of recoveries, \
             {thrice} of recoveries from those; 0 acknowledged records lost, 0 invented"
        )
    }
}

/// By how much more than CI to look.
pub(crate) fn campaign() -> usize {
    static FACTOR: OnceLock<usize> = OnceLock::new();
    *FACTOR.get_or_init(|| number("LOGREEL_CAMPAIGN").map_or(1, |factor| factor.max(1)))
}

pub(crate) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| number("LOGREEL_SEED").unwrap_or(0) as u64)
}

fn number(variable: &str) -> Option<usize> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// The one cut to look at, if only one.
fn only() -> Option<&'static (String, usize)> {
    static ONLY: OnceLock<Option<(String, usize)>> = OnceLock::new();
    ONLY.get_or_init(|| {
        let text = std::env::var("LOGREEL_CUT").ok()?;
        let (name, cut) = text.rsplit_once(':').unwrap();
        Some((name.to_owned(), cut.parse().unwrap()))
    })
    .as_ref()
}

/// The states that were opened, with the promises they kept. A state is not opened twice for the
/// same promise, whatever led to it.
#[derive(Default)]
pub(crate) struct Explorer {
    seen: Mutex<HashSet<(u64, u64)>>,
    hasher: RandomState,
}

impl Explorer {
    /// Looks at all cuts of a trace, on two threads.
    pub(crate) fn explore<O: Oracle>(
        &self,
        name: &str,
        trace: &SimStorage,
        oracle: &O,
        plan: Plan,
    ) -> Count {
        let cuts: Vec<usize> = (0..=trace.op_count()).collect();
        let mut count = on_two_threads(&cuts, |cut| self.cut(name, trace, *cut, oracle, plan));
        count.traces = 1;
        count.operations = trace.op_count();
        println!("{name}: {count}");
        count
    }

    /// Looks at the cuts from `first` on: what came before is another trace's end.
    pub(crate) fn explore_from<O: Oracle>(
        &self,
        name: &str,
        trace: &SimStorage,
        first: usize,
        oracle: &O,
        plan: Plan,
    ) -> Count {
        let operations = trace.op_count() - first;
        let mut count = Count { traces: 1, operations, ..Count::default() };
        for cut in first..=trace.op_count() {
            count.add(self.cut(name, trace, cut, oracle, plan));
        }
        count
    }

    fn is_new(&self, state: &SimStorage, promise: impl Hash) -> bool {
        let key = (state.state_hash(), self.hasher.hash_one(promise));
        self.seen.lock().unwrap().insert(key)
    }

    fn cut<O: Oracle>(
        &self,
        name: &str,
        trace: &SimStorage,
        cut: usize,
        oracle: &O,
        plan: Plan,
    ) -> Count {
        if only().is_some_and(|(only, at)| only != name || *at != cut) {
            return Count::default();
        }
        let mut count = Count { kills: 1, ..Count::default() };
        let promise = oracle.promise(trace, cut);
        let what = format!("LOGREEL_CUT='{name}:{cut}' LOGREEL_SEED={}", seed());
        let killed = oracle.killed(promise.clone());
        let (next, opened) =
            oracle.check(&format!("{what}, killed"), &trace.kill_state(cut), &killed);
        if cut.is_multiple_of(plan.kills_every) {
            count.nested += self.after_kill(&what, cut, &next, opened, oracle, plan);
        }
        let limit = plan.states_per_cut * campaign();
        for state in trace.power_cut_states(cut, limit, seed() ^ cut as u64) {
            count.states += 1;
            if !self.is_new(&state, &promise) {
                continue;
            }
            count.opened += 1;
            let what = format!("{what}, power cut, state {}", count.states);
            let (recovering, opened) = oracle.check(&what, &state, &promise);
            // Which ones is a matter of their contents, so that it repeats.
            if !state.state_hash().is_multiple_of(plan.nested_every as u64) {
                continue;
            }
            for again in 0..=opened {
                let states = recovering.power_cut_states(again, plan.nested_states, again as u64);
                for state in states {
                    count.nested += 1;
                    let what = format!("{what}, cut again after operation {again} of recovery");
                    let (third, opened) = oracle.check(&what, &state, &promise);
                    if count.nested.is_multiple_of(16) {
                        let at = state.state_hash() as usize % (opened + 1);
                        for state in third.power_cut_states(at, 2, at as u64) {
                            count.thrice += 1;
                            oracle.check(&format!("{what}, and again at {at}"), &state, &promise);
                        }
                    }
                }
            }
        }
        count
    }

    /// The power goes while a process opens what a killed one left; when it has opened it, all
    /// that it serves must stay.
    fn after_kill<O: Oracle>(
        &self,
        what: &str,
        cut: usize,
        next: &SimStorage,
        opened: usize,
        oracle: &O,
        plan: Plan,
    ) -> usize {
        let mut count = 0;
        for at in cut..=opened {
            let promise = oracle.promise(next, cut);
            let promise = if at == opened { oracle.killed(promise) } else { promise };
            for state in next.power_cut_states(at, plan.nested_states, at as u64) {
                count += 1;
                if self.is_new(&state, &promise) {
                    let what =
                        format!("{what}, killed, power cut after operation {at} of recovery");
                    oracle.check(&what, &state, &promise);
                }
            }
        }
        count
    }
}

/// Counts what `look` looks at, item by item, two at a time.
pub(crate) fn on_two_threads<T: Sync>(items: &[T], look: impl Fn(&T) -> Count + Sync) -> Count {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut count = Count::default();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Whoever fails takes the rest away from the other: the first finding is enough.
            let looked = catch_unwind(AssertUnwindSafe(|| look(item)));
            count.add(looked.unwrap_or_else(|panic| {
                next.store(items.len(), Ordering::Relaxed);
                resume_unwind(panic)
            }));
        }
        count
    };
    let outcomes = std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.map(std::thread::ScopedJoinHandle::join)
    });
    let mut count = Count::default();
    for outcome in outcomes {
        count.add(outcome.unwrap_or_else(|panic| resume_unwind(panic)));
    }
    count
}
