//! Looking for records, and waiting for more: what blocking polls and futures share.

use std::sync::Arc;
use std::time::Duration;

use super::handle::{Consumer, Polling};
use super::records::Records;
use super::state::{Hold, State};
use super::wakeup::Wakeups;
use crate::broker::{GroupSigns, Shared};
use crate::error::Result;
use crate::log::Log;
use crate::wait::Waiter;

/// How often a directory that another process writes is looked at while a consumer waits.
pub(super) const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// When what is due and could not be done is tried again.
const RETRY: Duration = Duration::from_millis(1);

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
    /// How many commits had been asked for.
    asked: u64,
    /// There is more, but not for this look.
    pub(super) is_ready: bool,
    /// Another thread did something for the group; nothing was looked at.
    was_busy: bool,
    pub(super) sources: Sources,
}

/// What a look saw, to tell whether there is news.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// How many commits had been made; no wait ends for their callbacks.
    made: u64,
    asked: u64,
    was_busy: bool,
}

/// What may bring more.
#[derive(Default)]
pub(super) struct Sources {
    logs: Vec<Arc<Log>>,
    group: Option<Arc<GroupSigns>>,
    /// What groups commit: a transaction is about to.
    commits: bool,
}

impl Sources {
    fn of(state: &State) -> Self {
        let logs = state.positions.iter().filter_map(|p| p.log.clone()).collect();
        let group = state.membership.seat.as_ref().map(|seat| Arc::clone(&seat.signs));
        Self { logs, group, commits: state.is_unstable() }
    }

    fn are(&self, others: &Self) -> bool {
        let same_group = match (&self.group, &others.group) {
            (Some(known), Some(group)) => Arc::ptr_eq(known, group),
            (known, group) => known.is_none() && group.is_none(),
        };
        same_group
            && self.commits == others.commits
            && self.logs.len() == others.logs.len()
            && self.logs.iter().zip(&others.logs).all(|(known, log)| Arc::ptr_eq(known, log))
    }
}

/// A waiter in every queue that may bring a consumer something, for as long as this lives.
pub(super) struct Watch {
    pub(super) waiter: Arc<Waiter>,
    sources: Sources,
    /// No handle: a future may be forgotten.
    broker: Arc<Shared>,
    wakeups: Arc<Wakeups>,
}

impl Watch {
    /// The caller looks again after this and before it parks.
    pub(super) fn new(consumer: &Consumer, sources: Sources) -> Self {
        let waiter = Waiter::new();
        let (broker, wakeups) = (consumer.broker.shared(), Arc::clone(&consumer.wakeups));
        for log in &sources.logs {
            log.readers.add(&waiter);
        }
        if let Some(group) = &sources.group {
            group.changed.add(&waiter);
        }
        if sources.commits {
            broker.commits_changed().add(&waiter);
        }
        broker.topics_changed.add(&waiter);
        wakeups.waiting.add(&waiter);
        Self { waiter, sources, broker, wakeups }
    }

    /// Whether it watches these and no others.
    pub(super) fn covers(&self, sources: &Sources) -> bool {
        self.sources.are(sources)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for log in &self.sources.logs {
            log.readers.remove(&self.waiter);
        }
        if let Some(group) = &self.sources.group {
            group.changed.remove(&self.waiter);
        }
        if self.sources.commits {
            self.broker.commits_changed().remove(&self.waiter);
        }
        self.broker.topics_changed.remove(&self.waiter);
        self.wakeups.waiting.remove(&self.waiter);
    }
}

impl Consumer {
    /// Polls for up to `max` records until the monotonic `deadline`.
    pub(super) fn poll_until(&self, max: usize, deadline: Option<Duration>) -> Result<Records> {
        let _polling = Polling::begin(self);
        loop {
            let nothing = match self.look(max)? {
                Look::Records(records) => return Ok(records),
                Look::Nothing(nothing) => nothing,
            };
            let is_over = deadline.is_some_and(|deadline| nothing.now >= deadline);
            if nothing.is_ready && !is_over {
                continue;
            }
            // Perhaps what is to be read lies in a batch that lingers past its time.
            self.broker.run_awaited();
            if is_over {
                return Ok(Records::default());
            }
            let (hold, seen) = (nothing.hold, self.seen(&nothing));
            let watch = Watch::new(self, nothing.sources);
            if !self.has_news(&watch, hold, seen) {
                let due = self.next_own_work();
                let until = [deadline, due, self.wait_end(hold)].into_iter().flatten().min();
                watch.waiter.park(&self.broker.context.clock, until);
            }
        }
    }

