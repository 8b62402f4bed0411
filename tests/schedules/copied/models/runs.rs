//! Running a model: how many schedules, from which seed, or one again.

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};

/// Threads whose preemptions PCT spends: bugs of three ordered events are found.
const DEPTH: usize = 3;
/// What a thread of a broker needs.
const STACK: usize = 512 * 1024;
/// More than any schedule takes that comes to its end.
const STEPS: usize = 200_000;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    config
}

/// Runs a model in as many schedules as `LOGREEL_SCHEDULES` says, half of them chosen by PCT.
pub(crate) fn run(name: &str, model: fn()) {
    let body = move || {
        logreel::schedules::begin();
        model();
    };
    if let Ok(schedule) = std::env::var("LOGREEL_REPLAY") {
        let scheduler = ReplayScheduler::new_from_encoded(&schedule.replace('\n', ""));
        Runner::new(scheduler, config()).run(body);
        println!("{name} again: 1 schedules");
        return;
    }
    let (count, seed) = (number("LOGREEL_SCHEDULES", 100), number("LOGREEL_SEED", 1));
    let half = usize::try_from(count).unwrap().div_ceil(2);
    let run = |what: &str, scheduler: Box<dyn Scheduler + Send>| {
        let started = std::time::Instant::now();
        println!("{name}: {what}, seed {seed}");
        let done = Runner::new(scheduler, config()).run(body);
        assert_eq!(done, half, "{name}");
        println!("{name} {what} in {:.1?}: {done} schedules", started.elapsed());
    };
    run("by PCT", Box::new(PctScheduler::new_from_seed(seed, DEPTH, half)));
    run("at random", Box::new(RandomScheduler::new_from_seed(seed, half)));
}
