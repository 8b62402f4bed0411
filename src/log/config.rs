//! A topic's configuration: Kafka's keys, defaults and limits in one table.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::record::Compression;
use crate::types::TimestampType;

/// The smallest segment (KIP-1030). Tests may use tiny ones so that rolling is cheap to reach, as
/// Kafka's `internal.segment.bytes` allows.
pub(crate) const SEGMENT_BYTES_MIN: i64 = if cfg!(feature = "testing") { 14 } else { 1024 * 1024 };
/// Positions in a segment are 32 bits, in Kafka's indexes too.
const SEGMENT_BYTES_MAX: i64 = i32::MAX as i64;

enum Rule {
    Integer {
        min: i64,
        max: i64,
    },
    /// gzip's level: 1 to 9, or -1 for its own default.
    Level,
    Ratio,
    OneOf(&'static [&'static str]),
    /// A comma-separated list of these words, at least one.
    SomeOf(&'static [&'static str]),
    /// What a single process cannot do: only Kafka's default is accepted.
    Only,
}

struct Key {
    name: &'static str,
    default: &'static str,
    rule: Rule,
}

const fn key(name: &'static str, default: &'static str, rule: Rule) -> Key {
    Key { name, default, rule }
}

const fn at_least(min: i64) -> Rule {
    Rule::Integer { min, max: i64::MAX }
}

const FOR_EVER: &str = "9223372036854775807";

/// Every key a topic may have. Kafka documentation, "Topic Configs"; defaults of Kafka 4.
const KEYS: &[Key] = &[
    key("cleanup.policy", "delete", Rule::SomeOf(&["compact", "delete"])),
    key("compression.gzip.level", "-1", Rule::Level),
    key("compression.lz4.level", "9", Rule::Integer { min: 1, max: 17 }),
    key(
        "compression.type",
        "producer",
        Rule::OneOf(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]),
    ),
    key("compression.zstd.level", "3", Rule::Integer { min: -131_072, max: 22 }),
    key("delete.retention.ms", "86400000", at_least(0)),
    key("file.delete.delay.ms", "60000", at_least(0)),
    key("flush.messages", FOR_EVER, at_least(1)),
    key("flush.ms", FOR_EVER, at_least(0)),
    key("follower.replication.throttled.replicas", "", Rule::Only),
    key("index.interval.bytes", "4096", Rule::Integer { min: 0, max: i32::MAX as i64 }),
    key("leader.replication.throttled.replicas", "", Rule::Only),
    key("local.retention.bytes", "-2", Rule::Only),
    key("local.retention.ms", "-2", Rule::Only),
    key("max.compaction.lag.ms", FOR_EVER, at_least(1)),
    key("max.message.bytes", "1048588", Rule::Integer { min: 0, max: i32::MAX as i64 }),
    key("message.timestamp.after.max.ms", "3600000", at_least(0)),
    key("message.timestamp.before.max.ms", FOR_EVER, at_least(0)),
    key("message.timestamp.type", "CreateTime", Rule::OneOf(&["CreateTime", "LogAppendTime"])),
    key("min.cleanable.dirty.ratio", "0.5", Rule::Ratio),
    key("min.compaction.lag.ms", "0", at_least(0)),
    key("min.insync.replicas", "1", Rule::Integer { min: 1, max: i32::MAX as i64 }),
    key("preallocate", "false", Rule::OneOf(&["false", "true"])),
    key("remote.log.copy.disable", "false", Rule::Only),
    key("remote.log.delete.on.disable", "false", Rule::Only),
    key("remote.storage.enable", "false", Rule::Only),
    key("retention.bytes", "-1", at_least(-1)),
    key("retention.ms", "604800000", at_least(-1)),
    key(
        "segment.bytes",
        "1073741824",
        Rule::Integer { min: SEGMENT_BYTES_MIN, max: SEGMENT_BYTES_MAX },
    ),
    key("segment.index.bytes", "10485760", Rule::Integer { min: 4, max: i32::MAX as i64 }),
    key("segment.jitter.ms", "0", at_least(0)),
    key("segment.ms", "604800000", at_least(1)),
    key("unclean.leader.election.enable", "false", Rule::Only),
];

pub(super) const NO_SUCH_KEY: &str = "topics have no such key";

/// Checks one key and its value.
pub(super) fn check(name: &str, value: &str) -> Result<()> {
    match KEYS.iter().find(|key| key.name == name) {
        Some(key) => key.rule.check(name, value, key.default),
        None => Err(Error::invalid_config(name, value, NO_SUCH_KEY)),
    }
}

/// Whether a key has a list that words can be added to.
pub(super) fn is_list(name: &str) -> bool {
    KEYS.iter().any(|key| key.name == name && matches!(key.rule, Rule::SomeOf(_)))
}

