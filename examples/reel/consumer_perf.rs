//! `reel consumer-perf`: Kafka's `kafka-consumer-perf-test`.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use logreel::{Broker, Consumer, OffsetReset, Records};

use crate::failure::Outcome;
use crate::place::{Place, topic};
use crate::{datetime, properties};

const MB: f64 = 1024.0 * 1024.0;

const COLUMNS: &str = "data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                       rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The topic
    #[arg(long, value_name = "T")]
    topic: String,
    /// How many records to read; the last poll may bring more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[arg(allow_negative_numbers = true)]
    messages: u64,
    /// Read as a member of this group, and commit; else read all partitions without changing
    /// anything, beside a process that may be writing
    #[arg(long, value_name = "G")]
    group: Option<String>,
    /// Give up when no record has come for so long
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    timeout: u64,
    /// How much is read of a partition at a time
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    fetch_size: u32,
    /// Begin at the end where nothing was committed
    #[arg(long)]
    from_latest: bool,
    /// Settings of the consumer, a Java properties file
    #[arg(long = "consumer.config", value_name = "FILE")]
    consumer_config: Option<PathBuf>,
    /// Print a line each interval instead of one at the end
    #[arg(long)]
    show_detailed_stats: bool,
    /// The interval
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    reporting_interval: u64,
    /// Do not print the header
    #[arg(long)]
    hide_header: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let broker = if args.group.is_some() { args.place.open(false)? } else { args.place.look()? };
    let measured = measure(&broker, args);
    let closed = broker.close();
    measured?;
    Ok(closed?)
}

fn measure(broker: &Broker, args: &Args) -> Outcome {
    let consumer = consumer(broker, args)?;
    let mut out = std::io::stdout().lock();
    if !args.hide_header {
        let times =
            if args.show_detailed_stats { "time, threadId" } else { "start.time, end.time" };
        writeln!(out, "{times}, {COLUMNS}")?;
    }
    let mut whole = Sums::begin();
    let mut interval = Sums::begin();
    let timeout = Duration::from_millis(args.timeout);
    let reporting = Duration::from_millis(args.reporting_interval);
    let mut last_record = Instant::now();
    while whole.records < args.messages && last_record.elapsed() <= timeout {
        let records = consumer.poll(Duration::from_millis(100).min(timeout))?;
        if whole.joined.is_none() && !consumer.assignment().is_empty() {
            whole.joined = Some(whole.begun.elapsed());
            interval.joined = whole.joined;
        }
        if records.is_empty() {
            continue;
        }
        last_record = Instant::now();
        whole.add(&records);
        interval.add(&records);
        if args.show_detailed_stats && interval.begun.elapsed() >= reporting {
            let (now, total) = (datetime::format(wall_millis()), whole.megabytes());
            writeln!(out, "{now}, 0, {}", interval.columns(total, whole.records))?;
            interval = Sums::begin();
        }
    }
    let line = whole.columns(whole.megabytes(), whole.records);
    let (begun, ended) = (datetime::format(whole.begun_at), datetime::format(wall_millis()));
    if whole.records < args.messages {
        writeln!(
            out,
            "WARNING: Exiting before consuming the expected number of messages: timeout ({} ms) \
             exceeded. You can use the --timeout option to increase the timeout.",
            args.timeout
        )?;
    }
    if !args.show_detailed_stats {
        writeln!(out, "{begun}, {ended}, {line}")?;
    }
    Ok(consumer.close()?)
}

fn consumer(broker: &Broker, args: &Args) -> Outcome<Consumer> {
    let found = topic(broker, &args.topic)?;
    let begin = if args.from_latest { OffsetReset::Latest } else { OffsetReset::Earliest };
    let mut builder = broker
        .consumer()
        .auto_offset_reset(begin)
        .max_partition_fetch_bytes(args.fetch_size as usize)
        .check_crcs(false)
        .allow_auto_create_topics(false);
    // Flags win over the file where they were given.
    for (key, value) in properties::merged(args.consumer_config.as_deref(), &[])? {
        if !["group.id", "auto.offset.reset", "max.partition.fetch.bytes"].contains(&key.as_str()) {
            builder = builder.set(key, value.trim());
        }
    }
    if let Some(group) = &args.group {
        let consumer = builder.group_id(group.as_str()).build()?;
        consumer.subscribe([&args.topic])?;
        return Ok(consumer);
    }
    let consumer = builder.enable_auto_commit(false).build()?;
    consumer.assign((0..found.partition_count()).map(|number| (args.topic.as_str(), number)))?;
    Ok(consumer)
}

/// What was read since a moment.
struct Sums {
    begun: Instant,
    begun_at: i64,
    records: u64,
    bytes: u64,
    /// How long it took to be assigned partitions.
    joined: Option<Duration>,
}

impl Sums {
    fn begin() -> Self {
        let (begun, begun_at) = (Instant::now(), wall_millis());
        Self { begun, begun_at, records: 0, bytes: 0, joined: None }
    }

    fn add(&mut self, records: &Records) {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len) as u64;
        self.records += records.len() as u64;
        self.bytes += records.iter().map(|r| len(r.key()) + len(r.value())).sum::<u64>();
    }

    fn megabytes(&self) -> f64 {
        self.bytes as f64 / MB
    }

    /// The columns behind the times: totals, and the rates of this time.
    fn columns(&self, total: f64, records: u64) -> String {
        let elapsed = self.begun.elapsed();
        let joined = self.joined.unwrap_or_default();
        let fetching = elapsed.saturating_sub(joined);
        let rate = |amount: f64, time: Duration| {
            let seconds = time.as_secs_f64();
            if seconds > 0.0 { amount / seconds } else { 0.0 }
        };
        let (bytes, count) = (self.megabytes(), self.records as f64);
        format!(
            "{total:.4}, {:.4}, {records}, {:.4}, {}, {}, {:.4}, {:.4}",
            rate(bytes, elapsed),
            rate(count, elapsed),
            joined.as_millis(),
            fetching.as_millis(),
            rate(bytes, fetching),
            rate(count, fetching)
        )
    }
}

fn wall_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
