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
    clippy::mem_forget,
    reason = "a test that fails may panic; the count of cases is part of the result"
)]

mod ahead;
mod deletions;
mod explore;
mod faults;
mod oracle;
mod sequences;
mod story;
mod transactions;
mod upkeep;
mod workloads;

use logreel::testing::SimStorage;

use explore::{Explorer, Plan};
use oracle::{InOrder, Promise, reopened};

/// Small windows are explored exhaustively below this many states.
const fn plan(nested_every: usize) -> Plan {
    Plan { states_per_cut: 200, nested_every, nested_states: 8, kills_every: 1 }
}

pub(crate) fn explore(name: &str, trace: &SimStorage, nested_every: usize) -> usize {
    Explorer::default().explore(name, trace, &InOrder, plan(nested_every)).states
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
        sim.power_cut_states(cut, plan(1).states_per_cut, 1)
            .iter()
            .any(|state| reopened(state).len() < promise.durable)
    });
    assert!(lost, "the simulation is too kind");
}
