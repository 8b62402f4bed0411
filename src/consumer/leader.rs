//! The leader's part in a rebalance: who gets what.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::assignors::Known;
use crate::coordinator::assignor::{Assignment, RebalanceProtocol, Subscription};
use crate::coordinator::{Lead, MemberMetadata};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::types::TopicPartition;

/// Gives out the partitions of these topics as the assignor says that the members agreed on.
pub(super) fn decide(
    assignors: &[Known],
    lead: &Lead,
    counts: &BTreeMap<String, i32>,
) -> Result<Assignment> {
    let Some(known) = assignors.iter().find(|known| known.name == lead.protocol) else {
        return Err(Error::kafka(
            ErrorCode::InconsistentGroupProtocol,
            format!("the group agreed on {}, which is unknown here", lead.protocol),
        ));
    };
    let members: Vec<Subscription> = lead.members.iter().map(subscription).collect();
    let mut existing = counts.clone();
    existing.retain(|_, count| *count > 0);
    let assign = || known.assignor.assign(&existing, &members);
    let mut to = catch_unwind(AssertUnwindSafe(assign)).map_err(|_| panicked("an assignor"))?;
    check_assignment(&known.name, &to, &existing, &members)?;
    if known.protocol == RebalanceProtocol::Cooperative {
        withhold_owned(&mut to, &members);
    }
    Ok(to)
}

pub(super) fn panicked(what: &str) -> Error {
    Error::new(ErrorKind::UserCode, format!("{what} panicked"))
}

fn subscription(
    (id, instance, metadata): &(Arc<str>, Option<Arc<str>>, MemberMetadata),
) -> Subscription {
    let topics = metadata.topics.iter().map(ToString::to_string);
    let mut member = Subscription::new(id.to_string(), topics).owned(metadata.owned.clone());
    if let Some(instance) = instance {
        member = member.instance_id(instance.to_string());
    }
    match metadata.generation {
        Some(generation) => member.generation(generation),
        None => member,
    }
}

/// An assignor may be anybody's: what it says must not give a partition to two members, or one that
/// does not exist.
fn check_assignment(
    name: &str,
    to: &Assignment,
    existing: &BTreeMap<String, i32>,
    members: &[Subscription],
) -> Result<()> {
    let wrong =
        |what: String| Err(Error::new(ErrorKind::UserCode, format!("assignor {name} {what}")));
    let mut owners: BTreeMap<&TopicPartition, &str> = BTreeMap::new();
    for (member, partitions) in to {
        if !members.iter().any(|m| m.member_id() == member) {
            return wrong(format!("gave partitions to {member}, which is not in the group"));
        }
        for tp in partitions {
            let exists =
                existing.get(tp.topic()).is_some_and(|n| (0..*n).contains(&tp.partition()));
            if !exists {
                return wrong(format!("gave out {tp}, which does not exist"));
            }
            if let Some(other) = owners.insert(tp, member) {
                return wrong(format!("gave {tp} to {other} and to {member}"));
            }
        }
    }
    Ok(())
}

/// What a member still has goes to nobody else in this rebalance: its owner gives it back first
/// (KIP-429).
fn withhold_owned(to: &mut Assignment, members: &[Subscription]) {
    let mut owners: BTreeMap<&TopicPartition, (Option<i32>, &str)> = BTreeMap::new();
    for member in members {
        for tp in member.owned_partitions() {
            let claim = (member.last_generation(), member.member_id());
            let present = owners.entry(tp).or_insert(claim);
            *present = (*present).max(claim);
        }
    }
    for (member, partitions) in to.iter_mut() {
        partitions.retain(|tp| owners.get(tp).is_none_or(|(_, owner)| owner == member));
    }
}
