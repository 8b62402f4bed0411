//! Random consumers in random groups against a model of what groups promise.
//!
//! One seeded run is a broker, two groups, up to six consumers at a time and a mock clock, all on
//! one thread. After every step the broker and the consumers must stand where the model says. A
//! failure prints the seed and what was done; `LOGREEL_GROUP_SEED` runs one seed again and
//! `LOGREEL_GROUP_STEPS` sets how many steps are taken in all.

mod driver;
mod listener;
mod model;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use driver::Run;

/// Numbers that look random and follow from a seed (splitmix64).
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// What was done, for whoever looks at a failure.
pub type History = Arc<Mutex<Vec<String>>>;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Steps taken by one seed.
fn run(seed: u64, history: &History) -> usize {
    history.lock().unwrap().clear();
    let mut run = Run::new(seed, Arc::clone(history));
    run.go();
    run.steps
}

/// The run that goes on.
struct Current {
    seed: u64,
    begun: Instant,
    /// Taken by the runs before it.
    steps: usize,
}

fn print_failure(current: &Current, history: &History) {
    for line in history.lock().unwrap().iter() {
        println!("{line}");
    }
    println!("after {} steps failed with LOGREEL_GROUP_SEED={}", current.steps, current.seed);
}

#[test]
fn groups_keep_their_promises() {
    let (seeds, wanted) = match number("LOGREEL_GROUP_SEED") {
        Some(seed) => (seed..=seed, usize::MAX),
        None => (1..=u64::MAX, number("LOGREEL_GROUP_STEPS").unwrap_or(1_000_000) as usize),
    };
    let history = History::default();
    let current = Arc::new(Mutex::new(Current { seed: 0, begun: Instant::now(), steps: 0 }));
    let worker = {
        let (history, current) = (Arc::clone(&history), Arc::clone(&current));
        std::thread::spawn(move || {
            let mut steps = 0;
            for seed in seeds {
                *current.lock().unwrap() = Current { seed, begun: Instant::now(), steps };
                steps += run(seed, &history);
                if steps >= wanted {
                    break;
                }
            }
            steps
        })
    };
    while !worker.is_finished() {
        std::thread::sleep(Duration::from_millis(20));
        let current = current.lock().unwrap();
        if current.begun.elapsed() > Duration::from_secs(60) {
            print_failure(&current, &history);
            panic!("it hangs");
        }
    }
    match worker.join() {
        Ok(steps) => println!("{steps} steps"),
        Err(_) => {
            print_failure(&current.lock().unwrap(), &history);
            panic!("a promise was broken");
        }
    }
}
