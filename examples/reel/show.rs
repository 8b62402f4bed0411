//! A record as text, as Kafka's console consumer prints it, or as JSON.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use logreel::RecordRef;
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::place::truth;

/// What to print of a record.
#[derive(Debug)]
pub(crate) struct Show {
    json: bool,
    timestamp: bool,
    partition: bool,
    offset: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
}

/// One line of `--output json`. Bytes are in base64.
#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    timestamp_type: &'static str,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

fn encode(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| STANDARD.encode(bytes))
}

impl Show {
    pub(crate) fn new(json: bool, properties: &[(String, String)]) -> Outcome<Self> {
        let mut show = Self {
            json,
            timestamp: false,
            partition: false,
            offset: false,
            headers: false,
            key: false,
            value: true,
            key_separator: "\t".to_owned(),
            line_separator: "\n".to_owned(),
            headers_separator: ",".to_owned(),
            null_literal: "null".to_owned(),
        };
        for (key, value) in properties {
            match key.as_str() {
                "print.timestamp" => show.timestamp = truth(key, value)?,
                "print.partition" => show.partition = truth(key, value)?,
                "print.offset" => show.offset = truth(key, value)?,
                "print.headers" => show.headers = truth(key, value)?,
                "print.key" => show.key = truth(key, value)?,
                "print.value" => show.value = truth(key, value)?,
                "key.separator" => show.key_separator.clone_from(value),
                "line.separator" => show.line_separator.clone_from(value),
                "headers.separator" => show.headers_separator.clone_from(value),
                "null.literal" => show.null_literal.clone_from(value),
                _ => return Err(Failure::new(format!("{key}: there is no such property"))),
            }
        }
        Ok(show)
    }

    pub(crate) fn write(&self, out: &mut impl Write, record: &RecordRef<'_>) -> io::Result<()> {
        if self.json { write_json(out, record) } else { self.write_text(out, record) }
    }

    /// The parts in Kafka's order, with separators between them.
    fn write_text(&self, out: &mut impl Write, record: &RecordRef<'_>) -> io::Result<()> {
        let mut separator = "";
        let mut begin = |out: &mut dyn Write| {
            out.write_all(separator.as_bytes())?;
            separator = &self.key_separator;
            io::Result::Ok(())
        };
        if self.timestamp {
            begin(out)?;
            match record.timestamp() {
                Some(at) => write!(out, "{}:{at}", record.timestamp_type().name())?,
                None => write!(out, "NO_TIMESTAMP")?,
            }
        }
        if self.partition {
            begin(out)?;
            write!(out, "Partition:{}", record.partition())?;
        }
        if self.offset {
            begin(out)?;
            write!(out, "Offset:{}", record.offset())?;
        }
        if self.headers {
            begin(out)?;
            self.write_headers(out, record)?;
        }
        if self.key {
            begin(out)?;
            self.write_bytes(out, record.key())?;
        }
        if self.value {
            begin(out)?;
            self.write_bytes(out, record.value())?;
        }
        out.write_all(self.line_separator.as_bytes())
    }

    fn write_headers(&self, out: &mut impl Write, record: &RecordRef<'_>) -> io::Result<()> {
        let headers = record.headers();
        if headers.len() == 0 {
            return out.write_all(b"NO_HEADERS");
        }
        for (index, header) in headers.enumerate() {
            if index > 0 {
                out.write_all(self.headers_separator.as_bytes())?;
            }
            out.write_all(header.key())?;
            out.write_all(b":")?;
            self.write_bytes(out, header.value())?;
        }
        Ok(())
    }

    fn write_bytes(&self, out: &mut impl Write, bytes: Option<&[u8]>) -> io::Result<()> {
        out.write_all(bytes.unwrap_or(self.null_literal.as_bytes()))
    }
}

fn write_json(out: &mut impl Write, record: &RecordRef<'_>) -> io::Result<()> {
    let line = Line {
        topic: record.topic(),
        partition: record.partition(),
        offset: record.offset(),
        timestamp: record.timestamp(),
        timestamp_type: record.timestamp_type().name(),
        key: encode(record.key()),
        value: encode(record.value()),
        headers: record
            .headers()
            .map(|header| (header.key_lossy().into_owned(), encode(header.value())))
            .collect(),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
