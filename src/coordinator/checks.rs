//! What a group accepts: newcomers, members, commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::group::Group;
use super::member::{Entry, JoinRequest, Member, check_instance, unknown_member};
use super::phase::Phase;
use crate::error::{Error, ErrorCode, Result};

impl Group {
    pub(crate) fn has_static_members(&self) -> bool {
        self.members.values().any(|entry| entry.instance_id.is_some())
    }

    pub(crate) fn member_ids(&self) -> Vec<Arc<str>> {
        self.members.keys().cloned().collect()
    }

    /// The id of the member that has this instance id.
    pub(super) fn static_member(&self, instance: &str) -> Option<Arc<str>> {
        let has_it = |entry: &Entry| entry.instance_id.as_deref() == Some(instance);
        self.members.iter().find(|(_, entry)| has_it(entry)).map(|(id, _)| Arc::clone(id))
    }

    /// A newcomer must know an assignor that all others know.
    pub(super) fn check_protocols(&self, group: &str, request: &JoinRequest) -> Result<()> {
        let by_all = |name: &str| {
            let others = self.members.iter().filter(|(id, entry)| {
                request.member_id.as_ref() != Some(*id)
                    && (entry.instance_id.is_none() || entry.instance_id != request.instance_id)
            });
            others.into_iter().all(|(_, entry)| entry.metadata(name).is_some())
        };
        let is_consumer = self.protocol_type.as_deref().is_none_or(|kind| kind == "consumer");
        if (is_consumer || self.members.is_empty())
            && request.protocols.iter().any(|(name, _)| by_all(name))
        {
            return Ok(());
        }
        Err(Error::kafka(
            ErrorCode::InconsistentGroupProtocol,
            format!(
                "no assignor in partition.assignment.strategy is known to all members of {group}"
            ),
        ))
    }

    /// Among the assignors that all know, the one that most like best.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let known =
            |name: &Arc<str>| self.members.values().all(|entry| entry.metadata(name).is_some());
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for entry in self.members.values() {
            let vote = entry.protocols.iter().map(|(name, _)| name).find(|name| known(name));
            if let Some(name) = vote {
                *votes.entry(name).or_default() += 1;
            }
        }
        let best = votes.into_iter().rev().max_by_key(|(_, count)| *count);
        best.map(|(name, _)| Arc::clone(name))
    }

    /// Checks a commit by Kafka's rules (`ClassicGroup.validateOffsetCommit`).
    pub(crate) fn check_commit(&self, group: &str, by: Option<&Member>) -> Result<()> {
        let Some(by) = by else {
            if self.members.is_empty() {
                return Ok(());
            }
            return Err(Error::kafka(
                ErrorCode::UnknownMemberId,
                format!("group {group} has members; only they may commit"),
            ));
        };
        self.check_member(group, by)?;
        if by.generation != Some(self.generation) {
            let from = by.generation.map_or("none".to_owned(), |generation| generation.to_string());
            return Err(Error::kafka(
                ErrorCode::IllegalGeneration,
                format!(
                    "group {group} is in generation {}, the commit comes from {from}",
                    self.generation
                ),
            ));
        }
        if self.phase == Phase::CompletingRebalance {
            return Err(Error::kafka(
                ErrorCode::RebalanceInProgress,
                format!("group {group} is rebalancing; poll, then commit again"),
            ));
        }
        Ok(())
    }

    /// Fails unless this member is in the group, and a consumer behind it.
    pub(crate) fn check_member(&self, group: &str, member: &Member) -> Result<()> {
        if let Some(instance) = &member.instance_id
            && let Some(present) = self.static_member(instance)
        {
            check_instance(instance, &present, &member.id)?;
        }
        match self.members.get(&member.id) {
            Some(entry) if entry.is_present() => Ok(()),
            _ => Err(unknown_member(group, &member.id)),
        }
    }
}