/// What happens to records that are no longer needed (`cleanup.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Old segments go, by time and size.
    Delete,
    /// The last value of each key stays.
    Compact,
    /// Both.
    CompactDelete,
}

impl CleanupPolicy {
    /// The value as it stands in a topic's configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactDelete => "compact,delete",
        }
    }

    /// Whether old segments go, by time and size.
    #[must_use]
    pub fn is_deleted(self) -> bool {
        self != Self::Compact
    }

    /// Whether records must have keys.
    #[must_use]
    pub fn is_compacted(self) -> bool {
        self != Self::Delete
    }
}

/// A key of a topic's configuration with its value, as `kafka-configs --describe` shows it.
///
/// ```
/// use logreel::{Broker, NewTopic};
/// let broker = Broker::in_memory();
/// let topic = broker.create_topic(NewTopic::new("t").set("retention.ms", "1000"))?;
/// let config = topic.config();
/// let entry = config.entries().find(|entry| entry.name == "retention.ms");
/// let entry = entry.expect("every topic has it");
/// assert_eq!((entry.value, entry.default, entry.is_set), ("1000", "604800000", true));
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigEntry<'a> {
    /// The key, by Kafka's name.
    pub name: &'static str,
    /// The value in force.
    pub value: &'a str,
    /// The value where nothing was set.
    pub default: &'static str,
    /// Whether the value was set for the topic, perhaps to what is the default too.
    pub is_set: bool,
}

/// The configuration of a topic: what was set, over Kafka 4's defaults.
///
/// The keys and what they do are Kafka's ("Topic Configs"). `preallocate=true` keeps 256 KiB of
/// zeros written ahead of the log, while what is appended is synced (Kafka gives the file of a new
/// segment its full length, as a hole): 11.0 thousand records of 100 bytes a second were then
/// acknowledged with `acks=all` one by one, 7.6 without (ext4, two cores). `acks=1` gains and pays
/// nothing. The file is longer than the log until the segment is full or the broker is closed; a
/// crash may leave it so, and the next open cuts it. In memory it has no effect.
///
/// ```
/// use logreel::{Broker, NewTopic};
/// let broker = Broker::in_memory();
/// let topic = broker.create_topic(NewTopic::new("t").set("retention.ms", "1000"))?;
/// assert_eq!(topic.config().get("retention.ms"), Some("1000"));
/// assert_eq!(topic.config().get("segment.bytes"), Some("1073741824"));
/// assert_eq!(topic.config().overrides().count(), 1);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct TopicConfig {
    overrides: BTreeMap<String, String>,
    /// The settings that appends and rolls look at, parsed once.
    pub(crate) cleanup_policy: CleanupPolicy,
    pub(crate) compression: Option<Compression>,
    pub(crate) compression_level: Option<i32>,
    pub(crate) flush_messages: i64,
    pub(crate) flush_ms: i64,
    pub(crate) index_interval_bytes: u64,
    pub(crate) segment_index_bytes: usize,
    pub(crate) max_message_bytes: usize,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) timestamp_before_max_ms: i64,
    pub(crate) timestamp_after_max_ms: i64,
    pub(crate) min_insync_replicas: i64,
    pub(crate) preallocate: bool,
    pub(crate) segment_bytes: u64,
    pub(crate) segment_ms: i64,
    pub(crate) segment_jitter_ms: i64,
    /// What retention and cleaning look at. `None` keeps everything.
    pub(crate) retention_ms: Option<i64>,
    /// `None` keeps everything.
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) delete_retention_ms: i64,
    pub(crate) file_delete_delay_ms: i64,
    pub(crate) min_cleanable_dirty_ratio: f64,
    pub(crate) min_compaction_lag_ms: i64,
    pub(crate) max_compaction_lag_ms: i64,
}

impl TopicConfig {
    /// Checks every key and value. An unknown key is an error.
    pub(crate) fn new(overrides: BTreeMap<String, String>) -> Result<Self> {
        for (name, value) in &overrides {
            check(name, value)?;
        }
        let config = Self::parse(overrides)?;
        config.check_lags()?;
        Ok(config)
    }

    /// The two limits of the time that a record stays uncleaned agree.
    pub(super) fn check_lags(&self) -> Result<()> {
        let (min, max) = (self.min_compaction_lag_ms, self.max_compaction_lag_ms);
        if min > max {
            let reason = format!("it is above max.compaction.lag.ms = {max}");
            return Err(Error::invalid_config("min.compaction.lag.ms", &min.to_string(), &reason));
        }
        Ok(())
    }

    /// Takes overrides that were accepted when they were stored, perhaps by a build with other
    /// limits: a directory must stay openable.
    pub(crate) fn stored(overrides: BTreeMap<String, String>) -> Result<Self> {
        Self::parse(overrides)
    }

