//! Sticky assignment where all members want the same topics: everybody keeps as much as their fair
//! share allows, and only the rest moves.

use std::collections::{BTreeMap, VecDeque};

use super::claims::Claims;
use crate::types::TopicPartition;

/// Who has how much, while partitions are given out.
struct Shares {
    assignment: BTreeMap<String, Vec<TopicPartition>>,
    /// The smaller of the two shares, and the larger.
    min: usize,
    max: usize,
    /// How many members get the larger one, and how many have it.
    larger_wanted: usize,
    larger: usize,
    /// Members with less than the smaller share.
    under: VecDeque<String>,
    /// Members with exactly the smaller share that may get one more.
    exact: VecDeque<String>,
}

/// Gives `partitions`, sorted by topic and number, to the members with claims.
pub(super) fn assign(
    partitions: &[TopicPartition],
    claims: &Claims,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let members = claims.owned.len();
    let (Some(min), Some(rest)) =
        (partitions.len().checked_div(members), partitions.len().checked_rem(members))
    else {
        return BTreeMap::new();
    };
    let mut shares = Shares {
        assignment: BTreeMap::new(),
        min,
        max: min + usize::from(rest > 0),
        larger_wanted: rest,
        larger: 0,
        under: VecDeque::new(),
        exact: VecDeque::new(),
    };
    for (member, owned) in &claims.owned {
        shares.keep(member, owned);
    }
    let kept: std::collections::BTreeSet<TopicPartition> =
        shares.assignment.values().flatten().cloned().collect();
    for partition in partitions.iter().filter(|partition| !kept.contains(partition)) {
        shares.give(partition);
    }
    shares.assignment
}

impl Shares {
    /// Leaves a member what it has, up to its share.
    fn keep(&mut self, member: &str, owned: &[TopicPartition]) {
        let keep = if owned.len() < self.min {
            self.under.push_back(member.to_owned());
            owned.len()
        } else if owned.len() >= self.max && self.larger < self.larger_wanted {
            self.has_larger();
            self.max
        } else {
            if self.larger < self.larger_wanted {
                self.exact.push_back(member.to_owned());
            }
            self.min
        };
        let kept = owned.iter().take(keep).cloned().collect();
        self.assignment.insert(member.to_owned(), kept);
    }

    fn has_larger(&mut self) {
        self.larger += 1;
        if self.larger == self.larger_wanted {
            self.exact.clear();
        }
    }

    /// Gives a partition to who has too little, in turn, then to who may have one more. Both lists
    /// are in the order of member ids, because `keep` was called in it.
    fn give(&mut self, partition: &TopicPartition) {
        let (member, was_under) = match self.under.pop_front() {
            Some(member) => (member, true),
            None => match self.exact.pop_front() {
                Some(member) => (member, false),
                None => return,
            },
        };
        let has = self.assignment.entry(member.clone()).or_default();
        has.push(partition.clone());
        let count = has.len();
        if count == self.min {
            self.exact.push_back(member);
        } else if was_under {
            self.under.push_back(member);
        } else if count == self.max {
            self.has_larger();
        }
    }
}
