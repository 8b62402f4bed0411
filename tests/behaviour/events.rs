//! What subscribers of `tracing` are told, and that no lock of ours is held when they are.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use crate::homes::*;
use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{Broker, ConfigChange, NewTopic, OffsetReset, Partition, ProducerRecord, RawRecord};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

type OnEvent = Box<dyn Fn() + Send + Sync>;

/// Collects events and the names of spans as lines, and has something done at each event.
#[derive(Default)]
struct Collected {
    lines: Mutex<Vec<String>>,
    on_event: Mutex<Option<OnEvent>>,
    is_busy: AtomicBool,
}

#[derive(Clone, Default)]
struct Collector(Arc<Collected>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = match field.name() {
            // How long it took and what the system said is not the same everywhere.
            "error" | "ms" => "..".to_owned(),
            _ => format!("{value:?}"),
        };
        self.0 += &format!(" {}={value}", field.name());
    }
}

thread_local! {
    static LISTENING: RefCell<Option<Collector>> = const { RefCell::new(None) };
}

/// The subscriber of the whole process: hands on to whoever listens on this thread. With one of
/// each test, those on other threads would decide which events there are.
struct Everywhere;

fn listener() -> Option<Collector> {
    LISTENING.with(|listening| listening.borrow().clone())
}

impl Subscriber for Everywhere {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("logreel")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        if let Some(Collector(seen)) = listener() {
            let mut line = Line(format!("SPAN {}", span.metadata().name()));
            span.record(&mut line);
            seen.lines.lock().unwrap().push(line.0);
        }
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(Collector(seen)) = listener() else { return };
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        seen.lines.lock().unwrap().push(line.0);
        if !seen.is_busy.swap(true, Ordering::SeqCst) {
            if let Some(act) = seen.on_event.lock().unwrap().as_ref() {
                act();
            }
            seen.is_busy.store(false, Ordering::SeqCst);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Listening;

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING.with(|listening| listening.borrow_mut().take());
    }
}

impl Collector {
    /// Collects what is told on this thread.
    fn listen(&self) -> Listening {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing::subscriber::set_global_default(Everywhere).unwrap());
        LISTENING.with(|listening| listening.borrow_mut().replace(self.clone()));
        Listening
    }

    /// What has been told since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lines.lock().unwrap())
    }
}

fn put(log: &Partition, key: &str, value: &str) {
    let record = RawRecord::new(Some(key.as_bytes()), Some(value.as_bytes())).timestamp(NOW);
    log.append([record]).unwrap();
}

fn compacted(name: &str) -> NewTopic {
    NewTopic::new(name).set("cleanup.policy", "compact").set("segment.bytes", "400")
}

/// Seals two batches of which one is superseded.
fn dirty(log: &Partition) {
    put(log, "a", "1");
    put(log, "a", "2");
    put(log, "filler", &"x".repeat(300));
}

#[test]
fn the_life_of_a_broker_is_told() {
    let seen = Collector::default();
    let _listening = seen.listen();
    let sim = SimStorage::new();
    let clock = MockClock::at_millis(NOW);
    let open = || Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let broker = open();
    assert_eq!(seen.take(), ["INFO message=broker opened clean=true partitions=0"]);
    let topic = broker.create_topic(compacted("t")).unwrap();
    topic.alter_config([ConfigChange::set("delete.retention.ms", "0")]).unwrap();
    broker.create_partitions("t", 2).unwrap();
    let wanted = [
        "INFO message=topic created topic=\"t\" partitions=1",
        "INFO message=topic altered topic=\"t\" changes=1",
        "INFO message=partitions created topic=\"t\" partitions=2",
    ];
    assert_eq!(seen.take(), wanted);

    let log = topic.partition(0).unwrap();
    dirty(&log);
    assert_eq!(seen.take(), ["DEBUG message=rolled topic=\"t\" partition=0 base_offset=2"]);
    log.sync().unwrap();
    let synced = "DEBUG message=synced topic=\"t\" partition=0 offset=3 ms=..";
    assert_eq!(seen.take(), [synced]);
    clock.advance(Duration::from_secs(15));
    let told = seen.take();
    let clean = "SPAN clean topic=\"t\" partition=0 dirty_ratio=1.0";
    let replaced =
        "DEBUG message=segments replaced topic=\"t\" partition=0 base_offset=0 segments=1";
    assert_eq!(told[..2], [clean, replaced]);
    assert!(
        told[2].starts_with("INFO message=cleaned topic=\"t\" partition=0 offset=2 bytes_read")
    );

    assert!(log.append([(None, Some("without a key"))]).is_err());
    assert!(log.append([(Some("k"), Some("x".repeat(500).as_str()))]).is_err());
    let refused = "DEBUG message=append refused topic=\"t\" partition=0 error=..";
    assert_eq!(seen.take(), [refused]);
    broker.delete_topic("t").unwrap();
    assert_eq!(seen.take(), ["INFO message=topic deleted topic=\"t\""]);
    broker.close().unwrap();
    assert_eq!(seen.take(), ["INFO message=broker closed"]);
}

