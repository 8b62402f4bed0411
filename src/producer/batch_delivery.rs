//! The handle to the outcome of many records that were sent by one call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;

use super::delivery::{Pending, timed_out};
use super::metadata::RecordMetadata;
use super::slot::{BatchSlot, Ticket, run};
use crate::error::{Error, Result};

/// The outcome of the records of one [`send_batch`](crate::Producer::send_batch): wait for it,
/// await it, have it called back, or say that you do not care. Dropping it changes nothing about
/// the records. It does not keep the broker open.
///
/// Every call answers one result a record, in the order in which the records were given, or the
/// first error.
#[must_use = "dropping a BatchDelivery ignores the results; call `.forget()` to say so"]
#[derive(Debug)]
pub struct BatchDelivery {
    pub(super) batches: Vec<Pending>,
    pub(super) records: Vec<Sent>,
}

/// What became of one record of a call.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    /// It is in this batch.
    In(usize, Ticket),
    /// It is done.
    Done(Result<RecordMetadata>),
}

impl BatchDelivery {
    /// Blocks until every record is delivered.
    ///
    /// # Errors
    ///
    /// Why the first record that was not delivered was not. Others may have been: see
    /// [`results`](Self::results).
    pub fn wait(self) -> Result<Vec<RecordMetadata>> {
        self.results().into_iter().collect()
    }

    /// As [`wait`](Self::wait), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); `REQUEST_TIMED_OUT` when it is not known yet. The records are
    /// still on their way then.
    pub fn wait_timeout(self, timeout: Duration) -> Result<Vec<RecordMetadata>> {
        let deadline = self.batches.first().and_then(|batch| batch.0.home.clock.deadline(timeout));
        for batch in &self.batches {
            batch.wait_until(deadline);
        }
        self.answers().into_iter().collect()
    }

    /// Blocks until every record has its result, and answers all of them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::{Broker, ProducerRecord};
    /// let producer = Broker::in_memory().producer().max_request_size(1000).build()?;
    /// let record = |size: usize| ProducerRecord::to("t").value(vec![0; size]);
    /// let results = producer.send_batch([record(10), record(5000), record(10)]).results();
    /// assert_eq!(results.iter().map(|r| r.is_ok()).collect::<Vec<_>>(), [true, false, true]);
    /// let placed = producer.send_batch([record(10)]).wait_timeout(Duration::from_secs(1))?;
    /// assert_eq!(placed.len(), 1);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn results(self) -> Vec<Result<RecordMetadata>> {
        for batch in &self.batches {
            batch.wait_until(None);
        }
        self.answers()
    }

    /// Says that nobody will look at the outcome.
    pub fn forget(self) {}

    /// Has `callback` called once, when every record has its result: on the thread that completes
    /// the last batch, with no lock held. A panic in it hurts nobody else.
    pub fn on_complete(self, callback: impl FnOnce(Vec<Result<RecordMetadata>>) + Send + 'static) {
        if self.batches.is_empty() {
            run(callback, self.answers());
            return;
        }
        let batches: Vec<(Arc<BatchSlot>, Ticket)> = self.last_tickets();
        let all = Arc::new(All {
            open: AtomicUsize::new(batches.len()),
            callback: Mutex::new(Some(callback)),
            delivery: self,
        });
        for (slot, last) in batches {
            let each = Arc::clone(&all);
            slot.add_callback(last, Box::new(move |_| each.one_is_done()));
        }
        all.delivery.batches.iter().for_each(Pending::deliver);
    }

    /// The last record of each batch.
    fn last_tickets(&self) -> Vec<(Arc<BatchSlot>, Ticket)> {
        let last = |(index, batch): (usize, &Pending)| {
            let mut records = self.records.iter().rev();
            records.find_map(|sent| match sent {
                Sent::In(of, ticket) if *of == index => Some((Arc::clone(&batch.0), *ticket)),
                _ => None,
            })
        };
        self.batches.iter().enumerate().filter_map(last).collect()
    }

    fn answers(&self) -> Vec<Result<RecordMetadata>> {
        // Those of a batch as a rule follow each other.
        let mut last = None;
        let mut answer = |sent: &Sent| match sent {
            Sent::Done(result) => result.clone(),
            Sent::In(batch, ticket) => {
                if last.as_ref().is_none_or(|(of, _)| of != batch) {
                    last = None;
                    last = self.batches.get(*batch).map(|pending| (*batch, pending.0.answers()));
                }
                let answers = last.as_ref().and_then(|(_, answers)| answers.as_ref());
                answers.map_or_else(|| Err(timed_out()), |answers| answers.of(*ticket))
            }
        };
        self.records.iter().map(&mut answer).collect()
    }
}

/// A callback for several batches: the last of them calls it.
struct All<F> {
    open: AtomicUsize,
    callback: Mutex<Option<F>>,
    delivery: BatchDelivery,
}

impl<F: FnOnce(Vec<Result<RecordMetadata>>)> All<F> {
    fn one_is_done(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            let callback = self.callback.lock().take();
            if let Some(callback) = callback {
                callback(self.delivery.answers());
            }
        }
    }
}

impl Future for BatchDelivery {
    type Output = Result<Vec<RecordMetadata>>;

    /// As polling a [`Delivery`](crate::Delivery).
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        for batch in &self.batches {
            if !batch.poll(context) {
                return Poll::Pending;
            }
        }
        let answers: Result<Vec<RecordMetadata>, Error> = self.answers().into_iter().collect();
        Poll::Ready(answers)
    }
}
