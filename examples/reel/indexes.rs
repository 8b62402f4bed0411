//! Offset and time indexes: their entries, and whether they agree with the log beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use logreel::format::{OffsetIndexEntry, TimeIndexEntry};

use crate::batches::{Batches, Found};
use crate::dump_log::{read, unreadable};
use crate::failure::{Failure, Outcome};

/// The entries up to the tail of zeros that a running broker keeps for later ones.
fn offsets(bytes: &[u8]) -> Vec<OffsetIndexEntry> {
    let is_entry = |entry: &OffsetIndexEntry| entry.relative_offset != 0 || entry.position != 0;
    OffsetIndexEntry::read_all(bytes).take_while(is_entry).collect()
}

fn times(bytes: &[u8]) -> Vec<TimeIndexEntry> {
    let all: Vec<_> = TimeIndexEntry::read_all(bytes).collect();
    let is_unused = |entry: &TimeIndexEntry| entry.timestamp == 0 && entry.relative_offset == 0;
    // A record may well be of the year 1970: only the first entry can say so.
    let used = all.iter().skip(1).take_while(|entry| !is_unused(entry)).count() + 1;
    let only_zeros = used == 1 && all.len() > 1 && all.first().is_some_and(is_unused);
    all.into_iter().take(if only_zeros { 0 } else { used }).collect()
}

pub(crate) fn dump_offsets(out: &mut impl Write, path: &Path, base: i64) -> Outcome {
    for entry in offsets(&read(path)?) {
        let offset = base.saturating_add(entry.relative_offset.into());
        writeln!(out, "offset: {offset} position: {}", entry.position)?;
    }
    Ok(())
}

pub(crate) fn dump_times(out: &mut impl Write, path: &Path, base: i64) -> Outcome {
    for entry in times(&read(path)?) {
        let offset = base.saturating_add(entry.relative_offset.into());
        writeln!(out, "timestamp: {} offset: {offset}", entry.timestamp)?;
    }
    Ok(())
}

/// What an index can say about a batch.
struct Batch {
    last_offset: i64,
    max_timestamp: i64,
}

/// The batches of the log beside an index, by position.
fn log_beside(path: &Path) -> Outcome<BTreeMap<u64, Batch>> {
    let log = path.with_extension("log");
    let file = File::open(&log).map_err(|error| unreadable(&log, &error))?;
    let mut batches = Batches::new(file).map_err(|error| unreadable(&log, &error))?;
    let mut found = BTreeMap::new();
    while let Some(Found::Batch { position, batch }) =
        batches.next().map_err(|error| unreadable(&log, &error))?
    {
        let last_offset = batch.header().last_offset();
        let max_timestamp = batch.header().max_timestamp().unwrap_or(-1);
        found.insert(position, Batch { last_offset, max_timestamp });
    }
    Ok(found)
}

pub(crate) fn check_offsets(out: &mut impl Write, path: &Path, base: i64) -> Outcome {
    let log = log_beside(path)?;
    let bytes = read(path)?;
    let mut wrong = whole(bytes.len(), 8);
    let ends: BTreeSet<i64> = log.values().map(|batch| batch.last_offset).collect();
    let mut before = None;
    for entry in offsets(&bytes) {
        let offset = base.saturating_add(entry.relative_offset.into());
        let position = entry.position;
        let place = format!("offset: {offset} position: {position}");
        match u64::try_from(position).ok().and_then(|position| log.get(&position)) {
            None => wrong.push(format!("{place}: no batch of the log begins there")),
            // Up to Kafka 3 an entry names the last of several batches that were written at once,
            // as compaction does. A search that begins at the first of them misses nothing.
            Some(batch) if batch.last_offset > offset || !ends.contains(&offset) => {
                wrong.push(format!("{place}: the batch there ends at {}", batch.last_offset));
            }
            Some(_) => {}
        }
        if before.is_some_and(|before| before >= (offset, position)) {
            wrong.push(format!("{place}: entries do not ascend"));
        }
        before = Some((offset, position));
    }
    verdict(out, path, &wrong)
}

pub(crate) fn check_times(out: &mut impl Write, path: &Path, base: i64) -> Outcome {
    let mut log: BTreeMap<i64, i64> = BTreeMap::new();
    for batch in log_beside(path)?.into_values() {
        log.insert(batch.last_offset, batch.max_timestamp);
    }
    let bytes = read(path)?;
    let mut wrong = whole(bytes.len(), 12);
    let mut before = i64::MIN;
    for entry in times(&bytes) {
        let offset = base.saturating_add(entry.relative_offset.into());
        let timestamp = entry.timestamp;
        let place = format!("timestamp: {timestamp} offset: {offset}");
        // Searches by time begin here: nothing younger may lie before.
        let earlier = log.range(..=offset).map(|(_, max)| *max).max();
        match earlier {
            None => wrong.push(format!("{place}: the log begins later")),
            Some(largest) if largest != timestamp => {
                wrong.push(format!("{place}: the largest timestamp up to there is {largest}"));
            }
            Some(_) => {}
        }
        if timestamp <= before {
            wrong.push(format!("{place}: entries do not ascend"));
        }
        before = timestamp;
    }
    verdict(out, path, &wrong)
}

/// Complains about half an entry at the end.
fn whole(len: usize, entry: usize) -> Vec<String> {
    let rest = len % entry;
    if rest == 0 { Vec::new() } else { vec![format!("{rest} bytes at the end are no entry")] }
}

fn verdict(out: &mut impl Write, path: &Path, wrong: &[String]) -> Outcome {
    let path = path.display();
    if wrong.is_empty() {
        return Ok(writeln!(out, "{path} passed sanity check.")?);
    }
    writeln!(out, "Mismatches in {path}:")?;
    for line in wrong {
        writeln!(out, "  {line}")?;
    }
    out.flush()?;
    Err(Failure::new(format!("{path} disagrees with its log in {} places", wrong.len())))
}