#[test]
fn what_fails_is_told() {
    let seen = Collector::default();
    let _listening = seen.listen();
    let sim = SimStorage::new();
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    let log = broker.create_topic(compacted("t")).unwrap().partition(0).unwrap();
    let fail = |op| sim.fail(Fault { op, nth: 0, sticky: true, kind: FaultKind::Eio });
    dirty(&log);
    log.sync().unwrap();
    seen.take();
    fail(FaultOp::Create);
    clock.advance(Duration::from_secs(15));
    sim.clear_faults();
    let told = seen.take();
    for wanted in [
        "WARN message=checkpoint failed error=..",
        "WARN message=cleaning failed topic=\"t\" partition=0 error=..",
    ] {
        assert!(told.iter().any(|line| line == wanted), "{wanted}: {told:?}");
    }
    put(&log, "k", "v");
    seen.take();
    fail(FaultOp::Write);
    assert!(log.append([(Some("k"), Some("v"))]).is_err());
    assert_eq!(seen.take(), ["ERROR message=append failed topic=\"t\" partition=0 error=.."]);
    sim.clear_faults();
    fail(FaultOp::Sync);
    assert!(log.sync().is_err());
    let stopped = "ERROR message=partition stopped topic=\"t\" partition=0 error=..".to_owned();
    assert!(seen.take().contains(&stopped));
}

#[test]
fn damage_and_cut_tails_are_told() {
    let seen = Collector::default();
    let _listening = seen.listen();
    let files = Files::Disk(tempfile::tempdir().unwrap());
    let home = Home { files, clock: Some(MockClock::at_millis(NOW)), mmap: true };
    let broker = home.open();
    let log = broker.create_topic(compacted("t")).unwrap().partition(0).unwrap();
    dirty(&log);
    let paths: Vec<_> = log.segments().iter().map(|segment| segment.path.clone()).collect();
    let mut bytes = std::fs::read(&paths[0]).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&paths[0], &bytes).unwrap();
    seen.take();
    home.clock.as_ref().unwrap().advance(Duration::from_secs(15));
    let wanted = "WARN message=uncleanable topic=\"t\" partition=0 error=..".to_owned();
    assert!(seen.take().contains(&wanted));
    bytes[70] ^= 1;
    std::fs::write(&paths[0], &bytes).unwrap();
    drop(log);
    broker.close().unwrap();
    std::fs::remove_file(home.dir().unwrap().join(".kafka_cleanshutdown")).unwrap();
    std::fs::remove_file(home.dir().unwrap().join("recovery-point-offset-checkpoint")).unwrap();
    let whole = std::fs::read(&paths[1]).unwrap();
    std::fs::write(&paths[1], &whole[..whole.len() - 1]).unwrap();
    seen.take();
    let _broker = home.open();
    let told = seen.take();
    let cut = "WARN message=log was cut topic=\"t\" partition=0 offset=2 bytes=";
    assert!(told.iter().any(|line| line.starts_with(cut)), "{told:?}");
    assert!(told.contains(&"INFO message=broker opened clean=false partitions=1".to_owned()));
}

#[test]
fn retention_is_told() {
    let seen = Collector::default();
    let _listening = seen.listen();
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    let topic = NewTopic::new("t").set("segment.bytes", "100").set("retention.ms", "1000");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    (0..3).for_each(|_| put(&log, "k", "v"));
    seen.take();
    clock.advance(Duration::from_secs(600));
    let wanted = "INFO message=segments deleted topic=\"t\" partition=0 from_offset=0 \
                  log_start_offset=3 segments=3"
        .to_owned();
    let told = seen.take();
    assert!(told.contains(&wanted), "{told:?}");
}