    fn parse(overrides: BTreeMap<String, String>) -> Result<Self> {
        let text = |name: &'static str| -> &str {
            let default = KEYS.iter().find(|key| key.name == name).map_or("", |key| key.default);
            overrides.get(name).map_or(default, String::as_str)
        };
        let integer = |name: &'static str| -> Result<i64> {
            let value = text(name);
            value.parse().map_err(|_| Error::invalid_config(name, value, "not a whole number"))
        };
        let size = |name: &'static str| -> Result<usize> {
            let value = integer(name)?;
            usize::try_from(value)
                .map_err(|_| Error::invalid_config(name, &value.to_string(), "is negative"))
        };
        let ratio = |name: &'static str| -> Result<f64> {
            let value = text(name);
            value.parse().map_err(|_| Error::invalid_config(name, value, "not a number"))
        };
        let policy = text("cleanup.policy");
        let compression = match text("compression.type") {
            "producer" => None,
            "uncompressed" => Some(Compression::None),
            name => Some(name.parse::<Compression>()?),
        };
        let level = match compression {
            // -1 is gzip's own default.
            Some(Compression::Gzip) => {
                Some(integer("compression.gzip.level")?).filter(|level| *level >= 0)
            }
            Some(Compression::Lz4) => Some(integer("compression.lz4.level")?),
            Some(Compression::Zstd) => Some(integer("compression.zstd.level")?),
            _ => None,
        };
        Ok(Self {
            cleanup_policy: match (policy.contains("compact"), policy.contains("delete")) {
                (true, true) => CleanupPolicy::CompactDelete,
                (true, false) => CleanupPolicy::Compact,
                (false, _) => CleanupPolicy::Delete,
            },
            compression,
            compression_level: level.and_then(|level| i32::try_from(level).ok()),
            flush_messages: integer("flush.messages")?,
            flush_ms: integer("flush.ms")?,
            index_interval_bytes: size("index.interval.bytes")? as u64,
            segment_index_bytes: size("segment.index.bytes")?,
            max_message_bytes: size("max.message.bytes")?,
            timestamp_type: if text("message.timestamp.type") == TimestampType::LogAppendTime.name()
            {
                TimestampType::LogAppendTime
            } else {
                TimestampType::CreateTime
            },
            timestamp_before_max_ms: integer("message.timestamp.before.max.ms")?,
            timestamp_after_max_ms: integer("message.timestamp.after.max.ms")?,
            min_insync_replicas: integer("min.insync.replicas")?,
            preallocate: text("preallocate") == "true",
            segment_bytes: size("segment.bytes")? as u64,
            segment_ms: integer("segment.ms")?,
            segment_jitter_ms: integer("segment.jitter.ms")?,
            retention_ms: Some(integer("retention.ms")?).filter(|ms| *ms >= 0),
            retention_bytes: u64::try_from(integer("retention.bytes")?).ok(),
            delete_retention_ms: integer("delete.retention.ms")?,
            file_delete_delay_ms: integer("file.delete.delay.ms")?,
            min_cleanable_dirty_ratio: ratio("min.cleanable.dirty.ratio")?,
            min_compaction_lag_ms: integer("min.compaction.lag.ms")?,
            max_compaction_lag_ms: integer("max.compaction.lag.ms")?,
            overrides,
        })
    }

    /// The value of a key, set or default; `None` for a key that topics do not have.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let key = KEYS.iter().find(|key| key.name == name)?;
        Some(self.overrides.get(name).map_or(key.default, String::as_str))
    }

    /// The keys that were set, with their values, in the order of their names.
    pub fn overrides(&self) -> impl Iterator<Item = (&str, &str)> {
        self.overrides.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every key a topic has, with the value in force, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.entries().map(|entry| (entry.name, entry.value))
    }

    /// Every key a topic has, with where its value comes from, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = ConfigEntry<'_>> {
        KEYS.iter().map(|key| {
            let set = self.overrides.get(key.name).map(String::as_str);
            ConfigEntry {
                name: key.name,
                value: set.unwrap_or(key.default),
                default: key.default,
                is_set: set.is_some(),
            }
        })
    }

    /// What happens to records that are no longer needed.
    #[must_use]
    pub fn cleanup_policy(&self) -> CleanupPolicy {
        self.cleanup_policy
    }

    /// Who sets the records' timestamps.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.timestamp_type
    }
}

impl fmt::Debug for TopicConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.overrides).finish()
    }
}

