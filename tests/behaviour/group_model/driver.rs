//! Does random things with real consumers and tells the model.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::model::{Group, Member, Model, Phase, Standing, pass_over};
use super::{Dice, History};
use crate::homes::{NOW, memory_dir};
use logreel::consumer::{
    CooperativeStickyAssignor, ListenerResult, RangeAssignor, RebalanceContext, RebalanceListener,
    RoundRobinAssignor, StickyAssignor,
};
use logreel::testing::{MockClock, SimStorage};
use logreel::{
    Broker, BrokerBuilder, Consumer, Error, ErrorCode, ErrorKind, NewTopic, OffsetAndMetadata,
    OffsetReset, Offsets, Storage, TopicPartition,
};

const GROUPS: [&str; 2] = ["g", "h"];
const TOPICS: [&str; 3] = ["t", "u", "v"];
const SESSION_MAX: i64 = 45_000;

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.max(0) as u64)
}

fn time(clock: &MockClock) -> i64 {
    clock.wall_millis() - NOW
}

/// A listener that tells the model what it is told, and now and then does something or fails.
struct Ear {
    who: usize,
    model: Arc<Mutex<Model>>,
    history: History,
    clock: MockClock,
    dice: Dice,
    commits: bool,
    fails: bool,
}

impl Ear {
    fn hear(
        &mut self,
        context: &RebalanceContext<'_>,
        what: &'static str,
        partitions: &[TopicPartition],
    ) -> ListenerResult {
        let (has, meta) = (context.assignment(), context.group_metadata());
        let line = format!("    c{} {what} {partitions:?} {:?}", self.who, meta.as_ref());
        self.history.lock().unwrap().push(line);
        {
            let mut model = self.model.lock().unwrap();
            model.pass(time(&self.clock));
            model.told(self.who, what, partitions, &has, meta.as_ref());
        }
        if self.commits && self.dice.one_in(2) {
            let outcome = context.commit().map_err(|error| error.to_string());
            self.history.lock().unwrap().push(format!("    commits: {outcome:?}"));
            self.model.lock().unwrap().listener_committed(self.who, what, outcome);
        }
        self.model.lock().unwrap().told_done(self.who, what, partitions);
        if self.fails && self.dice.one_in(4) {
            self.model.lock().unwrap().members[self.who].failed = true;
            if self.dice.one_in(2) {
                return Err("as planned".into());
            }
            // Without the message that a panic prints.
            resume_unwind(Box::new("as planned"));
        }
        Ok(())
    }
}

impl RebalanceListener for Ear {
    fn on_assigned(&mut self, c: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.hear(c, "assigned", p)
    }

    fn on_revoked(&mut self, c: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.hear(c, "revoked", p)
    }

    fn on_lost(&mut self, c: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.hear(c, "lost", p)
    }
}

enum Files {
    Memory(Storage),
    Disk(tempfile::TempDir),
    /// Can be killed.
    Sim(SimStorage),
}

pub struct Run {
    pub steps: usize,
    dice: Dice,
    history: History,
    clock: MockClock,
    files: Files,
    broker: Option<Broker>,
    model: Arc<Mutex<Model>>,
    consumers: BTreeMap<usize, Consumer>,
    assignor: usize,
    gathers: bool,
}

/// How a listener of a consumer behaves.
#[derive(Clone, Copy)]
struct Mood {
    commits: bool,
    fails: bool,
}

impl Run {
    pub fn new(seed: u64, history: History) -> Self {
        let mut dice = Dice(seed);
        let clock = MockClock::at_millis(NOW);
        let files = match dice.below(16) {
            0 => Files::Disk(memory_dir()),
            1..6 => Files::Sim(SimStorage::new()),
            _ => Files::Memory(Storage::memory()),
        };
        let model = Model {
            groups: vec![Group { generation: -1, ..Group::default() }; GROUPS.len()],
            ..Model::default()
        };
        let (assignor, gathers) = (dice.below(5), dice.one_in(8));
        let mut run = Self {
            steps: 0,
            dice,
            history,
            clock,
            files,
            broker: None,
            model: Arc::new(Mutex::new(model)),
            consumers: BTreeMap::new(),
            assignor,
            gathers,
        };
        run.note(format!("seed {seed}, assignor {assignor}, gathers {gathers}"));
        run.open();
        for topic in TOPICS {
            let count = 1 + run.dice.below(3) as i32;
            run.broker().create_topic(NewTopic::new(topic).partitions(count)).unwrap();
            for number in 0..count {
                run.model().ends.insert(TopicPartition::new(topic, number), 0);
            }
        }
        run
    }

