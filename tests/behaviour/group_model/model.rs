//! What must be true of groups and their members, as simply as it can be said.
//!
//! The model knows what happened (who joined, when everybody polled, what listeners were told) and
//! says what may follow. It knows no assignor and no rebalance: who gets what is only checked.

use std::collections::{BTreeMap, BTreeSet};

use logreel::TopicPartition;
use logreel::consumer::GroupMetadata;

/// How far a member has come in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Out,
    Joining,
    In,
}

/// What the group makes of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not joined, or knows that it is no member any more.
    NoSeat,
    Present,
    /// It is no member any more and has not been told.
    Gone,
    /// Another has its `group.instance.id`, and it has not been told.
    Replaced,
}

/// Where a member is in a partition it owns.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// `None` until it was looked up.
    pub at: Option<i64>,
    pub paused: bool,
    /// What auto-commit may remember to have committed last.
    pub cached: BTreeSet<i64>,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub group: usize,
    pub instance: Option<String>,
    pub cooperative: bool,
    pub auto: bool,
    pub latest: bool,
    pub interval: i64,
    pub session: i64,
    pub max_records: usize,
    pub is_open: bool,
    pub topics: Option<BTreeSet<String>>,
    /// The topics that it told the group.
    pub joined: BTreeSet<String>,
    pub id: Option<String>,
    pub generation: Option<i32>,
    pub phase: Phase,
    pub is_fenced: bool,
    pub owned: BTreeMap<TopicPartition, Place>,
    /// When its last poll ended, and whether one goes on.
    pub polled: i64,
    pub in_poll: bool,
    pub next_auto: Option<i64>,
    /// The group's `changes` when it was last seen in it.
    pub calm: u64,
    /// What its listener was told in this call: the word and the generation.
    pub heard: Vec<(&'static str, Option<i32>)>,
    /// Its listener failed in this call.
    pub failed: bool,
    /// It got a seat in this call.
    pub came: bool,
    /// It failed in a call that had a graver error to tell.
    pub owes: bool,
    /// It gave something back on taking what it was assigned, and has to join again.
    pub gave: bool,
}

/// A member as the group lists it.
#[derive(Clone, Debug)]
pub struct Seat {
    pub who: usize,
    pub instance: Option<String>,
    pub away_until: Option<i64>,
}

/// What a static member had when it went away from a group in which nothing moved.
#[derive(Clone, Debug)]
pub struct Left {
    pub owned: BTreeSet<TopicPartition>,
    pub generation: Option<i32>,
    pub changes: u64,
    pub until: i64,
    pub topics: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub commits: BTreeMap<TopicPartition, (i64, String, i64)>,
    /// What may have been committed in this step besides.
    pub perhaps: BTreeMap<TopicPartition, BTreeSet<i64>>,
    pub seats: BTreeMap<String, Seat>,
    /// The highest generation in which somebody was assigned something, and who had what in it.
    pub generation: i32,
    pub owners: BTreeMap<TopicPartition, usize>,
    /// How often something happened that may move partitions.
    pub changes: u64,
    /// The leader may not have seen yet that there are new partitions.
    pub is_unseen: bool,
    pub left: BTreeMap<String, Left>,
    /// It became empty between these two moments.
    pub empty: Option<(i64, i64)>,
    /// Until then it may have members from before a restart that the model does not know.
    pub unsure_until: i64,
    pub had_members: bool,
    pub delivered: BTreeMap<TopicPartition, Vec<bool>>,
    /// Below this offset records may have been passed over on purpose.
    pub passed: BTreeMap<TopicPartition, i64>,
}

#[derive(Debug, Default)]
pub struct Model {
    pub now: i64,
    /// How many records each partition has; their values follow from their offsets.
    pub ends: BTreeMap<TopicPartition, i64>,
    pub groups: Vec<Group>,
    pub members: Vec<Member>,
    pub wrong: Option<String>,
}

pub const RETENTION: i64 = 60 * 60_000;
pub const RETENTION_CHECK: i64 = 10 * 60_000;

