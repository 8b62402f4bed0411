//! Code of the user's that sees every record before it is sent and every result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::metadata::RecordMetadata;
use super::record::ProducerRecord;
use crate::error::Result;
use crate::wait::contain;

/// Sees every record before it is sent, and every result: for tracing headers, metrics, audits.
/// Kafka's `ProducerInterceptor` (KIP-42). One that panics is passed over; what it was doing with a
/// record is forgotten, and the record goes on.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::sync::Arc;
/// use logreel::producer::ProducerInterceptor;
/// use logreel::{Broker, ProducerRecord, RecordMetadata, Result};
///
/// #[derive(Default)]
/// struct Tracing {
///     delivered: AtomicU32,
/// }
///
/// impl ProducerInterceptor for Tracing {
///     fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
///         record.header("traceparent", "00-4bf9-00f0-01")
///     }
///     fn on_acknowledgement(&self, result: &Result<RecordMetadata>) {
///         if result.is_ok() {
///             self.delivered.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let tracing = Arc::new(Tracing::default());
/// let producer = Broker::in_memory().producer().interceptor(Arc::clone(&tracing)).build()?;
/// producer.send(ProducerRecord::to("orders").value("o-1")).wait()?;
/// producer.flush(std::time::Duration::from_secs(1))?;
/// assert_eq!(tracing.delivered.load(Ordering::Relaxed), 1);
/// # Ok::<(), logreel::Error>(())
/// ```
pub trait ProducerInterceptor: Send + Sync {
    /// Sees a record on the thread that sends it, before a partition is chosen, and may send
    /// another in its place. With several interceptors each gets what the one before it gave.
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        record
    }

    /// Sees a result just before the callbacks of the record do, on their thread; a record that is
    /// refused at once, on the thread that sends it.
    fn on_acknowledgement(&self, result: &Result<RecordMetadata>) {
        let _ = result;
    }
}

impl<I: ProducerInterceptor + ?Sized> ProducerInterceptor for Arc<I> {
    fn on_send<'a>(&self, record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        (**self).on_send(record)
    }

    fn on_acknowledgement(&self, result: &Result<RecordMetadata>) {
        (**self).on_acknowledgement(result);
    }
}

/// The interceptors of a producer, in order.
#[derive(Clone, Default)]
pub(super) struct Interceptors(Vec<Arc<dyn ProducerInterceptor>>);

impl Interceptors {
    pub(super) fn add(&mut self, interceptor: impl ProducerInterceptor + 'static) {
        self.0.push(Arc::new(interceptor));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The record that is sent in place of this one.
    pub(super) fn on_send<'a>(&self, mut record: ProducerRecord<'a>) -> ProducerRecord<'a> {
        for interceptor in &self.0 {
            let given = record.clone();
            if let Ok(sent) = catch_unwind(AssertUnwindSafe(|| interceptor.on_send(given))) {
                record = sent;
            }
        }
        record
    }

    pub(super) fn on_acknowledgement(&self, result: &Result<RecordMetadata>) {
        for interceptor in &self.0 {
            contain(|| interceptor.on_acknowledgement(result));
        }
    }
}

impl std::fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} interceptors", self.0.len())
    }
}