    fn note(&self, line: String) {
        let line = format!("{:>9} {line}", time(&self.clock));
        self.history.lock().unwrap().push(line);
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }

    fn builder(&self) -> BrokerBuilder {
        let builder = match &self.files {
            Files::Memory(storage) => Broker::builder().storage(storage.clone()),
            Files::Disk(dir) => Broker::builder().dir(dir.path()),
            Files::Sim(sim) => Broker::builder().storage(sim.storage()),
        };
        let delay = if self.gathers { "3000" } else { "0" };
        builder
            .clock(&self.clock)
            .offsets_topic_partitions(2)
            .seed(7)
            .set("offsets.retention.minutes", "60")
            .set("offsets.retention.check.interval.ms", "600000")
            .set("group.initial.rebalance.delay.ms", delay)
    }

    fn open(&mut self) {
        self.broker = Some(self.builder().open().unwrap());
        // Reads the groups: sessions begin anew here.
        self.broker().groups().unwrap();
    }

    pub fn go(&mut self) {
        for _ in 0..150 {
            self.step();
        }
        self.finish();
    }

    fn step(&mut self) {
        match self.dice.below(120) {
            0..16 => self.produce(),
            16..52 => self.poll_one(),
            52..56 => self.blocking_poll(),
            56..62 => self.commit(),
            62..68 => self.commit_offsets(),
            68..78 => self.join(),
            78..81 => self.close(),
            81..84 => self.drop_one(),
            84..88 => self.subscribe(),
            88..90 => self.unsubscribe(),
            90..99 => {
                let times = [1, 1_000, 5_000, 6_000, 20_000, 30_000];
                let by = *self.dice.pick(&times).unwrap();
                self.advance(by);
            }
            99 => self.advance(300_000),
            100 if self.dice.one_in(3) => self.advance(75 * 60_000),
            101..104 => self.expire_one(),
            104 => self.add_partitions(),
            105 => self.restart(),
            106..110 => self.pause(),
            110..114 => self.seek(),
            _ => {
                let wait = self.dice.one_in(2);
                self.settle(wait);
            }
        }
        self.check();
    }

    /// Everything must stand where the model says.
    fn check(&mut self) {
        self.steps += 1;
        let mut model = self.model.lock().unwrap();
        model.pass(time(&self.clock));
        for (index, group) in GROUPS.iter().enumerate() {
            let committed = self.broker.as_ref().unwrap().committed_offsets(group).unwrap();
            let pair = |(tp, c): (&TopicPartition, &OffsetAndMetadata)| {
                (tp.clone(), (c.offset(), c.metadata().to_owned()))
            };
            let actual = committed.iter().map(pair).collect();
            model.check_commits(index, &actual);
        }
        for (who, consumer) in &self.consumers {
            let has = consumer.assignment();
            let owned: Vec<_> = model.members[*who].owned.keys().cloned().collect();
            if has != owned {
                model.fault(format!("the assignment of c{who} is {has:?}, not {owned:?}"));
            }
        }
        if let Some(wrong) = model.wrong.take() {
            drop(model);
            panic!("{wrong}");
        }
    }

    fn anyone(&mut self) -> Option<usize> {
        let all: Vec<usize> = self.consumers.keys().copied().collect();
        self.dice.pick(&all).copied()
    }

    fn any_partition(&mut self) -> TopicPartition {
        let all: Vec<TopicPartition> = self.model().ends.keys().cloned().collect();
        self.dice.pick(&all).unwrap().clone()
    }

