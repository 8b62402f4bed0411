//! A record whose key and value are bytes, wherever they lie.

use crate::consumer::{Record, RecordRef};
use crate::error::{Error, ErrorKind, Result};
use crate::types::TopicPartition;

use super::serde::Deserializer;

/// What [`Typed::read`](crate::Typed::read) takes: a [`RecordRef`], by value or by reference, or a
/// reference to a [`Record`]. What is read from it lives as long as what was polled.
///
/// ```
/// use logreel::typed::Encoded;
/// use logreel::{Broker, OffsetSpec, Record};
/// let log = Broker::in_memory().create_topic("t")?.partition(0)?;
/// log.append([(Some("k"), Some("v"))])?;
/// let records = log.read(0, 1024)?;
/// let owned: Vec<Record> = records.to_vec();
/// let all: Vec<Encoded<'_>> = records.iter().map(Encoded::from).collect();
/// assert_eq!(all[0].value(), Encoded::from(&owned[0]).value());
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Encoded<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl<'a> Encoded<'a> {
    /// The bytes of the key.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The bytes of the value.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// What a deserializer makes of the key or the value, if it is there.
    pub(super) fn decode<D: Deserializer>(
        &self,
        what: &str,
        bytes: Option<&'a [u8]>,
        deserializer: &D,
    ) -> Result<Option<D::Out<'a>>> {
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        deserializer.deserialize(self.topic, bytes).map(Some).map_err(|error| {
            let message = format!("the {what} at offset {} cannot be deserialized", self.offset);
            Error::new(ErrorKind::Serialization, message)
                .on(&TopicPartition::new(self.topic, self.partition))
                .at_offset(self.offset)
                .because(error)
        })
    }
}

impl<'a> From<RecordRef<'a>> for Encoded<'a> {
    fn from(record: RecordRef<'a>) -> Self {
        Self {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            key: record.key(),
            value: record.value(),
        }
    }
}

impl<'a> From<&RecordRef<'a>> for Encoded<'a> {
    fn from(record: &RecordRef<'a>) -> Self {
        (*record).into()
    }
}

impl<'a> From<&'a Record> for Encoded<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
        }
    }
}

impl std::fmt::Debug for Encoded<'_> {
    /// Says lengths, never payload.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("key_len", &self.key.map(<[u8]>::len))
            .field("value_len", &self.value.map(<[u8]>::len))
            .finish()
    }
}
