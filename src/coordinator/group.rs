//! A group of Kafka's classic protocol as a state machine (`ClassicGroup`, `GroupMetadataManager`):
//! it is told what happens and when, and says where each member stands.
//!
//! ```text
//! Empty -> PreparingRebalance -> CompletingRebalance -> Stable
//!             (all join)          (the leader decides)
//! ```
//!
//! Whatever changes the members goes back to `PreparingRebalance`. Members live in this process, so
//! there are no heartbeats: one is there until it says that it goes. Only static members can be
//! away, until their session ends; no rebalance waits for those.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::assignor::Assignment;
use super::commits::Commits;
use super::member::{
    Entry, JoinRequest, Lead, Member, Presence, Protocols, Standing, check_instance, unknown_member,
};
use super::phase::{Gathering, GroupLimits, Phase};
use crate::error::{Error, ErrorCode, Result};
use crate::types::TopicPartition;

/// The state of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(super) phase: Phase,
    pub(super) generation: i32,
    /// Kafka's protocol type; `None` while the group only has commits.
    pub(super) protocol_type: Option<String>,
    /// The assignor that the members agreed on.
    pub(super) protocol: Option<Arc<str>>,
    pub(super) leader: Option<Arc<str>>,
    pub(super) members: BTreeMap<Arc<str>, Entry>,
    /// When it came into its state, in milliseconds since 1970.
    pub(super) since: Option<i64>,
    pub(crate) commits: Commits,
    /// When members that have not asked for their assignment are given up.
    pub(super) sync_until: Option<Duration>,
    /// Goes up whenever a member may stand elsewhere than before.
    moves: u64,
    /// It has changed in what is stored of it.
    unstored: bool,
    places: u64,
    /// What a test has decided in the place of leaders.
    #[cfg(feature = "testing")]
    forced: Option<forced::Forced>,
}

impl Group {
    /// How often members' standings have changed.
    pub(crate) fn moves(&self) -> u64 {
        self.moves
    }

    /// So many members are there from before.
    pub(super) fn begin_after(&mut self, members: usize) {
        self.places = members as u64;
        self.moves += 1;
    }

    /// Whether it has to be stored since this was asked last; it is, as it came to be `now`, in
    /// milliseconds since 1970.
    pub(crate) fn take_unstored(&mut self, now: i64) -> bool {
        let unstored = std::mem::take(&mut self.unstored);
        if unstored {
            self.since = Some(now);
        }
        unstored
    }

    pub(crate) fn is_unstored(&self) -> bool {
        self.unstored
    }

    /// Storing it failed: it is tried again at the next occasion.
    pub(crate) fn keep_unstored(&mut self) {
        self.unstored = true;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether there is nothing to keep: no member, no commit, and no protocol was ever spoken.
    pub(crate) fn is_blank(&self) -> bool {
        self.members.is_empty() && self.commits.is_empty() && self.protocol_type.is_none()
    }

    /// Whether a member wants this topic.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.members.values().any(|m| m.topics().iter().any(|wanted| &**wanted == topic))
    }

    /// Takes in a member, or what a member newly wants. Answers its id: the one it had, or the one
    /// it now gets.
    pub(crate) fn join(
        &mut self,
        group: &str,
        request: JoinRequest,
        limits: &GroupLimits,
        now: Duration,
        new_id: impl FnOnce() -> Arc<str>,
    ) -> Result<Arc<str>> {
        let instance = request.instance_id.as_deref();
        let namesake = instance.and_then(|instance| self.static_member(instance));
        match &request.member_id {
            Some(id) => {
                if let (Some(instance), Some(present)) = (instance, &namesake) {
                    check_instance(instance, present, id)?;
                }
                if !self.members.get(id).is_some_and(Entry::is_present) {
                    return Err(unknown_member(group, id));
                }
            }
            None if namesake.is_none() && self.members.len() >= limits.max_size => {
                return Err(Error::kafka(
                    ErrorCode::GroupMaxSizeReached,
                    format!("group {group} has {} members, its limit", self.members.len()),
                ));
            }
            None => {}
        }
        self.check_protocols(group, &request)?;
        let (known, id) = match (&request.member_id, namesake) {
            (Some(id), _) => (true, Arc::clone(id)),
            (None, Some(old)) => return Ok(self.replace(&old, &request, now, new_id())),
            (None, None) => (false, new_id()),
        };
        let changed = self.members.get(&id).is_none_or(|m| m.protocols != request.protocols);
        let leads = self.leader.as_ref() == Some(&id);
        self.enter(&id, &request);
        match &mut self.phase {
            Phase::Empty => self.gather(limits, now),
            Phase::PreparingRebalance { gathering, .. } => {
                if let Some(gathering) = gathering {
                    gathering.has_newcomer |= !known;
                }
            }
            Phase::CompletingRebalance if changed => self.rebalance(now),
            Phase::Stable if changed || leads => self.rebalance(now),
            Phase::CompletingRebalance | Phase::Stable => return Ok(id),
        }
        self.set_joined(&id);
        self.complete_join(now);
        Ok(id)
    }

