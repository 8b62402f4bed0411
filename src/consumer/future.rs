//! Polls as futures, for any runtime and for none.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::handle::{Consumer, Polling};
use super::records::{Record, Records};
use super::watch::{FOLLOW_INTERVAL, Look, Watch};
use crate::broker::Alarm;
use crate::error::Result;
use crate::wait::Waiter;

impl Consumer {
    /// A [`poll`](Self::poll) without a timeout, to be awaited; take your runtime's timeout.
    /// Dropping it before it is ready loses nothing: positions move when it gives out records.
    ///
    /// With threads a pending one leaves its waker and costs nothing until there is something to
    /// do; it never waits for a sync. With [`Housekeeping::Manual`](crate::Housekeeping::Manual)
    /// or a mock clock polling it also does what is due, and lets time pass where only that brings
    /// more, so that any `block_on` ends; on a manual mock clock it is pending until the clock is
    /// moved.
    ///
    /// ```
    /// # use std::future::Future;
    /// # use std::pin::pin;
    /// # use std::task::{Context, Poll, Wake, Waker};
    /// # struct Unpark(std::thread::Thread);
    /// # impl Wake for Unpark {
    /// #     fn wake(self: std::sync::Arc<Self>) {
    /// #         self.0.unpark();
    /// #     }
    /// # }
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    /// #     let mut future = pin!(future);
    /// #     loop {
    /// #         match future.as_mut().poll(&mut Context::from_waker(&waker)) {
    /// #             Poll::Ready(output) => return output,
    /// #             Poll::Pending => std::thread::park(),
    /// #         }
    /// #     }
    /// # }
    /// use logreel::{Broker, OffsetReset, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
    /// consumer.assign([("jobs", 0)])?;
    /// broker.producer().build()?.send(ProducerRecord::to("jobs").value("1")).wait()?;
    /// let values = block_on(async {
    ///     let records = consumer.next_batch().await?;
    ///     Ok::<_, logreel::Error>(records.to_vec().into_iter().map(|record| record.value))
    /// })?;
    /// assert_eq!(values.flatten().collect::<Vec<_>>(), ["1"]);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// It answers those of [`poll`](Self::poll).
    pub fn next_batch(&self) -> NextBatch<'_> {
        NextBatch { pending: Pending::new(self) }
    }

    /// The next record, to be awaited: a [`next_batch`](Self::next_batch) of one. The position is
    /// then after it, so commits and auto-commits cover what was handed out and nothing else.
    /// Dropping it before it is ready loses nothing.
    ///
    /// ```no_run
    /// # async fn run(consumer: logreel::Consumer) -> logreel::Result<()> {
    /// loop {
    ///     let record = consumer.recv().await?;
    ///     println!("{}: {:?}", record.offset, record.value);
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// It answers those of [`poll`](Self::poll).
    pub fn recv(&self) -> Recv<'_> {
        Recv { pending: Pending::new(self) }
    }

    /// The records as a stream that never ends by itself; an error is its last item. Each is a
    /// [`recv`](Self::recv). The stream may be dropped and made anew at any time.
    ///
    /// ```no_run
    /// # use futures_core::Stream;
    /// # async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    /// #     use std::pin::Pin;
    /// #     std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
    /// # }
    /// # async fn run(consumer: logreel::Consumer) -> logreel::Result<()> {
    /// let mut records = consumer.stream();
    /// while let Some(record) = next(&mut records).await.transpose()? {
    ///     println!("{}: {:?}", record.offset, record.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "stream")]
    pub fn stream(&self) -> RecordStream<'_> {
        RecordStream { pending: Pending::new(self), is_over: false }
    }
}

/// A poll that waits.
struct Pending<'a> {
    consumer: &'a Consumer,
    /// From the first look on.
    polling: Option<Polling<'a>>,
    watch: Option<Watch>,
    alarm: Option<Arc<Alarm>>,
}

/// What lets time pass for a future.
enum Passing {
    /// It passed, here.
    Passed,
    /// The waker is called when it has.
    Later,
}

impl<'a> Pending<'a> {
    fn new(consumer: &'a Consumer) -> Self {
        Self { consumer, polling: None, watch: None, alarm: None }
    }

    fn poll(&mut self, max: usize, context: &mut Context<'_>) -> Poll<Result<Records>> {
        let polled = self.poll_inner(max, context);
        if polled.is_ready() {
            // The next item of a stream is a new poll.
            *self = Self::new(self.consumer);
        }
        polled
    }

