//! Waiting for a batch by doing what is left to do for it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::accumulator::Run;
use super::queue::PartitionQueue;
use super::slot::BatchSlot;
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
        let last = deadline.map_or(slot.deadline, |deadline| deadline.min(slot.deadline));
        let patience = Some(last.saturating_sub(now));
        // Gone when the producer is; its batches have been run by then.
        let queue = queue.upgrade();
        if let Some(queue) = &queue {
            if !slot.is_decided()
                && let Some(end) = queue.run(which, patience)
            {
                // A failure decides the slots it concerns.
                let _ = queue.log.sync_within(end, patience);
            }
            queue.deliver();
        }
        if let Some((log, end)) = slot.wanted_sync() {
            // Another thread may have synced and not told us yet: it will wake us.
            let _ = log.sync_within(end, patience);
        }
        if slot.expire(now)
            && let Some(queue) = &queue
        {
            queue.deliver();
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
        let due = if slot.is_decided() {
            None
        } else {
            let due = queue.and_then(|queue| queue.accumulator.next_due());
            Some(due.map_or(slot.deadline, |due| due.min(slot.deadline)))
        };
        waiter.park(clock, [due, deadline].into_iter().flatten().min());
    }
    true
}
