//! Everything that is counted is counted once, and gauges go back.

use std::time::Duration;

use crate::homes::*;
use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{
    Acks, Broker, Compression, NewTopic, OffsetReset, Partition, ProducerRecord, RawRecord,
};

/// On the mock clock there is no thread: nothing happens but what the test does.
fn memory() -> Home {
    let files = Files::Memory(logreel::Storage::memory());
    Home { files, clock: Some(MockClock::at_millis(NOW)), mmap: true }
}

fn on_disk(mmap: bool) -> Home {
    let files = Files::Disk(tempfile::tempdir().unwrap());
    Home { files, clock: Some(MockClock::at_millis(NOW)), mmap }
}

fn advance(home: &Home, seconds: u64) {
    home.clock.as_ref().unwrap().advance(Duration::from_secs(seconds));
}

fn topic(broker: &Broker, settings: &[(&str, &str)]) -> Partition {
    let topic = settings.iter().fold(NewTopic::new("t"), |topic, (key, v)| topic.set(*key, *v));
    broker.create_topic(topic).unwrap().partition(0).unwrap()
}

fn put(log: &Partition, key: &str, value: &str) {
    log.append([RawRecord::new(Some(key.as_bytes()), Some(value.as_bytes())).timestamp(NOW)])
        .unwrap();
}

#[test]
fn what_comes_in_is_counted() {
    for home in [memory(), on_disk(true)] {
        let broker = home.open();
        let log = topic(&broker, &[]);
        assert_eq!(broker.metrics(), broker.metrics(), "looking counts nothing");
        assert_eq!(broker.metrics().appends, 0);
        let size = || log.segments().iter().map(|segment| segment.size).sum::<u64>();
        log.append([(None, Some("a")), (Some("k"), Some("b"))]).unwrap();
        let metrics = broker.metrics();
        assert_eq!((metrics.appends, metrics.batches_in, metrics.records_in), (1, 1, 2));
        assert_eq!(metrics.bytes_in, size());
        let producer = broker.producer().acks(Acks::Leader).build().unwrap();
        for _ in 0..32 {
            producer.send(ProducerRecord::to("t").value("c")).wait().unwrap();
        }
        let metrics = broker.metrics();
        assert_eq!((metrics.appends, metrics.batches_in, metrics.records_in), (33, 33, 34));
        assert_eq!((metrics.bytes_in, metrics.log_bytes), (size(), size()));
        assert_eq!(metrics.append_latency.count(), 3, "the first and every sixteenth");
        assert_eq!((metrics.failed_appends, metrics.sync_latency.count()), (0, 0));
        // What was counted stays when the topic goes.
        drop((log, producer));
        broker.delete_topic("t").unwrap();
        assert_eq!(broker.metrics().records_in, 34);
        assert_eq!((broker.metrics().topics, broker.metrics().log_bytes), (0, 0));
    }
}

#[test]
fn appends_that_fail_are_counted() {
    let home = memory();
    let broker = home.open();
    let log = topic(&broker, &[("cleanup.policy", "compact"), ("max.message.bytes", "100")]);
    assert!(log.append([(None, Some("without a key"))]).is_err());
    let metrics = broker.metrics();
    assert_eq!((metrics.appends, metrics.failed_appends), (1, 1));
    assert!(log.append([(Some("k"), Some("x".repeat(100).as_str()))]).is_err());
    let metrics = broker.metrics();
    assert_eq!((metrics.appends, metrics.failed_appends, metrics.records_in), (2, 2, 0));
    let producer = broker.producer().acks(Acks::None).build().unwrap();
    producer.send(ProducerRecord::to("t").value("without a key")).forget();
    producer.flush(SECOND).unwrap();
    let metrics = broker.metrics();
    assert_eq!((metrics.failed_appends, metrics.unacknowledged_failures), (3, 1));
}

