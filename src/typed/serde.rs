//! What turns values into bytes and back.

use std::borrow::Cow;

/// What a serializer or deserializer fails with: an error of any type, which becomes the source of
/// an [`Error`](crate::Error). Its message is printed with that error, so it should not quote the
/// payload.
pub type SerdeError = Box<dyn std::error::Error + Send + Sync>;

/// Turns values of type `T` into the bytes of a key or of a value.
///
/// It runs on the thread that sends, with no lock held.
///
/// ```
/// use std::borrow::Cow;
/// use logreel::typed::{SerdeError, Serializer, Utf8};
/// use logreel::Broker;
///
/// struct Celsius(f64);
///
/// /// A number with its unit.
/// struct WithUnit;
///
/// impl Serializer<Celsius> for WithUnit {
///     fn serialize<'a>(
///         &self,
///         _topic: &str,
///         value: &'a Celsius,
///     ) -> Result<Cow<'a, [u8]>, SerdeError> {
///         if value.0 < -273.15 {
///             return Err("colder than anything".into());
///         }
///         Ok(format!("{} C", value.0).into_bytes().into())
///     }
/// }
///
/// let weather = Broker::in_memory().producer().build()?.typed("weather", Utf8, WithUnit);
/// weather.send("Oslo", &Celsius(-4.5)).wait()?;
/// let error = weather.send("Oslo", &Celsius(-300.0)).wait().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the value of a record for topic weather cannot be serialized: colder than anything"
/// );
/// # Ok::<(), logreel::Error>(())
/// ```
pub trait Serializer<T: ?Sized> {
    /// The bytes of `value`, borrowed from it where they are there already. They are copied once,
    /// into the batch.
    ///
    /// # Errors
    ///
    /// The value has no bytes. Nothing is sent then.
    fn serialize<'a>(&self, topic: &str, value: &'a T) -> Result<Cow<'a, [u8]>, SerdeError>;
}

/// Turns the bytes of a key or of a value back into what they stand for.
///
/// ```
/// use logreel::typed::{Deserializer, SerdeError};
///
/// /// Words in lower case, in place.
/// struct Words;
///
/// impl Deserializer for Words {
///     type Out<'a> = Vec<&'a str>;
///
///     fn deserialize<'a>(
///         &self,
///         _topic: &str,
///         bytes: &'a [u8],
///     ) -> Result<Vec<&'a str>, SerdeError> {
///         Ok(std::str::from_utf8(bytes)?.split_whitespace().collect())
///     }
/// }
///
/// assert_eq!(Words.deserialize("t", b"log and reel")?, ["log", "and", "reel"]);
/// # Ok::<(), SerdeError>(())
/// ```
pub trait Deserializer {
    /// What comes out. It may borrow from the record, and live as long as what was polled.
    type Out<'a>;

    /// What `bytes` stand for. They may be empty; a key or a value that is not there is never
    /// deserialized.
    ///
    /// # Errors
    ///
    /// The bytes are not what such a record has.
    fn deserialize<'a>(&self, topic: &str, bytes: &'a [u8]) -> Result<Self::Out<'a>, SerdeError>;
}
