//! The outcome of a commit that is made later.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::commits::{Commit, Commits};
use super::identity::Who;
use crate::error::Result;
use crate::types::Offsets;
use crate::wait::Waiter;

impl Commits {
    /// Has these offsets committed, as the member that the consumer is now.
    pub(super) fn commit_later(self: &Arc<Self>, offsets: Offsets) -> CommitHandle {
        self.commit_later_as(self.identity.get(), offsets)
    }

    pub(super) fn commit_later_as(self: &Arc<Self>, who: Who, offsets: Offsets) -> CommitHandle {
        let commit = self.push(who, offsets, false);
        CommitHandle { commits: Arc::clone(self), commit, waiter: None }
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
        self.commits.call_back(&self.commit, Box::new(callback));
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