    fn produce(&mut self) {
        let tp = self.any_partition();
        let count = 1 + self.dice.below(4) as i64;
        let begin = self.model().ends[&tp];
        let values: Vec<String> = (begin..begin + count).map(|at| format!("{tp} {at}")).collect();
        self.note(format!("produce {count} to {tp} at {begin}"));
        let records = values.iter().map(|value| (None, Some(value.as_str())));
        let appended = self.broker().partition(&tp).unwrap().append(records).unwrap();
        assert_eq!(appended.base_offset, begin);
        self.model().ends.insert(tp, begin + count);
    }

    fn poll_one(&mut self) {
        if let Some(who) = self.anyone() {
            self.poll(who, 0);
        }
    }

    /// A poll that may wait, and lets time pass meanwhile. Only of members whose listeners do
    /// nothing, since it is not known after which of its looks they would.
    fn blocking_poll(&mut self) {
        let Some(who) = self.anyone() else { return };
        let member = self.model().members[who].clone();
        if !member.auto && !self.mood(who).commits && !self.mood(who).fails {
            let timeout = *self.dice.pick(&[1_000, 10_000, 60_000, 400_000]).unwrap();
            self.poll(who, timeout);
        }
    }

    /// How a consumer's listener behaves follows from its number.
    fn mood(&self, who: usize) -> Mood {
        Mood { commits: who % 3 == 1, fails: who % 5 == 2 }
    }

