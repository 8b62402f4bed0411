//! What proves a segment besides its batches' checksums: where it ends, and its digest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::digest::{self, Digest};
use super::super::names::SegmentFile;
use super::super::scan::BadBatch;
use super::{Digested, Segment};
use crate::error::Result;

impl Segment {
    /// The digest beside the file, read when first needed.
    pub(crate) fn digest(&self) -> Result<Option<Arc<Digest>>> {
        // Offsets without gaps prove themselves; such a segment is spared the look.
        if self.demand.continuous {
            return Ok(None);
        }
        let mut digest = self.digest.lock();
        if let Digested::Known(known) = &*digest {
            return Ok(known.clone());
        }
        let name = SegmentFile::Digest.name(self.base_offset);
        let found = Digest::load(&self.context.storage, &self.dir, name, self.base_offset)?;
        let found = found.map(Arc::new);
        *digest = Digested::Known(found.clone());
        Ok(found)
    }

    /// What is wrong if the segment, whose last batch ends at `end`, is followed by one that begins
    /// at `next`: a segment between them is missing.
    pub(crate) fn bad_joint(&self, end: Option<i64>, next: i64) -> Result<Option<BadBatch>> {
        let wanted = match self.digest()? {
            Some(digest) => Some(digest.next),
            None => end.filter(|_| self.demand.continuous),
        };
        Ok(wanted.filter(|wanted| *wanted != next).map(|wanted| BadBatch {
            position: self.size(),
            next_offset: Some(wanted),
            reason: format!("the segment ends there, the next begins at {next}"),
            never_torn: true,
        }))
    }

    pub(crate) fn is_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Takes note that nothing is missing in the segment or behind it.
    pub(crate) fn set_joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    /// Whether a digest lies beside the file, needed or not.
    pub(crate) fn has_digest(&self) -> Result<bool> {
        let name = SegmentFile::Digest.name(self.base_offset);
        let (storage, dir) = (&self.context.storage, &self.dir);
        Ok(Digest::load(storage, dir, name, self.base_offset)?.is_some())
    }

    /// Has no digest looked for: the one that is there may be of another file by now.
    pub(crate) fn forgo_digest(&self) {
        *self.digest.lock() = Digested::Known(None);
    }

    /// Removes the digest, durably: the file is about to change.
    pub(crate) fn remove_digest(&self) -> Result<()> {
        digest::remove(&self.context.storage, &self.dir, self.base_offset)?;
        // Not before: whoever tries again must find it.
        self.forgo_digest();
        Ok(())
    }

    /// Writes the digest of a segment that has none, in one go. Failing costs the digest only.
    pub(crate) fn write_digest(&self, digest: &Digest) -> Result<()> {
        let (storage, dir) = (&self.context.storage, &self.dir);
        let (waiting, name) =
            (digest::waiting_name(self.base_offset), SegmentFile::Digest.name(self.base_offset));
        digest.write(storage, dir, waiting.clone(), self.base_offset)?;
        storage.rename(Some(dir), &waiting, &name)?;
        storage.sync_dir(Some(dir))
    }
}
