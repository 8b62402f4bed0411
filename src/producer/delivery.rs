//! The handle to the outcome of one record.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use super::queue::{PartitionQueue, Run};
use super::record::RecordMetadata;
use super::slot::{BatchSlot, Ticket};
use crate::error::{Error, ErrorCode, Result};
use crate::time::{Clock, Idle};
use crate::wait::Waiter;

/// The outcome of one sent record: wait for it, await it, have it called back, or say that you do
/// not care. Dropping it changes nothing about the record. It does not keep the broker open.
#[must_use = "dropping a Delivery ignores the result; call `.forget()` to say so"]
#[derive(Debug)]
pub struct Delivery(State);

#[derive(Debug)]
enum State {
    Ready(Option<Result<RecordMetadata>>),
    Pending(Pending),
}

pub(crate) struct Pending {
    pub(crate) slot: Arc<BatchSlot>,
    pub(crate) ticket: Ticket,
    /// Gone when the producer is; its batches have been run by then.
    pub(crate) queue: Weak<PartitionQueue>,
    pub(crate) clock: Clock,
    /// Whether a thread of the broker runs what nobody waits for.
    pub(crate) threads: bool,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} record {}", self.slot, self.ticket.index)
    }
}

impl Delivery {
    pub(crate) fn ready(outcome: Result<RecordMetadata>) -> Self {
        Self(State::Ready(Some(outcome)))
    }

    pub(crate) fn pending(pending: Pending) -> Self {
        Self(State::Pending(pending))
    }

    /// Blocks until the record's batch is delivered. If the batch is due and nobody runs it, this
    /// thread does; `linger` is not cut short.
    ///
    /// # Errors
    ///
    /// Why the record was not delivered.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let producer = Broker::in_memory().producer().build()?;
    /// let placed = producer.send(ProducerRecord::to("t").value("v")).wait()?;
    /// assert_eq!(placed.offset(), Some(0));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn wait(self) -> Result<RecordMetadata> {
        match self.0 {
            State::Ready(outcome) => outcome.unwrap_or_else(|| Err(taken())),
            State::Pending(pending) => match pending.wait_until(None) {
                Some(answer) => answer,
                None => Err(timed_out()),
            },
        }
    }

    /// As [`wait`](Self::wait), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Why the record was not delivered; `REQUEST_TIMED_OUT` when that is not known yet. The
    /// record is still on its way then.
    pub fn wait_timeout(self, timeout: Duration) -> Result<RecordMetadata> {
        match self.0 {
            State::Ready(outcome) => outcome.unwrap_or_else(|| Err(taken())),
            State::Pending(pending) => {
                let deadline = pending.clock.deadline(timeout);
                pending.wait_until(deadline).unwrap_or_else(|| Err(timed_out()))
            }
        }
    }

    /// The outcome, if it is known already. Does not block and does no work.
    pub fn try_get(&mut self) -> Option<Result<RecordMetadata>> {
        match &mut self.0 {
            State::Ready(outcome) => outcome.clone(),
            State::Pending(pending) => pending.slot.answer(pending.ticket),
        }
    }

    /// Says that nobody will look at the outcome.
    pub fn forget(self) {}

    /// Has `callback` called with the outcome: on the thread that completes the batch, in the order
    /// of the partition's records, with no lock held, so that it may send and wait; at once if the
    /// record is delivered already. A panic in it hurts nobody else.
    pub fn on_complete(self, callback: impl FnOnce(Result<RecordMetadata>) + Send + 'static) {
        match self.0 {
            State::Ready(outcome) => callback(outcome.unwrap_or_else(|| Err(taken()))),
            State::Pending(pending) => {
                pending.slot.add_callback(pending.ticket, Box::new(callback));
                // The slot may have been decided in between, with its callbacks run.
                if let Some(queue) = pending.queue.upgrade() {
                    queue.deliver();
                }
            }
        }
    }
}

impl Pending {
    /// Works and waits until the slot is decided; `None` at the deadline.
    fn wait_until(&self, deadline: Option<Duration>) -> Option<Result<RecordMetadata>> {
        let mut waiter: Option<Arc<Waiter>> = None;
        loop {
            if let Some(answer) = self.slot.answer(self.ticket) {
                return Some(answer);
            }
            let queue = self.queue.upgrade();
            if let Some(queue) = &queue
                && let Some(end) = queue.run(Run::Due)
            {
                // A failure decides the slots it concerns.
                let _ = queue.log.sync_to(end);
            }
            if let Some((log, end)) = self.slot.wanted_sync() {
                // Another thread may have synced and not told us yet: it will wake us.
                let _ = log.sync_to(end);
            }
            if let Some(answer) = self.slot.answer(self.ticket) {
                return Some(answer);
            }
            if deadline.is_some_and(|deadline| self.clock.monotonic() >= deadline) {
                return None;
            }
            let Some(known) = &waiter else {
                // Look once more after registering, then park.
                let new = Waiter::new();
                self.slot.add_waiter(&new);
                waiter = Some(new);
                continue;
            };
            let due = queue.and_then(|queue| queue.next_due());
            let until = [due, deadline].into_iter().flatten().min();
            known.park(&self.clock, until);
        }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    /// With threads this does no I/O: it leaves its waker and the sender thread runs the batch.
    /// Without, it does what the blocking call would do, so that `block_on` never hangs; on a
    /// manual mock clock it is `Pending` until the clock is moved.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(outcome) => Poll::Ready(outcome.take().unwrap_or_else(|| Err(taken()))),
            State::Pending(pending) => {
                if let Some(answer) = pending.slot.answer(pending.ticket) {
                    return Poll::Ready(answer);
                }
                let parks = match pending.clock.idle() {
                    Idle::Sleep => pending.threads,
                    #[cfg(feature = "testing")]
                    Idle::Advance(_) => false,
                    #[cfg(feature = "testing")]
                    Idle::Parked(_) => true,
                };
                if !parks && let Some(answer) = pending.wait_until(None) {
                    return Poll::Ready(answer);
                }
                if pending.slot.add_waker(context.waker()) {
                    return Poll::Pending;
                }
                let answer = pending.slot.answer(pending.ticket);
                Poll::Ready(answer.unwrap_or_else(|| Err(taken())))
            }
        }
    }
}

fn timed_out() -> Error {
    Error::kafka(ErrorCode::RequestTimedOut, "the delivery is not complete yet")
}

fn taken() -> Error {
    Error::new(crate::error::ErrorKind::IllegalState, "the delivery was polled after completion")
}
