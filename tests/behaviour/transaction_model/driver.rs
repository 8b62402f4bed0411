//! One history.

use std::collections::BTreeMap;
use std::time::Duration;

use logreel::testing::{MockClock, SimStorage};
use logreel::{Broker, IsolationLevel, NewTopic, OffsetReset, Producer, ProducerRecord};

use super::actor::{Actor, Ask};
use super::model::{Entry, Fate, Model, Transaction};
use crate::group_model::Dice;

const NOW: i64 = 1_700_000_000_000;
const IDS: [&str; 3] = ["a", "b", "c"];
const GROUPS: [&str; 2] = ["g", "h"];
const STEPS: usize = 30;
const TIMEOUT_MS: i64 = 60_000;

/// A transactional id: who owns it, and who did before.
#[derive(Default)]
struct Id {
    owner: Option<Actor>,
    /// The owner's transaction, while it is open as far as it knows.
    transaction: Option<usize>,
    /// One that was taken over in the middle of a transaction.
    zombie: Option<Actor>,
}

pub struct Run {
    dice: Dice,
    sim: SimStorage,
    clock: MockClock,
    broker: Broker,
    plain: Option<Producer>,
    ids: [Id; 3],
    model: Model,
    /// Transactions that were open when their process ended, and whose they are.
    orphans: Vec<(usize, usize)>,
    keys: usize,
    pub done: Vec<String>,
}

fn open(sim: &SimStorage, clock: &MockClock) -> Broker {
    Broker::builder()
        .storage(sim.storage())
        .clock(clock)
        .set("log.cleaner.backoff.ms", "1000")
        .set("log.initial.task.delay.ms", "0")
        .open()
        .unwrap()
}

impl Run {
    pub fn new(seed: u64) -> Self {
        let (sim, clock) = (SimStorage::new(), MockClock::at_millis(NOW));
        let broker = open(&sim, &clock);
        let topic = NewTopic::new("t")
            .partitions(2)
            .set("segment.bytes", "500")
            .set("cleanup.policy", "compact,delete")
            .set("retention.ms", "-1")
            .set("min.cleanable.dirty.ratio", "0")
            .set("delete.retention.ms", "0");
        broker.create_topic(topic).unwrap();
        Self {
            dice: Dice::new(seed),
            sim,
            clock,
            broker,
            plain: None,
            ids: std::array::from_fn(|_| Id::default()),
            model: Model::default(),
            orphans: Vec::new(),
            keys: 0,
            done: Vec::new(),
        }
    }

    pub fn committed(&self) -> usize {
        self.model.transactions.iter().filter(|known| known.fate == Fate::Committed).count()
    }

    pub fn go(&mut self) {
        for _ in 0..STEPS {
            let which = self.dice.below(IDS.len());
            match self.dice.below(40) {
                0..=12 => self.send(which),
                13..=15 => self.commit_offsets(which),
                16..=22 => self.end(which, true),
                23..=25 => self.end(which, false),
                26..=28 => self.send_plain(),
                29..=30 => self.take_over(which),
                31 => self.poke_zombie(which),
                32..=33 => self.pass(1000),
                34 => self.pass(TIMEOUT_MS),
                35 => self.delete_records(),
                36 => self.close(),
                37..=38 => self.kill(),
                _ => self.cut_power(),
            }
            self.check();
        }
    }

    fn note(&mut self, what: String) {
        self.done.push(what);
    }

    /// The owner of an id, in a transaction.
    fn begin(&mut self, which: usize) -> usize {
        if let Some(number) = self.ids[which].transaction {
            if self.model.transactions[number].fate == Fate::Open {
                return number;
            }
            // It timed out, and the owner finds out when it goes on.
            self.note(format!("{} is fenced", IDS[which]));
            let owner = self.ids[which].owner.take().unwrap();
            owner.ask(Ask::Send(0, "late".to_owned())).unwrap_err();
            assert!(owner.ask(Ask::Commit).unwrap_err().is_fatal());
            assert!(owner.ask(Ask::Begin).unwrap_err().is_fatal());
            self.ids[which].transaction = None;
        }
        if self.ids[which].owner.is_none() {
            self.ids[which].owner = Some(self.build(which));
        }
        self.ask(which, Ask::Begin);
        let transaction =
            Transaction { fate: Fate::Open, positions: BTreeMap::new(), over_at: None };
        self.model.transactions.push(transaction);
        let number = self.model.transactions.len() - 1;
        self.ids[which].transaction = Some(number);
        self.note(format!("{} begins {number}", IDS[which]));
        number
    }

