//! Changing a topic's configuration key by key, as Kafka's incremental alteration does (KIP-339).

use std::collections::{BTreeMap, BTreeSet};

use super::config::{self, TopicConfig};
use crate::error::{Error, ErrorCode, Result};

/// One change of a topic's configuration. The keys that are not named stay as they are.
///
/// ```
/// use logreel::{Broker, ConfigChange};
/// let topic = Broker::in_memory().create_topic("users")?;
/// topic.alter_config([
///     ConfigChange::set("segment.ms", "3600000"),
///     ConfigChange::append("cleanup.policy", "compact"),
/// ])?;
/// assert_eq!(topic.config().get("cleanup.policy"), Some("delete,compact"));
/// topic.alter_config([
///     ConfigChange::delete("segment.ms"),
///     ConfigChange::subtract("cleanup.policy", "delete"),
/// ])?;
/// assert_eq!(topic.config().get("cleanup.policy"), Some("compact"));
/// assert_eq!(topic.config().overrides().count(), 1);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a change does nothing until it is given to alter_config"]
pub struct ConfigChange {
    key: String,
    op: Op,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Op {
    Set(String),
    Delete,
    Append(String),
    Subtract(String),
}

impl ConfigChange {
    /// Sets a key to a value.
    pub fn set(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), op: Op::Set(value.into()) }
    }

    /// Takes back what was set: the key has its default again. Nothing happens if it had.
    pub fn delete(key: impl Into<String>) -> Self {
        Self { key: key.into(), op: Op::Delete }
    }

    /// Adds words, separated by commas, to the list that a key has, set or default; those that it
    /// holds already are left where they are. `cleanup.policy` is a list.
    pub fn append(key: impl Into<String>, words: impl Into<String>) -> Self {
        Self { key: key.into(), op: Op::Append(words.into()) }
    }

    /// Takes words, separated by commas, out of the list that a key has, set or default.
    pub fn subtract(key: impl Into<String>, words: impl Into<String>) -> Self {
        Self { key: key.into(), op: Op::Subtract(words.into()) }
    }

    /// The key that changes.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// What was set, after these changes: all of them or an error. Only what changes is checked by
/// itself; what was stored by a build with other limits stays.
pub(crate) fn altered(
    old: &TopicConfig,
    changes: &[ConfigChange],
) -> Result<(BTreeMap<String, String>, TopicConfig)> {
    let mut overrides: BTreeMap<String, String> =
        old.overrides().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut seen = BTreeSet::new();
    for ConfigChange { key, op } in changes {
        if !seen.insert(key) {
            let message = format!("{key} is changed twice in one call");
            return Err(Error::kafka(ErrorCode::InvalidRequest, message));
        }
        let value = match op {
            Op::Set(value) => value.clone(),
            Op::Delete => {
                if overrides.remove(key).is_none() && old.get(key).is_none() {
                    return Err(Error::invalid_config(key, "", config::NO_SUCH_KEY));
                }
                continue;
            }
            Op::Append(words) => edit(old, key, words, |list, word| {
                if !list.contains(&word) {
                    list.push(word);
                }
            })?,
            Op::Subtract(words) => {
                edit(old, key, words, |list, word| list.retain(|held| *held != word))?
            }
        };
        config::check(key, &value)?;
        overrides.insert(key.clone(), value);
    }
    let config = TopicConfig::stored(overrides.clone())?;
    if !changes.is_empty() {
        config.check_lags()?;
    }
    Ok((overrides, config))
}