    /// Polls, and answers how many records came.
    fn poll(&mut self, who: usize, timeout: i64) -> usize {
        let now = time(&self.clock);
        let consumer = &self.consumers[&who];
        let (before, expected) = {
            let mut model = self.model.lock().unwrap();
            model.poll_begins(who, now);
            let member = &mut model.members[who];
            member.heard.clear();
            member.failed = false;
            let member = member.clone();
            let state = &model.groups[member.group];
            let left = member.instance.as_ref().and_then(|i| state.left.get(i));
            let away = state.seats.values().any(|seat| {
                seat.instance.is_some()
                    && seat.instance == member.instance
                    && seat.away_until.is_some_and(|until| until > now)
            });
            let returns = left.filter(|left| {
                away && member.id.is_none()
                    && left.changes == state.changes
                    && left.topics == member.topics
                    && now < left.until
            });
            (model.standing(who), returns.cloned())
        };
        self.note(format!("c{who} polls {timeout} as {before:?}"));
        let member = self.model().members[who].clone();
        let outcome = consumer.poll(ms(timeout));
        let seen = match consumer.commit_offsets(&Offsets::new()) {
            Ok(()) => Phase::In,
            Err(error) if error.code() == Some(ErrorCode::RebalanceInProgress) => Phase::Joining,
            Err(_) => Phase::Out,
        };
        let brief = outcome.as_ref().map(logreel::Records::len).map_err(Error::to_string);
        self.history.lock().unwrap().push(format!("    {brief:?}, {seen:?}"));
        if member.topics.is_none() {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::IllegalState);
            self.model().members[who].in_poll = false;
            return 0;
        }
        let is_fenced = member.is_fenced || before == Standing::Replaced;
        if is_fenced {
            let member = &mut self.model().members[who];
            member.is_fenced = true;
            member.owes |= member.failed;
        }
        let meta = consumer.group_metadata();
        self.model().poll_ends(who, time(&self.clock), seen, meta.as_ref());
        self.check();
        let failed = self.model().members[who].failed;
        let records = match outcome {
            Ok(records) => {
                assert!(!is_fenced && !failed, "c{who}: its poll did not fail");
                records
            }
            Err(error) if is_fenced => {
                assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId), "c{who}: {error}");
                return 0;
            }
            Err(error) => {
                assert!(failed && error.kind() == ErrorKind::UserCode, "c{who}: {error}");
                return 0;
            }
        };
        let mut model = self.model.lock().unwrap();
        model.resolve(who);
        for record in &records {
            let value = String::from_utf8_lossy(record.value().unwrap()).into_owned();
            model.delivered(who, record.topic_partition(), record.offset(), &value);
        }
        assert!(records.len() <= member.max_records, "c{who} got {}", records.len());
        if records.is_empty() {
            let ends = &model.ends;
            let left = model.members[who]
                .owned
                .iter()
                .find(|(tp, place)| !place.paused && place.at.is_some_and(|at| at < ends[*tp]));
            assert!(left.is_none(), "c{who} got nothing of {left:?}");
        }
        if let Some(home) = expected {
            let member = &model.members[who];
            let owned: BTreeSet<_> = member.owned.keys().cloned().collect();
            let is = (owned, member.generation, member.phase);
            let wanted = (home.owned, home.generation, Phase::In);
            assert_eq!(is, wanted, "c{who} came back, and stands elsewhere than before");
        }
        records.len()
    }

    fn positions(&self, who: usize) -> bool {
        self.model().members[who].owned.values().any(|place| place.at.is_some())
    }

    /// What a commit by this consumer must come to; `None` where it depends on what is not known.
    fn expected_commit(&self, who: usize) -> Option<Result<(), ErrorCode>> {
        let mut model = self.model();
        model.pass(time(&self.clock));
        let member = &model.members[who];
        let state = &model.groups[member.group];
        if member.is_fenced {
            return Some(Err(ErrorCode::FencedInstanceId));
        }
        if member.topics.is_none() {
            return match (state.seats.is_empty(), model.now < state.unsure_until) {
                (_, true) => None,
                (true, false) => Some(Ok(())),
                (false, false) => Some(Err(ErrorCode::UnknownMemberId)),
            };
        }
        Some(match model.standing(who) {
            Standing::NoSeat | Standing::Gone => Err(ErrorCode::UnknownMemberId),
            Standing::Replaced => Err(ErrorCode::FencedInstanceId),
            Standing::Present if member.phase == Phase::Joining => {
                Err(ErrorCode::RebalanceInProgress)
            }
            Standing::Present => Ok(()),
        })
    }

    fn judge_commit(&self, who: usize, outcome: &logreel::Result<()>) -> bool {
        let expected = self.expected_commit(who);
        self.note(format!("c{who} commits: {outcome:?}, expected {expected:?}"));
        let is = outcome.as_ref().copied().map_err(|error| error.code());
        if let Some(expected) = expected {
            assert_eq!(is, expected.map_err(Some), "the commit of c{who}");
        } else if let Err(code) = is {
            assert_eq!(code, Some(ErrorCode::UnknownMemberId), "the commit of c{who}");
        }
        is.is_ok()
    }

    fn commit(&mut self) {
        let Some(who) = self.anyone() else { return };
        let outcome = self.consumers[&who].commit();
        if !self.positions(who) {
            assert!(outcome.is_ok(), "there is nothing to commit: {outcome:?}");
        } else if self.judge_commit(who, &outcome) {
            self.model().commit_positions(who);
        }
    }

    fn commit_offsets(&mut self) {
        let Some(who) = self.anyone() else { return };
        let mut wanted = BTreeMap::new();
        for _ in 0..=self.dice.below(2) {
            let tp = self.any_partition();
            let end = self.model().ends[&tp];
            let beyond = if self.dice.one_in(20) { 3 } else { 0 };
            let at = self.dice.below(end as usize + 1) as i64 + beyond;
            wanted.insert(tp, (at, format!("by c{who}")));
        }
        let offset = |(tp, (at, text)): (&TopicPartition, &(i64, String))| {
            (tp.clone(), OffsetAndMetadata::new(*at).with_metadata(text.as_str()))
        };
        let offsets: Offsets = wanted.iter().map(offset).collect();
        self.note(format!("c{who} wants to commit {wanted:?}"));
        let outcome = self.consumers[&who].commit_offsets(&offsets);
        if self.judge_commit(who, &outcome) {
            let mut model = self.model();
            let (now, group) = (model.now, model.members[who].group);
            for (tp, (at, text)) in wanted {
                model.groups[group].commits.insert(tp, (at, text, now));
            }
        }
    }

    /// Another consumer, perhaps with the instance id of one that is there.
    fn join(&mut self) {
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

    fn some_topics(&mut self) -> BTreeSet<String> {
        let mut topics: BTreeSet<String> =
            TOPICS.iter().filter(|_| !self.dice.one_in(4)).map(ToString::to_string).collect();
        if topics.is_empty() {
            topics.insert("t".to_owned());
        }
        topics
    }

    fn subscribe(&mut self) {
        if let Some(who) = self.anyone() {
            self.subscribe_to(who, None);
        }
    }

    fn subscribe_to(&mut self, who: usize, topics: Option<BTreeSet<String>>) {
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
    fn departed(&self, who: usize, before: &(Member, bool), outcome: &logreel::Result<()>) {
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

    fn departing(&self, who: usize) -> (Member, bool) {
        let mut model = self.model();
        model.pass(time(&self.clock));
        let member = &mut model.members[who];
        member.failed = std::mem::take(&mut member.owes);
        (model.members[who].clone(), model.is_calm(model.members[who].group))
    }

    fn close(&mut self) {
        let Some(who) = self.anyone() else { return };
        let before = self.departing(who);
        let consumer = self.consumers.remove(&who).unwrap();
        let outcome = consumer.close();
        self.note(format!("c{who} is closed: {outcome:?}"));
        self.departed(who, &before, &outcome);
        self.model().members[who].is_open = false;
    }

    fn unsubscribe(&mut self) {
        let Some(who) = self.anyone() else { return };
        let before = self.departing(who);
        let outcome = self.consumers[&who].unsubscribe();
        self.note(format!("c{who} unsubscribes: {outcome:?}"));
        self.departed(who, &before, &outcome);
    }

    fn drop_one(&mut self) {
        let Some(who) = self.anyone() else { return };
        self.note(format!("c{who} is dropped"));
        let (_, calm) = self.departing(who);
        drop(self.consumers.remove(&who));
        let mut model = self.model();
        model.depart(who, calm);
        model.members[who].is_open = false;
    }

    fn advance(&mut self, by: i64) {
        self.note(format!("{by} ms pass"));
        self.clock.advance(ms(by));
    }

    /// One member stops polling while the others go on.
    fn expire_one(&mut self) {
        let Some(silent) = self.anyone() else { return };
        let interval = self.model().members[silent].interval;
        self.note(format!("c{silent} does not poll any more"));
        let others: Vec<usize> =
            self.consumers.keys().copied().filter(|who| *who != silent).collect();
        for _ in 0..=interval / 20_000 {
            self.advance(20_000);
            for who in &others {
                self.poll(*who, 0);
                self.check();
            }
        }
    }

    fn add_partitions(&mut self) {
        let topic = *self.dice.pick(&TOPICS).unwrap();
        let count = self.broker().topic(topic).unwrap().partition_count();
        if count >= 5 {
            return;
        }
        self.note(format!("{topic} gets {} partitions", count + 1));
        self.broker().create_partitions(topic, count + 1).unwrap();
        let mut model = self.model();
        model.ends.insert(TopicPartition::new(topic, count), 0);
        for group in &mut model.groups {
            (group.changes, group.is_unseen) = (group.changes + 1, true);
        }
    }

    /// The broker ends, in good order or not, and is opened again.
    fn restart(&mut self) {
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

    fn pause(&mut self) {
        let Some(who) = self.anyone() else { return };
        let owned: Vec<_> = self.model().members[who].owned.keys().cloned().collect();
        let Some(tp) = self.dice.pick(&owned).cloned() else { return };
        let pause = self.dice.one_in(3);
        self.note(format!("c{who} pauses {tp}: {pause}"));
        let consumer = &self.consumers[&who];
        let outcome =
            if pause { consumer.pause([tp.clone()]) } else { consumer.resume([tp.clone()]) };
        outcome.unwrap();
        self.model().members[who].owned.get_mut(&tp).unwrap().paused = pause;
    }

    fn seek(&mut self) {
        let Some(who) = self.anyone() else { return };
        let tp = self.any_partition();
        let end = self.model().ends[&tp];
        let beyond = if self.dice.one_in(20) { 3 } else { 0 };
        let at = self.dice.below(end as usize + 1) as i64 + beyond;
        let outcome = self.consumers[&who].seek(tp.clone(), at);
        self.note(format!("c{who} seeks {tp} {at}: {outcome:?}"));
        let mut model = self.model();
        let group = model.members[who].group;
        let Some(place) = model.members[who].owned.get_mut(&tp) else {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::IllegalState);
            return;
        };
        outcome.unwrap();
        place.at = Some(at);
        pass_over(&mut model.groups[group], &tp, at);
    }

    /// Those that poll and may have partitions.
    fn active(&self) -> Vec<usize> {
        let model = self.model();
        let takes_part = |who: &usize| {
            let member = &model.members[*who];
            member.topics.is_some() && !member.is_fenced
        };
        self.consumers.keys().copied().filter(takes_part).collect()
    }

    /// Nothing but polls happens: all members must come together, and every partition must have
    /// one owner.
    fn settle(&mut self, wait: bool) {
        self.note("settle".to_owned());
        let mut rounds = 0;
        while !self.is_settled() {
            rounds += 1;
            assert!(rounds < 40, "the groups do not settle");
            if self.gathers {
                self.advance(1_000);
            }
            for who in self.active() {
                self.poll(who, 0);
                self.check();
            }
            self.model().groups.iter_mut().for_each(|group| group.is_unseen = false);
        }
        let away = |model: &Model| {
            let ends = model.groups.iter().flat_map(|group| {
                let away = group.seats.values().filter_map(|seat| seat.away_until);
                away.chain([group.unsure_until])
            });
            ends.max().is_some_and(|end| end > model.now)
        };
        if !away(&self.model()) {
            return self.check_coverage();
        }
        if wait {
            for _ in 0..4 {
                self.advance(20_000);
                for who in self.active() {
                    self.poll(who, 0);
                    self.check();
                }
            }
            self.settle(true);
        }
    }

    fn is_settled(&self) -> bool {
        let active = self.active();
        let mut model = self.model();
        model.pass(time(&self.clock));
        active.iter().all(|who| {
            model.standing(*who) == Standing::Present && model.is_calm(model.members[*who].group)
        })
    }

    fn check_coverage(&self) {
        let active = self.active();
        let model = self.model();
        for group in 0..GROUPS.len() {
            let members = active.iter().map(|who| &model.members[*who]);
            let members: Vec<&Member> = members.filter(|member| member.group == group).collect();
            for tp in model.ends.keys() {
                let wants = |m: &&&Member| m.topics.as_ref().unwrap().contains(tp.topic());
                let owners = members.iter().filter(|m| m.owned.contains_key(tp)).count();
                let wanted = usize::from(members.iter().filter(wants).count() > 0);
                assert_eq!(owners, wanted, "so many members of group {group} have {tp}");
            }
        }
    }

    /// At the end everything that was produced has been delivered to every group, but for what was
    /// passed over on purpose.
    fn finish(&mut self) {
        self.note("the end".to_owned());
        self.consumers.keys().copied().collect::<Vec<_>>().into_iter().for_each(|who| {
            self.subscribe_to(who, Some(TOPICS.iter().map(ToString::to_string).collect()));
        });
        self.settle(true);
        for who in self.active() {
            let owned: Vec<_> = self.model().members[who].owned.keys().cloned().collect();
            self.consumers[&who].resume(owned.clone()).unwrap();
            for tp in &owned {
                self.model().members[who].owned.get_mut(tp).unwrap().paused = false;
            }
            while self.poll(who, 0) > 0 {
                self.check();
            }
            self.poll(who, 0);
            self.check();
        }
        let active = self.active();
        let model = self.model();
        for who in active {
            let member = &model.members[who];
            let group = &model.groups[member.group];
            for tp in member.owned.keys() {
                let seen = group.delivered.get(tp).map_or(&[][..], Vec::as_slice);
                let passed = group.passed.get(tp).copied().unwrap_or(0);
                for offset in passed..model.ends[tp] {
                    let is_seen = seen.get(offset as usize) == Some(&true);
                    assert!(is_seen, "nobody in group {} got {tp} {offset}", member.group);
                }
            }
        }
    }
}
