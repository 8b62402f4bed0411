//! Whether a `.txnindex` file tells of the aborted transactions of its segment.

use std::collections::BTreeMap;

use super::entries::{At, Entries};
use super::finding::{Findings, Weight};
use crate::error::Result;
use crate::log::replay::marker_of;
use crate::log::transactions::AbortedTxn;
use crate::record::{ControlRecord, RecordBatch};
use crate::storage::File;

const ENTRY_LEN: usize = 34;

/// What the batches of a segment say about aborted transactions.
#[derive(Debug, Default)]
pub(super) struct Aborts {
    /// Whose abort marker stands at which offset.
    markers: BTreeMap<i64, i64>,
    /// The entries that follow from the log.
    entries: Vec<AbortedTxn>,
}

/// How much of what came before the segment is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// Every batch of the log.
    All,
    /// The beginning was deleted.
    Since,
    /// Batches were compacted away.
    Gaps,
}

impl Aborts {
    pub(super) fn batch(&mut self, batch: &RecordBatch, ended: Option<AbortedTxn>) {
        self.entries.extend(ended);
        if let (Some(ControlRecord::Abort { .. }), Some(producer)) =
            (marker_of(batch), batch.header().producer_id())
        {
            self.markers.insert(batch.header().last_offset(), producer);
        }
    }

    /// Whether an index is needed.
    pub(super) fn is_expected(&self, known: Knowledge) -> bool {
        known == Knowledge::All && !self.entries.is_empty()
    }

    /// Compares with the file.
    pub(super) fn check(
        &self,
        file: File,
        (base, end): (i64, i64),
        known: Knowledge,
        weight: Weight,
        found: &mut Findings,
    ) -> Result<()> {
        let path = file.path().to_path_buf();
        let mut entries = Entries::<ENTRY_LEN>::new(file)?;
        let mut wanted = self.entries.iter();
        let mut before = base;
        loop {
            let (at, bytes) = match entries.next()? {
                At::Entry(at, bytes) => (at, bytes),
                At::Room(at) | At::Rest(at) => {
                    let what = "the bytes up to the end are no entry";
                    found.tell(weight, &path, Some(at), what);
                    break;
                }
                At::End => break,
            };
            let Some(entry) = AbortedTxn::read_all(&bytes).next() else {
                found.tell(weight, &path, Some(at), "an entry of an unknown version");
                continue;
            };
            let wrong = if known == Knowledge::All {
                wanted.next() != Some(&entry)
            } else {
                let marker = self.markers.get(&entry.last_offset);
                let is_marked = match marker {
                    Some(producer) => *producer == entry.producer_id,
                    None => known == Knowledge::Gaps,
                };
                let AbortedTxn { first_offset: first, last_offset: last, .. } = entry;
                !is_marked || last < before || last >= end || first > last
            };
            if wrong {
                let AbortedTxn { producer_id, first_offset, last_offset, .. } = entry;
                let what = format!(
                    "the log knows of no such transaction: producer {producer_id} from \
                     {first_offset}, aborted at {last_offset}"
                );
                found.tell(weight, &path, Some(at), what);
            }
            before = entry.last_offset;
        }
        if known == Knowledge::All
            && let Some(missing) = wanted.next()
        {
            let what = format!("the transaction aborted at {} is missing", missing.last_offset);
            found.tell(weight, &path, None, what);
        }
        Ok(())
    }
}
