//! Checks a whole directory without changing a byte and without taking its lock.
//!
//! Whoever owns the directory goes on meanwhile. What looks wrong then may only be half done, so it
//! is looked at again, and counts when it stays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::catalog::{CATALOG, Catalog, SECOND_COPY, TopicOrigin};
use super::config::PARTITIONS_MAX;
use super::open::check_exists;
use super::producer_ids::{self, PRODUCER_IDS};
use crate::error::{Error, ErrorKind, Result};
use crate::log::checkpoint::{
    self, CLEANER_OFFSETS, LOG_STARTS, PARTITION_METADATA, PartitionOffsets, RECOVERY_POINTS,
};
use crate::log::gaps::{self, COMPACTED};
use crate::log::manifest::{self, CLEAN_MARKER, MANIFEST, Manifest};
use crate::log::names::{self, CLUSTER_METADATA, SegmentFile};
use crate::log::provenance::Provenance;
use crate::log::verify::{self, About, Findings, Verification, Weight};
use crate::storage::{EntryKind, FilePath, Storage};
use crate::time::rest;
use crate::types::{TopicId, TopicPartition};

/// Kafka's own; we neither write nor need them.
const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// Other files that belong there.
const KNOWN: [&str; 3] = [".lock", "meta.properties", "bootstrap.checkpoint"];

/// How often something is looked at that its owner may be changing.
const LOOKS_MAX: u32 = 4;
/// How long it is given before the next look: renames that are synced one by one.
const PAUSE: Duration = Duration::from_millis(50);

/// What lies beside the partitions.
#[derive(Debug, Default)]
struct Around {
    owned: bool,
    clean: bool,
    /// There is one, in whatever state.
    has_catalog: bool,
    catalog: Catalog,
    manifest: Option<Manifest>,
    recovery_points: PartitionOffsets,
    log_starts: PartitionOffsets,
    high_watermarks: PartitionOffsets,
    first_dirty: PartitionOffsets,
    /// Below which offset segments may have gaps; `None` when that cannot be known.
    gaps: Option<PartitionOffsets>,
    partitions: BTreeSet<TopicPartition>,
}

/// Checks the directory, while nobody or the same owner has it.
pub(crate) fn verify_directory(storage: &Storage) -> Result<Verification> {
    check_exists(storage)?;
    let mut looks = 0;
    loop {
        looks += 1;
        let verification = verify_once(storage)?;
        // Somebody opened or closed it meanwhile: what was seen is a mixture.
        let same = storage.is_locked()? == verification.owned;
        if same || verification.is_sound() || looks == LOOKS_MAX {
            return Ok(verification);
        }
    }
}

fn verify_once(storage: &Storage) -> Result<Verification> {
    let mut found = Findings::default();
    let mut around = Around::look(storage, &mut found)?;
    for look in 1..LOOKS_MAX {
        if !around.owned || found.is_sound() {
            break;
        }
        rest(PAUSE * look);
        found = Findings::default();
        around = Around::look(storage, &mut found)?;
    }
    let mut ids: BTreeMap<String, TopicId> = BTreeMap::new();
    for tp in around.partitions.clone() {
        let mut look = 1;
        loop {
            let mut own = Findings::default();
            let id = around.check(storage, &tp, &mut own);
            if around.owned && !own.is_sound() && look < LOOKS_MAX {
                rest(PAUSE * look);
                look += 1;
                around = Around::look(storage, &mut Findings::default())?;
                if around.partitions.contains(&tp) {
                    continue;
                }
                // Deleted meanwhile.
                break;
            }
            if let Some(id) = id {
                let first = *ids.entry(tp.topic().to_owned()).or_insert(id);
                if first != id && around.id(&tp).is_none() {
                    let what = format!("another partition of the topic has the id {first}");
                    own.finding(&metadata_path(storage, &tp), None, what);
                }
            }
            found.take_in(own);
            break;
        }
    }
    Ok(found.into_verification(around.clean, around.owned))
}

fn metadata_path(storage: &Storage, tp: &TopicPartition) -> std::path::PathBuf {
    let dir = names::partition_dir(tp).ok();
    storage.path_of(&checkpoint::path(dir.as_ref(), PARTITION_METADATA))
}

