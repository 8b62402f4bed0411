//! What administrators do to a group through the broker.

use super::groups::Placed;
use super::shared::Shared;
use crate::coordinator::{Group, OffsetsKey};
use crate::error::{Error, ErrorCode, Result};
use crate::types::TopicPartition;
use crate::wait::WaitQueue;

impl Shared {
    /// Those who wait for a group to come to the end of what it reads.
    pub(crate) fn commits_changed(&self) -> &WaitQueue {
        &self.groups.committed
    }

    /// Fails while the group has members. A group that nobody has heard of has none. Who only reads
    /// cannot tell members from what an ended process left of them, and changes nothing.
    pub(crate) fn check_inactive(&self, group: &str) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let state = loaded.groups.get(&placed);
            if state.is_none_or(Group::is_empty) { Ok(()) } else { Err(non_empty(group)) }
        })
    }

    /// Removes a group without members, and what it committed. Durable on return.
    pub(crate) fn delete_group(&self, group: &str) -> Result<()> {
        self.check_writable("deleting a group")?;
        let now = self.context.clock.wall_millis();
        let mut ends = Vec::new();
        let deleted = self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let state = loaded.groups.get(&placed).filter(|state| !state.is_blank());
            if !state.ok_or_else(|| unknown(group))?.is_empty() {
                return Err(non_empty(group));
            }
            // A directory of another broker may hold older copies of the group. They go first: if
            // this ends halfway, none of them is in force.
            let copy = |known: &&Placed| known.0 == group && **known != placed;
            let mut copies: Vec<Placed> = loaded.groups.keys().filter(copy).cloned().collect();
            copies.push(placed.clone());
            for copy in copies {
                let state = loaded.groups.get(&copy).into_iter();
                let offsets = state.flat_map(|state| state.commits.iter());
                let mut tombstones: Vec<_> =
                    offsets.map(|(tp, _)| (commit_key(group, tp), None)).collect();
                let key = OffsetsKey::Group { group: group.to_owned() };
                tombstones.push((key.encode(), None));
                let appended = self.append_offsets(copy.1, &tombstones, now)?;
                ends.push((copy.1, appended.end()));
                loaded.groups.remove(&copy);
            }
            Ok(())
        });
        self.finish_deletion(&ends, deleted)
    }

    /// Removes what a group committed for these partitions: all of it, or nothing. Durable on
    /// return.
    pub(crate) fn delete_commits(&self, group: &str, partitions: &[TopicPartition]) -> Result<()> {
        self.check_writable("deleting offsets")?;
        let now = self.context.clock.wall_millis();
        let mut ends = Vec::new();
        let deleted = self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let state = loaded.groups.get(&placed).filter(|state| !state.is_blank());
            let state = state.ok_or_else(|| unknown(group))?;
            for tp in partitions {
                if state.is_subscribed_to(tp.topic()) {
                    let message =
                        format!("a member of group {group} is subscribed to {}", tp.topic());
                    return Err(Error::kafka(ErrorCode::GroupSubscribedToTopic, message).on(tp));
                }
                // What was committed for a topic that is gone can still be cleared away.
                if state.commits.get(tp).is_none() {
                    self.log(tp)?;
                }
            }
            for ((name, number), state) in &mut loaded.groups {
                let gone = partitions.iter().filter(|tp| state.commits.get(tp).is_some());
                let gone: Vec<&TopicPartition> = gone.collect();
                if name != group || gone.is_empty() {
                    continue;
                }
                let tombstones: Vec<_> =
                    gone.iter().map(|tp| (commit_key(group, tp), None)).collect();
                let appended = self.append_offsets(*number, &tombstones, now)?;
                ends.push((*number, appended.end()));
                for tp in gone {
                    state.commits.replay(tp.clone(), None, None);
                }
            }
            loaded.groups.retain(|(name, _), state| name != group || !state.is_blank());
            Ok(())
        });
        self.finish_deletion(&ends, deleted)
    }

    /// Makes what was appended durable, whatever came after it.
    fn finish_deletion(&self, ends: &[(i32, i64)], deleted: Result<()>) -> Result<()> {
        let sync = |(partition, end): &(i32, i64)| self.offsets_log(*partition)?.sync_to(*end);
        let synced = ends.iter().try_for_each(sync);
        self.commits_changed().wake_all();
        deleted.and(synced)
    }
}

fn commit_key(group: &str, tp: &TopicPartition) -> Vec<u8> {
    OffsetsKey::Commit { group: group.to_owned(), tp: tp.clone() }.encode()
}

fn unknown(group: &str) -> Error {
    Error::kafka(ErrorCode::GroupIdNotFound, format!("group {group} does not exist"))
}

fn non_empty(group: &str) -> Error {
    let message = format!(
        "group {group} has members: close their consumers, and remove static ones that are away"
    );
    Error::kafka(ErrorCode::NonEmptyGroup, message)
}
