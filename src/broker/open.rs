//! Opening a directory: ours, a Kafka broker's, or a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::background::{Background, Role};
use super::catalog::{Catalog, Loaded, TopicEntry, TopicOrigin};
use super::closing::Closing;
use super::config::{BrokerConfig, PARTITIONS_MAX};
use super::found::Found;
use super::groups::Groups;
use super::producer_ids::ProducerIds;
use super::report::RecoveryReport;
use super::shared::Shared;
use super::topic_state::TopicState;
use super::topics::{Leftover, new_topic_id};
use super::transactions::Transactions;
use super::upkeep::Upkeep;
use crate::error::{Error, ErrorKind, Result};
use crate::faults::Faults;
use crate::log::checkpoint::{self, PARTITION_METADATA, PartitionOffsets};
use crate::log::context::{Attention, Maps, Request};
use crate::log::manifest::{CLEAN_MARKER, MANIFEST};
use crate::log::names::{self, CONSUMER_OFFSETS, SegmentFile};
use crate::log::report::PartitionReport;
use crate::log::trash::Trash;
use crate::log::{Log, LogContext, OpenOptions, Provenance, TopicConfig};
use crate::metrics::Counters;
use crate::random::Random;
use crate::storage::{FileName, Storage};
use crate::types::{TopicId, TopicPartition};
use crate::wait::WaitQueue;

/// Kafka's default; a group's partition is its hash modulo this.
const ADOPTED_OFFSETS_PARTITIONS_MIN: i32 = 50;
/// With a mock clock every run repeats.
const FIXED_SEED: u64 = 0x6c6f_6772_6565_6c00;

impl Shared {
    pub(crate) fn open(config: BrokerConfig) -> Result<Arc<Self>> {
        config.check()?;
        let storage = config.storage();
        storage.create_root()?;
        let lock = storage.lock()?;
        let mut report = RecoveryReport::default();
        let mut found = Found::look(&storage, &mut report)?;
        let fresh = found.is_fresh();
        report.clean = found.clean || fresh;

        // Nothing may be written while the marker stands; and without it the manifest says nothing.
        let root = |name| checkpoint::path(None, name);
        let marked = storage.remove_if_exists(&root(CLEAN_MARKER))?;
        let listed = storage.remove_if_exists(&root(MANIFEST))?;
        if marked || listed {
            storage.sync_dir(None)?;
        }

        let context = Arc::new(new_context(&config, storage));
        let (catalog, changed) = settle_catalog(&context, &config, &mut found, &mut report)?;
        if changed {
            catalog.store(&context.storage)?;
        }
        let mut topics = BTreeMap::new();
        for (name, entry) in catalog.topics.iter().filter(|(_, entry)| !entry.deleting) {
            let topic = open_topic(&context, &config, &found, name, entry, &mut report)?;
            topics.insert(Arc::clone(name), Arc::new(topic));
        }
        let shared =
            assemble(config, context, report, catalog, topics, Some(lock), found.first_dirty);
        if !shared.report.clean || shared.report.partitions.iter().any(|p| !p.clean) {
            shared.write_checkpoints()?;
        }
        shared.recover_transactions()?;
        shared.finish_deletions()?;
        shared.plan_first_upkeep();
        shared.tell_opened();
        Ok(shared)
    }

    /// Opens without writing a byte or taking the lock, beside whoever owns the directory.
    pub(crate) fn open_read_only(mut config: BrokerConfig) -> Result<Arc<Self>> {
        config.check()?;
        // The owner may cut a file at any time, so nothing is mapped.
        config.mmap = false;
        config.auto_create_topics = false;
        let storage = config.storage();
        let mut report = RecoveryReport { clean: true, ..RecoveryReport::default() };
        let context = Arc::new(new_context(&config, storage));
        let (catalog, topics) = read_topics(&context, &BTreeMap::new(), &mut report)?;
        Ok(assemble(config, context, report, catalog, topics, None, PartitionOffsets::new()))
    }

    /// Looks for new topics, partitions and settings in a directory that another process writes.
    pub(crate) fn refresh_topics(&self) -> Result<()> {
        // Held all along, so that two readers do not take in the same partitions.
        let mut stored = self.catalog.lock();
        let known = self.topics.read().clone();
        let shape = |topics: &Topics| -> Vec<(TopicId, i32)> {
            topics.values().map(|topic| (topic.id, topic.partition_count())).collect()
        };
        let before = shape(&known);
        let (catalog, topics) = read_topics(&self.context, &known, &mut RecoveryReport::default())?;
        let more = shape(&topics) != before;
        *stored = catalog;
        drop(stored);
        *self.topics.write() = topics;
        if more {
            self.topics_changed();
        }
        Ok(())
    }
}

