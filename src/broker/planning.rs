//! What a broker does so that it can run for months, and when: retention, cleaning, checkpoints,
//! forgetting silent producers, removing files. `logreel-cleaner` does it, or `run_due`.
//!
//! Nothing is done at a time when there is nothing to do: the first append since a check plans the
//! next, a roll plans a cleaning, and what will expire is known.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::shared::Shared;
use super::timetable::Task;
use crate::log::Log;
use crate::trace::event;

/// Kafka's `log.flush.offset.checkpoint.interval.ms`.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);
/// After a roll the recovery point is stored soon, but not once a roll.
const CHECKPOINT_AFTER_ROLL: Duration = Duration::from_secs(1);
/// What is known to come is looked at so often all the same: the wall clock may be set.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

impl Shared {
    /// When some of it is due next.
    pub(super) fn next_upkeep(&self) -> Option<Duration> {
        let planned = self.upkeep.timetable.lock().next();
        [planned, self.context.trash.next_due()].into_iter().flatten().min()
    }

    pub(super) fn plan(&self, task: Task, at: Duration) {
        self.upkeep.timetable.lock().plan(task, at);
    }

    /// Plans to store the recovery points: soon after a roll, else at the usual time.
    pub(super) fn plan_checkpoint(&self, after_roll: bool) {
        let wait = if after_roll { CHECKPOINT_AFTER_ROLL } else { CHECKPOINT_INTERVAL };
        self.plan(Task::Checkpoint, self.context.clock.monotonic().saturating_add(wait));
    }

    /// Plans a look for logs to clean.
    pub(super) fn plan_cleaning(&self) {
        if self.config.cleaner_enabled {
            let at = self.upkeep.cleaning.after(self.context.clock.monotonic());
            self.plan(Task::Cleaning, at);
        }
    }

    /// Plans the next look for what has expired.
    pub(super) fn plan_checks(&self) {
        let now = self.context.clock.monotonic();
        self.plan(Task::Retention, self.upkeep.retention.after(now));
        self.plan(Task::Producers, self.upkeep.producers.after(now));
    }

    /// Plans for what an open found.
    pub(super) fn plan_first_upkeep(&self) {
        let logs = self.logs();
        if logs.iter().any(|log| !log.segments().is_empty()) {
            self.plan_checks();
            // With a delay of nothing that is at once.
            self.plan(Task::Retention, self.upkeep.retention.first);
        }
        let is_sealed = |log: &&Arc<Log>| log.segments().len() > 1;
        if logs.iter().filter(is_sealed).any(|log| log.config().cleanup_policy.is_compacted()) {
            self.plan_cleaning();
        }
        if self.next_upkeep().is_some() {
            self.wake_upkeep();
        }
    }

    /// A topic has another configuration.
    pub(crate) fn config_changed(&self) {
        self.plan_checks();
        self.plan_cleaning();
        self.wake_upkeep();
    }

    /// Does what is due. Runs callbacks of producers; the caller holds no lock.
    pub(super) fn run_upkeep(&self) {
        if self.read_only || self.closed.load(Ordering::Acquire) {
            return;
        }
        let now = self.context.clock.monotonic();
        self.context.trash.empty(&self.context.storage, Some(now));
        let take = || self.upkeep.timetable.lock().take_due(now);
        // One by one: what a panic keeps from being done is still due.
        while let Some(task) = take() {
            match task {
                Task::Retention => self.check_retention(now),
                Task::Cleaning => self.check_cleaning(now),
                Task::Producers => self.forget_producers(now),
                // It is a hint; the old one stays true. Try again at the usual time.
                Task::Checkpoint if self.write_checkpoints().is_err() => {
                    self.plan(Task::Checkpoint, now.saturating_add(CHECKPOINT_INTERVAL));
                }
                Task::Checkpoint => {}
            }
        }
    }

    /// How long to wait for a moment on the wall clock.
    pub(super) fn wait_for(&self, wall_millis: i64) -> Duration {
        let wait = wall_millis.saturating_sub(self.context.clock.wall_millis());
        Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(LOOK_AGAIN)
    }

    /// Forgets producers that have been silent for long.
    fn forget_producers(&self, now: Duration) {
        let before = self.context.producers_expire_before();
        let (mut any, mut forgotten) = (false, 0);
        for log in self.logs() {
            let mut writer = log.writer.lock();
            if let Some(producers) = &mut writer.producers {
                let known = producers.len();
                producers.expire(before);
                forgotten += known.saturating_sub(producers.len());
                any |= !producers.is_empty();
            }
        }
        if forgotten > 0 {
            event!(DEBUG, "producers forgotten", count = forgotten);
        }
        if any {
            self.plan(Task::Producers, self.upkeep.producers.after(now));
        }
    }
}
