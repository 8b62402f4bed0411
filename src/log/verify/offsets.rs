//! Whether the entries of an `.index` file are true.

use std::path::PathBuf;

use super::entries::{At, Entries};
use super::finding::{Findings, Weight};
use crate::error::Result;
use crate::log::index::{OFFSET_ENTRY_LEN, OffsetIndexEntry};
use crate::record::BatchHeader;
use crate::storage::File;

/// An entry, and where it stands in its file.
#[derive(Clone, Copy, Debug)]
struct Placed {
    at: u64,
    offset: i64,
    position: i64,
}

/// A walk over the entries beside one over the batches.
#[derive(Debug)]
pub(super) struct OffsetCheck {
    path: PathBuf,
    entries: Entries<OFFSET_ENTRY_LEN>,
    base_offset: i64,
    /// Each entry names the end of the batch it points at. Up to Kafka 3 it may be the end of the
    /// last of several batches that were written at once, as compaction does; a search that begins
    /// at the first of them misses nothing.
    exact: bool,
    weight: Weight,
    /// What zeros behind the entries weigh.
    room: Weight,
    next: Option<Placed>,
    before: Option<Placed>,
    /// Points at a batch that ends earlier than it says.
    waiting: Option<Placed>,
}

impl OffsetCheck {
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
            waiting: None,
        };
        check.advance(found)?;
        Ok(check)
    }

    fn wrong(&self, entry: &Placed, what: &str, found: &mut Findings) {
        let Placed { offset, position, .. } = entry;
        let what = format!("entry of offset {offset} at position {position}: {what}");
        found.tell(self.weight, &self.path, Some(entry.at), what);
    }

    fn advance(&mut self, found: &mut Findings) -> Result<()> {
        self.next = match self.entries.next()? {
            At::Entry(at, bytes) => OffsetIndexEntry::read_all(&bytes).next().map(|entry| Placed {
                at,
                offset: self.base_offset.saturating_add(entry.relative_offset.into()),
                position: entry.position.into(),
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
            && (next.offset <= before.offset || next.position <= before.position)
        {
            self.wrong(&next, "entries do not ascend", found);
        }
        self.before = self.next.or(self.before);
        Ok(())
    }

    /// Takes note of the next batch of the segment.
    pub(super) fn batch(
        &mut self,
        position: u64,
        header: &BatchHeader,
        found: &mut Findings,
    ) -> Result<()> {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        while let Some(entry) = self.next.filter(|entry| entry.position <= position) {
            if let Some(unmet) = self.waiting.take() {
                self.wrong(&unmet, "no batch ends at that offset", found);
            }
            if entry.position < position {
                self.wrong(&entry, "no batch begins there", found);
            } else if !self.exact && entry.offset > header.last_offset() {
                self.waiting = Some(entry);
            } else if entry.offset != header.last_offset() {
                let what = format!("the batch there ends at {}", header.last_offset());
                self.wrong(&entry, &what, found);
            }
            self.advance(found)?;
        }
        match self.waiting {
            Some(entry) if entry.offset == header.last_offset() => self.waiting = None,
            Some(entry) if entry.offset < header.last_offset() => {
                self.wrong(&entry, "no batch ends at that offset", found);
                self.waiting = None;
            }
            _ => {}
        }
        Ok(())
    }

    /// The segment has no more batches.
    pub(super) fn finish(mut self, found: &mut Findings) -> Result<()> {
        if let Some(unmet) = self.waiting.take() {
            self.wrong(&unmet, "no batch ends at that offset", found);
        }
        while let Some(entry) = self.next {
            self.wrong(&entry, "no batch begins there", found);
            self.advance(found)?;
        }
        Ok(())
    }
}