    fn poll_inner(&mut self, max: usize, context: &mut Context<'_>) -> Poll<Result<Records>> {
        let consumer = self.consumer;
        let broker = &consumer.broker;
        let threads = broker.config.has_threads();
        let mut passed = false;
        loop {
            self.polling.get_or_insert_with(|| Polling::begin(consumer));
            let nothing = match consumer.look(max) {
                Ok(Look::Records(records)) => return Poll::Ready(Ok(records)),
                Ok(Look::Nothing(nothing)) => nothing,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if nothing.is_ready {
                continue;
            }
            if !threads {
                // Perhaps what is to be read lies in a batch that lingers past its time.
                broker.run_awaited();
            }
            let (hold, seen) = (nothing.hold, consumer.seen(&nothing));
            let watch = match self.watch.take() {
                Some(watch) if watch.covers(&nothing.sources) => watch,
                _ => Watch::new(consumer, nothing.sources),
            };
            let watch = self.watch.insert(watch);
            let waiter = Arc::clone(&watch.waiter);
            // Look once more after leaving the waker.
            if !waiter.leave(context.waker()) || consumer.has_news(watch, hold, seen) {
                continue;
            }
            if passed {
                // Others get their turn before more time passes.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.pass(&waiter, consumer.wait_end(hold)) {
                Ok(Passing::Later) => return Poll::Pending,
                Ok(Passing::Passed) => passed = true,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Lets time pass up to `until`, or up to anything else that is due where no thread sees to it.
    fn pass(&mut self, waiter: &Arc<Waiter>, until: Option<Duration>) -> Result<Passing> {
        let broker = &self.consumer.broker;
        let clock = &broker.context.clock;
        if !clock.wakes_futures(broker.config.has_threads()) {
            let Some(due) = [until, broker.next_duty()].into_iter().flatten().min() else {
                return Ok(Passing::Later);
            };
            // Not for long: the caller may have other futures to poll.
            let nap = clock.monotonic().saturating_add(FOLLOW_INTERVAL);
            waiter.park(clock, Some(due.min(nap)));
            return Ok(Passing::Passed);
        }
        if until.is_none() && self.alarm.is_none() {
            return Ok(Passing::Later);
        }
        let alarm = self.alarm.get_or_insert_with(|| {
            let alarm = Arc::new(Alarm::new(clock, waiter));
            broker.add_duty(&alarm);
            alarm
        });
        alarm.set(waiter, until);
        if until.is_none() {
            return Ok(Passing::Later);
        }
        broker.wake_background()?;
        let is_over = until.is_some_and(|until| clock.monotonic() >= until);
        Ok(if is_over { Passing::Passed } else { Passing::Later })
    }
}

fn only(records: &Records) -> Option<Record> {
    records.iter().next().map(|record| record.to_record())
}

/// A poll to be awaited; made by [`Consumer::next_batch`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct NextBatch<'a> {
    pending: Pending<'a>,
}

impl Future for NextBatch<'_> {
    type Output = Result<Records>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let max = this.pending.consumer.config.max_poll_records;
        this.pending.poll(max, context)
    }
}

/// A record to be awaited; made by [`Consumer::recv`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Recv<'a> {
    pending: Pending<'a>,
}

impl Future for Recv<'_> {
    type Output = Result<Record>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match this.pending.poll(1, context) {
                Poll::Ready(Ok(records)) => {
                    // A poll that is ready has a record.
                    if let Some(record) = only(&records) {
                        return Poll::Ready(Ok(record));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// The records of a consumer as a stream; made by [`Consumer::stream`].
#[cfg(feature = "stream")]
#[must_use = "a stream reads nothing until it is polled"]
pub struct RecordStream<'a> {
    pending: Pending<'a>,
    is_over: bool,
}

#[cfg(feature = "stream")]
impl futures_core::Stream for RecordStream<'_> {
    type Item = Result<Record>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let polled = this.pending.poll(1, context);
        polled.map(|polled| {
            let record = polled.map(|records| only(&records)).transpose();
            this.is_over = !matches!(record, Some(Ok(_)));
            record
        })
    }
}

impl fmt::Debug for NextBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NextBatch({:?})", self.pending.consumer)
    }
}

impl fmt::Debug for Recv<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recv({:?})", self.pending.consumer)
    }
}

#[cfg(feature = "stream")]
impl fmt::Debug for RecordStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordStream({:?})", self.pending.consumer)
    }
}
