//! The settings of a consumer, named as Kafka names them.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::error::{Error, Result};
use crate::types::IsolationLevel;

/// Where to begin when there is no committed offset, or when the position is out of range
/// (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the log start.
    Earliest,
    /// At the end: only what comes from now on.
    #[default]
    Latest,
    /// Nowhere: `poll` fails, nothing is skipped.
    None,
}

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
    pub(crate) check_crcs: bool,
    pub(crate) allow_auto_create: bool,
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
            check_crcs: true,
            allow_auto_create: true,
        }
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

    /// Kafka: `max.poll.records`. Default: 500. At least 1.
    pub fn max_poll_records(mut self, records: usize) -> Self {
        self.config.max_poll_records = records;
        self
    }

    /// Kafka: `max.partition.fetch.bytes`. Default: 1 MiB. Soft: the first batch always comes
    /// whole.
    pub fn max_partition_fetch_bytes(mut self, bytes: usize) -> Self {
        self.config.max_partition_fetch_bytes = bytes;
        self
    }

    /// Kafka: `fetch.max.bytes`. Default: 50 MiB a poll. Soft: the first batch always comes whole.
    pub fn fetch_max_bytes(mut self, bytes: usize) -> Self {
        self.config.fetch_max_bytes = bytes;
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

    /// Sets a key by its Kafka name. An unknown key fails [`build`](Self::build).
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.push((key.into(), value.into()));
        self
    }
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
                self.offset_reset = match value {
                    "earliest" => OffsetReset::Earliest,
                    "latest" => OffsetReset::Latest,
                    "none" => OffsetReset::None,
                    _ => return one_of("earliest, latest, none"),
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
            "check.crcs" => self.check_crcs = boolean()?,
            "allow.auto.create.topics" => self.allow_auto_create = boolean()?,
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
        assert_eq!(config.isolation, IsolationLevel::ReadCommitted);
        assert_eq!(config.offset_reset, OffsetReset::None);
        for (key, value) in [
            ("group", "g"),
            ("auto.offset.reset", "now"),
            ("check.crcs", "1"),
            ("fetch.max.bytes", "-1"),
        ] {
            assert!(config.set(key, value).is_err(), "{key}={value}");
        }
    }
}