#[test]
fn what_goes_out_is_counted() {
    for home in [memory(), on_disk(true), on_disk(false)] {
        let broker = home.open();
        let log = topic(&broker, &[]);
        (0..20).for_each(|_| put(&log, "k", "v"));
        let bytes = broker.metrics().bytes_in;
        let consumer = reader(&broker);
        consumer.assign([("t", 0)]).unwrap();
        assert_eq!(drain(&consumer).len(), 20);
        let metrics = broker.metrics();
        assert_eq!((metrics.fetches, metrics.bytes_out), (1, bytes), "polls at the end are none");
        assert_eq!(metrics.fetch_latency.count(), 1);
        for offset in 0..16 {
            log.read(offset, 1).unwrap();
        }
        let metrics = broker.metrics();
        assert_eq!((metrics.fetches, metrics.fetch_latency.count()), (17, 2));
        assert_eq!(metrics.bytes_out, bytes + bytes / 20 * 16);
        assert!(log.read(100, 1).is_err());
        assert_eq!(broker.metrics().failed_fetches, 1);
    }
}

#[test]
fn syncs_and_rolls_are_counted() {
    let home = memory();
    let broker = home.open();
    let log = topic(&broker, &[("segment.bytes", "200")]);
    put(&log, "k", "v");
    log.sync().unwrap();
    log.sync().unwrap();
    let metrics = broker.metrics();
    assert_eq!((metrics.sync_latency.count(), metrics.segment_syncs), (1, 1), "it was durable");
    while log.segments().len() < 3 {
        put(&log, "k", "v");
    }
    assert_eq!((broker.metrics().rolls, broker.metrics().segments), (2, 3));
    log.sync().unwrap();
    let metrics = broker.metrics();
    assert_eq!((metrics.sync_latency.count(), metrics.segment_syncs), (2, 4));
    let before = metrics.checkpoints;
    advance(&home, 60);
    assert_eq!(broker.metrics().checkpoints - before, 1);
}

#[test]
fn a_sync_that_fails_takes_a_partition_away() {
    let sim = SimStorage::new();
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let log = topic(&broker, &[]);
    put(&log, "k", "v");
    sim.fail(Fault { op: FaultOp::Sync, nth: 0, sticky: false, kind: FaultKind::Eio });
    assert!(log.sync().is_err());
    let metrics = broker.metrics();
    assert_eq!((metrics.failed_syncs, metrics.offline_partitions), (1, 1));
    assert_eq!((metrics.partitions, metrics.sync_latency.count()), (1, 1));
    assert!(log.append([(None, Some("x"))]).is_err());
    assert_eq!(broker.metrics().failed_appends, 1);
}

#[test]
fn what_retention_removes_is_counted() {
    let sim = SimStorage::new();
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let log = topic(&broker, &[("segment.bytes", "200"), ("retention.ms", "1000")]);
    while log.segments().len() < 3 {
        put(&log, "k", "v");
    }
    let (size, before) = (broker.metrics().log_bytes, broker.metrics().checkpoints);
    assert_eq!(broker.metrics().segments_deleted, 0);
    sim.fail(Fault { op: FaultOp::Rename, nth: 0, sticky: true, kind: FaultKind::Eio });
    clock.advance(Duration::from_secs(600));
    let metrics = broker.metrics();
    assert!(metrics.failed_checkpoints > 0 && metrics.failed_retentions > 0);
    assert_eq!(metrics.checkpoints, before);
    sim.clear_faults();
    clock.advance(Duration::from_secs(600));
    let metrics = broker.metrics();
    assert_eq!((metrics.segments_deleted, metrics.bytes_deleted), (3, size));
    assert_eq!((metrics.segments, metrics.log_bytes), (1, 0));
}

/// Two batches a segment, the second over the first.
fn dirty(log: &Partition) {
    put(log, "a", "1");
    put(log, "a", "2");
    let before = log.segments().len();
    while log.segments().len() == before {
        put(log, "filler", &"x".repeat(200));
    }
}

const COMPACTED: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("segment.bytes", "400")];

#[test]
fn cleanings_are_counted() {
    let home = memory();
    let broker = home.open();
    let log = topic(&broker, &COMPACTED);
    dirty(&log);
    let sealed = log.segments()[0].size;
    advance(&home, 15);
    let metrics = broker.metrics();
    assert_eq!((metrics.clean_latency.count(), metrics.failed_cleanings), (1, 0));
    assert_eq!((metrics.cleaner_records_read, metrics.cleaner_records_left), (2, 1));
    assert_eq!(
        (metrics.cleaner_bytes_read, metrics.cleaner_bytes_left),
        (sealed, log.segments()[0].size)
    );
    let ratio = metrics.cleaner_bytes_left as f64 / sealed as f64;
    assert_eq!((metrics.last_recopy_ratio, metrics.dirtiest_ratio), (ratio, 0.0));
    assert_eq!(metrics.last_clean, Duration::ZERO, "time stood still");
    // Less than the half is dirty: it is only told.
    let more = broker.topic("t").unwrap();
    more.alter_config([logreel::ConfigChange::set("min.cleanable.dirty.ratio", "0.99")]).unwrap();
    dirty(&log);
    advance(&home, 15);
    let metrics = broker.metrics();
    assert_eq!(metrics.clean_latency.count(), 1);
    assert!(metrics.dirtiest_ratio > 0.0 && metrics.dirtiest_ratio < 0.99);
}

