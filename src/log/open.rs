//! Opening the directory of one partition for writing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::checkpoint::{self, EpochEntry, LEADER_EPOCHS};
use super::config::TopicConfig;
use super::context::LogContext;
use super::leftovers::{
    Listing, finish_leftovers, forget_digests, remove_orphans, stale_snapshots,
};
use super::manifest::{PartitionManifest, SegmentManifest};
use super::names::{self, SegmentFile};
use super::partition::{Damage, Halt, Log, Opened, Stored};
use super::producers::ProducerStates;
use super::provenance::Provenance;
use super::recovery::Recovery;
use super::replay::newest_snapshot;
use super::report::{OnDamage, PartitionReport, Truncation};
use super::reserve::Reserve;
use super::scan::Stop;
use super::segment::{Segment, Trust};
use crate::error::{Error, ErrorCode, Result};
use crate::storage::{FileName, FilePath, Open, Storage};
use crate::types::TopicPartition;

/// What is known of a partition before its directory is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenOptions<'a> {
    /// Whether the directory has the marker of a clean shutdown.
    pub(crate) clean: bool,
    /// What the manifest says; `None` in a directory that Kafka closed.
    pub(crate) manifest: Option<&'a PartitionManifest>,
    /// Whether there is a manifest at all.
    pub(crate) has_manifest: bool,
    /// From the checkpoint file; 0 when it says nothing.
    pub(crate) recovery_point: i64,
    /// From the checkpoint file.
    pub(crate) log_start: Option<i64>,
    pub(crate) provenance: Provenance,
    pub(crate) on_damage: OnDamage,
}

impl Log {
    /// Opens the directory of a partition, recovering it if it was not closed cleanly.
    pub(crate) fn open(
        tp: &TopicPartition,
        context: &Arc<LogContext>,
        config: Arc<TopicConfig>,
        options: OpenOptions<'_>,
    ) -> Result<(Self, PartitionReport)> {
        let dir = names::partition_dir(tp)?;
        let mut report = PartitionReport::new(tp.clone());
        let storage = &context.storage;
        let mut listing = Listing::read(storage, &dir, &mut report)?;
        finish_leftovers(storage, &dir, &mut listing, &mut report)?;
        remove_orphans(storage, &dir, &mut listing, &mut report)?;

        let interval = config.index_interval_bytes;
        let mut files = Vec::new();
        for (base, len) in &mut listing.logs {
            let path = FilePath::within(&dir, SegmentFile::Log.name(*base));
            let file = storage.open(&path, Open::Write)?;
            *len = file.len()?;
            files.push(file);
        }
        let is_ours = options.provenance.is_ours();
        let matching = options
            .manifest
            .filter(|manifest| options.clean && manifest.matches(&listing, is_ours));
        if !is_ours && matching.is_none() {
            // Kafka may have compacted it since, and leaves files alone that it does not know.
            forget_digests(storage, &dir, &mut listing)?;
        }
        let (epochs, epochs_saved) = read_epochs(storage, &dir, &options, matching, &mut report)?;
        let epoch = epochs.last().map_or(0, |entry| entry.epoch);
        let clean = matching.is_some() || (options.clean && !options.has_manifest);
        let segments: Vec<Arc<Segment>> = listing
            .logs
            .iter()
            .zip(files)
            .enumerate()
            .map(|(index, ((base, len), file))| {
                let proof = matching.and_then(|m| m.segments.get(index)).and_then(|s| s.proof);
                let trust = match (clean, matching.is_some(), proof) {
                    (true, true, Some(proof)) => Trust::Proven(proof),
                    (true, false, _) => Trust::Plausible,
                    _ => Trust::Never,
                };
                Arc::new(Segment::existing(
                    context,
                    &dir,
                    *base,
                    (file, *len),
                    trust,
                    interval,
                    options.provenance.demand(*base, epoch),
                ))
            })
            .collect();

        let mut opened = match matching {
            Some(manifest) => Opened {
                segments,
                // Nothing has moved it since; and what the checkpoint says nothing vouches for.
                start: manifest.start,
                end: manifest.end,
                stable: manifest.stable,
                recovery_point: manifest.end,
                producers: None,
                epochs,
                epochs_saved,
                snapshot_offset: listing.newest_snapshot,
                halt: None,
                provenance: options.provenance,
                stored: Stored::default(),
            },
            None => {
                let recovered = Unmanifested { context, dir: &dir, options, interval, clean };
                let mut opened = recovered.open(segments, epochs, &listing, &mut report)?;
                opened.epochs_saved &= epochs_saved;
                opened
            }
        };
        report.clean = clean;
        opened.take(&options);
        if opened.halt.is_none() {
            opened.start = opened.start.min(opened.end);
        }
        let again = Arc::clone(&config);
        let log = Self::new(tp.clone(), dir, Arc::clone(context), config, opened);
        // What a recovery rebuilt is worth writing down at the next close.
        log.changed.store(!clean, Ordering::Relaxed);
        match log.finish_open(clean, matching.is_some()) {
            // Closed cleanly, it is said, but nobody vouches for the bytes and some are bad. What
            // was closed was durable: it is damage, and does not take the sound rest away.
            Err(error) if error.code() == Some(ErrorCode::CorruptMessage) => {
                let recovery_point = options.recovery_point.max(log.end_offset());
                drop(log);
                let unclean = OpenOptions { clean: false, recovery_point, ..options };
                let (log, second) = Self::open(tp, context, again, unclean)?;
                Ok((log, PartitionReport { leftovers: report.leftovers, ..second }))
            }
            outcome => outcome.map(|()| (log, report)),
        }
    }

