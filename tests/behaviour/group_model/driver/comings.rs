//! Consumers come and go, and the broker with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::Dice;
use super::super::listener::Ear;
use super::super::model::{Member, Phase};
use super::{Files, GROUPS, Run, SESSION_MAX, TOPICS, ms, time};
use logreel::consumer::{
    CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor, StickyAssignor,
};
use logreel::{ErrorKind, OffsetReset};

impl Run {
    /// Another consumer, perhaps with the instance id of one that is there.
    pub(super) fn join(&mut self) {
        if self.consumers.len() >= 6 {
            return;
        }
        let who = self.model().members.len();
        let instance = (!self.dice.one_in(3)).then(|| format!("s{}", self.dice.below(4)));
        let instance = instance.filter(|_| who.is_multiple_of(2));
        let member = Member {
            group: usize::from(self.dice.one_in(5)),
            instance,
            cooperative: self.assignor == 3,
            auto: self.dice.one_in(3),
            latest: self.dice.one_in(6),
            interval: *self.dice.pick(&[60_000, 100_000, 300_000]).unwrap(),
            session: *self.dice.pick(&[6_000, 30_000, SESSION_MAX]).unwrap(),
            max_records: *self.dice.pick(&[1, 2, 5, 500]).unwrap(),
            is_open: true,
            topics: None,
            joined: BTreeSet::new(),
            id: None,
            generation: None,
            phase: Phase::Out,
            is_fenced: false,
            owned: BTreeMap::new(),
            polled: 0,
            in_poll: false,
            next_auto: None,
            calm: 0,
            heard: Vec::new(),
            failed: false,
            came: false,
            owes: false,
            gave: false,
        };
        let reset = if member.latest { OffsetReset::Latest } else { OffsetReset::Earliest };
        let mut settings = self
            .broker()
            .consumer()
            .group_id(GROUPS[member.group])
            .client_id(format!("c{who}"))
            .auto_offset_reset(reset)
            .enable_auto_commit(member.auto)
            .max_poll_records(member.max_records)
            .max_poll_interval(ms(member.interval))
            .session_timeout(ms(member.session))
            .set("heartbeat.interval.ms", "1000");
        settings = match self.assignor {
            0 => settings.assignor(RangeAssignor),
            1 => settings.assignor(RoundRobinAssignor),
            2 => settings.assignor(StickyAssignor),
            3 => settings.assignor(CooperativeStickyAssignor),
            _ => settings,
        };
        if let Some(instance) = &member.instance {
            settings = settings.group_instance_id(instance.as_str());
        }
        let (group, instance) = (member.group, member.instance.clone());
        self.note(format!("c{who} is made, group {group}, {instance:?}, auto {}", member.auto));
        self.model().members.push(member);
        self.consumers.insert(who, settings.build().unwrap());
        if !self.dice.one_in(10) {
            self.subscribe_to(who, None);
        }
    }

    pub(super) fn some_topics(&mut self) -> BTreeSet<String> {
        let mut topics: BTreeSet<String> =
            TOPICS.iter().filter(|_| !self.dice.one_in(4)).map(ToString::to_string).collect();
        if topics.is_empty() {
            topics.insert("t".to_owned());
        }
        topics
    }

    pub(super) fn subscribe(&mut self) {
        if let Some(who) = self.anyone() {
            self.subscribe_to(who, None);
        }
    }

    pub(super) fn subscribe_to(&mut self, who: usize, topics: Option<BTreeSet<String>>) {
        let topics = topics.unwrap_or_else(|| self.some_topics());
        self.note(format!("c{who} subscribes to {topics:?}"));
        let ear = Ear {
            who,
            model: Arc::clone(&self.model),
            history: Arc::clone(&self.history),
            clock: self.clock.clone(),
            dice: Dice(self.dice.next()),
            commits: self.mood(who).commits,
            fails: self.mood(who).fails,
        };
        let mut model = self.model();
        let member = &mut model.members[who];
        if member.topics.as_ref() != Some(&topics) {
            let group = member.group;
            member.topics = Some(topics.clone());
            model.groups[group].changes += 1;
        }
        drop(model);
        self.consumers[&who].subscribe_with(&topics, ear).unwrap();
    }

