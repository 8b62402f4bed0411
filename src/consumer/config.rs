//! The settings of a consumer, named as Kafka names them.

use std::sync::Arc;
use std::time::Duration;

use super::assignors::Assignors;
use super::reset::OffsetReset;
use crate::broker::{Broker, Handle, is_network_key};
use crate::coordinator::assignor::Assignor;
use crate::error::{Error, Result};
use crate::faults::{OpKind, Operation};
use crate::log::Log;
use crate::types::{
    IsolationLevel, OffsetAndMetadata, OffsetAndTimestamp, OffsetSpec, TopicPartition,
};

/// The settings of a consumer.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerConfig {
    pub(crate) group_id: Option<Arc<str>>,
    pub(crate) offset_reset: OffsetReset,
    pub(crate) isolation: IsolationLevel,
    pub(crate) auto_commit: bool,
    pub(crate) auto_commit_interval: Duration,
    pub(crate) max_poll_records: usize,
    pub(crate) max_partition_fetch_bytes: usize,
    pub(crate) fetch_max_bytes: usize,
    pub(crate) fetch_min_bytes: usize,
    pub(crate) fetch_max_wait: Duration,
    pub(crate) check_crcs: bool,
    pub(crate) allow_auto_create: bool,
    pub(crate) client_id: Option<Arc<str>>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) max_poll_interval: Duration,
    pub(crate) assignors: Assignors,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            group_id: None,
            offset_reset: OffsetReset::Latest,
            isolation: IsolationLevel::ReadUncommitted,
            auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
            max_poll_records: 500,
            max_partition_fetch_bytes: 1024 * 1024,
            fetch_max_bytes: 50 * 1024 * 1024,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            check_crcs: true,
            allow_auto_create: true,
            client_id: None,
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            assignors: Assignors::default(),
        }
    }
}

impl ConsumerConfig {
    /// An operation of the consumer with these settings.
    pub(super) fn operation(&self, kind: OpKind) -> Operation {
        let operation = Operation::new(kind);
        let operation = match &self.client_id {
            Some(client_id) => operation.by(client_id),
            None => operation,
        };
        match &self.group_id {
            Some(group) => operation.of_group(group),
            None => operation,
        }
    }

    /// What the group has committed for a partition.
    pub(super) fn committed(
        &self,
        broker: &Handle,
        group: &str,
        tp: &TopicPartition,
    ) -> Result<Option<OffsetAndMetadata>> {
        let operation = || self.operation(OpKind::FetchOffsets).on(tp);
        let committed = || broker.committed(group, tp);
        broker.context.faults.run(&broker.context.clock, operation, committed)
    }

    /// Looks an offset up in a log.
    pub(super) fn offset_for(
        &self,
        log: &Log,
        spec: OffsetSpec,
    ) -> Result<Option<OffsetAndTimestamp>> {
        let operation = || self.operation(OpKind::ListOffsets).on(&log.tp);
        let find = || log.offset_for(spec, self.isolation);
        log.context.faults.run(&log.context.clock, operation, find)
    }
}

/// Settings of a consumer, checked once by [`build`](Self::build).
///
/// ```
/// use logreel::{Broker, OffsetReset};
/// let broker = Broker::in_memory();
/// let consumer = broker
///     .consumer()
///     .group_id("billing")
///     .auto_offset_reset(OffsetReset::Earliest)
///     .set("max.poll.records", "1000")
///     .build()?;
/// consumer.subscribe(["orders"])?;
/// # Ok::<(), logreel::Error>(())
/// ```
///
/// These are the defaults:
///
/// ```
/// # use std::time::Duration;
/// # use logreel::{Broker, IsolationLevel, OffsetReset};
/// # let broker = Broker::in_memory();
/// let settings = broker
///     .consumer()
///     .allow_auto_create_topics(true)
///     .auto_commit_interval(Duration::from_secs(5))
///     .auto_offset_reset(OffsetReset::Latest)
///     .check_crcs(true)
///     .enable_auto_commit(true)
///     .fetch_max_bytes(50 * 1024 * 1024)
///     .fetch_max_wait(Duration::from_millis(500))
///     .fetch_min_bytes(1)
///     .isolation_level(IsolationLevel::ReadUncommitted)
///     .max_partition_fetch_bytes(1024 * 1024)
///     .max_poll_interval(Duration::from_secs(300))
///     .max_poll_records(500)
///     .session_timeout(Duration::from_secs(45));
/// assert_eq!(format!("{settings:?}"), format!("{:?}", broker.consumer()));
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ConsumerBuilder {
    pub(super) broker: Broker,
    pub(super) config: ConsumerConfig,
    pub(super) keys: Vec<(String, String)>,
}