    /// A static member comes back, or another takes its place: it goes on under a new id, without a
    /// rebalance if nothing else has changed.
    fn replace(
        &mut self,
        old: &Arc<str>,
        request: &JoinRequest,
        now: Duration,
        id: Arc<str>,
    ) -> Arc<str> {
        let owes = self.owes(old);
        let Some(mut entry) = self.members.remove(old) else { return id };
        let wanted = |protocols: &Protocols| wanted_topics(protocols, self.protocol.as_ref()?);
        let same = wanted(&entry.protocols) == wanted(&request.protocols);
        entry.presence = Presence::Present { joined: true, synced: true };
        self.members.insert(Arc::clone(&id), entry);
        if self.leader.as_ref() == Some(old) {
            self.leader = Some(Arc::clone(&id));
        }
        self.moves += 1;
        self.enter(&id, request);
        match self.phase {
            Phase::Stable if same && !owes && self.select_protocol() == self.protocol => {
                self.unstored = true;
                return id;
            }
            Phase::PreparingRebalance { .. } | Phase::Empty => {}
            Phase::Stable | Phase::CompletingRebalance => self.rebalance(now),
        }
        self.set_joined(&id);
        self.complete_join(now);
        id
    }

    /// Puts a member into the list, or what it newly says.
    fn enter(&mut self, id: &Arc<str>, request: &JoinRequest) {
        self.protocol_type = Some("consumer".to_owned());
        let place = self.places;
        let entry = self.members.entry(Arc::clone(id)).or_insert_with(|| {
            self.places += 1;
            Entry {
                instance_id: request.instance_id.clone(),
                client_id: Arc::clone(&request.client_id),
                rebalance_timeout: request.rebalance_timeout,
                session_timeout: request.session_timeout,
                protocols: Vec::new(),
                assignment: Vec::new(),
                presence: Presence::Present { joined: false, synced: true },
                place,
            }
        });
        entry.client_id = Arc::clone(&request.client_id);
        entry.rebalance_timeout = request.rebalance_timeout;
        entry.session_timeout = request.session_timeout;
        entry.protocols.clone_from(&request.protocols);
    }

    fn set_joined(&mut self, id: &str) {
        if let Some(entry) = self.members.get_mut(id) {
            entry.presence = Presence::Present { joined: true, synced: false };
        }
    }

    fn longest_rebalance(&self) -> Duration {
        let longest = self.members.values().map(|entry| entry.rebalance_timeout).max();
        longest.unwrap_or_default()
    }

    /// The first member of a group that was empty: others get time to come, too.
    fn gather(&mut self, limits: &GroupLimits, now: Duration) {
        let longest = self.longest_rebalance();
        let first = limits.initial_delay.min(longest);
        let gathering = Gathering {
            until: now.saturating_add(first),
            step: first,
            left: longest.saturating_sub(first),
            has_newcomer: false,
        };
        let until = Some(now.saturating_add(longest));
        let gathering = Some(gathering).filter(|_| !first.is_zero());
        self.phase = Phase::PreparingRebalance { until, gathering };
        self.moves += 1;
    }

    /// Asks everybody to join again.
    fn rebalance(&mut self, now: Duration) {
        for entry in self.members.values_mut() {
            if entry.is_present() {
                entry.presence = Presence::Present { joined: false, synced: false };
            }
        }
        let until = Some(now.saturating_add(self.longest_rebalance()));
        self.phase = Phase::PreparingRebalance { until, gathering: None };
        self.sync_until = None;
        self.moves += 1;
    }

