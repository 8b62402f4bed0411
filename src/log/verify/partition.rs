//! One partition: its directory, its log, and what the files beside it say about its ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::aborts::Knowledge;
use super::about::About;
use super::batches::{Segment, Walk};
use super::entries::INDEX_BYTES_MAX;
use super::epochs::Epochs;
use super::finding::{Findings, Weight};
use crate::error::{Error, Result};
use crate::log::checkpoint::{
    self, EpochEntry, LEADER_EPOCHS, LOG_STARTS, PARTITION_METADATA, RECOVERY_POINTS,
};
use crate::log::manifest::{MANIFEST, PartitionManifest, SegmentManifest};
use crate::log::names::{self, SegmentFile};
use crate::log::recovery::SIDE_FILE_PREFIX;
use crate::storage::{EntryKind, FileName, FilePath, Open, Storage};
use crate::types::TopicId;

/// The files of a partition, by what they are for.
#[derive(Debug, Default)]
struct Files {
    logs: BTreeSet<i64>,
    snapshots: Vec<i64>,
}

/// Checks everything in the directory of a partition; answers the id of its topic.
pub(crate) fn check(storage: &Storage, about: &About<'_>, found: &mut Findings) -> Option<TopicId> {
    let dir = names::partition_dir(about.tp).ok()?;
    let check = Check { about, storage, path: storage.dir_path(Some(&dir)), dir };
    found.counts.partitions += 1;
    let id = check.identity(found);
    if let Err(error) = check.log(found) {
        check.unreadable(&error, found);
    }
    id
}

struct Check<'a> {
    about: &'a About<'a>,
    storage: &'a Storage,
    dir: FileName,
    path: PathBuf,
}

