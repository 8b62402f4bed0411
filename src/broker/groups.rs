//! The groups of a broker, as the records of `__consumer_offsets` tell them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;

use super::heart::{GroupSigns, Heart, NEVER};

use crate::coordinator::{CommitValue, Group, GroupValue, OffsetsKey, group_partition};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::log::{Cursor, Log, ReadOptions};
use crate::record::{ControlRecord, RecordBatch};
use crate::types::IsolationLevel;
use crate::wait::WaitQueue;

/// How much of the offsets topic is read at a time when it is loaded.
const LOAD_BYTES: usize = 1024 * 1024;

/// All groups, once they are loaded.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) loaded: Mutex<Option<Loaded>>,
    /// No group has anything to do before this moment, in nanoseconds on the monotonic clock.
    pub(super) due: AtomicU64,
    /// How many clients were given a name.
    pub(super) clients: AtomicU64,
    /// Those who wait for what groups commit.
    pub(super) committed: WaitQueue,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            loaded: Mutex::default(),
            due: AtomicU64::new(NEVER),
            clients: AtomicU64::default(),
            committed: WaitQueue::new(),
        }
    }
}

/// A group and the partition of the offsets topic it is kept in.
pub(super) type Placed = (String, i32);

#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// A group may be found in several partitions of a directory that another broker wrote.
    pub(super) groups: BTreeMap<Placed, Group>,
    /// Partitions of the offsets topic that cannot be read to their end: the groups there are
    /// unknown, not empty.
    broken: BTreeMap<i32, Error>,
    /// Up to where each partition was read, so that a read-only broker can follow.
    cursors: BTreeMap<i32, Cursor>,
    partitions: i32,
    /// Another broker wrote some of it, perhaps with another number of partitions.
    pub(super) adopted: bool,
    /// Where the members of a group see that it moved.
    pub(super) signs: BTreeMap<String, Arc<GroupSigns>>,
    /// When the members of this process polled, by member id, and the group each is in.
    pub(super) hearts: BTreeMap<Arc<str>, (Arc<str>, Arc<Heart>)>,
    /// Since when groups rebalance, on the monotonic clock.
    pub(super) rebalancing: BTreeMap<String, Duration>,
}

impl Loaded {
    /// Reads what came to the offsets topic since the last look.
    pub(super) fn follow(&mut self, logs: &[Arc<Log>]) {
        self.partitions = i32::try_from(logs.len()).unwrap_or(i32::MAX);
        self.adopted = logs.iter().any(|log| !log.provenance().is_ours());
        for (number, log) in (0..).zip(logs) {
            match self.follow_partition(number, log) {
                Ok(()) => self.broken.remove(&number),
                Err(error) => self.broken.insert(number, error),
            };
        }
    }

    fn follow_partition(&mut self, number: i32, log: &Log) -> Result<()> {
        let options = ReadOptions {
            max_bytes: LOAD_BYTES,
            at_least_one: true,
            crc: true,
            isolation: IsolationLevel::ReadUncommitted,
            control: true,
        };
        let start = log.start_offset();
        let mut cursor = self.cursors.get(&number).cloned().unwrap_or(Cursor::new(start));
        loop {
            let before = cursor.offset();
            let batches = log.read(&mut cursor, options)?;
            if batches.is_empty() && cursor.offset() == before {
                return Ok(());
            }
            for batch in &batches {
                self.replay(number, batch).map_err(|error| error.on(&log.tp))?;
            }
            self.cursors.insert(number, cursor.clone());
        }
    }

    fn replay(&mut self, partition: i32, batch: &RecordBatch) -> Result<()> {
        let header = batch.header();
        let records = batch.records()?;
        let transaction = header.producer_id().filter(|_| header.is_transactional());
        for record in records.iter() {
            let Some(key) = record.key() else { continue };
            if header.is_control() {
                let marker = ControlRecord::parse(key, record.value())?;
                let commit = match marker {
                    ControlRecord::Commit { .. } => true,
                    ControlRecord::Abort { .. } => false,
                    _ => continue,
                };
                if let Some(producer) = transaction {
                    self.end_transaction(partition, producer, commit);
                }
                continue;
            }
            match OffsetsKey::decode(key) {
                Some(OffsetsKey::Commit { group, tp }) => {
                    let value = known(record.value(), CommitValue::decode)?;
                    let group = self.groups.entry((group, partition)).or_default();
                    group.commits.replay(tp, value, transaction);
                }
                Some(OffsetsKey::Group { group }) => {
                    match known(record.value(), GroupValue::decode)? {
                        Some(value) => {
                            let group = self.groups.entry((group, partition)).or_default();
                            group.replay(&value);
                        }
                        None => self.forget_group(&group, partition),
                    }
                }
                // Newer protocols; keys that are no keys.
                Some(OffsetsKey::Other(_)) | None => {}
            }
        }
        Ok(())
    }

