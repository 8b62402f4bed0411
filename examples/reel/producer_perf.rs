//! `reel producer-perf`: Kafka's `kafka-producer-perf-test`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::{ArgGroup, value_parser};
use logreel::{Broker, NewTopic, Producer, ProducerRecord};

use crate::failure::{Failure, Outcome};
use crate::payloads::{Payloads, Source};
use crate::perf_report::Report;
use crate::place::{Place, pair, topic};
use crate::properties::{merged, unescaped, with_properties};

/// Shorter sleeps take longer than they should, so a thread goes ahead that much.
const SHORTEST_SLEEP: Duration = Duration::from_millis(2);

/// More do not make it faster, and a system may not give more.
const THREADS_MAX: i64 = 1000;

#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("where").required(true).args(["dir", "in_memory"])),
    group(ArgGroup::new("what").required(true).args([
        "record_size", "payload_file", "payload_monotonic",
    ]))
)]
pub(crate) struct Args {
    /// The log directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Make the topic in memory, where all its records stay, instead of in a directory
    #[arg(long)]
    in_memory: bool,
    /// How many partitions the topic in memory has
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        conflicts_with = "dir",
        allow_negative_numbers = true
    )]
    partitions: i32,
    /// The topic
    #[arg(long, value_name = "T")]
    topic: String,
    /// How many records to send
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    num_records: u64,
    /// Send random letters, so many a record
    #[arg(
        long, value_name = "BYTES", value_parser = value_parser!(i32).range(1..),
        allow_negative_numbers = true
    )]
    record_size: Option<i32>,
    /// Send payloads of this file, each chosen at random
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
    /// What stands between the payloads of the file: a text, in which \n is a newline
    #[arg(long, value_name = "TEXT", default_value = "\\n", value_parser = delimiter)]
    payload_delimiter: String,
    /// Send the numbers from 0
    #[arg(long)]
    payload_monotonic: bool,
    /// How many records a second to send, at most; -1 for as many as can be
    #[arg(long, value_name = "R", value_parser = throughput, allow_negative_numbers = true)]
    throughput: f64,
    /// Settings of the producer, by Kafka's names
    #[arg(
        long, visible_alias = "command-property", value_name = "K=V", value_parser = pair,
        num_args = 1..
    )]
    producer_props: Vec<(String, String)>,
    /// A properties file with settings of the producer; --producer-props wins
    #[arg(long = "producer.config", visible_alias = "command-config", value_name = "FILE")]
    producer_config: Option<PathBuf>,
    /// Report a second time, without so many records at the beginning
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    warmup_records: i64,
    /// How many threads send, all with one producer
    #[arg(
        long, value_name = "N", default_value_t = 1,
        value_parser = value_parser!(u16).range(1..=THREADS_MAX), allow_negative_numbers = true
    )]
    threads: u16,
}

fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a whole number above 0 is needed".to_owned()),
    }
}

fn delimiter(text: &str) -> Result<String, String> {
    match unescaped(text) {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => Err("it is empty".to_owned()),
        None => Err("there is a malformed escape in it".to_owned()),
    }
}

/// Kafka's tool takes 0 and then waits for ever; here that is an error.
fn throughput(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate != 0.0 && !rate.is_nan() => Ok(rate),
        _ => Err("a number above 0 is needed, or -1 for no limit".to_owned()),
    }
}

pub(crate) fn run(args: Args) -> Outcome {
    let plan = Plan::new(&args)?;
    let broker = open(&args)?;
    let measured = measure(&broker, &args, plan);
    let closed = broker.close();
    measured?;
    Ok(closed?)
}

fn open(args: &Args) -> Outcome<Broker> {
    match &args.dir {
        Some(dir) => Place::at(dir.clone()).open(false),
        None => {
            let topic = NewTopic::new(&args.topic).partitions(args.partitions);
            Ok(Broker::builder().topic(topic).open()?)
        }
    }
}

fn measure(broker: &Broker, args: &Args, plan: Plan) -> Outcome {
    topic(broker, &args.topic)?;
    let properties = merged(args.producer_config.as_deref(), &args.producer_props)?;
    let producer = with_properties(broker.producer(), &properties).build()?;
    if plan.warmup > 0 {
        let count = plan.warmup;
        writeln!(
            std::io::stdout(),
            "Warmup first {count} records. Steady state results will print after the complete \
             test summary."
        )?;
    }
    let run = Arc::new(Run::new(plan));
    let started = thread::scope(|scope| {
        for number in 0..args.threads {
            let (run, producer) = (Arc::clone(&run), producer.clone());
            let send_share = move || send(&run, &producer, number);
            thread::Builder::new().spawn_scoped(scope, send_share)?;
        }
        Ok(())
    });
    // Every outcome has been told when this returns.
    let flushed = producer.close(Duration::MAX);
    started.map_err(|error: std::io::Error| {
        Failure::new(format!("cannot start {} threads: {error}", args.threads))
    })?;
    run.end()?;
    Ok(flushed?)
}

