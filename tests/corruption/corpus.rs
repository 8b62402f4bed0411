//! The directory that is damaged: every kind of file there is, each as small as it can be.

use std::sync::OnceLock;
use std::time::Duration;

use crate::answers::{Answers, Asked};
use logreel::record::{BatchBuilder, ControlRecord};
use logreel::testing::{MockClock, SimStorage};
use logreel::{
    Broker, BrokerBuilder, NewTopic, OffsetAndMetadata, Offsets, OnDamage, ProducerRecord,
};

pub(crate) const NOW: i64 = 1_700_000_000_000;
pub(crate) const GROUP: &str = "g";
pub(crate) const MARKER: &str = ".kafka_cleanshutdown";
pub(crate) const MANIFEST: &str = "logreel.manifest";
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
/// The topics with records of their own, and `__consumer_offsets` beside them.
pub(crate) const TOPICS: [&str; 4] = ["plain", "zstd", "compact", "aborted"];
/// The first record of `plain` that was not deleted.
pub(crate) const PLAIN_START: i64 = 1;

/// How a directory was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Closed, with marker and manifest.
    Clean,
    /// By a process that was killed after everything was synced and the checkpoints written.
    Killed,
}

/// How large a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Segments of a few hundred bytes.
    Small,
    /// The same, and in a campaign more of them: for every bit.
    Many,
    /// Segments of some blocks of 4096 bytes.
    Blocks,
}

impl Scale {
    /// How many times the records of the smallest directory.
    fn times(self) -> usize {
        match self {
            Self::Small => 1,
            Self::Many => campaign(),
            Self::Blocks => 4 * campaign(),
        }
    }

    fn segment_bytes(self) -> &'static str {
        if self == Self::Blocks { "9000" } else { "300" }
    }

    /// A value, which says which it is.
    fn value(self, number: usize) -> String {
        let short = format!("value {number}");
        // Long and incompressible enough that segments have several blocks.
        let more = (0..if self == Self::Blocks { 130 } else { 0 }).map(|i| {
            format!("{:08x}", (number as u32 * 1000 + i).wrapping_mul(0x9e37_79b9).rotate_left(i))
        });
        std::iter::once(short).chain(more).collect()
    }
}

/// The files of a directory, and the disk that holds them.
pub(crate) struct Corpus {
    disk: SimStorage,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    truth: OnceLock<Answers>,
}

/// How much more than usual is to be tried.
pub(crate) fn campaign() -> usize {
    let Ok(factor) = std::env::var("LOGREEL_CAMPAIGN") else { return 1 };
    let factor = factor.parse().ok().filter(|n| *n >= 1);
    factor.unwrap_or_else(|| panic!("LOGREEL_CAMPAIGN is a whole number from 1 on"))
}

pub(crate) fn builder(disk: &SimStorage) -> BrokerBuilder {
    let clock = MockClock::at_millis(NOW + 60_000);
    builder_at(disk, &clock)
}

pub(crate) fn builder_at(disk: &SimStorage, clock: &MockClock) -> BrokerBuilder {
    Broker::builder()
        .storage(disk.storage())
        .clock(clock)
        .set("log.cleaner.backoff.ms", "1000")
        .set("log.initial.task.delay.ms", "0")
}

