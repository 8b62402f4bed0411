//! What a topic or a producer does not take, and what becomes of the neighbours.

use std::time::Duration;

use crate::homes::*;
use logreel::producer::murmur2;
use logreel::{CleanupPolicy, Compression, ErrorCode, NewTopic, ProducerRecord};

#[test]
fn t085_a_record_over_max_request_size_fails_in_the_client() {
    for home in homes() {
        let broker = home.open();
        let settings = broker.producer().max_request_size(1000).linger(LONG);
        let producer = settings.build().unwrap();
        let before = producer.send(value("before"));
        let mut large = producer.send(value("x".repeat(1000)));
        let refused = large.try_get().expect("it is not sent, so nothing is waited for");
        home.fails(refused, ErrorCode::MessageTooLarge);
        let after = producer.send(value("after"));
        assert_eq!(partition(&broker, "t", 0).log_end_offset(), 0, "{home}");
        producer.flush(LONG).unwrap();
        assert_eq!(home.ok(before.wait()).offset(), Some(0), "{home}");
        assert_eq!(home.ok(after.wait()).offset(), Some(1), "{home}: neighbours in one batch");
        assert_eq!(values(&broker, "t", 0), ["before", "after"], "{home}");
        // Keys and headers count.
        let headed = value("v").header("h", vec![0; 990]);
        home.fails(producer.send(headed).wait(), ErrorCode::MessageTooLarge);
        let keyed = value("v").key(vec![0; 990]);
        home.fails(producer.send(keyed).wait(), ErrorCode::MessageTooLarge);
    }
}

#[test]
fn t085_a_record_over_the_topics_limit_fails_and_other_batches_are_written() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").set("max.message.bytes", "1000")).unwrap();
        // Each record is a batch of its own.
        let producer = broker.producer().batch_size(0).linger(ms(5)).build().unwrap();
        let sizes = [10, 5000, 20, 900, 1000, 30];
        let sent: Vec<_> =
            sizes.iter().map(|size| producer.send(value("x".repeat(*size)))).collect();
        producer.flush(LONG).unwrap();
        let mut written = Vec::new();
        for (size, sent) in sizes.into_iter().zip(sent) {
            match size {
                1000.. => home.fails(sent.wait(), ErrorCode::MessageTooLarge),
                _ => written.extend(home.ok(sent.wait()).offset()),
            }
        }
        assert_eq!(written, [0, 1, 2, 3], "{home}");
        assert_eq!(batch_sizes(&broker, "t", 0), [1, 1, 1, 1], "{home}");
        // The limit is one of bytes in a batch: 61 for the batch, 1000 in all.
        let exact = 1000 - 61 - 9;
        let placed = home.ok(producer.send(value("x".repeat(exact))).wait());
        let size = partition(&broker, "t", 0).segments()[0].size;
        home.fails(producer.send(value("x".repeat(exact + 1))).wait(), ErrorCode::MessageTooLarge);
        assert_eq!(placed.offset(), Some(4), "{home}");
        assert_eq!(size - 4 * 61 - (10 + 20 + 900 + 30) - (7 + 7 + 9 + 7), 1000, "{home}");
    }
}

