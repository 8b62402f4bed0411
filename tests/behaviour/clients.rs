use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::homes::*;
use logreel::{
    Acks, Compression, ErrorCode, ErrorKind, Housekeeping, IsolationLevel, NewTopic, OffsetReset,
    ProducerRecord,
};

#[test]
fn t001_offsets_count_from_zero_per_partition() {
    for home in homes() {
        for acks in [Acks::Leader, Acks::All] {
            let broker = home.open();
            let name = format!("t-{acks:?}");
            broker.create_topic(NewTopic::new(&name).partitions(3)).unwrap();
            let producer = broker.producer().acks(acks).build().unwrap();
            for round in 0..5 {
                for partition in 0..3 {
                    let record = ProducerRecord::to(&*name).value("x").partition(partition);
                    let placed = producer.send(record).wait().unwrap();
                    assert_eq!(placed.offset(), Some(round));
                    assert_eq!((placed.topic(), placed.partition()), (&*name, partition));
                }
            }
        }
    }
}

#[test]
fn t081_null_and_empty_are_different() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        let send = |record: ProducerRecord<'_>| producer.send(record.partition(0)).wait().unwrap();
        send(ProducerRecord::to("t"));
        send(ProducerRecord::to("t").key("").value(""));
        send(ProducerRecord::to("t").key("").header("h", "1").header("h", "2").null_header("n"));
        let records = read_all(&broker, "t", 0);
        let parts: Vec<_> = records.iter().map(|r| (text(&r.key), text(&r.value))).collect();
        let empty = || Some(String::new());
        assert_eq!(parts, [(None, None), (empty(), empty()), (empty(), None)]);
        let headers: Vec<(&str, Option<&[u8]>)> =
            records[2].headers.iter().map(|h| (h.key(), h.value())).collect();
        assert_eq!(headers, [("h", Some(&b"1"[..])), ("h", Some(&b"2"[..])), ("n", None)]);
    }
}

#[test]
fn the_same_key_goes_to_the_same_partition_and_an_explicit_one_wins() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        let producer = broker.producer().build().unwrap();
        // Kafka's own vectors: "21" -> 0, "a" -> 1, "a-little-bit-long-string" -> 2 of three.
        for (key, partition) in [("21", 0), ("a", 1), ("a-little-bit-long-string", 2)] {
            for _ in 0..3 {
                let placed =
                    producer.send(ProducerRecord::to("t").key(key).value("v")).wait().unwrap();
                assert_eq!(placed.partition(), partition, "{key}");
            }
            let placed =
                producer.send(ProducerRecord::to("t").key(key).partition(0)).wait().unwrap();
            assert_eq!(placed.partition(), 0);
        }
        for partition in [-1, 3, i32::MAX] {
            let record = ProducerRecord::to("t").value("v").partition(partition);
            let error = producer.send(record).wait().unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
        }
        assert_eq!(broker.topic("t").unwrap().partition_count(), 3);
    }
}

#[test]
fn acks_zero_answers_at_once_without_an_offset() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().acks(Acks::None).build().unwrap();
        for _ in 0..10 {
            let placed = producer.send(ProducerRecord::to("t").value("x")).wait().unwrap();
            assert_eq!(placed.offset(), None);
        }
        producer.flush(SECOND).unwrap();
        assert_eq!(read_all(&broker, "t", 0).len(), 10);
    }
}

#[test]
fn records_lie_in_batches_in_order_under_every_codec() {
    for home in homes() {
        let broker = home.open();
        for codec in Compression::ALL {
            let topic = format!("t-{}", codec.name());
            let producer = broker
                .producer()
                .compression(codec)
                .linger(Duration::from_millis(20))
                .batch_size(4096)
                .build()
                .unwrap();
            for i in 0..2000 {
                producer.send(ProducerRecord::to(&*topic).value(i.to_string())).forget();
            }
            producer.flush(10 * SECOND).unwrap();
            let records = read_all(&broker, &topic, 0);
            let values: Vec<String> = records.iter().map(|r| text(&r.value).unwrap()).collect();
            assert_eq!(values, (0..2000).map(|i| i.to_string()).collect::<Vec<_>>());
            let size = broker.topic(&topic).unwrap().partition(0).unwrap().size();
            assert!(size < 2000 * 61 / 2, "{size} bytes: records share batches");
        }
    }
}

