//! The handle to a producer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::batch_delivery::BatchDelivery;
use super::builder::ProducerBuilder;
use super::config::ProducerConfig;
use super::delivery::Delivery;
use super::inner::Inner;
use super::record::{ProducerRecord, headers_of};
use super::send_batch::Gathering;
use super::session::Session;
use crate::broker::Handle;
use crate::error::{Error, ErrorKind, Result};

/// Sends records. Cheap to clone, shared between threads; clones share their batches.
///
/// Dropping the last clone writes what was sent; to learn how that ended, [`flush`](Self::flush),
/// [`close`](Self::close) or keep the deliveries.
///
/// ```
/// use std::time::Duration;
/// use logreel::{Broker, ProducerRecord};
///
/// let broker = Broker::in_memory();
/// let producer = broker.producer().build()?;
/// for i in 0..1000 {
///     producer.send(ProducerRecord::to("ticks").key("k").value(i.to_string())).forget();
/// }
/// producer.flush(Duration::from_secs(10))?;
/// assert_eq!(broker.topic("ticks")?.partition(0)?.high_watermark(), 1000);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone)]
pub struct Producer(Arc<Last>);

/// Goes with the last clone.
struct Last {
    inner: Arc<Inner>,
    /// Goes last: the broker stays open until the batches are written.
    _broker: Handle,
}

impl Drop for Last {
    fn drop(&mut self) {
        // The writes are done here; the syncs by who waits, else by the sender thread.
        self.inner.finish(false);
    }
}

/// A record that [`try_send`](Producer::try_send) did not take, and why.
#[derive(Debug)]
#[non_exhaustive]
pub struct TrySendError<'a> {
    /// The record, as it was given.
    pub record: ProducerRecord<'a>,
    /// `QueueFull`, or `Closed`.
    pub error: Error,
}

impl std::fmt::Display for TrySendError<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for TrySendError<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl ProducerBuilder {
    /// Makes the producer.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` naming the key; `ReadOnly` on a read-only broker; `Closed`.
    pub fn build(self) -> Result<Producer> {
        let config = self.checked()?;
        if let Some(id) = &config.transactional_id {
            let reason = "such a producer is made by ProducerBuilder::build_transactional";
            return Err(Error::invalid_config("transactional.id", id, reason));
        }
        Producer::new(self.broker.handle().clone(), config, None)
    }
}

impl Producer {
    pub(super) fn new(
        broker: Handle,
        config: ProducerConfig,
        session: Option<Arc<Session>>,
    ) -> Result<Self> {
        broker.check_writable("producing")?;
        let inner = Arc::new(Inner::new(broker.shared(), config, session));
        broker.add_duty(&inner);
        Ok(Self(Arc::new(Last { inner, _broker: broker })))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0.inner
    }

    /// Sends a record: encodes it into the open batch of its partition. If that fills the batch,
    /// this thread writes it, unless another one is writing batches of that partition. Every
    /// error, early or late, comes through the delivery.
    ///
    /// Blocks at most for `max.block.ms`: while `buffer.memory` is full, and while the topic does
    /// not exist. An unknown topic is made with the broker's default settings if
    /// `auto.create.topics.enable` allows it.
    ///
    /// Errors: `MESSAGE_TOO_LARGE` for a record over `max.request.size` or `buffer.memory`, or
    /// alone in a batch over the topic's `max.message.bytes`; `UNKNOWN_TOPIC_OR_PARTITION` when the
    /// topic did not appear, or has no partition of the number that the record names;
    /// `REQUEST_TIMED_OUT` when the record was not delivered within `delivery.timeout.ms`;
    /// `QueueFull` when no memory came free; `INVALID_TIMESTAMP`; `INVALID_RECORD` for a record
    /// without a key to a compacted topic; `NOT_ENOUGH_REPLICAS` with `acks=all` where
    /// `min.insync.replicas` is above one; `INVALID_TOPIC_EXCEPTION`; `UserCode` when a partitioner
    /// failed; `Closed`; those of [`Partition::append`](crate::Partition::append). A record that
    /// the topic refuses takes those of its batch with it.
    #[inline(always)]
    pub fn send(&self, record: ProducerRecord<'_>) -> Delivery {
        // Inlined, and taken apart, so that a record is never put together in memory; see `usual`.
        let ProducerRecord { topic, partition, key, value, headers, timestamp } = record;
        let (key_bytes, value_bytes) = (key.as_deref(), value.as_deref());
        let inner = &*self.0.inner;
        let now = inner.timestamp(timestamp);
        let list = headers_of(headers.as_deref());
        match inner.join(&topic, partition, key_bytes, value_bytes, list, now) {
            Some((slot, index)) => inner.joined(slot, index, now),
            None => {
                let record = ProducerRecord {
                    topic: Cow::Borrowed(&topic),
                    partition,
                    key: key_bytes.map(Cow::Borrowed),
                    value: value_bytes.map(Cow::Borrowed),
                    headers,
                    timestamp,
                };
                self.send_any(record, now)
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn send_any(&self, record: ProducerRecord<'_>, now: i64) -> Delivery {
        let interceptors = &self.0.inner.config().interceptors;
        let sent = if interceptors.is_empty() {
            self.0.inner.send(&record, now, true)
        } else {
            self.0.inner.send(&interceptors.on_send(record), now, true)
        };
        self.refused_or(sent)
    }

    /// The same without blocking for memory or a topic: a record that cannot be taken now comes
    /// back.
    ///
    /// # Errors
    ///
    /// With the record: `QueueFull` when `buffer.memory` is full, `Closed`. All others come through
    /// the delivery; a topic that does not exist and may not be made is
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord, TrySendError};
    /// # use std::time::Duration;
    /// let producer = Broker::in_memory().producer().build()?;
    /// match producer.try_send(ProducerRecord::to("t").value("v")) {
    ///     Ok(delivery) => delivery.forget(),
    ///     Err(TrySendError { record, .. }) => {
    ///         producer.flush(Duration::from_secs(1))?;
    ///         producer.send(record).wait()?;
    ///     }
    /// }
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[allow(clippy::result_large_err, reason = "the record is what comes back")]
    pub fn try_send<'a>(&self, record: ProducerRecord<'a>) -> Result<Delivery, TrySendError<'a>> {
        let given_back =
            |error: &Error| matches!(error.kind(), ErrorKind::QueueFull | ErrorKind::Closed);
        let now = self.0.inner.timestamp(None);
        let interceptors = &self.0.inner.config().interceptors;
        let sent = if interceptors.is_empty() {
            self.0.inner.send(&record, now, false)
        } else {
            self.0.inner.send(&interceptors.on_send(record.clone()), now, false)
        };
        match sent {
            Err(error) if given_back(&error) => Err(TrySendError { record, error }),
            sent => Ok(self.refused_or(sent)),
        }
    }

