//! What groups commit through the broker.
//!
//! The groups are read from their log when one is first needed. The group lock is held over check,
//! append and change, so that the log and the state agree on the order; syncs run without it.

use std::sync::Arc;

use super::groups::Loaded;
use super::shared::Shared;
use crate::coordinator::{CommitValue, Group, Member, OffsetsKey, check_position, commit_record};
use crate::error::{Error, ErrorCode, Result};
use crate::log::names::CONSUMER_OFFSETS;
use crate::log::{Appended, Log};
use crate::metrics::{add, count};
use crate::record::BatchBuilder;
use crate::types::{OffsetAndMetadata, Offsets, TopicPartition};
use crate::wait::Quiet;

impl Shared {
    pub(super) fn with_groups<T>(&self, act: impl FnOnce(&mut Loaded) -> Result<T>) -> Result<T> {
        self.check_open()?;
        self.with_loaded(act)
    }

    /// The same for what goes on while the broker closes.
    pub(super) fn with_loaded<T>(&self, act: impl FnOnce(&mut Loaded) -> Result<T>) -> Result<T> {
        let logs = match self.topic(CONSUMER_OFFSETS) {
            Some(topic) => topic.logs(),
            None if self.read_only => Arc::default(),
            None => self.offsets_topic()?.logs(),
        };
        // Appends wake readers of the offsets topic.
        let _quiet = Quiet::new();
        let mut groups = self.groups.loaded.lock();
        let known = groups.is_some();
        let loaded = groups.get_or_insert_default();
        if self.read_only {
            for log in logs.iter() {
                log.refresh()?;
            }
            loaded.follow(&logs);
        } else if !known {
            let clock = &self.context.clock;
            loaded.follow(&logs);
            loaded.restart(clock.monotonic(), clock.wall_millis());
            if !loaded.groups.is_empty() {
                // Sessions and commits may have ended long ago.
                self.note_group_due(Some(0));
            }
        }
        act(loaded)
    }

    /// Commits positions: durable on return, and never before the records they point to.
    pub(crate) fn commit_offsets(
        &self,
        group: &str,
        by: Option<&Member>,
        offsets: &Offsets,
    ) -> Result<()> {
        self.check_writable("committing")?;
        if offsets.is_empty() {
            return Ok(());
        }
        let logs = self.logs_of(offsets)?;
        self.check_commit(group, by, offsets)?;
        sync_positions(offsets, &logs)?;
        let (partition, end) = self.write_commit(group, by, offsets, &logs)?;
        self.sync_commits(partition, end)
    }

    /// The logs that a commit is meant for, in its order: not those of topics that are made later
    /// under the same names.
    pub(crate) fn logs_of(&self, offsets: &Offsets) -> Result<Vec<Arc<Log>>> {
        offsets.iter().map(|(tp, _)| self.log(tp)).collect()
    }

    /// What can be said of a commit before anything is synced for it.
    pub(super) fn check_commit(
        &self,
        group: &str,
        by: Option<&Member>,
        offsets: &Offsets,
    ) -> Result<()> {
        for (tp, position) in offsets.iter() {
            check_position(tp, position)?;
        }
        self.with_loaded(|loaded| {
            let placed = loaded.place(group)?;
            match loaded.groups.get(&placed) {
                Some(state) => state.check_commit(group, by),
                None => Group::default().check_commit(group, by),
            }
        })
    }

    /// Writes a commit whose records are durable; answers up to where which partition of the
    /// offsets topic is to be synced.
    pub(super) fn write_commit(
        &self,
        group: &str,
        by: Option<&Member>,
        offsets: &Offsets,
        logs: &[Arc<Log>],
    ) -> Result<(i32, i64)> {
        let now = self.context.clock.wall_millis();
        let written = self.with_group(group, |state, placed| {
            // A topic that was deleted meanwhile takes its commits with it.
            for log in logs {
                if !Arc::ptr_eq(&self.log(&log.tp)?, log) {
                    return Err(Error::unknown_topic(log.tp.topic()).on(&log.tp));
                }
            }
            state.check_commit(group, by)?;
            let values: Vec<(TopicPartition, CommitValue)> = offsets
                .iter()
                .map(|(tp, position)| {
                    let position = position.clone();
                    (tp.clone(), CommitValue { position, timestamp: now, expires: None })
                })
                .collect();
            let records: Vec<_> =
                values.iter().map(|(tp, value)| commit_record(group, tp, value)).collect();
            let appended = self.append_offsets(placed.1, &records, now)?;
            count(self.context.counters.commits());
            add(self.context.counters.offsets_committed(), values.len() as u64);
            for (tp, value) in values {
                state.commits.insert(&tp, value);
            }
            Ok((placed.1, appended.end()))
        });
        written.map(|(end, _)| end)
    }

