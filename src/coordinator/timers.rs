//! What time does to a group.

use std::sync::Arc;
use std::time::Duration;

use super::group::Group;
use super::member::Entry;
use super::phase::Phase;

impl Group {
    /// When something happens next if nobody does anything.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let sessions = self.members.values().filter_map(Entry::session_end);
        let join = match self.phase {
            Phase::PreparingRebalance { gathering: Some(gathering), .. } => Some(gathering.until),
            // Nobody to wait for: only a join ends it.
            Phase::PreparingRebalance { until, .. } => {
                until.filter(|_| !self.members.values().all(Entry::has_joined))
            }
            Phase::Empty | Phase::CompletingRebalance | Phase::Stable => None,
        };
        sessions.chain(join).chain(self.sync_until).min()
    }

    /// Does what is due: ends sessions, gives up those that a rebalance has waited for.
    pub(crate) fn tick(&mut self, now: Duration) {
        for id in self.ids(|entry| entry.session_end().is_some_and(|end| end <= now)) {
            self.leave(&id, now);
        }
        match self.phase {
            Phase::PreparingRebalance { gathering: Some(gathering), .. }
                if gathering.until <= now =>
            {
                self.gather_on(now);
            }
            Phase::PreparingRebalance { gathering: Some(_), .. } => {}
            Phase::PreparingRebalance { until: Some(until), .. } if until <= now => {
                for id in self.ids(|entry| !entry.has_joined()) {
                    self.lose(&id, now);
                }
            }
            _ => {}
        }
        if self.sync_until.is_some_and(|until| until <= now) {
            self.sync_until = None;
            for id in self.ids(|entry| !entry.has_synced()) {
                self.lose(&id, now);
            }
        }
    }

    fn ids(&self, which: impl Fn(&Entry) -> bool) -> Vec<Arc<str>> {
        let chosen = self.members.iter().filter(|(_, entry)| which(entry));
        chosen.map(|(id, _)| Arc::clone(id)).collect()
    }

    /// Waits as long again if members came meanwhile, as far as the longest patience allows.
    fn gather_on(&mut self, now: Duration) {
        if let Phase::PreparingRebalance { gathering: Some(gathering), .. } = &mut self.phase
            && gathering.has_newcomer
            && !gathering.left.is_zero()
        {
            let step = gathering.step.min(gathering.left);
            gathering.until = now.saturating_add(step);
            gathering.left -= step;
            gathering.has_newcomer = false;
            return;
        }
        if let Phase::PreparingRebalance { gathering, .. } = &mut self.phase {
            // Also when nobody is left to go on with: the next to come need not wait.
            *gathering = None;
        }
        self.complete_join(now);
    }
}
