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
        &self.groups.1
    }

    /// Fails while the group has members. A group that nobody has heard of has none.
    pub(crate) fn check_inactive(&self, group: &str) -> Result<()> {
        self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let state = loaded.groups.get(&placed);
            if state.is_some_and(Group::has_member) { Err(non_empty(group)) } else { Ok(()) }
        })
    }

    /// Removes a group without members, and what it committed. Durable on return.
    pub(crate) fn delete_group(&self, group: &str) -> Result<()> {
        self.check_writable("deleting a group")?;
        let now = self.context.clock.wall_millis();
        let mut ends = Vec::new();
        let deleted = self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let state = loaded.groups.get(&placed).filter(|state| state.exists());
            if state.ok_or_else(|| unknown(group))?.has_member() {
                return Err(non_empty(group));
            }
            // A directory of another broker may hold older copies of the group. They go first: if
            // this ends halfway, none of them is in force.
            let copy = |known: &&Placed| known.0 == group && **known != placed;
            let mut copies: Vec<Placed> = loaded.groups.keys().filter(copy).cloned().collect();
            copies.push(placed.clone());
            for copy in copies {
                let offsets = loaded.groups.get(&copy).into_iter().flat_map(Group::offsets);
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
            let state = loaded.groups.get(&placed).filter(|state| state.exists());
            let state = state.ok_or_else(|| unknown(group))?;
            for tp in partitions {
                if is_subscribed(state, tp.topic()) {
                    let message =
                        format!("a member of group {group} is subscribed to {}", tp.topic());
                    return Err(Error::kafka(ErrorCode::GroupSubscribedToTopic, message).on(tp));
                }
                // What was committed for a topic that is gone can still be cleared away.
                if state.committed(tp).is_none() {
                    self.log(tp)?;
                }
            }
            for ((name, number), state) in &mut loaded.groups {
                let gone = partitions.iter().filter(|tp| state.committed(tp).is_some());
                let gone: Vec<&TopicPartition> = gone.collect();
                if name != group || gone.is_empty() {
                    continue;
                }
                let tombstones: Vec<_> =
                    gone.iter().map(|tp| (commit_key(group, tp), None)).collect();
                let appended = self.append_offsets(*number, &tombstones, now)?;
                ends.push((*number, appended.end()));
                for tp in gone {
                    state.replay_commit(tp.clone(), None, None);
                }
            }
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

/// Whether a member reads this topic. The only member of a group counts as reading all of them:
/// its subscription is not kept.
fn is_subscribed(state: &Group, _topic: &str) -> bool {
    state.has_member()
}

fn commit_key(group: &str, tp: &TopicPartition) -> Vec<u8> {
    OffsetsKey::Commit { group: group.to_owned(), tp: tp.clone() }.encode()
}

fn unknown(group: &str) -> Error {
    Error::kafka(ErrorCode::GroupIdNotFound, format!("group {group} does not exist"))
}

fn non_empty(group: &str) -> Error {
    let message = format!("group {group} has members; it must be inactive for this");
    Error::kafka(ErrorCode::NonEmptyGroup, message)
}