#[test]
fn linger_waits_for_company_and_wait_does_not_cut_it_short() {
    for home in homes().into_iter().filter(|home| home.clock.is_some()) {
        let clock = home.clock.clone().unwrap();
        let broker = home.open();
        let producer = broker.producer().linger(Duration::from_millis(500)).build().unwrap();
        let first = producer.send(ProducerRecord::to("t").value("1"));
        producer.send(ProducerRecord::to("t").value("2")).forget();
        assert_eq!(broker.topic("t").unwrap().partition(0).unwrap().log_end_offset(), 0);
        let before = clock.wall_millis();
        assert_eq!(first.wait().unwrap().offset(), Some(0));
        assert_eq!(clock.wall_millis() - before, 500, "waiting moved the clock to the linger");
        assert_eq!(broker.topic("t").unwrap().partition(0).unwrap().log_end_offset(), 2);
        let third = producer.send(ProducerRecord::to("t").value("3"));
        clock.advance(Duration::from_millis(499));
        assert_eq!(broker.topic("t").unwrap().partition(0).unwrap().log_end_offset(), 2);
        clock.advance(Duration::from_millis(1));
        assert_eq!(broker.topic("t").unwrap().partition(0).unwrap().log_end_offset(), 3);
        assert_eq!(third.wait().unwrap().offset(), Some(2));
    }
}

#[test]
fn callbacks_run_in_order_and_may_send_and_panic() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let again = Arc::new(AtomicUsize::new(0));
        for i in 0..50 {
            let (seen, again, producer2) = (seen.clone(), again.clone(), producer.clone());
            producer.send(ProducerRecord::to("t").value("x")).on_complete(move |outcome| {
                seen.lock().unwrap().push(outcome.unwrap().offset().unwrap());
                if i == 10 {
                    producer2.send(ProducerRecord::to("other").value("y")).wait().unwrap();
                    again.fetch_add(1, Ordering::SeqCst);
                }
                assert!(i != 20, "a callback that panics hurts nobody else");
            });
        }
        producer.flush(10 * SECOND).unwrap();
        let waited = std::time::Instant::now();
        while seen.lock().unwrap().len() < 50 && waited.elapsed() < 10 * SECOND {
            std::thread::yield_now();
        }
        assert_eq!(*seen.lock().unwrap(), (0..50).collect::<Vec<i64>>());
        assert_eq!(again.load(Ordering::SeqCst), 1);
        assert_eq!(read_all(&broker, "other", 0).len(), 1);
    }
}

#[test]
fn a_delivery_is_a_future_that_needs_no_runtime() {
    struct Flag(std::thread::Thread);
    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn block_on<F: Future>(future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let waker = Arc::new(Flag(std::thread::current())).into();
        let mut context = std::task::Context::from_waker(&waker);
        loop {
            match future.as_mut().poll(&mut context) {
                std::task::Poll::Ready(output) => return output,
                std::task::Poll::Pending => std::thread::park_timeout(10 * SECOND),
            }
        }
    }
    for home in homes() {
        for housekeeping in [Housekeeping::Threads, Housekeeping::Manual] {
            let broker = home.builder().housekeeping(housekeeping).open().unwrap();
            let topic = format!("t-{housekeeping:?}");
            let producer = broker.producer().linger(Duration::from_millis(5)).build().unwrap();
            for offset in 0..5 {
                let delivery = producer.send(ProducerRecord::to(&*topic).value("x"));
                assert_eq!(block_on(delivery).unwrap().offset(), Some(offset));
            }
        }
    }
}

