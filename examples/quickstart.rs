//! A first run from end to end: a text file goes into a topic by key, comes out in order through a
//! consumer group, and the next run goes on from the offsets this one committed.
//!
//! ```text
//! cargo run --release --example quickstart -- [--dir DIR] [FILE]
//! ```
//!
//! `FILE` holds one record a line; what stands before the first comma is its key. Every run sends
//! the whole file once more, as another day of the fleet would, and reads only what is new.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that tells what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use logreel::{
    Broker, Consumer, ErrorCode, NewTopic, OffsetReset, ProducerRecord, Records, TopicPartition,
};

const TOPIC: &str = "positions";
const GROUP: &str = "fleet";
/// How many deliveries are under way before their outcome is looked at.
const WINDOW: usize = 10_000;
const PROGRESS_EVERY: u64 = 100_000;
/// How long the reading may stand still.
const PATIENCE: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Sends a file through a log on disk and reads it back.
#[derive(Parser)]
struct Args {
    /// One record a line, the key before the first comma [default: examples/data/trucks.csv]
    file: Option<PathBuf>,
    /// Where the log is kept; made if it is missing
    #[arg(long, default_value = "./quickstart-data")]
    dir: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<()> {
    let path = args.file.clone().unwrap_or_else(sample);
    let path = path.as_path();
    let mut input = open_input(path)?;

    let broker = Broker::open(&args.dir)?;
    println!("topic {TOPIC} in {}, group {GROUP}", args.dir.display());
    match broker.create_topic(NewTopic::new(TOPIC).partitions(3)) {
        Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => return Err(error)?,
        _ => {}
    }
    let consumer = broker
        .consumer()
        .group_id(GROUP)
        .auto_offset_reset(OffsetReset::Earliest)
        .enable_auto_commit(false)
        .build()?;
    consumer.subscribe([TOPIC])?;
    let mut reader = Reader { broker: &broker, consumer: &consumer, next: BTreeMap::new() };

    let mut before = Tally::default();
    reader.join(&mut before)?;
    reader.catch_up(&mut before)?;
    if before.records > 0 {
        println!("{} records were left by a run that did not commit", before.records);
        consumer.commit()?;
    }

    let sent = send(&broker, &mut *input, path)?;
    println!("sent {} lines of {}, each synced to disk (acks=all)", sent.records, path.display());

    let mut read = Tally::default();
    reader.catch_up(&mut read)?;
    println!("read {} records of {} keys\n", read.records, read.keys.len());
    read.print();
    sent.compare(&read)?;
    println!("\norder: every key's records came out as its lines went in, none lost, none twice");

    consumer.commit()?;
    for tp in consumer.assignment() {
        let committed = consumer.committed(&tp)?.ok_or("the commit left no offset")?;
        println!("{tp} committed at offset {}", committed.offset());
    }
    drop(consumer);
    broker.close()?;
    println!("\nRun it again: it sends the file once more and reads only that.");
    Ok(())
}

/// The sample, wherever the example is started, named as shortly as that allows.
fn sample() -> PathBuf {
    let path = Path::new("examples/data/trucks.csv");
    if path.exists() { path.into() } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(path) }
}

fn open_input(path: &Path) -> Outcome<Box<dyn BufRead>> {
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let mut input = BufReader::new(File::open(path).map_err(unreadable)?);
    if input.fill_buf().map_err(unreadable)?.is_empty() {
        return Err(format!("{} is empty", path.display()).into());
    }
    Ok(Box::new(input))
}

/// Sends every line and waits until each is on disk.
fn send(broker: &Broker, input: &mut dyn BufRead, path: &Path) -> Outcome<Tally> {
    let producer = broker.producer().build()?;
    let mut sent = Tally::default();
    let mut window = Vec::with_capacity(WINDOW);
    let mut line = Vec::new();
    let mut number: u64 = 0;
    loop {
        line.clear();
        let place = |number: u64| format!("{}, line {number}", path.display());
        let count = input.read_until(b'\n', &mut line);
        let at_end = count.map_err(|error| format!("{}: {error}", place(number + 1)))? == 0;
        if window.len() == WINDOW || at_end {
            for (number, delivery) in window.drain(..) {
                let delivery: logreel::Delivery = delivery;
                delivery.wait().map_err(|error| format!("{}: {error}", place(number)))?;
            }
        }
        if at_end {
            break;
        }
        number += 1;
        let text = line.trim_ascii_end();
        if text.is_empty() {
            continue;
        }
        let key = text.split(|byte| *byte == b',').next().unwrap_or(text);
        window.push((number, producer.send(ProducerRecord::to(TOPIC).key(key).value(text))));
        sent.add(key, text, None);
        if sent.records.is_multiple_of(PROGRESS_EVERY) {
            eprintln!("sent {} lines ...", sent.records);
        }
    }
    if sent.records == 0 {
        return Err(format!("{} holds only blank lines", path.display()).into());
    }
    Ok(sent)
}

