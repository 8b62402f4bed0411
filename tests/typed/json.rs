//! JSON: what is written, and what an error says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::poll;
use logreel::typed::{Deserializer, Json, Raw, Serializer, Utf8};
use logreel::{Broker, Typed};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

#[test]
fn the_bytes_are_those_of_serde_json() {
    let order = Order { item: "a \"reel\"".into(), count: 2 };
    let json = Json::new();
    assert_eq!(&json.serialize("t", &order).unwrap()[..], br#"{"item":"a \"reel\"","count":2}"#);
    let spaced = b" { \"count\" : 2 , \"item\" : \"a \\\"reel\\\"\" } ";
    assert_eq!(Json::<Order>::new().deserialize("t", spaced).unwrap(), order);
    // A type that is only ever borrowed can be written.
    assert_eq!(&Json::<str>::new().serialize("t", "x").unwrap()[..], br#""x""#);
}

#[test]
fn null_is_a_value_and_no_tombstone() {
    let broker = Broker::in_memory();
    let maybe = broker.producer().build().unwrap().typed("t", Utf8, Json::<Option<i32>>::new());
    maybe.send("k", &None).wait().unwrap();
    maybe.delete("k").wait().unwrap();
    let records = poll(&broker, "t");
    let values: Vec<_> = records.iter().map(|record| record.value()).collect();
    assert_eq!(values, [Some(&b"null"[..]), None]);
    let types = Typed { key: Raw, value: Json::<Option<i32>>::new() };
    let read: Vec<_> = records.iter().map(|record| types.read(record).unwrap().1).collect();
    assert_eq!(read, [Some(None), None]);
}

/// An error's message is logged; what stands in the record is not for logs.
#[test]
fn an_error_says_where_and_quotes_nothing() {
    let json = Json::<Order>::new();
    for (bytes, message) in [
        (&b"{\n  \"item\": secret"[..], "this is not JSON, line 2 column 11"),
        (b"{\"item\":\"secret\"", "the JSON is cut off, line 1 column 16"),
        (b"", "the JSON is cut off, line 1 column 0"),
        (b"{\"item\":1,\"count\":\"secret\"}", "this JSON is not of the type, line 1 column 9"),
        (b"{\"item\":\"\",\"count\":-5}", "this JSON is not of the type, line 1 column 21"),
    ] {
        let error = json.deserialize("t", bytes).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(!format!("{error}").contains("secret"));
        assert!(error.source().unwrap().is::<serde_json::Error>(), "which says more");
    }
}

#[test]
fn what_json_cannot_hold_is_refused() {
    let map = BTreeMap::from([(vec![1, 2], 3)]);
    let error = Json::new().serialize("t", &map).unwrap_err();
    assert_eq!(error.to_string(), "the type is not one that JSON can hold");
}