impl Rule {
    fn check(&self, name: &str, value: &str, default: &str) -> Result<()> {
        let refuse = |reason: &str| Err(Error::invalid_config(name, value, reason));
        match self {
            Self::Integer { min, max } => match value.parse::<i64>() {
                Err(_) => refuse("not a whole number"),
                Ok(number) if number < *min => refuse(&format!("at least {min} is needed")),
                Ok(number) if number > *max => refuse(&format!("at most {max} is allowed")),
                Ok(_) => Ok(()),
            },
            Self::Level => match value.parse::<i64>() {
                Ok(-1 | 1..=9) => Ok(()),
                _ => refuse("-1 or 1 to 9 is needed"),
            },
            Self::Ratio => match value.parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
                _ => refuse("a number from 0 to 1 is needed"),
            },
            Self::OneOf(words) if words.contains(&value) => match value.parse::<Compression>() {
                Ok(codec) if name == "compression.type" && !codec.is_available() => {
                    refuse("this build has no such codec; enable the crate's feature")
                }
                _ => Ok(()),
            },
            Self::OneOf(words) => refuse(&format!("one of {} is needed", words.join(", "))),
            Self::SomeOf(words) => {
                // The catalog is a file of lines: no other white space may get into a value.
                if value.split(',').all(|word| words.contains(&word.trim_matches(' '))) {
                    Ok(())
                } else {
                    refuse(&format!("a list of {} is needed", words.join(", ")))
                }
            }
            Self::Only if value == default => Ok(()),
            Self::Only => refuse(&format!("only {default:?} is supported in one process")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn with(name: &str, value: &str) -> Result<TopicConfig> {
        TopicConfig::new([(name.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn keys_are_sorted_and_their_defaults_pass_their_own_rules() {
        assert!(KEYS.is_sorted_by_key(|key| key.name));
        for key in KEYS {
            assert!(key.rule.check(key.name, key.default, key.default).is_ok(), "{}", key.name);
        }
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let edges = [
            ("segment.bytes", SEGMENT_BYTES_MIN - 1, false),
            ("segment.bytes", SEGMENT_BYTES_MIN, true),
            ("segment.bytes", SEGMENT_BYTES_MAX, true),
            ("segment.bytes", SEGMENT_BYTES_MAX + 1, false),
            ("retention.ms", -1, true),
            ("retention.ms", -2, false),
            ("flush.messages", 0, false),
            ("flush.messages", 1, true),
            ("compression.zstd.level", 22, true),
            ("compression.zstd.level", 23, false),
        ];
        for (name, value, accepted) in edges {
            assert_eq!(with(name, &value.to_string()).is_ok(), accepted, "{name}={value}");
        }
        assert!(with("min.cleanable.dirty.ratio", "1.0").is_ok());
        assert!(with("min.cleanable.dirty.ratio", "1.1").is_err());
        assert!(with("min.cleanable.dirty.ratio", "NaN").is_err());
    }

    #[test]
    fn unknown_keys_and_unsupported_values_are_refused_by_name() {
        let error = with("retention.hours", "1").unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidConfig));
        assert_eq!(error.to_string(), "retention.hours = 1: topics have no such key");
        assert!(with("remote.storage.enable", "true").is_err());
        assert!(with("remote.storage.enable", "false").is_ok());
        assert!(with("cleanup.policy", "compact,delete").is_ok());
        assert!(with("cleanup.policy", "shred").is_err());
        assert!(with("cleanup.policy", "compact, delete").is_ok());
    }

    /// It got into the catalog, a file of lines, and both copies of that could not be read.
    #[test]
    fn no_value_holds_a_new_line() {
        for value in ["compact,\ndelete", "compact\n", "\rdelete", "compact\u{2028}"] {
            assert!(with("cleanup.policy", value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn the_limits_of_the_compaction_lag_agree() {
        let lags = |min: &str, max: &str| {
            let keys = [("min.compaction.lag.ms", min), ("max.compaction.lag.ms", max)];
            TopicConfig::new(keys.map(|(key, lag)| (key.to_owned(), lag.to_owned())).into())
        };
        assert!(lags("7", "7").is_ok());
        assert_eq!(lags("8", "7").unwrap_err().code(), Some(ErrorCode::InvalidConfig));
    }

    #[test]
    fn settings_are_parsed() {
        let config = with("cleanup.policy", "compact").unwrap();
        assert_eq!(config.cleanup_policy(), CleanupPolicy::Compact);
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(config.max_message_bytes, 1_048_588);
        assert_eq!((config.retention_ms, config.retention_bytes), (Some(604_800_000), None));
        assert_eq!((config.delete_retention_ms, config.file_delete_delay_ms), (86_400_000, 60_000));
        assert!((config.min_cleanable_dirty_ratio - 0.5).abs() < f64::EPSILON);
        assert_eq!((config.min_compaction_lag_ms, config.max_compaction_lag_ms), (0, i64::MAX));
        assert_eq!(with("retention.ms", "-1").unwrap().retention_ms, None);
        assert_eq!(with("retention.bytes", "0").unwrap().retention_bytes, Some(0));
        assert_eq!(config.iter().count(), KEYS.len());
    }
}
