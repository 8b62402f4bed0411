//! Waiting for a batch by doing what is left to do for it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::accumulator::Run;
use super::queue::PartitionQueue;
use super::slot::BatchSlot;
use crate::log::Log;
use crate::time::Clock;
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
    queue: &Weak<PartitionQueue>,
    which: Run,
    until: Until,
    clock: &Clock,
    deadline: Option<Duration>,
) -> bool {
    let is_done = || match until {
        Until::Decided => slot.is_decided(),
        Until::Delivered => slot.is_delivered(),
    };
    let mut waiter: Option<Arc<Waiter>> = None;
    while !is_done() {
        let now = clock.monotonic();
        // The last moment that matters to this wait.
        let last = if slot.is_decided() { None } else { Some(slot.deadline) };
        let last = [last, deadline].into_iter().flatten().min();
        let patience = last.map(|last| last.saturating_sub(now));
        // Gone when the producer is; its batches have been run by then.
        let queue = queue.upgrade();
        match &queue {
            Some(queue) => {
                if let Some(end) = queue.run(which, patience, Some(slot)) {
                    sync(&queue.log, end, patience);
                }
            }
            None => {
                slot.expire(now);
            }
        }
        if let Some((log, end)) = slot.wanted_sync() {
            sync(&log, end, patience);
        }
        if is_done() {
            break;
        }
        if deadline.is_some_and(|deadline| clock.monotonic() >= deadline) {
            return false;
        }
        // Look once more after registering, then park.
        let waiter = waiter.get_or_insert_with(Waiter::new);
        if slot.add_waiter(waiter) {
            continue;
        }
        let due = queue.and_then(|queue| queue.accumulator.next_due());
        waiter.park(clock, [due, last].into_iter().flatten().min());
    }
    true
}

/// Syncs a partition, or leaves it to the sender thread if another thread's sync takes too long.
/// A failure is told by the deliveries it fails; who synced for us tells them, too.
pub(super) fn sync(log: &Log, end: i64, patience: Option<Duration>) {
    if matches!(log.sync_within(end, patience), Ok(false)) {
        log.sync_later();
    }
}