    /// Begins a new generation if everybody has joined.
    pub(super) fn complete_join(&mut self, now: Duration) {
        let Phase::PreparingRebalance { gathering, .. } = self.phase else { return };
        if self.members.is_empty() {
            return self.become_empty();
        }
        if gathering.is_some() {
            return;
        }
        let all = self.members.values().all(Entry::has_joined);
        let somebody = self.members.values().any(Entry::is_present);
        if !all || !somebody {
            return;
        }
        self.next_generation();
        self.phase = Phase::CompletingRebalance;
        self.protocol = self.select_protocol();
        self.sync_until = Some(now.saturating_add(self.longest_rebalance()));
        let leads = |id: &Arc<str>| self.members.get(id).is_some_and(Entry::is_present);
        if !self.leader.as_ref().is_some_and(leads) {
            let present = self.members.iter().filter(|(_, entry)| entry.is_present());
            let first = present.min_by_key(|(_, entry)| entry.place);
            self.leader = first.map(|(id, _)| Arc::clone(id));
        }
        self.moves += 1;
    }

    fn become_empty(&mut self) {
        self.next_generation();
        self.phase = Phase::Empty;
        (self.protocol, self.leader, self.sync_until) = (None, None, None);
        self.moves += 1;
        self.unstored = true;
    }

    /// A stored generation may be anything.
    fn next_generation(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(0).max(0);
    }

    /// Where a member stands; it counts as having asked for its assignment (Kafka's `SyncGroup`).
    pub(crate) fn standing(&mut self, group: &str, member: &Member) -> Result<Standing> {
        self.check_member(group, member)?;
        let leads = self.leader.as_ref() == Some(&member.id);
        let Some(entry) = self.members.get_mut(&member.id) else {
            return Err(unknown_member(group, &member.id));
        };
        let protocol = match (&self.phase, &self.protocol) {
            (Phase::CompletingRebalance | Phase::Stable, Some(protocol)) => Arc::clone(protocol),
            _ if entry.has_joined() => return Ok(Standing::Joining),
            _ => return Ok(Standing::MustRejoin),
        };
        // Who leads has done its part when it has decided.
        let synced = !leads || self.phase == Phase::Stable;
        entry.presence = Presence::Present { joined: true, synced };
        let assignment = entry.assignment.clone();
        self.note_synced();
        Ok(match self.phase {
            Phase::Stable => Standing::Stable {
                generation: self.generation,
                protocol,
                assignment,
                watched: leads.then(|| self.given()),
            },
            _ if leads => Standing::Leads(self.lead(protocol)),
            _ => Standing::Syncing,
        })
    }

    /// Nobody is waited for any more once all have their assignment.
    fn note_synced(&mut self) {
        if self.phase == Phase::Stable && self.members.values().all(Entry::has_synced) {
            self.sync_until = None;
        }
    }

    fn lead(&self, protocol: Arc<str>) -> Lead {
        let members = self.members.iter().map(|(id, entry)| {
            let metadata = entry.metadata(&protocol).cloned().unwrap_or_default();
            (Arc::clone(id), entry.instance_id.clone(), metadata)
        });
        Lead { generation: self.generation, members: members.collect(), protocol }
    }

    /// The topics that members want, and how many partitions of each were given out.
    fn given(&self) -> BTreeMap<String, i32> {
        let wanted = self.members.values().flat_map(Entry::topics);
        let mut given: BTreeMap<String, i32> = wanted.map(|t| (t.to_string(), 0)).collect();
        for tp in self.members.values().flat_map(|entry| &entry.assignment) {
            if let Some(count) = given.get_mut(tp.topic()) {
                *count = (*count).max(tp.partition().saturating_add(1));
            }
        }
        given
    }

