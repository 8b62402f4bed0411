//! Waiting for a batch by doing what is left to do for it.

use std::sync::Arc;
use std::time::Duration;

use super::at_work::Rests;
use super::queue::sync;
use super::slot::{BatchSlot, Run};
use crate::wait::Waiter;

/// Until when a wait lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Every record has its result.
    Decided,
    /// And the callbacks have run.
    Delivered,
}

/// Runs what is due, syncs what is written, and parks, until the batch is done or `deadline` has
/// passed on the monotonic clock. Says which.
pub(super) fn drive(
    slot: &BatchSlot,
    which: Run,
    until: Until,
    deadline: Option<Duration>,
) -> bool {
    let clock = &slot.home.clock;
    let is_done = || match until {
        Until::Decided => slot.is_decided(),
        Until::Delivered => slot.is_delivered(),
    };
    let mut waiter: Option<Arc<Waiter>> = None;
    let mut rests = Rests::default();
    while !is_done() {
        let now = clock.monotonic();
        // The last moment that matters to this wait.
        let last = if slot.is_decided() { None } else { Some(slot.deadline) };
        let last = [last, deadline].into_iter().flatten().min();
        let patience = last.map(|last| last.saturating_sub(now));
        let queue = slot.home.runner.upgrade();
        match &queue {
            Some(queue) => Arc::clone(queue).run_for(which, now, patience, slot),
            None => {
                slot.expire(now);
            }
        }
        if is_done() {
            break;
        }
        if let Some((log, end)) = slot.wanted_sync() {
            let _working = queue.as_ref().and_then(|queue| queue.work());
            sync(&log, end, patience);
            if is_done() {
                break;
            }
        }
        if deadline.is_some_and(|deadline| clock.monotonic() >= deadline) {
            return false;
        }
        // Look once more after registering, then park.
        let waiter = waiter.get_or_insert_with(Waiter::new);
        if slot.add_waiter(waiter) {
            continue;
        }
        // In this order: a batch that is not due any more was taken by who is at work by then.
        let due = queue.as_ref().and_then(|queue| queue.next_due());
        if queue.is_some_and(|queue| queue.let_others_work(&mut rests)) {
            continue;
        }
        waiter.park(clock, [due, last].into_iter().flatten().min());
    }
    true
}