    /// An error that came early is told as one that came late.
    #[inline]
    pub(super) fn refused_or(&self, sent: Result<Delivery>) -> Delivery {
        match sent {
            Ok(delivery) => delivery,
            Err(error) => self.refused(error),
        }
    }

    /// The delivery of a record that was refused before it was taken.
    #[cold]
    pub(crate) fn refused(&self, error: Error) -> Delivery {
        self.0.inner.client.note_failure(&error);
        let refused = Err(error);
        self.0.inner.config().interceptors.on_acknowledgement(&refused);
        Delivery::ready(refused)
    }

    /// Sends many records with one call: those for one partition go out as one batch of their own,
    /// in their order, behind what was sent before, and are written together or not at all. Those
    /// without a key go to one partition, however many they are. Does not linger. Blocks like
    /// [`send`](Self::send).
    ///
    /// A record that is refused by itself (too large, no such topic) fails alone; one that the
    /// topic refuses fails those for its partition. A batch over the topic's `max.message.bytes` is
    /// split, and its parts are written or not each by itself. Records are encoded as they come,
    /// before `buffer.memory` is asked for room: as much as all of it for each partition. Those
    /// without a timestamp get the time at which they came.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let producer = Broker::in_memory().producer().build()?;
    /// let placed = producer
    ///     .send_batch((0..100).map(|i| ProducerRecord::to("t").value(i.to_string())))
    ///     .wait()?;
    /// assert_eq!(placed.get(99).and_then(|record| record.offset()), Some(99));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn send_batch<'a>(
        &self,
        records: impl IntoIterator<Item = ProducerRecord<'a>>,
    ) -> BatchDelivery {
        let inner = &*self.0.inner;
        let interceptors = &inner.config().interceptors;
        let records = records.into_iter();
        let mut gathering = Gathering::new(inner);
        if interceptors.is_empty() {
            records.for_each(|record| gathering.add(record));
        } else {
            records.for_each(|record| gathering.add(interceptors.on_send(record)));
        }
        gathering.send()
    }

    /// Writes all batches, lingering or not, and blocks until everything sent before the call is
    /// delivered or has failed, and its callbacks have run; failures are told by the deliveries.
    /// Records that are sent meanwhile are not waited for. Inside a callback it does not wait for
    /// callbacks.
    ///
    /// # Errors
    ///
    /// `REQUEST_TIMED_OUT` when that takes longer than `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<()> {
        self.0.inner.flush(timeout)
    }

    /// Bytes of `buffer.memory` that are free.
    #[must_use]
    pub fn buffer_available(&self) -> usize {
        self.0.inner.free_memory()
    }

    /// Takes no more records from any clone, and flushes. What is not delivered after `timeout`
    /// fails with `Closed`.
    ///
    /// # Errors
    ///
    /// `REQUEST_TIMED_OUT` when not everything was delivered in time.
    pub fn close(self, timeout: Duration) -> Result<()> {
        self.0.inner.close(timeout)
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producer")
    }
}