    /// A partition whose files cannot be read now: it serves nothing, and nothing is changed.
    pub(crate) fn unreadable(
        tp: &TopicPartition,
        context: &Arc<LogContext>,
        config: Arc<TopicConfig>,
        options: OpenOptions<'_>,
        error: &Error,
    ) -> Result<(Self, PartitionReport)> {
        let dir = names::partition_dir(tp)?;
        let start = options.log_start.unwrap_or(0);
        let damage = Damage {
            offset: start,
            path: error.path().map_or_else(|| context.storage.dir_path(Some(&dir)), Into::into),
            position: 0,
            reason: error.to_string(),
        };
        let mut report = PartitionReport::new(tp.clone());
        report.damaged = Some(damage.report());
        let mut opened = opened(Vec::new(), Vec::new(), start);
        opened.start = start;
        opened.recovery_point = options.recovery_point;
        opened.halt = Some(Halt::Damaged(damage));
        opened.take(&options);
        Ok((Self::new(tp.clone(), dir, Arc::clone(context), config, opened), report))
    }

    fn finish_open(&self, clean: bool, matched: bool) -> Result<()> {
        if let Some(last) = self.segments().last() {
            // A clean open leaves the index of the last segment for its first use.
            if clean && !matched && self.halt().is_none() {
                last.activate()?;
            }
        }
        if clean && !matched && self.end_offset() > 0 {
            // Kafka's manifest is ours to find out: open transactions hold the stable offset back.
            let producers = self.load_producers()?;
            let end = self.end_offset();
            self.publish(end, producers.first_open_offset().unwrap_or(end));
            self.writer.lock().producers = Some(producers);
        } else if !clean && self.halt().is_none() {
            self.forget_open_below_start();
            self.writer.lock().reserve = Reserve::inherited();
        }
        Ok(())
    }

    /// A recovery reads whole segments. What an open transaction has below the log start is
    /// forgotten with it, as by every load that begins there, or its end would not be seen.
    fn forget_open_below_start(&self) {
        let below = |producers: &ProducerStates| {
            producers.first_open_offset().is_some_and(|first| first < self.start_offset())
        };
        let mut writer = self.writer.lock();
        if writer.producers.as_ref().is_some_and(below)
            && let Ok(producers) = self.load_producers()
        {
            let end = self.end_offset();
            self.publish(end, producers.first_open_offset().unwrap_or(end));
            writer.producers = Some(producers);
        }
    }
}