#[test]
fn errors_come_through_the_delivery_and_neighbours_are_written() {
    for home in homes() {
        let broker = home.builder().auto_create_topics(false).open().unwrap();
        broker.create_topic("t").unwrap();
        let settings = broker.producer().max_request_size(1000).max_block(SECOND / 100);
        let producer = settings.build().unwrap();
        let fails = |record: ProducerRecord<'_>| producer.send(record).wait().unwrap_err().code();
        producer.send(ProducerRecord::to("t").value("before")).wait().unwrap();
        assert_eq!(
            fails(ProducerRecord::to("nowhere").value("x")),
            Some(ErrorCode::UnknownTopicOrPartition)
        );
        assert_eq!(fails(ProducerRecord::to("../x").value("x")), Some(ErrorCode::InvalidTopic));
        assert_eq!(
            fails(ProducerRecord::to("t").value(vec![0; 1000])),
            Some(ErrorCode::MessageTooLarge)
        );
        assert_eq!(
            fails(ProducerRecord::to("t").value("x").timestamp(-1)),
            Some(ErrorCode::InvalidTimestamp)
        );
        let replicas = NewTopic::new("r").set("min.insync.replicas", "2");
        broker.create_topic(replicas).unwrap();
        assert_eq!(fails(ProducerRecord::to("r").value("x")), Some(ErrorCode::NotEnoughReplicas));
        producer.send(ProducerRecord::to("t").value("after")).wait().unwrap();
        assert_eq!(read_all(&broker, "t", 0).len(), 2);
        let clone = producer.clone();
        producer.close(SECOND).unwrap();
        let error = clone.send(ProducerRecord::to("t").value("late")).wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
}

#[test]
fn dropping_the_producer_writes_what_was_sent() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().linger(60 * SECOND).acks(Acks::Leader).build().unwrap();
        let mut delivery = producer.send(ProducerRecord::to("t").value("x"));
        assert!(delivery.try_get().is_none());
        drop(producer);
        assert_eq!(delivery.wait().unwrap().offset(), Some(0));
        assert_eq!(read_all(&broker, "t", 0).len(), 1);
    }
}

#[test]
fn many_threads_share_a_producer_and_keep_the_order_of_their_keys() {
    for home in homes().into_iter().filter(|home| home.clock.is_none()) {
        let broker = home.open();
        broker
            .create_topic(NewTopic::new("t").partitions(4).set("segment.bytes", "20000"))
            .unwrap();
        let producer = broker.producer().acks(Acks::Leader).batch_size(500).build().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let producer = producer.clone();
                scope.spawn(move || {
                    let key = format!("key-{thread}");
                    for i in 0..1000 {
                        let record = ProducerRecord::to("t").key(&key).value(i.to_string());
                        if i % 100 == 0 {
                            producer.send(record).wait().unwrap();
                        } else {
                            producer.send(record).forget();
                        }
                    }
                });
            }
        });
        producer.flush(10 * SECOND).unwrap();
        let mut next = std::collections::HashMap::new();
        let mut total = 0;
        for partition in 0..4 {
            for record in read_all(&broker, "t", partition) {
                let due = next.entry(text(&record.key).unwrap()).or_insert(0);
                assert_eq!(text(&record.value).unwrap(), due.to_string());
                *due += 1;
                total += 1;
            }
        }
        assert_eq!(total, 8000);
    }
}

#[test]
fn t032_a_poll_is_bounded_and_nothing_is_lost_over_several_partitions() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        let producer = broker.producer().linger(Duration::from_millis(1)).build().unwrap();
        for i in 0..300 {
            let record = ProducerRecord::to("t").value(i.to_string()).partition(i % 3);
            producer.send(record).forget();
        }
        producer.flush(10 * SECOND).unwrap();
        let consumer = broker
            .consumer()
            .auto_offset_reset(OffsetReset::Earliest)
            .max_poll_records(7)
            .build()
            .unwrap();
        consumer.assign([("t", 0), ("t", 1), ("t", 2)]).unwrap();
        let mut seen = vec![0i64; 3];
        let mut polls = Vec::new();
        while seen.iter().sum::<i64>() < 300 {
            let records = consumer.poll(Duration::ZERO).unwrap();
            assert!((1..=7).contains(&records.len()));
            polls.push(records.partitions());
            for record in &records {
                let partition = usize::try_from(record.partition()).unwrap();
                assert_eq!(record.offset(), seen[partition]);
                seen[partition] += 1;
            }
        }
        assert_eq!(seen, [100, 100, 100]);
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        let early: Vec<_> = polls.iter().take(6).flatten().collect();
        for partition in 0..3 {
            assert!(early.contains(&&("t", partition).into()), "every partition gets its turn");
        }
    }
}