#[test]
fn groups_and_late_deliveries_are_told() {
    let seen = Collector::default();
    let _listening = seen.listen();
    let clock = MockClock::at_millis(NOW);
    let sim = SimStorage::new();
    let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
    broker.create_topic("t").unwrap();
    let consumer = broker.consumer().group_id("g").client_id("c").build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    let told: Vec<String> = seen.take().into_iter().filter(|l| l.contains("rebalance")).collect();
    let wanted = [
        "DEBUG message=rebalance begins group=\"g\"",
        "DEBUG message=rebalance complete group=\"g\" ms=..",
    ];
    assert_eq!(told, wanted);
    clock.advance(Duration::from_secs(600));
    let told = seen.take();
    let lost = "INFO message=member lost group=\"g\" member=\"c-";
    assert!(told.iter().any(|line| line.starts_with(lost)), "{told:?}");
    assert!(told.contains(&"DEBUG message=group is empty group=\"g\"".to_owned()));

    let producer = broker.producer().build().unwrap();
    sim.fail(Fault { op: FaultOp::Write, nth: 0, sticky: true, kind: FaultKind::Enospc });
    producer.send(ProducerRecord::to("t").value("v")).forget();
    clock.advance(Duration::from_secs(130));
    let late = "WARN message=delivery timed out topic=\"t\" partition=0 batches=1".to_owned();
    assert!(seen.take().contains(&late));
}

/// A subscriber is the user's code and may use the broker: no lock is held that it could need.
#[test]
fn a_subscriber_may_use_the_broker() {
    must_end(|| {
        let seen = Collector::default();
        let _listening = seen.listen();
        let clock = MockClock::at_millis(NOW);
        let sim = SimStorage::new();
        let broker = Broker::builder().storage(sim.storage()).clock(&clock).open().unwrap();
        let settings = compacted("t").set("cleanup.policy", "compact,delete");
        let log = broker.create_topic(settings.set("retention.ms", "3600000")).unwrap();
        let log = log.partition(0).unwrap();
        let acts = Arc::new(AtomicU64::new(0));
        let act = {
            let (broker, log, acts) = (broker.clone(), log.clone(), Arc::clone(&acts));
            move || {
                let number = acts.fetch_add(1, Ordering::Relaxed);
                let _ = log.append([(Some("from the subscriber"), Some("v"))]);
                let _ = log.sync();
                let _ = log.delete_records(log.log_start_offset());
                let _ = broker.create_topic(format!("made-{number}").as_str());
                let _ = broker.group("g").describe();
                let _ = broker.group("h").alter_offsets(&[(("t", 0), 0)].into_iter().collect());
                let _ = broker.metrics();
            }
        };
        *seen.0.on_event.lock().unwrap() = Some(Box::new(act));
        let consumer = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
        let consumer = consumer.build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        for _ in 0..3 {
            dirty(&log);
            consumer.poll(Duration::ZERO).unwrap();
            clock.advance(Duration::from_secs(15));
        }
        clock.advance(Duration::from_secs(8000));
        broker.create_partitions("t", 2).unwrap();
        broker.topic("t").unwrap().alter_config([ConfigChange::set("retention.ms", "-1")]).unwrap();
        // The sync is to fail here and not inside the subscriber.
        seen.0.is_busy.store(true, Ordering::SeqCst);
        put(&log, "k", "v");
        seen.0.is_busy.store(false, Ordering::SeqCst);
        sim.fail(Fault { op: FaultOp::Sync, nth: 0, sticky: true, kind: FaultKind::Eio });
        assert!(log.sync().is_err());
        sim.clear_faults();
        broker.delete_topic("t").unwrap();
        let told = seen.take();
        for wanted in ["segments replaced", "segments deleted", "rebalance", "lost", "stopped"] {
            assert!(told.iter().any(|line| line.contains(wanted)), "{wanted}: {told:?}");
        }
        assert!(acts.load(Ordering::Relaxed) > 10);
        *seen.0.on_event.lock().unwrap() = None;
        broker.close().unwrap();
    });
}

/// One that panics hurts nobody, also where its events were kept back.
#[test]
fn a_subscriber_that_panics_hurts_nobody() {
    let seen = Collector::default();
    let _listening = seen.listen();
    let broker = Broker::in_memory();
    let log = broker.create_topic(compacted("t")).unwrap().partition(0).unwrap();
    *seen.0.on_event.lock().unwrap() = Some(Box::new(|| std::panic::panic_any("on purpose")));
    dirty(&log);
    assert_eq!((log.segments().len(), log.log_end_offset()), (2, 3));
}
