//! What of a record arrives, and what its delivery says.

use crate::homes::*;
use logreel::producer::murmur2;
use logreel::{Acks, Compression, NewTopic, ProducerRecord, TimestampType};

#[test]
fn t081_none_and_empty_are_different_for_keys_and_values() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(10)).unwrap();
        for codec in Compression::ALL {
            let producer = broker.producer().compression(codec).build().unwrap();
            let empty = ProducerRecord::to("t").key("");
            let records = [
                ProducerRecord::to("t").partition(1).value(""),
                ProducerRecord::to("t").partition(1),
                empty.clone().value(""),
                empty,
            ];
            let placed = home.ok(producer.send_batch(records).wait());
            // An empty key is a key: it is hashed. Kafka puts it into 1 of 10.
            assert_eq!(
                placed.get(3).unwrap().partition(),
                (murmur2(b"") & 0x7fff_ffff) % 10,
                "{home}"
            );
            assert_eq!(placed.get(3).unwrap().partition(), 1, "{home}");
            let all = read(&broker, "t", 1);
            let bytes = |of: &Option<bytes::Bytes>| of.as_ref().map(|bytes| bytes.len());
            let parts: Vec<_> =
                all[all.len() - 4..].iter().map(|r| (bytes(&r.key), bytes(&r.value))).collect();
            let wanted = [(None, Some(0)), (None, None), (Some(0), Some(0)), (Some(0), None)];
            assert_eq!(parts, wanted, "{home}: {codec}");
        }
        // No key is not hashed: such records spread.
        let producer = broker.producer().batch_size(0).build().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..60 {
            let placed = home.ok(producer.send(ProducerRecord::to("t").value("")).wait());
            seen.insert(placed.partition());
        }
        assert!(seen.len() > 3, "{home}: {seen:?}");
    }
}

#[test]
fn t082_headers_keep_order_duplicates_and_nulls() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().compression(Compression::Zstd).build().unwrap();
        let record = value("v")
            .header("b", "1")
            .header("a", "2")
            .null_header("b")
            .header("b", "1")
            .header("", "")
            .header("\u{e9}", [0u8, 255]);
        home.ok(producer.send_batch([value("none"), record.clone(), value("none")]).wait());
        home.ok(producer.send(record).wait());
        let records = read(&broker, "t", 0);
        let wanted: [(&str, Option<&[u8]>); 6] = [
            ("b", Some(b"1")),
            ("a", Some(b"2")),
            ("b", None),
            ("b", Some(b"1")),
            ("", Some(b"")),
            ("\u{e9}", Some(&[0, 255])),
        ];
        for record in [&records[1], &records[3]] {
            let headers: Vec<_> = record.headers.iter().map(|h| (h.key(), h.value())).collect();
            assert_eq!(headers, wanted, "{home}");
        }
        assert!(records[0].headers.is_empty() && records[2].headers.is_empty(), "{home}");
    }
}

#[test]
fn t083_metadata_has_partition_offset_and_timestamp_and_no_offset_with_acks_zero() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        for (round, acks) in [Acks::All, Acks::Leader, Acks::None].into_iter().enumerate() {
            let producer = broker.producer().acks(acks).linger(ms(1)).build().unwrap();
            let before = home.now();
            let sent: Vec<_> = (0..6)
                .map(|i| ProducerRecord::to("t").partition(i % 3).value("v"))
                .map(|record| (record.chosen_partition(), producer.send(record)))
                .collect();
            let given = home.now() - 7;
            let stamped = producer.send(value("v").timestamp(given));
            for (i, (partition, sent)) in sent.into_iter().enumerate() {
                let placed = home.ok(sent.wait());
                assert_eq!((placed.topic(), Some(placed.partition())), ("t", partition), "{home}");
                assert_eq!(placed.topic_partition().to_string(), format!("t-{}", i % 3));
                let extra = usize::from(i % 3 == 0) * round;
                let offset = (round * 2 + i / 3 + extra) as i64;
                let known = (acks != Acks::None).then_some(offset);
                assert_eq!(placed.offset(), known, "{home}: {acks:?}");
                assert!((before..=home.now()).contains(&placed.timestamp()), "{home}");
            }
            let placed = home.ok(stamped.wait());
            assert_eq!(placed.timestamp(), given, "{home}: {acks:?}");
            producer.flush(LONG).unwrap();
            let read = read(&broker, "t", 0);
            assert_eq!(read.last().unwrap().timestamp, Some(given), "{home}: {acks:?}");
            assert_eq!(read.len(), (round + 1) * 3, "{home}: {acks:?}");
        }
    }
}

#[test]
fn t084_the_log_stamps_records_with_log_append_time_and_keeps_theirs_with_create_time() {
    for home in homes() {
        let broker = home.open();
        let log = NewTopic::new("log").timestamp_type(TimestampType::LogAppendTime);
        broker.create_topic(log).unwrap();
        broker.create_topic("create").unwrap();
        for (codec, acks) in [(Compression::None, Acks::All), (Compression::Gzip, Acks::Leader)] {
            let settings = broker.producer().compression(codec).acks(acks);
            let producer = settings.linger(LONG).build().unwrap();
            let given = [5, home.now() - 1000, home.now() + 1000];
            let send = |topic: &'static str| {
                given.map(|t| producer.send(ProducerRecord::to(topic).value("v").timestamp(t)))
            };
            let (logged, created) = (send("log"), send("create"));
            let unstamped = producer.send(ProducerRecord::to("log").value("v"));
            home.pass(ms(30));
            // Appended now, not when it was sent.
            let before = home.now();
            producer.flush(LONG).unwrap();
            let during = before..=home.now();
            let stamps: Vec<i64> = logged
                .into_iter()
                .chain([unstamped])
                .map(|sent| home.ok(sent.wait()).timestamp())
                .collect();
            assert!(stamps.iter().all(|stamp| during.contains(stamp)), "{home}: {stamps:?}");
            let records = read(&broker, "log", 0);
            for (record, stamp) in records[records.len() - 4..].iter().zip(stamps) {
                assert_eq!(record.timestamp, Some(stamp), "{home}: the metadata tells the truth");
                assert_eq!(record.timestamp_type, TimestampType::LogAppendTime, "{home}");
            }
            let records = read(&broker, "create", 0);
            for ((record, sent), given) in
                records[records.len() - 3..].iter().zip(created).zip(given)
            {
                assert_eq!(home.ok(sent.wait()).timestamp(), given, "{home}");
                assert_eq!(record.timestamp, Some(given), "{home}");
                assert_eq!(record.timestamp_type, TimestampType::CreateTime, "{home}");
            }
        }
    }
}
