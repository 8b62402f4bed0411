//! The handle to the outcome of one record.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::drive::{Until, drive};
use super::metadata::RecordMetadata;
use super::slot::{BatchSlot, Run, Ticket, run};
use crate::error::{Error, ErrorCode, Result};

/// The outcome of one sent record: wait for it, await it, have it called back, or say that you do
/// not care. Dropping it changes nothing about the record. It does not keep the broker open.
#[must_use = "dropping a Delivery ignores the result; call `.forget()` to say so"]
#[derive(Debug)]
pub struct Delivery(State);

#[derive(Debug)]
enum State {
    /// Boxed, so that a delivery is small: most are on their way.
    Ready(Box<Option<Result<RecordMetadata>>>),
    Pending(Pending, Ticket),
    /// With `acks=0` there is nothing to wait for.
    Unasked(Arc<BatchSlot>, Ticket),
}

/// A batch that is on its way.
pub(super) struct Pending(pub(super) Arc<BatchSlot>);

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Delivery {
    pub(super) fn ready(outcome: Result<RecordMetadata>) -> Self {
        Self(State::Ready(Box::new(Some(outcome))))
    }

    #[inline]
    pub(super) fn pending(pending: Pending, ticket: Ticket) -> Self {
        Self(State::Pending(pending, ticket))
    }

    #[inline]
    pub(super) fn unasked(slot: Arc<BatchSlot>, ticket: Ticket) -> Self {
        Self(State::Unasked(slot, ticket))
    }

    /// Blocks until the record's batch is delivered, at most for `delivery.timeout.ms`. If the
    /// batch is due and nobody runs it, this thread does; `linger` is not cut short.
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
            State::Unasked(slot, ticket) => Ok(slot.unasked(ticket)),
            State::Pending(pending, ticket) => {
                pending.wait_until(None);
                pending.0.answer(ticket).unwrap_or_else(|| Err(timed_out()))
            }
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
            State::Unasked(slot, ticket) => Ok(slot.unasked(ticket)),
            State::Pending(pending, ticket) => {
                pending.wait_until(pending.0.home.clock.deadline(timeout));
                pending.0.answer(ticket).unwrap_or_else(|| Err(timed_out()))
            }
        }
    }

    /// The outcome, if it is known already. Does not block and does no work.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::{Broker, ProducerRecord};
    /// let producer = Broker::in_memory().producer().linger(Duration::from_secs(60)).build()?;
    /// let mut delivery = producer.send(ProducerRecord::to("t").value("v"));
    /// assert!(delivery.try_get().is_none());
    /// producer.flush(Duration::from_secs(1))?;
    /// assert!(delivery.try_get().is_some_and(|outcome| outcome.is_ok()));
    /// delivery.wait_timeout(Duration::ZERO)?; // it is known
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn try_get(&mut self) -> Option<Result<RecordMetadata>> {
        match &mut self.0 {
            State::Ready(outcome) => outcome.as_ref().clone(),
            State::Unasked(slot, ticket) => Some(Ok(slot.unasked(*ticket))),
            State::Pending(pending, ticket) => pending.0.answer(*ticket),
        }
    }

    /// Says that nobody will look at the outcome.
    #[inline]
    pub fn forget(self) {}

    /// Has `callback` called with the outcome: on the thread that completes the batch, in the order
    /// of the partition's records, with no lock held, so that it may send and wait; at once if the
    /// record is delivered already. A panic in it hurts nobody else.
    /// [`Producer::flush`](crate::Producer::flush) and [`close`](crate::Producer::close) return
    /// after it. A thread of the broker may be the one that completes the batch, so a callback that
    /// takes long keeps others waiting, retention and compaction among them.
    pub fn on_complete(self, callback: impl FnOnce(Result<RecordMetadata>) + Send + 'static) {
        match self.0 {
            State::Ready(outcome) => run(callback, outcome.unwrap_or_else(|| Err(taken()))),
            State::Unasked(slot, ticket) => run(callback, Ok(slot.unasked(ticket))),
            State::Pending(pending, ticket) => {
                pending.0.add_callback(ticket, Box::new(callback));
                pending.deliver();
            }
        }
    }
}

impl Pending {
    /// Works and waits until the slot is decided or the deadline has passed.
    pub(super) fn wait_until(&self, deadline: Option<Duration>) {
        drive(&self.0, Run::Due, Until::Decided, deadline);
    }

    /// Runs callbacks that came too late for who ran the others.
    pub(super) fn deliver(&self) {
        if let Some(queue) = self.0.home.runner.upgrade() {
            queue.look_after();
        }
    }

    /// What polling a future does. With threads it leaves its waker and the sender thread runs the
    /// batch; without, it does what the blocking call would do. Says whether the slot is decided.
    pub(super) fn poll(&self, context: &Context<'_>) -> bool {
        if self.0.is_decided() {
            return true;
        }
        if !self.0.home.clock.wakes_futures(self.0.home.threads) {
            self.wait_until(None);
        }
        !self.0.add_waker(context.waker())
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
            State::Unasked(slot, ticket) => Poll::Ready(Ok(slot.unasked(*ticket))),
            State::Pending(pending, ticket) => {
                if !pending.poll(context) {
                    return Poll::Pending;
                }
                Poll::Ready(pending.0.answer(*ticket).unwrap_or_else(|| Err(taken())))
            }
        }
    }
}

pub(super) fn timed_out() -> Error {
    Error::kafka(ErrorCode::RequestTimedOut, "the delivery is not complete yet")
}

pub(super) fn taken() -> Error {
    Error::new(crate::error::ErrorKind::IllegalState, "the delivery was polled after completion")
}
