//! Bytes and text: nothing is copied on the way to a batch or out of one.

use std::borrow::Cow;

use super::serde::{Deserializer, SerdeError, Serializer};

/// The bytes themselves (Kafka: `ByteArraySerializer`, `BytesSerializer`).
///
/// ```
/// use logreel::typed::{Deserializer, Raw, Serializer};
/// assert_eq!(Raw.serialize("t", &[1, 2, 3])?[..], [1, 2, 3]);
/// assert_eq!(Raw.deserialize("t", &[1, 2, 3])?, [1, 2, 3]);
/// # Ok::<(), logreel::typed::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw;

impl<T: AsRef<[u8]> + ?Sized> Serializer<T> for Raw {
    fn serialize<'a>(&self, _topic: &str, value: &'a T) -> Result<Cow<'a, [u8]>, SerdeError> {
        Ok(Cow::Borrowed(value.as_ref()))
    }
}

impl Deserializer for Raw {
    type Out<'a> = &'a [u8];

    fn deserialize<'a>(&self, _topic: &str, bytes: &'a [u8]) -> Result<&'a [u8], SerdeError> {
        Ok(bytes)
    }
}

/// Text in UTF-8 (Kafka: `StringSerializer`). Where Kafka's deserializer puts U+FFFD for what is
/// not UTF-8, this one fails; [`Raw`] and [`String::from_utf8_lossy`] do what Kafka's does.
///
/// ```
/// use logreel::typed::{Deserializer, Serializer, Utf8};
/// assert_eq!(Utf8.serialize("t", "reel")?[..], *b"reel");
/// assert_eq!(Utf8.deserialize("t", b"reel")?, "reel");
/// assert!(Utf8.deserialize("t", &[0xff]).is_err());
/// # Ok::<(), logreel::typed::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8;

impl<T: AsRef<str> + ?Sized> Serializer<T> for Utf8 {
    fn serialize<'a>(&self, _topic: &str, value: &'a T) -> Result<Cow<'a, [u8]>, SerdeError> {
        Ok(Cow::Borrowed(value.as_ref().as_bytes()))
    }
}

impl Deserializer for Utf8 {
    type Out<'a> = &'a str;

    fn deserialize<'a>(&self, _topic: &str, bytes: &'a [u8]) -> Result<&'a str, SerdeError> {
        Ok(std::str::from_utf8(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_text_are_borrowed_both_ways() {
        let text = String::from("na\u{ef}ve");
        let Ok(Cow::Borrowed(sent)) = Utf8.serialize("t", &text) else { panic!("copied") };
        assert_eq!(sent.as_ptr(), text.as_ptr());
        assert_eq!(Utf8.deserialize("t", sent).unwrap().as_ptr(), text.as_ptr());
        let Ok(Cow::Borrowed(sent)) = Raw.serialize("t", &text) else { panic!("copied") };
        assert_eq!(Raw.deserialize("t", sent).unwrap().as_ptr(), text.as_ptr());
    }

    #[test]
    fn what_is_not_text_is_said_without_quoting_it() {
        let error = Utf8.deserialize("t", b"secret\xff").unwrap_err();
        assert_eq!(error.to_string(), "invalid utf-8 sequence of 1 bytes from index 6");
    }
}
