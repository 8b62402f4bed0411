//! Every short sequence of steps, and long random ones.

use std::time::Instant;

use crate::explore::{Count, Explorer, Plan, campaign, on_two_threads, seed};
use crate::story::{Step, World};

/// Sequences up to this length are all tried; a campaign tries those of one step more.
const LENGTH: usize = 3;
/// So many random sequences of [`LONG`] steps are tried beside.
const RANDOM: usize = 40;
const LONG: usize = 14;
/// So many states must be looked at, or the suite is not what it says.
const STATES_MIN: usize = 1_000_000;

/// Runs `path` and looks at the cuts of its last step; those before are other sequences' ends.
pub(crate) fn last_step(explorer: &Explorer, mut world: World, path: &[Step], plan: Plan) -> Count {
    let (last, before) = path.split_last().unwrap();
    before.iter().for_each(|step| world.step(*step));
    let first = world.op_count();
    world.step(*last);
    let (trace, told) = world.finish();
    explorer.explore_from(&format!("{path:?}"), &trace, first, &told, plan)
}

/// All sequences of this length.
pub(crate) fn of_length(length: usize) -> Vec<Vec<Step>> {
    (0..length).fold(vec![Vec::new()], |shorter, _| {
        let longer = |path: &Vec<Step>| {
            let path = path.clone();
            Step::ALL.map(|step| path.iter().copied().chain([step]).collect())
        };
        shorter.iter().flat_map(longer).collect()
    })
}

/// A sequence that `number` determines.
pub(crate) fn random(number: u64) -> Vec<Step> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed();
    let draw = move |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Step::ALL[(state >> 33) as usize % Step::ALL.len()]
    };
    (0..LONG).map(draw).collect()
}

#[test]
fn short_and_long_sequences_of_steps() {
    let explorer = Explorer::default();
    let mut total = Count::default();
    // The shorter, the more of its states.
    let plans = [(1, 400, 10), (2, 200, 20), (LENGTH, 60, 100), (LENGTH + 1, 8, 1000)];
    let plans = &plans[..if campaign() > 1 { 4 } else { 3 }];
    for (length, states_per_cut, nested_every) in plans.iter().copied() {
        let plan = Plan { states_per_cut, nested_every, nested_states: 4, kills_every: 4 };
        let started = Instant::now();
        let count = on_two_threads(&of_length(length), |path| {
            last_step(&explorer, World::new(), path, plan)
        });
        println!("all sequences of {length}: {count}; {:?}", started.elapsed());
        total.add(count);
    }
    let plan = Plan { states_per_cut: 60, nested_every: 200, nested_states: 4, kills_every: 4 };
    let started = Instant::now();
    let numbers: Vec<u64> = (0..(RANDOM * campaign()) as u64).collect();
    let count = on_two_threads(&numbers, |number| {
        let path = random(*number);
        let mut world = World::new();
        path.iter().for_each(|step| world.step(*step));
        let (trace, told) = world.finish();
        explorer.explore_from(&format!("{path:?}"), &trace, 0, &told, plan)
    });
    println!("random sequences of {LONG}: {count}; {:?}", started.elapsed());
    total.add(count);
    println!("sequences: {total}");
    assert!(total.states >= STATES_MIN, "{} states", total.states);
}
