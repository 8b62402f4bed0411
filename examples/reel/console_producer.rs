//! `reel console-producer`: Kafka's `kafka-console-producer`.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use logreel::{Broker, Compression, ProducerRecord, RecordMetadata, Result};

use crate::failure::{Failure, Outcome};
use crate::place::{Place, pair, topic, truth};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The topic
    #[arg(long, value_name = "T")]
    topic: String,
    /// How to read lines: parse.key, key.separator, parse.headers, headers.delimiter,
    /// headers.separator, headers.key.separator, null.marker, ignore.error
    #[arg(long, value_name = "K=V", value_parser = pair)]
    property: Vec<(String, String)>,
    /// A setting of the producer, by Kafka's name
    #[arg(long, value_name = "K=V", value_parser = pair)]
    producer_property: Vec<(String, String)>,
    /// Compress: none, gzip, snappy, lz4, zstd
    #[arg(long, value_name = "CODEC", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<Compression>,
    /// Wait for each record
    #[arg(long)]
    sync: bool,
    /// Print T-P@O for each record once it is delivered
    #[arg(long)]
    print_metadata: bool,
}

pub(crate) fn run(args: Args) -> Outcome {
    let format = LineFormat::new(&args.property)?;
    let broker = args.place.open(false)?;
    let sent = produce(&broker, &args, &format);
    let closed = broker.close();
    sent?;
    Ok(closed?)
}

fn produce(broker: &Broker, args: &Args, format: &LineFormat) -> Outcome {
    topic(broker, &args.topic)?;
    let mut builder = broker.producer();
    if let Some(codec) = args.compression_codec {
        builder = builder.compression(codec);
    }
    for (key, value) in &args.producer_property {
        builder = builder.set(key, value);
    }
    let producer = builder.build()?;
    let outcome = Arc::new(Told::new(args.print_metadata));
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    let mut number = 0u64;
    let read = loop {
        line.clear();
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
    // What came before a bad line was sent and counts.
    let flushed = producer.close(Duration::MAX);
    outcome.end()?;
    read?;
    Ok(flushed?)
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

/// How a line becomes a record.
#[derive(Debug)]
struct LineFormat {
    parse_key: bool,
    parse_headers: bool,
    key_separator: String,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    null_marker: Option<String>,
    ignore_error: bool,
}

impl LineFormat {
    fn new(properties: &[(String, String)]) -> Outcome<Self> {
        let mut format = Self {
            parse_key: false,
            parse_headers: false,
            key_separator: "\t".to_owned(),
            headers_delimiter: "\t".to_owned(),
            headers_separator: ",".to_owned(),
            headers_key_separator: ":".to_owned(),
            null_marker: None,
            ignore_error: false,
        };
        for (key, value) in properties {
            match key.as_str() {
                "parse.key" => format.parse_key = truth(key, value)?,
                "parse.headers" => format.parse_headers = truth(key, value)?,
                "ignore.error" => format.ignore_error = truth(key, value)?,
                "key.separator" => format.key_separator.clone_from(value),
                "headers.delimiter" => format.headers_delimiter.clone_from(value),
                "headers.separator" => format.headers_separator.clone_from(value),
                "headers.key.separator" => format.headers_key_separator.clone_from(value),
                "null.marker" => format.null_marker = Some(value.clone()),
                _ => return Err(Failure::new(format!("{key}: there is no such property"))),
            }
            if key.contains("separator") || key == "headers.delimiter" || key == "null.marker" {
                require_text(key, value)?;
            }
        }
        Ok(format)
    }

    fn record<'a>(
        &self,
        topic: &'a str,
        line: &'a [u8],
        number: u64,
    ) -> Outcome<ProducerRecord<'a>> {
        let mut record = ProducerRecord::to(topic);
        let mut rest = line;
        if self.parse_headers {
            match split(rest, &self.headers_delimiter) {
                Some((headers, after)) => {
                    record = self.headers(record, headers, number)?;
                    rest = after;
                }
                None if self.ignore_error => {}
                None => return Err(no_delimiter("headers delimiter", line, number)),
            }
        }
        if self.parse_key {
            match split(rest, &self.key_separator) {
                Some((key, after)) => {
                    if !self.is_null(key) {
                        record = record.key(key);
                    }
                    rest = after;
                }
                None if self.ignore_error => {}
                None => return Err(no_delimiter("key separator", line, number)),
            }
        }
        Ok(if self.is_null(rest) { record } else { record.value(rest) })
    }

    fn headers<'a>(
        &self,
        mut record: ProducerRecord<'a>,
        headers: &'a [u8],
        number: u64,
    ) -> Outcome<ProducerRecord<'a>> {
        if self.is_null(headers) {
            return Ok(record);
        }
        let mut rest = Some(headers);
        while let Some(text) = rest {
            let (header, after) = match split(text, &self.headers_separator) {
                Some((header, after)) => (header, Some(after)),
                None => (text, None),
            };
            rest = after;
            let (key, value) = match split(header, &self.headers_key_separator) {
                Some(parts) => parts,
                None if self.ignore_error => (header, &[][..]),
                None => return Err(no_delimiter("header key separator", header, number)),
            };
            let Ok(key) = std::str::from_utf8(key) else {
                return Err(Failure::new(format!("a header key on line {number} is not UTF-8")));
            };
            let is_null = self.is_null(value);
            record = if is_null { record.null_header(key) } else { record.header(key, value) };
        }
        Ok(record)
    }

    fn is_null(&self, text: &[u8]) -> bool {
        self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == text)
    }
}

fn require_text(key: &str, value: &str) -> Outcome {
    if value.is_empty() { Err(Failure::new(format!("{key} is empty"))) } else { Ok(()) }
}

fn no_delimiter(what: &str, line: &[u8], number: u64) -> Failure {
    let shown: String = String::from_utf8_lossy(line).chars().take(80).collect();
    Failure::new(format!("no {what} on line {number}: {shown:?}"))
}

/// The text before and after the first separator.
fn split<'a>(text: &'a [u8], separator: &str) -> Option<(&'a [u8], &'a [u8])> {
    let separator = separator.as_bytes();
    let at = text.windows(separator.len()).position(|window| window == separator)?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.strip_prefix(separator)?))
}
