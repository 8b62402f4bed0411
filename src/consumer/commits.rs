//! The commits of a consumer that are made later, in their order.
//!
//! Whoever comes first makes them: a thread of the broker, who waits for one of them, a commit that
//! blocks, the close, or, where there are no threads, the next poll. One thread at a time takes all
//! that wait, and one sync makes them durable. No lock is held meanwhile: the syncs may run
//! callbacks of producers, which may commit.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;

use super::identity::{Identity, Who};
use super::membership::is_about_membership;
use super::wakeup::Wakeups;
use crate::broker::{CommitRequest, Duty, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::types::Offsets;
use crate::wait::{WaitQueue, Waiter, contain};

/// Without it a clock that moves only for who waits would stand still while callbacks commit again.
const DELAY: Duration = Duration::from_millis(1);

type Callback = Box<dyn FnOnce(Result<()>) + Send>;

/// One of them.
struct Commit {
    number: u64,
    request: CommitRequest,
    /// Nobody asked for it but `enable.auto.commit`.
    is_auto: bool,
    outcome: OnceLock<Result<()>>,
    done: WaitQueue,
}

/// All of one consumer, shared with its handles and committers.
pub(super) struct Commits {
    /// No handle: neither a committer nor a handle keeps the broker open.
    broker: Arc<Shared>,
    group: Result<String>,
    identity: Arc<Identity>,
    wakeups: Arc<Wakeups>,
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
    refused: Option<Duration>,
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
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            broker,
            group,
            identity,
            wakeups,
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
        let committed = self.broker.commit_offsets(group, by.as_ref(), offsets);
        // After it: an auto-commit may have come between.
        self.queue.lock().outdated = true;
        committed
    }

    /// Has these offsets committed, as the member that the consumer is now.
    pub(super) fn commit_later(self: &Arc<Self>, offsets: Offsets) -> CommitHandle {
        self.commit_later_as(self.identity.get(), offsets)
    }

    pub(super) fn commit_later_as(self: &Arc<Self>, who: Who, offsets: Offsets) -> CommitHandle {
        let commit = self.push(who, offsets, false);
        CommitHandle { commits: Arc::clone(self), commit, waiter: None }
    }

    /// The same for a poll, which waits for no sync.
    pub(super) fn auto_commit(&self, offsets: Offsets) {
        self.push(self.identity.get(), offsets, true);
        if !self.broker.config.has_threads() {
            self.run();
        }
    }

    fn push(&self, who: Who, offsets: Offsets, is_auto: bool) -> Arc<Commit> {
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
            queue.refused = queue.refused.or(is_auto.then_some(now));
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
            contain(|| outcomes = self.broker.commit_all(group, &requests));
            let mut outcomes = outcomes.into_iter();
            {
                let now = self.broker.context.clock.monotonic();
                let mut queue = self.queue.lock();
                for commit in &batch {
                    let outcome = outcomes.next().unwrap_or_else(|| Err(Error::closed("broker")));
                    if commit.is_auto
                        && let Err(error) = &outcome
                    {
                        (queue.outdated, queue.refused) = (true, Some(now));
                        if !is_about_membership(error) {
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
            queue.auto_error.is_some() || queue.callbacks.front().is_some_and(is_done)
        };
        if has_news {
            self.wakeups.waiting.wake_all();
        }
    }

    /// Waits until a commit is made, and makes it if nobody does.
    fn drive(&self, commit: &Commit) -> Result<()> {
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
    pub(super) fn take_refused(&self) -> Option<Duration> {
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

/// The outcome of a commit that is made later: wait for it, await it, have it called back, or drop
/// it; the commit is made all the same. It keeps neither the consumer nor the broker.
///
/// ```
/// # use std::time::Duration;
/// # use logreel::{Broker, OffsetReset, ProducerRecord};
/// # let broker = Broker::in_memory();
/// # broker.producer().build()?.send(ProducerRecord::to("t").value("x")).wait()?;
/// let settings = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
/// let consumer = settings.build()?;
/// consumer.subscribe(["t"])?;
/// consumer.poll(Duration::from_secs(1))?;
/// let handle = consumer.commit_async();
/// handle.wait()?;
/// assert_eq!(consumer.committed(&("t", 0).into())?.map(|c| c.offset()), Some(1));
/// # Ok::<(), logreel::Error>(())
/// ```
pub struct CommitHandle {
    commits: Arc<Commits>,
    commit: Arc<Commit>,
    waiter: Option<Arc<Waiter>>,
}

impl CommitHandle {
    /// Blocks until the commit is durable, or failed. If nobody makes it, this thread does.
    ///
    /// # Errors
    ///
    /// Those of [`Consumer::commit_offsets`](crate::Consumer::commit_offsets); it is not tried
    /// again. `IllegalState` inside a callback of a producer that this very commit runs.
    pub fn wait(self) -> Result<()> {
        self.commits.drive(&self.commit)
    }

    /// The outcome, if it is known already. Does not block and does no work.
    #[must_use]
    pub fn try_get(&self) -> Option<Result<()>> {
        self.commit.outcome.get().cloned()
    }

    /// Has `callback` called with the outcome by a later poll, commit or close of the consumer, on
    /// the thread that makes that call, in the order of the commits and with no lock held, so that
    /// it may commit. A panic in it hurts nobody else. When the consumer is dropped instead of
    /// closed it is not called; when the consumer is gone already, it is called here.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use logreel::Broker;
    /// # let broker = Broker::in_memory();
    /// # let consumer = broker.consumer().group_id("g").build()?;
    /// # consumer.assign([("t", 0)])?;
    /// consumer.poll(Duration::ZERO)?;
    /// consumer.commit_async().on_complete(|outcome| {
    ///     if let Err(error) = outcome {
    ///         eprintln!("not committed: {error}");
    ///     }
    /// });
    /// consumer.close()?;
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn on_complete(self, callback: impl FnOnce(Result<()>) + Send + 'static) {
        let (commits, commit) = (Arc::clone(&self.commits), Arc::clone(&self.commit));
        let mut queue = commits.queue.lock();
        let outcome = commit.outcome.get().filter(|_| queue.is_gone).cloned();
        if let Some(outcome) = outcome {
            drop(queue);
            contain(|| callback(outcome));
            return;
        }
        let before = |(other, _): &(Arc<Commit>, Callback)| other.number <= commit.number;
        let place = queue.callbacks.partition_point(before);
        queue.callbacks.insert(place, (commit, Box::new(callback)));
        drop(queue);
        commits.wake_polls();
    }
}

impl Future for CommitHandle {
    type Output = Result<()>;

    /// With threads this does no I/O: it leaves its waker and a thread of the broker makes the
    /// commit. Without, it makes it; on a manual mock clock it is `Pending` until the clock is
    /// moved.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let broker = &this.commits.broker;
        if !broker.context.clock.wakes_futures(broker.config.has_threads()) {
            return Poll::Ready(this.commits.drive(&this.commit));
        }
        let waiter = this.waiter.get_or_insert_with(|| {
            let waiter = Waiter::new();
            this.commit.done.add(&waiter);
            waiter
        });
        // A signal that came before means that the outcome is there.
        waiter.leave(context.waker());
        match this.try_get() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

impl Drop for CommitHandle {
    fn drop(&mut self) {
        if let Some(waiter) = &self.waiter {
            self.commit.done.remove(waiter);
        }
    }
}

impl fmt::Debug for CommitHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitHandle({:?})", self.commit.outcome.get())
    }
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commits(group {:?})", self.group)
    }
}