#[test]
fn seeks_and_resets() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        for i in 0..10 {
            producer
                .send(ProducerRecord::to("t").value(i.to_string()).timestamp(NOW + i))
                .wait()
                .unwrap();
        }
        let tp = ("t", 0).into();
        let consumer = broker.consumer().build().unwrap();
        consumer.assign([("t", 0)]).unwrap();
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty(), "latest: from now on");
        assert_eq!(consumer.position(&tp).unwrap(), 10);
        consumer.seek(("t", 0), 7).unwrap();
        assert_eq!(drain(&consumer).len(), 3);
        consumer.seek(("t", 0), logreel::OffsetSpec::Timestamp(NOW + 4)).unwrap();
        assert_eq!(drain(&consumer).first().unwrap().offset, 4);
        consumer.seek(("t", 0), logreel::OffsetSpec::Earliest).unwrap();
        assert_eq!(drain(&consumer).len(), 10);
        // Line 24: exactly at the end is in range. Line 23: past it the policy decides.
        consumer.seek(("t", 0), 10).unwrap();
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        consumer.seek(("t", 0), 11).unwrap();
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        assert_eq!(consumer.position(&tp).unwrap(), 10);
        assert!(consumer.seek(("t", 0), -1).is_err());
        let error = consumer.seek(("t", 1), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IllegalState);

        let strict = broker.consumer().auto_offset_reset(OffsetReset::None).build().unwrap();
        strict.assign([("t", 0)]).unwrap();
        let error = strict.poll(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoOffsetForPartition);
        strict.seek(("t", 0), 99).unwrap();
        let error = strict.poll(Duration::ZERO).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange));
        assert_eq!(error.topic_partition(), Some(&tp));
        strict.seek(("t", 0), 9).unwrap();
        assert_eq!(drain(&strict).len(), 1);
    }
}

#[test]
fn a_waiting_consumer_is_woken_by_an_append() {
    for home in homes().into_iter().filter(|home| home.clock.is_none()) {
        let broker = home.open();
        let consumer = reader(&broker);
        consumer.assign([("t", 0)]).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| consumer.poll(30 * SECOND).unwrap().len());
            std::thread::sleep(Duration::from_millis(50));
            let producer = broker.producer().build().unwrap();
            producer.send(ProducerRecord::to("t").value("x")).wait().unwrap();
            assert_eq!(waiting.join().unwrap(), 1);
        });
    }
}

#[test]
fn an_unknown_topic_is_made_or_awaited_as_both_sides_allow() {
    for home in homes() {
        let broker = home.builder().auto_create_topics(false).open().unwrap();
        let consumer = broker
            .consumer()
            .group_id("g")
            .auto_offset_reset(OffsetReset::Earliest)
            .build()
            .unwrap();
        consumer.subscribe(["later"]).unwrap();
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
        assert!(broker.topic("later").is_err());
        broker.create_topic("later").unwrap();
        broker.topic("later").unwrap().partition(0).unwrap().append([(None, Some("x"))]).unwrap();
        assert_eq!(consumer.poll(SECOND).unwrap().len(), 1);
        // Line 43: new partitions come without a new subscribe.
        broker.create_partitions("later", 2).unwrap();
        broker.topic("later").unwrap().partition(1).unwrap().append([(None, Some("y"))]).unwrap();
        let records = consumer.poll(SECOND).unwrap();
        assert_eq!(records.partitions(), [("later", 1).into()]);
        assert_eq!(consumer.assignment().len(), 2);
    }
}

#[test]
fn t035_a_record_over_the_fetch_limits_comes_alone() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        for _ in 0..3 {
            producer.send(ProducerRecord::to("t").value(vec![7; 10_000])).wait().unwrap();
        }
        let consumer = broker
            .consumer()
            .auto_offset_reset(OffsetReset::Earliest)
            .max_partition_fetch_bytes(100)
            .fetch_max_bytes(100)
            .build()
            .unwrap();
        consumer.assign([("t", 0)]).unwrap();
        for offset in 0..3 {
            let records = consumer.poll(Duration::ZERO).unwrap();
            assert_eq!(records.len(), 1);
            assert_eq!(records.iter().next().unwrap().offset(), offset);
        }
        assert_eq!(consumer.isolation_level(), IsolationLevel::ReadUncommitted);
    }
}
