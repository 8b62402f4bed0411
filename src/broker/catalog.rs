//! The catalog: which topics there are, with their ids, partition counts and configuration.
//!
//! One small file, atomically replaced, and a second copy for the case that a disk damages the
//! first. It is the commit point of creating and deleting a topic: directories are made before the
//! topic enters the catalog, and it is marked as deleted there before they go, so that a crash in
//! between is finished or undone by the next open.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::config::{PARTITIONS_MAX, PARTITIONS_TOTAL_MAX};
use crate::error::{Error, ErrorKind, Result};
use crate::log::checkpoint::{self, Damaged};
use crate::log::names;
use crate::log::{Decoded, decode_framed, encode_framed};
use crate::storage::Storage;
use crate::types::TopicId;

pub(crate) const CATALOG: &str = "logreel.catalog";
pub(crate) const SECOND_COPY: &str = "logreel.catalog.copy";
const VERSION: u32 = 1;
/// A hundred thousand topics with configurations fit.
const CATALOG_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Where a topic's data came from, and whether the topic is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopicOrigin {
    /// We wrote all of it.
    Ours,
    /// A Kafka broker wrote some of it: offsets may have gaps.
    Adopted,
}

/// A topic in the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicEntry {
    pub(crate) id: TopicId,
    pub(crate) partitions: i32,
    pub(crate) origin: TopicOrigin,
    /// Its directories are being removed.
    pub(crate) deleting: bool,
    pub(crate) config: BTreeMap<String, String>,
}

/// All topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    pub(crate) topics: BTreeMap<Arc<str>, TopicEntry>,
}

/// What reading the catalog found.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// The directory has none: it is new, or a Kafka broker's.
    None,
    Catalog(Catalog),
    /// The first copy is damaged, the second is whole.
    FromSecondCopy(Catalog),
    /// Both copies are damaged: what the directories' names say must do.
    Damaged,
}

impl Catalog {
    pub(crate) fn load(storage: &Storage) -> Result<Loaded> {
        Ok(match Self::read(storage, CATALOG)? {
            Some(Ok(catalog)) => Loaded::Catalog(catalog),
            first => match (first, Self::read(storage, SECOND_COPY)?) {
                (_, Some(Ok(catalog))) => Loaded::FromSecondCopy(catalog),
                (None, None) => Loaded::None,
                _ => Loaded::Damaged,
            },
        })
    }

    /// One of the copies.
    pub(crate) fn read(storage: &Storage, name: &str) -> Result<Option<Result<Self, Damaged>>> {
        let path = checkpoint::path(None, name);
        let bytes = match storage.read_all(&path, CATALOG_BYTES_MAX)? {
            Some(Ok(bytes)) => bytes,
            Some(Err(too_large)) => return Ok(Some(Err(too_large.into()))),
            None => return Ok(None),
        };
        match decode_framed("catalog", VERSION, &bytes) {
            Ok(Decoded::Body(body)) => Ok(Some(Self::parse(body).ok_or(Damaged))),
            Ok(Decoded::Newer(found)) => Err(Error::new(
                ErrorKind::InvalidDirectory,
                format!(
                    "{} has version {found}, this release reads up to {VERSION}; use a newer \
                     logreel",
                    storage.path_of(&path).display()
                ),
            )),
            Err(Damaged) => Ok(Some(Err(Damaged))),
        }
    }

    /// Replaces both copies; the first is durable on return. The second only serves when a disk
    /// damages the first, so failing to write it fails nothing: it is written with the next change.
    pub(crate) fn store(&self, storage: &Storage) -> Result<()> {
        let text = encode_framed("catalog", VERSION, &self.format());
        checkpoint::replace(storage, None, CATALOG, &text)?;
        let _ = checkpoint::replace(storage, None, SECOND_COPY, &text);
        Ok(())
    }

    /// How many partitions the topics have together.
    pub(crate) fn partitions(&self) -> i32 {
        self.topics.values().fold(0, |sum, topic| topic.partitions.saturating_add(sum))
    }

    /// Whether topics with so many partitions more may be kept.
    pub(crate) fn has_room_for(&self, partitions: i32) -> bool {
        self.partitions().saturating_add(partitions) <= PARTITIONS_TOTAL_MAX
    }

