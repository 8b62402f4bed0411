//! Offsets as Kafka's `--export` writes them and its `--from-file` reads them.

use crate::error::{Error, ErrorCode, Result};
use crate::types::{Offsets, TopicPartition};

/// The longest text that Kafka's writer looks at; it quotes longer ones in any case.
const LOOKED_AT: usize = 24;

/// A line without the group it is for, or with it.
pub(super) fn line(group: Option<&str>, tp: &TopicPartition, offset: i64) -> String {
    let group = group.map(|group| field(group) + ",").unwrap_or_default();
    format!("{group}{},{},{offset}\n", field(tp.topic()), tp.partition())
}

fn field(text: &str) -> String {
    let is_plain = text.encode_utf16().count() <= LOOKED_AT && text.chars().all(|c| c > ',');
    if is_plain && !text.is_empty() {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('"', "\"\""))
    }
}

/// Reads `topic,partition,offset` for one group, or what `group,topic,partition,offset` says of it;
/// the first line decides.
pub(super) fn parse(text: &str, group: &str) -> Result<Offsets> {
    let mut offsets = Offsets::new();
    let mut form = None;
    for (number, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let malformed = || {
            let wanted = "topic,partition,offset or group,topic,partition,offset";
            let message = format!("line {number} of the offsets is not {wanted}, as the first is");
            Error::kafka(ErrorCode::InvalidRequest, message)
        };
        let fields = fields(text).ok_or_else(malformed)?;
        let form = *form.get_or_insert(fields.len());
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let (of, [topic, partition, offset]) = match fields[..] {
            [topic, partition, offset] if form == 3 => (group, [topic, partition, offset]),
            [of, topic, partition, offset] if form == 4 => (of, [topic, partition, offset]),
            _ => return Err(malformed()),
        };
        let partition: i32 = partition.trim().parse().map_err(|_| malformed())?;
        let offset: i64 = offset.trim().parse().map_err(|_| malformed())?;
        if of == group {
            offsets.set((topic, partition), offset);
        }
    }
    if offsets.is_empty() {
        let message = format!("no line of the offsets is for group {group}");
        return Err(Error::kafka(ErrorCode::InvalidRequest, message));
    }
    Ok(offsets)
}

/// The fields of a line; `None` where a quote is not closed or ends inside a field.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let Some(mut quoted) = rest.strip_prefix('"') else {
            let (field, more) = rest.split_once(',').map_or((rest, None), |(f, m)| (f, Some(m)));
            fields.push(field.to_owned());
            rest = match more {
                Some(more) => more,
                None => return Some(fields),
            };
            continue;
        };
        let mut field = String::new();
        loop {
            let (part, after) = quoted.split_once('"')?;
            field.push_str(part);
            quoted = after;
            match quoted.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    quoted = after;
                }
                None => break,
            }
        }
        fields.push(field);
        if quoted.is_empty() {
            return Some(fields);
        }
        rest = quoted.strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, i64)>, String> {
        let offsets = parse(text, "g").map_err(|error| error.to_string())?;
        Ok(offsets.iter().map(|(tp, position)| (tp.to_string(), position.offset())).collect())
    }

    #[test]
    fn both_forms_are_read() {
        let wanted = Ok(vec![("t-0".to_owned(), 5), ("u-1".to_owned(), -3)]);
        assert_eq!(read("t,0,5\nu,1,-3\n"), wanted);
        assert_eq!(read("\"t\",0,5\r\n\r\n\"u\", 1, -3"), wanted);
        assert_eq!(read("g,t,0,5\nother,t,0,9\ng,u,1,-3\nother,x,0,1\n"), wanted);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let long = "a".repeat(25);
        for name in ["t", "a,b", "say \"so\"", "", "a\"", "x y", &long] {
            let tp = TopicPartition::new(name, 7);
            for group in [None, Some("g")] {
                let line = line(group, &tp, 42);
                let offsets = parse(&line, "g").unwrap();
                assert_eq!(offsets.get(&tp).map(|at| at.offset()), Some(42), "{line}");
            }
        }
        assert_eq!(line(None, &("my-topic.v1_a", 3).into(), 9), "my-topic.v1_a,3,9\n");
        assert_eq!(line(Some("a b"), &("t", 3).into(), 9), "\"a b\",t,3,9\n");
        assert_eq!(line(None, &(long.as_str(), 0).into(), 0), format!("\"{long}\",0,0\n"));
    }

    #[test]
    fn a_line_that_is_no_line_is_named() {
        for (text, number) in [
            ("t,0", 1),
            ("t,0,5\nt,1", 2),
            ("t,0,5\ng,t,1,5", 2),
            ("g,t,0,5\nt,1,5", 2),
            ("t,zero,5", 1),
            ("t,0,5.5", 1),
            ("t,0,", 1),
            ("t,0,5\n\nt,99999999999,5", 3),
            ("\"t,0,5", 1),
            ("\"t\"x,0,5", 1),
            ("topic,partition,offset", 1),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(&format!("line {number} ")), "{text}: {error}");
        }
        for text in ["", "\n\n", "h,t,0,5\n"] {
            assert!(read(text).unwrap_err().contains("for group g"), "{text}");
        }
    }
}