impl Broker {
    /// A consumer of this broker's topics.
    pub fn consumer(&self) -> ConsumerBuilder {
        ConsumerBuilder {
            broker: self.clone(),
            config: ConsumerConfig::default(),
            keys: Vec::new(),
        }
    }
}

impl ConsumerBuilder {
    /// Kafka: `group.id`. Default: none. Needed to subscribe and to commit.
    pub fn group_id(mut self, group: impl Into<Arc<str>>) -> Self {
        self.config.group_id = Some(group.into());
        self
    }

    /// Kafka: `auto.offset.reset`. Default: latest.
    pub fn auto_offset_reset(mut self, reset: OffsetReset) -> Self {
        self.config.offset_reset = reset;
        self
    }

    /// Kafka: `isolation.level`. Default: `read_uncommitted`.
    pub fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.config.isolation = level;
        self
    }

    /// Kafka: `enable.auto.commit`. Default: true. Commits happen inside
    /// [`poll`](crate::Consumer::poll) and [`close`](crate::Consumer::close), and cover what
    /// earlier polls returned.
    pub fn enable_auto_commit(mut self, enable: bool) -> Self {
        self.config.auto_commit = enable;
        self
    }

    /// Kafka: `auto.commit.interval.ms`. Default: 5 s.
    pub fn auto_commit_interval(mut self, interval: Duration) -> Self {
        self.config.auto_commit_interval = interval;
        self
    }

    /// Kafka: `max.poll.records`. Default: 500. At least 1. What a poll leaves of the batches it
    /// read comes with the next ones.
    pub fn max_poll_records(mut self, records: usize) -> Self {
        self.config.max_poll_records = records;
        self
    }

    /// Kafka: `max.partition.fetch.bytes`. Default: 1 MiB. How much of one partition is read ahead
    /// at a time. Soft: a batch that is larger comes whole, by itself (KIP-74).
    pub fn max_partition_fetch_bytes(mut self, bytes: usize) -> Self {
        self.config.max_partition_fetch_bytes = bytes;
        self
    }

    /// Kafka: `fetch.max.bytes`. Default: 50 MiB. How much a poll reads of all partitions together.
    /// Soft: a batch that is larger comes whole, by itself (KIP-74).
    pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
        self.config.fetch_max_bytes = bytes;
        self
    }

    /// Kafka: `fetch.min.bytes`. Default: 1, which holds nothing back. With more, a poll waits
    /// until the batches it can read have this many bytes together, or a partition has
    /// `max.partition.fetch.bytes`, for up to `fetch.max.wait.ms`. Fewer and larger answers for
    /// later ones.
    pub fn fetch_min_bytes(mut self, bytes: usize) -> Self {
        self.config.fetch_min_bytes = bytes;
        self
    }

    /// Kafka: `fetch.max.wait.ms`. Default: 500 ms. How long `fetch.min.bytes` holds records back,
    /// from the moment a poll sees the first of them; over several polls, if their timeouts are
    /// shorter.
    pub fn fetch_max_wait(mut self, wait: Duration) -> Self {
        self.config.fetch_max_wait = wait;
        self
    }

    /// Kafka: `check.crcs`. Default: true. Whether checksums are verified when batches are read.
    pub fn check_crcs(mut self, check: bool) -> Self {
        self.config.check_crcs = check;
        self
    }

    /// Kafka: `allow.auto.create.topics`. Default: true. Whether subscribing to or assigning an
    /// unknown topic makes it, if the broker allows that too.
    pub fn allow_auto_create_topics(mut self, allow: bool) -> Self {
        self.config.allow_auto_create = allow;
        self
    }

    /// Kafka: `client.id`. Default: `consumer-<group>-<number>`. What the ids that the group gives
    /// its members begin with, and what tools show.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let group = logreel::Broker::in_memory().group("billing");
    /// let member = group.member().client_id("worker-3").build()?;
    /// member.subscribe(["orders"])?;
    /// member.poll(Duration::ZERO)?;
    /// let id = member.group_metadata().and_then(|me| me.member_id().map(str::to_owned));
    /// assert!(id.is_some_and(|id| id.starts_with("worker-3-")));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn client_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.config.client_id = Some(id.into());
        self
    }

    /// Kafka: `group.instance.id`. Default: none. Makes the member static (KIP-345): when it goes
    /// away its partitions wait for it until `session.timeout.ms` has passed, also across a restart
    /// of the process, and it gets them back without a rebalance. No two members may use one id at
    /// a time: the older one is fenced.
    pub fn group_instance_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.config.instance_id = Some(id.into());
        self
    }

    /// Kafka: `session.timeout.ms`. Default: 45 s. How long a static member may be away. Members in
    /// this process need no heartbeats, so it means nothing to others. From 6 s to 30 min unless
    /// the broker was opened with other bounds.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.config.session_timeout = timeout;
        self
    }

    /// Kafka: `max.poll.interval.ms`. Default: 5 min. Who has not polled for so long has left the
    /// group; also how long a rebalance waits for this member.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.config.max_poll_interval = interval;
        self
    }

    /// Kafka: `partition.assignment.strategy`. Default: range, then cooperative-sticky. The first
    /// call takes the place of the default, each further one adds an assignor that is liked less.
    /// All members of a group need one in common. Partitions change hands cooperatively only where
    /// every assignor of a consumer allows it.
    ///
    /// ```
    /// use logreel::consumer::CooperativeStickyAssignor;
    /// let broker = logreel::Broker::in_memory();
    /// let settings = broker.consumer().group_id("g").assignor(CooperativeStickyAssignor);
    /// assert!(settings.build().is_ok());
    /// ```
    pub fn assignor(mut self, assignor: impl Assignor + 'static) -> Self {
        self.config.assignors.add(Arc::new(assignor));
        self
    }

    /// Sets a key by its Kafka name. An unknown key fails [`build`](Self::build); one that is about
    /// a network is accepted and [ignored](Self::ignored), so that the settings of a real cluster's
    /// consumer load as they are.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.push((key.into(), value.into()));
        self
    }

    /// The keys that were set and mean nothing in one process.
    ///
    /// ```
    /// let broker = logreel::Broker::in_memory();
    /// let settings = broker.consumer().set("bootstrap.servers", "b:9092").set("group.id", "g");
    /// assert_eq!(settings.ignored(), ["bootstrap.servers"]);
    /// assert!(settings.build().is_ok());
    /// ```
    #[must_use]
    pub fn ignored(&self) -> Vec<&str> {
        self.keys.iter().map(|(key, _)| key.as_str()).filter(|key| is_ignored(key)).collect()
    }

    /// The settings, checked.
    pub(super) fn checked(&self) -> Result<ConsumerConfig> {
        let mut config = self.config.clone();
        for (key, value) in &self.keys {
            config.set(key, value)?;
        }
        if config.max_poll_records == 0 {
            return Err(Error::invalid_config("max.poll.records", "0", "at least 1 is needed"));
        }
        if config.heartbeat_interval >= config.session_timeout {
            return Err(Error::invalid_config(
                "heartbeat.interval.ms",
                &config.heartbeat_interval.as_millis().to_string(),
                "it has to be less than session.timeout.ms",
            ));
        }
        if config.max_poll_interval.is_zero() {
            let reason = "at least 1 is needed";
            return Err(Error::invalid_config("max.poll.interval.ms", "0", reason));
        }
        for (key, id) in
            [("client.id", &config.client_id), ("group.instance.id", &config.instance_id)]
        {
            if let Some(id) = id
                && (id.is_empty() || id.len() > ID_BYTES_MAX)
            {
                let reason = format!("1 to {ID_BYTES_MAX} bytes are needed");
                return Err(Error::invalid_config(key, id, &reason));
            }
        }
        Ok(config)
    }
}

