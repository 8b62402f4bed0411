//! The handle to the outcome of many records that were sent by one call.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;

use super::batch_metadata::BatchMetadata;
use super::delivery::{Pending, timed_out};
use super::metadata::RecordMetadata;
use super::slot::{BatchSlot, Ticket, run};
use crate::error::Result;

/// The outcome of the records of one [`send_batch`](crate::Producer::send_batch): wait for it,
/// await it, have it called back, or say that you do not care. Dropping it changes nothing about
/// the records. It does not keep the broker open.
///
/// [`wait`](Self::wait) and `.await` answer where the records are, or the first error;
/// [`results`](Self::results) and [`on_complete`](Self::on_complete) one result for each record.
/// All are in the order in which the records were given.
#[must_use = "dropping a BatchDelivery ignores the results; call `.forget()` to say so"]
#[derive(Debug)]
pub struct BatchDelivery {
    pub(super) batches: Vec<Pending>,
    pub(super) records: Vec<Sent>,
}

/// What became of records of a call that came one after the other.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    /// They are in this batch, and have one time.
    In { batch: usize, records: Range<i32>, timestamp: i64 },
    /// One that is done.
    Done(Result<RecordMetadata>),
}

impl Sent {
    /// Notes a record of a batch, as a rule the one after the last.
    #[inline(always)]
    pub(super) fn note(all: &mut Vec<Self>, to: usize, ticket: Ticket) {
        let index = ticket.index;
        match all.last_mut() {
            Some(Self::In { batch, records, timestamp })
                if *batch == to && records.end == index && *timestamp == ticket.timestamp =>
            {
                records.end = index.saturating_add(1);
            }
            _ => all.push(Self::In {
                batch: to,
                records: index..index.saturating_add(1),
                timestamp: ticket.timestamp,
            }),
        }
    }
}

impl BatchDelivery {
    /// Blocks until every record is delivered.
    ///
    /// # Errors
    ///
    /// Why the first record that was not delivered was not. Others may have been: see
    /// [`results`](Self::results).
    pub fn wait(self) -> Result<BatchMetadata> {
        for batch in &self.batches {
            batch.wait_until(None);
        }
        self.all()
    }

    /// As [`wait`](Self::wait), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait); `REQUEST_TIMED_OUT` when it is not known yet. The records are
    /// still on their way then.
    pub fn wait_timeout(self, timeout: Duration) -> Result<BatchMetadata> {
        let deadline = self.batches.first().and_then(|batch| batch.0.home.clock.deadline(timeout));
        for batch in &self.batches {
            batch.wait_until(deadline);
        }
        self.all()
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
                Sent::In { batch: of, records, timestamp } if *of == index => {
                    let ticket = Ticket { index: records.end - 1, timestamp: *timestamp };
                    Some((Arc::clone(&batch.0), ticket))
                }
                _ => None,
            })
        };
        self.batches.iter().enumerate().filter_map(last).collect()
    }

    fn answers(&self) -> Vec<Result<RecordMetadata>> {
        let mut answers = Vec::new();
        let told = self.each_run(|records, run| {
            match run {
                Ok(run) => answers.extend((0..records).map(|place| Ok(run.record(place)))),
                Err(error) => answers.extend((0..records).map(|_| Err(error.clone()))),
            }
            Ok(())
        });
        debug_assert!(told.is_ok(), "nothing above fails");
        answers
    }

    /// Those of all records, or the first error.
    fn all(&self) -> Result<BatchMetadata> {
        let mut answers = BatchMetadata::default();
        self.each_run(|records, run| {
            answers.push(run?, records);
            Ok(())
        })?;
        Ok(answers)
    }

    /// Tells what became of records that were placed one after the other, or failed together: how
    /// many, and where the first is. Until somebody has heard enough.
    fn each_run(
        &self,
        mut tell: impl FnMut(usize, Result<RecordMetadata>) -> Result<()>,
    ) -> Result<()> {
        for sent in &self.records {
            let (batch, records, timestamp) = match sent {
                Sent::Done(result) => {
                    tell(1, result.clone())?;
                    continue;
                }
                Sent::In { batch, records, timestamp } => (batch, records, *timestamp),
            };
            let batch = self.batches.get(*batch).and_then(|batch| batch.0.answers());
            let Some(answers) = batch else {
                tell(records.len(), Err(timed_out()))?;
                continue;
            };
            let mut left = records.clone();
            while !left.is_empty() {
                let ticket = Ticket { index: left.start, timestamp };
                let end = answers.same_as(left.start).min(left.end);
                tell((left.start..end).len(), answers.of(ticket))?;
                left.start = end;
            }
        }
        Ok(())
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
    type Output = Result<BatchMetadata>;

    /// As polling a [`Delivery`](crate::Delivery).
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        for batch in &self.batches {
            if !batch.poll(context) {
                return Poll::Pending;
            }
        }
        Poll::Ready(self.all())
    }
}