type Topics = BTreeMap<Arc<str>, Arc<TopicState>>;

fn new_context(config: &BrokerConfig, storage: Storage) -> LogContext {
    let random = match config.seed {
        Some(seed) => Random::seeded(seed),
        None if config.clock.is_mock() => Random::seeded(FIXED_SEED),
        None => Random::from_system(),
    };
    LogContext {
        storage,
        clock: config.clock.clone(),
        faults: Faults::default(),
        random,
        counters: Counters::default(),
        maps: Maps::default(),
        mmap: config.mmap,
        producer_expiration_ms: config.producer_expiration_ms,
        highest_producer_id: AtomicI64::new(-1),
        attention: Attention::default(),
        trash: Trash::default(),
    }
}

fn assemble(
    config: BrokerConfig,
    context: Arc<LogContext>,
    report: RecoveryReport,
    catalog: Catalog,
    topics: Topics,
    lock: Option<Box<dyn crate::storage::Lock>>,
    first_dirty: PartitionOffsets,
) -> Arc<Shared> {
    let read_only = lock.is_none();
    let shared = Arc::new_cyclic(|this: &Weak<Shared>| Shared {
        background: Background::new(Role::Sender, config.has_threads(), config.clock.clone()),
        cleaner: Background::new(Role::Cleaner, config.has_threads(), config.clock.clone()),
        upkeep: Upkeep::new(&config, first_dirty),
        config,
        context,
        read_only,
        report,
        catalog: Mutex::new(catalog),
        topics: RwLock::new(topics),
        topics_version: AtomicU64::new(0),
        topics_changed: WaitQueue::new(),
        groups: Groups::default(),
        transactions: Transactions::default(),
        producer_ids: ProducerIds::default(),
        lock: Mutex::new(lock),
        duties: Mutex::default(),
        closed: AtomicBool::new(false),
        closing: Closing::default(),
        handles: AtomicUsize::new(0),
        this: Weak::clone(this),
    });
    let this = Arc::downgrade(&shared);
    shared.context.attention.set(Box::new(move |request| {
        if let Some(shared) = this.upgrade() {
            match request {
                Request::Sync(tp, due) => {
                    shared.background.ask_sync(tp, due);
                    // Without the thread it is done by whoever waits, or by the close.
                    let _ = shared.wake_background();
                    return;
                }
                Request::Synced => shared.plan_checkpoint(false),
                Request::Rolled { is_compacted } => {
                    shared.plan_checkpoint(true);
                    if is_compacted {
                        shared.plan_cleaning();
                    }
                }
                Request::Grew => shared.plan_checks(),
            }
            shared.wake_upkeep();
        }
    }));
    #[cfg(feature = "testing")]
    {
        let timers: Weak<dyn crate::time::Timers> = shared.this.clone();
        shared.context.clock.attach(timers);
    }
    shared
}

