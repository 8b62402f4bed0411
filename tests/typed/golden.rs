//! The bytes of Kafka's own serializers.

use std::fmt::Debug;

use logreel::typed::{Deserializer, Double, Float, Integer, Long, Raw, Serializer, Short, Utf8};

/// These bytes are written for the value, and read as the value.
fn both_ways<'a, S, T>(serde: S, value: &T, bytes: &'a [u8])
where
    S: Serializer<T> + Deserializer<Out<'a>: PartialEq<T> + Debug>,
    T: Debug,
{
    assert_eq!(&serde.serialize("t", value).unwrap()[..], bytes, "{value:?}");
    assert_eq!(serde.deserialize("t", bytes).unwrap(), *value);
}

#[test]
fn numbers_are_big_endian() {
    both_ways(Short, &1, &[0, 1]);
    both_ways(Short, &i16::MIN, &[0x80, 0]);
    both_ways(Integer, &1, &[0, 0, 0, 1]);
    both_ways(Integer, &-2, &[0xff, 0xff, 0xff, 0xfe]);
    both_ways(Integer, &i32::MAX, &[0x7f, 0xff, 0xff, 0xff]);
    both_ways(Long, &1, &[0, 0, 0, 0, 0, 0, 0, 1]);
    both_ways(Long, &1_700_000_000_000, &[0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0]);
    both_ways(Long, &i64::MIN, &[0x80, 0, 0, 0, 0, 0, 0, 0]);
    both_ways(Float, &1.0, &[0x3f, 0x80, 0, 0]);
    both_ways(Float, &-0.5, &[0xbf, 0, 0, 0]);
    both_ways(Double, &1.0, &[0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
    both_ways(Double, &f64::INFINITY, &[0x7f, 0xf0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn text_is_utf_8_and_bytes_are_bytes() {
    let text = "r\u{e9}el \u{1f3a3}";
    let bytes = b"r\xc3\xa9el \xf0\x9f\x8e\xa3";
    assert_eq!(&Utf8.serialize("t", text).unwrap()[..], bytes);
    assert_eq!(&Utf8.serialize("t", &String::from(text)).unwrap()[..], bytes);
    assert_eq!(Utf8.deserialize("t", bytes).unwrap(), text);
    assert_eq!(&Raw.serialize("t", bytes).unwrap()[..], bytes);
    assert_eq!(&Raw.serialize("t", &bytes::Bytes::from_static(bytes)).unwrap()[..], bytes);
    assert_eq!(Raw.deserialize("t", bytes).unwrap(), bytes);
}

/// Kafka: "Size of data received by IntegerDeserializer is not 4".
#[test]
fn a_number_has_one_length() {
    for len in 0..12 {
        let bytes = vec![1; len];
        assert_eq!(Short.deserialize("t", &bytes).is_ok(), len == 2);
        assert_eq!(Integer.deserialize("t", &bytes).is_ok(), len == 4);
        assert_eq!(Float.deserialize("t", &bytes).is_ok(), len == 4);
        assert_eq!(Long.deserialize("t", &bytes).is_ok(), len == 8);
        assert_eq!(Double.deserialize("t", &bytes).is_ok(), len == 8);
    }
}
