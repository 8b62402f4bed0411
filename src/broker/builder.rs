//! Opening a broker with other than the default settings.

use std::path::Path;

use super::config::{BrokerConfig, Housekeeping, Place};
use super::handle::Broker;
use super::open::check_exists;
use super::shared::{Handle, Shared};
use super::topics::NewTopic;
use crate::error::{Error, ErrorCode, Result};
use crate::log::report::OnDamage;
use crate::storage::Storage;
use crate::time::Clock;

/// Settings of a broker, checked once by [`open`](Self::open). Where nothing else is said it lives
/// in memory.
///
/// ```
/// use logreel::{Broker, Housekeeping, NewTopic};
/// let broker = Broker::builder()
///     .housekeeping(Housekeeping::Manual)
///     .topic(NewTopic::new("orders").partitions(3))
///     .set("auto.create.topics.enable", "false")
///     .open()?;
/// assert_eq!(broker.topic("orders")?.partition_count(), 3);
/// # Ok::<(), logreel::Error>(())
/// ```
///
/// A directory, with settings of its own:
///
/// ```
/// use logreel::{Broker, OnDamage};
/// # let dir = tempfile::tempdir()?;
/// let broker = Broker::builder()
///     .dir(dir.path())
///     .on_damage(OnDamage::Refuse)
///     .mmap(false)
///     .seed(7)
///     .auto_create_topics(false)
///     .num_partitions(3)
///     .offsets_topic_partitions(50)
///     .open()?;
/// assert_eq!(broker.create_topic("orders")?.partition_count(), 3);
/// assert!(broker.recovery_report().damaged().next().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it is opened"]
pub struct BrokerBuilder {
    config: BrokerConfig,
    keys: Vec<(String, String)>,
    topics: Vec<NewTopic>,
}

impl Broker {
    /// Opens a directory, making it if it is missing. Takes its lock, recovers what was not closed
    /// cleanly, and adopts topics that a Kafka broker wrote.
    ///
    /// # Errors
    ///
    /// As [`BrokerBuilder::open`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::builder().dir(dir).open()
    }

    /// A broker whose files live in memory and go with it: no file, no thread until one is needed.
    #[must_use]
    pub fn in_memory() -> Self {
        let opened = Self::builder().open();
        // New memory has nothing to refuse.
        opened.unwrap_or_else(|error| Self::never(&error))
    }

    #[cold]
    #[expect(clippy::panic, reason = "memory that was just made cannot fail to open")]
    fn never(error: &Error) -> Self {
        panic!("{error}")
    }

    /// Opens a directory without writing a byte to it, beside the process that may own it. Only
    /// whole sound batches are served; what the owner appends is seen as it comes. Consumers may
    /// `assign`; joining groups, committing and appending fail. What a
    /// [`Partition`](crate::Partition) says of its offsets is as of the last read of it, or of the
    /// last call of [`Broker::topic`]. The digests of compacted segments are not compared, as the
    /// owner may be putting others in their place; [`admin::verify`](crate::admin::verify) compares
    /// them while nobody has the directory open.
    ///
    /// ```
    /// use logreel::Broker;
    /// # let dir = tempfile::tempdir()?;
    /// let writer = Broker::open(dir.path())?;
    /// let log = writer.create_topic("events")?.partition(0)?;
    /// log.append([(None, Some("seen by both"))])?;
    /// let viewer = Broker::open_read_only(dir.path())?;
    /// assert!(viewer.is_read_only());
    /// assert_eq!(viewer.topic("events")?.partition(0)?.read(0, 1024)?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`BrokerBuilder::open_read_only`].
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<Self> {
        Self::builder().dir(dir).open_read_only()
    }

    /// Other than default settings.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }
}

impl BrokerBuilder {
    /// The settings of a broker, for another one.
    #[cfg(feature = "testing")]
    pub(crate) fn like(broker: &Broker) -> Self {
        let config = broker.handle().config.clone();
        Self { config, keys: Vec::new(), topics: Vec::new() }
    }

