//! Directories to be made hostile, and what is asked of everything that opens them.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use logreel::admin::Verification;
use logreel::record::{BatchBuilder, Compression};
use logreel::{
    Broker, Error, Housekeeping, NewTopic, OffsetReset, OnDamage, ProducerRecord, RecoveryReport,
};
use tempfile::TempDir;

pub const NOW: i64 = 1_700_000_000_000;
/// What nothing here comes near on an idle machine, and what a hang never ends in.
const PATIENCE: Duration = Duration::from_secs(60);
/// What an open may take besides what the directory honestly needs: the decoder's limit for one
/// batch, a side file, a read ahead, and as much again.
pub const MEMORY_MAX: u64 = 512 << 20;

/// In memory where that is possible: these tests ask nothing of the disk.
pub fn home() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Fails instead of hanging.
pub fn must_end<T: Send + 'static>(what: &str, body: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = done.send(body());
    });
    match wait.recv_timeout(PATIENCE) {
        Ok(value) => {
            thread.join().unwrap();
            value
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => panic!("{what}: it said nothing"),
        },
    }
}

/// A batch of one record whose value is its offset.
pub fn batch(offset: i64) -> Vec<u8> {
    batch_of(offset, offset.to_string().as_bytes(), Compression::None)
}

pub fn batch_of(offset: i64, value: &[u8], codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(codec, None);
    builder.append(Some(NOW), None, Some(value), &[]).unwrap();
    let mut sealed = builder.seal().unwrap();
    sealed.assign(offset, 0);
    sealed.into_bytes()
}

pub fn batches(range: std::ops::Range<i64>) -> Vec<u8> {
    range.flat_map(batch).collect()
}

/// Computes the checksum of a batch whose bytes were changed.
pub fn reseal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// The topic `t` with ten records in three segments, and a group that has committed.
pub fn filled(dir: &Path) {
    let broker = Broker::builder().dir(dir).open().unwrap();
    let topic = NewTopic::new("t").set("segment.bytes", "300").set("index.interval.bytes", "0");
    broker.create_topic(topic).unwrap();
    let producer = broker.producer().build().unwrap();
    for n in 0..10i64 {
        let record = ProducerRecord::to("t").key(format!("k{}", n % 3)).value(format!("v{n}"));
        producer.send(record.timestamp(NOW + n)).wait().unwrap();
    }
    let consumer = broker.consumer().group_id("g").build().unwrap();
    consumer.commit_offsets(&[(("t", 0), 4)].into_iter().collect()).unwrap();
    drop((producer, consumer));
    broker.close().unwrap();
}

/// What `kill -9` leaves of a directory that was closed: no marker, no manifest.
pub fn unclean(dir: &Path) {
    for name in [".kafka_cleanshutdown", "logreel.manifest"] {
        let _ = std::fs::remove_file(dir.join(name));
    }
}

pub fn segment(dir: &Path, base: i64, extension: &str) -> PathBuf {
    dir.join(format!("t-0/{base:020}.{extension}"))
}

/// A killed directory of ours whose only log `t-0` has these segments.
pub fn killed(segments: &[(i64, &[u8])], recovery_point: i64) -> TempDir {
    let dir = home();
    let broker = Broker::open(dir.path()).unwrap();
    broker.create_topic("t").unwrap();
    broker.close().unwrap();
    unclean(dir.path());
    for (base, bytes) in segments {
        std::fs::write(segment(dir.path(), *base, "log"), bytes).unwrap();
    }
    let points = format!("0\n1\nt 0 {recovery_point}\n");
    std::fs::write(dir.path().join("recovery-point-offset-checkpoint"), points).unwrap();
    dir
}

/// Every name under a directory, what it is, how long and what it holds if that is little.
pub fn listing(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let small = meta.is_file() && meta.len() < 1 << 20;
        let sum = if small { crc32c::crc32c(&std::fs::read(&path).unwrap()) } else { 0 };
        let len = if meta.is_file() { meta.len() } else { 0 };
        found.push(format!("{path:?} {:?} {len} {sum:x}", meta.file_type()));
        if meta.is_dir() {
            found.extend(listing(&path));
        }
    }
    found.sort();
    found
}

/// Reads every partition of every topic as a consumer would, up to the first error of each.
pub fn read_everything(broker: &Broker) -> Vec<(String, i64, Vec<u8>)> {
    let mut seen = Vec::new();
    for topic in broker.topics().unwrap() {
        let name = topic.name().to_owned();
        for number in 0..topic.partition_count().min(20) {
            let consumer =
                broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
            consumer.assign([(&*name, number)]).unwrap();
            while let Ok(records) = consumer.poll(Duration::ZERO) {
                if records.is_empty() {
                    break;
                }
                for record in &records {
                    let value = record.value().unwrap_or_default().to_vec();
                    seen.push((format!("{name}-{number}"), record.offset(), value));
                }
            }
        }
    }
    seen
}

/// What came of a hostile directory.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What the open with the default policy said.
    pub report: Option<RecoveryReport>,
    pub error: Option<Error>,
    pub read: Vec<(String, i64, Vec<u8>)>,
    pub verified: Option<Verification>,
    pub bytes_max: u64,
}