#[test]
fn cleanings_that_fail_are_counted() {
    let sim = SimStorage::new();
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let log = topic(&broker, &COMPACTED);
    dirty(&log);
    log.sync().unwrap();
    sim.fail(Fault { op: FaultOp::Create, nth: 0, sticky: true, kind: FaultKind::Eio });
    clock.advance(Duration::from_secs(15));
    let failed = broker.metrics().failed_cleanings;
    assert_eq!((failed, broker.metrics().uncleanable_partitions), (1, 0), "it may work later");
    sim.clear_faults();
    clock.advance(Duration::from_secs(15));
    let metrics = broker.metrics();
    assert_eq!((metrics.failed_cleanings, metrics.clean_latency.count()), (1, 1));

    let home = on_disk(true);
    let broker = home.open();
    let log = topic(&broker, &COMPACTED);
    dirty(&log);
    let path = log.segments()[0].path.clone();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    advance(&home, 15);
    let metrics = broker.metrics();
    assert_eq!((metrics.failed_cleanings, metrics.uncleanable_partitions), (1, 1));
    assert_eq!(metrics.clean_latency.count(), 0);
}

#[test]
fn groups_and_their_lag_are_told() {
    let home = memory();
    let broker = home.open();
    broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    let nothing = broker.metrics();
    assert_eq!((nothing.groups, nothing.topics, nothing.partitions), (0, 1, 2));
    let producer = broker.producer().build().unwrap();
    for partition in [0, 0, 0, 1] {
        producer.send(ProducerRecord::to("t").partition(partition).value("v")).wait().unwrap();
    }
    let settings = || broker.consumer().group_id("g").enable_auto_commit(false);
    let consumer = settings().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(drain(&consumer).len(), 4);
    let metrics = broker.metrics();
    assert_eq!((metrics.groups, metrics.members, metrics.rebalancing_groups), (1, 1, 0));
    assert_eq!((metrics.rebalance_latency.count(), metrics.committed_offsets), (1, 0));
    consumer.commit().unwrap();
    broker.group("other").alter_offsets(&[(("t", 0), 1)].into_iter().collect()).unwrap();
    producer.send(ProducerRecord::to("t").partition(0).value("v")).wait().unwrap();
    let metrics = broker.metrics();
    assert_eq!((metrics.groups, metrics.committed_offsets), (2, 3));
    assert_eq!((metrics.commits, metrics.offsets_committed), (2, 3));
    assert_eq!((metrics.lag_sum, metrics.lag_max), (1 + 3, 3));
    let lags = ["g", "other"].map(|group| broker.group(group).total_lag().unwrap());
    assert_eq!(lags.iter().sum::<u64>(), metrics.lag_sum);

    // Another comes, and the first one takes its time.
    let second = settings().build().unwrap();
    second.subscribe(["t"]).unwrap();
    second.poll(Duration::ZERO).unwrap();
    let metrics = broker.metrics();
    assert_eq!((metrics.members, metrics.rebalancing_groups), (2, 1));
    advance(&home, 2);
    for member in [&consumer, &second, &consumer, &second] {
        member.poll(Duration::ZERO).unwrap();
    }
    let metrics = broker.metrics();
    assert_eq!((metrics.rebalancing_groups, metrics.rebalance_latency.count()), (0, 2));
    assert_eq!(metrics.rebalance_latency.max(), Some(2 * SECOND));
    drop((consumer, second));
    assert_eq!(broker.metrics().members, 0);
}

