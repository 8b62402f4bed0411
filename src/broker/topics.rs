//! Creating and deleting topics, and adding partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::{Catalog, TopicEntry, TopicOrigin};
use super::config::{PARTITIONS_MAX, PARTITIONS_TOTAL_MAX};
use super::shared::Shared;
use super::topic_state::TopicState;
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::faults::{OpKind, Operation};
use crate::log::checkpoint::{self, PARTITION_METADATA};
use crate::log::config::CleanupPolicy;
use crate::log::names::{self, CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::log::report::OnDamage;
use crate::log::{Halt, Log, OpenOptions, Provenance, TopicConfig};
use crate::random::Random;
use crate::storage::{EntryKind, FileName, FilePath, Open, Storage};
use crate::trace::{event, hold};
use crate::types::{TimestampType, TopicId, TopicPartition};
use crate::wait::Quiet;

/// A topic to be created.
///
/// ```
/// use logreel::{Broker, CleanupPolicy, NewTopic};
/// let broker = Broker::in_memory();
/// let users = NewTopic::new("users")
///     .partitions(6)
///     .cleanup_policy(CleanupPolicy::Compact)
///     .set("min.cleanable.dirty.ratio", "0.1");
/// assert_eq!(broker.create_topic(users)?.partition_count(), 6);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a NewTopic does nothing until it is given to create_topic"]
pub struct NewTopic {
    pub(crate) name: String,
    pub(crate) partitions: Option<i32>,
    pub(crate) replication_factor: i16,
    pub(crate) config: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with the broker's `num.partitions` (default 1) and Kafka's default configuration.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), partitions: None, replication_factor: 1, config: BTreeMap::new() }
    }

    /// How many partitions, 1 to 100 000.
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// Kafka's replication factor; one process has one copy, so only 1 is accepted.
    ///
    /// ```
    /// use logreel::{Broker, ErrorCode, NewTopic, TimestampType};
    /// let broker = Broker::in_memory();
    /// let topic = NewTopic::new("t").timestamp_type(TimestampType::LogAppendTime);
    /// let refused = broker.create_topic(topic.clone().replication_factor(3)).unwrap_err();
    /// assert_eq!(refused.code(), Some(ErrorCode::InvalidReplicationFactor));
    /// broker.create_topic(topic.replication_factor(1))?;
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn replication_factor(mut self, factor: i16) -> Self {
        self.replication_factor = factor;
        self
    }

    /// Kafka: `cleanup.policy`. Default: delete.
    pub fn cleanup_policy(self, policy: CleanupPolicy) -> Self {
        self.set("cleanup.policy", policy.name())
    }

    /// Kafka: `message.timestamp.type`. Default: `CreateTime`.
    pub fn timestamp_type(self, kind: TimestampType) -> Self {
        self.set("message.timestamp.type", kind.name())
    }

    /// Sets a key by its Kafka name. Checked when the topic is created.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }
}

impl From<&str> for NewTopic {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for NewTopic {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

fn check_partitions(count: i32) -> Result<()> {
    if (1..=PARTITIONS_MAX).contains(&count) {
        return Ok(());
    }
    Err(Error::kafka(
        ErrorCode::InvalidPartitions,
        format!("{count} partitions: 1 to {PARTITIONS_MAX} are allowed"),
    ))
}

/// All topics together have a limit too.
fn check_room(catalog: &Catalog, more: i32) -> Result<()> {
    if catalog.has_room_for(more) {
        return Ok(());
    }
    let present = catalog.partitions();
    Err(Error::kafka(
        ErrorCode::InvalidPartitions,
        format!("{more} partitions more than {present}: {PARTITIONS_TOTAL_MAX} may be in all"),
    ))
}

fn check_name_is_free(catalog: &Catalog, name: &str) -> Result<()> {
    let collides = |known: &&Arc<str>| names::collide(known, name);
    let Some(known) = catalog.topics.keys().find(collides) else { return Ok(()) };
    let deleting = catalog.topics.get(known).is_some_and(|entry| entry.deleting);
    let taken = |message| Err(Error::kafka(ErrorCode::TopicAlreadyExists, message));
    if deleting {
        taken(format!("the deletion of topic {known} failed; the next open finishes it"))
    } else if **known == *name {
        taken(format!("topic {name} exists already"))
    } else {
        Err(Error::kafka(
            ErrorCode::InvalidTopic,
            format!("topic name {name:?} collides with {known}: '.' and '_' count as the same"),
        ))
    }
}

pub(super) fn new_topic_id(random: &Random) -> TopicId {
    loop {
        if let Some(id) = TopicId::from_u128(random.next_u128()) {
            return id;
        }
    }
}

/// What lies where a new partition's directory is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    None,
    /// What a creation that was interrupted leaves: nothing, or the topic's id.
    Unfinished,
    /// Files that somebody may miss.
    Stranger,
}

impl Leftover {
    pub(super) fn of(storage: &Storage, dir: &FileName) -> Result<Self> {
        let Some(entries) = storage.list_if_exists(dir)? else { return Ok(Self::None) };
        let ours = |name: &FileName| name.as_str() == PARTITION_METADATA;
        let unfinished = entries
            .iter()
            .all(|entry| entry.kind == EntryKind::File && entry.name.as_ref().is_some_and(ours));
        Ok(if unfinished { Self::Unfinished } else { Self::Stranger })
    }

