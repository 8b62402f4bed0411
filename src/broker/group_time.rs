//! What time does to groups: members that do not poll, sessions and rebalances that end, commits
//! that are forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::groups::{Loaded, Placed};
use super::heart::{GroupSigns, NEVER, nanos};
use super::shared::Shared;
use crate::coordinator::{Group, OffsetsKey};
use crate::error::Result;
use crate::trace::event;
use crate::types::TopicPartition;

impl Shared {
    /// When a group has something to do next.
    pub(super) fn next_group_due(&self) -> Option<Duration> {
        let due = self.groups.due.load(Ordering::SeqCst);
        (due != NEVER).then(|| Duration::from_nanos(due))
    }

    /// Does what is due in groups.
    pub(super) fn run_groups(&self) {
        let now = self.context.clock.monotonic();
        if self.groups.due.load(Ordering::SeqCst) > nanos(now) {
            return;
        }
        // First, so that what is noted from here on counts.
        self.groups.due.store(NEVER, Ordering::SeqCst);
        let mut moved = Vec::new();
        let looked = self.with_groups(|loaded| {
            self.lose_silent_members(loaded, now, &mut moved);
            self.tick_groups(loaded, now, &mut moved);
            Ok(())
        });
        if looked.is_err() && self.check_open().is_ok() {
            // The offsets topic could not be had; look again later.
            self.note_group_due(Some(nanos(now.saturating_add(self.config.offsets_check))));
        }
        for signs in moved {
            signs.changed.wake_all();
        }
        // Commits may have expired.
        self.commits_changed().wake_all();
    }

    /// Members whose `max.poll.interval.ms` has passed have left, or stay away if they are static.
    fn lose_silent_members(
        &self,
        loaded: &mut Loaded,
        now: Duration,
        moved: &mut Vec<Arc<GroupSigns>>,
    ) {
        let is_silent = |due: u64| due <= nanos(now);
        let hearts = loaded.hearts.iter();
        let silent: Vec<(Arc<str>, Arc<str>)> = hearts
            .filter(|(_, (_, heart))| is_silent(heart.due()))
            .map(|(id, (group, _))| (Arc::clone(id), Arc::clone(group)))
            .collect();
        for (id, group) in silent {
            loaded.hearts.remove(&id);
            let Ok(placed) = loaded.place(&group) else { continue };
            let Some(state) = loaded.groups.get_mut(&placed) else { continue };
            state.lose(&id, now);
            event!(INFO, "member lost", group = &*group, member = &*id);
            let _ = self.store_group(&placed, state);
            let state = state.state();
            self.note_rebalance(loaded, &group, state);
            moved.extend(loaded.note_move(&group));
        }
        let next = loaded.hearts.values().map(|(_, heart)| heart.due()).min();
        self.note_group_due(next.filter(|due| *due != NEVER));
    }

    fn tick_groups(&self, loaded: &mut Loaded, now: Duration, moved: &mut Vec<Arc<GroupSigns>>) {
        // Nobody looks at the others.
        loaded.signs.retain(|_, signs| Arc::strong_count(signs) > 1);
        let names: Vec<Placed> = loaded.groups.keys().cloned().collect();
        for placed in names {
            // What lies in a partition that cannot be read is not known well enough.
            if loaded.is_broken(placed.1) {
                continue;
            }
            let Some(mut state) = loaded.groups.remove(&placed) else { continue };
            let before = state.moves();
            state.tick(now);
            // It is true all the same if it cannot be written; a restart ends sessions, too.
            let _ = self.store_group(&placed, &mut state);
            self.note_group_due(state.next_due().map(nanos));
            let gone = self.forget_expired(&placed, &mut state, loaded.adopted, now);
            if state.moves() != before {
                self.note_rebalance(loaded, &placed.0, state.state());
                moved.extend(loaded.note_move(&placed.0));
            }
            if !matches!(gone, Ok(true)) {
                loaded.groups.insert(placed, state);
            }
        }
    }

    /// Forgets commits that have expired (KIP-211), and the group with the last of them. Answers
    /// whether the group is gone.
    fn forget_expired(
        &self,
        placed: &Placed,
        state: &mut Group,
        adopted: bool,
        now: Duration,
    ) -> Result<bool> {
        let Some(retention) = self.offsets_retention(adopted) else { return Ok(false) };
        let wall = self.context.clock.wall_millis();
        let expired = state.expired_commits(wall, retention);
        // An empty group that never committed has nothing to expire.
        let check = i64::try_from(self.config.offsets_check.as_millis()).unwrap_or(i64::MAX);
        let is_bare = state.has_been_bare(wall, check);
        let mut is_gone = false;
        if !expired.is_empty() || is_bare {
            let mut left = state.commits.clone();
            let key = |tp: &TopicPartition| {
                OffsetsKey::Commit { group: placed.0.clone(), tp: tp.clone() }.encode()
            };
            let mut tombstones: Vec<_> = expired.iter().map(|tp| (key(tp), None)).collect();
            for tp in expired {
                left.replay(tp, None, None);
            }
            is_gone = state.is_empty() && left.is_empty();
            if is_gone {
                tombstones.push((OffsetsKey::Group { group: placed.0.clone() }.encode(), None));
            }
            if let Err(error) = self.append_offsets(placed.1, &tombstones, wall) {
                self.note_expiry(self.config.offsets_check, now);
                return Err(error);
            }
            state.commits = left;
        }
        if let Some(next) = state.next_expiry(retention) {
            let wait = u64::try_from(next.saturating_sub(wall)).unwrap_or(0);
            self.note_expiry(Duration::from_millis(wait), now);
        }
        if state.is_bare() && !is_gone {
            self.note_expiry(self.config.offsets_check, now);
        }
        Ok(is_gone)
    }

    /// A group's commits expire some day, counted from now at the earliest; a group without any
    /// goes at the next check.
    pub(super) fn note_retention(&self, state: &Group, adopted: bool) {
        let Some(retention) = self.offsets_retention(adopted) else { return };
        let wait = if state.is_bare() {
            self.config.offsets_check
        } else if state.commits.is_empty() {
            return;
        } else {
            Duration::from_millis(u64::try_from(retention).unwrap_or(0))
        };
        self.note_expiry(wait, self.context.clock.monotonic());
    }

    /// Commits have to be looked at after `wait`, at the next of the regular checks.
    pub(super) fn note_expiry(&self, wait: Duration, now: Duration) {
        let check = self.config.offsets_check.as_nanos().max(1);
        let at = now.saturating_add(wait).as_nanos().div_ceil(check).saturating_mul(check);
        self.note_group_due(u64::try_from(at).ok());
    }

    /// Kafka's `offsets.retention.minutes` in milliseconds. In a directory that another broker
    /// wrote nothing is forgotten unless it was asked for.
    pub(super) fn offsets_retention(&self, adopted: bool) -> Option<i64> {
        const SEVEN_DAYS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
        let retention = self.config.offsets_retention.or((!adopted).then_some(SEVEN_DAYS))?;
        Some(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX))
    }
}
