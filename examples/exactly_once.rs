//! Exactly once: a program reads numbers, writes their squares, and is killed again and again in
//! the middle of its work. What it read, what it wrote and how far it has come is one transaction,
//! so that in the end every square is there exactly once.
//!
//! ```text
//! cargo run --release --example exactly_once
//! ```
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use logreel::{Broker, IsolationLevel, NewTopic, OffsetReset, ProducerRecord};

const NUMBERS: u64 = 2000;
const KILLS: u32 = 12;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    if let (Some("square"), Some(dir)) = (arguments.next().as_deref(), arguments.next()) {
        return square(Path::new(&dir));
    }
    let dir = tempfile::tempdir()?;
    let broker = Broker::open(dir.path())?;
    broker.create_topic(NewTopic::new("squares").partitions(3))?;
    let producer = broker.producer().build()?;
    let numbers = (1..=NUMBERS).map(|n| ProducerRecord::to("numbers").value(n.to_string()));
    producer.send_batch(numbers).wait()?;
    drop(producer);
    broker.close()?;

    let mut kills = 0;
    loop {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program).arg("square").arg(dir.path()).spawn()?;
        if kills < KILLS {
            sleep(Duration::from_millis(20 + random()? % 200));
            child.kill()?;
        }
        // One that had done its work before it was killed ends well.
        if child.wait()?.success() {
            break;
        }
        kills += 1;
    }
    println!("the program was killed {kills} times");
    check(dir.path())
}

/// The program: polls numbers, sends their squares, and commits both as one.
fn square(dir: &Path) -> Outcome {
    let broker = Broker::open(dir)?;
    let settings = broker.consumer().group_id("squarers").enable_auto_commit(false);
    let consumer =
        settings.auto_offset_reset(OffsetReset::Earliest).max_poll_records(20).build()?;
    consumer.subscribe(["numbers"])?;
    let mut producer = broker.producer().build_transactional("squarer")?;
    loop {
        let records = consumer.poll(Duration::ZERO)?;
        let Some(member) = consumer.group_metadata().filter(|_| !records.is_empty()) else {
            return Ok(broker.close()?);
        };
        let transaction = producer.begin()?;
        for record in &records {
            let number: u64 = str::from_utf8(record.value().unwrap_or_default())?.parse()?;
            let result = ProducerRecord::to("squares").key(number.to_string());
            transaction.send(result.value((number * number).to_string())).forget();
        }
        transaction.send_offsets(&records.next_offsets(), &member)?;
        transaction.commit()?;
    }
}

/// Who reads committed records sees every square once; others also see what was given up.
fn check(dir: &Path) -> Outcome {
    let broker = Broker::open(dir)?;
    let mut counts = Vec::new();
    for level in [IsolationLevel::ReadCommitted, IsolationLevel::ReadUncommitted] {
        let settings = broker.consumer().isolation_level(level);
        let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build()?;
        consumer.assign((0..3).map(|partition| ("squares", partition)))?;
        let mut seen: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        loop {
            let records = consumer.poll(Duration::ZERO)?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                let number = |bytes: Option<&[u8]>| -> Result<u64, Box<dyn Error>> {
                    Ok(str::from_utf8(bytes.unwrap_or_default())?.parse()?)
                };
                seen.entry(number(record.key())?).or_default().push(number(record.value())?);
            }
        }
        counts.push(seen.values().map(Vec::len).sum::<usize>());
        if level == IsolationLevel::ReadCommitted {
            let once = (1..=NUMBERS).all(|n| seen.get(&n) == Some(&vec![n * n]));
            ensure(once && seen.len() as u64 == NUMBERS, "a square is missing, or there twice")?;
        }
    }
    if let [committed, all] = counts[..] {
        println!("{committed} squares, each exactly once; {} were given up", all - committed);
    }
    Ok(())
}

fn random() -> Result<u64, Box<dyn Error>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::from(now.subsec_nanos()) / 997)
}

fn ensure(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.into()) }
}
