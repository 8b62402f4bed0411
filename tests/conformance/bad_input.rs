//! Input that a producer refuses: with which error, and that the next record goes through.

use std::time::Duration;

use crate::homes::*;
use logreel::{
    Acks, CleanupPolicy, Compression, ErrorCode, ErrorKind, NewTopic, ProducerRecord, TimestampType,
};

const HOUR: i64 = 3_600_000;

#[test]
fn invalid_topic_names_are_refused_at_once_and_make_nothing() {
    for home in homes() {
        for creates in [true, false] {
            let broker = home.builder().auto_create_topics(creates).open().unwrap();
            let producer = broker.producer().build().unwrap();
            let long = "x".repeat(250);
            for name in ["", ".", "..", "../x", "a/b", "a b", "\u{e9}", "a\0", &long] {
                let (sent, took) =
                    home.timed(|| producer.send(ProducerRecord::to(name).value("v")).wait());
                let error = home.err(sent);
                assert_eq!(error.code(), Some(ErrorCode::InvalidTopic), "{home}: {name}: {error}");
                assert!(took < LONG / 4, "{home}: {name}: such a topic can never appear");
            }
            let internal = producer.send(ProducerRecord::to("__consumer_offsets").value("v"));
            home.fails(internal.wait(), ErrorCode::InvalidTopic);
            assert!(broker.topics().unwrap().is_empty(), "{home}");
            broker.close().unwrap();
        }
    }
}

#[test]
fn timestamps_outside_what_the_topic_accepts_are_refused() {
    for home in homes() {
        let broker = home.open();
        let limited = NewTopic::new("t")
            .set("message.timestamp.before.max.ms", "1000")
            .set("message.timestamp.after.max.ms", "60000");
        broker.create_topic(limited).unwrap();
        let producer = broker.producer().batch_size(0).build().unwrap();
        let send = |record: ProducerRecord<'static>| producer.send(record).wait();
        let now = home.now();
        for wrong in [-1, i64::MIN, 0, now - 20_000, now + 120_000, i64::MAX] {
            home.fails(send(value("v").timestamp(wrong)), ErrorCode::InvalidTimestamp);
        }
        home.ok(send(value("v").timestamp(home.now())));
        home.ok(send(value("v").timestamp(home.now() + 50_000)));
        if home.is_mock() {
            for (edge, beyond) in [(now - 1000, now - 1001), (now + 60_000, now + 60_001)] {
                home.ok(send(value("v").timestamp(edge)));
                home.fails(send(value("v").timestamp(beyond)), ErrorCode::InvalidTimestamp);
            }
        }
        // By default: any past, and an hour of future.
        let send = |millis: i64| {
            producer.send(ProducerRecord::to("default").value("v").timestamp(millis)).wait()
        };
        home.ok(send(0));
        home.ok(send(home.now() + HOUR - 60_000));
        home.fails(send(home.now() + HOUR + 60_000), ErrorCode::InvalidTimestamp);
        // The log stamps: what the record says is not looked at, unless it is none at all.
        let stamped = NewTopic::new("log").timestamp_type(TimestampType::LogAppendTime);
        broker.create_topic(stamped.set("message.timestamp.before.max.ms", "1000")).unwrap();
        let send = |millis: i64| {
            producer.send(ProducerRecord::to("log").value("v").timestamp(millis)).wait()
        };
        home.ok(send(0));
        home.ok(send(home.now() + 9 * HOUR));
        home.fails(send(-5), ErrorCode::InvalidTimestamp);
    }
}

#[test]
fn more_replicas_than_there_are_fail_acks_all_only() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").set("min.insync.replicas", "2")).unwrap();
        let all = broker.producer().retry_backoff(ms(1)).build().unwrap();
        let (sent, took) = home.timed(|| all.send(value("v")).wait());
        home.fails(sent, ErrorCode::NotEnoughReplicas);
        assert!(took < LONG / 4, "{home}: a second copy can never appear");
        home.fails(all.send_batch([value("v")]).wait(), ErrorCode::NotEnoughReplicas);
        for acks in [Acks::Leader, Acks::None] {
            let producer = broker.producer().acks(acks).build().unwrap();
            home.ok(producer.send(value("v")).wait());
            producer.flush(LONG).unwrap();
        }
        assert_eq!(values(&broker, "t", 0).len(), 2, "{home}");
        home.ok(all.send(ProducerRecord::to("other").value("v")).wait());
    }
}

