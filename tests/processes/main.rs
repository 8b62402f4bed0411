//! Real processes: killed at every operation and at random moments, racing for a directory,
//! following one another, and waiting without work.
//!
//! The test binary runs itself again as the child; what the child does comes by environment.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test that fails may panic; children report on standard output"
)]

mod child;
mod limits;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use logreel::{Broker, Consumer, OffsetReset};

fn spawn(role: &str, dir: &Path, argument: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::the_child", "--nocapture"])
        .env("LOGREEL_TEST_ROLE", role)
        .env("LOGREEL_TEST_DIR", dir)
        .env("LOGREEL_TEST_ARGUMENT", argument.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the child reported before it died: how many records of each partition were acknowledged.
fn acknowledged(child: &mut Child) -> (BTreeMap<i32, i64>, bool) {
    let mut acknowledged = BTreeMap::new();
    let mut finished = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("ack"), Some(partition), Some(offset)) => {
                acknowledged.insert(partition.parse().unwrap(), offset.parse().unwrap());
            }
            (Some("done"), ..) => finished = true,
            _ => {}
        }
    }
    child.wait().unwrap();
    (acknowledged, finished)
}

/// Opens what a killed child left: everything it acknowledged is there, in order, and nothing else.
fn check(dir: &Path, acknowledged: &BTreeMap<i32, i64>, what: &str) {
    let broker = Broker::open(dir).unwrap();
    assert_eq!(broker.recovery_report().damaged().count(), 0, "{what}");
    let Ok(topic) = broker.topic("t") else {
        assert!(acknowledged.is_empty(), "{what}: the topic is gone");
        return;
    };
    for partition in topic.partitions() {
        let number = partition.topic_partition().partition();
        let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
        consumer.assign([partition.topic_partition()]).unwrap();
        let mut next = 0;
        loop {
            let records = consumer.poll(Duration::ZERO).unwrap();
            if records.is_empty() {
                break;
            }
            for record in &records {
                assert_eq!(record.offset(), next, "{what}");
                assert_eq!(record.value(), Some(format!("{number}:{next}").as_bytes()), "{what}");
                next += 1;
            }
        }
        let last = acknowledged.get(&number).copied().unwrap_or(-1);
        assert!(next > last, "{what}: {number} ends at {next}, {last} was acknowledged");
    }
}

#[test]
fn killed_at_every_operation_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let mut child = spawn("kill-at", &whole, usize::MAX);
    let (_, finished) = acknowledged(&mut child);
    assert!(finished, "the run without a kill");
    let mut kills = 0;
    for nth in 0.. {
        let at = dir.path().join(nth.to_string());
        let mut child = spawn("kill-at", &at, nth);
        let (acks, finished) = acknowledged(&mut child);
        check(&at, &acks, &format!("killed at operation {nth}"));
        std::fs::remove_dir_all(&at).unwrap();
        if finished {
            break;
        }
        kills += 1;
    }
    println!("{kills} kills");
    assert!(kills > 300, "{kills} kills");
}

#[test]
fn killed_at_random_moments_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (mut total, mut patience) = (0, 3_000);
    for round in 0..200u64 {
        // Half of them go on in the directory that the one before left.
        let at = dir.path().join((round / 2).to_string());
        let mut child = spawn("for-ever", &at, 0);
        std::thread::sleep(Duration::from_micros(patience + round * 7_919 % 12_000));
        child.kill().unwrap();
        let (acks, _) = acknowledged(&mut child);
        total += acks.values().map(|last| last + 1).sum::<i64>();
        if acks.is_empty() {
            // A busy machine needs longer to come to the first.
            patience = (patience + 2_000).min(100_000);
        }
        check(&at, &acks, &format!("round {round}"));
    }
    println!("200 kills, {total} records acknowledged");
    assert!(total > 100, "{total} records");
}

#[test]
fn of_sixteen_processes_one_gets_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    for _ in 0..3 {
        let children: Vec<Child> = (0..16).map(|_| spawn("hold", &root, 300)).collect();
        let mut winners = 0;
        for mut child in children {
            let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap())
                .lines()
                .map(std::result::Result::unwrap)
                .collect();
            child.wait().unwrap();
            winners += lines.iter().filter(|line| line.as_str() == "opened").count();
            let refused = lines.iter().find(|line| line.starts_with("refused"));
            if let Some(refused) = refused {
                assert!(refused.contains("DirectoryLocked"), "{refused}");
            }
        }
        assert!(winners >= 1, "somebody gets it");
    }
    // While one holds it, nobody else does, and the message says who.
    let mut holder = spawn("hold", &root, 3000);
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    while lines.next().unwrap().unwrap() != "opened" {}
    let error = Broker::open(&root).unwrap_err();
    assert!(error.to_string().contains(&holder.id().to_string()), "{error}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    Broker::open(&root).unwrap();
}

#[test]
fn another_process_follows_a_live_directory() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    let mut writer = spawn("for-ever", &root, 0);
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().starts_with("ack") {}
    let watcher = Broker::open_read_only(&root).unwrap();
    let consumer = watcher.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let mut next = 0;
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        for record in &consumer.poll(Duration::from_millis(200)).unwrap() {
            assert_eq!(record.offset(), next);
            assert_eq!(record.value(), Some(format!("0:{next}").as_bytes()));
            next += 1;
        }
    }
    writer.kill().unwrap();
    drop(lines);
    writer.wait().unwrap();
    assert!(next > 100, "{next} records were seen as they came");
}

/// Processor time of this thread, in nanoseconds.
fn thread_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

/// Processor time of a poll of ten seconds that finds nothing.
fn time_parked(consumer: &Consumer) -> Duration {
    consumer.poll(Duration::ZERO).unwrap();
    let before = thread_time();
    assert!(consumer.poll(Duration::from_secs(10)).unwrap().is_empty());
    Duration::from_nanos(thread_time() - before)
}

#[test]
fn a_parked_consumer_uses_no_processor_time() {
    let broker = Broker::in_memory();
    let alone = broker.consumer().build().unwrap();
    alone.assign([("t", 0)]).unwrap();
    let join = || {
        let member = broker.consumer().group_id("g").build().unwrap();
        member.subscribe(["t"]).unwrap();
        member.poll(Duration::ZERO).unwrap();
        member
    };
    let (owner, idle) = (join(), join());
    owner.poll(Duration::ZERO).unwrap();
    thread::scope(|scope| {
        let parked = [&alone, &owner, &idle].map(|c| scope.spawn(move || time_parked(c)));
        for thread in parked {
            let used = thread.join().unwrap();
            println!("parked for ten seconds, {used:?} of processor time");
            assert!(used < Duration::from_millis(5), "{used:?}");
        }
    });
    assert!(idle.assignment().is_empty(), "there is one partition for two members");
    drop(owner);
    idle.poll(Duration::ZERO).unwrap();
    assert_eq!(idle.assignment(), [("t", 0).into()], "it takes over");
}
