//! How a broker is opened: where, by which clock, with whose threads.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::log::report::OnDamage;
use crate::storage::Storage;
use crate::time::Clock;

/// Kafka asks for at least one partition; this many are plenty for one process.
pub(crate) const PARTITIONS_MAX: i32 = 100_000;
/// All topics of a broker together. A partition without a file takes some 1.5 KB of memory, and
/// a few bytes of a catalog, or a directory called `t-99999`, can ask for a hundred thousand.
pub(crate) const PARTITIONS_TOTAL_MAX: i32 = 200_000;

/// Who does what nobody waits for: lingering batches, background syncs, retention, compaction,
/// checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Housekeeping {
    /// Threads of the broker, started when first needed, at most two.
    #[default]
    Threads,
    /// You, by calling [`Broker::run_due`](crate::Broker::run_due). The broker starts no thread.
    /// This is what a mock clock implies.
    Manual,
}

/// The settings of a broker.
#[derive(Clone, Debug)]
pub(crate) struct BrokerConfig {
    pub(crate) place: Place,
    pub(crate) clock: Clock,
    pub(crate) housekeeping: Housekeeping,
    pub(crate) on_damage: OnDamage,
    pub(crate) mmap: bool,
    pub(crate) seed: Option<u64>,
    pub(crate) auto_create_topics: bool,
    pub(crate) num_partitions: i32,
    /// `None` until set: one in a directory of ours, at least Kafka's 50 in an adopted one.
    pub(crate) offsets_partitions: Option<i32>,
    /// `None` until set: one.
    pub(crate) transactions_partitions: Option<i32>,
    pub(crate) transaction_max_timeout: Duration,
    pub(crate) producer_expiration_ms: i64,
    pub(crate) group_max_size: usize,
    pub(crate) group_initial_delay: Duration,
    pub(crate) group_min_session: Duration,
    pub(crate) group_max_session: Duration,
    /// `None` until set: seven days in a directory of ours, no end in an adopted one.
    pub(crate) offsets_retention: Option<Duration>,
    /// How often expired commits are looked for.
    pub(crate) offsets_check: Duration,
    /// When retention is checked for the first time.
    pub(crate) initial_task_delay: Duration,
    pub(crate) retention_check: Duration,
    pub(crate) cleaner_enabled: bool,
    pub(crate) cleaner_backoff: Duration,
    /// How many bytes the cleaner's map of keys may take.
    pub(crate) cleaner_map_bytes: usize,
}

/// Where a broker keeps its files.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Memory,
    Dir(PathBuf),
    Storage(Storage),
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            place: Place::Memory,
            clock: Clock::system(),
            housekeeping: Housekeeping::Threads,
            on_damage: OnDamage::Serve,
            mmap: true,
            seed: None,
            auto_create_topics: true,
            num_partitions: 1,
            offsets_partitions: None,
            transactions_partitions: None,
            transaction_max_timeout: Duration::from_secs(15 * 60),
            producer_expiration_ms: 86_400_000,
            group_max_size: i32::MAX as usize,
            group_initial_delay: Duration::ZERO,
            group_min_session: Duration::from_secs(6),
            group_max_session: Duration::from_secs(30 * 60),
            offsets_retention: None,
            offsets_check: Duration::from_secs(10 * 60),
            initial_task_delay: Duration::from_secs(30),
            retention_check: Duration::from_secs(5 * 60),
            cleaner_enabled: true,
            cleaner_backoff: Duration::from_secs(15),
            cleaner_map_bytes: 128 * 1024 * 1024,
        }
    }
}

impl BrokerConfig {
    pub(crate) fn storage(&self) -> Storage {
        match &self.place {
            Place::Memory => Storage::memory(),
            Place::Dir(dir) => Storage::disk(dir),
            Place::Storage(storage) => storage.clone(),
        }
    }