/// Kafka's client splits a batch that a topic finds too large, and sends the parts.
#[test]
fn t085_a_record_over_the_topics_limit_among_small_ones_fails_alone() {
    for home in homes() {
        for (topic, large_at) in [("first", 0), ("middle", 7), ("last", 19)] {
            let broker = home.open();
            broker.create_topic(NewTopic::new(topic).set("max.message.bytes", "1000")).unwrap();
            let producer = broker.producer().linger(LONG).build().unwrap();
            let content = |i: usize| {
                if i == large_at { "x".repeat(3000) } else { format!("small-{i}") }
            };
            let sent: Vec<_> = (0..20)
                .map(|i| producer.send(ProducerRecord::to(topic).value(content(i))))
                .collect();
            let next = producer.send(ProducerRecord::to(topic).value("next"));
            producer.flush(LONG).unwrap();
            let mut offsets = Vec::new();
            for (i, sent) in sent.into_iter().enumerate() {
                if i == large_at {
                    home.fails(sent.wait(), ErrorCode::MessageTooLarge);
                } else {
                    offsets.extend(home.ok(sent.wait()).offset());
                }
            }
            assert_eq!(offsets, (0..19).collect::<Vec<_>>(), "{home}: {topic}");
            assert_eq!(home.ok(next.wait()).offset(), Some(19), "{home}: {topic}");
            let mut wanted: Vec<String> = (0..20).map(content).collect();
            wanted.remove(large_at);
            wanted.push("next".to_owned());
            assert_eq!(values(&broker, topic, 0), wanted, "{home}: {topic}");
            producer.close(LONG).unwrap();
            broker.close().unwrap();
        }
    }
}

/// Splitting is no try: it happens with `retries=0`, too, and is as good without idempotence.
#[test]
fn t085_small_records_that_are_too_large_together_are_all_written() {
    for home in homes() {
        for idempotent in [true, false] {
            let broker = home.open();
            let topic = format!("t-{idempotent}");
            let limited = NewTopic::new(&topic).set("max.message.bytes", "500");
            broker.create_topic(limited).unwrap();
            let settings = broker.producer().linger(LONG).compression(Compression::Zstd);
            let settings = if idempotent { settings } else { settings.retries(0) };
            let producer = settings.build().unwrap();
            let values: Vec<String> = (0..100)
                .map(|i: u32| {
                    (0..12)
                        .map(|j| format!("{:08x}", (i * 977 + j).wrapping_mul(2_654_435_761)))
                        .collect()
                })
                .collect();
            let sent: Vec<_> = values
                .iter()
                .map(|value| producer.send(ProducerRecord::to(&*topic).value(value)))
                .collect();
            producer.flush(LONG).unwrap();
            for (offset, sent) in (0..).zip(sent) {
                assert_eq!(home.ok(sent.wait()).offset(), Some(offset), "{home}: {idempotent}");
            }
            assert_eq!(crate::homes::values(&broker, &topic, 0), values, "{home}");
            assert!(batch_sizes(&broker, &topic, 0).len() > 10, "{home}: it was split");
            producer.close(LONG).unwrap();
            broker.close().unwrap();
        }
    }
}

#[test]
fn t086_a_record_without_a_key_to_a_compacted_topic_fails() {
    for home in homes() {
        let broker = home.open();
        for (topic, policy) in [("c", CleanupPolicy::Compact), ("b", CleanupPolicy::CompactDelete)]
        {
            broker.create_topic(NewTopic::new(topic).cleanup_policy(policy)).unwrap();
            let producer = broker.producer().build().unwrap();
            let record = || ProducerRecord::to(topic);
            home.fails(producer.send(record().value("v")).wait(), ErrorCode::InvalidRecord);
            home.fails(producer.send(record()).wait(), ErrorCode::InvalidRecord);
            home.ok(producer.send(record().key("k").value("v")).wait());
            home.ok(producer.send(record().key("k")).wait());
            home.ok(producer.send(record().key("").value("an empty key is one")).wait());
            assert_eq!(read(&broker, topic, 0).len(), 3, "{home}");
        }
        let producer = broker.producer().build().unwrap();
        home.ok(producer.send(ProducerRecord::to("delete").value("v")).wait());
    }
}