impl Outcome {
    /// Whether an error or a report says this of it.
    pub fn tells(&self, text: &str) -> bool {
        format!("{:?} {:?}", self.report, self.error).contains(text)
    }
}

/// Does to copies of a directory everything that opens one: verify and read-only, which must change
/// nothing; each policy for damage; then reads, appends, closes and opens again. Nothing hangs,
/// panics or takes memory without limit; what fails says so. Answers what the default policy did.
pub fn try_everything(what: &str, make: impl Fn(&Path) + Send + 'static) -> Outcome {
    try_with(what, &POLICIES, make)
}

/// The same with some of the policies, the default one last.
pub fn try_with(
    what: &str,
    policies: &[OnDamage],
    make: impl Fn(&Path) + Send + 'static,
) -> Outcome {
    let began = Instant::now();
    let outcome = try_all(what, policies, make);
    let took = began.elapsed().as_millis();
    println!("{what}: {took} ms, {} KiB at most", outcome.bytes_max >> 10);
    outcome
}

/// The same where there are a great many.
pub fn try_everything_quietly(what: &str, make: impl Fn(&Path) + Send + 'static) -> Outcome {
    try_all(what, &POLICIES, make)
}

const POLICIES: [OnDamage; 3] = [OnDamage::Refuse, OnDamage::Truncate, OnDamage::Serve];

fn try_all(what: &str, policies: &[OnDamage], make: impl Fn(&Path) + Send + 'static) -> Outcome {
    let policies = policies.to_vec();
    let name = what.to_owned();
    let outcome = must_end(what, move || {
        let mut outcome = Outcome::default();
        let counted = allocation_counter::measure(|| run(&name, &policies, &make, &mut outcome));
        outcome.bytes_max = counted.bytes_max;
        outcome
    });
    assert!(outcome.bytes_max < MEMORY_MAX, "{what}: {} bytes at once", outcome.bytes_max);
    outcome
}

fn run(what: &str, policies: &[OnDamage], make: &dyn Fn(&Path), outcome: &mut Outcome) {
    let untouched = home();
    make(untouched.path());
    let before = listing(untouched.path());
    outcome.verified = match logreel::admin::verify(untouched.path()) {
        Ok(verification) => Some(verification),
        Err(error) => said(what, error, None),
    };
    match Broker::open_read_only(untouched.path()) {
        Ok(broker) => drop(read_everything(&broker)),
        Err(error) => drop(said::<()>(what, error, None)),
    }
    assert_eq!(listing(untouched.path()), before, "{what}: looking changed it");

    for policy in policies.iter().copied() {
        // With maps last: what the default does is what is answered.
        for mmap in [false, true].into_iter().skip(usize::from(policies.len() == 1)) {
            let dir = home();
            make(dir.path());
            let open = || {
                let builder = Broker::builder().dir(dir.path()).on_damage(policy).mmap(mmap);
                builder.housekeeping(Housekeeping::Manual).open()
            };
            let broker = match open() {
                Ok(broker) => broker,
                Err(error) => {
                    outcome.error = said(what, error.clone(), Some(error));
                    continue;
                }
            };
            outcome.error = None;
            outcome.report = Some(broker.recovery_report().clone());
            outcome.read = read_everything(&broker);
            let appended = append(&broker);
            let all = read_everything(&broker);
            if let Err(error) = broker.close() {
                let _ = said(what, error, Some(()));
                continue;
            }
            let again = open().unwrap_or_else(|e| panic!("{what}: {policy:?} not again: {e}"));
            let after = read_everything(&again);
            if outcome.report.as_ref().is_some_and(|report| report.damaged().count() > 0) {
                // The manifest that showed the damage is gone: what lies behind may be read now.
                let is_there = all.iter().all(|record| after.contains(record));
                assert!(is_there, "{what}: {policy:?} {mmap} lost records by a close");
            } else {
                assert_eq!(after, all, "{what}: {policy:?} {mmap} reads otherwise after a close");
            }
            for (topic, offset, value) in appended {
                let log = again.topic(&topic).unwrap().partition(0).unwrap();
                let records = log.read(offset, 1).unwrap();
                let found = records.iter().find(|record| record.offset() == offset);
                let found = found.unwrap_or_else(|| panic!("{what}: {policy:?} lost {offset}"));
                assert_eq!(found.value(), Some(&value[..]), "{what}: {policy:?} lost an append");
            }
            drop(again);
        }
    }
}

/// Appends one record to each topic that takes it; answers what was acknowledged.
fn append(broker: &Broker) -> Vec<(String, i64, Vec<u8>)> {
    let mut appended = Vec::new();
    for topic in broker.topics().unwrap().into_iter().filter(|t| !t.name().starts_with("__")) {
        let value = format!("appended to {}", topic.name()).into_bytes();
        let log = topic.partition(0).unwrap();
        let record = (Some(&b"k"[..]), Some(&value[..]));
        if let Ok(placed) = log.append([record])
            && log.sync().is_ok()
        {
            appended.push((topic.name().to_owned(), placed.base_offset, value));
        }
    }
    appended
}

/// An error must say something, in one line.
fn said<T>(what: &str, error: Error, answer: Option<T>) -> Option<T> {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "{what}: {text:?}");
    answer
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