    /// A marker stands in a partition: what groups there committed in the transaction counts, or is
    /// dropped.
    pub(super) fn end_transaction(&mut self, partition: i32, producer: i64, commit: bool) {
        let there = self.groups.iter_mut().filter(|((_, at), _)| *at == partition);
        there.for_each(|(_, group)| group.commits.end_transaction(producer, commit));
    }

    /// A group's tombstone: its offsets have tombstones of their own.
    fn forget_group(&mut self, group: &str, partition: i32) {
        let key = (group.to_owned(), partition);
        if let Some(state) = self.groups.get_mut(&key) {
            state.forget();
            if state.commits.is_empty() {
                self.groups.remove(&key);
            }
        }
    }

    /// The members that the log tells of were those of an earlier process.
    pub(super) fn restart(&mut self, now: Duration, wall: i64) {
        for group in self.groups.values_mut() {
            group.restart(now, wall);
        }
    }

    /// The partition a group is kept in: where its hash says, unless it was only found elsewhere;
    /// then where its newest commit is. While a partition that may hold it cannot be read, nobody
    /// knows.
    pub(super) fn place(&self, group: &str) -> Result<Placed> {
        let unknown =
            |error: &Error| not_available(format!("the state of group {group} is unknown"), error);
        let home = (group.to_owned(), group_partition(group, self.partitions));
        if let Some(error) = self.broken.get(&home.1) {
            return Err(unknown(error));
        }
        if self.groups.contains_key(&home) {
            return Ok(home);
        }
        if let Some(error) = self.broken.values().next().filter(|_| self.may_stray()) {
            return Err(unknown(error));
        }
        let elsewhere = self.groups.iter().filter(|((name, _), _)| name == group);
        let newest = elsewhere.max_by_key(|(_, state)| state.commits.newest());
        Ok(newest.map_or(home, |(placed, _)| placed.clone()))
    }

    /// Whether a group may lie elsewhere than its hash says: another broker wrote it, or the topic
    /// grew.
    fn may_stray(&self) -> bool {
        let strays = |(group, at): &Placed| *at != group_partition(group, self.partitions);
        self.adopted || self.groups.keys().any(strays)
    }

    /// Every group there is something to tell about, once each: where [`place`](Self::place) finds
    /// it.
    pub(super) fn known(&self) -> Vec<(&str, &Group)> {
        let mut known: Vec<(&Placed, &Group)> =
            self.groups.iter().filter(|(_, group)| !group.is_blank()).collect();
        // Those of one name lie side by side: the one at home first, then the newest.
        known.sort_by_key(|((name, at), group)| {
            let strays = *at != group_partition(name, self.partitions);
            (name, strays, std::cmp::Reverse(group.commits.newest()))
        });
        known.dedup_by_key(|((name, _), _)| name);
        known.into_iter().map(|((name, _), group)| (&**name, group)).collect()
    }

    /// Whether this partition cannot be read to its end.
    pub(super) fn is_broken(&self, partition: i32) -> bool {
        self.broken.contains_key(&partition)
    }

    /// Fails while any partition cannot be read: what lies there is unknown.
    pub(super) fn check_whole(&self) -> Result<()> {
        self.broken
            .values()
            .next()
            .map_or(Ok(()), |error| Err(not_available("some groups are unknown".to_owned(), error)))
    }
}

/// A value, or `None` for a tombstone. One that cannot be read, perhaps of a newer version, leaves
/// the state unknown, as in Kafka.
fn known<T>(value: Option<&[u8]>, decode: impl FnOnce(&[u8]) -> Option<T>) -> Result<Option<T>> {
    let unreadable = || {
        let message = "a record of the offsets topic has a value that cannot be read, perhaps of a \
                       newer version";
        Error::kafka(ErrorCode::CorruptMessage, message)
    };
    value.map(|value| decode(value).ok_or_else(unreadable)).transpose()
}

fn not_available(what: String, cause: &Error) -> Error {
    if cause.kind() == ErrorKind::Closed {
        // It is not to be tried again.
        return cause.clone();
    }
    Error::kafka(ErrorCode::CoordinatorNotAvailable, what).because(cause.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups that were first asked for while the broker closed were told of as unavailable, which
    /// a caller tries again, and again.
    #[test]
    fn what_closes_is_not_to_be_tried_again() {
        let asked = |cause: Error| {
            let mut loaded = Loaded { partitions: 1, ..Loaded::default() };
            loaded.broken.insert(0, cause);
            let errors = [loaded.place("g").unwrap_err(), loaded.check_whole().unwrap_err()];
            errors.map(|error| error.kind())
        };
        assert_eq!(asked(Error::closed("broker")), [ErrorKind::Closed; 2]);
        let unavailable = ErrorKind::Kafka(ErrorCode::CoordinatorNotAvailable);
        assert_eq!(asked(Error::new(ErrorKind::Io, "a disk")), [unavailable; 2]);
    }
}