impl Corpus {
    /// The small directory.
    pub(crate) fn of(left: Left) -> &'static Self {
        static CLEAN: OnceLock<Corpus> = OnceLock::new();
        static KILLED: OnceLock<Corpus> = OnceLock::new();
        let cell = if left == Left::Clean { &CLEAN } else { &KILLED };
        cell.get_or_init(|| Self::new(left, build(Scale::Small)))
    }

    /// The one that is larger in a campaign.
    pub(crate) fn of_many(left: Left) -> Self {
        Self::new(left, build(Scale::Many))
    }

    /// The one with segments of several blocks.
    pub(crate) fn of_blocks(left: Left) -> Self {
        Self::new(left, build(Scale::Blocks))
    }

    /// What the untouched directory answers.
    pub(crate) fn truth(&self) -> &Answers {
        self.truth
            .get_or_init(|| Answers::of(&self.disk(), OnDamage::Serve, Asked::Everything).unwrap())
    }

    fn new(left: Left, files: Vec<(String, Vec<u8>)>) -> Self {
        let disk = SimStorage::new();
        let files: Vec<_> = files
            .into_iter()
            .filter(|(path, _)| left == Left::Clean || (path != MARKER && path != MANIFEST))
            .collect();
        for (path, bytes) in &files {
            disk.put_file(path, bytes).unwrap();
        }
        // Everything is durable: one state, without a trace to copy each time.
        let disk = disk.power_cut_states(disk.op_count(), 1, 0).remove(0);
        Self { disk, files, truth: OnceLock::new() }
    }

    /// A copy of the directory.
    pub(crate) fn disk(&self) -> SimStorage {
        self.disk.kill_state(0)
    }

    /// A copy in which one file holds something else.
    pub(crate) fn with(&self, path: &str, bytes: &[u8]) -> SimStorage {
        let disk = self.disk();
        disk.put_file(path, bytes).unwrap();
        disk
    }

    pub(crate) fn file(&self, path: &str) -> &[u8] {
        let found = self.files.iter().find(|(name, _)| name == path);
        &found.unwrap_or_else(|| panic!("no {path}")).1
    }

    /// The paths of the files whose names end so.
    pub(crate) fn ending(&self, suffix: &str) -> Vec<&str> {
        let paths = self.files.iter().map(|(path, _)| path.as_str());
        paths.filter(|path| path.ends_with(suffix)).collect()
    }
}

/// Makes the directory, and closes it.
fn build(scale: Scale) -> Vec<(String, Vec<u8>)> {
    let disk = SimStorage::new();
    let clock = MockClock::at_millis(NOW);
    let broker = builder_at(&disk, &clock).open().unwrap();
    plain(&broker, scale);
    zstd(&broker, scale);
    compact(&broker, &clock, scale);
    broker.create_topic(NewTopic::new("aborted").set("index.interval.bytes", "0")).unwrap();
    commit(&broker);
    broker.close().unwrap();
    abort(&disk);
    // The next open takes in what was put there, and a close writes down everything.
    let broker = builder_at(&disk, &clock).open().unwrap();
    assert!(broker.recovery_report().damaged().next().is_none());
    broker.topic("aborted").unwrap().partition(0).unwrap().sync().unwrap();
    broker.close().unwrap();
    // Of a directory on a disk; nothing reads it.
    disk.put_file(".lock", b"4711\n").unwrap();
    disk.files().unwrap()
}

/// Three segments of batches by an idempotent producer, with headers; the first record is deleted.
fn plain(broker: &Broker, scale: Scale) {
    let topic = NewTopic::new("plain").set("segment.bytes", scale.segment_bytes());
    let topic = topic.set("index.interval.bytes", "0");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    let producer = broker.producer().enable_idempotence(true).build().unwrap();
    for i in 0..7 * scale.times() {
        let record = ProducerRecord::to("plain").partition(0).timestamp(NOW + i as i64);
        let record = record.key(format!("k{i}")).value(scale.value(i));
        let record = if i % 2 == 0 { record.header("h", format!("{i}")) } else { record };
        let record = if i % 3 == 2 { record.null_header("n") } else { record };
        producer.send(record).wait().unwrap();
    }
    drop(producer);
    assert_eq!(log.delete_records(PLAIN_START).unwrap(), PLAIN_START);
}

fn zstd(broker: &Broker, scale: Scale) {
    let topic = NewTopic::new("zstd").set("compression.type", "zstd");
    let topic = topic.set("segment.bytes", scale.segment_bytes());
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    for batch in 0..3 * scale.times() {
        let value = |i: usize| format!("again and again {}", scale.value(3 * batch + i));
        let values: Vec<String> = (0..3).map(value).collect();
        log.append(values.iter().map(|value| (Some("key"), Some(value.as_str())))).unwrap();
    }
}