    /// Keeps the files in this directory, which is made if it is missing.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.config.place = Place::Dir(dir.as_ref().to_path_buf());
        self
    }

    /// Keeps the files in this storage.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.config.place = Place::Storage(storage);
        self
    }

    /// Lives by this clock. Default: the system's. A mock clock implies manual housekeeping.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.config.clock = clock.into();
        self
    }

    /// Who does what nobody waits for. Default: threads of the broker.
    pub fn housekeeping(mut self, housekeeping: Housekeeping) -> Self {
        self.config.housekeeping = housekeeping;
        self
    }

    /// What to do with a partition that is damaged below its recovery point. Default: serve what
    /// lies before the damage.
    pub fn on_damage(mut self, policy: OnDamage) -> Self {
        self.config.on_damage = policy;
        self
    }

    /// Whether segments are read through memory maps: sealed ones, and of the active one what lies
    /// far behind its end. Default: true. A map assumes that nobody else cuts a segment; if
    /// somebody does, or if the disk fails under it, reading kills the process with SIGBUS. With
    /// `false` all are read with `pread`, and such failures are errors.
    pub fn mmap(mut self, map: bool) -> Self {
        self.config.mmap = map;
        self
    }

    /// Seeds the broker's randomness (topic and member ids, jitter), so that a run repeats.
    /// Default: the system's; a fixed seed with a mock clock.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = Some(seed);
        self
    }

    /// Kafka: `auto.create.topics.enable`. Default: true.
    pub fn auto_create_topics(mut self, enable: bool) -> Self {
        self.config.auto_create_topics = enable;
        self
    }

    /// Kafka: `num.partitions`, for topics that do not say. Default: 1. Limits: 1 to 100 000.
    pub fn num_partitions(mut self, count: i32) -> Self {
        self.config.num_partitions = count;
        self
    }

    /// Kafka: `offsets.topic.num.partitions`, effective when the offsets topic is made. Default: 1
    /// (Kafka: 50); at least 50 in a directory that Kafka wrote.
    pub fn offsets_topic_partitions(mut self, count: i32) -> Self {
        self.config.offsets_partitions = Some(count);
        self
    }

    /// Makes this topic at the open, unless it exists.
    pub fn topic(mut self, topic: impl Into<NewTopic>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Sets a key by its Kafka name. An unknown key fails the open.
    ///
    /// | key | default | limits | what |
    /// |---|---|---|---|
    /// | `auto.create.topics.enable` | true | | clients make unknown topics |
    /// | `group.initial.rebalance.delay.ms` | 0 (Kafka: 3000) | | an empty group waits for more |
    /// | `group.max.session.timeout.ms` | 1800000 | | of static members |
    /// | `group.max.size` | 2147483647 | from 1 | members of a group |
    /// | `group.min.session.timeout.ms` | 6000 | | of static members |
    /// | `log.cleaner.backoff.ms` | 15000 | from 1 | how often dirty logs are looked for |
    /// | `log.cleaner.dedupe.buffer.size` | 134217728 | from 1 | a ceiling, not allocated at once |
    /// | `log.cleaner.enable` | true | | compacted topics are compacted |
    /// | `log.initial.task.delay.ms` | 30000 | | the first check of retention |
    /// | `log.retention.check.interval.ms` | 300000 | from 1 | |
    /// | `num.partitions` | 1 | 1 to 100000 | of topics that clients make |
    /// | `offsets.retention.check.interval.ms` | 600000 | from 1 | |
    /// | `offsets.retention.minutes` | 10080 | from 1 | adopted directories keep all until set |
    /// | `offsets.topic.num.partitions` | 1 (Kafka: 50) | 1 to 100000 | when the topic is made |
    /// | `producer.id.expiration.ms` | 86400000 | from 1 | |
    /// | `transaction.max.timeout.ms` | 900000 | from 1 | what producers may ask for |
    /// | `transaction.state.log.num.partitions` | 1 (Kafka: 50) | 1 to 100000 | when it is made |
    ///
    /// Times and sizes go up to 2147483647.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.push((key.into(), value.into()));
        self
    }

    /// Opens the broker: takes the directory's lock and recovers what was not closed cleanly.
    /// Blocks for as long as recovery reads, which is the bytes past the recovery point.
    ///
    /// # Errors
    ///
    /// `DirectoryLocked` when another process, a Kafka broker or another broker of this process
    /// holds the directory; `InvalidDirectory` when it is none or was written by a newer release;
    /// `CORRUPT_MESSAGE` for damage with [`OnDamage::Refuse`]; `INVALID_CONFIG` for a setting that
    /// is not accepted; I/O errors with the path.
    pub fn open(self) -> Result<Broker> {
        let mut config = self.config;
        for (key, value) in &self.keys {
            config.set(key, value)?;
        }
        let broker = Broker::new(Handle::new(Shared::open(config)?));
        for topic in self.topics {
            match broker.create_topic(topic) {
                Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => {
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(broker)
    }

    /// Opens a directory without writing a byte to it and without its lock, beside the process
    /// that owns it. See [`Broker::open_read_only`].
    ///
    /// # Errors
    ///
    /// `InvalidDirectory` when it does not exist or is none; I/O errors with the path.
    pub fn open_read_only(self) -> Result<Broker> {
        check_exists(&self.config.storage())?;
        Ok(Broker::new(Handle::new(Shared::open_read_only(self.config)?)))
    }
}