/// A list after words were added or taken out.
fn edit<'a>(
    old: &'a TopicConfig,
    key: &str,
    words: &'a str,
    step: impl Fn(&mut Vec<&'a str>, &'a str),
) -> Result<String> {
    let Some(value) = old.get(key) else {
        return Err(Error::invalid_config(key, words, config::NO_SUCH_KEY));
    };
    if !config::is_list(key) {
        let reason = "the key is no list: it can only be set and deleted";
        return Err(Error::invalid_config(key, words, reason));
    }
    let split = |text: &'a str| text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let mut list: Vec<&str> = split(value).collect();
    split(words).for_each(|word| step(&mut list, word));
    Ok(list.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::config::CleanupPolicy;

    fn config(overrides: &[(&str, &str)]) -> TopicConfig {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        TopicConfig::stored(overrides.iter().map(owned).collect()).unwrap()
    }

    fn apply(old: &TopicConfig, changes: &[ConfigChange]) -> Result<TopicConfig> {
        altered(old, changes).map(|(_, config)| config)
    }

    #[test]
    fn keys_are_set_and_deleted() {
        let old = config(&[("retention.ms", "5"), ("flush.ms", "7")]);
        let changes = [ConfigChange::set("segment.ms", "9"), ConfigChange::delete("retention.ms")];
        let (overrides, new) = altered(&old, &changes).unwrap();
        assert_eq!((new.segment_ms, new.retention_ms), (9, Some(604_800_000)));
        let set: Vec<(&str, &str)> = new.overrides().collect();
        assert_eq!(set, [("flush.ms", "7"), ("segment.ms", "9")]);
        assert_eq!(overrides.len(), 2);
        assert_eq!(apply(&old, &[]).unwrap(), old);
        assert_eq!(apply(&old, &[ConfigChange::delete("segment.ms")]).unwrap(), old);
    }

    #[test]
    fn lists_are_added_to_and_taken_from() {
        let both = apply(&config(&[]), &[ConfigChange::append("cleanup.policy", "compact,delete")]);
        let both = both.unwrap();
        assert_eq!(both.get("cleanup.policy"), Some("delete,compact"));
        assert_eq!(both.cleanup_policy, CleanupPolicy::CompactDelete);
        let one = apply(&both, &[ConfigChange::subtract("cleanup.policy", "delete, shred")]);
        assert_eq!(one.unwrap().get("cleanup.policy"), Some("compact"));
        for change in [
            ConfigChange::subtract("cleanup.policy", "delete,compact"),
            ConfigChange::append("cleanup.policy", "shred"),
            ConfigChange::append("retention.ms", "1"),
            ConfigChange::subtract("compression.type", "zstd"),
            ConfigChange::append("no.such", "1"),
        ] {
            let error = apply(&both, std::slice::from_ref(&change)).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::InvalidConfig), "{change:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let old = config(&[("no.more", "x"), ("segment.bytes", "3")]);
        for change in [
            ConfigChange::set("no.such", "1"),
            ConfigChange::set("no.more", "y"),
            ConfigChange::delete("no.such"),
            ConfigChange::set("retention.ms", "soon"),
            ConfigChange::set("retention.ms", ""),
            ConfigChange::set("cleanup.policy", "compact,\ndelete"),
            ConfigChange::set("remote.storage.enable", "true"),
        ] {
            let error = apply(&old, std::slice::from_ref(&change)).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::InvalidConfig), "{change:?}");
        }
        let twice = [ConfigChange::set("flush.ms", "1"), ConfigChange::delete("flush.ms")];
        let error = apply(&old, &twice).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidRequest));
        // What a build with other limits stored is in nobody's way, and can go.
        let new = apply(&old, &[ConfigChange::set("flush.ms", "1")]).unwrap();
        assert_eq!(new.overrides().count(), 3);
        let new = apply(&old, &[ConfigChange::delete("no.more")]).unwrap();
        assert_eq!(new.overrides().count(), 1);
    }

    #[test]
    fn the_least_compaction_lag_is_not_above_the_largest() {
        let old = config(&[("max.compaction.lag.ms", "10")]);
        let set = |key: &str, value: &str| apply(&old, &[ConfigChange::set(key, value)]);
        assert!(set("min.compaction.lag.ms", "10").is_ok());
        let error = set("min.compaction.lag.ms", "11").unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidConfig));
        let both = [
            ConfigChange::set("min.compaction.lag.ms", "11"),
            ConfigChange::set("max.compaction.lag.ms", "12"),
        ];
        assert!(apply(&old, &both).is_ok(), "they are looked at together");
    }
}
