//! Sending without blocking for memory or a topic: a future waits instead.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::delivery::{Delivery, taken};
use super::handle::Producer;
use super::inner::Inner;
use super::limit::BlockLimit;
use super::record::ProducerRecord;
use super::slot::in_callback;
use crate::broker::Alarm;
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::wait::Waiter;

impl Producer {
    /// [`send`](Self::send) for asynchronous code: where that would block, for memory or for a
    /// topic that does not exist yet, this is pending. What comes out is the delivery, which can be
    /// awaited as well; every error comes through it.
    ///
    /// Nothing is sent until it is awaited, and nothing if it is dropped before it is ready. With
    /// [`Housekeeping::Manual`](crate::Housekeeping::Manual) or a mock clock that moves by itself
    /// awaiting it does what `send` does.
    ///
    /// ```
    /// # async fn run(producer: logreel::Producer) -> logreel::Result<()> {
    /// use logreel::ProducerRecord;
    /// // Runs ahead of the disk, as far as `buffer.memory` lets it.
    /// for number in 0..1_000_000 {
    ///     let record = ProducerRecord::to("numbers").value(number.to_string());
    ///     producer.send_async(record).await.forget();
    /// }
    /// // Both at once: the record is on the disk.
    /// let placed = producer.send_async(ProducerRecord::to("numbers").value("last")).await.await?;
    /// # let _ = placed;
    /// # Ok(())
    /// # }
    /// # let producer = logreel::Broker::in_memory().producer().build()?;
    /// # let record = logreel::ProducerRecord::to("t").value("v");
    /// # let mut sending = std::pin::pin!(producer.send_async(record));
    /// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// # assert!(std::future::Future::poll(sending.as_mut(), &mut context).is_ready());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn send_async<'a>(&'a self, record: ProducerRecord<'a>) -> SendAsync<'a> {
        let limit = self.inner().block_limit(true);
        SendAsync { producer: self, state: State::New(record), limit, waiting: None }
    }
}

/// A record that is being sent; made by [`Producer::send_async`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct SendAsync<'a> {
    producer: &'a Producer,
    state: State<'a>,
    /// Counts from the first time that it has to wait.
    limit: BlockLimit<'a>,
    waiting: Option<Waiting<'a>>,
}

enum State<'a> {
    /// The interceptors have not seen it.
    New(ProducerRecord<'a>),
    Waits(ProducerRecord<'a>),
    Over,
}

/// A place among those who wait for memory and for topics; left when it is dropped.
struct Waiting<'a> {
    inner: &'a Inner,
    waiter: Arc<Waiter>,
    alarm: Option<Arc<Alarm>>,
}

impl<'a> Waiting<'a> {
    fn new(inner: &'a Inner) -> Self {
        let waiter = Waiter::new();
        inner.client.memory.awaiting.add(&waiter);
        inner.client.broker.topics_changed.add(&waiter);
        Self { inner, waiter, alarm: None }
    }

    /// Has the waiter signalled when the limit is over.
    fn set_alarm(&mut self, limit: &mut BlockLimit<'_>) {
        if self.alarm.is_some() {
            return;
        }
        let broker = &self.inner.client.broker;
        let alarm = Arc::new(Alarm::new(self.inner.client.clock(), &self.waiter));
        alarm.set(&self.waiter, limit.deadline());
        broker.add_duty(&alarm);
        self.alarm = Some(alarm);
        // Without the thread the broker is closed, which ends the wait.
        let _ = broker.wake_background();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.inner.client.memory.awaiting.remove(&self.waiter);
        self.inner.client.broker.topics_changed.remove(&self.waiter);
    }
}

/// What has to change before a record can be taken.
enum Lack {
    Memory(Error),
    Topic,
}

impl SendAsync<'_> {
    /// Tries to send; says what is lacking if that is all that is wrong.
    fn attempt(&self, record: &ProducerRecord<'_>) -> Result<Delivery, Lack> {
        let inner = self.producer.inner();
        let (clock, threads) = (inner.client.clock(), inner.client.broker.config.has_threads());
        // One that waited inside a callback would wait for what comes after the callback.
        let may_block = !clock.wakes_futures(threads) || in_callback();
        let topic_is_missing = inner.client.broker.topic(record.topic()).is_none();
        let error = match inner.send(record, inner.timestamp(None), may_block) {
            Err(error) if !may_block && !self.limit.never_blocks() => error,
            sent => return Ok(self.producer.refused_or(sent)),
        };
        if error.kind() == ErrorKind::QueueFull {
            return Err(Lack::Memory(error));
        }
        if topic_is_missing && error.code() == Some(ErrorCode::UnknownTopicOrPartition) {
            return Err(Lack::Topic);
        }
        Ok(self.producer.refused(error))
    }

    fn poll_sent(&mut self, record: &ProducerRecord<'_>, context: &Context<'_>) -> Poll<Delivery> {
        if self.waiting.is_none()
            && let Ok(delivery) = self.attempt(record)
        {
            return Poll::Ready(delivery);
        }
        let inner = self.producer.inner();
        let waiting = self.waiting.get_or_insert_with(|| Waiting::new(inner));
        // The waker first: what changes after the attempt calls it.
        while !waiting.waiter.leave(context.waker()) {}
        let lack = match self.attempt(record) {
            Ok(delivery) => return Poll::Ready(delivery),
            Err(lack) => lack,
        };
        if self.limit.is_over() {
            let error = match lack {
                Lack::Memory(full) => self.limit.no_memory(full),
                Lack::Topic => self.limit.no_topic(record.topic()),
            };
            return Poll::Ready(self.producer.refused(error));
        }
        if matches!(lack, Lack::Memory(_)) {
            inner.hurry();
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.set_alarm(&mut self.limit);
        }
        Poll::Pending
    }
}

impl Future for SendAsync<'_> {
    type Output = Delivery;

    /// Does what [`send`](Producer::send) does, and never waits: a thread of the broker writes what
    /// holds the memory.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Delivery> {
        let this = self.get_mut();
        let record = match std::mem::replace(&mut this.state, State::Over) {
            State::New(record) => {
                let interceptors = &this.producer.inner().config().interceptors;
                if interceptors.is_empty() { record } else { interceptors.on_send(record) }
            }
            State::Waits(record) => record,
            State::Over => return Poll::Ready(Delivery::ready(Err(taken()))),
        };
        let polled = this.poll_sent(&record, context);
        match polled {
            Poll::Ready(_) => this.waiting = None,
            Poll::Pending => this.state = State::Waits(record),
        }
        polled
    }
}

impl fmt::Debug for SendAsync<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendAsync")
    }
}
