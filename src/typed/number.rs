//! Kafka's numbers: big-endian, of a fixed length.

use std::borrow::Cow;

use super::serde::{Deserializer, SerdeError, Serializer};

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident of $kind:ty;)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
            pub struct $name;

            impl Serializer<$kind> for $name {
                fn serialize<'a>(
                    &self,
                    _topic: &str,
                    value: &'a $kind,
                ) -> Result<Cow<'a, [u8]>, SerdeError> {
                    Ok(Cow::Owned(value.to_be_bytes().to_vec()))
                }
            }

            impl Deserializer for $name {
                type Out<'a> = $kind;

                fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<$kind, SerdeError> {
                    fixed(stringify!($name), bytes).map(<$kind>::from_be_bytes)
                }
            }
        )+
    };
}

numbers! {
    /// An `i16` in two bytes (Kafka: `ShortSerializer`).
    ///
    /// ```
    /// use logreel::typed::{Deserializer, Serializer, Short};
    /// assert_eq!(Short.serialize("t", &-2)?[..], [0xff, 0xfe]);
    /// assert_eq!(Short.deserialize("t", &[0xff, 0xfe])?, -2);
    /// # Ok::<(), logreel::typed::SerdeError>(())
    /// ```
    Short of i16;

    /// An `i32` in four bytes (Kafka: `IntegerSerializer`).
    ///
    /// ```
    /// use logreel::typed::{Deserializer, Integer, Serializer};
    /// assert_eq!(Integer.serialize("t", &1)?[..], [0, 0, 0, 1]);
    /// assert_eq!(Integer.deserialize("t", &[0, 0, 0, 1])?, 1);
    /// let error = Integer.deserialize("t", &[0, 1]).unwrap_err();
    /// assert_eq!(error.to_string(), "Integer takes 4 bytes, there are 2");
    /// # Ok::<(), logreel::typed::SerdeError>(())
    /// ```
    Integer of i32;

    /// An `i64` in eight bytes (Kafka: `LongSerializer`).
    ///
    /// ```
    /// use logreel::typed::{Deserializer, Long, Serializer};
    /// assert_eq!(Long.serialize("t", &1)?[..], [0, 0, 0, 0, 0, 0, 0, 1]);
    /// assert_eq!(Long.deserialize("t", &[0xff; 8])?, -1);
    /// # Ok::<(), logreel::typed::SerdeError>(())
    /// ```
    Long of i64;

    /// An `f32` in four bytes (Kafka: `FloatSerializer`).
    ///
    /// ```
    /// use logreel::typed::{Deserializer, Float, Serializer};
    /// assert_eq!(Float.serialize("t", &1.0)?[..], [0x3f, 0x80, 0, 0]);
    /// assert_eq!(Float.deserialize("t", &[0x3f, 0x80, 0, 0])?, 1.0);
    /// # Ok::<(), logreel::typed::SerdeError>(())
    /// ```
    Float of f32;

    /// An `f64` in eight bytes (Kafka: `DoubleSerializer`).
    ///
    /// ```
    /// use logreel::typed::{Deserializer, Double, Serializer};
    /// assert_eq!(Double.serialize("t", &1.0)?[..], [0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
    /// assert_eq!(Double.deserialize("t", &[0x3f, 0xf0, 0, 0, 0, 0, 0, 0])?, 1.0);
    /// # Ok::<(), logreel::typed::SerdeError>(())
    /// ```
    Double of f64;
}

/// The bytes, if there are as many as there must be.
fn fixed<const N: usize>(name: &str, bytes: &[u8]) -> Result<[u8; N], SerdeError> {
    let wrong = |_| format!("{name} takes {N} bytes, there are {}", bytes.len());
    Ok(bytes.try_into().map_err(wrong)?)
}