    /// Sets a key by its Kafka name.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let boolean = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Error::invalid_config(key, value, "true or false is needed")),
        };
        let partitions = || match value.parse::<i32>() {
            Ok(count) if (1..=PARTITIONS_MAX).contains(&count) => Ok(count),
            _ => {
                let reason = format!("a whole number from 1 to {PARTITIONS_MAX} is needed");
                Err(Error::invalid_config(key, value, &reason))
            }
        };
        let number = |min: u32| {
            let limit = i32::MAX.unsigned_abs();
            value.parse::<u32>().ok().filter(|n| (min..=limit).contains(n)).ok_or_else(|| {
                let reason = format!("a whole number from {min} to {limit} is needed");
                Error::invalid_config(key, value, &reason)
            })
        };
        let millis = |min: u32| number(min).map(|n| Duration::from_millis(u64::from(n)));
        match key {
            "auto.create.topics.enable" => self.auto_create_topics = boolean()?,
            "num.partitions" => self.num_partitions = partitions()?,
            "group.initial.rebalance.delay.ms" => self.group_initial_delay = millis(0)?,
            "group.max.session.timeout.ms" => self.group_max_session = millis(0)?,
            "group.max.size" => self.group_max_size = number(1)? as usize,
            "group.min.session.timeout.ms" => self.group_min_session = millis(0)?,
            "log.cleaner.backoff.ms" => self.cleaner_backoff = millis(1)?,
            "log.cleaner.dedupe.buffer.size" => self.cleaner_map_bytes = number(1)? as usize,
            "log.cleaner.enable" => self.cleaner_enabled = boolean()?,
            "log.initial.task.delay.ms" => self.initial_task_delay = millis(0)?,
            "log.retention.check.interval.ms" => self.retention_check = millis(1)?,
            "offsets.retention.check.interval.ms" => self.offsets_check = millis(1)?,
            "offsets.retention.minutes" => {
                self.offsets_retention = Some(Duration::from_secs(u64::from(number(1)?) * 60));
            }
            "producer.id.expiration.ms" => match value.parse() {
                Ok(millis) if (1..=i64::from(i32::MAX)).contains(&millis) => {
                    self.producer_expiration_ms = millis;
                }
                _ => {
                    let reason = "a whole number from 1 to 2147483647 is needed";
                    return Err(Error::invalid_config(key, value, reason));
                }
            },
            "offsets.topic.num.partitions" => self.offsets_partitions = Some(partitions()?),
            "transaction.max.timeout.ms" => self.transaction_max_timeout = millis(1)?,
            "transaction.state.log.num.partitions" => {
                self.transactions_partitions = Some(partitions()?);
            }
            _ => return Err(Error::invalid_config(key, value, "brokers have no such key")),
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<()> {
        let counts = [
            ("num.partitions", Some(self.num_partitions)),
            ("offsets.topic.num.partitions", self.offsets_partitions),
        ];
        for (key, count) in counts {
            if let Some(count) = count
                && !(1..=PARTITIONS_MAX).contains(&count)
            {
                let reason = format!("a whole number from 1 to {PARTITIONS_MAX} is needed");
                return Err(Error::invalid_config(key, &count.to_string(), &reason));
            }
        }
        Ok(())
    }

    /// Whether the broker may start threads.
    pub(crate) fn has_threads(&self) -> bool {
        self.housekeeping == Housekeeping::Threads && !self.clock.is_mock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked_once_by_name() {
        let mut config = BrokerConfig::default();
        assert!(config.set("num.partitions", "3").is_ok());
        assert_eq!(config.num_partitions, 3);
        for (key, value) in [
            ("num.partitions", "0"),
            ("num.partitions", "100001"),
            ("num.partitions", "x"),
            ("auto.create.topics.enable", "yes"),
            ("log.dirs", "/d"),
        ] {
            assert!(config.set(key, value).is_err(), "{key}={value}");
        }
        config.num_partitions = 0;
        assert!(config.check().is_err());
    }
}
