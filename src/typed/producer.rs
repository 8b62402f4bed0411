//! A producer for one topic, whose keys and values are types.

use std::sync::Arc;

use super::pair::Typed;
use super::serde::Serializer;
use crate::error::Result;
use crate::producer::{Delivery, Producer, ProducerRecord};

/// Sends keys and values of given types to one topic; made by [`Producer::typed`].
///
/// ```
/// use logreel::typed::{Double, Utf8};
/// use logreel::{Broker, NewTopic};
///
/// let broker = Broker::in_memory();
/// let prices = broker.producer().build()?.typed("prices", Utf8, Double);
/// prices.send("reel", &9.5).wait()?;
/// prices.send("log", &120.0).wait()?;
/// prices.delete("reel").wait()?;
/// assert_eq!(broker.topic("prices")?.partition(0)?.high_watermark(), 3);
/// # Ok::<(), logreel::Error>(())
/// ```
///
/// The serializers say which types they take, and the compiler holds it:
///
/// ```compile_fail,E0277
/// # let producer = logreel::Broker::in_memory().producer().build()?;
/// use logreel::typed::{Double, Utf8};
/// producer.typed("prices", Utf8, Double).send("reel", "cheap").forget();
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TypedProducer<K, V> {
    producer: Producer,
    topic: Arc<str>,
    types: Typed<K, V>,
}

impl Producer {
    /// Sends keys and values of given types to a topic, through this producer: its settings, its
    /// batches, its memory.
    ///
    /// ```
    /// use logreel::Broker;
    /// use logreel::typed::{Raw, Utf8};
    /// let producer = Broker::in_memory().producer().build()?;
    /// let names = producer.typed("names", Raw, Utf8);
    /// names.send(&[0, 7], "ann").wait()?;
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn typed<K, V>(&self, topic: impl Into<Arc<str>>, key: K, value: V) -> TypedProducer<K, V> {
        let types = Typed { key, value };
        TypedProducer { producer: self.clone(), topic: topic.into(), types }
    }
}

impl<K, V> TypedProducer<K, V> {
    /// Sends a record with this key and value, as [`Producer::send`] does; blocks as it does.
    ///
    /// Every error comes through the delivery, also
    /// [`ErrorKind::Serialization`](crate::ErrorKind::Serialization): nothing is sent then.
    pub fn send<A: ?Sized, B: ?Sized>(&self, key: &A, value: &B) -> Delivery
    where
        K: Serializer<A>,
        V: Serializer<B>,
    {
        self.deliver(self.record(Some(key), Some(value)))
    }

    /// The same without a key: it goes to any partition.
    ///
    /// ```
    /// use logreel::Broker;
    /// use logreel::typed::Utf8;
    /// let lines = Broker::in_memory().producer().build()?.typed("lines", Utf8, Utf8);
    /// lines.send_value("hello").wait()?;
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn send_value<B: ?Sized>(&self, value: &B) -> Delivery
    where
        V: Serializer<B>,
    {
        self.deliver(self.types.keyless(&self.topic, value))
    }

    /// Sends a tombstone: the key without a value. In a compacted topic it deletes the key.
    pub fn delete<A: ?Sized>(&self, key: &A) -> Delivery
    where
        K: Serializer<A>,
    {
        self.deliver(self.types.tombstone(&self.topic, key))
    }

    /// A record to which headers, a time or a partition can be added, and that any producer or
    /// transaction sends. As [`Typed::record`], for this topic.
    ///
    /// ```
    /// use logreel::Broker;
    /// use logreel::typed::{Long, Utf8};
    /// let counts = Broker::in_memory().producer().build()?.typed("counts", Utf8, Long);
    /// let record = counts.record(Some("a"), Some(&1))?.header("source", "sensor-4");
    /// let placed = counts.producer().send(record.timestamp(1_700_000_000_000)).wait()?;
    /// assert_eq!(placed.timestamp(), 1_700_000_000_000);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialization`](crate::ErrorKind::Serialization).
    pub fn record<'a, A: ?Sized, B: ?Sized>(
        &'a self,
        key: Option<&'a A>,
        value: Option<&'a B>,
    ) -> Result<ProducerRecord<'a>>
    where
        K: Serializer<A>,
        V: Serializer<B>,
    {
        self.types.record(&*self.topic, key, value)
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The producer it sends through, to flush it for one.
    #[must_use]
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    fn deliver(&self, record: Result<ProducerRecord<'_>>) -> Delivery {
        match record {
            Ok(record) => self.producer.send(record),
            Err(error) => self.producer.refused(error),
        }
    }
}
