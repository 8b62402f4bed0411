//! Many records with one call.

use std::sync::{Arc, Mutex};

use crate::homes::*;
use logreel::testing::OpKind;
use logreel::{Acks, CleanupPolicy, Compression, ErrorCode, NewTopic, ProducerRecord};

#[test]
fn records_of_one_call_are_one_batch_for_each_partition() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        for (round, codec) in (0..).zip([Compression::None, Compression::Lz4]) {
            // Far more than batch.size, and linger does not hold it up.
            let settings = broker.producer().batch_size(500).linger(LONG).compression(codec);
            let producer = settings.build().unwrap();
            let before = producer.send(value("before"));
            let records = (0..300).map(|i| value(format!("{i:020}")).partition(i % 3));
            let (placed, took) = home.timed(|| producer.send_batch(records).wait());
            assert!(took < LONG / 2, "{home}");
            let placed = home.ok(placed);
            for (i, placed) in (0..).zip(&placed) {
                let extra = i64::from(i % 3 == 0) * (round + 1);
                assert_eq!(placed.partition(), i % 3, "{home}: in the order given");
                let offset = round * 100 + extra + i64::from(i / 3);
                assert_eq!(placed.offset(), Some(offset), "{home}: {i}");
            }
            assert_eq!(home.ok(before.wait()).offset(), Some(round * 101), "{home}: it was first");
            let sizes = |number| batch_sizes(&broker, "t", number);
            let rounds = round as usize + 1;
            assert_eq!(sizes(0), [1, 100].repeat(rounds), "{home}");
            assert_eq!(sizes(1), [100].repeat(rounds), "{home}");
            assert_eq!(sizes(2), [100].repeat(rounds), "{home}");
        }
        // Without keys: one batch in one partition.
        let producer = broker.producer().build().unwrap();
        let records = (0..50).map(|i| ProducerRecord::to("t").value(format!("{i}")));
        let placed = home.ok(producer.send_batch(records).wait());
        assert!(
            placed.iter().all(|p| p.partition() == placed.get(0).unwrap().partition()),
            "{home}"
        );
        assert_eq!(
            batch_sizes(&broker, "t", placed.get(0).unwrap().partition()).last(),
            Some(&50),
            "{home}"
        );
        assert!(home.ok(producer.send_batch([]).wait()).is_empty(), "{home}");
    }
}

#[test]
fn a_record_that_is_refused_by_itself_fails_alone_and_one_the_topic_refuses_does_not() {
    for home in homes() {
        let broker = home.builder().auto_create_topics(false).open().unwrap();
        broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        let compacted = NewTopic::new("c").cleanup_policy(CleanupPolicy::Compact);
        broker.create_topic(compacted).unwrap();
        let settings = broker.producer().max_request_size(500).max_block(ms(10));
        let producer = settings.build().unwrap();
        let call = || {
            [
                value("first"),
                ProducerRecord::to("c").key("k").value("taken along"),
                ProducerRecord::to("nowhere").value("v"),
                value("x".repeat(500)),
                value("other").partition(1),
                ProducerRecord::to("../x").value("v"),
                ProducerRecord::to("c").value("no key"),
                value("v").partition(2),
                value("v").timestamp(-1),
                value("last"),
            ]
        };
        let wanted = [
            Ok(Some(0)),
            Err(ErrorCode::InvalidRecord),
            Err(ErrorCode::UnknownTopicOrPartition),
            Err(ErrorCode::MessageTooLarge),
            Ok(Some(0)),
            Err(ErrorCode::InvalidTopic),
            Err(ErrorCode::InvalidRecord),
            Err(ErrorCode::UnknownTopicOrPartition),
            Err(ErrorCode::InvalidTimestamp),
            Ok(Some(1)),
        ];
        let results: Vec<_> = producer
            .send_batch(call())
            .results()
            .into_iter()
            .map(|result| result.map(|p| p.offset()).map_err(|error| error.code().unwrap()))
            .collect();
        assert_eq!(results, wanted, "{home}");
        assert_eq!(values(&broker, "t", 0), ["first", "last"], "{home}");
        assert_eq!(values(&broker, "t", 1), ["other"], "{home}");
        assert_eq!(partition(&broker, "c", 0).log_end_offset(), 0, "{home}");
        // `wait` tells the first failure, in the order of the records.
        home.fails(producer.send_batch(call()).wait(), ErrorCode::InvalidRecord);
        // Memory comes back when callbacks have run, which a flush waits for.
        producer.flush(std::time::Duration::from_secs(10)).unwrap();
        eventually("all is given back", || producer.buffer_available() == 32 * 1024 * 1024);
    }
}

