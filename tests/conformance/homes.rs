//! Where the brokers of the tests live, and how the tests look at what they hold.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use logreel::consumer::ConsumerBuilder;
use logreel::testing::MockClock;
use logreel::{
    Broker, BrokerBuilder, Consumer, Error, ErrorCode, NewTopic, OffsetReset, Partition,
    ProducerRecord, Record, Result, Storage, TopicPartition,
};

pub const NOW: i64 = 1_700_000_000_000;

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Longer than any test takes.
pub const LONG: Duration = Duration::from_secs(60);

/// Names a file where that is written, too; see `written`.
pub const SEEN: &str = "LOGREEL_CONFORMANCE_SEEN";

static NOTED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// Which tests of a number have opened which homes.
pub fn seen() -> BTreeSet<(String, String)> {
    NOTED.lock().unwrap().clone()
}

enum Files {
    Memory(Storage),
    Disk(tempfile::TempDir),
}

pub struct Home {
    files: Files,
    pub clock: Option<MockClock>,
}

/// Memory and disk, real and mock clock.
pub fn homes() -> Vec<Home> {
    let memory = || Files::Memory(Storage::memory());
    let disk = || Files::Disk(tempfile::tempdir().unwrap());
    let clock = || Some(MockClock::at_millis(NOW));
    vec![
        Home { files: memory(), clock: None },
        Home { files: memory(), clock: clock() },
        Home { files: disk(), clock: None },
        Home { files: disk(), clock: clock() },
    ]
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = match &self.files {
            Files::Memory(_) => "memory",
            Files::Disk(_) => "disk",
        };
        let clock = if self.clock.is_some() { "mock" } else { "system" };
        write!(f, "{files}, {clock} clock")
    }
}

impl Home {
    /// Another one of the kind.
    pub fn fresh_like(home: &Home) -> Self {
        let wanted = home.to_string();
        homes().into_iter().find(|home| home.to_string() == wanted).unwrap()
    }

    pub fn builder(&self) -> BrokerBuilder {
        self.note();
        let builder = match &self.files {
            Files::Memory(storage) => Broker::builder().storage(storage.clone()),
            Files::Disk(dir) => Broker::builder().dir(dir.path()),
        };
        match &self.clock {
            Some(clock) => builder.clock(clock),
            None => builder,
        }
    }

    /// Tells `written` that the test of this thread has been here.
    fn note(&self) {
        let test = std::thread::current();
        let Some(test) = test.name().filter(|name| crate::written::number_of(name).is_some())
        else {
            return;
        };
        if NOTED.lock().unwrap().insert((test.to_owned(), self.to_string()))
            && let Some(file) = std::env::var_os(SEEN)
        {
            let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
            file.write_all(format!("{test}\t{self}\n").as_bytes()).unwrap();
        }
    }

    pub fn open(&self) -> Broker {
        self.builder().open().unwrap()
    }

    pub fn dir(&self) -> Option<&std::path::Path> {
        match &self.files {
            Files::Memory(_) => None,
            Files::Disk(dir) => Some(dir.path()),
        }
    }

    pub fn is_mock(&self) -> bool {
        self.clock.is_some()
    }

    /// What went well.
    #[track_caller]
    pub fn ok<T>(&self, outcome: Result<T>) -> T {
        outcome.unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    /// What failed.
    #[track_caller]
    pub fn err<T>(&self, outcome: Result<T>) -> Error {
        match outcome {
            Ok(_) => panic!("{self}: it succeeded"),
            Err(error) => error,
        }
    }

    /// Fails with this code.
    #[track_caller]
    pub fn fails<T>(&self, outcome: Result<T>, code: ErrorCode) {
        let error = self.err(outcome);
        assert_eq!(error.code(), Some(code), "{self}: {error}");
    }

    /// Milliseconds since 1970 by the broker's clock.
    pub fn now(&self) -> i64 {
        self.clock
            .as_ref()
            .map_or_else(|| logreel::Clock::system().wall_millis(), |clock| clock.wall_millis())
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(time),
            None => std::thread::sleep(time),
        }
    }

    /// How long the body took by the broker's clock.
    pub fn timed<T>(&self, body: impl FnOnce() -> T) -> (T, Duration) {
        let (begun, real) = (self.now(), Instant::now());
        let answer = body();
        let took = match self.clock {
            Some(_) => ms((self.now() - begun) as u64),
            None => real.elapsed(),
        };
        (answer, took)
    }

    /// It took exactly that long on a mock clock, and at least that long on the system's.
    #[track_caller]
    pub fn assert_took(&self, took: Duration, wanted: Duration) {
        let most = if self.is_mock() { wanted } else { wanted + Duration::from_secs(5) };
        assert!((wanted..=most).contains(&took), "{self}: {took:?}, not {wanted:?}");
    }
}

pub fn partition(broker: &Broker, topic: &str, number: i32) -> Partition {
    broker.topic(topic).unwrap().partition(number).unwrap()
}

/// The records of a partition, batch by batch: a read of one byte brings one batch.
pub fn batches(broker: &Broker, topic: &str, number: i32) -> Vec<Vec<Record>> {
    let partition = partition(broker, topic, number);
    let mut batches = Vec::new();
    let mut next = partition.log_start_offset();
    while next < partition.log_end_offset() {
        let batch = partition.read(next, 1).unwrap().to_vec();
        next = batch.last().unwrap().offset + 1;
        batches.push(batch);
    }
    batches
}

pub fn read(broker: &Broker, topic: &str, number: i32) -> Vec<Record> {
    batches(broker, topic, number).concat()
}

pub fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or("null".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// The values of a partition, checked to lie at the offsets 0, 1, 2.
#[track_caller]
pub fn values(broker: &Broker, topic: &str, number: i32) -> Vec<String> {
    let records = read(broker, topic, number);
    let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (0..records.len() as i64).collect::<Vec<_>>());
    records.iter().map(|record| text(record.value.as_deref())).collect()
}

/// The sizes of the batches of a partition.
pub fn batch_sizes(broker: &Broker, topic: &str, number: i32) -> Vec<usize> {
    batches(broker, topic, number).iter().map(Vec::len).collect()
}

/// A record for partition 0 of topic `t`.
pub fn value(value: impl Into<String>) -> ProducerRecord<'static> {
    ProducerRecord::to("t").partition(0).value(value.into())
}

/// A broker with a topic `t` of so many partitions.
pub fn with_topic(home: &Home, partitions: i32) -> Broker {
    let broker = home.open();
    home.ok(broker.create_topic(NewTopic::new("t").partitions(partitions)));
    broker
}

/// Appends one batch to a partition of `t`.
pub fn put(broker: &Broker, number: i32, values: &[String]) {
    let records = values.iter().map(|value| (None, Some(value.as_str())));
    partition(broker, "t", number).append(records).unwrap();
}

/// A consumer that begins at the log start and commits when it is told.
pub fn earliest(broker: &Broker) -> ConsumerBuilder {
    broker.consumer().auto_offset_reset(OffsetReset::Earliest).enable_auto_commit(false)
}

pub fn t(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

/// What there is, poll by poll.
pub fn drain(consumer: &Consumer) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return all;
        }
        all.extend(records.to_vec());
    }
}

/// The offsets of records, in the order they came.
pub fn offsets(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.offset).collect()
}

/// `prefix0`, `prefix1` and so on.
pub fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}

/// Waits for what another thread does.
#[track_caller]
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(ms(1));
    }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Flag(std::thread::Thread);
    impl std::task::Wake for Flag {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    let waker = std::sync::Arc::new(Flag(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park_timeout(LONG),
        }
    }
}
