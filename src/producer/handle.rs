//! The handle to a producer.

use std::sync::Arc;
use std::time::Duration;

use super::config::{ProducerBuilder, ProducerConfig};
use super::delivery::Delivery;
use super::inner::Inner;
use super::record::ProducerRecord;
use crate::broker::Handle;
use crate::error::{Error, Result};

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

impl ProducerBuilder {
    /// Makes the producer.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` naming the key; `ReadOnly` on a read-only broker; `Closed`.
    pub fn build(self) -> Result<Producer> {
        let mut config = self.config;
        for (key, value) in &self.keys {
            config.set(key, value)?;
        }
        if !config.compression.is_available() {
            let reason = "this build has no such codec; enable the crate's feature";
            let name = config.compression.name();
            return Err(Error::invalid_config("compression.type", name, reason));
        }
        Producer::new(self.broker.handle().clone(), config)
    }
}

impl Producer {
    fn new(broker: Handle, config: ProducerConfig) -> Result<Self> {
        broker.check_writable("producing")?;
        let inner = Arc::new(Inner::new(broker.shared(), config));
        broker.add_duty(&inner);
        Ok(Self(Arc::new(Last { inner, _broker: broker })))
    }

    /// Sends a record: encodes it into the open batch of its partition. If that fills the batch,
    /// this thread writes it. Every error, early or late, comes through the delivery.
    ///
    /// An unknown topic is made with the broker's default settings if `auto.create.topics.enable`
    /// allows it. Errors: `UNKNOWN_TOPIC_OR_PARTITION`; `MESSAGE_TOO_LARGE` for a record over
    /// `max.request.size` or a batch over the topic's `max.message.bytes`; `INVALID_TIMESTAMP`;
    /// `INVALID_RECORD` for a record without a key to a compacted topic;
    /// `NOT_ENOUGH_REPLICAS` with `acks=all` where `min.insync.replicas` is above one; `Closed`;
    /// those of [`Partition::append`](crate::Partition::append).
    pub fn send(&self, record: ProducerRecord<'_>) -> Delivery {
        self.0.inner.send(&record)
    }

    /// Writes all batches, lingering or not, and blocks until everything sent before the call is
    /// delivered or has failed; failures are told by the deliveries.
    ///
    /// # Errors
    ///
    /// `REQUEST_TIMED_OUT` when that takes longer than `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<()> {
        self.0.inner.flush(timeout)
    }

    /// Takes no more records from any clone, and flushes.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub fn close(self, timeout: Duration) -> Result<()> {
        self.0.inner.finish(true);
        self.0.inner.flush(timeout)
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producer")
    }
}