impl Check<'_> {
    fn shown(&self, name: &str) -> PathBuf {
        self.storage.path_of(&checkpoint::path(Some(&self.dir), name))
    }

    fn log_path(&self, base: i64) -> PathBuf {
        self.storage.path_of(&FilePath::within(&self.dir, SegmentFile::Log.name(base)))
    }

    fn unreadable(&self, error: &Error, found: &mut Findings) {
        found.finding(error.path().unwrap_or(&self.path), None, error.to_string());
    }

    fn identity(&self, found: &mut Findings) -> Option<TopicId> {
        let parse = checkpoint::parse_partition_metadata;
        let shown = self.shown(PARTITION_METADATA);
        match checkpoint::read(self.storage, Some(&self.dir), PARTITION_METADATA, parse) {
            Ok(Some(Ok(id))) => {
                if let Some(wanted) = self.about.id.filter(|wanted| *wanted != id) {
                    let what = format!("the topic's id is {wanted}, not {id}");
                    found.finding(&shown, None, what);
                }
                return Some(id);
            }
            Ok(Some(Err(_))) => found.finding(&shown, None, "it holds no topic id"),
            Ok(None) if self.about.id.is_some() => {
                found.note(&shown, "it is missing; Kafka wants it");
            }
            Ok(None) => {}
            Err(error) => self.unreadable(&error, found),
        }
        None
    }

    fn log(&self, found: &mut Findings) -> Result<()> {
        let files = self.list(found)?;
        let listed = self.epochs(found);
        let epochs = if self.about.provenance.is_ours() {
            Epochs::Zero
        } else {
            Epochs::Listed(listed.clone().unwrap_or_default())
        };
        let begin = files.logs.first().copied().unwrap_or(self.about.log_start.unwrap_or(0));
        let snapshots = files.snapshots.clone();
        let mut walk = Walk::new(self.about, self.storage, &self.dir, epochs, begin, snapshots);
        self.check_begin(&files, begin, found);
        let mut sizes = BTreeMap::new();
        let nexts = files.logs.iter().copied().skip(1).map(Some).chain([None]);
        for (base, next) in files.logs.iter().copied().zip(nexts) {
            let listed = self.about.manifest.map(|manifest| proof_of(manifest, base));
            let unproven = listed.is_some_and(|proof| proof.is_none_or(|s| s.proof.is_none()));
            match walk.segment(Segment { base, next, unproven }, found) {
                Ok(size) => {
                    sizes.insert(base, size);
                }
                Err(error) => {
                    walk.whole = false;
                    self.unreadable(&error, found);
                }
            }
        }
        walk.finish(found)?;
        self.check_ends(&walk, !files.logs.is_empty(), found);
        if let Some(last) = listed.iter().flatten().last().filter(|_| walk.whole)
            && last.start_offset > walk.end
        {
            let (start, end) = (last.start_offset, walk.end);
            let what = format!("epoch {} begins at {start}, the log ends at {end}", last.epoch);
            found.tell(self.about.crashed(), &self.shown(LEADER_EPOCHS), None, what);
        }
        if self.about.clean && self.about.has_manifest {
            self.check_manifest(&walk, &sizes, listed.as_deref(), found)?;
        }
        Ok(())
    }

    fn list(&self, found: &mut Findings) -> Result<Files> {
        let mut files = Files::default();
        let mut derived = Vec::new();
        for entry in self.storage.list_if_exists(&self.dir)?.unwrap_or_default() {
            let Some(name) = entry.name else {
                found.note(&self.path, "a name in it is not UTF-8");
                continue;
            };
            let text = name.as_str();
            let is_file = entry.kind == EntryKind::File;
            match SegmentFile::parse(text) {
                Some((SegmentFile::Log, base)) if is_file => {
                    files.logs.insert(base);
                }
                Some((SegmentFile::Snapshot, offset)) if is_file => files.snapshots.push(offset),
                Some((_, base)) if is_file => derived.push((base, name)),
                None if is_file && is_leftover(text) => {
                    found.note(&self.shown(text), "left over; the next open settles it");
                }
                None if is_file && text.starts_with(SIDE_FILE_PREFIX) => {
                    found.note(&self.shown(text), "bytes that an earlier open cut off");
                }
                None if is_file && (text == LEADER_EPOCHS || text == PARTITION_METADATA) => {}
                _ => found.note(&self.shown(text), "not a file of a partition"),
            }
        }
        for (base, name) in derived {
            if !files.logs.contains(&base) {
                found.note(&self.shown(name.as_str()), "an index without its log");
            }
        }
        // By name is by offset, but a name is only a name.
        files.snapshots.sort_unstable();
        Ok(files)
    }

    fn epochs(&self, found: &mut Findings) -> Option<Vec<EpochEntry>> {
        let parse = checkpoint::parse_epochs;
        match checkpoint::read(self.storage, Some(&self.dir), LEADER_EPOCHS, parse) {
            Ok(Some(Ok(epochs))) => return Some(epochs),
            Ok(Some(Err(_))) => {
                let what = "it is no list of epochs that ascend";
                found.tell(self.about.derived(0), &self.shown(LEADER_EPOCHS), None, what);
            }
            Ok(None) => {}
            Err(error) => self.unreadable(&error, found),
        }
        None
    }

    /// What lies before the first segment of a log of ours was deleted, if the log start says so
    /// or if it was durable once.
    fn check_begin(&self, files: &Files, begin: i64, found: &mut Findings) {
        let explained =
            self.about.log_start.unwrap_or(0).max(self.about.recovery_point.unwrap_or(0));
        if self.about.provenance.is_ours() && !files.logs.is_empty() && begin > explained {
            let what = format!("the first segment begins at {begin}, those before it are missing");
            found.finding(&self.path, None, what);
        }
    }

    /// Compares the ends of the log with what the files beside the partitions say.
    fn check_ends(&self, walk: &Walk<'_>, has_segments: bool, found: &mut Findings) {
        if !walk.whole {
            return;
        }
        let end = walk.end;
        let mut behind = |weight: Weight, offset: Option<i64>, what: &str| {
            if let Some(offset) = offset.filter(|offset| *offset > end) {
                let what = format!("{what} {offset}, but the log ends at {end}");
                found.tell(weight, &self.path, None, what);
            }
        };
        // Without a segment the log ends where it starts.
        let start = self.about.log_start.filter(|_| has_segments);
        behind(Weight::Finding, start, "the log start is");
        behind(Weight::Finding, self.about.recovery_point, "it was durable up to");
        behind(self.about.crashed(), self.about.high_watermark, "its high watermark was");
        // A cleaner that finds it so begins again.
        behind(Weight::Note, self.about.first_dirty, "it was cleaned up to");
    }

    fn check_manifest(
        &self,
        walk: &Walk<'_>,
        sizes: &BTreeMap<i64, u64>,
        epochs: Option<&[EpochEntry]>,
        found: &mut Findings,
    ) -> Result<()> {
        let Some(manifest) = self.about.manifest else {
            if !sizes.is_empty() {
                found.finding(&self.path, None, format!("{MANIFEST} does not list it"));
            }
            return Ok(());
        };
        for listed in &manifest.segments {
            let path = self.log_path(listed.base_offset);
            match sizes.get(&listed.base_offset) {
                Some(size) if *size == listed.size => self.check_proof(listed, found)?,
                Some(size) => {
                    let what = format!("it has {size} bytes, {MANIFEST} says {}", listed.size);
                    found.finding(&path, None, what);
                }
                None => {
                    let what = format!("it is missing, {MANIFEST} says {} bytes", listed.size);
                    found.finding(&path, None, what);
                }
            }
        }
        for base in sizes.keys().filter(|base| proof_of(manifest, **base).is_none()) {
            found.finding(&self.log_path(*base), None, format!("{MANIFEST} does not list it"));
        }
        let path = self.storage.path_of(&checkpoint::path(None, MANIFEST));
        if let Some(epochs) = epochs.filter(|epochs| *epochs != manifest.epochs) {
            let what = format!("its {} entries are not those of {MANIFEST}", epochs.len());
            found.finding(&self.shown(LEADER_EPOCHS), None, what);
        }
        if walk.whole {
            self.check_offsets(manifest, walk, &path, found);
        }
        Ok(())
    }

    fn check_offsets(
        &self,
        manifest: &PartitionManifest,
        walk: &Walk<'_>,
        path: &Path,
        found: &mut Findings,
    ) {
        let tp = self.about.tp;
        let PartitionManifest { start, end, stable, .. } = *manifest;
        if end != walk.end {
            let what = format!("it says that {tp} ends at {end}, its log ends at {}", walk.end);
            found.finding(path, None, what);
        }
        if start > end || stable > end {
            let what = format!("of {tp}: start {start}, stable {stable} and end {end} contradict");
            found.finding(path, None, what);
        }
        let known = self.about.log_start.unwrap_or(0);
        if known != start {
            let what = format!("it says that {tp} starts at {start}, {LOG_STARTS} says {known}");
            found.finding(path, None, what);
        }
        // It is a hint, and a lower one costs time at most.
        let durable = self.about.recovery_point.unwrap_or(0);
        if durable < end {
            let what = format!("of {tp} {RECOVERY_POINTS} says {durable}, it was closed at {end}");
            found.note(path, what);
        }
        // A transaction that is open may begin below the log start.
        let real = walk.states.first_open_offset().unwrap_or(walk.end).max(start);
        if walk.known() == Knowledge::All && stable != real {
            let what = format!("it says that {tp} is stable up to {stable}, not {real}");
            found.finding(path, None, what);
        }
    }

    /// The derived files are still those of the clean close.
    fn check_proof(&self, listed: &SegmentManifest, found: &mut Findings) -> Result<()> {
        let Some(proof) = listed.proof else { return Ok(()) };
        let wanted = [
            (SegmentFile::OffsetIndex, Some(proof.offset)),
            (SegmentFile::TimeIndex, Some(proof.time)),
            (SegmentFile::TxnIndex, proof.txn),
        ];
        for (kind, wanted) in wanted {
            let path = FilePath::within(&self.dir, kind.name(listed.base_offset));
            let Some(file) = self.storage.open_if_exists(&path, Open::Read)? else { continue };
            let mut hasher = crc32fast::Hasher::new();
            let mut at = 0;
            while at < INDEX_BYTES_MAX {
                let piece = file.read_at(at, 64 * 1024)?;
                if piece.is_empty() {
                    break;
                }
                at += piece.len() as u64;
                hasher.update(&piece);
            }
            if Some(hasher.finalize()) != wanted {
                let what = format!("its bytes are not those that {MANIFEST} vouches for");
                found.finding(file.path(), None, what);
            }
        }
        Ok(())
    }
}

fn proof_of(manifest: &PartitionManifest, base: i64) -> Option<&SegmentManifest> {
    manifest.segments.iter().find(|segment| segment.base_offset == base)
}

/// The names that an interrupted operation leaves behind.
pub(crate) fn is_leftover(name: &str) -> bool {
    [".deleted", ".cleaned", ".swap", ".tmp"].iter().any(|suffix| name.ends_with(suffix))
}