    /// What lies there, unless somebody may miss it.
    fn check(storage: &Storage, dir: &FileName) -> Result<Self> {
        let found = Self::of(storage, dir)?;
        if found == Self::Stranger {
            let path = storage.dir_path(Some(dir));
            return Err(Error::new(
                ErrorKind::InvalidDirectory,
                format!("{} is in the way: move it elsewhere", path.display()),
            ));
        }
        Ok(found)
    }
}

impl Shared {
    pub(crate) fn create_topic(&self, topic: &NewTopic) -> Result<Arc<TopicState>> {
        self.on_topic(OpKind::CreateTopics, &topic.name, || self.make_topic(topic))
    }

    /// Does something to a topic, or what a test has decided instead.
    fn on_topic<T>(&self, kind: OpKind, name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let operation = || Operation::new(kind).about(name);
        self.context.faults.run(&self.context.clock, operation, act)
    }

    fn make_topic(&self, topic: &NewTopic) -> Result<Arc<TopicState>> {
        self.check_writable("creating a topic")?;
        let (partitions, config) = self.check_new_topic(topic)?;
        let mut catalog = self.catalog.lock();
        self.check_open()?;
        check_name_is_free(&catalog, &topic.name)?;
        check_room(&catalog, partitions)?;
        let name: Arc<str> = Arc::from(topic.name.as_str());
        let id = new_topic_id(&self.context.random);
        let entry = TopicEntry {
            id,
            partitions,
            origin: TopicOrigin::Ours,
            deleting: false,
            config: topic.config.clone(),
        };
        let logs = self.make_partitions(&name, &entry, &config, 0..partitions)?;
        let mut changed = catalog.clone();
        changed.topics.insert(Arc::clone(&name), entry);
        changed.store(&self.context.storage)?;
        *catalog = changed;
        let state = Arc::new(TopicState::new(Arc::clone(&name), id, config, logs));
        self.topics.write().insert(name, Arc::clone(&state));
        drop(catalog);
        self.topics_changed();
        event!(INFO, "topic created", topic = topic.name.as_str(), partitions = partitions);
        Ok(state)
    }

    /// Whether the topic could be created now. Makes nothing.
    pub(crate) fn validate_topic(&self, topic: &NewTopic) -> Result<()> {
        self.check_writable("creating a topic")?;
        let (partitions, _) = self.check_new_topic(topic)?;
        let catalog = self.catalog.lock();
        self.check_open()?;
        check_name_is_free(&catalog, &topic.name)?;
        check_room(&catalog, partitions)?;
        let name: Arc<str> = Arc::from(topic.name.as_str());
        for number in 0..partitions {
            let dir = names::partition_dir(&TopicPartition::new(Arc::clone(&name), number))?;
            Leftover::check(&self.context.storage, &dir)?;
        }
        Ok(())
    }

    /// What can be said about a new topic without looking at those that are there.
    fn check_new_topic(&self, topic: &NewTopic) -> Result<(i32, Arc<TopicConfig>)> {
        names::check_topic_name(&topic.name)?;
        if topic.replication_factor != 1 {
            return Err(Error::kafka(
                ErrorCode::InvalidReplicationFactor,
                format!(
                    "replication factor {}: one process has one copy",
                    topic.replication_factor
                ),
            ));
        }
        let partitions = topic.partitions.unwrap_or(self.config.num_partitions);
        check_partitions(partitions)?;
        Ok((partitions, Arc::new(TopicConfig::new(topic.config.clone())?)))
    }

