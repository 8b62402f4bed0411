//! Under tokio: records are awaited with a time limit, workers process them and commit, and nothing
//! is lost by a future that was given up.
//!
//! ```text
//! cargo run --release --example async_tokio
//! ```
//!
//! Any other runtime does as well: the crate has none, and its futures need none.
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use logreel::typed::{Integer, Utf8};
use logreel::{Broker, NewTopic, OffsetReset, Record, Typed};
use tokio::time::timeout;

const JOBS: i32 = 1000;
const PARTITIONS: i32 = 4;
const IDLE: Duration = Duration::from_millis(100);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("jobs").partitions(PARTITIONS))?;
    let group = broker.group("workers");
    let settings = group.member().auto_offset_reset(OffsetReset::Earliest);
    let consumer = Arc::new(settings.enable_auto_commit(false).build()?);
    consumer.subscribe(["jobs"])?;

    // Nothing is there yet; the future that is given up takes nothing with it.
    let nothing = timeout(Duration::from_millis(5), consumer.recv()).await;
    println!("within 5 ms there was {}", if nothing.is_err() { "nothing" } else { "something" });
    ensure(nothing.is_err(), "nothing was sent yet")?;

    let jobs = broker.producer().build()?.typed("jobs", Utf8, Integer);
    let sending = tokio::spawn(async move {
        for number in 0..JOBS {
            jobs.send(&format!("customer-{}", number % 37), &number).await?;
        }
        Ok::<(), logreel::Error>(())
    });

    // Each worker awaits records of the same consumer, one at a time, and commits the partitions
    // that are its own: positions of a partition are committed in their order.
    let mut hand_out = Vec::new();
    let mut workers = Vec::new();
    for _ in 0..PARTITIONS {
        let (sender, mut jobs) = tokio::sync::mpsc::unbounded_channel::<Record>();
        let committer = consumer.committer();
        hand_out.push(sender);
        workers.push(tokio::spawn(async move {
            let types = Typed { key: Utf8, value: Integer };
            let mut done = Vec::new();
            while let Some(job) = jobs.recv().await {
                done.extend(types.read(&job)?.1);
                let next = [(job.topic_partition(), job.offset + 1)].into_iter().collect();
                committer.commit_offsets_async(&next).await?;
            }
            Outcome::Ok(done)
        }));
    }
    let reader = Arc::clone(&consumer);
    let read = tokio::spawn(async move {
        let mut read = 0;
        while let Ok(job) = timeout(IDLE, reader.recv()).await {
            let job = job?;
            let worker = usize::try_from(job.partition)?;
            hand_out.get(worker).ok_or("no such worker")?.send(job)?;
            read += 1;
        }
        Outcome::Ok(read)
    });

    sending.await??;
    let read = read.await??;
    let mut done = Vec::new();
    for worker in workers {
        let part = worker.await??;
        println!("a worker did {} jobs", part.len());
        done.extend(part);
    }
    done.sort_unstable();
    ensure(read == JOBS && done == (0..JOBS).collect::<Vec<_>>(), "every job was done once")?;
    println!("{read} jobs were done, each once; the lag is {}", group.total_lag()?);
    ensure(group.total_lag()? == 0, "everything is committed")
}

fn ensure(holds: bool, what: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(format!("not as it should be: {what}").into()) }
}