impl PartitionManifest {
    /// The segments with something above the log start. Those below it may go, and come back with
    /// a power cut, as they like.
    fn needed(&self) -> &[SegmentManifest] {
        let above = self.segments.partition_point(|segment| segment.base_offset <= self.start);
        self.segments.get(above.saturating_sub(1)..).unwrap_or_default()
    }

    /// The first of these segments that is not what it was, or may lie behind one that is missing.
    fn first_other(&self, segments: &[Arc<Segment>]) -> usize {
        let same = |(found, listed): &(&Arc<Segment>, &SegmentManifest)| {
            found.base_offset == listed.base_offset && found.size() == listed.size
        };
        let first = Log::segment_of(segments, self.start).unwrap_or(0);
        let there = segments.iter().skip(first);
        first + there.zip(self.needed()).take_while(same).count()
    }

    fn matches(&self, listing: &Listing, is_ours: bool) -> bool {
        // What we write ourselves has one epoch.
        let epochs = !is_ours || self.epochs.iter().all(|entry| entry.epoch == 0);
        let last = self.segments.last().map_or(0, |segment| segment.base_offset);
        let (start, stable) = (self.start, self.stable);
        let ends = [start, stable].iter().all(|offset| (0..=self.end).contains(offset));
        epochs
            && ends
            && last <= self.end
            && self.segments.len() == listing.logs.len()
            && self
                .segments
                .iter()
                .zip(&listing.logs)
                .all(|(ours, (base, len))| ours.base_offset == *base && ours.size == *len)
    }
}

/// A partition that no manifest describes: Kafka closed it, or nobody did.
struct Unmanifested<'a> {
    context: &'a Arc<LogContext>,
    dir: &'a FileName,
    options: OpenOptions<'a>,
    interval: u64,
    clean: bool,
}

