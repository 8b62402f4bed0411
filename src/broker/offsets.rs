//! What a group does through the broker: join, leave, commit, ask.
//!
//! The groups are read from their log when one is first needed. The group lock is held over check,
//! append and change, so that the log and the state agree on the order; syncs run without it.

use std::sync::Arc;

use super::groups::{Loaded, Placed};
use super::shared::Shared;
use crate::coordinator::{
    CommitValue, Group, Member, OffsetsKey, check_position, commit_record, encode_assignment,
    encode_subscription,
};
use crate::error::{Error, ErrorCode, Result};
use crate::log::names::CONSUMER_OFFSETS;
use crate::log::{Appended, Log};
use crate::record::BatchBuilder;
use crate::types::{OffsetAndMetadata, Offsets, TopicPartition};
use crate::wait::Quiet;

impl Shared {
    fn with_groups<T>(&self, act: impl FnOnce(&mut Loaded) -> Result<T>) -> Result<T> {
        self.check_open()?;
        self.with_loaded(act)
    }

    /// The same for what goes on while the broker closes.
    fn with_loaded<T>(&self, act: impl FnOnce(&mut Loaded) -> Result<T>) -> Result<T> {
        let logs = match self.topic(CONSUMER_OFFSETS) {
            Some(topic) => topic.logs(),
            None if self.read_only => Arc::default(),
            None => self.offsets_topic()?.logs(),
        };
        // Appends wake readers of the offsets topic.
        let _quiet = Quiet::new();
        let mut groups = self.groups.0.lock();
        let known = groups.is_some();
        let loaded = groups.get_or_insert_default();
        if !known || self.read_only {
            for log in logs.iter().filter(|_| self.read_only) {
                log.refresh()?;
            }
            loaded.follow(&logs);
        }
        act(loaded)
    }

    /// A member joins; it gets these partitions.
    pub(crate) fn join_group(
        &self,
        group: &str,
        topics: &[Arc<str>],
        assignment: &[TopicPartition],
    ) -> Result<Member> {
        self.check_writable("joining a group")?;
        let (member, end) = self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let state = loaded.groups.entry(placed.clone()).or_default();
            let id = format!("logreel-{:032x}", self.context.random.next_u128());
            let member = state.join(group, &id)?;
            let written = self.write_group(&placed, state, topics, assignment);
            if written.is_err() {
                state.leave(&member);
            }
            written.map(|appended| (member, (placed.1, appended)))
        })?;
        if let Err(error) = self.offsets_log(end.0)?.sync_to(end.1.end()) {
            // Else nobody could join before the next open.
            let _ = self.leave_group(group, &member);
            return Err(error);
        }
        Ok(member)
    }

    /// A member leaves. Its commits stay.
    pub(crate) fn leave_group(&self, group: &str, member: &Member) -> Result<()> {
        self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let state = loaded.groups.entry(placed.clone()).or_default();
            if state.leave(member) {
                self.write_group(&placed, state, &[], &[])?;
            }
            Ok(())
        })
    }

    fn write_group(
        &self,
        placed: &Placed,
        state: &Group,
        topics: &[Arc<str>],
        assignment: &[TopicPartition],
    ) -> Result<Appended> {
        let now = self.context.clock.wall_millis();
        let subscription = encode_subscription(topics);
        let value = state.value(now, &subscription, &encode_assignment(assignment)).encode();
        let key = OffsetsKey::Group { group: placed.0.clone() }.encode();
        self.append_offsets(placed.1, &[(key, Some(value))], now)
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
        self.check_commit(group, by, offsets)?;
        self.sync_positions(offsets)?;
        let (partition, end) = self.write_commit(group, by, offsets)?;
        self.sync_commits(partition, end)
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
            loaded.groups.get(&placed).map_or(Ok(()), |state| state.check_commit(group, by))
        })
    }

    /// Makes the records durable that a commit points past. Runs callbacks of producers.
    pub(super) fn sync_positions(&self, offsets: &Offsets) -> Result<()> {
        for (tp, position) in offsets.iter() {
            // A commit may point past the end, or to a topic that is gone.
            if let Ok(log) = self.log(tp) {
                log.sync_to(position.offset().min(log.end_offset()))?;
            }
        }
        Ok(())
    }

    /// Writes a commit whose records are durable; answers up to where which partition of the
    /// offsets topic is to be synced.
    pub(super) fn write_commit(
        &self,
        group: &str,
        by: Option<&Member>,
        offsets: &Offsets,
    ) -> Result<(i32, i64)> {
        self.with_loaded(|loaded| {
            let placed = loaded.place(group)?;
            let state = loaded.groups.entry(placed.clone()).or_default();
            state.check_commit(group, by)?;
            let now = self.context.clock.wall_millis();
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
            for (tp, value) in values {
                state.apply_commit(&tp, value);
            }
            Ok((placed.1, appended.end()))
        })
    }

    pub(super) fn sync_commits(&self, partition: i32, end: i64) -> Result<()> {
        self.offsets_log(partition)?.sync_to(end)
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
                let of_topic = |(tp, _): &(&TopicPartition, _)| tp.topic() == topic;
                let gone: Vec<TopicPartition> =
                    state.offsets().filter(of_topic).map(|(tp, _)| tp.clone()).collect();
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
                    state.replay_commit(tp, None, None);
                }
            }
            loaded.check_whole()
        })?;
        ends.iter().try_for_each(|(partition, end)| self.offsets_log(*partition)?.sync_to(*end))
    }

    /// Appends records to the offsets topic; one without a value is a tombstone.
    fn append_offsets(
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

    fn offsets_log(&self, partition: i32) -> Result<Arc<Log>> {
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
            if state.is_pending(tp) {
                return Err(Error::kafka(
                    ErrorCode::UnstableOffsetCommit,
                    format!("a transaction has a commit of group {group} pending"),
                )
                .on(tp));
            }
            Ok(state.committed(tp).cloned())
        })
    }

    /// Everything a group has committed.
    pub(crate) fn all_committed(&self, group: &str) -> Result<Offsets> {
        self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let state = loaded.groups.get(&placed);
            Ok(state
                .into_iter()
                .flat_map(|state| state.offsets())
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
                .filter(|(_, group)| group.has_member() || group.offsets().next().is_some())
                .map(|((name, _), _)| name.clone())
                .collect();
            names.dedup();
            Ok(names)
        })
    }
}