impl Around {
    /// Reads what is beside the partitions.
    fn look(storage: &Storage, found: &mut Findings) -> Result<Self> {
        let mut around = Self { owned: storage.is_locked()?, ..Self::default() };
        // Before the logs are read: the ends of logs only grow.
        around.recovery_points = offsets(storage, RECOVERY_POINTS, found)?;
        around.log_starts = offsets(storage, LOG_STARTS, found)?;
        around.high_watermarks = offsets(storage, HIGH_WATERMARKS, found)?;
        around.first_dirty = offsets(storage, CLEANER_OFFSETS, found)?;
        around.gaps = match readable(gaps::read(storage), found)? {
            Some(Ok(gaps)) => Some(gaps),
            Some(Err(_)) => {
                let path = storage.path_of(&checkpoint::path(None, COMPACTED));
                found.finding(&path, None, "it is damaged: gaps anywhere count as no damage");
                None
            }
            None => None,
        };
        around.read_catalog(storage, found)?;
        if let Some(Err(_)) = readable(producer_ids::stored(storage), found)?.flatten() {
            let path = storage.path_of(&checkpoint::path(None, PRODUCER_IDS));
            found.finding(&path, None, "it is damaged");
        }
        around.list(storage, found)?;
        around.clean &= !around.owned;
        if around.clean {
            match readable(manifest::read(storage), found)?.flatten() {
                Some(Ok(manifest)) => around.manifest = Some(manifest),
                Some(Err(_)) => {
                    let path = storage.path_of(&checkpoint::path(None, MANIFEST));
                    found.finding(&path, None, "it is damaged, or of a newer release");
                }
                None => {}
            }
        }
        around.check_missing(storage, found);
        Ok(around)
    }

    fn read_catalog(&mut self, storage: &Storage, found: &mut Findings) -> Result<()> {
        let mut copies = Vec::new();
        for name in [CATALOG, SECOND_COPY] {
            let path = storage.path_of(&checkpoint::path(None, name));
            match readable(Catalog::read(storage, name), found)?.flatten() {
                Some(Ok(catalog)) => copies.push(catalog),
                Some(Err(_)) => found.finding(&path, None, "this copy of the catalog is damaged"),
                None => continue,
            }
            self.has_catalog = true;
        }
        if let [first, second] = &copies[..]
            && first != second
        {
            let path = storage.path_of(&checkpoint::path(None, SECOND_COPY));
            found.note(&path, "it is older than the first copy of the catalog");
        }
        self.catalog = copies.into_iter().next().unwrap_or_default();
        Ok(())
    }

    fn list(&mut self, storage: &Storage, found: &mut Findings) -> Result<()> {
        for entry in storage.list(None)? {
            let Some(name) = entry.name else {
                found.note(&storage.dir_path(None), "a name in it is not UTF-8");
                continue;
            };
            let path = storage.path_of(&FilePath::root(name.clone()));
            match (entry.kind, names::parse_partition_dir(name.as_str())) {
                (EntryKind::Directory, Some(tp)) => self.add_partition(storage, tp, found)?,
                (EntryKind::Directory, None) if names::is_deleted_dir(name.as_str()) => {
                    found.note(&path, "a partition that is being deleted");
                }
                (EntryKind::File, _) if name.as_str() == CLEAN_MARKER => self.clean = true,
                (EntryKind::File, _) if is_known(name.as_str()) => {}
                // Its owner may be writing it just now.
                (EntryKind::File, _) if verify::is_leftover(name.as_str()) && self.owned => {}
                (EntryKind::File, _) if verify::is_leftover(name.as_str()) => {
                    found.note(&path, "left over");
                }
                _ => found.note(&path, "not a part of a log directory"),
            }
        }
        Ok(())
    }

    fn add_partition(
        &mut self,
        storage: &Storage,
        tp: TopicPartition,
        found: &mut Findings,
    ) -> Result<()> {
        let dir = names::partition_dir(&tp)?;
        let path = storage.dir_path(Some(&dir));
        let entry = self.catalog.topics.get(tp.topic());
        let listed = entry.is_some_and(|topic| tp.partition() < topic.partitions);
        if entry.is_some_and(|topic| topic.deleting) {
            found.note(&path, "its topic is being deleted");
            return Ok(());
        }
        if !listed {
            let files = storage.list_if_exists(&dir)?.unwrap_or_default();
            let is_partition = files.iter().filter_map(|file| file.name.as_ref()).any(|name| {
                let kind = SegmentFile::parse(name.as_str());
                matches!(kind, Some((SegmentFile::Log, _))) || name.as_str() == PARTITION_METADATA
            });
            if !is_partition || tp.partition() >= PARTITIONS_MAX {
                found.note(&path, "not a part of a log directory");
                return Ok(());
            }
            if self.has_catalog && tp.topic() != CLUSTER_METADATA {
                found.note(&path, "the catalog does not list it");
            }
        }
        self.partitions.insert(tp);
        Ok(())
    }

