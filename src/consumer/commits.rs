//! The commits of a consumer that are made later, in their order.
//!
//! Whoever comes first makes them: a thread of the broker, who waits for one of them, a commit that
//! blocks, the close, or, where there are no threads, the next poll. One thread at a time takes all
//! that wait, and one sync makes them durable. No lock is held meanwhile: the syncs may run
//! callbacks of producers, which may commit.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;

use super::attempt::Attempt;
use super::identity::{Identity, Who};
use super::membership::is_about_membership;
use super::wakeup::Wakeups;
use crate::broker::{CommitRequest, Duty, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::faults::persist;
use crate::types::Offsets;
use crate::wait::{WaitQueue, Waiter, contain};

/// Without it a clock that moves only for who waits would stand still while callbacks commit again.
const DELAY: Duration = Duration::from_millis(1);

pub(super) type Callback = Box<dyn FnOnce(Result<()>) + Send>;

/// One of them.
pub(super) struct Commit {
    number: u64,
    request: CommitRequest,
    /// Nobody asked for it but `enable.auto.commit`.
    is_auto: bool,
    pub(super) outcome: OnceLock<Result<()>>,
    pub(super) done: WaitQueue,
}

/// An auto-commit that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    /// When.
    pub(super) at: Duration,
    /// Whether it is tried again soon, and not only when the next one is due.
    pub(super) tries_again: bool,
}

/// All of one consumer, shared with its handles and committers.
pub(super) struct Commits {
    /// No handle: neither a committer nor a handle keeps the broker open.
    pub(super) broker: Arc<Shared>,
    group: Result<String>,
    pub(super) identity: Arc<Identity>,
    wakeups: Arc<Wakeups>,
    client_id: Arc<str>,
    queue: Mutex<Queue>,
    this: Weak<Self>,
}

/// A leaf among the locks.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Commit>>,
    /// When a thread with nothing else to do makes them.
    due: Option<Duration>,
    last: Option<Arc<Commit>>,
    count: u64,
    made: u64,
    /// Who makes them at this moment.
    runner: Option<ThreadId>,
    /// In the order of the commits.
    callbacks: VecDeque<(Arc<Commit>, Callback)>,
    /// Somebody runs callbacks.
    reporting: bool,
    is_duty: bool,
    /// The consumer is gone, or the broker is.
    is_over: bool,
    /// What auto-commit takes for committed may not be.
    outdated: bool,
    /// When an auto-commit failed.
    refused: Option<Refused>,
    /// The consumer is gone, and so is who would run callbacks.
    is_gone: bool,
    auto_error: Option<Error>,
}