impl Unmanifested<'_> {
    fn open(
        &self,
        segments: Vec<Arc<Segment>>,
        epochs: Vec<EpochEntry>,
        listing: &Listing,
        report: &mut PartitionReport,
    ) -> Result<Opened> {
        let first = segments.first().map_or(0, |segment| segment.base_offset);
        let mut opened = if self.clean {
            match Self::find_end(&segments)? {
                Ok(end) => opened(segments, epochs, end),
                // Everything was durable when it was closed: what is bad now is damage.
                Err(sound) => {
                    let durable = self.options.recovery_point.max(sound.saturating_add(1));
                    self.recover(segments, epochs, first, durable, report)?
                }
            }
        } else {
            self.recover(segments, epochs, first, self.options.recovery_point, report)?
        };
        // The first segment may have been cut away.
        let first = opened.segments.first().map_or(opened.end, |segment| segment.base_offset);
        let start = match (&opened.halt, self.options.log_start) {
            // Damage below the first segment: the log begins where it began, and says so there.
            (Some(_), known) => known.unwrap_or(first.min(opened.end)),
            (None, known) => known.unwrap_or(first).max(first),
        };
        let newest = listing.newest_snapshot.filter(|offset| *offset <= opened.end);
        opened.snapshot_offset = newest.filter(|_| self.clean);
        opened.start = start;
        if start > opened.end && opened.halt.is_none() {
            // Kafka does the same: everything that is left lies below the log start.
            self.empty_at(start, &mut opened)?;
        }
        if opened.segments.is_empty() && opened.halt.is_none() {
            let durable = self.options.recovery_point;
            opened.end = start;
            opened.stable = start;
            if !self.clean && durable > start {
                let damage = Damage {
                    offset: start,
                    path: self.context.storage.dir_path(Some(self.dir)),
                    position: 0,
                    reason: format!("no segment is left, but it was durable up to {durable}"),
                };
                match self.options.on_damage {
                    OnDamage::Refuse => return Err(damage.error(&report.topic_partition)),
                    OnDamage::Truncate => {
                        report.truncated = Some(Truncation {
                            offset: start,
                            bytes: 0,
                            reason: damage.reason,
                            kept_in: None,
                        });
                    }
                    OnDamage::Serve => {
                        report.damaged = Some(damage.report());
                        opened.recovery_point = durable;
                        opened.halt = Some(Halt::Damaged(damage));
                    }
                }
            }
        }
        Ok(opened)
    }

    /// A directory that Kafka closed cleanly: the end is found from the last index entry. Where the
    /// last segment is damaged, that is how far it is sound.
    fn find_end(segments: &[Arc<Segment>]) -> Result<Result<i64, i64>> {
        let Some(last) = segments.last() else { return Ok(Ok(0)) };
        let mut end = last.base_offset;
        let mut scanner = last.scan(last.find_offset(i64::MAX, false)?, true)?;
        loop {
            match scanner.next() {
                Ok(Some(scanned)) => end = scanned.batch.header().next_offset(),
                Ok(None) => return Ok(Ok(end)),
                Err(Stop::Io(error)) => return Err(error),
                Err(Stop::Bad(_)) => return Ok(Err(end)),
            }
        }
    }

    fn recover(
        &self,
        segments: Vec<Arc<Segment>>,
        epochs: Vec<EpochEntry>,
        first: i64,
        recovery_point: i64,
        report: &mut PartitionReport,
    ) -> Result<Opened> {
        // What lies before the first segment of a log of ours was deleted, if the log start says so
        // or if it was durable once; else the segments before it were lost before they were synced.
        // After a clean close the manifest knows all there were.
        // Kafka may have had a directory of its own since, and leaves our files alone.
        let is_ours = self.options.provenance.is_ours();
        let closed = self.options.manifest.filter(|_| self.options.clean && is_ours);
        let log_start = closed.map_or(self.options.log_start.unwrap_or(0), |m| m.start);
        let recovery_point = closed.map_or(recovery_point, |m| recovery_point.max(m.end));
        let begins = closed.and_then(|m| m.needed().first()).map(|segment| segment.base_offset);
        let gone = begins.map_or(first > log_start.max(recovery_point), |begins| first > begins);
        let lost = is_ours && gone;
        let first = if lost { log_start } else { first };
        let suspect = closed.map(|manifest| manifest.first_other(&segments));
        let begin = Log::segment_of(&segments, recovery_point).unwrap_or(0);
        let base = segments.get(begin).map_or(first, |segment| segment.base_offset);
        let producers = self.producers_before(&segments, base)?;
        let mut recovery = Recovery {
            context: self.context,
            dir: self.dir,
            recovery_point,
            on_damage: self.options.on_damage,
            index_interval: self.interval,
            provenance: self.options.provenance,
            log_start,
            segments,
            producers,
            epochs,
            report,
            damage: None,
            end: first,
            next: lost.then_some(first),
            suspect,
        };
        if self.options.provenance.is_ours() && !recovery.segments.is_empty() {
            // What we write ourselves has one epoch, from the beginning.
            recovery.epochs = vec![EpochEntry { epoch: 0, start_offset: first }];
        }
        recovery.run()?;
        let Recovery { segments, mut producers, mut epochs, damage, end, .. } = recovery;
        epochs.retain(|entry| entry.start_offset <= end);
        self.context.saw_producers(&producers);
        producers.expire(self.context.producers_expire_before());
        // What is read here counts. A snapshot that was not, and tells of transactions below the
        // log start that are forgotten now, would bring them back.
        for (kind, offset) in stale_snapshots(&self.context.storage, self.dir, base.min(end))? {
            self.context
                .storage
                .remove_if_exists(&FilePath::within(self.dir, kind.name(offset)))?;
        }
        let mut opened = opened(segments, epochs, end);
        opened.stable = producers.first_open_offset().unwrap_or(end);
        opened.producers = Some(producers);
        if let Some(damage) = damage {
            // It stays damage at the next open: bytes below the recovery point are never cut.
            opened.recovery_point = opened.recovery_point.max(recovery_point);
            opened.halt = Some(Halt::Damaged(damage));
        }
        opened.epochs_saved = false;
        Ok(opened)
    }

    /// Producer state where the scan begins: the newest snapshot below, and what came since.
    fn producers_before(&self, segments: &[Arc<Segment>], base: i64) -> Result<ProducerStates> {
        let start = self.options.log_start.unwrap_or(0);
        let snapshot = newest_snapshot(&self.context.storage, self.dir, start, base)?;
        let (from, mut producers) = snapshot.unwrap_or_default();
        // A snapshot may lie inside a segment: that one is read too, from the snapshot on.
        let begin = Log::segment_of(segments, from).unwrap_or(0);
        for segment in segments.iter().skip(begin).take_while(|s| s.base_offset < base) {
            let mut scanner = segment.scan(segment.start(), true)?;
            while let Ok(Some(scanned)) = scanner.next() {
                if scanned.batch.header().base_offset() >= from {
                    super::replay::replay(&mut producers, &scanned.batch);
                }
            }
        }
        Ok(producers)
    }

    fn empty_at(&self, start: i64, opened: &mut Opened) -> Result<()> {
        let storage = &self.context.storage;
        for segment in opened.segments.drain(..).rev() {
            for kind in SegmentFile::ALL {
                let path = FilePath::within(self.dir, kind.name(segment.base_offset));
                storage.remove_if_exists(&path)?;
            }
        }
        storage.sync_dir(Some(self.dir))?;
        opened.producers = Some(ProducerStates::default());
        opened.epochs.clear();
        opened.recovery_point = start;
        Ok(())
    }
}

