//! What tests do to a group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Group;
use crate::coordinator::assignor::Assignment;
use crate::coordinator::member::{Entry, unknown_member};
use crate::coordinator::phase::Phase;
use crate::error::Result;
use crate::types::TopicPartition;

/// Who is to have which partitions, by `client.id`.
pub(crate) type Forced = BTreeMap<Arc<str>, Vec<TopicPartition>>;

impl Group {
    /// Asks everybody to join again. Answers whether there was anybody.
    pub(crate) fn force_rebalance(&mut self, now: Duration) -> bool {
        if matches!(self.phase, Phase::CompletingRebalance | Phase::Stable) {
            self.rebalance(now);
        }
        !self.members.is_empty()
    }

    /// Fails unless there is such a member.
    pub(crate) fn check_known(&self, group: &str, id: &str) -> Result<()> {
        self.members.get(id).map(|_| ()).ok_or_else(|| unknown_member(group, id))
    }

    /// Another takes the place of a static member, and is not seen again. Answers whether there is
    /// such a member, and it is static.
    pub(crate) fn fence(&mut self, id: &str, new: Arc<str>, now: Duration) -> bool {
        let Some(entry) = self.members.remove(id) else { return false };
        if entry.instance_id.is_none() {
            self.members.insert(Arc::from(id), entry);
            return false;
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = Some(Arc::clone(&new));
        }
        self.members.insert(Arc::clone(&new), entry);
        self.unstored = true;
        self.moves += 1;
        self.lose(&new, now);
        true
    }

    /// Has every decision of a leader replaced by this one; members that it does not name get
    /// nothing.
    pub(crate) fn force_assignment(&mut self, to: Option<Forced>) {
        self.forced = to;
    }

    /// Puts what a test has decided in the place of what a leader decided.
    pub(super) fn force(&self, decided: &mut Assignment) {
        let Some(forced) = &self.forced else { return };
        let share = |(id, entry): (&Arc<str>, &Entry)| {
            Some((id.to_string(), forced.get(&entry.client_id)?.clone()))
        };
        *decided = self.members.iter().filter_map(share).collect();
    }
}
