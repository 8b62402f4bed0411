//! Power cuts and kills at every operation of a workload, simulated.
//!
//! The storage remembers every operation; for each point between two of them it can produce the
//! states that a kill or a power cut may leave. Each state is opened, and must hold what was
//! acknowledged, nothing that was not appended, and open a second time to the same.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "a test that fails may panic; the count of cases is part of the result"
)]

mod deletions;
mod faults;
mod oracle;
mod upkeep;
mod workloads;

use std::collections::HashSet;

use logreel::testing::SimStorage;

use oracle::{Promise, check, reopened};

/// States looked at for one cut. Small windows are explored exhaustively below it.
const STATES_PER_CUT: usize = 400;

/// Explores every cut of a workload and says how many states it looked at.
fn explore(name: &str, sim: &SimStorage, nested_every: usize) -> usize {
    let mut seen = HashSet::new();
    let mut nested = 0;
    for cut in 0..=sim.op_count() {
        let killed = sim.kill_state(cut);
        let promise = Promise::at(sim, cut);
        let what = format!("{name}: killed after operation {cut}");
        check(&what, &killed, &promise.killed());
        for state in sim.power_cut_states(cut, STATES_PER_CUT, cut as u64) {
            // The same state under a stronger promise is another case.
            if !seen.insert((state.state_hash(), promise.clone())) {
                continue;
            }
            let what = format!("{name}: power cut after operation {cut}, state {}", seen.len());
            let (recovering, recovered) = check(&what, &state, &promise);
            if seen.len() % nested_every == 0 {
                for again in 0..=recovered {
                    for state in recovering.power_cut_states(again, 8, again as u64) {
                        nested += 1;
                        let what = format!("{what}, cut again after operation {again} of recovery");
                        check(&what, &state, &promise);
                    }
                }
            }
        }
    }
    let states = seen.len();
    println!(
        "{name}: {} operations, {states} distinct power-cut states, {nested} cuts of recoveries",
        sim.op_count()
    );
    states + nested
}

#[test]
fn appends_and_rolls_at_every_acks_level() {
    let states = explore("appends", &workloads::appends(), 7);
    assert!(states > 1000, "{states} states");
}

#[test]
fn clean_closes_and_reopens() {
    let states = explore("closes", &workloads::closes(), 11);
    assert!(states > 1000, "{states} states");
}

#[test]
fn topics_made_deleted_and_made_anew() {
    let states = explore("topics", &workloads::topics(), 11);
    assert!(states > 300, "{states} states");
}

#[test]
fn group_commits() {
    let states = explore("commits", &workloads::commits(), 11);
    assert!(states > 1000, "{states} states");
}

/// The simulation must be able to find what it looks for: a log that acknowledges before it syncs.
#[test]
fn a_lost_acknowledgement_is_found() {
    let sim = workloads::lying_acks();
    let lost = (0..=sim.op_count()).any(|cut| {
        let promise = Promise::at(&sim, cut);
        sim.power_cut_states(cut, STATES_PER_CUT, 1)
            .iter()
            .any(|state| reopened(state).len() < promise.durable)
    });
    assert!(lost, "the simulation is too kind");
}