fn opened(segments: Vec<Arc<Segment>>, epochs: Vec<EpochEntry>, end: i64) -> Opened {
    Opened {
        segments,
        start: 0,
        end,
        stable: end,
        recovery_point: end,
        producers: None,
        epochs,
        epochs_saved: true,
        snapshot_offset: None,
        halt: None,
        provenance: Provenance::Elsewhere,
        stored: Stored::default(),
    }
}

impl Opened {
    /// What is known from beside the partition.
    fn take(&mut self, options: &OpenOptions<'_>) {
        self.provenance = options.provenance;
        self.stored = Stored {
            start: options.log_start.unwrap_or(0),
            recovery_point: options.recovery_point,
        };
    }
}

/// The epochs of a partition: what its manifest says, else its file, else what follows from who
/// wrote it (we never raise an epoch). Also says whether the file holds them.
fn read_epochs(
    storage: &Storage,
    dir: &FileName,
    options: &OpenOptions<'_>,
    manifest: Option<&PartitionManifest>,
    report: &mut PartitionReport,
) -> Result<(Vec<EpochEntry>, bool)> {
    let file = checkpoint::read(storage, Some(dir), LEADER_EPOCHS, checkpoint::parse_epochs)?;
    if let Some(manifest) = manifest {
        let saved = match &file {
            Some(Ok(epochs)) => *epochs == manifest.epochs,
            Some(Err(_)) => false,
            None => manifest.epochs.is_empty(),
        };
        if !saved {
            report.rebuilt.push(LEADER_EPOCHS.to_owned());
        }
        return Ok((manifest.epochs.clone(), saved));
    }
    match file {
        Some(Ok(epochs)) if !options.provenance.is_ours() => Ok((epochs, true)),
        // In a log that is all ours every epoch is 0, whatever the file says.
        Some(Ok(_)) | None => Ok((Vec::new(), true)),
        Some(Err(_)) => {
            report.rebuilt.push(LEADER_EPOCHS.to_owned());
            Ok((Vec::new(), false))
        }
    }
}