    pub(super) fn sync_commits(&self, partition: i32, end: i64) -> Result<()> {
        let synced = self.offsets_log(partition)?.sync_to(end);
        // A commit that could not be synced is seen all the same.
        self.commits_changed().wake_all();
        synced
    }

    /// What groups committed for a topic goes with it; a new topic of its name begins at its start.
    /// Durable on return. Fails while a part of the offsets topic cannot be read: commits may lie
    /// there.
    pub(crate) fn forget_commits(&self, topic: &str) -> Result<()> {
        if self.topic(CONSUMER_OFFSETS).is_none() {
            return Ok(());
        }
        let now = self.context.clock.wall_millis();
        let mut ends = Vec::new();
        self.with_loaded(|loaded| {
            for ((group, partition), state) in &mut loaded.groups {
                let gone = state.commits.of_topic(topic);
                if gone.is_empty() {
                    continue;
                }
                let key = |tp: &TopicPartition| {
                    OffsetsKey::Commit { group: group.clone(), tp: tp.clone() }.encode()
                };
                let tombstones: Vec<_> = gone.iter().map(|tp| (key(tp), None)).collect();
                let appended = self.append_offsets(*partition, &tombstones, now)?;
                ends.push((*partition, appended.end()));
                for tp in gone {
                    state.commits.replay(tp, None, None);
                }
            }
            loaded.check_whole()
        })?;
        ends.iter().try_for_each(|(partition, end)| self.offsets_log(*partition)?.sync_to(*end))
    }

    /// Appends records to the offsets topic; one without a value is a tombstone.
    pub(super) fn append_offsets(
        &self,
        partition: i32,
        records: &[(Vec<u8>, Option<Vec<u8>>)],
        now: i64,
    ) -> Result<Appended> {
        let mut batch = BatchBuilder::new();
        for (key, value) in records {
            batch.append(Some(now), Some(key), value.as_deref(), &[])?;
        }
        self.offsets_log(partition)?.append(batch.seal()?)
    }

    pub(super) fn offsets_log(&self, partition: i32) -> Result<Arc<Log>> {
        self.log(&TopicPartition::new(CONSUMER_OFFSETS, partition))
    }

    /// What a group has committed for a partition.
    pub(crate) fn committed(
        &self,
        group: &str,
        tp: &TopicPartition,
    ) -> Result<Option<OffsetAndMetadata>> {
        self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let Some(state) = loaded.groups.get(&placed) else { return Ok(None) };
            if state.commits.is_pending(tp) {
                return Err(Error::kafka(
                    ErrorCode::UnstableOffsetCommit,
                    format!("a transaction has a commit of group {group} pending"),
                )
                .on(tp));
            }
            Ok(state.commits.get(tp).cloned())
        })
    }

    /// Everything a group has committed.
    pub(crate) fn all_committed(&self, group: &str) -> Result<Offsets> {
        self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let state = loaded.groups.get(&placed);
            Ok(state
                .into_iter()
                .flat_map(|state| state.commits.iter())
                .map(|(tp, position)| (tp.clone(), position.clone()))
                .collect())
        })
    }

    /// The names of all groups that have committed something or have a member.
    pub(crate) fn group_names(&self) -> Result<Vec<String>> {
        self.with_groups(|loaded| {
            loaded.check_whole()?;
            let mut names: Vec<String> = loaded
                .groups
                .iter()
                .filter(|(_, group)| !group.is_blank())
                .map(|((name, _), _)| name.clone())
                .collect();
            names.dedup();
            Ok(names)
        })
    }
}

/// Makes the records durable that a commit points past. Runs callbacks of producers.
pub(super) fn sync_positions(offsets: &Offsets, logs: &[Arc<Log>]) -> Result<()> {
    for ((_, position), log) in offsets.iter().zip(logs) {
        // A commit may point past the end.
        log.sync_to(position.offset().min(log.end_offset()))?;
    }
    Ok(())
}
