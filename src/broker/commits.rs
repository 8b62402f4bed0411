//! Many commits of one group at the cost of one.

use std::sync::Arc;

use super::offsets::sync_positions;
use super::shared::Shared;
use crate::coordinator::Member;
use crate::error::Result;
use crate::log::Log;
use crate::types::Offsets;

/// A commit that somebody asked for, and as whom.
#[derive(Debug)]
pub(crate) struct CommitRequest {
    pub(crate) by: Option<Member>,
    pub(crate) offsets: Offsets,
    /// The logs they were meant for.
    pub(crate) logs: Vec<Arc<Log>>,
}

impl Shared {
    /// Commits in this order, each for itself, with one sync for all of them. As with
    /// [`commit_offsets`](Shared::commit_offsets) none becomes durable before the records it
    /// points past. Works while the broker closes. Runs callbacks of producers.
    pub(crate) fn commit_all(&self, group: &str, requests: &[&CommitRequest]) -> Vec<Result<()>> {
        // The syncs first: what one covers needs no other.
        let mut outcomes: Vec<Result<()>> = requests
            .iter()
            .map(|request| {
                self.check_commit(group, request.by.as_ref(), &request.offsets)?;
                sync_positions(&request.offsets, &request.logs)
            })
            .collect();
        let mut last = None;
        for (request, outcome) in requests.iter().zip(&mut outcomes) {
            if outcome.is_ok() && !request.offsets.is_empty() {
                let (by, offsets) = (request.by.as_ref(), &request.offsets);
                let written = self.write_commit(group, by, offsets, &request.logs);
                // All of one group go to the same partition.
                *outcome = written.map(|end| last = Some(end));
            }
        }
        if let Some((partition, end)) = last
            && let Err(error) = self.sync_commits(partition, end)
        {
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
                *outcome = Err(error.clone());
            }
        }
        outcomes
    }
}
