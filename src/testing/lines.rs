//! Records as lines of JSON, as `kafka-console-consumer`'s stand-in `reel console-consumer
//! --output json` prints them.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::topics::TopicProbe;
use crate::broker::{NewTopic, RawRecord};
use crate::consumer::Record;
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::record::Header;

impl TopicProbe {
    /// Fills the topic with records that were written as lines of JSON, by
    /// [`write_json`](Self::write_json) or by `reel console-consumer --output json`. Answers how
    /// many there were.
    ///
    /// Keys, values, headers and timestamps are kept, and where an empty partition begins; where
    /// offsets were missing, those behind move up. A topic that is missing is made, with as many
    /// partitions as the records name. Nothing is appended if a line cannot be read.
    ///
    /// ```
    /// use logreel::Broker;
    /// let line = r#"{"topic":"t","partition":0,"offset":7,"key":null,"value":"aGk="}"#;
    /// let broker = Broker::in_memory();
    /// assert_eq!(broker.testing().topic("t").load_json(line.as_bytes())?, 1);
    /// let records = broker.testing().topic("t").records()?;
    /// assert_eq!((records[0].offset, records[0].value.as_deref()), (7, Some(&b"hi"[..])));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `INVALID_RECORD` naming the line, for what is no such line, or is of another topic; what
    /// keeps the records from being appended.
    pub fn load_json(&self, lines: impl BufRead) -> Result<usize> {
        let mut read = Vec::new();
        for (number, line) in lines.lines().enumerate() {
            let at = |what: &str| {
                let message =
                    format!("line {} is no record of {}: {what}", number + 1, self.name());
                Error::kafka(ErrorCode::InvalidRecord, message)
            };
            let line = line.map_err(|error| at("it cannot be read").because(error))?;
            if line.trim().is_empty() {
                continue;
            }
            let line: Value =
                serde_json::from_str(&line).map_err(|error| at("no JSON").because(error))?;
            read.push(Parsed::new(&line, self.name()).map_err(at)?);
        }
        self.append_all(&read)?;
        Ok(read.len())
    }

    fn append_all(&self, read: &[Parsed]) -> Result<()> {
        let Some(highest) = read.iter().map(|record| record.partition).max() else {
            return Ok(());
        };
        let topic = match self.broker().topic(self.name()) {
            Ok(topic) => topic,
            Err(_) => {
                let topic = NewTopic::new(self.name()).partitions(highest.saturating_add(1));
                self.broker().create_topic(topic)?
            }
        };
        let mut begun = BTreeSet::new();
        for record in read {
            let partition = topic.partition(record.partition)?;
            let is_empty = partition.log_start_offset() == partition.log_end_offset();
            if begun.insert(record.partition) && is_empty {
                let first = record.offset.max(partition.log_end_offset());
                self.broker().handle().begin_at(&partition.log, first)?;
            }
            let raw = RawRecord::new(record.key.as_deref(), record.value.as_deref());
            let raw = match record.timestamp {
                Some(timestamp) => raw.timestamp(timestamp),
                None => raw,
            };
            partition.append([raw.headers(&record.headers)])?;
        }
        Ok(())
    }

    /// Writes every record that is there as a line of JSON: what
    /// [`load_json`](Self::load_json) takes. Answers how many there were.
    ///
    /// ```
    /// let broker = logreel::Broker::in_memory();
    /// broker.create_topic("t")?.partition(0)?.append([(Some("k"), Some("v"))])?;
    /// let mut lines = Vec::new();
    /// assert_eq!(broker.testing().topic("t").write_json(&mut lines)?, 1);
    /// assert!(lines.starts_with(b"{"));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records); `Io` when it cannot be written.
    pub fn write_json(&self, mut out: impl Write) -> Result<usize> {
        let records = self.records()?;
        for record in &records {
            let written = serde_json::to_writer(&mut out, &line_of(record))
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"));
            written.map_err(|error| {
                Error::new(ErrorKind::Io, "the records cannot be written").because(error)
            })?;
        }
        Ok(records.len())
    }
}

/// A line with its bytes as they were.
struct Parsed {
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

/// What is wrong with a line.
type Wrong = &'static str;

impl Parsed {
    fn new(line: &Value, topic: &str) -> Result<Self, Wrong> {
        if line.get("topic").and_then(Value::as_str) != Some(topic) {
            return Err("it names another topic, or none");
        }
        let number = |name: &str| line.get(name).and_then(Value::as_i64).filter(|n| *n >= 0);
        let partition = number("partition").and_then(|number| i32::try_from(number).ok());
        let headers = match line.get("headers") {
            None => Vec::new(),
            Some(headers) => {
                let headers = headers.as_array().ok_or("its headers are no list")?;
                headers.iter().map(header).collect::<Result<_, Wrong>>()?
            }
        };
        Ok(Self {
            partition: partition.ok_or("it has no partition")?,
            offset: number("offset").ok_or("it has no offset")?,
            timestamp: line.get("timestamp").and_then(Value::as_i64),
            key: bytes(line.get("key"))?,
            value: bytes(line.get("value"))?,
            headers,
        })
    }
}

fn bytes(text: Option<&Value>) -> Result<Option<Vec<u8>>, Wrong> {
    match text {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) => Err("bytes are not in base64"),
        },
        Some(_) => Err("bytes are not in base64"),
    }
}

/// A pair of a name and bytes.
fn header(pair: &Value) -> Result<Header, Wrong> {
    let name = pair.get(0).and_then(Value::as_str).ok_or("a header has no name")?;
    Ok(match bytes(pair.get(1))? {
        Some(value) => Header::new(name, value),
        None => Header::null(name),
    })
}

fn line_of(record: &Record) -> Value {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| STANDARD.encode(bytes));
    let headers: Vec<_> =
        record.headers.iter().map(|header| (header.key(), text(header.value()))).collect();
    json!({
        "topic": &*record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "timestamp_type": record.timestamp_type.name(),
        "key": text(record.key.as_deref()),
        "value": text(record.value.as_deref()),
        "headers": headers,
    })
}
