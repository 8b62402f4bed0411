//! JSON, by `serde`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::serde::{Deserializer, SerdeError, Serializer};

/// Values of one type as JSON (feature `json`). Objects are written on one line.
///
/// JSON's `null` is a value of four bytes, not a tombstone.
///
/// An error tells where the JSON is wrong and not what stands there; its
/// [source](std::error::Error::source) is the one of `serde_json`, which may quote it.
///
/// ```
/// use logreel::typed::{Json, Utf8};
/// use logreel::{Broker, OffsetReset, Typed};
///
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// struct Order {
///     item: String,
///     count: u32,
/// }
///
/// let broker = Broker::in_memory();
/// let orders = broker.producer().build()?.typed("orders", Utf8, Json::<Order>::new());
/// orders.send("o-1", &Order { item: "reel".into(), count: 2 }).wait()?;
///
/// let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
/// consumer.assign([("orders", 0)])?;
/// let record = consumer.iter().next().transpose()?.expect("it was sent");
/// assert_eq!(record.value.as_deref(), Some(&br#"{"item":"reel","count":2}"#[..]));
///
/// let (key, order) = Typed { key: Utf8, value: Json::<Order>::new() }.read(&record)?;
/// assert_eq!(key, Some("o-1"));
/// assert_eq!(order, Some(Order { item: "reel".into(), count: 2 }));
/// # Ok::<(), logreel::Error>(())
/// ```
pub struct Json<T: ?Sized>(PhantomData<fn(&T)>);

impl<T: ?Sized> Json<T> {
    /// JSON of this type.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: ?Sized> Default for Json<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ?Sized> Clone for Json<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Json<T> {}

impl<T: ?Sized> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json<{}>", std::any::type_name::<T>())
    }
}

impl<T: Serialize + ?Sized> Serializer<T> for Json<T> {
    fn serialize<'a>(&self, _topic: &str, value: &'a T) -> Result<Cow<'a, [u8]>, SerdeError> {
        Ok(Cow::Owned(serde_json::to_vec(value).map_err(JsonError)?))
    }
}

impl<T: DeserializeOwned> Deserializer for Json<T> {
    type Out<'a> = T;

    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<T, SerdeError> {
        Ok(serde_json::from_slice(bytes).map_err(JsonError)?)
    }
}

/// Says where, and leaves what stands there to its source.
#[derive(Debug)]
struct JsonError(serde_json::Error);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0.classify() {
            Category::Io | Category::Syntax => "this is not JSON",
            Category::Data => "this JSON is not of the type",
            Category::Eof => "the JSON is cut off",
        };
        match self.0.line() {
            0 => f.write_str("the type is not one that JSON can hold"),
            line => write!(f, "{what}, line {line} column {}", self.0.column()),
        }
    }
}

impl std::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
