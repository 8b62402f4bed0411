//! Sticky: as even as round-robin, and what can stay stays (KIP-54).

use std::collections::{BTreeMap, BTreeSet};

use super::claims::Claims;
use super::{
    Assignment, Assignor, RebalanceProtocol, Subscription, constrained, empty, general,
    wanted_partitions,
};
use crate::types::TopicPartition;

/// As even as possible; within that, members keep what they had.
///
/// ```
/// use std::collections::BTreeMap;
/// use logreel::consumer::{Assignor, RebalanceProtocol, StickyAssignor, Subscription};
/// let topics = BTreeMap::from([("t".to_owned(), 2)]);
/// let members = [
///     Subscription::new("a", ["t"]),
///     Subscription::new("b", ["t"]).owned([("t", 0)]).generation(1),
/// ];
/// assert_eq!(StickyAssignor.assign(&topics, &members)["b"], [("t", 0).into()]);
/// assert_eq!(StickyAssignor.protocol(), RebalanceProtocol::Eager);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct StickyAssignor;

/// As [`StickyAssignor`], in two steps: a partition that moves is given to nobody in the first, so
/// that its owner gives it back while all others go on reading (KIP-429).
#[derive(Clone, Copy, Debug, Default)]
pub struct CooperativeStickyAssignor;

impl Assignor for StickyAssignor {
    fn name(&self) -> &'static str {
        "sticky"
    }

    fn assign(&self, partitions: &BTreeMap<String, i32>, members: &[Subscription]) -> Assignment {
        balanced(partitions, members)
    }
}

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &'static str {
        "cooperative-sticky"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, partitions: &BTreeMap<String, i32>, members: &[Subscription]) -> Assignment {
        let mut assignment = balanced(partitions, members);
        // Whoever says that it has a partition must give it back before another gets it.
        let mut owners: BTreeMap<&TopicPartition, Vec<&str>> = BTreeMap::new();
        for member in members {
            for tp in &member.owned {
                owners.entry(tp).or_default().push(&member.member_id);
            }
        }
        for (member, given) in &mut assignment {
            given.retain(|tp| owners.get(tp).is_none_or(|owners| owners[..] == [member.as_str()]));
        }
        assignment
    }
}

fn balanced(partitions: &BTreeMap<String, i32>, members: &[Subscription]) -> Assignment {
    if members.is_empty() {
        return Assignment::new();
    }
    let existing = |member: &Subscription| -> BTreeSet<String> {
        member.topics.iter().filter(|topic| partitions.contains_key(*topic)).cloned().collect()
    };
    let claims = Claims::of(partitions, members);
    let wanted = wanted_partitions(partitions, members);
    let mut subscriptions = members.iter().map(existing);
    let first = subscriptions.next().unwrap_or_default();
    let assignment = if subscriptions.all(|topics| topics == first) {
        constrained::assign(&wanted, &claims)
    } else {
        general::assign(&wanted, members, claims)
    };
    let mut complete = empty(members);
    complete.extend(assignment);
    complete
}
