//! Which partition a record goes to.

use std::collections::BTreeSet;

use crate::homes::*;
use logreel::producer::murmur2;
use logreel::{Acks, Compression, ErrorCode, NewTopic, ProducerRecord};

/// Key, hash, and the partition of 3, 6, 10, 12 and 50: what Kafka's own classes compute.
const VECTORS: [(&[u8], i32, [i32; 5]); 13] = [
    (b"", 275_646_681, [0, 3, 1, 9, 31]),
    (b"a", -1_563_381_124, [1, 4, 4, 4, 24]),
    (b"21", -973_932_308, [0, 0, 0, 0, 40]),
    (b"abc", 479_470_107, [0, 3, 7, 3, 7]),
    (b"key", -1_079_937_367, [1, 1, 1, 1, 31]),
    (b"key-0", 29_210_041, [1, 1, 1, 1, 41]),
    (b"key-1", 193_331_640, [0, 0, 0, 0, 40]),
    (b"user-42", 1_459_644_460, [1, 4, 0, 4, 10]),
    (b"foobar", -790_332_482, [0, 0, 6, 6, 16]),
    (b"\xc3\xa9", 186_971_271, [0, 3, 1, 3, 21]),
    (b"a-little-bit-long-string", -985_981_536, [2, 2, 2, 8, 12]),
    (b"a-little-bit-longer-string", -1_486_304_829, [2, 5, 9, 11, 19]),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971, [2, 5, 7, 5, 27]),
];

#[test]
fn t076_the_same_key_goes_to_the_same_partition_the_one_kafka_would_choose() {
    for (key, hash, _) in VECTORS {
        assert_eq!(murmur2(key), hash, "{}", text(Some(key)));
    }
    for home in homes() {
        let broker = home.open();
        for (column, count) in [3, 6, 10, 12, 50].into_iter().enumerate() {
            let topic = format!("of-{count}");
            broker.create_topic(NewTopic::new(&topic).partitions(count)).unwrap();
            // Another producer, other settings, another way to send: the same partition.
            let single = broker.producer().acks(Acks::Leader).build().unwrap();
            let settings = broker.producer().acks(Acks::Leader).compression(Compression::Lz4);
            let other = settings.batch_size(0).partitioner_ignore_keys(false).build().unwrap();
            for (key, _, partitions) in VECTORS {
                let record = || ProducerRecord::to(&*topic).key(key).value("v");
                let wanted = partitions[column];
                let placed = home.ok(single.send(record()).wait());
                assert_eq!(placed.partition(), wanted, "{home}: {} of {count}", text(Some(key)));
                assert_eq!(wanted, (murmur2(key) & 0x7fff_ffff) % count);
                assert_eq!(home.ok(other.send(record()).wait()).partition(), wanted, "{home}");
                let batch = home.ok(single.send_batch([record(), record()]).wait());
                assert!(batch.iter().all(|placed| placed.partition() == wanted), "{home}");
            }
            for number in 0..count {
                for record in read(&broker, &topic, number) {
                    let key = record.key.unwrap();
                    let vector = VECTORS.iter().find(|vector| vector.0 == &key[..]).unwrap();
                    assert_eq!(vector.2[column], number, "{home}: where it was read");
                }
            }
        }
    }
}

#[test]
fn t078_adding_partitions_changes_the_mapping_and_old_records_stay() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        let producer = broker.producer().linger(LONG).build().unwrap();
        let keys = numbered("key-", 40);
        let of = |key: &str, count: i32| (murmur2(key.as_bytes()) & 0x7fff_ffff) % count;
        let record = |key: &str| ProducerRecord::to("t").key(key.to_owned()).value("v");
        // Open batches are old records, too: they were mapped when they were sent.
        let before: Vec<_> = keys.iter().map(|key| producer.send(record(key))).collect();
        broker.create_partitions("t", 7).unwrap();
        producer.flush(LONG).unwrap();
        let placed: Vec<_> = before.into_iter().map(|sent| home.ok(sent.wait())).collect();
        let old: Vec<_> = (0..7).map(|number| read(&broker, "t", number)).collect();
        for (key, placed) in keys.iter().zip(&placed) {
            assert_eq!(placed.partition(), of(key, 3), "{home}: {key}");
            let there = &old[placed.partition() as usize][placed.offset().unwrap() as usize];
            assert_eq!(there.key.as_deref(), Some(key.as_bytes()), "{home}");
        }
        assert!(old[3..].iter().all(Vec::is_empty), "{home}: nothing moves");

        let mut moved = 0;
        for key in &keys {
            let sent = producer.send(record(key));
            producer.flush(LONG).unwrap();
            let placed = home.ok(sent.wait());
            assert_eq!(placed.partition(), of(key, 7), "{home}: {key}");
            moved += i32::from(of(key, 7) != of(key, 3));
        }
        assert!(moved > 20, "{home}: {moved}");
        for (number, old) in old.iter().enumerate() {
            let now = read(&broker, "t", number as i32);
            assert_eq!(&now[..old.len()], &old[..], "{home}: old records stay where they are");
        }
        // A producer that comes later, and a broker that is opened again, see the same.
        let late = broker.producer().build().unwrap();
        assert_eq!(home.ok(late.send(record("key-1")).wait()).partition(), of("key-1", 7));
        drop((producer, late));
        broker.close().unwrap();
        let broker = home.open();
        let again = broker.producer().build().unwrap();
        assert_eq!(home.ok(again.send(record("key-2")).wait()).partition(), of("key-2", 7));
    }
}

