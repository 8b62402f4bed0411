//! `reel end-to-end-latency`: Kafka's `kafka-e2e-latency`.
//!
//! Lines are Kafka's, but every latency is in microseconds: in one process a record takes few of
//! them, and all of Kafka's whole milliseconds would be 0.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{ArgGroup, ValueEnum, value_parser};
use logreel::{Acks, Broker, Consumer, NewTopic, OffsetReset, Producer, ProducerRecord};

use crate::failure::{Failure, Outcome};
use crate::payloads::{Payloads, Source};
use crate::place::Place;

/// How often a line is printed, in records.
const REPORT_EVERY: u64 = 1000;

/// A record that has not come by then will not come.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("where").required(true).args(["dir", "in_memory"])))]
pub(crate) struct Args {
    /// The log directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Measure a topic in memory instead of one in a directory
    #[arg(long)]
    in_memory: bool,
    /// The topic; it is made, with one partition, if it is not there
    #[arg(long, value_name = "T")]
    topic: String,
    /// How many records to send, each when the one before has been received
    #[arg(long, visible_alias = "num-records", value_name = "N")]
    #[arg(value_parser = value_parser!(u64).range(1..), allow_negative_numbers = true)]
    messages: u64,
    /// When a record counts as sent; a record that nobody acknowledges (0) cannot be measured
    #[arg(long, visible_alias = "producer-acks", value_name = "A", allow_negative_numbers = true)]
    acks: Acknowledged,
    /// Send random letters, so many a record
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(i32).range(1..))]
    #[arg(allow_negative_numbers = true)]
    record_size: i32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Acknowledged {
    #[value(name = "1")]
    Leader,
    #[value(name = "all", alias = "-1")]
    All,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let broker = match &args.dir {
        Some(dir) => Place::at(dir.clone()).open(false)?,
        None => Broker::builder().auto_create_topics(false).open()?,
    };
    let measured = measure(&broker, args);
    let closed = broker.close();
    measured?;
    Ok(closed?)
}

fn measure(broker: &Broker, args: &Args) -> Outcome {
    let mut out = std::io::stdout().lock();
    let topic = args.topic.as_str();
    if broker.topic(topic).is_err() {
        broker.create_topic(NewTopic::new(topic))?;
        writeln!(
            out,
            "Topic \"{topic}\" does not exist. Will create topic with 1 partition(s) and \
             replication factor = 1"
        )?;
    }
    let acks = match args.acks {
        Acknowledged::Leader => Acks::Leader,
        Acknowledged::All => Acks::All,
    };
    let producer = broker.producer().acks(acks).build()?;
    let consumer = at_the_end(broker, topic)?;
    let size = usize::try_from(args.record_size).unwrap_or_default();
    let mut payloads = Payloads::new(Source::Letters(size), 0);
    let mut latencies = Vec::new();
    for number in 0..args.messages {
        let latency = one(&producer, &consumer, topic, payloads.next(number))?;
        if number.is_multiple_of(REPORT_EVERY) {
            writeln!(out, "{number}\t{:.3}", micros(latency))?;
        }
        latencies.push(latency);
    }
    let sum: Duration = latencies.iter().sum();
    latencies.sort_unstable();
    let [half, most, all_but_few] =
        [500, 990, 999].map(|permille| percentile(&latencies, permille));
    writeln!(out, "Avg latency: {:.4} us", micros(sum) / args.messages as f64)?;
    writeln!(out, "Percentiles: 50th = {half}, 99th = {most}, 99.9th = {all_but_few}")?;
    Ok(consumer.close()?)
}

/// A consumer of what comes from now on.
fn at_the_end(broker: &Broker, topic: &str) -> Outcome<Consumer> {
    let count = broker.topic(topic)?.partition_count();
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Latest).build()?;
    let partitions: Vec<(&str, i32)> = (0..count).map(|number| (topic, number)).collect();
    consumer.assign(partitions.clone())?;
    consumer.seek_to_end(partitions)?;
    // Looks the ends up, so that the first record does not wait for it.
    consumer.poll(Duration::ZERO)?;
    Ok(consumer)
}

/// How long a record takes from before it is sent until it has been received.
fn one(producer: &Producer, consumer: &Consumer, topic: &str, sent: &[u8]) -> Outcome<Duration> {
    let begun = Instant::now();
    producer.send(ProducerRecord::to(topic).value(sent)).wait()?;
    let records = consumer.poll(TIMEOUT)?;
    let latency = begun.elapsed();
    let mut received = records.iter();
    match (received.next().map(|record| record.value()), received.next()) {
        (Some(Some(value)), None) if value == sent => Ok(latency),
        (None, _) => Err(Failure::new(format!("no record came within {} s", TIMEOUT.as_secs()))),
        _ => Err(Failure::new(format!("something else writes to {topic}"))),
    }
}

fn micros(latency: Duration) -> f64 {
    latency.as_secs_f64() * 1e6
}

/// In whole microseconds, of latencies in ascending order.
fn percentile(latencies: &[Duration], permille: usize) -> u128 {
    let at = latencies.len() * permille / 1000;
    latencies.get(at).map_or(0, Duration::as_micros)
}
