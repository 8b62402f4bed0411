//! What is sent.

use std::borrow::Cow;

use bytes::Bytes;

use crate::record::Header;

/// Bytes for a key or a value, borrowed where they can be: text, slices, arrays, vectors, and
/// references to [`Bytes`].
///
/// ```
/// use logreel::ProducerRecord;
/// ProducerRecord::to("t").key("text").value(b"bytes");
/// ProducerRecord::to("t").key(String::from("owned")).value(vec![1, 2, 3]);
/// ```
pub trait Payload<'a> {
    /// The bytes.
    fn into_payload(self) -> Cow<'a, [u8]>;
}

macro_rules! borrowed_payload {
    ($($kind:ty),+) => {
        $(impl<'a> Payload<'a> for &'a $kind {
            #[inline]
            fn into_payload(self) -> Cow<'a, [u8]> {
                Cow::Borrowed(self.as_ref())
            }
        })+
    };
}

borrowed_payload!(str, [u8], String, Vec<u8>, Bytes);

impl<'a> Payload<'a> for Bytes {
    fn into_payload(self) -> Cow<'a, [u8]> {
        Cow::Owned(self.into())
    }
}

impl<'a, const N: usize> Payload<'a> for &'a [u8; N] {
    #[inline]
    fn into_payload(self) -> Cow<'a, [u8]> {
        Cow::Borrowed(self)
    }
}

impl<'a, const N: usize> Payload<'a> for [u8; N] {
    fn into_payload(self) -> Cow<'a, [u8]> {
        Cow::Owned(self.to_vec())
    }
}

impl<'a> Payload<'a> for String {
    fn into_payload(self) -> Cow<'a, [u8]> {
        Cow::Owned(self.into_bytes())
    }
}

impl<'a> Payload<'a> for Vec<u8> {
    fn into_payload(self) -> Cow<'a, [u8]> {
        Cow::Owned(self)
    }
}

impl<'a> Payload<'a> for Cow<'a, [u8]> {
    fn into_payload(self) -> Cow<'a, [u8]> {
        self
    }
}

/// A record to be sent. Key and value are optional; a record without a value is a tombstone in a
/// compacted topic. Nothing is copied until it is sent.
///
/// ```
/// use logreel::ProducerRecord;
/// let record = ProducerRecord::to("orders")
///     .key("customer-7")
///     .value(vec![1, 2, 3])
///     .header("trace", "7f")
///     .timestamp(1_700_000_000_000);
/// assert_eq!(record.topic(), "orders");
/// ```
#[derive(Clone)]
#[must_use = "a record does nothing until it is sent"]
pub struct ProducerRecord<'a> {
    pub(crate) topic: Cow<'a, str>,
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Cow<'a, [u8]>>,
    pub(crate) value: Option<Cow<'a, [u8]>>,
    #[expect(clippy::box_collection, reason = "one without any is let go in a register")]
    pub(crate) headers: Option<Box<Vec<Header>>>,
    pub(crate) timestamp: Option<i64>,
}

impl<'a> ProducerRecord<'a> {
    /// A record for this topic, with neither key nor value yet.
    #[inline]
    pub fn to(topic: impl Into<Cow<'a, str>>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: None,
            timestamp: None,
        }
    }

    /// Sets the key. Records with the same key go to the same partition.
    #[inline]
    pub fn key(mut self, key: impl Payload<'a>) -> Self {
        self.key = Some(key.into_payload());
        self
    }

    /// Sets the value.
    #[inline]
    pub fn value(mut self, value: impl Payload<'a>) -> Self {
        self.value = Some(value.into_payload());
        self
    }

    /// Adds a header. Keys may repeat; order is kept.
    pub fn header(mut self, key: impl Into<String>, value: impl Payload<'a>) -> Self {
        let value = Bytes::from(value.into_payload().into_owned());
        self.headers_mut().push(Header::new(key, value));
        self
    }

    fn headers_mut(&mut self) -> &mut Vec<Header> {
        self.headers.get_or_insert_default()
    }

    /// Adds a header with no value.
    ///
    /// ```
    /// use logreel::ProducerRecord;
    /// let record = ProducerRecord::to("t").header("trace", "7").null_header("seen");
    /// assert_eq!(record.headers()[1].value(), None);
    /// ```
    pub fn null_header(mut self, key: impl Into<String>) -> Self {
        self.headers_mut().push(Header::null(key));
        self
    }

    /// Sends to this partition, whatever the key says.
    #[inline]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Stamps the record, in milliseconds since 1970. Default: the broker's clock when it is sent.
    #[inline]
    pub fn timestamp(mut self, millis: i64) -> Self {
        self.timestamp = Some(millis);
        self
    }

    /// The topic it is for.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The key it has.
    #[must_use]
    pub fn key_bytes(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The value it has.
    #[must_use]
    pub fn value_bytes(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// The headers it has, in their order.
    #[must_use]
    #[inline]
    pub fn headers(&self) -> &[Header] {
        headers_of(self.headers.as_deref())
    }

    /// The partition it was given.
    #[must_use]
    pub fn chosen_partition(&self) -> Option<i32> {
        self.partition
    }

    /// The timestamp it was given, in milliseconds since 1970.
    #[must_use]
    pub fn given_timestamp(&self) -> Option<i64> {
        self.timestamp
    }
}

#[inline]
pub(super) fn headers_of(headers: Option<&Vec<Header>>) -> &[Header] {
    headers.map_or(&[], |headers| headers)
}

impl std::fmt::Debug for ProducerRecord<'_> {
    /// Says lengths, never payload.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("key_len", &self.key.as_ref().map(|key| key.len()))
            .field("value_len", &self.value.as_ref().map(|value| value.len()))
            .field("headers", &self.headers().len())
            .field("timestamp", &self.timestamp)
            .finish()
    }
}
