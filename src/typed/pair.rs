//! What keys and values of a topic are.

use std::borrow::Cow;

use super::encoded::Encoded;
use super::serde::{Deserializer, Serializer};
use crate::error::{Error, ErrorKind, Result};
use crate::producer::ProducerRecord;

/// What the keys and the values of a topic are: two serializers, two deserializers, or both.
///
/// ```
/// # use std::time::Duration;
/// use logreel::typed::{Long, Utf8};
/// use logreel::{Broker, OffsetReset, Typed};
///
/// let broker = Broker::in_memory();
/// let balances = Typed { key: Utf8, value: Long };
/// let record = balances.record("balances", Some("ann"), Some(&250))?;
/// broker.producer().build()?.send(record.header("by", "atm-3")).wait()?;
///
/// let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
/// consumer.assign([("balances", 0)])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     let (name, balance): (Option<&str>, Option<i64>) = balances.read(record)?;
///     assert_eq!((name, balance), (Some("ann"), Some(250)));
/// }
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Typed<K, V> {
    /// For keys.
    pub key: K,
    /// For values.
    pub value: V,
}

impl<K, V> Typed<K, V> {
    /// Key and value of a record. What is not there is `None`: a record need not have a key, and
    /// one without a value is a tombstone. What borrows, as [`Utf8`](super::Utf8) does, lives as
    /// long as what was polled: nothing is copied.
    ///
    /// It only looks at the record: no position moves, whatever comes out. The records behind it
    /// can be read, and their positions committed, as if it had not been tried.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialization`] with partition, offset and what the deserializer said as the
    /// source.
    #[allow(clippy::type_complexity, reason = "an alias would hide which is which")]
    pub fn read<'a>(
        &self,
        record: impl Into<Encoded<'a>>,
    ) -> Result<(Option<K::Out<'a>>, Option<V::Out<'a>>)>
    where
        K: Deserializer,
        V: Deserializer,
    {
        let record = record.into();
        let key = record.decode("key", record.key(), &self.key)?;
        let value = record.decode("value", record.value(), &self.value)?;
        Ok((key, value))
    }

    /// A record to be sent, with headers if you like, in a transaction or in a batch. `None` is no
    /// key, and no value: a tombstone.
    ///
    /// ```
    /// use logreel::typed::{Integer, Utf8};
    /// use logreel::{Broker, Typed};
    /// let stock = Typed { key: Utf8, value: Integer };
    /// let mut producer = Broker::in_memory().producer().build_transactional("store")?;
    /// let transaction = producer.begin()?;
    /// transaction.send(stock.record("stock", Some("reels"), Some(&7))?).forget();
    /// transaction.send(stock.record("stock", Some("logs"), None::<&i32>)?).forget();
    /// transaction.commit()?;
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialization`] with what the serializer said as the source.
    pub fn record<'a, A: ?Sized, B: ?Sized>(
        &self,
        topic: impl Into<Cow<'a, str>>,
        key: Option<&'a A>,
        value: Option<&'a B>,
    ) -> Result<ProducerRecord<'a>>
    where
        K: Serializer<A>,
        V: Serializer<B>,
    {
        let topic = topic.into();
        let key = key.map(|key| encode(&self.key, &topic, "key", key)).transpose()?;
        let value = value.map(|value| encode(&self.value, &topic, "value", value)).transpose()?;
        Ok(ProducerRecord { key, value, ..ProducerRecord::to(topic) })
    }

    /// A tombstone; that there is no value needs no type of it.
    pub(super) fn tombstone<'a, A: ?Sized>(
        &self,
        topic: &'a str,
        key: &'a A,
    ) -> Result<ProducerRecord<'a>>
    where
        K: Serializer<A>,
    {
        let key = Some(encode(&self.key, topic, "key", key)?);
        Ok(ProducerRecord { key, ..ProducerRecord::to(topic) })
    }

    /// A record without a key, of which there is no type, either.
    pub(super) fn keyless<'a, B: ?Sized>(
        &self,
        topic: &'a str,
        value: &'a B,
    ) -> Result<ProducerRecord<'a>>
    where
        V: Serializer<B>,
    {
        let value = Some(encode(&self.value, topic, "value", value)?);
        Ok(ProducerRecord { value, ..ProducerRecord::to(topic) })
    }
}

/// The bytes of a key or a value.
fn encode<'a, S: Serializer<T>, T: ?Sized>(
    serializer: &S,
    topic: &str,
    what: &str,
    value: &'a T,
) -> Result<Cow<'a, [u8]>> {
    serializer.serialize(topic, value).map_err(|error| {
        let message = format!("the {what} of a record for topic {topic} cannot be serialized");
        Error::new(ErrorKind::Serialization, message).because(error)
    })
}