impl Commits {
    pub(super) fn new(
        broker: Arc<Shared>,
        group: Result<String>,
        identity: Arc<Identity>,
        wakeups: Arc<Wakeups>,
        client_id: &Arc<str>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            broker,
            group,
            identity,
            wakeups,
            client_id: Arc::clone(client_id),
            queue: Mutex::default(),
            this: Weak::clone(this),
        })
    }

    /// Whether a commit can be tried at all.
    pub(super) fn check(&self) -> Result<()> {
        self.group.as_ref().map_err(Clone::clone)?;
        if self.queue.lock().is_over {
            return Err(Error::closed("consumer"));
        }
        self.broker.check_writable("committing")
    }

    /// Commits on this thread, after those that were asked for before.
    pub(super) fn commit_now(&self, offsets: &Offsets) -> Result<()> {
        self.commit_now_as(self.identity.get(), offsets)
    }

    pub(super) fn commit_now_as(&self, who: Who, offsets: &Offsets) -> Result<()> {
        self.finish_earlier();
        if offsets.is_empty() {
            return Ok(());
        }
        self.check()?;
        let group = self.group.as_ref().map_err(Clone::clone)?;
        let by = who.committer(&self.broker, group)?;
        let clock = &self.broker.context.clock;
        let committed = persist(clock, || self.attempt(group).commit(by.as_ref(), offsets));
        // After it: an auto-commit may have come between.
        self.queue.lock().outdated = true;
        committed
    }

    fn attempt<'a>(&'a self, group: &'a str) -> Attempt<'a> {
        Attempt { broker: &self.broker, client_id: &self.client_id, group }
    }

    /// The same for a poll, which waits for no sync.
    pub(super) fn auto_commit(&self, offsets: Offsets) {
        self.push(self.identity.get(), offsets, true);
        if !self.broker.config.has_threads() {
            self.run();
        }
    }

    pub(super) fn push(&self, who: Who, offsets: Offsets, is_auto: bool) -> Arc<Commit> {
        let group = self.group.as_ref().map_err(Clone::clone);
        let by = self.check().and(group).and_then(|group| who.committer(&self.broker, group));
        let by = by.and_then(|by| Ok((by, self.broker.logs_of(&offsets)?)));
        let ((by, logs), refused) = match by {
            Ok(by) => (by, None),
            Err(error) => ((None, Vec::new()), Some(error)),
        };
        let request = CommitRequest { by, offsets, logs };
        let now = self.broker.context.clock.monotonic();
        let mut queue = self.queue.lock();
        queue.count += 1;
        let (outcome, done) = (OnceLock::new(), WaitQueue::new());
        let commit = Arc::new(Commit { number: queue.count, request, is_auto, outcome, done });
        let over = queue.is_over.then(|| Error::closed("consumer"));
        if let Some(error) = refused.or(over) {
            queue.outdated |= is_auto;
            let tries_again = error.is_retriable();
            let refused = is_auto.then_some(Refused { at: now, tries_again });
            queue.refused = queue.refused.or(refused);
            let _ = commit.outcome.set(Err(error));
            return commit;
        }
        let wait = if self.broker.config.has_threads() { Duration::ZERO } else { DELAY };
        queue.due = Some(now.saturating_add(wait));
        queue.outdated |= !is_auto;
        queue.waiting.push_back(Arc::clone(&commit));
        queue.last = Some(Arc::clone(&commit));
        let is_duty = std::mem::replace(&mut queue.is_duty, true);
        drop(queue);
        if !is_duty && let Some(this) = self.this.upgrade() {
            self.broker.add_duty(&this);
        }
        if self.broker.context.storage.is_volatile() {
            self.run();
        } else if self.broker.config.has_threads() && self.broker.wake_background().is_err() {
            // There is no thread to do it.
            self.run();
        }
        commit
    }

    /// Makes all that wait, unless somebody is at it: that one goes on until none is left.
    fn run(&self) {
        let Ok(group) = &self.group else { return };
        loop {
            let batch: Vec<Arc<Commit>> = {
                let mut queue = self.queue.lock();
                if queue.runner.is_some() || queue.waiting.is_empty() {
                    return;
                }
                queue.runner = Some(thread::current().id());
                queue.waiting.drain(..).collect()
            };
            let requests: Vec<&CommitRequest> =
                batch.iter().map(|commit| &commit.request).collect();
            let mut outcomes = Vec::new();
            contain(|| outcomes = self.attempt(group).commit_all(&requests));
            let mut outcomes = outcomes.into_iter();
            {
                let now = self.broker.context.clock.monotonic();
                let mut queue = self.queue.lock();
                for commit in &batch {
                    let outcome = outcomes.next().unwrap_or_else(|| Err(Error::closed("broker")));
                    if commit.is_auto
                        && let Err(error) = &outcome
                    {
                        let tries_again = error.is_retriable();
                        let refused = Refused { at: now, tries_again };
                        (queue.outdated, queue.refused) = (true, Some(refused));
                        if !is_about_membership(error) && error.again_at().is_none() {
                            queue.auto_error = Some(error.clone());
                        }
                    }
                    let _ = commit.outcome.set(outcome);
                }
                queue.made += 1;
                queue.runner = None;
                queue.last.take_if(|last| last.outcome.get().is_some());
            }
            for commit in &batch {
                commit.done.wake_all();
            }
            self.wake_polls();
            if self.queue.lock().is_gone {
                self.report();
            }
        }
    }

    /// A poll that waits has callbacks to run, or an error to tell.
    fn wake_polls(&self) {
        let has_news = {
            let queue = self.queue.lock();
            let is_done = |(commit, _): &(Arc<Commit>, Callback)| commit.outcome.get().is_some();
            let failed = queue.auto_error.is_some() || queue.refused.is_some();
            failed || queue.callbacks.front().is_some_and(is_done)
        };
        if has_news {
            self.wakeups.waiting.wake_all();
        }
    }

    /// Waits until a commit is made, and makes it if nobody does.
    pub(super) fn drive(&self, commit: &Commit) -> Result<()> {
        let waiter = Waiter::new();
        commit.done.add(&waiter);
        let outcome = loop {
            if let Some(outcome) = commit.outcome.get() {
                break outcome.clone();
            }
            if self.queue.lock().runner == Some(thread::current().id()) {
                let message = "this callback runs inside the commit that it waits for";
                break Err(Error::new(ErrorKind::IllegalState, message));
            }
            self.run();
            if commit.outcome.get().is_none() {
                waiter.park(&self.broker.context.clock, None);
            }
        };
        commit.done.remove(&waiter);
        outcome
    }

    /// Has a callback told what becomes of a commit: here, if the consumer is gone.
    pub(super) fn call_back(&self, commit: &Arc<Commit>, callback: Callback) {
        let mut queue = self.queue.lock();
        let outcome = commit.outcome.get().filter(|_| queue.is_gone).cloned();
        if let Some(outcome) = outcome {
            drop(queue);
            contain(|| callback(outcome));
            return;
        }
        let before = |(other, _): &(Arc<Commit>, Callback)| other.number <= commit.number;
        let place = queue.callbacks.partition_point(before);
        queue.callbacks.insert(place, (Arc::clone(commit), callback));
        drop(queue);
        self.wake_polls();
    }

    /// Returns when all that were asked for before are made. Inside a callback that one of them
    /// runs, at once.
    pub(super) fn finish_earlier(&self) {
        let last = self.queue.lock().last.clone();
        if let Some(last) = last {
            // It is told to who asked for it.
            let _ = self.drive(&last);
        }
    }

    /// Runs the callbacks of commits that were asked for and made before this call, in their order,
    /// unless it is called inside one of them.
    pub(super) fn report(&self) {
        let newest = {
            let mut queue = self.queue.lock();
            if queue.callbacks.is_empty() || std::mem::replace(&mut queue.reporting, true) {
                return;
            }
            queue.count
        };
        while let Some((outcome, callback)) = self.next_callback(newest) {
            contain(|| callback(outcome));
        }
        self.queue.lock().reporting = false;
    }

    /// The next callback, if its commit is made and is none of those after `newest`.
    fn next_callback(&self, newest: u64) -> Option<(Result<()>, Callback)> {
        let mut queue = self.queue.lock();
        let (commit, _) = queue.callbacks.front()?;
        let outcome = commit.outcome.get().filter(|_| commit.number <= newest)?.clone();
        queue.callbacks.pop_front().map(|(_, callback)| (outcome, callback))
    }

    pub(super) fn count(&self) -> u64 {
        self.queue.lock().count
    }

    /// Whether a callback waits to be run whose commit is none of those after `newest`.
    pub(super) fn has_callback(&self, newest: u64) -> bool {
        let queue = self.queue.lock();
        let is_due = |commit: &Commit| commit.outcome.get().is_some() && commit.number <= newest;
        !queue.reporting && queue.callbacks.front().is_some_and(|(commit, _)| is_due(commit))
    }

    /// Whether this thread makes commits at this moment, here inside a callback.
    pub(super) fn runs_here(&self) -> bool {
        self.queue.lock().runner == Some(thread::current().id())
    }

    /// Grows whenever commits were made.
    pub(super) fn made(&self) -> u64 {
        self.queue.lock().made
    }

    /// Why an auto-commit failed, once.
    pub(super) fn take_auto_error(&self) -> Result<()> {
        self.queue.lock().auto_error.take().map_or(Ok(()), Err)
    }

    /// Whether since the last call an auto-commit failed, or something else was committed.
    pub(super) fn take_outdated(&self) -> bool {
        std::mem::take(&mut self.queue.lock().outdated)
    }

    /// When an auto-commit failed since the last call.
    pub(super) fn take_refused(&self) -> Option<Refused> {
        self.queue.lock().refused.take()
    }

    /// No commit is taken any more.
    pub(super) fn end(&self) {
        let left = {
            let mut queue = self.queue.lock();
            queue.is_over = true;
            // Who is at it takes what is left.
            let is_idle = queue.runner.is_none();
            if is_idle { std::mem::take(&mut queue.waiting) } else { VecDeque::new() }
        };
        for commit in left {
            let _ = commit.outcome.set(Err(Error::closed("consumer")));
            commit.done.wake_all();
        }
    }

    /// Nobody is left to run callbacks; those of commits that are still being made are run by who
    /// makes them. `silent` drops those that are there.
    pub(super) fn leave(&self, silent: bool) {
        let dropped = {
            let mut queue = self.queue.lock();
            queue.is_gone = true;
            if silent { std::mem::take(&mut queue.callbacks) } else { VecDeque::new() }
        };
        // They are the user's.
        drop(dropped);
        if !silent {
            self.report();
        }
    }
}

impl Duty for Commits {
    fn next_due(&self) -> Option<Duration> {
        let queue = self.queue.lock();
        queue.due.filter(|_| queue.runner.is_none() && !queue.waiting.is_empty())
    }

    fn run_due(&self) {
        self.run();
    }

    fn close(&self) {
        self.run();
        self.end();
    }
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commits(group {:?})", self.group)
    }
}
