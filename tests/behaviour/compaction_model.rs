//! Compaction and retention against a naive model: after every pass each file holds, byte for byte,
//! what Kafka's rules leave; readers see a subsequence of what they saw before.
//!
//! `LOGREEL_COMPACTION_SEED` runs one history, `LOGREEL_COMPACTION_RUNS` sets how many there are. A
//! history that fails is cut down before it is printed.

mod driver;
mod files;
mod history;
mod rules;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use driver::{Counts, run};
use history::History;

const HISTORIES: u64 = 20_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// What a history fails with, up to its first number.
fn failure(history: &History) -> Option<String> {
    let mut counts = Counts::default();
    let reason = catch_unwind(AssertUnwindSafe(|| run(history, &mut counts))).err()?;
    let text = reason.downcast_ref::<String>().cloned().unwrap_or_default();
    let words = text.split_whitespace().filter(|word| !word.contains(|c: char| c.is_numeric()));
    Some(words.take(8).collect::<Vec<_>>().join(" "))
}

/// Leaves out what a failing history does not need, halves first.
fn shrink(mut history: History, reason: &str) -> History {
    for part in [0, 1] {
        let len = |history: &History| [history.before.len(), history.steps.len()][part];
        let mut size = len(&history).div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < len(&history) {
                let mut less = history.clone();
                let to = (from + size).min(len(&history));
                if part == 0 {
                    drop(less.before.drain(from..to));
                } else {
                    drop(less.steps.drain(from..to));
                }
                if failure(&less).as_deref() == Some(reason) {
                    history = less;
                } else {
                    from = to;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }
    history
}

#[test]
fn what_compaction_leaves_is_what_the_rules_say() {
    if let Some(seed) = number("LOGREEL_COMPACTION_SEED") {
        let history = History::draw(seed);
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let history = match failure(&history) {
            Some(reason) => shrink(history, &reason),
            None => history,
        };
        std::panic::set_hook(hook);
        println!("{history:?}");
        return run(&history, &mut Counts::default());
    }
    let runs = number("LOGREEL_COMPACTION_RUNS").unwrap_or(HISTORIES);
    let next = Arc::new(AtomicU64::new(1));
    let sum = Arc::new(Mutex::new(Counts::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (next, sum) = (Arc::clone(&next), Arc::clone(&sum));
            scope.spawn(move || {
                let mut counts = Counts::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > runs {
                        break;
                    }
                    let history = History::draw(seed);
                    let outcome = catch_unwind(AssertUnwindSafe(|| run(&history, &mut counts)));
                    if let Err(reason) = outcome {
                        next.store(runs, Ordering::Relaxed);
                        println!("failed with LOGREEL_COMPACTION_SEED={seed}");
                        std::panic::resume_unwind(reason);
                    }
                }
                sum.lock().unwrap().add(&counts);
            });
        }
    });
    let sum = *sum.lock().unwrap();
    println!("{runs} histories: {sum:?}");
    let each = [sum.passes, sum.changed, sum.rounds, sum.merged, sum.hollow, sum.markers_gone];
    let others = [sum.horizons, sum.tombstones_gone, sum.retained, sum.kills, sum.closes];
    assert!(each.into_iter().chain(others).all(|count| count > runs / 100), "{sum:?}");
}
