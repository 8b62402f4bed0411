//! What members say they own, where that makes sense.

use std::collections::{BTreeMap, BTreeSet};

use super::Subscription;
use crate::types::TopicPartition;

/// What a member is taken to own, and from when.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// By member id, in the order of partition number, then topic.
    pub(super) owned: BTreeMap<String, Vec<TopicPartition>>,
    /// Whose a partition was in an older generation than that of its present owner.
    pub(super) earlier: BTreeMap<TopicPartition, String>,
    /// Partitions that two members of one generation claim: neither keeps them.
    pub(super) disputed: BTreeSet<TopicPartition>,
}

impl Claims {
    /// Of several claims the one of the newest generation counts (KIP-792). Partitions that do not
    /// exist, or whose topic the member does not want any more, are nobody's.
    pub(super) fn of(partitions: &BTreeMap<String, i32>, members: &[Subscription]) -> Self {
        let mut owners: BTreeMap<TopicPartition, (Option<i32>, String)> = BTreeMap::new();
        let mut claims = Self::default();
        let mut sorted: Vec<&Subscription> = members.iter().collect();
        sorted.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        for member in sorted {
            claims.owned.insert(member.member_id.clone(), Vec::new());
            for tp in &member.owned {
                let exists =
                    partitions.get(tp.topic()).is_some_and(|count| tp.partition() < *count);
                if !exists || !member.wants(tp.topic()) {
                    continue;
                }
                let mine = (member.generation, member.member_id.clone());
                match owners.get(tp) {
                    None => {
                        owners.insert(tp.clone(), mine);
                    }
                    Some((generation, _)) if *generation == mine.0 => {
                        claims.disputed.insert(tp.clone());
                    }
                    Some((generation, _)) if *generation < mine.0 => {
                        if let Some((_, before)) = owners.insert(tp.clone(), mine) {
                            claims.earlier.insert(tp.clone(), before);
                        }
                        claims.disputed.remove(tp);
                    }
                    Some(_) => {
                        claims.earlier.insert(tp.clone(), member.member_id.clone());
                    }
                }
            }
        }
        for (tp, (_, owner)) in owners {
            if !claims.disputed.contains(&tp)
                && let Some(owned) = claims.owned.get_mut(&owner)
            {
                owned.push(tp);
            }
        }
        for owned in claims.owned.values_mut() {
            owned.sort_by(|a, b| (a.partition(), a.topic()).cmp(&(b.partition(), b.topic())));
        }
        claims
    }
}
