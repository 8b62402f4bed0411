//! What is sent comes back: any value, any key, borrowed to the end.

use proptest::prelude::*;

use crate::poll;
use logreel::typed::{
    Deserializer, Double, Float, Integer, Json, Long, Raw, Serializer, Short, Utf8,
};
use logreel::{Broker, Typed};

/// What one serde makes of what it has made itself.
fn again<S, T>(serde: S, value: &T) -> Vec<u8>
where
    S: Serializer<T> + Deserializer,
    T: ?Sized,
{
    serde.serialize("t", value).unwrap().into_owned()
}

proptest! {
    #[test]
    fn numbers(a: i16, b: i32, c: i64, d: u32, e: u64) {
        prop_assert_eq!(Short.deserialize("t", &again(Short, &a)).unwrap(), a);
        prop_assert_eq!(Integer.deserialize("t", &again(Integer, &b)).unwrap(), b);
        prop_assert_eq!(Long.deserialize("t", &again(Long, &c)).unwrap(), c);
        // Every pattern of bits, those that are not numbers among them.
        let (float, double) = (f32::from_bits(d), f64::from_bits(e));
        prop_assert_eq!(Float.deserialize("t", &again(Float, &float)).unwrap().to_bits(), d);
        prop_assert_eq!(Double.deserialize("t", &again(Double, &double)).unwrap().to_bits(), e);
    }

    /// Big-endian numbers that are not negative are in the order of their bytes.
    #[test]
    fn bytes_keep_the_order_of_numbers(a in 0..i64::MAX, b in 0..i64::MAX) {
        prop_assert_eq!(again(Long, &a).cmp(&again(Long, &b)), a.cmp(&b));
    }

    #[test]
    fn bytes_are_text_or_an_error(bytes: Vec<u8>) {
        prop_assert_eq!(Raw.deserialize("t", &bytes).unwrap(), &bytes[..]);
        let text = Utf8.deserialize("t", &bytes).ok();
        prop_assert_eq!(text, std::str::from_utf8(&bytes).ok());
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Through a log, with keys and values that are or are not there.
    #[test]
    fn records(sent: Vec<(Option<String>, Option<Vec<(i64, String)>>)>) {
        let broker = Broker::in_memory();
        let producer = broker.producer().build().unwrap();
        let types = Typed { key: Utf8, value: Json::<Vec<(i64, String)>>::new() };
        broker.create_topic("t").unwrap();
        for (key, value) in &sent {
            producer.send(types.record("t", key.as_ref(), value.as_ref()).unwrap()).forget();
        }
        producer.flush(crate::SECOND).unwrap();
        let records = crate::reader(&broker, "t").read_to_end().unwrap();
        prop_assert_eq!(records.len(), sent.len());
        for (record, (key, value)) in records.iter().zip(&sent) {
            let (read_key, read_value) = types.read(record).unwrap();
            prop_assert_eq!(read_key, key.as_deref());
            prop_assert_eq!(&read_value, value);
        }
    }
}

/// Text that was read lies where the poll put it, and lives as long as that.
#[test]
fn what_borrows_is_where_the_record_is() {
    let broker = Broker::in_memory();
    let producer = broker.producer().build().unwrap();
    let texts = producer.typed("t", Utf8, Utf8);
    for value in ["one", "two", "three"] {
        texts.send("key", value).wait().unwrap();
    }
    let records = poll(&broker, "t");
    let types = Typed { key: Utf8, value: Utf8 };
    // The texts outlive the loop that read them.
    let mut read = Vec::new();
    for record in &records {
        read.push(types.read(record).unwrap());
    }
    for ((key, value), record) in read.iter().zip(&records) {
        assert_eq!(key.unwrap().as_ptr(), record.key().unwrap().as_ptr());
        assert_eq!(value.unwrap().as_ptr(), record.value().unwrap().as_ptr());
    }
    // So does what is read of an owned record, whose bytes are those of the poll.
    let owned = records.to_vec();
    for (record, (_, value)) in owned.iter().zip(&read) {
        let (_, text) = types.read(record).unwrap();
        assert_eq!(text.unwrap().as_ptr(), value.unwrap().as_ptr());
    }
}
