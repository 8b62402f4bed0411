//! Looking for records, and waiting for more: what blocking polls and futures share.

use std::sync::Arc;
use std::time::Duration;

use super::handle::Consumer;
use super::records::Records;
use super::state::Hold;
use super::wakeup::Wakeups;
use crate::broker::Shared;
use crate::error::Result;
use crate::log::Log;
use crate::wait::Waiter;

/// How often a directory that another process writes is looked at while a consumer waits.
pub(super) const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// What a look found.
pub(super) enum Look {
    Records(Records),
    Nothing(Nothing),
}

/// What is known where there is nothing to hand out.
pub(super) struct Nothing {
    /// When the look began.
    now: Duration,
    pub(super) hold: Hold,
    /// How many commits had been made later; the callbacks of those have run.
    made: u64,
    /// There is more, but not for this look.
    pub(super) is_ready: bool,
    /// What may bring more.
    pub(super) logs: Vec<Arc<Log>>,
}

/// A waiter in every queue that may bring a consumer something, for as long as this lives.
pub(super) struct Watch {
    pub(super) waiter: Arc<Waiter>,
    logs: Vec<Arc<Log>>,
    /// No handle: a future may be forgotten.
    broker: Arc<Shared>,
    wakeups: Arc<Wakeups>,
}

impl Watch {
    /// The caller looks again after this and before it parks.
    pub(super) fn new(consumer: &Consumer, logs: Vec<Arc<Log>>) -> Self {
        let waiter = Waiter::new();
        let (broker, wakeups) = (consumer.broker.shared(), Arc::clone(&consumer.wakeups));
        for log in &logs {
            log.readers.add(&waiter);
        }
        broker.topics_changed.add(&waiter);
        wakeups.waiting.add(&waiter);
        Self { waiter, logs, broker, wakeups }
    }

    /// Whether it watches these logs and no others.
    pub(super) fn covers(&self, logs: &[Arc<Log>]) -> bool {
        self.logs.len() == logs.len()
            && self.logs.iter().zip(logs).all(|(known, log)| Arc::ptr_eq(known, log))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for log in &self.logs {
            log.readers.remove(&self.waiter);
        }
        self.broker.topics_changed.remove(&self.waiter);
        self.wakeups.waiting.remove(&self.waiter);
    }
}

impl Consumer {
    /// Polls for up to `max` records until the monotonic `deadline`.
    pub(super) fn poll_until(&self, max: usize, deadline: Option<Duration>) -> Result<Records> {
        let mut first = true;
        loop {
            let nothing = match self.look(max, std::mem::take(&mut first))? {
                Look::Records(records) => return Ok(records),
                Look::Nothing(nothing) => nothing,
            };
            let is_over = deadline.is_some_and(|deadline| nothing.now >= deadline);
            if nothing.is_ready && !is_over {
                continue;
            }
            // Perhaps what is to be read lies in a batch that lingers past its time.
            self.broker.run_due();
            if is_over {
                return Ok(Records::default());
            }
            let (hold, made) = (nothing.hold, self.made_before(&nothing));
            let watch = Watch::new(self, nothing.logs);
            if !self.has_news(hold, made) {
                let until = [deadline, self.wait_end(hold)].into_iter().flatten().min();
                watch.waiter.park(&self.broker.context.clock, until);
            }
        }
    }

    /// Does what the group asks for and reads, without waiting; the first look of a poll also sees
    /// to auto-commit.
    pub(super) fn look(&self, max: usize, first: bool) -> Result<Look> {
        self.broker.check_open()?;
        self.wakeups.check()?;
        self.commits.report();
        let made = self.commits.made();
        if !first {
            self.commits.take_auto_error()?;
        }
        let now = self.broker.context.clock.monotonic();
        let mut state = self.prepare(first.then_some(now))?;
        let hold = state.hold(&self.config, now);
        let mut is_ready = false;
        if hold == Hold::Free {
            let records = state.fetch(&self.config, max)?;
            if !records.is_empty() {
                return Ok(Look::Records(records));
            }
            is_ready = state.is_ready(&self.config, hold);
        }
        let logs = state.positions.iter().filter_map(|p| p.log.clone()).collect();
        Ok(Look::Nothing(Nothing { now, hold, made, is_ready, logs }))
    }

    /// The commits whose callbacks a wait does not end for. Without threads these are also those
    /// that were made just now, here: else a callback that always commits again would keep the poll
    /// from its end.
    pub(super) fn made_before(&self, nothing: &Nothing) -> u64 {
        if self.broker.config.has_threads() { nothing.made } else { self.commits.made() }
    }

    /// Whether another look would find something else than the last one.
    pub(super) fn has_news(&self, hold: Hold, made: u64) -> bool {
        let state = self.state.lock();
        state.is_ready(&self.config, hold)
            || !state.has_seen_topics(&self.broker)
            || self.wakeups.is_pending()
            || self.commits.made() != made
            || self.broker.check_open().is_err()
    }

    /// The moment that calls for another look, whatever happens until then.
    pub(super) fn wait_end(&self, hold: Hold) -> Option<Duration> {
        let follow = self.broker.read_only.then(|| self.broker.deadline(FOLLOW_INTERVAL)).flatten();
        let held = match hold {
            Hold::Until(until) => Some(until),
            Hold::Free | Hold::Empty => None,
        };
        [follow, held].into_iter().flatten().min()
    }
}