    /// Makes partition directories, with the topic's id in each; durable on return.
    fn make_partitions(
        &self,
        name: &Arc<str>,
        entry: &TopicEntry,
        config: &Arc<TopicConfig>,
        numbers: std::ops::Range<i32>,
    ) -> Result<Vec<Arc<Log>>> {
        let storage = &self.context.storage;
        let mut logs = Vec::new();
        for number in numbers {
            let tp = TopicPartition::new(Arc::clone(name), number);
            let dir = names::partition_dir(&tp)?;
            if Leftover::check(storage, &dir)? == Leftover::Unfinished {
                // Of a creation that failed; the catalog knows of no such partition.
                storage.remove_tree(&dir)?;
            }
            storage.create_dir(&dir)?;
            let path = checkpoint::path(Some(&dir), PARTITION_METADATA);
            let text = checkpoint::format_partition_metadata(entry.id);
            let file = storage.open(&FilePath { ..path }, Open::CreateNew)?;
            file.write_all_at(0, text.as_bytes())?;
            file.sync()?;
            storage.sync_dir(Some(&dir))?;
            let options = OpenOptions {
                clean: true,
                manifest: None,
                has_manifest: false,
                recovery_point: 0,
                log_start: None,
                provenance: match entry.origin {
                    TopicOrigin::Ours => Provenance::Here { gaps_below: 0 },
                    TopicOrigin::Adopted => Provenance::Elsewhere,
                },
                on_damage: OnDamage::Refuse,
            };
            let (log, _) = Log::open(&tp, &self.context, Arc::clone(config), options)?;
            logs.push(Arc::new(log));
        }
        storage.sync_dir(None)?;
        Ok(logs)
    }

    pub(crate) fn create_partitions(&self, name: &str, total: i32) -> Result<()> {
        let add = || self.add_partitions(name, total);
        self.on_topic(OpKind::CreatePartitions, name, add)
    }

    fn add_partitions(&self, name: &str, total: i32) -> Result<()> {
        self.check_writable("adding partitions")?;
        check_partitions(total)?;
        let mut catalog = self.catalog.lock();
        self.check_open()?;
        let topic = self.topic(name).ok_or_else(|| Error::unknown_topic(name))?;
        let present = topic.partition_count();
        if total <= present {
            return Err(Error::kafka(
                ErrorCode::InvalidPartitions,
                format!("topic {name} has {present} partitions; {total} would not be more"),
            ));
        }
        check_room(&catalog, total - present)?;
        let mut changed = catalog.clone();
        let Some(entry) = changed.topics.get_mut(name) else {
            return Err(Error::unknown_topic(name));
        };
        entry.partitions = total;
        let logs = self.make_partitions(&topic.name, entry, &topic.config(), present..total)?;
        changed.store(&self.context.storage)?;
        *catalog = changed;
        topic.add_logs(logs);
        drop(catalog);
        self.topics_changed();
        event!(INFO, "partitions created", topic = name, partitions = total);
        Ok(())
    }

    /// Deletes a topic and its files. Batches that readers hold stay valid.
    pub(crate) fn delete_topic(&self, name: &str) -> Result<()> {
        self.on_topic(OpKind::DeleteTopics, name, || self.delete_topic_now(name))
    }

    fn delete_topic_now(&self, name: &str) -> Result<()> {
        self.check_writable("deleting a topic")?;
        if names::is_internal(name) {
            return Err(Error::kafka(
                ErrorCode::InvalidTopic,
                format!("topic {name} belongs to the coordinators and cannot be deleted"),
            ));
        }
        let quiet = Quiet::new();
        let mut catalog = self.catalog.lock();
        self.check_open()?;
        let topic = self.topic(name).ok_or_else(|| Error::unknown_topic(name))?;
        let storage = &self.context.storage;
        let mut changed = catalog.clone();
        if let Some(entry) = changed.topics.get_mut(name) {
            entry.deleting = true;
        }
        let logs = topic.logs();
        let stop = |reason: &Halt| {
            for log in logs.iter() {
                // An append that has passed its check holds this lock until it is through.
                let _writer = log.writer.lock();
                log.stop(reason.clone());
            }
        };
        if let Err(error) = changed.store(storage) {
            // Whether the mark is on the disk is not known. If it cannot be taken back, nothing
            // more may be acknowledged: the next open may delete the topic.
            if catalog.store(storage).is_err() {
                stop(&Halt::Poisoned(error.clone()));
                drop(catalog);
                drop(quiet);
                logs.iter().for_each(|log| log.fail_waiting());
            }
            return Err(error);
        }
        // From here on the topic is gone, whatever happens; an open finishes what is left.
        *catalog = changed.clone();
        self.topics.write().remove(name);
        stop(&Halt::Deleted);
        self.topics_changed();
        let outcome = self.remove_topic(&mut catalog, changed, name, &logs);
        drop(catalog);
        drop(quiet);
        for log in logs.iter() {
            log.sync.fail(&Error::unknown_topic(name));
        }
        event!(INFO, "topic deleted", topic = name);
        outcome
    }

