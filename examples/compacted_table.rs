//! A table: a compacted topic keeps the last value of each key, so that a map of all keys can be
//! built from it whenever a program starts, however often they have changed.
//!
//! ```text
//! cargo run --release --example compacted_table
//! ```
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use logreel::typed::{Long, Utf8};
use logreel::{Broker, CleanupPolicy, NewTopic, OffsetReset, Typed, TypedProducer};

const CHANGES: i64 = 200_000;
const ACCOUNTS: i64 = 100;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The balances of accounts by name, as they are now; all changes go to the topic first.
struct Table {
    changes: TypedProducer<Utf8, Long>,
    rows: BTreeMap<String, i64>,
}

impl Table {
    /// Reads what is there; says how many records that were.
    fn open(broker: &Broker) -> Outcome<(Self, usize)> {
        let changes = broker.producer().build()?.typed("balances", Utf8, Long);
        let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
        consumer.assign([("balances", 0)])?;
        let records = consumer.read_to_end()?;
        let types = Typed { key: Utf8, value: Long };
        let mut rows = BTreeMap::new();
        for record in &records {
            match types.read(record)? {
                (Some(name), Some(balance)) => drop(rows.insert(name.to_owned(), balance)),
                (Some(name), None) => drop(rows.remove(name)),
                (None, _) => return Err("a record without a key".into()),
            }
        }
        Ok((Self { changes, rows }, records.len()))
    }

    fn set(&mut self, name: &str, balance: i64) {
        self.changes.send(name, &balance).forget();
        self.rows.insert(name.to_owned(), balance);
    }

    fn remove(&mut self, name: &str) {
        self.changes.delete(name).forget();
        self.rows.remove(name);
    }

    /// Waits until everything is on the disk.
    fn save(&self) -> logreel::Result<()> {
        self.changes.producer().flush(Duration::from_secs(20))
    }
}

fn open(dir: &Path) -> logreel::Result<Broker> {
    // A program that runs for a second does not wait half a minute for the first look at its logs.
    let settings = Broker::builder().dir(dir).set("log.initial.task.delay.ms", "0");
    settings.set("log.cleaner.backoff.ms", "10").open()
}

fn main() -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let broker = open(dir.path())?;
    let topic = NewTopic::new("balances").cleanup_policy(CleanupPolicy::Compact);
    let topic = topic.set("segment.bytes", "1048576").set("min.cleanable.dirty.ratio", "0.01");
    let topic = broker.create_topic(topic)?;

    let (mut table, _) = Table::open(&broker)?;
    for change in 0..CHANGES {
        table.set(&format!("account-{}", change % ACCOUNTS), change);
    }
    table.remove("account-7");
    table.save()?;
    let written = table.rows.clone();
    println!("{CHANGES} changes of {ACCOUNTS} accounts, of which {} are left", written.len());

    // The segments that are full are compacted by a thread of the broker.
    let count = || -> Outcome<usize> { Ok(Table::open(&broker)?.1) };
    let began = Instant::now();
    while count()? > usize::try_from(CHANGES)? / 2 && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop((table, topic));
    broker.close()?;

    let (table, read) = Table::open(&open(dir.path())?)?;
    println!("after a restart {read} records are left of them");
    ensure(read < usize::try_from(CHANGES)? / 2, "the topic was compacted")?;
    ensure(table.rows == written, "the table is what it was")?;
    ensure(!table.rows.contains_key("account-7"), "what was removed stays removed")?;
    println!("the table has {} rows, as before", table.rows.len());
    Ok(())
}

fn ensure(holds: bool, what: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(format!("not as it should be: {what}").into()) }
}