    /// What departing may fail with, and what it means to the model.
    pub(super) fn departed(
        &self,
        who: usize,
        before: &(Member, bool),
        outcome: &logreel::Result<()>,
    ) {
        let mut model = self.model();
        let member = &model.members[who];
        match outcome {
            Ok(()) => assert!(!member.failed, "c{who}: the failure of its listener is lost"),
            Err(error) => {
                let user = member.failed && error.kind() == ErrorKind::UserCode;
                let membership =
                    before.0.auto && before.0.phase == Phase::Joining && error.code().is_some();
                assert!(user || membership, "c{who} departs: {error}");
            }
        }
        let left: Vec<_> = member.owned.keys().cloned().collect();
        assert!(left.is_empty(), "c{who} departed and was not told of {left:?}");
        model.depart(who, before.1);
    }

    pub(super) fn departing(&self, who: usize) -> (Member, bool) {
        let mut model = self.model();
        model.pass(time(&self.clock));
        let member = &mut model.members[who];
        member.failed = std::mem::take(&mut member.owes);
        (model.members[who].clone(), model.is_calm(model.members[who].group))
    }

    pub(super) fn close(&mut self) {
        let Some(who) = self.anyone() else { return };
        let before = self.departing(who);
        let consumer = self.consumers.remove(&who).unwrap();
        let outcome = consumer.close();
        self.note(format!("c{who} is closed: {outcome:?}"));
        self.departed(who, &before, &outcome);
        self.model().members[who].is_open = false;
    }

    pub(super) fn unsubscribe(&mut self) {
        let Some(who) = self.anyone() else { return };
        let before = self.departing(who);
        let outcome = self.consumers[&who].unsubscribe();
        self.note(format!("c{who} unsubscribes: {outcome:?}"));
        self.departed(who, &before, &outcome);
    }

    pub(super) fn drop_one(&mut self) {
        let Some(who) = self.anyone() else { return };
        self.note(format!("c{who} is dropped"));
        let (_, calm) = self.departing(who);
        drop(self.consumers.remove(&who));
        let mut model = self.model();
        model.depart(who, calm);
        model.members[who].is_open = false;
    }

    /// The broker ends, in good order or not, and is opened again.
    pub(super) fn restart(&mut self) {
        let killed = self.dice.one_in(2);
        let first = self.dice.one_in(2);
        let mut model = self.model.lock().unwrap();
        model.pass(time(&self.clock));
        let now = model.now;
        for who in self.consumers.keys() {
            let calm = model.is_calm(model.members[*who].group);
            if model.members[*who].instance.is_none() && model.members[*who].id.is_some() {
                let group = model.members[*who].group;
                model.groups[group].changes += 1;
            }
            // A static member of a calm group may come back to what it had.
            model.depart(*who, calm);
            model.members[*who].is_open = false;
        }
        for group in &mut model.groups {
            for seat in group.seats.values_mut() {
                seat.away_until = Some(now + SESSION_MAX);
            }
            group.unsure_until = now + SESSION_MAX;
            if group.had_members {
                let from = group.empty.map_or(0, |(from, _)| from.min(now));
                group.empty = Some((from, now + SESSION_MAX));
            }
        }
        drop(model);
        let sim = match &self.files {
            Files::Sim(sim) if killed => Some(sim.kill_state(sim.op_count())),
            _ => None,
        };
        self.note(format!("restart, killed {}, dropped first {first}", sim.is_some()));
        let consumers = std::mem::take(&mut self.consumers);
        if let Some(sim) = sim {
            // What they do on their way out reaches only the disk of before.
            drop(consumers);
            self.broker = None;
            self.files = Files::Sim(sim);
        } else if first {
            drop(consumers);
            self.broker.take().unwrap().close().unwrap();
        } else {
            self.broker.take().unwrap().close().unwrap();
            drop(consumers);
        }
        self.open();
    }
}
