//! What lies in a partition's directory, and what an interrupted operation left there.

use std::collections::{BTreeMap, BTreeSet};

use super::checkpoint::{LEADER_EPOCHS, PARTITION_METADATA};
use super::digest;
use super::names::{self, SegmentFile};
use super::recovery::SIDE_FILE_PREFIX;
use super::report::PartitionReport;
use super::scan::{Demand, Expect, Scanner, Source};
use crate::error::Result;
use crate::storage::{EntryKind, File, FileName, FilePath, Open, Storage};

/// The segment files of a partition's directory, sorted out.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Length of each `.log` by base offset.
    pub(crate) logs: BTreeMap<i64, u64>,
    pub(crate) newest_snapshot: Option<i64>,
    /// Segments that are about to take the place of others: base offsets of `.log.swap` files.
    pub(crate) swaps: BTreeSet<i64>,
    other: Vec<(SegmentFile, i64)>,
    /// Names ending in `.deleted`, `.cleaned`, `.swap` or `.tmp`.
    suffixed: Vec<FileName>,
}

impl Listing {
    pub(crate) fn read(
        storage: &Storage,
        dir: &FileName,
        report: &mut PartitionReport,
    ) -> Result<Self> {
        let mut listing = Self::default();
        // A directory that is missing is made at the first append.
        for entry in storage.list_if_exists(dir)?.unwrap_or_default() {
            let Some(name) = entry.name else {
                report.ignored.push("a name that is not UTF-8".to_owned());
                continue;
            };
            let text = name.as_str();
            let transient =
                [".deleted", ".cleaned", ".swap", ".tmp"].iter().any(|s| text.ends_with(s));
            match (entry.kind, SegmentFile::parse(text)) {
                (EntryKind::File, Some((SegmentFile::Log, base))) => {
                    listing.logs.insert(base, 0);
                }
                (EntryKind::File, Some((kind, offset))) => {
                    if kind == SegmentFile::Snapshot {
                        listing.newest_snapshot = listing.newest_snapshot.max(Some(offset));
                    }
                    listing.other.push((kind, offset));
                }
                (EntryKind::File, None) if transient => {
                    if let Some((SegmentFile::Log, base)) = names::parse_suffixed(text, ".swap") {
                        listing.swaps.insert(base);
                    }
                    listing.suffixed.push(name);
                }
                (EntryKind::File, None)
                    if text == LEADER_EPOCHS
                        || text == PARTITION_METADATA
                        || text.starts_with(SIDE_FILE_PREFIX) => {}
                _ => report.ignored.push(text.to_owned()),
            }
        }
        Ok(listing)
    }
}

/// Finishes or undoes what was interrupted, as Kafka's `LogLoader` does: half-made `.cleaned` files
/// go, a swap that had begun is completed, `.deleted` files go.
pub(super) fn finish_leftovers(
    storage: &Storage,
    dir: &FileName,
    listing: &mut Listing,
    report: &mut PartitionReport,
) -> Result<()> {
    if listing.suffixed.is_empty() {
        return Ok(());
    }
    let ending = |suffix: &str| -> Vec<(FileName, Option<(SegmentFile, i64)>)> {
        let named = listing.suffixed.iter().filter(|name| name.as_str().ends_with(suffix));
        named.map(|n| (n.clone(), names::parse_suffixed(n.as_str(), suffix))).collect()
    };
    let cleaned = ending(".cleaned");
    let min_cleaned = cleaned.iter().filter_map(|(_, parsed)| parsed.map(|(_, o)| o)).min();
    let mut remove: Vec<FileName> = Vec::new();
    remove.extend(ending(".deleted").into_iter().chain(ending(".tmp")).map(|(name, _)| name));
    // Kafka swaps in descending order of offsets: where a .cleaned remains, the swap of what lies
    // behind it was not decided yet.
    let (undecided, swaps): (Vec<_>, Vec<_>) =
        ending(".swap").into_iter().partition(|(_, parsed)| {
            parsed.is_none_or(|(_, offset)| min_cleaned.is_some_and(|min| offset >= min))
        });
    let mut strangers = BTreeSet::new();
    for (name, parsed) in &swaps {
        let Some((SegmentFile::Log, base)) = *parsed else { continue };
        let file = storage.open(&FilePath::within(dir, name.clone()), Open::Read)?;
        // Where the old one is gone, its damage is to be seen under its name.
        let is_broken = listing.logs.contains_key(&base) && is_no_segment(file, base)?;
        if is_broken || overlaps(storage, dir, &listing.logs, base)? {
            strangers.insert(base);
        }
    }
    let (strange, swaps): (Vec<_>, Vec<_>) = swaps
        .into_iter()
        .partition(|(_, parsed)| parsed.is_some_and(|(_, base)| strangers.contains(&base)));
    report.ignored.extend(strange.into_iter().map(|(name, _)| name.as_str().to_owned()));
    remove.extend(undecided.into_iter().map(|(name, _)| name));
    remove.extend(cleaned.into_iter().map(|(name, _)| name));
    // A killed process may have renamed and not synced. Until a new segment's name is durable, a
    // power cut may take it back; then the old segments are needed, and not the new one's digest.
    storage.sync_dir(Some(dir))?;
    // Before a digest that waits goes with what else is temporary.
    let replaced = swapped_range(storage, dir, &swaps)?;
    for name in remove {
        storage.remove_if_exists(&FilePath::within(dir, name.clone()))?;
        report.leftovers.push(name.as_str().to_owned());
    }
    if let Some((from, to)) = replaced {
        let old: Vec<(SegmentFile, i64)> = listing
            .other
            .iter()
            .copied()
            .filter(|(kind, base)| match kind {
                SegmentFile::Snapshot => false,
                // Of two digests the right one has its name by now.
                SegmentFile::Digest => !listing.swaps.contains(base),
                _ => true,
            })
            .chain(listing.logs.keys().map(|base| (SegmentFile::Log, *base)))
            .filter(|(_, offset)| (from..to).contains(offset))
            .collect();
        for (kind, offset) in old {
            let is_new = swaps.iter().any(|(_, parsed)| *parsed == Some((kind, offset)));
            if !is_new {
                storage.remove_if_exists(&FilePath::within(dir, kind.name(offset)))?;
            }
        }
        // An old segment must not be met beside the new one once nothing is called `.swap`.
        storage.sync_dir(Some(dir))?;
    }
    for (name, parsed) in swaps {
        let Some((kind, offset)) = parsed else { continue };
        storage.rename(Some(dir), &name, &kind.name(offset))?;
        report.leftovers.push(name.as_str().to_owned());
    }
    storage.sync_dir(Some(dir))?;
    *listing =
        Listing::read(storage, dir, &mut PartitionReport::new(report.topic_partition.clone()))?;
    Ok(())
}