/// The group's one member, and the offset it must see next in each partition.
struct Reader<'a> {
    broker: &'a Broker,
    consumer: &'a Consumer,
    next: BTreeMap<TopicPartition, i64>,
}

impl Reader<'_> {
    /// Polls until the group has given this member its partitions, and says where they go on.
    fn join(&mut self, tally: &mut Tally) -> Outcome<()> {
        let started = Instant::now();
        let mut early = Vec::new();
        while self.consumer.assignment().is_empty() {
            if started.elapsed() > PATIENCE {
                return Err("the group assigned no partitions".into());
            }
            early.push(self.consumer.poll(Duration::from_millis(10))?);
        }
        for tp in self.consumer.assignment() {
            let offset = match self.consumer.committed(&tp)? {
                Some(committed) => {
                    println!("{tp} continued at offset {}", committed.offset());
                    committed.offset()
                }
                None => {
                    let start = self.broker.partition(&tp)?.log_start_offset();
                    println!("{tp} starts at offset {start}: group {GROUP} has committed nothing");
                    start
                }
            };
            self.next.insert(tp, offset);
        }
        early.iter().try_for_each(|records| self.take(records, tally))
    }

    /// Reads up to the end that every partition has now.
    fn catch_up(&mut self, tally: &mut Tally) -> Outcome<()> {
        let mut ends = BTreeMap::new();
        for tp in self.next.keys() {
            ends.insert(tp.clone(), self.broker.partition(tp)?.high_watermark());
        }
        let mut moved = Instant::now();
        while self.next.iter().any(|(tp, next)| ends.get(tp).is_some_and(|end| next < end)) {
            let records = self.consumer.poll(Duration::from_secs(1))?;
            if !records.is_empty() {
                moved = Instant::now();
            } else if moved.elapsed() > PATIENCE {
                return Err(format!("nothing came for {} s", PATIENCE.as_secs()).into());
            }
            self.take(&records, tally)?;
        }
        Ok(())
    }

    fn take(&mut self, records: &Records, tally: &mut Tally) -> Outcome<()> {
        for record in records {
            let tp = record.topic_partition();
            let next = self.next.get_mut(tp).ok_or_else(|| format!("{tp} was not assigned"))?;
            if record.offset() != *next {
                return Err(format!("{tp}: offset {} came, not {next}", record.offset()).into());
            }
            *next += 1;
            let (key, value) = (record.key(), record.value());
            tally.add(key.unwrap_or_default(), value.unwrap_or_default(), Some(record.partition()));
            if tally.records.is_multiple_of(PROGRESS_EVERY) {
                eprintln!("read {} records ...", tally.records);
            }
        }
        Ok(())
    }
}

/// What was seen of one key.
#[derive(Default)]
struct Key {
    records: u64,
    /// Depends on every value and on their order.
    digest: u64,
    partition: Option<i32>,
}

#[derive(Default)]
struct Tally {
    records: u64,
    keys: BTreeMap<Vec<u8>, Key>,
}

impl Tally {
    fn add(&mut self, key: &[u8], value: &[u8], partition: Option<i32>) {
        if !self.keys.contains_key(key) {
            self.keys.insert(key.to_vec(), Key::default());
        }
        if let Some(seen) = self.keys.get_mut(key) {
            let mut hasher = DefaultHasher::new();
            (seen.digest, value).hash(&mut hasher);
            seen.digest = hasher.finish();
            seen.records += 1;
            seen.partition = partition;
        }
        self.records += 1;
    }

    /// Whether the same values came per key, in the same order.
    fn compare(&self, read: &Tally) -> Outcome<()> {
        for (key, sent) in &self.keys {
            let name = key.escape_ascii();
            let seen = read.keys.get(key).ok_or_else(|| format!("no record of {name} came"))?;
            if (seen.records, seen.digest) != (sent.records, sent.digest) {
                let counts = format!("{} sent, {} read", sent.records, seen.records);
                return Err(format!("records of {name} differ or changed order: {counts}").into());
            }
        }
        if self.records != read.records {
            return Err(format!("{} records sent, {} read", self.records, read.records).into());
        }
        Ok(())
    }

    /// Records per key and per partition.
    fn print(&self) {
        const KEYS_MAX: usize = 50;
        println!("{:<24} {:>9}  partition", "key", "records");
        for (key, seen) in self.keys.iter().take(KEYS_MAX) {
            let name: String = key.escape_ascii().to_string().chars().take(24).collect();
            println!("{name:<24} {:>9}  {}", seen.records, seen.partition.unwrap_or_default());
        }
        if self.keys.len() > KEYS_MAX {
            println!("... and {} more keys", self.keys.len() - KEYS_MAX);
        }
        let mut spread: BTreeMap<i32, (u64, u64)> = BTreeMap::new();
        for seen in self.keys.values() {
            let part = spread.entry(seen.partition.unwrap_or_default()).or_default();
            *part = (part.0 + 1, part.1 + seen.records);
        }
        println!();
        for (partition, (keys, records)) in spread {
            println!("partition {partition}: {records} records of {keys} keys");
        }
    }
}
