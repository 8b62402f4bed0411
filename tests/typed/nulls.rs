//! What is not there is not serialized, and is not the same as what is empty.

use std::borrow::Cow;
use std::time::Duration;

use crate::{poll, reader};
use logreel::testing::MockClock;
use logreel::typed::{Deserializer, Raw, SerdeError, Serializer, Utf8};
use logreel::{Broker, CleanupPolicy, ErrorCode, NewTopic, Typed};

#[test]
fn none_stays_none_and_empty_stays_empty() {
    let broker = Broker::in_memory();
    let producer = broker.producer().build().unwrap();
    let texts = producer.typed("t", Utf8, Utf8);
    let all = [(None, None), (None, Some("")), (Some(""), None), (Some(""), Some("v"))];
    for (key, value) in all {
        producer.send(texts.record(key, value).unwrap()).wait().unwrap();
    }
    let types = Typed { key: Utf8, value: Utf8 };
    let records = poll(&broker, "t");
    let read: Vec<_> = records.iter().map(|record| types.read(record).unwrap()).collect();
    assert_eq!(read, all);
    // And in the log.
    let bytes: Vec<_> = records.iter().map(|record| (record.key(), record.value())).collect();
    let plain = |text: Option<&'static str>| text.map(str::as_bytes);
    assert_eq!(bytes, all.map(|(key, value)| (plain(key), plain(value))));
}

#[test]
fn each_call_leaves_out_what_it_says() {
    let broker = Broker::in_memory();
    let texts = broker.producer().build().unwrap().typed("t", Utf8, Raw);
    texts.send("k", "v").wait().unwrap();
    texts.send_value("v").wait().unwrap();
    texts.delete("k").wait().unwrap();
    let records = poll(&broker, "t");
    let bytes: Vec<_> = records.iter().map(|record| (record.key(), record.value())).collect();
    let (k, v) = (Some(&b"k"[..]), Some(&b"v"[..]));
    assert_eq!(bytes, [(k, v), (None, v), (k, None)]);
}

/// Refuses everything, so that one call of it fails its test.
struct Never;

impl<T: ?Sized> Serializer<T> for Never {
    fn serialize<'a>(&self, _topic: &str, _value: &'a T) -> Result<Cow<'a, [u8]>, SerdeError> {
        Err("it was called".into())
    }
}

impl Deserializer for Never {
    type Out<'a> = ();

    fn deserialize(&self, _topic: &str, _bytes: &[u8]) -> Result<(), SerdeError> {
        Err("it was called".into())
    }
}

#[test]
fn nothing_is_asked_about_what_is_not_there() {
    let broker = Broker::in_memory();
    let producer = broker.producer().build().unwrap();
    producer.typed("t", Utf8, Never).delete("k").wait().unwrap();
    producer.typed("t", Never, Utf8).send_value("v").wait().unwrap();
    let types = Typed { key: Never, value: Never };
    let nothing = types.record("t", None::<&str>, None::<&str>).unwrap();
    producer.send(nothing).wait().unwrap();
    let records = poll(&broker, "t");
    let [tombstone, keyless, empty] = records.to_vec().try_into().unwrap();
    assert_eq!(Typed { key: Utf8, value: Never }.read(&tombstone).unwrap(), (Some("k"), None));
    assert_eq!(Typed { key: Never, value: Utf8 }.read(&keyless).unwrap(), (None, Some("v")));
    assert_eq!(types.read(&empty).unwrap(), (None, None));
    assert!(types.read(&tombstone).is_err(), "else nothing was tested");
}

/// A compacted topic forgets a key that was deleted, and keeps one that is empty.
#[test]
fn compaction_takes_a_tombstone_for_one_and_not_an_empty_value() {
    let clock = MockClock::at_millis(1_700_000_000_000);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    let topic = NewTopic::new("t").cleanup_policy(CleanupPolicy::Compact);
    let topic = topic.set("segment.bytes", "400").set("delete.retention.ms", "0");
    broker.create_topic(topic).unwrap();
    let texts = broker.producer().build().unwrap().typed("t", Utf8, Utf8);
    for key in ["gone", "empty"] {
        texts.send(key, "first").wait().unwrap();
    }
    texts.delete("gone").wait().unwrap();
    texts.send("empty", "").wait().unwrap();
    let error = texts.send_value("no key").wait().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidRecord));

    // A tombstone goes with the second cleaning of its segment.
    for _ in 0..3 {
        for _ in 0..4 {
            texts.send("filler", &"x".repeat(200)).wait().unwrap();
        }
        clock.advance(Duration::from_secs(60));
    }
    let records = reader(&broker, "t").read_to_end().unwrap();
    let types = Typed { key: Utf8, value: Utf8 };
    let read: Vec<_> = records.iter().map(|record| types.read(record).unwrap()).collect();
    assert!(read.contains(&(Some("empty"), Some(""))), "{read:?}");
    assert!(!read.iter().any(|(key, _)| *key == Some("gone")), "{read:?}");
}
