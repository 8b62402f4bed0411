//! One attempt to commit, which a test may make fail.

use std::sync::Arc;

use crate::broker::{CommitRequest, Shared};
use crate::coordinator::Member;
use crate::error::Result;
use crate::faults::{OpKind, Operation};
use crate::types::{Offsets, TopicPartition};

/// Who commits, and for which group.
pub(super) struct Attempt<'a> {
    pub(super) broker: &'a Shared,
    pub(super) client_id: &'a Arc<str>,
    pub(super) group: &'a str,
}

impl Attempt<'_> {
    /// Commits, or does what a test has decided instead. Partitions that its fault leaves out are
    /// committed, as by Kafka, whose answer is for each.
    pub(super) fn commit(&self, by: Option<&Member>, offsets: &Offsets) -> Result<()> {
        let context = &self.broker.context;
        let commit = |offsets: &Offsets| self.broker.commit_offsets(self.group, by, offsets);
        if !context.faults.is_active() {
            return commit(offsets);
        }
        let operation = Operation::new(OpKind::Commit).of_group(self.group).by(self.client_id);
        let operation = operation.on_all(offsets.iter().map(|(tp, _)| tp));
        let outcome = match context.faults.strike(&context.clock, &operation) {
            None => commit(offsets),
            Some(blow) => {
                let is_spared = |tp: &TopicPartition| blow.is_after || !blow.takes(tp);
                let spared = offsets.iter().filter(|(tp, _)| is_spared(tp));
                let spared = spared.map(|(tp, position)| (tp.clone(), position.clone())).collect();
                commit(&spared).and(Err(blow.error))
            }
        };
        context.faults.note(&context.clock, operation, outcome.as_ref().err());
        outcome
    }

    /// Commits all of these: one by one if a test looks.
    pub(super) fn commit_all(&self, requests: &[&CommitRequest]) -> Vec<Result<()>> {
        if !self.broker.context.faults.is_active() {
            return self.broker.commit_all(self.group, requests);
        }
        let commit = |request: &&CommitRequest| match request.offsets.is_empty() {
            true => Ok(()),
            false => self.commit(request.by.as_ref(), &request.offsets),
        };
        requests.iter().map(commit).collect()
    }
}