/// The catalog as it will be: adopted topics added, interrupted operations finished or undone.
/// Also says whether it must be stored.
fn settle_catalog(
    context: &LogContext,
    config: &BrokerConfig,
    found: &mut Found,
    report: &mut RecoveryReport,
) -> Result<(Catalog, bool)> {
    let storage = &context.storage;
    let (mut catalog, ours, mut changed) = match &found.catalog {
        Loaded::Catalog(catalog) => (catalog.clone(), true, false),
        Loaded::FromSecondCopy(catalog) => {
            report.repaired.push("the catalog was damaged; its second copy is used".to_owned());
            (catalog.clone(), true, true)
        }
        Loaded::Damaged => {
            let what = "both copies of the catalog were damaged: topics are taken from the names \
                        of their directories, without their configuration";
            report.repaired.push(what.to_owned());
            (Catalog::default(), false, true)
        }
        Loaded::None => (Catalog::default(), false, true),
    };
    for dir in &found.deleted {
        if storage.remove_tree(dir)? {
            report.repaired.push(format!("{}: its deletion is finished", dir.as_str()));
            changed = true;
        } else {
            report.ignored.push(dir.as_str().to_owned());
        }
    }
    let deleting: Vec<Arc<str>> = catalog
        .topics
        .iter()
        .filter(|(_, t)| t.deleting)
        .map(|(name, _)| Arc::clone(name))
        .collect();
    if !deleting.is_empty() {
        // A killed process may have left the mark in the page cache only; it goes before the files.
        storage.sync_dir(None)?;
    }
    for name in deleting {
        for number in found.partitions.get(&*name).into_iter().flatten() {
            let dir = names::partition_dir(&TopicPartition::new(Arc::clone(&name), *number))?;
            if !storage.remove_tree(&dir)? {
                report.ignored.push(dir.as_str().to_owned());
            }
        }
        storage.sync_dir(None)?;
        report.repaired.push(format!("topic {name}: its deletion is finished"));
        // The mark goes when the groups' commits are gone too.
        found.forget(&name);
    }
    for (name, entry) in &catalog.topics {
        // Directories that the catalog knows nothing of are nobody's.
        let numbers = found.partitions.get(&**name).into_iter().flatten();
        let beyond = numbers.filter(|number| **number >= entry.partitions);
        report.ignored.extend(beyond.map(|number| format!("{name}-{number}")));
    }
    let strangers: Vec<(String, BTreeSet<i32>)> = found
        .partitions
        .iter()
        .filter(|(name, _)| !catalog.topics.contains_key(name.as_str()))
        .map(|(name, numbers)| (name.clone(), numbers.clone()))
        .collect();
    for (name, numbers) in strangers {
        let data = with_data(storage, &name, &numbers, ours)?;
        if !data.is_empty() {
            let entry = adopt(context, config, &name, &data)?;
            if !catalog.has_room_for(entry.partitions) {
                // The numbers in the names stand for more partitions than anybody has.
                report.ignored.extend(data.iter().map(|number| format!("{name}-{number}")));
                found.forget(&name);
                continue;
            }
            catalog.topics.insert(Arc::from(name.as_str()), entry);
            report.adopted.push(name.clone());
            changed = true;
        }
        for number in numbers.difference(&data) {
            let dir = names::partition_dir(&TopicPartition::new(name.as_str(), *number))?;
            let empty = storage.list(Some(&dir))?.is_empty();
            let unfinished = ours && !empty && Leftover::of(storage, &dir)? == Leftover::Unfinished;
            // Directories are made before the topic enters the catalog.
            if unfinished && storage.remove_tree(&dir)? {
                report.repaired.push(format!("{}: its creation is undone", dir.as_str()));
            } else {
                report.ignored.push(dir.as_str().to_owned());
            }
        }
        if data.is_empty() {
            found.forget(&name);
        }
    }
    Ok((catalog, changed))
}

/// The partitions among these directories: those with a segment, and in a directory that Kafka
/// owned those with a topic's id. Others only look like partitions (`photos-2023`).
fn with_data(
    storage: &Storage,
    topic: &str,
    numbers: &BTreeSet<i32>,
    ours: bool,
) -> Result<BTreeSet<i32>> {
    let mut data = BTreeSet::new();
    for number in numbers.iter().filter(|number| **number < PARTITIONS_MAX) {
        let dir = names::partition_dir(&TopicPartition::new(topic, *number))?;
        let counts = |name: &FileName| {
            let is_log = SegmentFile::parse(name.as_str());
            matches!(is_log, Some((SegmentFile::Log, _)))
                || (!ours && name.as_str() == PARTITION_METADATA)
        };
        let entries = storage.list(Some(&dir))?;
        if entries.iter().any(|entry| entry.name.as_ref().is_some_and(counts)) {
            data.insert(*number);
        }
    }
    Ok(data)
}

/// The catalog entry of a topic that Kafka wrote. Its configuration is unknown, so nothing of it
/// is ever removed until the user says so.
fn adopt(
    context: &LogContext,
    config: &BrokerConfig,
    name: &str,
    numbers: &BTreeSet<i32>,
) -> Result<TopicEntry> {
    let mut id = None;
    for number in numbers {
        let dir = names::partition_dir(&TopicPartition::new(name, *number))?;
        let parse = checkpoint::parse_partition_metadata;
        let stored = checkpoint::read(&context.storage, Some(&dir), PARTITION_METADATA, parse)?;
        id = id.or(stored.and_then(std::result::Result::ok));
    }
    let mut partitions = numbers.last().map_or(1, |last| last.saturating_add(1));
    if name == CONSUMER_OFFSETS {
        let wanted = config.offsets_partitions.unwrap_or(ADOPTED_OFFSETS_PARTITIONS_MIN);
        partitions = partitions.max(wanted);
    }
    let overrides: &[(&str, &str)] = if names::is_internal(name) {
        // No log is dirtier than 1, so none is cleaned.
        &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "1")]
    } else {
        &[("retention.ms", "-1"), ("retention.bytes", "-1")]
    };
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Ok(TopicEntry {
        id: id.unwrap_or_else(|| new_topic_id(&context.random)),
        partitions,
        origin: TopicOrigin::Adopted,
        deleting: false,
        config: overrides.iter().map(own).collect(),
    })
}

