//! `reel console-producer`: Kafka's `kafka-console-producer`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use logreel::{Broker, Compression, RecordMetadata, Result};

use crate::failure::{Failure, Outcome};
use crate::line_format::LineFormat;
use crate::place::{Place, pair, topic};
use crate::properties::{merged, with_properties};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The topic
    #[arg(long, value_name = "T")]
    topic: String,
    /// How to read lines: parse.key, key.separator, parse.headers, headers.delimiter,
    /// headers.separator, headers.key.separator, null.marker, ignore.error
    #[arg(long, visible_alias = "reader-property", value_name = "K=V", value_parser = pair)]
    property: Vec<(String, String)>,
    /// A properties file that says how to read lines; --property wins
    #[arg(long, value_name = "FILE")]
    reader_config: Option<PathBuf>,
    /// A setting of the producer, by Kafka's name; the flags below win
    #[arg(long, visible_alias = "command-property", value_name = "K=V", value_parser = pair)]
    producer_property: Vec<(String, String)>,
    /// A properties file with settings of the producer; --producer-property wins
    #[arg(long = "producer.config", visible_alias = "command-config", value_name = "FILE")]
    producer_config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Wait for each record
    #[arg(long)]
    sync: bool,
    /// Print T-P@O for each record once it is delivered
    #[arg(long)]
    print_metadata: bool,
}

/// The flags that stand for settings of the producer.
#[derive(Debug, clap::Args)]
struct Settings {
    /// Compress: none, gzip, snappy, lz4, zstd; gzip if none is named (compression.type)
    #[arg(long, value_name = "CODEC", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<Compression>,
    /// How large a batch may get (batch.size)
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    batch_size: Option<u64>,
    /// The same, and wins over --batch-size
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    max_partition_memory_bytes: Option<u64>,
    /// How long a batch waits for more records (linger.ms)
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    timeout: Option<u64>,
    /// How much may wait to be written (buffer.memory)
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    max_memory_bytes: Option<u64>,
    /// How long to wait where that is full (max.block.ms)
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    max_block_ms: Option<u64>,
    /// What a record must have survived: 0, 1, -1, all (acks)
    #[arg(long, value_name = "ACKS", allow_negative_numbers = true)]
    request_required_acks: Option<String>,
    /// How often to try again (retries)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    message_send_max_retries: Option<u64>,
    /// How long to wait before that (retry.backoff.ms)
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    retry_backoff_ms: Option<u64>,
}

impl Settings {
    /// The settings that were given, by Kafka's names.
    fn given(&self) -> impl Iterator<Item = (&'static str, String)> {
        let batch_size = self.max_partition_memory_bytes.or(self.batch_size);
        let numbers = [
            ("batch.size", batch_size),
            ("linger.ms", self.timeout),
            ("buffer.memory", self.max_memory_bytes),
            ("max.block.ms", self.max_block_ms),
            ("retries", self.message_send_max_retries),
            ("retry.backoff.ms", self.retry_backoff_ms),
        ];
        let texts = [
            ("compression.type", self.compression_codec.map(|codec| codec.to_string())),
            ("acks", self.request_required_acks.clone()),
        ];
        let numbers = numbers.map(|(key, number)| (key, number.map(|number| number.to_string())));
        texts.into_iter().chain(numbers).filter_map(|(key, value)| Some((key, value?)))
    }
}

pub(crate) fn run(args: Args) -> Outcome {
    let format = LineFormat::new(&merged(args.reader_config.as_deref(), &args.property)?)?;
    let broker = args.place.open(false)?;
    let sent = produce(&broker, &args, &format);
    let closed = broker.close();
    sent?;
    Ok(closed?)
}

fn produce(broker: &Broker, args: &Args, format: &LineFormat) -> Outcome {
    topic(broker, &args.topic)?;
    let mut properties = merged(args.producer_config.as_deref(), &args.producer_property)?;
    properties.extend(args.settings.given().map(|(key, value)| (key.to_owned(), value)));
    let producer = with_properties(broker.producer(), &properties).build()?;
    let outcome = Arc::new(Told::new(args.print_metadata));
    let mut input = std::io::stdin().lock();
    let prompts = input.is_terminal() && std::io::stdout().is_terminal();
    let mut line = Vec::new();
    let mut number = 0u64;
    let read = loop {
        line.clear();
        if prompts {
            prompt();
        }
        match input.read_until(b'\n', &mut line) {
            Ok(0) => break Ok(()),
            Ok(_) => number += 1,
            Err(error) => break Err(Failure::new(format!("cannot read the input: {error}"))),
        }
        let record = match format.record(&args.topic, trim(&line), number) {
            Ok(record) => record,
            Err(failure) => break Err(failure),
        };
        let delivery = producer.send(record);
        if args.sync {
            outcome.tell(delivery.wait());
        } else {
            let outcome = Arc::clone(&outcome);
            delivery.on_complete(move |result| outcome.tell(result));
        }
        if outcome.stop.load(Ordering::Acquire) {
            break Ok(());
        }
    };
    // What came before a bad line was sent and counts. Every outcome has been told after this.
    let flushed = producer.close(Duration::MAX);
    outcome.end()?;
    read?;
    Ok(flushed?)
}

/// Shows whoever types that a line is awaited.
fn prompt() {
    let mut out = std::io::stdout();
    let _ = out.write_all(b">").and_then(|()| out.flush());
}

/// The line without its end.
fn trim(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What became of the records so far.
struct Told {
    print: bool,
    stop: AtomicBool,
    first: Mutex<Option<Failure>>,
}

impl Told {
    fn new(print: bool) -> Self {
        Self { print, stop: AtomicBool::new(false), first: Mutex::new(None) }
    }

    fn tell(&self, delivered: Result<RecordMetadata>) {
        let told = match delivered {
            Ok(metadata) if self.print => print(&metadata).map_err(Failure::from),
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::from(error)),
        };
        if let Err(failure) = told {
            self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
            self.stop.store(true, Ordering::Release);
        }
    }

    fn end(&self) -> Outcome {
        match self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

fn print(metadata: &RecordMetadata) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match metadata.offset() {
        Some(offset) => writeln!(out, "{}@{offset}", metadata.topic_partition())?,
        // With acks=0 nobody knows.
        None => writeln!(out, "{}@-", metadata.topic_partition())?,
    }
    out.flush()
}