/// With `acks=0` nobody hears of what fails later; what is refused at once is told.
#[test]
fn with_acks_zero_late_failures_are_not_told_and_early_ones_are() {
    for home in homes() {
        let broker = home.open();
        let compacted = NewTopic::new("c").cleanup_policy(CleanupPolicy::Compact);
        broker.create_topic(compacted).unwrap();
        let settings = broker.producer().acks(Acks::None).max_request_size(1000);
        let producer = settings.build().unwrap();
        home.ok(producer.send(ProducerRecord::to("c").value("no key")).wait());
        home.ok(producer.send(ProducerRecord::to("c").key("k").value("v")).wait());
        home.ok(producer.flush(LONG));
        let refused = producer.send(value("x".repeat(1000)));
        home.fails(refused.wait(), ErrorCode::MessageTooLarge);
        home.fails(
            producer.send(value("v").partition(7)).wait(),
            ErrorCode::UnknownTopicOrPartition,
        );
        home.ok(producer.send(value("v")).wait());
        home.ok(producer.close(LONG));
        assert_eq!(values(&broker, "t", 0), ["v"], "{home}");
        assert!(read(&broker, "c", 0).iter().all(|record| record.key.is_some()), "{home}");
    }
}

#[test]
fn a_closed_broker_refuses_and_does_not_block() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic("t").unwrap();
        let producer = broker.producer().linger(LONG).build().unwrap();
        let sent = producer.send(value("v"));
        broker.clone().close().unwrap();
        assert_eq!(home.ok(sent.wait()).offset(), Some(0), "{home}");
        let (late, took) = home.timed(|| {
            [
                producer.send(value("v")).wait().err(),
                producer.send(ProducerRecord::to("new").value("v")).wait().err(),
                producer.send_batch([value("v")]).wait().err(),
                producer.try_send(value("v")).err().map(|refused| refused.error),
                broker.producer().build().err(),
            ]
        });
        for error in late {
            assert_eq!(error.expect("refused").kind(), ErrorKind::Closed, "{home}");
        }
        assert!(took < LONG / 4, "{home}: {took:?}");
        home.ok(producer.flush(LONG));
        home.ok(producer.close(LONG));
    }
}

/// Who blocks for a topic or for memory is woken by the close.
#[test]
fn closing_wakes_who_waits_for_a_topic() {
    for home in homes().into_iter().filter(|home| !home.is_mock()) {
        let broker = home.builder().auto_create_topics(false).open().unwrap();
        for closes_broker in [false, true] {
            let producer = broker.producer().build().unwrap();
            std::thread::scope(|scope| {
                let sending = producer.clone();
                let waiting = scope
                    .spawn(move || sending.send(ProducerRecord::to("nowhere").value("v")).wait());
                std::thread::sleep(ms(30));
                assert!(!waiting.is_finished(), "{home}");
                let (closed, took) = home.timed(|| {
                    if closes_broker {
                        broker.clone().close()
                    } else {
                        producer.clone().close(Duration::from_secs(5))
                    }
                    .and_then(|()| waiting.join().unwrap())
                });
                let error = home.err(closed);
                assert_eq!(error.kind(), ErrorKind::Closed, "{home}: {error}");
                assert!(took < LONG / 6, "{home}: {took:?}");
            });
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name_and_those_of_a_network_ignored() {
    for home in homes() {
        let broker = home.open();
        for (key, wrong) in [
            ("acks", "2"),
            ("linger.ms", "-1"),
            ("linger", "1"),
            ("", "1"),
            ("bootstrap.server", "x:1"),
            ("buffer.memory", "lots"),
            ("delivery.timeout.ms", "no"),
            ("compression.type", "brotli"),
            ("compression.zstd.level", "1000"),
            ("partitioner.class", "com.example.Mine"),
            ("max.in.flight.requests.per.connection", "6"),
            ("transactional.id", "t"),
        ] {
            let settings = broker.producer().set("client.id", "me").set(key, wrong);
            let error = home.err(settings.build());
            assert_eq!(error.code(), Some(ErrorCode::InvalidConfig), "{home}: {error}");
            assert!(error.to_string().contains(key), "{home}: {key}: {error}");
        }
        let settings = broker
            .producer()
            .set("bootstrap.servers", "a:9092,b:9092")
            .set("acks", "1")
            .set("ssl.truststore.location", "/x")
            .set("metadata.max.age.ms", "1")
            .set("partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner")
            .set("compression.type", "zstd")
            .set("sasl.jaas.config", "secret");
        let ignored = settings.ignored();
        let wanted = [
            "bootstrap.servers",
            "ssl.truststore.location",
            "metadata.max.age.ms",
            "sasl.jaas.config",
        ];
        assert_eq!(ignored, wanted, "{home}");
        let producer = settings.build().unwrap();
        broker.create_topic(NewTopic::new("r").partitions(3)).unwrap();
        for wanted in [0, 1, 2, 0] {
            let placed = home.ok(producer.send(ProducerRecord::to("r").key("k")).wait());
            assert_eq!(placed.partition(), wanted, "{home}");
        }
        let level = broker.producer().compression(Compression::Gzip).compression_level(77).build();
        home.fails(level, ErrorCode::InvalidConfig);
        let both = broker.producer().acks(Acks::Leader).enable_idempotence(true).build();
        home.fails(both, ErrorCode::InvalidConfig);
        let short = broker.producer().linger(ms(9)).delivery_timeout(ms(8)).build();
        home.fails(short, ErrorCode::InvalidConfig);
    }
}
