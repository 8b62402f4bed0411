//! Whether the entries of a `.timeindex` file are true.

use std::path::PathBuf;

use super::entries::{At, Entries};
use super::finding::{Findings, Weight};
use crate::error::Result;
use crate::log::index::{TIME_ENTRY_LEN, TimeIndexEntry};
use crate::record::BatchHeader;
use crate::storage::File;

#[derive(Clone, Copy, Debug)]
struct Placed {
    at: u64,
    timestamp: i64,
    offset: i64,
}

/// A walk over the entries beside one over the batches.
#[derive(Debug)]
pub(super) struct TimeCheck {
    path: PathBuf,
    entries: Entries<TIME_ENTRY_LEN>,
    base_offset: i64,
    /// Entries name the end of the first batch with the timestamp. Releases of Kafka have named
    /// other offsets up to which it is the largest; a search by time misses nothing then.
    exact: bool,
    weight: Weight,
    room: Weight,
    next: Option<Placed>,
    before: Option<Placed>,
    /// The largest timestamp so far, and the last offset of the first batch that has it.
    largest: Option<(i64, i64)>,
}

impl TimeCheck {
    pub(super) fn new(
        file: File,
        base_offset: i64,
        exact: bool,
        (weight, room): (Weight, Weight),
        found: &mut Findings,
    ) -> Result<Self> {
        let mut check = Self {
            path: file.path().to_path_buf(),
            entries: Entries::new(file)?,
            base_offset,
            exact,
            weight,
            room,
            next: None,
            before: None,
            largest: None,
        };
        check.advance(found)?;
        Ok(check)
    }

    fn wrong(&self, entry: &Placed, what: &str, found: &mut Findings) {
        let Placed { timestamp, offset, .. } = entry;
        let what = format!("entry of timestamp {timestamp} at offset {offset}: {what}");
        found.tell(self.weight, &self.path, Some(entry.at), what);
    }

    fn advance(&mut self, found: &mut Findings) -> Result<()> {
        self.next = match self.entries.next()? {
            At::Entry(at, bytes) => TimeIndexEntry::read_all(&bytes).next().map(|entry| Placed {
                at,
                timestamp: entry.timestamp,
                offset: self.base_offset.saturating_add(entry.relative_offset.into()),
            }),
            At::Room(at) => {
                found.tell(self.room, &self.path, Some(at), "zeros up to the end are no entries");
                None
            }
            At::Rest(at) => {
                found.tell(self.weight, &self.path, Some(at), "the file ends inside an entry");
                None
            }
            At::End => None,
        };
        if let (Some(next), Some(before)) = (self.next, self.before)
            && (next.timestamp <= before.timestamp || next.offset < before.offset)
        {
            self.wrong(&next, "entries do not ascend", found);
        }
        self.before = self.next.or(self.before);
        Ok(())
    }

    /// Takes note of the next batch of the segment.
    pub(super) fn batch(&mut self, header: &BatchHeader, found: &mut Findings) -> Result<()> {
        self.settle(header.base_offset(), found)?;
        if let Some(timestamp) = header.max_timestamp()
            && self.largest.is_none_or(|(largest, _)| timestamp > largest)
        {
            self.largest = Some((timestamp, header.last_offset()));
        }
        Ok(())
    }

    /// Checks the entries of offsets below this one: what comes now is behind them.
    fn settle(&mut self, below: i64, found: &mut Findings) -> Result<()> {
        while let Some(entry) = self.next.filter(|entry| entry.offset < below) {
            match self.largest {
                None => self.wrong(&entry, "no timestamp stands in the log up to there", found),
                Some((largest, _)) if largest != entry.timestamp => {
                    let what = format!("the largest timestamp up to there is {largest}");
                    self.wrong(&entry, &what, found);
                }
                Some((_, first)) if self.exact && first != entry.offset => {
                    let what = format!("the first batch that has it ends at {first}");
                    self.wrong(&entry, &what, found);
                }
                Some(_) => {}
            }
            self.advance(found)?;
        }
        Ok(())
    }

    /// The segment has no more batches; it ends before `end`.
    pub(super) fn finish(mut self, end: i64, found: &mut Findings) -> Result<()> {
        self.settle(end, found)?;
        while let Some(entry) = self.next {
            self.wrong(&entry, &format!("the segment ends at {end}"), found);
            self.advance(found)?;
        }
        Ok(())
    }
}