    /// Sees to auto-commit, does what the group asks for, and reads, without waiting.
    pub(super) fn look(&self, max: usize) -> Result<Look> {
        self.broker.check_open()?;
        self.wakeups.check()?;
        // Those that callbacks ask for from here on are left to the next look.
        let asked = self.commits.count();
        self.commits.report();
        let made = self.commits.made();
        let now = self.broker.context.clock.monotonic();
        let Some(mut state) = self.try_enter()? else {
            let (hold, is_ready, sources) = (Hold::Empty, false, Sources::default());
            return Ok(Look::Nothing(Nothing {
                now,
                hold,
                made,
                asked,
                is_ready,
                was_busy: true,
                sources,
            }));
        };
        state.end_rests(now);
        if state.resting.is_none()
            && let Err(error) = self.prepare(&mut state, now)
        {
            if error.again_at().is_none() {
                return Err(error);
            }
            state.resting = Some(error);
        }
        let hold = match state.resting {
            Some(_) => Hold::Empty,
            None => state.hold(&self.config, now),
        };
        let mut is_ready = false;
        if hold == Hold::Free {
            let records = state.fetch(&self.config, max)?;
            if !records.is_empty() {
                return Ok(Look::Records(records));
            }
            is_ready = state.is_ready(&self.config, hold);
        }
        let (sources, was_busy) = (Sources::of(&state), false);
        Ok(Look::Nothing(Nothing { now, hold, made, asked, is_ready, was_busy, sources }))
    }

    /// What a look saw. Without threads that includes the commits that were made just now, here:
    /// else a callback that always commits again would keep the poll from its end.
    pub(super) fn seen(&self, nothing: &Nothing) -> Seen {
        let has_threads = self.broker.config.has_threads();
        let made = if has_threads { nothing.made } else { self.commits.made() };
        Seen { made, asked: nothing.asked, was_busy: nothing.was_busy }
    }

    /// Whether another look would find something else than the last one.
    pub(super) fn has_news(&self, watch: &Watch, hold: Hold, seen: Seen) -> bool {
        let state = self.state.lock();
        let has_changed = match state.busy {
            // Whoever is busy wakes those that wait.
            Some(_) => false,
            None if state.resting.is_some() => false,
            None => {
                seen.was_busy
                    || state.is_ready(&self.config, hold)
                    || !state.has_seen_topics(&self.broker)
                    || !state.is_settled()
                    || (state.is_unstable()
                        && state.has_become_stable(&self.broker, &self.config))
                    // Another thread's poll was given other partitions.
                    || !watch.covers(&Sources::of(&state))
            }
        };
        has_changed
            || self.wakeups.is_pending()
            || self.commits.made() != seen.made
            || self.commits.has_callback(seen.asked)
            || self.broker.check_open().is_err()
    }

    /// When something is due that no thread of the broker sees to: what the group waits for, or a
    /// batch that lingers.
    fn next_own_work(&self) -> Option<Duration> {
        if self.broker.config.has_threads() {
            return None;
        }
        // What is due already was just tried.
        let soon = self.broker.context.clock.monotonic().saturating_add(RETRY);
        self.broker.next_awaited().map(|due| due.max(soon))
    }

    /// The moment that calls for another look, whatever happens until then.
    pub(super) fn wait_end(&self, hold: Hold) -> Option<Duration> {
        let follow = self.broker.read_only.then(|| self.broker.deadline(FOLLOW_INTERVAL)).flatten();
        let held = match hold {
            Hold::Until(until) => Some(until),
            Hold::Free | Hold::Empty => None,
        };
        let (rest, commit) = {
            let state = self.state.lock();
            (state.rest_end(), state.next_auto_commit(&self.config))
        };
        // One that was just tried is tried again, but not at once.
        let soon = || self.broker.context.clock.monotonic().saturating_add(RETRY);
        let commit = commit.map(|at| at.max(soon()));
        [follow, held, rest, commit].into_iter().flatten().min()
    }
}
