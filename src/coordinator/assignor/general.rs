//! Sticky assignment where members want different topics: what is free goes to who has least, then
//! partitions move as long as that makes things more even.

use std::collections::{BTreeMap, BTreeSet};

use super::Subscription;
use super::claims::Claims;
use crate::types::TopicPartition;

type Assignment = BTreeMap<String, Vec<TopicPartition>>;

/// The assignment while it is made.
struct Balance<'a> {
    members: &'a [Subscription],
    assignment: Assignment,
    owner: BTreeMap<TopicPartition, String>,
    /// Moves so far, by topic: from whom, to whom, what.
    moves: BTreeMap<(String, String, String), BTreeSet<TopicPartition>>,
}

/// Gives `partitions` to members that want their topics.
pub(super) fn assign(
    partitions: &[TopicPartition],
    members: &[Subscription],
    claims: Claims,
) -> Assignment {
    let is_new = claims.owned.values().all(Vec::is_empty);
    let owner = claims
        .owned
        .iter()
        .flat_map(|(member, owned)| owned.iter().map(|tp| (tp.clone(), member.clone())))
        .collect();
    let mut balance = Balance { members, assignment: claims.owned, owner, moves: BTreeMap::new() };
    // Those that fewest can take come first.
    let takers = |tp: &TopicPartition| members.iter().filter(|m| m.wants(tp.topic())).count();
    let mut sorted: Vec<&TopicPartition> = partitions.iter().collect();
    sorted.sort_by_key(|tp| (takers(tp), tp.topic(), tp.partition()));
    for tp in &sorted {
        if !balance.owner.contains_key(*tp)
            && let Some(member) = balance.least_loaded(tp.topic())
        {
            balance.put(tp, &member);
        }
    }
    let movable: Vec<&TopicPartition> = sorted.into_iter().filter(|tp| takers(tp) > 1).collect();
    let before = (balance.assignment.clone(), balance.score());
    let moved = balance.even_out(&movable, &claims.earlier);
    if moved && !is_new && balance.score() >= before.1 {
        return before.0;
    }
    balance.assignment
}

impl Balance<'_> {
    fn load(&self, member: &str) -> usize {
        self.assignment.get(member).map_or(0, Vec::len)
    }

    /// The member that wants the topic and has least, by id among equals.
    fn least_loaded(&self, topic: &str) -> Option<String> {
        let takers = self.members.iter().filter(|member| member.wants(topic));
        let least = takers.min_by_key(|member| (self.load(&member.member_id), &member.member_id));
        least.map(|member| member.member_id.clone())
    }

    fn put(&mut self, tp: &TopicPartition, member: &str) {
        self.assignment.entry(member.to_owned()).or_default().push(tp.clone());
        self.owner.insert(tp.clone(), member.to_owned());
    }

    /// Moves partitions from members with more to members with less, to the one that had it
    /// before where that helps. Says whether anything moved.
    fn even_out(
        &mut self,
        movable: &[&TopicPartition],
        earlier: &BTreeMap<TopicPartition, String>,
    ) -> bool {
        let mut moved = false;
        // Each move brings two loads closer together, so this ends; the bound is for certainty.
        for _ in 0..movable.len().saturating_add(1) {
            let mut changed = false;
            for tp in movable {
                let Some(from) = self.owner.get(*tp).cloned() else { continue };
                let load = self.load(&from);
                let before = earlier.get(*tp).filter(|before| {
                    let wants = |m: &Subscription| m.member_id == **before && m.wants(tp.topic());
                    self.members.iter().any(wants) && load > self.load(before) + 1
                });
                let to = before.cloned().or_else(|| {
                    self.least_loaded(tp.topic()).filter(|to| load > self.load(to) + 1)
                });
                if let Some(to) = to {
                    self.shift(tp, &from, &to);
                    changed = true;
                }
            }
            moved |= changed;
            if !changed {
                break;
            }
        }
        moved
    }

    /// Moves a partition; where one of the topic came the other way before, that one goes back
    /// instead.
    fn shift(&mut self, tp: &TopicPartition, from: &str, to: &str) {
        let topic = tp.topic().to_owned();
        let reverse = (topic.clone(), to.to_owned(), from.to_owned());
        let came = self.moves.get_mut(&reverse).and_then(BTreeSet::pop_first);
        let goes = match came {
            Some(came) => came,
            None => {
                let key = (topic, from.to_owned(), to.to_owned());
                self.moves.entry(key).or_default().insert(tp.clone());
                tp.clone()
            }
        };
        if let Some(has) = self.assignment.get_mut(from) {
            has.retain(|other| *other != goes);
        }
        self.put(&goes, to);
    }

    /// The sum of the differences between any two loads: less is more even.
    fn score(&self) -> usize {
        let loads: Vec<usize> = self.assignment.values().map(Vec::len).collect();
        let pairs = loads.iter().enumerate();
        pairs.map(|(at, a)| loads.iter().skip(at + 1).map(|b| a.abs_diff(*b)).sum::<usize>()).sum()
    }
}
