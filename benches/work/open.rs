//! Beginning: a broker in memory, a directory that was closed, one that was not, an idle one.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use logreel::{Acks, Broker, NewTopic, OffsetReset, ProducerRecord};

use super::measure::{Survives, Unit, Workload};
use super::payload::Payload;
use super::subject::{self, TOPIC};
use super::{Make, Scale};

pub fn all() -> Vec<(&'static str, Make)> {
    vec![
        ("in-memory", in_memory),
        ("open", open),
        ("recovery-64m", |scale| recovery(scale, 64)),
        ("recovery-1g", |scale| recovery(scale, 1024)),
        ("idle", idle),
    ]
}

fn in_memory(_: Scale) -> Workload {
    const TIMES: u32 = 200;
    Workload::new("in memory: the first record in hand", "broker, topic, send, poll", Unit::Time)
        .bound("at most 100 us", 100e-6)
        .ours("logreel", Survives::Nothing, || {
            let mut took = Duration::ZERO;
            for _ in 0..TIMES {
                let began = Instant::now();
                let broker = Broker::in_memory();
                broker.create_topic(TOPIC).unwrap();
                let producer = broker.producer().build().unwrap();
                producer.send(ProducerRecord::to(TOPIC).value("v")).wait().unwrap();
                let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest);
                let consumer = consumer.build().unwrap();
                consumer.assign([(TOPIC, 0)]).unwrap();
                let records = consumer.poll(Duration::ZERO).unwrap();
                // What comes after, the end of the broker, is not part of it.
                took += began.elapsed();
                assert_eq!(records.len(), 1);
            }
            took.as_secs_f64() / f64::from(TIMES)
        })
        .goal("logreel", 1.0, "at most 100 us")
}

fn open(scale: Scale) -> Workload {
    let partitions = scale.records(10_000) / 10;
    let dir = tempfile::tempdir().unwrap();
    let broker = subject::broker(dir.path(), partitions as i32);
    for partition in broker.topic(TOPIC).unwrap().partitions() {
        partition.append([(Some("key"), Some("value"))]).unwrap();
    }
    broker.close().unwrap();
    let settings = format!("{partitions} partitions, a record each; time a partition");
    Workload::new("open after a clean close", settings, Unit::Time)
        .bound("at most 1 ms", 1e-3)
        .ours("logreel", Survives::Unasked, move || {
            let began = Instant::now();
            let broker = Broker::open(dir.path()).unwrap();
            let took = began.elapsed().as_secs_f64() / partitions as f64;
            assert!(broker.recovery_report().clean);
            broker.close().unwrap();
            took
        })
        .goal("logreel", 1.0, "at most 1 ms")
}

/// A directory as a killed process leaves it: a copy of the files of one that is open.
fn killed(scale: Scale, mebibytes: usize) -> (tempfile::TempDir, usize) {
    let payload = Payload::new(1024);
    let records = scale.records(mebibytes * 1024);
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::open(dir.path()).unwrap();
    let topic = NewTopic::new(TOPIC).set("segment.bytes", "2147483647");
    broker.create_topic(topic).unwrap();
    let producer = subject::lingering(&broker, Acks::Leader, 16 * 1024);
    subject::send_all(&producer, &payload, records);
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    (copy, records)
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Reads, checksums, rewrites and syncs a file: what a recovery has to do.
fn rewrite(path: &Path) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    let mut buffer = vec![0; 1 << 20];
    let (mut at, mut crc) = (0, crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi));
    while at < len {
        file.seek(SeekFrom::Start(at)).unwrap();
        let read = file.read(&mut buffer).unwrap();
        crc.update(&buffer[..read]);
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&buffer[..read]).unwrap();
        at += read as u64;
    }
    std::hint::black_box(crc.finalize());
    file.sync_data().unwrap();
}

fn recovery(scale: Scale, mebibytes: usize) -> Workload {
    let (dir, records) = killed(scale, mebibytes);
    let dir = Rc::new(dir);
    let name =
        if mebibytes == 64 { "open after a kill, 64 MiB" } else { "open after a kill, 1 GiB" };
    let raw = Rc::clone(&dir);
    Workload::new(name, "one partition, all past the recovery point, 1 KiB records", Unit::Time)
        .limit("raw read, CRC, rewrite, fdatasync", Survives::Power, move || {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(raw.path(), copy.path());
            let path = copy.path().join("t-0/00000000000000000000.log");
            File::open(&path).unwrap().sync_all().unwrap();
            let began = Instant::now();
            rewrite(&path);
            began.elapsed().as_secs_f64()
        })
        .ours("logreel", Survives::Power, move || {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(dir.path(), copy.path());
            let path = copy.path().join("t-0/00000000000000000000.log");
            File::open(&path).unwrap().sync_all().unwrap();
            let began = Instant::now();
            let broker = Broker::open(copy.path()).unwrap();
            let took = began.elapsed().as_secs_f64();
            assert!(!broker.recovery_report().clean);
            let partition = broker.topic(TOPIC).unwrap().partition(0).unwrap();
            assert_eq!(partition.log_end_offset(), records as i64);
            assert_eq!(partition.recovery_point(), records as i64);
            took
        })
        .goal("logreel", 0.7, "raw read, CRC, rewrite, fdatasync")
}

/// What `/proc/self/status` says of memory in use, in bytes.
pub fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0
}

fn idle(scale: Scale) -> Workload {
    let partitions = scale.records(10_000);
    let dir = tempfile::tempdir().unwrap();
    let broker = subject::broker(dir.path(), partitions as i32);
    for partition in broker.topic(TOPIC).unwrap().partitions() {
        partition.append([(Some("key"), Some("value"))]).unwrap();
    }
    broker.close().unwrap();
    let settings = format!("{partitions} partitions with a record each, closed and opened again");
    Workload::new("memory of idle partitions", settings, Unit::Bytes)
        .bound("at most 100 MiB", f64::from(100 << 20))
        .ours("logreel", Survives::Unasked, move || in_a_fresh_process(dir.path(), partitions))
        .goal("logreel", 1.0, "at most 100 MiB")
}

/// What a fresh process is told to open, and how many partitions it finds there.
const OPEN: &str = "LOGREEL_BENCH_OPEN";

/// Memory is measured by a process that has used none before: in this one, what earlier workloads
/// freed would be used again and not be seen.
fn in_a_fresh_process(dir: &Path, partitions: usize) -> f64 {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let child = child.env(OPEN, dir).env("LOGREEL_BENCH_PARTITIONS", partitions.to_string());
    let output = child.stderr(std::process::Stdio::inherit()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// What such a process does, before anything else; any other one does nothing here.
pub fn measure_if_told() {
    let Some(dir) = std::env::var_os(OPEN) else { return };
    let partitions: usize = std::env::var("LOGREEL_BENCH_PARTITIONS").unwrap().parse().unwrap();
    let (before, threads) = (resident(), entries("/proc/self/task"));
    let descriptors = entries("/proc/self/fd");
    let broker = Broker::open(dir).unwrap();
    let used = resident() - before;
    assert_eq!(broker.topic(TOPIC).unwrap().partitions().len(), partitions);
    assert!(entries("/proc/self/task") <= threads + 2);
    // At most so many files are open, however many partitions there are.
    assert!(entries("/proc/self/fd") <= descriptors + 4096 + 8);
    broker.close().unwrap();
    println!("{used}");
    std::process::exit(0);
}

fn entries(dir: &str) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}
