//! Does random things with real consumers and tells the model.

mod calls;
mod comings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::model::{Group, Member, Model, Standing};
use super::{Dice, History};
use crate::homes::{NOW, memory_dir};
use logreel::testing::{MockClock, SimStorage};
use logreel::{
    Broker, BrokerBuilder, Consumer, NewTopic, OffsetAndMetadata, Storage, TopicPartition,
};

const GROUPS: [&str; 2] = ["g", "h"];
const TOPICS: [&str; 3] = ["t", "u", "v"];
const SESSION_MAX: i64 = 45_000;

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.max(0) as u64)
}

pub fn time(clock: &MockClock) -> i64 {
    clock.wall_millis() - NOW
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

    /// How a consumer's listener behaves follows from its number.
    fn mood(&self, who: usize) -> Mood {
        Mood { commits: who % 3 == 1, fails: who % 5 == 2 }
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