    fn format(&self) -> String {
        let mut out = String::new();
        for (name, topic) in &self.topics {
            let origin = match topic.origin {
                TopicOrigin::Ours => "ours",
                TopicOrigin::Adopted => "adopted",
            };
            let state = if topic.deleting { "deleting" } else { "live" };
            // Writing to a String cannot fail.
            let _ =
                writeln!(out, "topic {name} {} {} {origin} {state}", topic.id, topic.partitions);
            for (key, value) in &topic.config {
                let _ = writeln!(out, "config {key} {value}");
            }
        }
        out
    }

    fn parse(body: &str) -> Option<Self> {
        let mut topics = BTreeMap::new();
        let mut current: Option<(Arc<str>, TopicEntry)> = None;
        for line in body.lines() {
            let (kind, rest) = line.split_once(' ')?;
            match kind {
                "topic" => {
                    topics.extend(current.take());
                    let words: Vec<&str> = rest.split(' ').collect();
                    let [name, id, partitions, origin, state] = words.as_slice() else {
                        return None;
                    };
                    let entry = TopicEntry {
                        id: id.parse().ok()?,
                        partitions: partitions.parse().ok()?,
                        origin: match *origin {
                            "ours" => TopicOrigin::Ours,
                            "adopted" => TopicOrigin::Adopted,
                            _ => return None,
                        },
                        deleting: *state == "deleting",
                        config: BTreeMap::new(),
                    };
                    current = Some((Arc::from(*name), entry));
                }
                "config" => {
                    let (key, value) = rest.split_once(' ')?;
                    let (_, topic) = current.as_mut()?;
                    topic.config.insert(key.to_owned(), value.to_owned());
                }
                _ => return None,
            }
        }
        topics.extend(current);
        let catalog = Self { topics };
        let sane = |(name, topic): (&Arc<str>, &TopicEntry)| {
            names::check_topic_name(name).is_ok()
                && (1..=PARTITIONS_MAX).contains(&topic.partitions)
        };
        (catalog.topics.iter().all(sane) && catalog.has_room_for(0)).then_some(catalog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let entry = TopicEntry {
            id: TopicId::from_u128(77).unwrap(),
            partitions: 3,
            origin: TopicOrigin::Ours,
            deleting: false,
            config: [("cleanup.policy".into(), "compact,delete".into()), ("x".into(), "".into())]
                .into(),
        };
        let other = TopicEntry {
            origin: TopicOrigin::Adopted,
            deleting: true,
            config: BTreeMap::new(),
            ..entry.clone()
        };
        Catalog { topics: [("orders".into(), entry), ("z.z".into(), other)].into() }
    }

    #[test]
    fn the_catalog_round_trips() {
        assert_eq!(Catalog::parse(&catalog().format()), Some(catalog()));
        assert_eq!(Catalog::parse("topic a b"), None);
        assert_eq!(Catalog::parse("config a b"), None);
    }

    #[test]
    fn the_second_copy_serves_when_the_first_is_damaged() {
        let storage = Storage::memory();
        assert!(matches!(Catalog::load(&storage).unwrap(), Loaded::None));
        catalog().store(&storage).unwrap();
        assert!(matches!(Catalog::load(&storage).unwrap(), Loaded::Catalog(c) if c == catalog()));
        checkpoint::replace(&storage, None, CATALOG, "logreel-catalog 1 00000000\ngone").unwrap();
        let loaded = Catalog::load(&storage).unwrap();
        assert!(matches!(loaded, Loaded::FromSecondCopy(c) if c == catalog()));
        checkpoint::replace(&storage, None, SECOND_COPY, "x").unwrap();
        assert!(matches!(Catalog::load(&storage).unwrap(), Loaded::Damaged));
    }

    #[test]
    fn a_newer_catalog_is_refused_not_lost() {
        let storage = Storage::memory();
        checkpoint::replace(&storage, None, CATALOG, &encode_framed("catalog", 9, "")).unwrap();
        let error = Catalog::load(&storage).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidDirectory);
    }
}
