//! How a line of `reel console-producer` becomes a record.

use std::collections::BTreeMap;

use logreel::ProducerRecord;

use crate::failure::{Failure, Outcome};
use crate::place::truth;

/// What separates the parts of a line, and which parts there are.
#[derive(Debug)]
pub(crate) struct LineFormat {
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
    pub(crate) fn new(properties: &BTreeMap<String, String>) -> Outcome<Self> {
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
        }
        format.check()?;
        Ok(format)
    }

    /// Separators that cannot be told apart would split lines where nobody meant it.
    fn check(&self) -> Outcome {
        let separators = [
            ("key.separator", &self.key_separator),
            ("headers.delimiter", &self.headers_delimiter),
            ("headers.separator", &self.headers_separator),
            ("headers.key.separator", &self.headers_key_separator),
        ];
        for (name, text) in separators {
            if text.is_empty() {
                return Err(Failure::new(format!("{name} is empty")));
            }
            if self.null_marker.as_ref() == Some(text) {
                return Err(Failure::new(format!("null.marker and {name} may not be equal")));
            }
        }
        let [_, headers @ ..] = separators;
        for (index, (name, text)) in headers.iter().enumerate() {
            for (other, other_text) in headers.iter().skip(index + 1) {
                if text == other_text {
                    return Err(Failure::new(format!("{name} and {other} may not be equal")));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn record<'a>(
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
        for header in self.each_header(headers) {
            let (key, value) = match split(header, &self.headers_key_separator) {
                Some((key, _)) if self.is_null(key) => {
                    let text = format!("a header key on line {number} is the null marker");
                    return Err(Failure::new(text));
                }
                Some((key, value)) => (key, Some(value).filter(|value| !self.is_null(value))),
                None if self.ignore_error => (header, None),
                None => return Err(no_delimiter("header key separator", header, number)),
            };
            let Ok(key) = std::str::from_utf8(key) else {
                return Err(Failure::new(format!("a header key on line {number} is not UTF-8")));
            };
            record = match value {
                Some(value) => record.header(key, value),
                None => record.null_header(key),
            };
        }
        Ok(record)
    }

    /// The headers between separators; empty ones at the end are none, as in Kafka.
    fn each_header<'a>(&self, headers: &'a [u8]) -> Vec<&'a [u8]> {
        let mut found = Vec::new();
        let mut rest = headers;
        while let Some((header, after)) = split(rest, &self.headers_separator) {
            found.push(header);
            rest = after;
        }
        found.push(rest);
        if !headers.is_empty() {
            while found.last().is_some_and(|header| header.is_empty()) {
                found.pop();
            }
        }
        found
    }

    fn is_null(&self, text: &[u8]) -> bool {
        self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == text)
    }
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