fn open_topic(
    context: &Arc<LogContext>,
    broker: &BrokerConfig,
    found: &Found,
    name: &Arc<str>,
    entry: &TopicEntry,
    report: &mut RecoveryReport,
) -> Result<TopicState> {
    let config = Arc::new(TopicConfig::stored(entry.config.clone())?);
    let mut logs = Vec::new();
    for number in 0..entry.partitions {
        let tp = TopicPartition::new(Arc::clone(name), number);
        let options = OpenOptions {
            clean: found.clean,
            manifest: found.manifest.as_ref().and_then(|manifest| manifest.get(&tp)),
            has_manifest: found.manifest.is_some(),
            recovery_point: found.recovery_points.get(&tp).copied().unwrap_or(0),
            log_start: found.log_starts.get(&tp).copied(),
            provenance: found.provenance(entry, &tp),
            on_damage: broker.on_damage,
        };
        let (log, partition) = match Log::open(&tp, context, Arc::clone(&config), options) {
            Ok(opened) => opened,
            // A disk that cannot read one partition must not take the others away.
            Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::StorageFull) => {
                Log::unreadable(&tp, context, Arc::clone(&config), options, &error)?
            }
            Err(error) => return Err(error),
        };
        note(report, partition);
        logs.push(Arc::new(log));
    }
    Ok(TopicState::new(Arc::clone(name), entry.id, config, logs))
}

fn note(report: &mut RecoveryReport, partition: PartitionReport) {
    report.clean &= partition.clean || partition.scanned_bytes == 0 && partition.damaged.is_none();
    report.partitions.push(partition);
}

/// The topics of a directory that is only read; those known already are looked at again.
fn read_topics(
    context: &Arc<LogContext>,
    known: &Topics,
    report: &mut RecoveryReport,
) -> Result<(Catalog, Topics)> {
    let found = Found::look(&context.storage, report)?;
    let has_catalog = !matches!(found.catalog, Loaded::None | Loaded::Damaged);
    let mut catalog = match &found.catalog {
        Loaded::Catalog(catalog) | Loaded::FromSecondCopy(catalog) => catalog.clone(),
        Loaded::None | Loaded::Damaged => {
            let mut catalog = Catalog::default();
            for (name, numbers) in &found.partitions {
                let data = with_data(&context.storage, name, numbers, false)?;
                if data.is_empty() {
                    continue;
                }
                let entry = adopt(context, &BrokerConfig::default(), name, &data)?;
                if catalog.has_room_for(entry.partitions) {
                    catalog.topics.insert(Arc::from(name.as_str()), entry);
                }
            }
            catalog
        }
    };
    catalog.topics.retain(|_, topic| !topic.deleting);
    let mut topics = Topics::new();
    for (name, entry) in &catalog.topics {
        // Without a catalog an id may be made up anew at each look.
        let same = |topic: &&Arc<TopicState>| !has_catalog || topic.id == entry.id;
        let old = known.get(name).filter(same).cloned();
        let config = Arc::new(TopicConfig::stored(entry.config.clone())?);
        let new = || TopicState::new(Arc::clone(name), entry.id, Arc::clone(&config), Vec::new());
        let topic = old.unwrap_or_else(|| Arc::new(new()));
        if has_catalog {
            // What stands in no catalog is made up, not altered.
            topic.set_config(&config);
        }
        for log in topic.logs().iter() {
            log.set_start(found.log_starts.get(&log.tp).copied().unwrap_or(0));
            if let Provenance::Here { gaps_below } = found.provenance(entry, &log.tp) {
                log.expect_gaps_below(gaps_below);
            }
        }
        let more: Result<Vec<Arc<Log>>> = (topic.partition_count()..entry.partitions)
            .map(|number| {
                let tp = TopicPartition::new(Arc::clone(name), number);
                let start = found.log_starts.get(&tp).copied();
                let written = found.provenance(entry, &tp);
                Log::open_read_only(&tp, context, Arc::clone(&config), start, written).map(Arc::new)
            })
            .collect();
        topic.add_logs(more?);
        topics.insert(Arc::clone(name), topic);
    }
    Ok((catalog, topics))
}

/// A directory that does not exist cannot be read.
pub(crate) fn check_exists(storage: &Storage) -> Result<()> {
    storage.list(None).map(|_| ()).map_err(|error| {
        Error::new(
            ErrorKind::InvalidDirectory,
            format!("{} is not a log directory", storage.dir_path(None).display()),
        )
        .because(error)
    })
}