#[test]
fn t079_an_explicit_partition_wins_and_one_that_does_not_exist_fails_and_creates_nothing() {
    for home in homes() {
        let broker = home.builder().auto_create_topics(false).open().unwrap();
        broker.create_topic(NewTopic::new("t").partitions(3)).unwrap();
        let producer = broker.producer().max_block(ms(20)).build().unwrap();
        // By its key each would go to partition 0.
        for number in 0..3 {
            let record = ProducerRecord::to("t").key("21").value("v").partition(number);
            assert_eq!(home.ok(producer.send(record).wait()).partition(), number, "{home}");
        }
        for number in [3, 4, i32::MAX, -1, i32::MIN] {
            let record = || ProducerRecord::to("t").key("21").value("v").partition(number);
            home.fails(producer.send(record()).wait(), ErrorCode::UnknownTopicOrPartition);
            let tried = producer.try_send(record()).unwrap().wait();
            home.fails(tried, ErrorCode::UnknownTopicOrPartition);
            let batch = producer.send_batch([record()]).wait();
            home.fails(batch, ErrorCode::UnknownTopicOrPartition);
            let error = home.err(producer.send(record()).wait());
            assert!(error.to_string().contains(&number.to_string()), "{home}: {error}");
        }
        let unknown = ProducerRecord::to("other").value("v").partition(0);
        home.fails(producer.send(unknown).wait(), ErrorCode::UnknownTopicOrPartition);
        let topics: Vec<String> =
            broker.topics().unwrap().iter().map(|topic| topic.name().to_owned()).collect();
        assert_eq!(topics, ["t"], "{home}");
        let ends: Vec<i64> =
            broker.topic("t").unwrap().partitions().iter().map(|p| p.log_end_offset()).collect();
        assert_eq!(ends, [1, 1, 1], "{home}");
    }
}

#[test]
fn t080_without_a_key_a_batch_stays_in_one_partition_and_batches_spread() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(8)).unwrap();
        let settings = broker.producer().acks(Acks::Leader).batch_size(1000).linger(LONG);
        let producer = settings.build().unwrap();
        let sent: Vec<_> = (0..4000)
            .map(|i| producer.send(ProducerRecord::to("t").value(format!("{i:050}"))))
            .collect();
        producer.flush(LONG).unwrap();
        let chosen: Vec<i32> =
            sent.into_iter().map(|sent| home.ok(sent.wait()).partition()).collect();
        let runs: Vec<&[i32]> = chosen.chunk_by(|a, b| a == b).collect();
        let (_, whole) = runs.split_last().unwrap();
        // A record takes 58 bytes or so of the 1000.
        assert!(whole.iter().all(|run| run.len() >= 15), "{home}: about a batch, then on");
        assert!(whole.len() >= 80, "{home}: {} changes", whole.len());
        assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 8, "{home}: all get some");
        let sizes: Vec<usize> =
            (0..8).flat_map(|number| batch_sizes(&broker, "t", number)).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 4000, "{home}");
        // Batches fill: every second may be cut when its partition has had twice its share.
        assert!(sizes.len() <= 4000 / 10, "{home}: {} batches", sizes.len());

        // Without company a batch is one record, and bytes still decide when to move on.
        let alone = broker.producer().acks(Acks::Leader).batch_size(1000).build().unwrap();
        let chosen: Vec<i32> = (0..60)
            .map(|i| alone.send(ProducerRecord::to("t").value(format!("{i:050}"))))
            .map(|sent| home.ok(sent.wait()).partition())
            .collect();
        let runs: Vec<&[i32]> = chosen.chunk_by(|a, b| a == b).collect();
        assert!(runs.split_last().unwrap().1.iter().all(|run| run.len() >= 8), "{home}");
        // A key is what `partitioner.ignore.keys` passes over.
        let keyless = broker.producer().partitioner_ignore_keys(true).build().unwrap();
        let spread: BTreeSet<i32> = (0..60)
            .map(|_| ProducerRecord::to("t").key("21").value(vec![0; 16_000]))
            .map(|record| home.ok(keyless.send(record).wait()).partition())
            .collect();
        assert!(spread.len() > 3, "{home}: {spread:?}");
    }
}
