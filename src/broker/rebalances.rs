//! Noticing when groups begin to rebalance and when they are done.

use super::groups::Loaded;
use super::shared::Shared;
use crate::coordinator::GroupState;
use crate::trace::event;

impl Shared {
    /// A group has moved, and this is its state now.
    pub(super) fn note_rebalance(&self, loaded: &mut Loaded, group: &str, state: GroupState) {
        let now = self.context.clock.monotonic();
        match state {
            GroupState::PreparingRebalance | GroupState::CompletingRebalance => {
                if !loaded.rebalancing.contains_key(group) {
                    loaded.rebalancing.insert(group.to_owned(), now);
                    event!(DEBUG, "rebalance begins", group = group);
                }
            }
            GroupState::Stable => {
                if let Some(began) = loaded.rebalancing.remove(group) {
                    let took = now.saturating_sub(began);
                    self.context.counters.rebalance_latency().record(took);
                    let ms = took.as_secs_f64() * 1e3;
                    event!(DEBUG, "rebalance complete", group = group, ms = ms);
                }
            }
            GroupState::Empty => {
                loaded.rebalancing.remove(group);
                event!(DEBUG, "group is empty", group = group);
            }
        }
    }
}