    /// The leader has decided. Answers `false` when that comes too late: another rebalance began.
    pub(crate) fn assign(
        &mut self,
        by: &Member,
        generation: i32,
        mut to: Assignment,
        now: Duration,
    ) -> bool {
        let is_due = self.phase == Phase::CompletingRebalance
            && self.generation == generation
            && self.leader.as_ref() == Some(&by.id);
        if !is_due {
            return false;
        }
        #[cfg(feature = "testing")]
        self.force(&mut to);
        let given: BTreeSet<TopicPartition> = to.values().flatten().cloned().collect();
        let mut orphaned = false;
        for (id, entry) in &mut self.members {
            let had = std::mem::take(&mut entry.assignment);
            entry.assignment = to.remove(&**id).unwrap_or_default();
            if !entry.is_present() {
                // Nobody is there to tell what it has: it has what it gets.
                orphaned |= had.iter().any(|tp| !given.contains(tp));
                for (_, metadata) in &mut entry.protocols {
                    metadata.owned.clone_from(&entry.assignment);
                    metadata.generation = Some(generation);
                }
            }
        }
        self.phase = Phase::Stable;
        if let Some(leader) = self.members.get_mut(&by.id) {
            leader.presence = Presence::Present { joined: true, synced: true };
        }
        self.note_synced();
        self.moves += 1;
        self.unstored = true;
        if orphaned {
            // A cooperative owner gives back and joins again; one that is away cannot.
            self.rebalance(now);
        }
        true
    }

    /// What was assigned could not be stored: the leader has to decide again.
    pub(crate) fn take_back_assignment(&mut self, now: Duration) {
        if self.phase == Phase::Stable {
            self.phase = Phase::CompletingRebalance;
            self.unstored = false;
            self.sync_until = Some(now.saturating_add(self.longest_rebalance()));
            if let Some(leader) = self.leader.as_ref().and_then(|id| self.members.get_mut(id)) {
                leader.presence = Presence::Present { joined: true, synced: false };
            }
            self.moves += 1;
        }
    }

    /// A member goes for good. Answers whether it was there.
    pub(crate) fn leave(&mut self, id: &str, now: Duration) -> bool {
        if self.members.remove(id).is_none() {
            return false;
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = None;
        }
        self.moves += 1;
        if matches!(self.phase, Phase::CompletingRebalance | Phase::Stable) {
            self.rebalance(now);
        }
        self.complete_join(now);
        true
    }

    /// Whether a member has partitions that it is to give back, cooperatively, and that are
    /// nobody's until then.
    pub(super) fn owes(&self, id: &str) -> bool {
        let Some(protocol) = &self.protocol else { return false };
        let Some(metadata) = self.members.get(id).and_then(|entry| entry.metadata(protocol)) else {
            return false;
        };
        let is_given =
            |tp: &TopicPartition| self.members.values().any(|entry| entry.assignment.contains(tp));
        metadata.owned.iter().any(|tp| !is_given(tp))
    }

    /// A member's consumer went away, or has not polled in time. A dynamic one has left; a static
    /// one may come back until its session ends.
    pub(crate) fn lose(&mut self, id: &str, now: Duration) -> bool {
        let Some(entry) = self.members.get_mut(id).filter(|entry| entry.is_present()) else {
            return false;
        };
        if entry.instance_id.is_none() {
            return self.leave(id, now);
        }
        entry.presence =
            Presence::Absent { until: Some(now.saturating_add(entry.session_timeout)) };
        let owes = self.owes(id);
        if let Some(entry) = self.members.get_mut(id) {
            for (_, metadata) in &mut entry.protocols {
                metadata.owned.clone_from(&entry.assignment);
            }
        }
        self.moves += 1;
        let cannot_decide =
            self.phase == Phase::CompletingRebalance && self.leader.as_deref() == Some(id);
        if cannot_decide || (self.phase == Phase::Stable && owes) {
            self.rebalance(now);
        }
        self.complete_join(now);
        true
    }
}

#[cfg(feature = "testing")]
mod forced;

#[cfg(feature = "testing")]
pub(crate) use forced::Forced;

/// The topics a member wants, as it told this assignor.
fn wanted_topics(protocols: &Protocols, protocol: &Arc<str>) -> Option<Vec<Arc<str>>> {
    let (_, metadata) = protocols.iter().find(|(name, _)| name == protocol)?;
    let mut topics = metadata.topics.clone();
    topics.sort();
    Some(topics)
}

#[cfg(test)]
mod tests;