impl Model {
    /// Something is not as it must be; the first such thing counts.
    pub fn fault(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    pub fn standing(&self, who: usize) -> Standing {
        let member = &self.members[who];
        let Some(id) = &member.id else { return Standing::NoSeat };
        let seats = &self.groups[member.group].seats;
        let namesake = |(other, seat): (&String, &Seat)| {
            seat.instance.is_some() && seat.instance == member.instance && other != id
        };
        if seats.iter().any(namesake) {
            return Standing::Replaced;
        }
        match seats.get(id) {
            Some(Seat { away_until: None, .. }) => Standing::Present,
            _ => Standing::Gone,
        }
    }

    /// Time has passed: members that did not poll are out, sessions end.
    pub fn pass(&mut self, now: i64) {
        let before = std::mem::replace(&mut self.now, now);
        for who in 0..self.members.len() {
            let member = &self.members[who];
            let due = member.polled + member.interval;
            if member.is_open
                && !member.in_poll
                && due <= now
                && self.standing(who) == Standing::Present
            {
                self.lose(who, due);
            }
        }
        for group in &mut self.groups {
            if before < now && before < group.unsure_until {
                // The session of somebody that is not known here may have ended.
                group.changes += 1;
            }
            let ends = group.seats.values().filter_map(|seat| seat.away_until);
            let last = ends.filter(|end| *end <= now).max();
            let before = group.seats.len();
            group.seats.retain(|_, seat| seat.away_until.is_none_or(|end| end > now));
            if group.seats.len() < before {
                group.changes += 1;
                note_empty(group, last.unwrap_or(now));
            }
        }
    }

    /// A present member goes: for good, or until its session ends.
    pub fn lose(&mut self, who: usize, at: i64) {
        let member = &self.members[who];
        let group = &mut self.groups[member.group];
        let Some(id) = &member.id else { return };
        if member.instance.is_some() {
            if let Some(seat) = group.seats.get_mut(id) {
                seat.away_until = Some(at + member.session);
            }
        } else {
            group.seats.remove(id);
            group.changes += 1;
            note_empty(group, at);
        }
    }

    /// A member has this id now.
    fn note_id(&mut self, who: usize, id: Option<&str>) {
        let member = &mut self.members[who];
        let Some(id) = id else {
            (member.id, member.generation) = (None, None);
            return;
        };
        if member.id.as_deref() == Some(id) {
            return;
        }
        let group = &mut self.groups[member.group];
        let instance = member.instance.clone();
        let before = group.seats.len();
        if instance.is_some() {
            group.seats.retain(|_, seat| seat.instance != instance);
        }
        let returns = instance.as_ref().and_then(|i| group.left.get(i));
        let quiet = returns.is_some_and(|left| left.changes == group.changes)
            && group.seats.len() < before
            && returns.is_some_and(|left| left.topics == member.topics);
        if !quiet {
            group.changes += 1;
        }
        group.seats.insert(id.to_owned(), Seat { who, instance, away_until: None });
        (group.empty, group.had_members) = (None, true);
        member.id = Some(id.to_owned());
        (member.generation, member.came) = (None, true);
    }

    /// What auto-commit commits now, for sure or perhaps.
    fn auto_commit(&mut self, who: usize, surely: bool) {
        let member = &mut self.members[who];
        let group = &mut self.groups[member.group];
        for (tp, place) in &mut member.owned {
            let Some(at) = place.at else { continue };
            if surely && !place.cached.contains(&at) {
                group.commits.insert(tp.clone(), (at, String::new(), self.now));
                place.cached = BTreeSet::from([at]);
            } else {
                group.perhaps.entry(tp.clone()).or_default().insert(at);
                place.cached.insert(at);
            }
        }
    }

    /// A poll begins. Auto-commit comes first.
    pub fn poll_begins(&mut self, who: usize, now: i64) {
        self.pass(now);
        let present = self.standing(who) == Standing::Present;
        let generation = self.groups[self.members[who].group].generation;
        let member = &mut self.members[who];
        let state = &mut self.groups[member.group];
        let wants_others = member.id.is_some() && member.topics.as_ref() != Some(&member.joined);
        if wants_others || state.is_unseen {
            state.changes += 1;
        }
        (member.in_poll, member.came) = (true, false);
        if !member.auto || member.topics.is_none() {
            return;
        }
        let joining = member.phase == Phase::Joining;
        let mut due = false;
        if !joining {
            due = now >= *member.next_auto.get_or_insert(now + 5_000);
            if due {
                member.next_auto = Some(now + 5_000);
            }
        }
        let stale = joining && member.generation.is_none_or(|mine| mine < generation);
        if present && due {
            self.auto_commit(who, true);
        }
        if present && !stale {
            self.auto_commit(who, false);
        }
    }

    /// A listener is told something, and may act now.
    pub fn told(
        &mut self,
        who: usize,
        what: &'static str,
        partitions: &[TopicPartition],
        has: &[TopicPartition],
        meta: Option<&GroupMetadata>,
    ) {
        if what != "lost" {
            self.note_id(who, meta.and_then(GroupMetadata::member_id));
        }
        let generation = meta.and_then(GroupMetadata::generation);
        let standing = self.standing(who);
        let member = &mut self.members[who];
        member.heard.push((what, generation));
        let had: Vec<TopicPartition> = member.owned.keys().cloned().collect();
        let name = format!("c{who} was told {what} {partitions:?}");
        let foreign: Vec<_> = partitions.iter().filter(|tp| !had.contains(tp)).collect();
        let is_present = standing == Standing::Present;
        if is_present == (what == "lost") {
            return self.fault(format!("{name}, and is {standing:?}"));
        }
        match what {
            "assigned" => self.told_assigned(who, &name, partitions, has, generation),
            _ if partitions.is_empty() || !foreign.is_empty() => {
                self.fault(format!("{name}, and had {had:?}"));
            }
            _ if has != had => self.fault(format!("{name}: assignment is {has:?}, had {had:?}")),
            _ if (what == "lost" || !member.cooperative) && partitions != had => {
                self.fault(format!("{name}, and had {had:?}: it has to be everything"));
            }
            "revoked" => {
                let takes = generation != member.generation;
                let was_in = member.phase == Phase::In;
                member.gave |= takes;
                if takes {
                    member.generation = generation;
                    self.note_generation(who);
                }
                let stale = self.is_stale(who);
                if self.members[who].auto && !stale {
                    self.auto_commit(who, takes || was_in);
                }
            }
            _ => {}
        }
    }

    fn is_stale(&self, who: usize) -> bool {
        let member = &self.members[who];
        member.generation.is_none_or(|mine| mine < self.groups[member.group].generation)
    }

    fn told_assigned(
        &mut self,
        who: usize,
        name: &str,
        partitions: &[TopicPartition],
        has: &[TopicPartition],
        generation: Option<i32>,
    ) {
        let member = &mut self.members[who];
        let old = std::mem::replace(&mut member.generation, generation);
        let is_new = generation > old || (old == generation && member.gave);
        if generation.is_none() || !is_new {
            return self.fault(format!("{name} in {generation:?} after {old:?}"));
        }
        if !member.cooperative && !member.owned.is_empty() {
            let had = member.owned.keys().cloned().collect::<Vec<_>>();
            return self.fault(format!("{name}, and had {had:?}"));
        }
        let mut all: BTreeSet<TopicPartition> = member.owned.keys().cloned().collect();
        for tp in partitions {
            let wanted = member.topics.as_ref().is_some_and(|topics| topics.contains(tp.topic()));
            if !all.insert(tp.clone()) || !wanted || !self.ends.contains_key(tp) {
                return self.fault(format!("{name}: {tp} is had, not wanted or not there"));
            }
        }
        if !has.iter().eq(all.iter()) {
            return self.fault(format!("{name}: assignment is {has:?}, not {all:?}"));
        }
        self.note_generation(who);
        let group = self.members[who].group;
        for other in (0..self.members.len()).filter(|other| *other != who) {
            let shares = self.members[other].group == group && self.members[other].is_open;
            let both = self.members[other].owned.keys().find(|tp| all.contains(tp)).cloned();
            if let Some(both) = both.filter(|_| shares)
                && self.standing(other) == Standing::Present
            {
                return self.fault(format!("{name}: c{other} still has {both}"));
            }
        }
        for tp in &all {
            let before = self.groups[group].owners.insert(tp.clone(), who);
            if let Some(other) = before.filter(|other| *other != who)
                && self.members[other].is_open
                && self.standing(other) == Standing::Present
            {
                return self.fault(format!("{name}: c{other} has {tp} in this generation"));
            }
        }
        let owned = &mut self.members[who].owned;
        for tp in partitions {
            owned.insert(tp.clone(), Place::default());
        }
    }

    /// The generation of a group never goes back.
    fn note_generation(&mut self, who: usize) {
        let member = &self.members[who];
        let group = &mut self.groups[member.group];
        let mine = member.generation.unwrap_or(-1);
        if mine > group.generation {
            group.generation = mine;
            group.owners.clear();
        } else if mine < group.generation {
            let highest = group.generation;
            self.fault(format!("c{who} is in generation {mine}, after {highest}"));
        }
    }

    /// A listener has committed the positions, or tried to.
    pub fn listener_committed(&mut self, who: usize, what: &str, outcome: Result<(), String>) {
        let stale = self.is_stale(who);
        let member = &self.members[who];
        let any = member.owned.values().any(|place| place.at.is_some());
        let is_sure = what == "assigned" || member.gave || member.phase == Phase::In;
        let fine = match &outcome {
            _ if !any => outcome.is_ok(),
            Ok(()) => what != "lost" && !stale,
            Err(_) => what == "lost" || !is_sure,
        };
        if !fine {
            return self.fault(format!("c{who} committed in on_{what}: {outcome:?}"));
        }
        if outcome.is_ok() {
            self.commit_positions(who);
        }
    }

    pub fn commit_positions(&mut self, who: usize) {
        let member = &self.members[who];
        let group = &mut self.groups[member.group];
        for (tp, place) in &member.owned {
            if let Some(at) = place.at {
                group.commits.insert(tp.clone(), (at, String::new(), self.now));
            }
        }
    }

    /// A listener returns.
    pub fn told_done(&mut self, who: usize, what: &str, partitions: &[TopicPartition]) {
        let member = &mut self.members[who];
        if what == "assigned" {
            (member.phase, member.calm) = (Phase::In, self.groups[member.group].changes);
            if std::mem::take(&mut member.gave) {
                // What it gave can be given out now.
                member.phase = Phase::Joining;
                self.groups[member.group].changes += 1;
            }
            return;
        }
        member.owned.retain(|tp, _| !partitions.contains(tp));
        if !member.gave {
            member.phase = Phase::Out;
        }
        if what == "lost" {
            member.id = None;
            member.generation = None;
        }
    }

    /// A poll has ended; `seen` is how far the consumer says that it has come.
    pub fn poll_ends(&mut self, who: usize, now: i64, seen: Phase, meta: Option<&GroupMetadata>) {
        self.pass(now);
        self.note_id(who, meta.and_then(GroupMetadata::member_id));
        let changes = self.groups[self.members[who].group].changes;
        let member = &mut self.members[who];
        (member.in_poll, member.polled) = (false, now);
        member.joined = member.topics.clone().unwrap_or_default();
        let told = member.heard.last().map(|(what, _)| *what);
        let wanted = match told {
            Some("assigned") if member.phase == Phase::In && seen != Phase::In && member.came => {
                // It leads, and sees partitions that were added while it was away.
                self.groups[member.group].changes += 1;
                None
            }
            Some("revoked" | "lost") if !member.is_fenced => Some(Phase::Joining),
            Some("assigned") | None if member.phase == Phase::In && member.calm == changes => {
                Some(Phase::In)
            }
            _ => None,
        };
        let before = std::mem::replace(&mut member.phase, seen);
        let generation = member.generation;
        if wanted.is_some_and(|wanted| wanted != seen) {
            self.fault(format!("c{who} is {seen:?}, not {wanted:?} (before {before:?})"));
        }
        if meta.and_then(GroupMetadata::generation) != generation {
            self.fault(format!("c{who} is in {meta:?}, was told of {generation:?}"));
        }
        if seen == Phase::In {
            self.members[who].calm = changes;
        }
    }

    /// Partitions whose place is not known are looked up, as a poll does.
    pub fn resolve(&mut self, who: usize) {
        let member = &mut self.members[who];
        let group = &mut self.groups[member.group];
        for (tp, place) in &mut member.owned {
            let end = self.ends[tp];
            if place.at.is_some_and(|at| at <= end) {
                continue;
            }
            let committed = group.commits.get(tp).map(|(at, _, _)| *at);
            let committed = committed.filter(|at| *at <= end && place.at.is_none());
            place.at = Some(committed.unwrap_or(if member.latest { end } else { 0 }));
            if committed.is_none() && member.latest {
                pass_over(group, tp, end);
            }
        }
    }

    /// A poll returned this record.
    pub fn delivered(&mut self, who: usize, tp: &TopicPartition, offset: i64, value: &str) {
        let member = &mut self.members[who];
        let group = &mut self.groups[member.group];
        let place = member.owned.get_mut(tp);
        let wanted = place.as_ref().filter(|place| !place.paused).and_then(|place| place.at);
        if wanted != Some(offset) || value != format!("{tp} {offset}") {
            let place = format!("{place:?}");
            return self.fault(format!("c{who} got {tp} {offset} ({value}), its place is {place}"));
        }
        if let Some(place) = place {
            place.at = Some(offset + 1);
        }
        let seen = group.delivered.entry(tp.clone()).or_default();
        let index = offset as usize;
        if seen.len() <= index {
            seen.resize(index + 1, false);
        }
        seen[index] = true;
    }

    /// Whether nothing moves in a group: all its members are in the same generation.
    pub fn is_calm(&self, group: usize) -> bool {
        let all = self.members.iter().enumerate().filter(|(who, member)| {
            member.group == group
                && member.is_open
                && member.topics.is_some()
                && self.standing(*who) == Standing::Present
        });
        let state = &self.groups[group];
        let mut any = false;
        if state.is_unseen {
            return false;
        }
        for (_, member) in all {
            any = true;
            if member.phase != Phase::In
                || member.generation != Some(state.generation)
                || member.calm != state.changes
            {
                return false;
            }
        }
        any
    }

    /// A consumer goes out of its group; what it had was given back before. `calm` says whether
    /// nothing moved in the group when it began to go.
    pub fn depart(&mut self, who: usize, calm: bool) {
        let group = self.members[who].group;
        if self.standing(who) == Standing::Present {
            let (now, member) = (self.now, self.members[who].clone());
            if let Some(instance) = member.instance.clone() {
                let left = Left {
                    owned: self.groups[group]
                        .owners
                        .iter()
                        .filter(|(_, owner)| **owner == who)
                        .map(|(tp, _)| tp.clone())
                        .collect(),
                    generation: member.generation,
                    changes: self.groups[group].changes,
                    until: now + member.session,
                    topics: member.topics.clone(),
                };
                self.groups[group].left.remove(&instance);
                if calm {
                    self.groups[group].left.insert(instance, left);
                } else {
                    self.groups[group].changes += 1;
                }
            }
            self.lose(who, now);
        }
        let member = &mut self.members[who];
        (member.id, member.generation, member.phase) = (None, None, Phase::Out);
        (member.topics, member.is_fenced) = (None, false);
        member.owned.clear();
    }

    /// What a group has committed, as its broker says, must be what the model says, but for what
    /// may have been committed or may have expired.
    pub fn check_commits(
        &mut self,
        index: usize,
        actual: &BTreeMap<TopicPartition, (i64, String)>,
    ) {
        let now = self.now;
        let seats = self.groups[index].seats.values();
        let joined = seats.flat_map(|seat| &self.members[seat.who].joined);
        let subscribed: BTreeSet<String> = joined.cloned().collect();
        let group = &mut self.groups[index];
        let mut wrong = None;
        let all: BTreeSet<_> = group.commits.keys().chain(actual.keys()).cloned().collect();
        for tp in all {
            let model = group.commits.get(&tp).cloned();
            let is = actual.get(&tp);
            let same = model.as_ref().map(|(at, text, _)| (*at, text)) == is.map(|(a, t)| (*a, t));
            let base = |time: i64| match group.empty {
                Some((from, to)) if group.had_members => (from.min(time), to.max(time)),
                _ => (time, time),
            };
            if same {
                let Some((_, _, time)) = model else { continue };
                let (_, latest) = base(time);
                let due = latest + RETENTION + 2 * RETENTION_CHECK;
                if group.seats.is_empty() && now > due && now >= group.unsure_until {
                    wrong = Some(format!("the commit of {tp} has not expired"));
                }
                continue;
            }
            match (is, model) {
                (Some((at, text)), _)
                    if text.is_empty()
                        && group.perhaps.get(&tp).is_some_and(|may| may.contains(at)) =>
                {
                    group.commits.insert(tp, (*at, String::new(), now));
                }
                (None, Some((_, _, time)))
                    if now >= base(time).0 + RETENTION && !subscribed.contains(tp.topic()) =>
                {
                    group.commits.remove(&tp);
                }
                (is, model) => {
                    wrong = Some(format!("{tp} is committed as {is:?}, not {model:?}"));
                }
            }
        }
        for (tp, (at, _, _)) in &group.commits {
            let passed = group.passed.entry(tp.clone()).or_default();
            *passed = (*at).max(*passed);
        }
        group.perhaps.clear();
        if group.commits.is_empty() && group.seats.is_empty() && now >= group.unsure_until {
            // The group may be gone with its last commit, and with it its generation.
            group.generation = -1;
            group.owners.clear();
        }
        if let Some(wrong) = wrong {
            self.fault(format!("group {index}: {wrong}"));
        }
    }
}

/// Records below may be passed over on purpose.
pub fn pass_over(group: &mut Group, tp: &TopicPartition, offset: i64) {
    let passed = group.passed.entry(tp.clone()).or_default();
    *passed = offset.max(*passed);
}

fn note_empty(group: &mut Group, at: i64) {
    if group.seats.is_empty() {
        group.empty = Some((at, at.max(group.unsure_until)));
    }
}