#[test]
fn a_call_is_called_back_once() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        for acks in [Acks::All, Acks::Leader, Acks::None] {
            let producer = broker.producer().acks(acks).retry_backoff(ms(1)).build().unwrap();
            let faults = broker.testing().faults().on(OpKind::Produce);
            faults.partition(1).times(2).fail(ErrorCode::RequestTimedOut);
            let calls = Arc::new(Mutex::new(Vec::new()));
            let records = || (0..9).map(|i| value("v").partition(if i == 8 { 9 } else { i % 3 }));
            for count in [9, 0] {
                let calls = Arc::clone(&calls);
                let sent = producer.send_batch(records().take(count));
                sent.on_complete(move |results| {
                    let told = results.iter().map(Result::is_ok).collect::<Vec<_>>();
                    calls.lock().unwrap().push(told);
                    panic!("a callback that panics hurts nobody else");
                });
            }
            home.ok(producer.flush(LONG));
            let mut calls = std::mem::take(&mut *calls.lock().unwrap());
            // The one without records need not wait for the other.
            calls.sort();
            let wanted = [vec![], [vec![true; 8], vec![false]].concat()];
            assert_eq!(calls, wanted, "{home}: {acks:?}");
            home.ok(producer.close(LONG));
        }
    }
}

#[test]
fn a_call_is_a_future_that_needs_no_runtime() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        let producer = broker.producer().linger(ms(5)).build().unwrap();
        for round in 0..3 {
            let records = (0..30).map(|i| value("v").partition(i % 3));
            let placed = home.ok(block_on(producer.send_batch(records)));
            let last = placed.get(placed.len() - 1).unwrap();
            assert_eq!((placed.len(), last.offset()), (30, Some(round * 10 + 9)), "{home}");
        }
        let failed = block_on(producer.send_batch([value("v"), value("v").partition(3)]));
        home.fails(failed, ErrorCode::UnknownTopicOrPartition);
        assert!(home.ok(block_on(producer.send_batch([]))).is_empty(), "{home}");
    }
}

/// Each partition's part must fit into `buffer.memory`; what is written makes room for the next.
#[test]
fn a_call_may_be_larger_than_the_buffer() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        let settings = broker.producer().buffer_memory(4000).batch_size(100).linger(LONG);
        let producer = settings.max_block(ms(500)).build().unwrap();
        let records = (0..9).map(|i| value("x".repeat(1000)).partition(i % 3));
        let placed = home.ok(producer.send_batch(records).wait());
        assert_eq!(placed.get(8).unwrap().offset(), Some(2), "{home}");
        assert_eq!(batch_sizes(&broker, "t", 2), [3], "{home}");
        // Whoever completed the batch wakes those who wait before it gives the memory back.
        eventually("the buffer is empty", || producer.buffer_available() == 4000);
    }
}

/// A lost answer does not write the batch twice, and no batch gets between its records.
#[test]
fn a_call_is_retried_as_a_whole() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().retry_backoff(ms(1)).build().unwrap();
        let faults = broker.testing().faults().clone();
        for (lost, wanted) in [(false, 0), (true, 20)] {
            let on = faults.on(OpKind::Produce).times(3);
            let code = ErrorCode::RequestTimedOut;
            let fault = if lost { on.apply_then_fail(code) } else { on.fail(code) };
            let sent = producer.send_batch((0..20).map(|i| value(format!("{i}"))));
            let placed = home.ok(sent.wait());
            assert_eq!(placed.get(0).unwrap().offset(), Some(wanted), "{home}");
            assert_eq!(fault.hits(), 3, "{home}");
        }
        assert_eq!(batch_sizes(&broker, "t", 0), [20, 20], "{home}");
    }
}

#[test]
fn a_call_over_the_topics_limit_is_split() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").set("max.message.bytes", "1000")).unwrap();
        let producer = broker.producer().build().unwrap();
        let texts: Vec<String> = (0..40).map(|i| format!("{i:0200}")).collect();
        let large = "x".repeat(2000);
        let records = texts.iter().take(20).chain([&large]).chain(texts.iter().skip(20));
        let results = producer.send_batch(records.map(|text| value(text.as_str()))).results();
        let mut offsets = Vec::new();
        for (i, result) in results.into_iter().enumerate() {
            match i {
                20 => home.fails(result, ErrorCode::MessageTooLarge),
                _ => offsets.extend(home.ok(result).offset()),
            }
        }
        assert_eq!(offsets, (0..40).collect::<Vec<_>>(), "{home}");
        assert_eq!(values(&broker, "t", 0), texts, "{home}");
        assert!(batch_sizes(&broker, "t", 0).len() >= 10, "{home}");
    }
}