    /// Partitions that had data and are not there.
    fn check_missing(&self, storage: &Storage, found: &mut Findings) {
        let listed = self.manifest.iter().flatten().filter(|(_, p)| !p.segments.is_empty());
        let durable = self.recovery_points.iter().chain(&self.log_starts).filter(|(_, o)| **o > 0);
        let known: BTreeSet<&TopicPartition> =
            listed.map(|(tp, _)| tp).chain(durable.map(|(tp, _)| tp)).collect();
        for tp in known.into_iter().filter(|tp| !self.partitions.contains(*tp)) {
            let topic = self.catalog.topics.get(tp.topic());
            let weight = match topic {
                Some(topic) if topic.deleting => Weight::Nothing,
                Some(topic) if tp.partition() < topic.partitions => Weight::Finding,
                _ => Weight::Note,
            };
            if let Ok(dir) = names::partition_dir(tp) {
                let what = "the directory is missing, but its partition had records";
                found.tell(weight, &storage.dir_path(Some(&dir)), None, what);
            }
        }
    }

    fn id(&self, tp: &TopicPartition) -> Option<TopicId> {
        self.catalog.topics.get(tp.topic()).map(|topic| topic.id)
    }

    fn check(
        &self,
        storage: &Storage,
        tp: &TopicPartition,
        found: &mut Findings,
    ) -> Option<TopicId> {
        let topic = self.catalog.topics.get(tp.topic());
        let topic = topic.filter(|topic| tp.partition() < topic.partitions);
        let ours = topic.is_some_and(|topic| topic.origin == TopicOrigin::Ours);
        let provenance = match &self.gaps {
            _ if !ours => Provenance::Elsewhere,
            Some(gaps) => Provenance::Here { gaps_below: gaps.get(tp).copied().unwrap_or(0) },
            None => Provenance::Here { gaps_below: i64::MAX },
        };
        let offset = |offsets: &PartitionOffsets| offsets.get(tp).copied();
        let about = About {
            tp,
            id: topic.map(|topic| topic.id),
            provenance,
            rebuilds: self.has_catalog,
            clean: self.clean,
            owned: self.owned,
            // What the catalog does not list no manifest of ours lists.
            has_manifest: self.manifest.is_some() && topic.is_some(),
            manifest: self.manifest.as_ref().and_then(|manifest| manifest.get(tp)),
            recovery_point: offset(&self.recovery_points),
            log_start: offset(&self.log_starts),
            high_watermark: offset(&self.high_watermarks).filter(|_| !self.has_catalog),
            first_dirty: offset(&self.first_dirty),
        };
        verify::check(storage, &about, found)
    }
}

fn is_known(name: &str) -> bool {
    let ours = [CATALOG, SECOND_COPY, MANIFEST, PRODUCER_IDS, COMPACTED];
    let checkpoints = [RECOVERY_POINTS, LOG_STARTS, HIGH_WATERMARKS, CLEANER_OFFSETS];
    KNOWN.contains(&name) || ours.contains(&name) || checkpoints.contains(&name)
}

fn offsets(storage: &Storage, name: &str, found: &mut Findings) -> Result<PartitionOffsets> {
    let read = checkpoint::read(storage, None, name, checkpoint::parse_offsets);
    Ok(match readable(read, found)?.flatten() {
        Some(Ok(offsets)) => offsets,
        Some(Err(_)) => {
            let path = storage.path_of(&checkpoint::path(None, name));
            found.finding(&path, None, "it is no list of partitions and offsets");
            PartitionOffsets::new()
        }
        None => PartitionOffsets::new(),
    })
}

/// A file that cannot be read is a finding; one of a newer release ends everything.
fn readable<T>(read: Result<T>, found: &mut Findings) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::Io => {
            tell(&error, found);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn tell(error: &Error, found: &mut Findings) {
    if let Some(path) = error.path() {
        found.finding(path, None, error.to_string());
    }
}
