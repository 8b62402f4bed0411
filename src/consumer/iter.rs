//! Reading record by record, and reading what there is.

use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

use super::handle::{Consumer, Polling};
use super::records::{Record, Records};
use crate::error::Result;
use crate::faults::persist;

impl Consumer {
    /// The records one by one, blocking for more without end; [`Iter::until_idle`] bounds it. Each
    /// step is a poll of one record, so the positions, and with them [`commit`](Self::commit) and
    /// auto-commit, cover what was handed out and nothing else: an iterator may be dropped and
    /// made anew at any time. Costs a lock and an owned record each; [`poll`](Self::poll) is
    /// faster for many small records.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::{Broker, OffsetReset, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let records = ["a", "b", "c"].map(|value| ProducerRecord::to("t").value(value));
    /// broker.producer().build()?.send_batch(records).wait()?;
    /// let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
    /// consumer.assign([("t", 0)])?;
    /// let first = consumer.iter().next().transpose()?;
    /// assert_eq!(first.and_then(|record| record.value).as_deref(), Some(&b"a"[..]));
    /// let mut rest = 0;
    /// for record in consumer.iter().until_idle(Duration::from_millis(10)) {
    ///     let record = record?;
    ///     rest += 1;
    ///     assert_eq!(record.offset, rest);
    /// }
    /// assert_eq!(rest, 2);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn iter(&self) -> Iter<'_> {
        Iter { consumer: self, idle: None, is_over: false }
    }

    /// Everything from the positions up to where the assigned partitions end now, without those
    /// that are [paused](Self::pause); empty when there is nothing. Does not block for more to come
    /// and knows none of the limits of a poll: what is returned keeps all its batches in memory.
    ///
    /// ```
    /// use logreel::{Broker, OffsetReset, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let records = (0..1000).map(|n| ProducerRecord::to("t").value(n.to_string()));
    /// broker.producer().build()?.send_batch(records).wait()?;
    /// let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
    /// consumer.assign([("t", 0)])?;
    /// assert_eq!(consumer.read_to_end()?.len(), 1000);
    /// assert!(consumer.read_to_end()?.is_empty());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll), but for `Wakeup`, as it does not wait. The positions are then where
    /// they were: a poll hands out what comes before damage.
    pub fn read_to_end(&self) -> Result<Records> {
        persist(&self.broker.context.clock, || self.read_to_end_once())
    }

    fn read_to_end_once(&self) -> Result<Records> {
        self.broker.check_open()?;
        // Batches that linger past their time belong to what there is.
        self.broker.run_awaited();
        let now = self.broker.context.clock.monotonic();
        let _polling = Polling::begin(self);
        let mut state = self.enter()?;
        state.end_rests(now);
        self.prepare(&mut state, now)?;
        state.read_to_end(&self.config)
    }
}

impl<'a> IntoIterator for &'a Consumer {
    type Item = Result<Record>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The records of a consumer, one by one; made by [`Consumer::iter`]. An error is its last item.
#[must_use = "an iterator reads nothing until it is asked"]
pub struct Iter<'a> {
    consumer: &'a Consumer,
    idle: Option<Duration>,
    is_over: bool,
}

impl Iter<'_> {
    /// Ends when no record has come for this long. With zero it ends where there is nothing more to
    /// read.
    pub fn until_idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }
}

impl Iterator for Iter<'_> {
    type Item = Result<Record>;

    /// Blocks until there is a record, an error, or nothing came for as long as
    /// [`until_idle`](Iter::until_idle) says.
    fn next(&mut self) -> Option<Result<Record>> {
        if self.is_over {
            return None;
        }
        let deadline = self.idle.and_then(|idle| self.consumer.broker.deadline(idle));
        let polled = self.consumer.poll_until(1, deadline);
        let record = polled
            .map(|records| records.iter().next().map(|record| record.to_record()))
            .transpose();
        self.is_over = !matches!(record, Some(Ok(_)));
        record
    }
}

impl FusedIterator for Iter<'_> {}

impl fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iter({:?}, until idle for {:?})", self.consumer, self.idle)
    }
}