/// Whether a file that is to take the place of segments does not even begin with a batch. It was
/// whole when it got its name: the disk has damaged it since, and what it stands for is still
/// there.
pub(super) fn is_no_segment(file: File, base: i64) -> Result<bool> {
    let demand = Demand { crc: true, continuous: false, epoch: None };
    let size = file.len()?;
    let mut scanner = Scanner::new(Source::file(file), 0, size, Expect::Next(base), demand);
    Ok(size > 0 && !matches!(scanner.next(), Ok(Some(_))))
}

/// Whether a new segment would begin inside an old one that it does not replace. No compaction
/// makes such a one: it stays what it is, and so does everything else.
fn overlaps(
    storage: &Storage,
    dir: &FileName,
    logs: &BTreeMap<i64, u64>,
    base: i64,
) -> Result<bool> {
    let Some((before, _)) = logs.range(..base).next_back() else { return Ok(false) };
    let file = storage.open(&FilePath::within(dir, SegmentFile::Log.name(*before)), Open::Read)?;
    let demand = Demand { crc: false, continuous: false, epoch: None };
    let (size, expect) = (file.len()?, Expect::Next(*before));
    let mut scanner = Scanner::new(Source::file(file), 0, size, expect, demand);
    while let Ok(Some(_)) = scanner.next() {}
    Ok(scanner.next_offset().is_some_and(|end| end > base))
}

/// The offsets that complete `.log.swap` files stand for: up to where the digest says that the next
/// segment begins, else to the last batch. Of two digests the right one stays.
fn swapped_range(
    storage: &Storage,
    dir: &FileName,
    swaps: &[(FileName, Option<(SegmentFile, i64)>)],
) -> Result<Option<(i64, i64)>> {
    let mut range: Option<(i64, i64)> = None;
    for (name, parsed) in swaps {
        let Some((SegmentFile::Log, base)) = parsed else { continue };
        let file = storage.open(&FilePath::within(dir, name.clone()), Open::Read)?;
        let next = digest::settle(storage, dir, *base, &file)?;
        let size = file.len()?;
        let demand = Demand { crc: false, continuous: false, epoch: None };
        let source = Source::file(file);
        let expect = Expect::Next(*base);
        let mut scanner = Scanner::new(source, 0, size, expect, demand);
        while let Ok(Some(_)) = scanner.next() {}
        let end = next.or(scanner.next_offset()).unwrap_or(*base);
        range = Some(range.map_or((*base, end), |(from, to)| (from.min(*base), to.max(end))));
    }
    Ok(range)
}

/// Producer snapshots past this offset.
pub(super) fn stale_snapshots(
    storage: &Storage,
    dir: &FileName,
    offset: i64,
) -> Result<Vec<(SegmentFile, i64)>> {
    let entries = storage.list_if_exists(dir)?.unwrap_or_default();
    let parsed = entries.iter().filter_map(|e| SegmentFile::parse(e.name.as_ref()?.as_str()));
    Ok(parsed.filter(|(kind, at)| *kind == SegmentFile::Snapshot && *at > offset).collect())
}

/// Removes the digests, durably: nobody vouches that the segments are still theirs.
pub(super) fn forget_digests(
    storage: &Storage,
    dir: &FileName,
    listing: &mut Listing,
) -> Result<()> {
    let is_digest = |(kind, _): &(SegmentFile, i64)| *kind == SegmentFile::Digest;
    if !listing.other.iter().any(is_digest) {
        return Ok(());
    }
    for (kind, base) in listing.other.iter().filter(|file| is_digest(file)) {
        storage.remove_if_exists(&FilePath::within(dir, kind.name(*base)))?;
    }
    listing.other.retain(|file| !is_digest(file));
    storage.sync_dir(Some(dir))
}

/// Index files whose `.log` is gone belong to nothing.
pub(super) fn remove_orphans(
    storage: &Storage,
    dir: &FileName,
    listing: &mut Listing,
    report: &mut PartitionReport,
) -> Result<()> {
    for (kind, offset) in &listing.other {
        if *kind != SegmentFile::Snapshot && !listing.logs.contains_key(offset) {
            let name = kind.name(*offset);
            storage.remove_if_exists(&FilePath::within(dir, name.clone()))?;
            report.leftovers.push(name.as_str().to_owned());
        }
    }
    Ok(())
}
