//! Removing what the topics' configurations do not keep.

use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use super::timetable::Task;
use crate::error::{ErrorKind, Result};
use crate::log::Log;
use crate::metrics::count;
use crate::trace::event;

impl Shared {
    /// Looks for segments that have expired, and removes them.
    pub(super) fn check_retention(&self, now: Duration) {
        self.context.attention.check_begins();
        let wall = self.context.clock.wall_millis();
        let mut next: Option<i64> = None;
        let (mut failed, mut again) = (false, false);
        let logs = self.logs();
        for log in &logs {
            match log.expire(wall) {
                Ok(expiry) => {
                    next = [next, expiry.next].into_iter().flatten().min();
                    again |= expiry.again;
                }
                Err(error) => {
                    let (topic, partition) = (log.tp.topic(), log.tp.partition());
                    let error = &error;
                    event!(
                        WARN,
                        "retention failed",
                        topic = topic,
                        partition = partition,
                        error = error,
                    );
                    failed = true;
                }
            }
        }
        match self.remove_expired(&logs) {
            Ok(is_done) => again |= !is_done,
            Err(_) => failed = true,
        }
        if failed {
            count(self.context.counters.failed_retentions());
        }
        if failed || again {
            self.plan(Task::Retention, self.upkeep.retention.after(now));
        }
        if let Some(next) = next {
            let at = now.saturating_add(self.wait_for(next));
            self.plan(Task::Retention, self.upkeep.retention.at_or_after(at));
        }
    }

    /// Removes what lies below the log starts, which are stored first. On a full disk what can go
    /// without that makes room. Says whether that was all.
    pub(super) fn remove_expired(&self, logs: &[Arc<Log>]) -> Result<bool> {
        let storage = &self.context.storage;
        let mut outcome = self.store_log_starts(logs);
        if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::StorageFull) {
            self.context.trash.empty(storage, None);
            for log in logs {
                let _ = log.remove_below_start();
            }
            self.context.trash.empty(storage, None);
            outcome = self.store_log_starts(logs);
        }
        let mut is_done = true;
        for log in logs {
            let removed = log.remove_below_start();
            is_done &= matches!(removed, Ok(true));
            outcome = outcome.and(removed.map(|_| ()));
        }
        outcome.map(|()| is_done)
    }

    /// Makes the log starts durable, if one has moved.
    fn store_log_starts(&self, logs: &[Arc<Log>]) -> Result<()> {
        if logs.iter().all(|log| log.start_offset() <= log.stored().start) {
            return Ok(());
        }
        self.write_checkpoints()
    }

    /// Makes the log start of one partition durable: it is promised that it never moves back.
    pub(crate) fn store_log_start(&self, log: &Arc<Log>) -> Result<()> {
        let outcome = self.store_log_starts(std::slice::from_ref(log));
        self.plan_checks();
        self.wake_upkeep();
        match outcome {
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                self.remove_expired(&self.logs()).map(|_| ())
            }
            outcome => outcome,
        }
    }
}
