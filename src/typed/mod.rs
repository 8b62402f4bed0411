//! Keys and values as types: serializers and deserializers on top of the clients.
//!
//! A [`TypedProducer`] sends to one topic what its serializers make of keys and values. A [`Typed`]
//! is a pair of them, for the key and for the value, and reads the records of a poll; it also makes
//! records for a transaction or a batch.
//!
//! | name | type | bytes, as Kafka's serializer of |
//! |---|---|---|
//! | [`Raw`] | `[u8]` | `ByteArray`, `Bytes` |
//! | [`Utf8`] | `str` | `String` |
//! | [`Short`], [`Integer`], [`Long`] | `i16`, `i32`, `i64` | the same name: big-endian |
//! | [`Float`], [`Double`] | `f32`, `f64` | the same name: IEEE 754, big-endian |
//! | `Json<T>` (feature `json`) | what `serde` can write and read | JSON without white space |
//!
//! Your own types implement [`Serializer`] and [`Deserializer`].
//!
//! # What is not there
//!
//! As in Kafka, no key and no value are neither serialized nor deserialized: `None` stays `None`,
//! and it is not the same as an empty key or value. A record without a value is a *tombstone*,
//! which deletes its key from a compacted topic; it has a call of its own,
//! [`TypedProducer::delete`].
//!
//! # What cannot be read
//!
//! In Kafka's client a record that cannot be deserialized fails the poll, again and again. Here a
//! poll hands out bytes; [`Typed::read`] fails for that record alone, and moves no position. The
//! error is an [`ErrorKind::Serialization`](crate::ErrorKind::Serialization) that has the
//! partition, the offset and what the deserializer said; what to do is for you to say: go on, put
//! the record aside, or stop.
//!
//! ```
//! # use std::time::Duration;
//! use logreel::typed::{Integer, Utf8};
//! use logreel::{Broker, OffsetReset, ProducerRecord, Typed};
//!
//! let broker = Broker::in_memory();
//! let producer = broker.producer().build()?;
//! producer.send(ProducerRecord::to("ages").key("ann").value([0, 0, 0, 41])).wait()?;
//! producer.send(ProducerRecord::to("ages").key("bob").value("old")).wait()?;
//! producer.send(ProducerRecord::to("ages").key("eve").value([0, 0, 0, 43])).wait()?;
//!
//! let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
//! consumer.assign([("ages", 0)])?;
//! let ages = Typed { key: Utf8, value: Integer };
//! let mut known = Vec::new();
//! let records = consumer.poll(Duration::from_secs(1))?;
//! for record in &records {
//!     match ages.read(record) {
//!         Ok((name, age)) => known.push((name, age)),
//!         Err(error) => {
//!             assert_eq!(error.topic_partition(), Some(&("ages", 0).into()));
//!             assert_eq!(error.offset(), Some(1));
//!             let dead = ProducerRecord::to("dead").header("why", error.to_string());
//!             producer.send(dead.value(record.value().unwrap_or_default())).wait()?;
//!         }
//!     }
//! }
//! assert_eq!(known, [(Some("ann"), Some(41)), (Some("eve"), Some(43))]);
//! # Ok::<(), logreel::Error>(())
//! ```

mod serde;

mod plain;

mod number;

#[cfg(feature = "json")]
mod json;

mod encoded;

mod pair;

mod producer;

pub use encoded::Encoded;
#[cfg(feature = "json")]
pub use json::Json;
pub use number::{Double, Float, Integer, Long, Short};
pub use pair::Typed;
pub use plain::{Raw, Utf8};
pub use producer::TypedProducer;
pub use serde::{Deserializer, SerdeError, Serializer};