#[test]
fn t094_one_failing_record_of_a_batch_fails_exactly_the_records_of_that_batch() {
    for home in homes() {
        let broker = home.open();
        let compacted = NewTopic::new("t").cleanup_policy(CleanupPolicy::Compact).partitions(2);
        broker.create_topic(compacted).unwrap();
        let producer = broker.producer().linger(LONG).build().unwrap();
        let record = |name: &str| value(name).key(name.to_owned());
        let before = [producer.send(record("a")), producer.send(record("b"))];
        producer.flush(LONG).unwrap();
        let good = producer.send(record("c"));
        let bad = producer.send(value("no key"));
        let behind = producer.send(record("d"));
        let elsewhere = producer.send(record("other").partition(1));
        producer.flush(LONG).unwrap();
        let after = [producer.send(record("e")), producer.send(record("f"))];
        producer.flush(LONG).unwrap();
        for failed in [good, bad, behind] {
            home.fails(failed.wait(), ErrorCode::InvalidRecord);
        }
        let offsets: Vec<_> = before
            .into_iter()
            .chain(after)
            .map(|sent| home.ok(sent.wait()).offset().unwrap())
            .collect();
        assert_eq!(offsets, [0, 1, 2, 3], "{home}");
        assert_eq!(values(&broker, "t", 0), ["a", "b", "e", "f"], "{home}");
        assert_eq!(home.ok(elsewhere.wait()).offset(), Some(0), "{home}: another partition");
    }
}

#[test]
fn t087_sending_to_an_unknown_topic_makes_it_where_that_is_allowed() {
    for home in homes() {
        let broker = home.builder().num_partitions(5).open().unwrap();
        let producer = broker.producer().build().unwrap();
        for key in ["a", "21", "user-42"] {
            let placed = home.ok(producer.send(ProducerRecord::to("made").key(key)).wait());
            let wanted = (murmur2(key.as_bytes()) & 0x7fff_ffff) % 5;
            assert_eq!(placed.partition(), wanted, "{home}");
        }
        assert_eq!(broker.topic("made").unwrap().partition_count(), 5, "{home}");
        let (_, took) = home.timed(|| {
            home.ok(producer.try_send(ProducerRecord::to("tried").value("v")).unwrap().wait());
            home.ok(producer.send_batch([ProducerRecord::to("batch").value("v")]).wait());
        });
        assert!(took < Duration::from_secs(5), "{home}");
        for name in ["tried", "batch"] {
            assert_eq!(broker.topic(name).unwrap().partition_count(), 5, "{home}");
        }
    }
}

#[test]
fn t087_sending_to_an_unknown_topic_fails_after_max_block_where_it_may_not_be_made() {
    for home in homes() {
        let broker = home.builder().set("auto.create.topics.enable", "false").open().unwrap();
        let producer = broker.producer().max_block(ms(60)).build().unwrap();
        let record = || ProducerRecord::to("nowhere").value("v");
        let (sent, took) = home.timed(|| producer.send(record()));
        home.fails(sent.wait(), ErrorCode::UnknownTopicOrPartition);
        home.assert_took(took, ms(60));
        // Once for the call, not for each of its records.
        let (sent, took) = home.timed(|| producer.send_batch([record(), record(), record()]));
        assert!(sent.results().into_iter().all(|result| result.is_err()), "{home}");
        home.assert_took(took, ms(60));
        let (sent, took) = home.timed(|| producer.try_send(record()).unwrap());
        home.fails(sent.wait(), ErrorCode::UnknownTopicOrPartition);
        assert!(took < ms(50), "{home}: {took:?}");
        assert!(broker.topics().unwrap().is_empty(), "{home}");
        broker.create_topic("nowhere").unwrap();
        assert_eq!(home.ok(producer.send(record()).wait()).offset(), Some(0), "{home}");
    }
}

#[test]
fn t087_a_topic_that_is_made_meanwhile_is_found() {
    for home in homes().into_iter().filter(|home| !home.is_mock()) {
        let broker = home.builder().auto_create_topics(false).open().unwrap();
        let producer = broker.producer().build().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(ms(30));
                broker.create_topic(NewTopic::new("late").partitions(3)).unwrap();
            });
            let record = ProducerRecord::to("late").key("a-little-bit-long-string");
            let (sent, took) = home.timed(|| producer.send(record));
            assert!((ms(15)..Duration::from_secs(10)).contains(&took), "{home}: {took:?}");
            assert_eq!(home.ok(sent.wait()).partition(), 2, "{home}");
        });
    }
}
