//! Round-robin: all topics together, partition by partition.

use std::collections::BTreeMap;

use super::{Assignment, Assignor, Subscription, empty, wanted_partitions};

/// All partitions of all topics, one after the other, to one member after the other; members that
/// did not subscribe to a partition's topic are passed over.
///
/// ```
/// use std::collections::BTreeMap;
/// use logreel::consumer::{Assignor, RoundRobinAssignor, Subscription};
/// let topics = BTreeMap::from([("t".to_owned(), 3), ("u".to_owned(), 3)]);
/// let members = ["a", "b"].map(|id| Subscription::new(id, ["t", "u"]));
/// let shares = RoundRobinAssignor.assign(&topics, &members);
/// assert_eq!((shares["a"].len(), shares["b"].len()), (3, 3));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &'static str {
        "roundrobin"
    }

    fn assign(&self, partitions: &BTreeMap<String, i32>, members: &[Subscription]) -> Assignment {
        let mut assignment = empty(members);
        let mut sorted: Vec<&Subscription> = members.iter().collect();
        sorted.sort_by_key(|member| member.order());
        let mut turn = 0_usize;
        for partition in wanted_partitions(partitions, members) {
            let circle = sorted.iter().cycle().enumerate().skip(turn).take(sorted.len());
            let taker = circle.into_iter().find(|(_, member)| member.wants(partition.topic()));
            if let Some((at, member)) = taker {
                assignment.entry(member.member_id.clone()).or_default().push(partition);
                turn = (at + 1).checked_rem(sorted.len()).unwrap_or(0);
            }
        }
        assignment
    }
}