/// Member ids are made of these; Kafka's limit for `group.instance.id`.
const ID_BYTES_MAX: usize = 249;

/// Whether a consumer's key means nothing in one process: there are no requests that could time
/// out, and records are bytes.
fn is_ignored(key: &str) -> bool {
    const KEYS: [&str; 6] = [
        "default.api.timeout.ms",
        "key.deserializer",
        "request.timeout.ms",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "value.deserializer",
    ];
    (is_network_key(key) && key != "client.id") || KEYS.contains(&key)
}

impl ConsumerConfig {
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let number = || -> Result<u32> {
            let limit = i32::MAX.unsigned_abs();
            value.parse().ok().filter(|n| *n <= limit).ok_or_else(|| {
                Error::invalid_config(key, value, "a whole number from 0 to 2147483647 is needed")
            })
        };
        let boolean = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Error::invalid_config(key, value, "true or false is needed")),
        };
        let one_of = |words: &str| {
            Err(Error::invalid_config(key, value, &format!("one of {words} is needed")))
        };
        match key {
            "group.id" => self.group_id = Some(Arc::from(value)),
            "auto.offset.reset" => {
                self.offset_reset = match OffsetReset::parse(value) {
                    Some(reset) => reset,
                    None => return one_of("earliest, latest, none, by_duration:<ISO-8601>"),
                }
            }
            "isolation.level" => {
                self.isolation = match value {
                    "read_uncommitted" => IsolationLevel::ReadUncommitted,
                    "read_committed" => IsolationLevel::ReadCommitted,
                    _ => return one_of("read_uncommitted, read_committed"),
                }
            }
            "enable.auto.commit" => self.auto_commit = boolean()?,
            "auto.commit.interval.ms" => {
                self.auto_commit_interval = Duration::from_millis(u64::from(number()?));
            }
            "max.poll.records" => self.max_poll_records = number()? as usize,
            "max.partition.fetch.bytes" => self.max_partition_fetch_bytes = number()? as usize,
            "fetch.max.bytes" => self.fetch_max_bytes = number()? as usize,
            "fetch.min.bytes" => self.fetch_min_bytes = number()? as usize,
            "fetch.max.wait.ms" => {
                self.fetch_max_wait = Duration::from_millis(u64::from(number()?));
            }
            "client.id" => self.client_id = Some(Arc::from(value)).filter(|_| !value.is_empty()),
            "group.instance.id" => self.instance_id = Some(Arc::from(value)),
            "session.timeout.ms" => {
                self.session_timeout = Duration::from_millis(u64::from(number()?));
            }
            "heartbeat.interval.ms" => {
                self.heartbeat_interval = Duration::from_millis(u64::from(number()?));
            }
            "max.poll.interval.ms" => {
                self.max_poll_interval = Duration::from_millis(u64::from(number()?));
            }
            "partition.assignment.strategy" => match Assignors::parse(value) {
                Some(assignors) => self.assignors = assignors,
                None => return one_of("range, roundrobin, sticky, cooperative-sticky"),
            },
            "group.protocol" if value == "classic" => {}
            "group.protocol" => {
                let reason = "groups speak the classic protocol; KIP-848's is not there yet";
                return Err(Error::invalid_config(key, value, reason));
            }
            "exclude.internal.topics" if boolean()? => {}
            "exclude.internal.topics" => return one_of("true"),
            "check.crcs" => self.check_crcs = boolean()?,
            "allow.auto.create.topics" => self.allow_auto_create = boolean()?,
            _ if is_ignored(key) => {}
            _ => return Err(Error::invalid_config(key, value, "consumers have no such key")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_set_by_name_and_unknown_ones_refused() {
        let mut config = ConsumerConfig::default();
        config.set("isolation.level", "read_committed").unwrap();
        config.set("auto.offset.reset", "none").unwrap();
        config.set("value.deserializer", "org.example.Text").unwrap();
        config.set("ssl.protocol", "TLSv1.3").unwrap();
        assert_eq!(config.isolation, IsolationLevel::ReadCommitted);
        assert_eq!(config.offset_reset, OffsetReset::None);
        for (key, value) in [
            ("group", "g"),
            ("auto.offset.reset", "now"),
            ("auto.offset.reset", "by_duration"),
            ("fetch.max.wait.ms", "2147483648"),
            ("check.crcs", "1"),
            ("fetch.max.bytes", "-1"),
        ] {
            assert!(config.set(key, value).is_err(), "{key}={value}");
        }
    }
}