/// Two compacted segments with gaps, one that compaction left as it was, and the active one.
fn compact(broker: &Broker, clock: &MockClock, scale: Scale) {
    let topic = NewTopic::new("compact")
        .set("cleanup.policy", "compact")
        .set("segment.bytes", scale.segment_bytes())
        .set("min.cleanable.dirty.ratio", "0")
        .set("delete.retention.ms", "1000000000")
        .set("index.interval.bytes", "0");
    let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
    let keys = ["a", "b", "a", "c", "b", "d", "e", "f", "c", "g", "h", "i", "j"];
    for (i, key) in keys.iter().cycle().take(keys.len() * scale.times()).enumerate() {
        let value = scale.value(i);
        let value = (i != 8).then_some(value.as_bytes());
        let record = logreel::RawRecord::new(Some(key.as_bytes()), value);
        log.append([record.timestamp(NOW + 10 * i as i64)]).unwrap();
    }
    log.sync().unwrap();
    clock.advance(Duration::from_secs(2));
    clock.advance(Duration::from_secs(2));
    assert!(log.uncleanable().is_none());
}

fn commit(broker: &Broker) {
    for round in 0..2 {
        let mut offsets = Offsets::new();
        for topic in ["plain", "zstd"] {
            let position = OffsetAndMetadata::new(2 + round).with_metadata("m");
            offsets.set((topic, 0), position);
        }
        broker.group(GROUP).alter_offsets(&offsets).unwrap();
    }
}

/// A batch of one record at an offset.
pub(crate) fn batch(offset: i64, builder: BatchBuilder) -> Vec<u8> {
    let mut builder = builder;
    let value = format!("batch {offset}");
    builder.append(Some(NOW + offset), Some(b"k"), Some(value.as_bytes()), &[]).unwrap();
    let mut sealed = builder.seal().unwrap();
    sealed.assign(offset, 0);
    sealed.into_bytes()
}

/// Puts an aborted transaction between plain records, as a killed process leaves it.
fn abort(disk: &SimStorage) {
    let producer = 1 << 50;
    let mut marker = BatchBuilder::marker(
        Some(NOW + 3),
        producer,
        0,
        ControlRecord::Abort { coordinator_epoch: 0 },
    )
    .unwrap();
    marker.assign(3, 0);
    let transactional = || BatchBuilder::new().producer(producer, 0, 0).transactional();
    let log = [
        batch(0, BatchBuilder::new()),
        batch(1, transactional()),
        batch(2, BatchBuilder::new()),
        marker.into_bytes(),
        batch(4, BatchBuilder::new()),
    ];
    disk.put_file("aborted-0/00000000000000000000.log", &log.concat()).unwrap();
    disk.remove_file(MARKER).unwrap();
    disk.remove_file(MANIFEST).unwrap();
}

/// A disk with every file of a directory that another had there before: the same topics, other
/// records.
pub(crate) fn older() -> &'static [(String, Vec<u8>)] {
    static OLDER: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    OLDER.get_or_init(|| {
        let disk = SimStorage::new();
        let clock = MockClock::at_millis(NOW - 1_000_000);
        let broker = builder_at(&disk, &clock).seed(99).open().unwrap();
        for name in TOPICS {
            let topic = NewTopic::new(name).set("segment.bytes", "300");
            let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
            for i in 0..9 {
                log.append([(Some("old"), Some(format!("older {i}").as_str()))]).unwrap();
            }
        }
        broker.close().unwrap();
        disk.files().unwrap()
    })
}

/// Opens a directory as a user does.
pub(crate) fn open(disk: &SimStorage, policy: OnDamage) -> logreel::Result<Broker> {
    builder(disk).on_damage(policy).open()
}
