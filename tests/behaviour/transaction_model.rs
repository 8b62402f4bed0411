//! Random transactions of several producers against a model of what readers may see.
//!
//! One seeded history is a broker on a simulated disk with a mock clock, three transactional ids,
//! producers that are taken over and go on as zombies, plain records between the transactions, two
//! groups, compaction, deleted records, clean closes, kills and power cuts. After every step the
//! committed readers see what the model says, record by record, and the groups stand where it says:
//! all of a committed transaction, nothing of any other. A failure prints the seed and what was
//! done; `LOGREEL_TXN_SEED` runs one seed again, `LOGREEL_TXN_HISTORIES` sets how many are run.

mod actor;
mod driver;
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use driver::Run;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn committed_readers_see_whole_transactions_and_nothing_else() {
    let only = number("LOGREEL_TXN_SEED");
    let histories = number("LOGREEL_TXN_HISTORIES").unwrap_or(2000);
    let seeds = only.map_or(0..histories, |seed| seed..seed + 1);
    let (next, steps, committed) =
        (AtomicU64::new(seeds.start), AtomicU64::new(0), AtomicU64::new(0));
    let begun = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let mut run = Run::new(seed);
            let outcome = catch_unwind(AssertUnwindSafe(|| run.go()));
            steps.fetch_add(run.done.len() as u64, Ordering::Relaxed);
            committed.fetch_add(run.committed() as u64, Ordering::Relaxed);
            if let Err(panic) = outcome {
                next.store(seeds.end, Ordering::Relaxed);
                println!("LOGREEL_TXN_SEED={seed}: {:#?}", run.done);
                resume_unwind(panic);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let (steps, committed) = (steps.into_inner(), committed.into_inner());
    let count = seeds.end - seeds.start;
    println!("{count} histories, {steps} steps, {committed} commits; {:?}", begun.elapsed());
    assert!(only.is_some() || committed > count, "they commit too little to show anything");
}