    fn ask(&self, which: usize, ask: Ask) -> Option<i64> {
        self.ids[which].owner.as_ref().unwrap().ask(ask).unwrap()
    }

    /// Its time runs from the first thing that is sent.
    fn starts(&mut self, number: usize) {
        let now = self.clock.wall_millis();
        self.model.transactions[number].over_at.get_or_insert(now + TIMEOUT_MS);
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("key {}", self.keys)
    }

    fn send(&mut self, which: usize) {
        let number = self.begin(which);
        let (partition, key) = (self.dice.below(2), self.key());
        let offset = self.ask(which, Ask::Send(partition as i32, key.clone())).unwrap();
        self.starts(number);
        self.note(format!("{number} sends {key} to {partition} at {offset}"));
        let entry = Entry { key, transaction: Some(number) };
        assert!(self.model.entries[partition].insert(offset, entry).is_none());
    }

    fn commit_offsets(&mut self, which: usize) {
        let number = self.begin(which);
        let (group, n) = (GROUPS[self.dice.below(2)], self.dice.below(1000) as i64);
        self.ask(which, Ask::Offsets(group, n));
        self.starts(number);
        self.note(format!("{number} commits {n} of {group}"));
        self.model.transactions[number].positions.insert(group, n);
    }

    fn end(&mut self, which: usize, commit: bool) {
        let number = self.begin(which);
        self.note(format!("{number} ends, commit: {commit}"));
        self.ask(which, if commit { Ask::Commit } else { Ask::Abort });
        self.model.end(number, if commit { Fate::Committed } else { Fate::Aborted });
        self.ids[which].transaction = None;
    }

    fn send_plain(&mut self) {
        let (partition, key) = (self.dice.below(2), self.key());
        let plain = self.plain.get_or_insert_with(|| self.broker.producer().build().unwrap());
        let record = ProducerRecord::to("t").partition(partition as i32).key(key.clone());
        let offset = plain.send(record.value("v")).wait().unwrap().offset().unwrap();
        self.note(format!("plain {key} to {partition} at {offset}"));
        self.model.entries[partition].insert(offset, Entry { key, transaction: None });
    }

    /// A new producer of an id ends what the one before left open, also in an earlier process.
    fn build(&mut self, which: usize) -> Actor {
        let actor = Actor::new(&self.broker, IDS[which]);
        let (ended, left) = self.orphans.iter().partition(|(_, of)| *of == which);
        self.orphans = left;
        let ended: Vec<(usize, usize)> = ended;
        for (number, _) in ended {
            if self.model.transactions[number].fate == Fate::Open {
                self.model.end(number, Fate::Aborted);
            }
        }
        actor
    }

    /// Another producer of the same id: what is open is aborted.
    fn take_over(&mut self, which: usize) {
        self.note(format!("{} is taken over", IDS[which]));
        let next = self.build(which);
        let before = self.ids[which].owner.replace(next);
        if let Some(number) = self.ids[which].transaction.take() {
            // Its zombie is in the middle of it.
            self.ids[which].zombie = before;
            if self.model.transactions[number].fate == Fate::Open {
                self.model.end(number, Fate::Aborted);
            }
        }
    }

    fn poke_zombie(&mut self, which: usize) {
        let Some(zombie) = self.ids[which].zombie.take() else { return };
        self.note(format!("the zombie of {} goes on", IDS[which]));
        zombie.ask(Ask::Send(1, "late".to_owned())).unwrap_err();
        zombie.ask(Ask::Offsets("g", 7)).unwrap_err();
        zombie.ask(Ask::Commit).unwrap_err();
    }

    fn pass(&mut self, millis: i64) {
        self.note(format!("{millis} ms pass"));
        self.clock.advance(Duration::from_millis(millis as u64));
        self.model.time_out(self.clock.wall_millis());
    }