    /// Removes the files of a topic that is marked as deleted and what groups committed for it, and
    /// then the mark.
    fn remove_topic(
        &self,
        catalog: &mut Catalog,
        mut changed: Catalog,
        name: &str,
        logs: &[Arc<Log>],
    ) -> Result<()> {
        let storage = &self.context.storage;
        for log in logs {
            // Whoever cleans it sees that it was deleted, and ends.
            let _upkeep = log.upkeep.lock();
            // Open files would be kept alive one by one while they are removed.
            log.set_segments(Vec::new());
            self.context.trash.forget(&log.dir);
            if storage.list_if_exists(&log.dir)?.is_some() {
                let unique = self.context.random.next_u128();
                let deleted = names::deleted_dir(&log.tp, unique)?;
                storage.rename_dir(&log.dir, &deleted)?;
                storage.remove_tree(&deleted)?;
            }
        }
        storage.sync_dir(None)?;
        // Else a topic of the same name would begin with the old one's recovery point.
        self.write_checkpoints()?;
        self.forget_upkeep(name, logs)?;
        // Before the mark goes: without it no open would know of them.
        self.forget_commits(name)?;
        changed.topics.remove(name);
        changed.store(storage)?;
        *catalog = changed;
        Ok(())
    }

    /// Ends the deletions that the open found: their files are gone, what groups committed for the
    /// topics may not be. Where that cannot be done now, the mark stays for the next open.
    pub(super) fn finish_deletions(&self) -> Result<()> {
        let _hold = hold();
        let mut catalog = self.catalog.lock();
        let mut changed = catalog.clone();
        changed.topics.retain(|name, topic| !topic.deleting || self.forget_commits(name).is_err());
        if changed != *catalog {
            changed.store(&self.context.storage)?;
            *catalog = changed;
        }
        Ok(())
    }

    /// The topic, made with default settings if the broker may do that by itself.
    pub(crate) fn topic_or_create(&self, name: &str) -> Result<Arc<TopicState>> {
        if let Some(topic) = self.topic(name) {
            return Ok(topic);
        }
        self.check_open()?;
        names::check_topic_name(name)?;
        if !self.config.auto_create_topics || self.read_only {
            return Err(Error::unknown_topic(name));
        }
        match self.create_topic(&NewTopic::new(name)) {
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                self.topic(name).ok_or(error)
            }
            created => created,
        }
    }

    /// The topic that holds the groups' offsets, made when it is first needed.
    pub(crate) fn offsets_topic(&self) -> Result<Arc<TopicState>> {
        self.coordinators_topic(CONSUMER_OFFSETS, self.config.offsets_partitions)
    }

    /// The topic that holds what is known of transactions, made when it is first needed.
    pub(crate) fn transactions_topic(&self) -> Result<Arc<TopicState>> {
        self.coordinators_topic(TRANSACTION_STATE, self.config.transactions_partitions)
    }

    fn coordinators_topic(&self, name: &str, partitions: Option<i32>) -> Result<Arc<TopicState>> {
        if let Some(topic) = self.topic(name) {
            return Ok(topic);
        }
        let topic = NewTopic::new(name)
            .partitions(partitions.unwrap_or(1))
            .cleanup_policy(CleanupPolicy::Compact)
            .set("compression.type", "producer")
            .set("segment.bytes", "104857600");
        match self.make_topic(&topic) {
            Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                self.topic(name).ok_or(error)
            }
            created => created,
        }
    }
}
