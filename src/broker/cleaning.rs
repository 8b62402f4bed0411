//! Cleaning the compacted logs, the one with the most dirt first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::shared::Shared;
use super::timetable::Task;
use crate::error::{Error, Result};
use crate::log::cleaner::{CleanRequest, Cleanable, Cleaned, Unclean};
use crate::log::{Log, Provenance};
use crate::metrics::count;
use crate::trace::{event, span};
use crate::types::TopicPartition;

impl Shared {
    /// Cleans the logs that are due, the one with the most dirt first, until there is none.
    pub(super) fn check_cleaning(&self, now: Duration) {
        let mut failed: BTreeSet<TopicPartition> = BTreeSet::new();
        let next = loop {
            let wall = self.context.clock.wall_millis();
            let (due, next) = self.dirty_logs(wall, &mut failed);
            if due.is_empty() {
                break next;
            }
            for (log, what) in due {
                let cleaned = self.clean_counted(&log, what, wall);
                if self.closed.load(Ordering::Acquire) {
                    return;
                }
                // One with more keys than the map takes is due again.
                if !cleaned.is_ok_and(|cleaned| cleaned.end > what.first_dirty) {
                    failed.insert(log.tp.clone());
                }
            }
        };
        if !failed.is_empty() {
            self.plan_cleaning();
        }
        if let Some(next) = next {
            let at = self.upkeep.cleaning.at_or_after(now.saturating_add(self.wait_for(next)));
            self.plan(Task::Cleaning, at);
        }
    }

    /// The logs that are to be cleaned now, the dirtiest first, and when the next will be as far as
    /// that is known, in milliseconds since 1970.
    fn dirty_logs(
        &self,
        now_millis: i64,
        failed: &mut BTreeSet<TopicPartition>,
    ) -> (Vec<(Arc<Log>, Cleanable)>, Option<i64>) {
        let mut due = Vec::new();
        let (mut next, mut dirt) = (None, 0.0_f64);
        for log in self.logs() {
            if !self.may_clean(&log) || failed.contains(&log.tp) {
                continue;
            }
            let first_dirty = self.upkeep.first_dirty.lock().get(&log.tp).copied();
            match log.cleanable(first_dirty, now_millis) {
                Ok(found) => {
                    dirt = dirt.max(found.ratio);
                    next = [next, found.next].into_iter().flatten().min();
                    if found.is_due {
                        due.push((log, found));
                    }
                }
                Err(_) => {
                    count(self.context.counters.failed_cleanings());
                    failed.insert(log.tp.clone());
                }
            }
        }
        self.context.counters.cleaned().set_dirtiest(dirt);
        due.sort_by(|(_, a), (_, b)| b.ratio.total_cmp(&a.ratio));
        (due, next)
    }

    fn may_clean(&self, log: &Log) -> bool {
        log.config().cleanup_policy.is_compacted()
            && log.halt().is_none()
            && !self.upkeep.uncleanable.lock().contains_key(&log.tp)
    }

    /// Cleans one log, and counts what came of it.
    pub(super) fn clean_counted(
        &self,
        log: &Arc<Log>,
        what: Cleanable,
        now_millis: i64,
    ) -> std::result::Result<Cleaned, Unclean> {
        let (clock, counters) = (&self.context.clock, &self.context.counters);
        let began = clock.monotonic();
        let (topic, partition) = (log.tp.topic(), log.tp.partition());
        let _span = span!("clean", topic = topic, partition = partition, dirty_ratio = what.ratio);
        let outcome = self.clean(log, what, now_millis);
        match &outcome {
            Ok(cleaned) => {
                let took = clock.monotonic().saturating_sub(began);
                counters.clean_latency().record(took);
                let bytes = (cleaned.bytes_read, cleaned.bytes_left);
                counters.cleaned().note(took, bytes, (cleaned.records_read, cleaned.records_left));
                event!(
                    INFO,
                    "cleaned",
                    topic = topic,
                    partition = partition,
                    offset = cleaned.end,
                    bytes_read = cleaned.bytes_read,
                    bytes_left = cleaned.bytes_left,
                );
            }
            Err(Unclean::Stopped) => {
                event!(DEBUG, "cleaning stopped", topic = topic, partition = partition);
            }
            Err(Unclean::Damaged(error)) => {
                count(counters.failed_cleanings());
                event!(WARN, "uncleanable", topic = topic, partition = partition, error = error,);
            }
            Err(Unclean::Failed(error)) => {
                count(counters.failed_cleanings());
                event!(
                    WARN,
                    "cleaning failed",
                    topic = topic,
                    partition = partition,
                    error = error
                );
            }
        }
        outcome
    }

    /// Cleans one log.
    fn clean(
        &self,
        log: &Arc<Log>,
        what: Cleanable,
        now_millis: i64,
    ) -> std::result::Result<Cleaned, Unclean> {
        let request = CleanRequest {
            what,
            now_millis,
            map_bytes: self.config.cleaner_map_bytes,
            must_stop: &|| self.closed.load(Ordering::Acquire),
            expect_gaps: &|offset| self.expect_gaps(log, offset),
        };
        let outcome = log.clean(&request);
        // Nothing is locked any more.
        log.fail_waiting();
        // A topic that was deleted meanwhile takes with it what is known of it.
        let is_there = || self.log(&log.tp).is_ok_and(|there| Arc::ptr_eq(&there, log));
        match &outcome {
            Ok(cleaned) => {
                let mut first_dirty = self.upkeep.first_dirty.lock();
                if is_there() {
                    first_dirty.insert(log.tp.clone(), cleaned.end);
                }
                drop(first_dirty);
                // Without it the next process cleans the same once more.
                let _ = self.write_cleaner_offsets();
            }
            Err(Unclean::Damaged(error)) => {
                let mut uncleanable = self.upkeep.uncleanable.lock();
                if is_there() {
                    uncleanable.insert(log.tp.clone(), error.clone());
                }
            }
            Err(Unclean::Stopped | Unclean::Failed(_)) => {}
        }
        outcome
    }

    /// Makes it known, durably, that segments of a log that begin below an offset may have gaps.
    fn expect_gaps(&self, log: &Arc<Log>, offset: i64) -> Result<()> {
        match log.provenance() {
            Provenance::Here { gaps_below } if gaps_below < offset => {}
            _ => return Ok(()),
        }
        self.write_gaps(Some((log, offset)))
    }

    /// Nothing that was noted of a topic may meet a new one of its name. Durable on return.
    pub(super) fn forget_upkeep(&self, topic: &str, logs: &[Arc<Log>]) -> Result<()> {
        let of_topic = |tp: &TopicPartition| tp.topic() == topic;
        self.upkeep.uncleanable.lock().retain(|tp, _| !of_topic(tp));
        let had = {
            let mut first_dirty = self.upkeep.first_dirty.lock();
            let before = first_dirty.len();
            first_dirty.retain(|tp, _| !of_topic(tp));
            before != first_dirty.len()
        };
        if had {
            self.write_cleaner_offsets()?;
        }
        let has_gaps =
            |log: &Arc<Log>| matches!(log.provenance(), Provenance::Here { gaps_below: 1.. });
        // The topic's logs are gone from the broker's by now.
        if logs.iter().any(has_gaps) { self.write_gaps(None) } else { Ok(()) }
    }

    /// What keeps a partition from being cleaned.
    pub(crate) fn uncleanable(&self, tp: &TopicPartition) -> Option<Error> {
        self.upkeep.uncleanable.lock().get(tp).cloned()
    }
}