#[test]
fn memory_of_producers_is_told() {
    let home = memory();
    let broker = home.open();
    assert_eq!(broker.metrics().producers, 0);
    let producer = broker.producer().linger(SECOND).batch_size(1000).build().unwrap();
    assert_eq!((broker.metrics().producers, broker.metrics().buffered_bytes), (1, 0));
    producer.send(ProducerRecord::to("t").value("v")).forget();
    assert_eq!(broker.metrics().buffered_bytes, 1000);
    producer.flush(SECOND).unwrap();
    assert_eq!(broker.metrics().buffered_bytes, 0);
    drop(producer);
    assert_eq!(broker.metrics().producers, 0);
}

/// What `Records` keep alive is told until they go, whatever became of the consumer and the topic.
#[test]
fn memory_that_records_keep_is_told() {
    let home = on_disk(true);
    let broker = home.open();
    let log = topic(&broker, &[("segment.bytes", "400")]);
    let base = broker.metrics();
    put(&log, "k", &"x".repeat(300));
    let held = log.read(0, 1).unwrap();
    let chunks = broker.metrics().chunk_bytes - base.chunk_bytes;
    assert!((300..1000).contains(&chunks), "{chunks}");
    let record = held.to_vec();
    drop(held);
    assert_eq!(broker.metrics().chunk_bytes - base.chunk_bytes, chunks, "one record is enough");
    drop(record);
    assert_eq!(broker.metrics().chunk_bytes, base.chunk_bytes);

    put(&log, "k", &"x".repeat(300));
    let sealed = log.segments()[0].size;
    assert_eq!(broker.metrics().mapped_bytes, 0);
    let held = log.read(0, 1).unwrap();
    assert_eq!((held.len(), broker.metrics().mapped_bytes), (1, sealed));
    drop(log);
    broker.delete_topic("t").unwrap();
    assert_eq!(broker.metrics().mapped_bytes, sealed);
    drop(held);
    assert_eq!(broker.metrics().mapped_bytes, 0);

    let producer = broker.producer().compression(Compression::Zstd).build().unwrap();
    producer.send(ProducerRecord::to("z").value("x".repeat(5000))).wait().unwrap();
    let held = read_all(&broker, "z", 0);
    assert!((5000..5100).contains(&broker.metrics().decompressed_bytes));
    drop(held);
    assert_eq!(broker.metrics().decompressed_bytes, 0);
}

#[test]
fn files_that_are_rebuilt_are_counted() {
    let home = on_disk(true);
    let broker = home.open();
    let log = topic(&broker, &[("segment.bytes", "400"), ("index.interval.bytes", "1")]);
    (0..9).for_each(|_| put(&log, "k", "v"));
    let index = log.segments()[0].path.with_extension("index");
    drop(log);
    broker.close().unwrap();
    let len = std::fs::metadata(&index).unwrap().len();
    std::fs::write(index, vec![7; usize::try_from(len).unwrap()]).unwrap();
    let broker = home.open();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    log.read(3, 1).unwrap();
    assert_eq!(broker.metrics().indexes_rebuilt, 1);
    assert_eq!(broker.metrics().derived_files_failed, 0);
}

#[test]
fn derived_files_that_cannot_be_written_are_counted() {
    let sim = SimStorage::new();
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let log = topic(&broker, &[("segment.bytes", "400")]);
    put(&log, "k", &"x".repeat(300));
    // The new segment is made; the files beside it are not.
    sim.fail(Fault { op: FaultOp::Create, nth: 1, sticky: true, kind: FaultKind::Eio });
    put(&log, "k", &"x".repeat(300));
    assert!(broker.metrics().derived_files_failed > 0);
    assert_eq!(broker.metrics().failed_appends, 0);
}

#[test]
fn every_metric_has_a_name_of_its_own() {
    let broker = memory().open();
    let log = topic(&broker, &[]);
    put(&log, "k", "v");
    let named: Vec<(String, f64)> = broker.metrics().named().collect();
    let mut names: Vec<&String> = named.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), named.len());
    let value = |wanted: &str| named.iter().find(|(name, _)| name == wanted).unwrap().1;
    assert_eq!(value("kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec"), 1.0);
    assert_eq!(value("kafka.server:type=ReplicaManager,name=PartitionCount"), 1.0);
    assert_eq!(value("kafka.log:type=LogFlushStats,name=LogFlushRateAndTimeMs:Count"), 0.0);
    assert!(named.iter().all(|(_, value)| value.is_finite()));
}