/// What to send, and how fast.
struct Plan {
    topic: String,
    records: u64,
    warmup: u64,
    source: Source,
    /// Records a second.
    throughput: Option<f64>,
}

impl Plan {
    fn new(args: &Args) -> Outcome<Self> {
        // As in Kafka, less than none is none.
        let warmup = u64::try_from(args.warmup_records).unwrap_or(0);
        if warmup >= args.num_records {
            let text = "--warmup-records must be fewer than --num-records";
            return Err(Failure::new(text));
        }
        let source = match (&args.payload_file, args.record_size) {
            (Some(path), _) => read(path, &args.payload_delimiter)?,
            (None, Some(size)) => Source::Letters(usize::try_from(size).unwrap_or_default()),
            (None, None) => Source::Numbers,
        };
        let throughput = Some(args.throughput).filter(|rate| *rate > 0.0);
        Ok(Self {
            topic: args.topic.clone(),
            records: args.num_records,
            warmup,
            source,
            throughput,
        })
    }

    /// When the record with this number may be sent, counted from the first.
    fn due(&self, number: u64) -> Duration {
        let seconds = self.throughput.map_or(0.0, |rate| number as f64 / rate);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

fn read(path: &std::path::Path, delimiter: &str) -> Outcome<Source> {
    let mut out = std::io::stdout();
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    writeln!(out, "Reading payloads from: {}", shown.display())?;
    let source = Source::read(path, delimiter)?;
    if let Source::OneOf(payloads) = &source {
        writeln!(out, "Number of messages read: {}", payloads.len())?;
    }
    Ok(source)
}

/// What the threads and the deliveries share.
struct Run {
    plan: Plan,
    begun: Instant,
    /// The number of the record that comes next.
    next: AtomicU64,
    /// Nobody reads what is printed.
    unheard: AtomicBool,
    told: Mutex<Told>,
}

/// What became of the records.
struct Told {
    report: Report,
    failed: u64,
    first_failure: Option<logreel::Error>,
}

impl Run {
    fn new(plan: Plan) -> Self {
        let report = Report::new(plan.records, plan.warmup);
        Self {
            plan,
            begun: Instant::now(),
            next: AtomicU64::new(0),
            unheard: AtomicBool::new(false),
            told: Mutex::new(Told { report, failed: 0, first_failure: None }),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until the record may be sent.
    fn wait_for(&self, number: u64) {
        loop {
            let early = self.plan.due(number).saturating_sub(self.begun.elapsed());
            if early < SHORTEST_SLEEP {
                return;
            }
            thread::sleep(early);
        }
    }

    /// Prints the lines at the end; the first failure is how the command fails.
    fn end(&self) -> Outcome {
        let mut told = self.told();
        let printed = writeln!(std::io::stdout(), "{}", told.report.end());
        let Some(error) = told.first_failure.take() else { return Ok(printed?) };
        match Failure::from(error) {
            Failure::Message(first) if told.failed > 1 => {
                let (failed, all) = (told.failed, self.plan.records);
                Err(Failure::new(format!("{failed} of {all} records failed, the first: {first}")))
            }
            failure => Err(failure),
        }
    }
}

/// Sends one record after the other until all threads together have sent enough.
fn send(run: &Arc<Run>, producer: &Producer, thread: u16) {
    let plan = &run.plan;
    let mut payloads = Payloads::new(plan.source.clone(), u64::from(thread));
    loop {
        let number = run.next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.records || run.unheard.load(Ordering::Relaxed) {
            return;
        }
        run.wait_for(number);
        let payload = payloads.next(number);
        let bytes = payload.len() as u64;
        if number == plan.warmup && plan.warmup > 0 {
            run.told().report.end_warmup();
        }
        let begun = Instant::now();
        let delivery = producer.send(ProducerRecord::to(plan.topic.as_str()).value(payload));
        let run = Arc::clone(run);
        delivery.on_complete(move |outcome| {
            let latency = begun.elapsed();
            let mut told = run.told();
            if let Err(error) = outcome {
                told.failed += 1;
                told.first_failure.get_or_insert(error);
            } else if let Some(line) = told.report.record(number, bytes, latency)
                && writeln!(std::io::stdout(), "{line}").is_err()
            {
                run.unheard.store(true, Ordering::Relaxed);
            }
        });
    }
}
