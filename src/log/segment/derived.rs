//! What a segment's derived files hold: their checksums, and its aborted transactions.

use std::sync::Arc;

use super::super::names::SegmentFile;
use super::super::transactions::{self, AbortedTxn};
use super::{Index, IndexProof, Segment, Trust};
use crate::error::Result;
use crate::storage::{FilePath, Open, TooLarge};

impl Segment {
    /// Has everything in memory that is read by the segment's name: another file takes it.
    /// Answers the bytes of its offset and time index.
    pub(crate) fn hold(
        self: &Arc<Self>,
        rebuild: impl FnOnce() -> Result<Vec<AbortedTxn>>,
    ) -> Result<(usize, usize)> {
        self.aborted(rebuild)?;
        self.digest()?;
        self.with_index(false, |offset, time| (offset.len(), time.len()))
    }

    /// Lets go of an index that its files hold: nobody may look at it for long.
    pub(crate) fn release(&self) {
        if let Some(proof) = self.proof() {
            let mut index = self.index.lock();
            if matches!(&*index, Index::Loaded { unsaved: false, .. }) {
                *index = Index::OnDisk(Trust::Proven(proof));
            }
        }
    }

    /// The checksums of the derived files, for the manifest; of what they hold, not of what is on
    /// disk, so that a file damaged since is found out.
    pub(crate) fn proof(&self) -> Option<IndexProof> {
        let (offset, time) = match &*self.index.lock() {
            Index::OnDisk(Trust::Proven(proof)) => return Some(*proof),
            Index::OnDisk(_) => return None,
            Index::Growing(builder) => {
                (crc32fast::hash(builder.offset_bytes()), crc32fast::hash(builder.time_bytes()))
            }
            Index::Loaded { offset, time, .. } => (crc32fast::hash(offset), crc32fast::hash(time)),
        };
        let txn = match &*self.aborted.lock() {
            Some(aborted) if aborted.is_empty() => None,
            Some(aborted) => Some(crc32fast::hash(&transactions::encode(aborted))),
            None => return None,
        };
        Some(IndexProof { offset, time, txn })
    }

    /// The abort markers in this segment. `rebuild` reads them from the log when the file cannot
    /// be believed.
    pub(crate) fn aborted(
        &self,
        rebuild: impl FnOnce() -> Result<Vec<AbortedTxn>>,
    ) -> Result<Vec<AbortedTxn>> {
        if let Some(known) = &*self.aborted.lock() {
            return Ok(known.clone());
        }
        let trust = self.trust;
        let file = self.read_derived(SegmentFile::TxnIndex, transactions::ENTRY_LEN)?;
        let believed = match (trust, &file) {
            (_, Some(Err(TooLarge))) => false,
            (Trust::Proven(proof), None) => proof.txn.is_none(),
            (Trust::Proven(proof), Some(Ok(bytes))) => proof.txn == Some(crc32fast::hash(bytes)),
            (Trust::Plausible, Some(Ok(_))) => true,
            (Trust::Plausible, None) => {
                let index = SegmentFile::OffsetIndex.name(self.base_offset);
                let path = FilePath::within(&self.dir, index);
                self.context.storage.open_if_exists(&path, Open::Read)?.is_some()
            }
            (Trust::Never, _) => false,
        };
        let from_file = match &file {
            _ if !believed => None,
            None => Some(Vec::new()),
            Some(Ok(bytes)) => transactions::decode(bytes, self.base_offset),
            Some(Err(TooLarge)) => None,
        };
        let entries = match from_file {
            Some(entries) => entries,
            None => rebuild()?,
        };
        *self.aborted.lock() = Some(entries.clone());
        Ok(entries)
    }

    /// Takes note of an abort marker in the active segment.
    pub(crate) fn add_aborted(&self, entry: AbortedTxn) {
        if let Some(aborted) = &mut *self.aborted.lock() {
            aborted.push(entry);
        }
    }
}