    fn delete_records(&mut self) {
        let partition = self.dice.below(2);
        let log = self.broker.topic("t").unwrap().partition(partition as i32).unwrap();
        let (start, end) = (log.log_start_offset(), log.high_watermark());
        let to = start + self.dice.below((end - start + 1) as usize) as i64;
        self.note(format!("{partition} is deleted below {to}"));
        assert_eq!(log.delete_records(to).unwrap(), to);
    }

    /// What a process knew goes with it; what it left open is nobody's.
    fn leave(&mut self) {
        self.plain = None;
        for (which, id) in self.ids.iter_mut().enumerate() {
            let Id { owner, transaction, zombie } = std::mem::take(id);
            drop((owner, zombie));
            let Some(number) = transaction else { continue };
            let known = &mut self.model.transactions[number];
            match known.fate {
                Fate::Open if known.over_at.is_some() => self.orphans.push((number, which)),
                // It has sent nothing: it never was.
                Fate::Open => known.fate = Fate::Aborted,
                Fate::Committed | Fate::Aborted => {}
            }
        }
    }

    fn close(&mut self) {
        self.note("closes".to_owned());
        self.leave();
        self.broker.clone().close().unwrap();
        self.broker = open(&self.sim, &self.clock);
        assert!(self.broker.recovery_report().clean);
    }

    fn kill(&mut self) {
        self.note("is killed".to_owned());
        let left = self.sim.kill_state(self.sim.op_count());
        self.leave();
        self.broker = open(&left, &self.clock);
        self.sim = left;
    }

    fn cut_power(&mut self) {
        let states = self.sim.power_cut_states(self.sim.op_count(), 4, self.keys as u64);
        let which = self.dice.below(states.len());
        self.note(format!("the power goes, state {which}"));
        self.leave();
        self.sim = states.into_iter().nth(which).unwrap();
        self.broker = open(&self.sim, &self.clock);
        for partition in 0..2 {
            let log = self.broker.topic("t").unwrap().partition(partition as i32).unwrap();
            self.model.lose_from(partition, log.high_watermark());
        }
        // When exactly what was left open is over depends on what was lost of it.
        self.clock.advance(Duration::from_millis(TIMEOUT_MS as u64));
        for (number, _) in std::mem::take(&mut self.orphans) {
            self.model.transactions[number].fate = match self.model.transactions[number].fate {
                Fate::Open => Fate::Aborted,
                fate => fate,
            };
        }
    }

    /// What a reader of this level sees of a partition.
    fn read(&self, partition: i32, level: IsolationLevel) -> Vec<String> {
        let settings = self.broker.consumer().auto_offset_reset(OffsetReset::Earliest);
        let consumer = settings.isolation_level(level).build().unwrap();
        consumer.assign([("t", partition)]).unwrap();
        let mut keys = Vec::new();
        loop {
            let records = consumer.poll(Duration::ZERO).unwrap();
            if records.is_empty() {
                return keys;
            }
            let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
            keys.extend(records.iter().map(|record| text(record.key().unwrap())));
        }
    }

    fn check(&self) {
        for partition in 0..2 {
            let log = self.broker.topic("t").unwrap().partition(partition as i32).unwrap();
            let (start, end) = (log.log_start_offset(), log.high_watermark());
            let (stable, allowed) =
                (log.last_stable_offset(), self.model.stable(partition, start, end));
            assert!(
                allowed.contains(&stable),
                "partition {partition} {start}..{end} is stable to {stable}, not {allowed:?}"
            );
            let seen = self.read(partition as i32, IsolationLevel::ReadCommitted);
            assert_eq!(seen, self.model.seen(partition, start, stable), "partition {partition}");
            // The others see everything that compaction left.
            let all = self.read(partition as i32, IsolationLevel::ReadUncommitted);
            let mut found = all.iter().peekable();
            for entry in self.model.entries[partition].range(start..).map(|(_, entry)| entry) {
                let is_there = found.next_if(|key| **key == entry.key).is_some();
                let may_be_gone = self.model.fate(entry) == Fate::Aborted;
                assert!(is_there || may_be_gone, "{entry:?} is missing in {all:?}");
            }
            assert_eq!(found.next(), None, "partition {partition}: {all:?}");
        }
        for group in GROUPS {
            let committed = self.broker.committed_offsets(group).unwrap();
            let position = committed.get(&("t", 0).into()).map(|at| at.offset());
            assert_eq!(position, self.model.positions.get(group).copied(), "group {group}");
        }
    }
}
