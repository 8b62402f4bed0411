//! Transactions over two partitions and a group's offsets, cut at every operation.
//!
//! What is checked is the promise of exactly once: a transaction whose commit returned is there as
//! a whole, one that was aborted or never committed is not seen at all, and of one whose commit was
//! under way it is all or nothing, in both partitions and in the group's position.

use std::time::{Duration, Instant};

use logreel::consumer::GroupMetadata;
use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{
    Broker, IsolationLevel, NewTopic, OffsetReset, Producer, ProducerRecord, Result, Transaction,
    TransactionalProducer,
};

use crate::explore::{Count, Explorer, Oracle, Plan, campaign, on_two_threads, seed};
use crate::workloads::NOW;

/// What a world can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A record of nobody's transaction.
    Plain,
    /// A transaction that is committed.
    Commit,
    Abort,
    /// A transaction that nobody ends.
    Leave,
    /// A transaction of another producer, committed.
    Other,
    /// A new producer takes the first one's id over.
    TakeOver,
    /// What is open is over.
    TimeOut,
    /// The cleaner comes by.
    Compact,
    Close,
    Kill,
}

impl Step {
    const ALL: [Self; 10] = [
        Self::Plain,
        Self::Commit,
        Self::Abort,
        Self::Leave,
        Self::Other,
        Self::TakeOver,
        Self::TimeOut,
        Self::Compact,
        Self::Close,
        Self::Kill,
    ];
}

/// What is known of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    /// Nobody has asked for its commit.
    Never,
    /// Its commit is under way.
    Open,
    Committed,
}

/// What may and what must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Promise {
    /// The topic exists.
    made: bool,
    /// Plain records that were handed in,
    plain: usize,
    /// and how many of them must be there.
    written: usize,
    durable: usize,
    transactions: Vec<Fate>,
    /// The storage may fail: what was decided may be ended later than what came after it.
    faulty: bool,
}

const TIMEOUT: Duration = Duration::from_secs(60);

fn open(sim: &SimStorage, clock: &MockClock) -> Result<Broker> {
    Broker::builder()
        .storage(sim.storage())
        .clock(clock)
        .set("log.cleaner.backoff.ms", "1000")
        .set("log.initial.task.delay.ms", "0")
        .open()
}

/// A world at work.
struct World {
    sim: SimStorage,
    clock: MockClock,
    broker: Broker,
    plain: Option<Producer>,
    first: Option<TransactionalProducer>,
    other: Option<TransactionalProducer>,
    promise: Promise,
    promises: Vec<Promise>,
}

impl World {
    fn new() -> Self {
        Self::on(&SimStorage::new(), false).unwrap()
    }

    /// Begins on a disk that may be `faulty`.
    fn on(sim: &SimStorage, faulty: bool) -> Result<Self> {
        let (sim, clock) = (sim.clone(), MockClock::at_millis(NOW));
        let broker = open(&sim, &clock)?;
        let topic = NewTopic::new("t")
            .partitions(2)
            .set("segment.bytes", "400")
            .set("cleanup.policy", "compact")
            .set("min.cleanable.dirty.ratio", "0")
            .set("delete.retention.ms", "0");
        broker.create_topic(topic)?;
        let promise = Promise { made: true, faulty, ..Promise::default() };
        let (plain, first, other) = (None, None, None);
        let promises = Vec::new();
        let mut world = Self { sim, clock, broker, plain, first, other, promise, promises };
        world.mark();
        Ok(world)
    }

    fn mark(&mut self) {
        self.sim.mark(self.promises.len() as u64);
        self.promises.push(self.promise.clone());
    }

    fn finish(self) -> (SimStorage, Told) {
        (self.sim.kill_state(self.sim.op_count()), Told(self.promises))
    }

    fn forget_clients(&mut self) {
        (self.plain, self.first, self.other) = (None, None, None);
    }

    fn open_on(&mut self, sim: SimStorage) -> Result<()> {
        self.forget_clients();
        self.broker = open(&sim, &self.clock)?;
        self.sim = sim;
        // Whatever an open serves is synced.
        self.promise.durable = self.promise.written;
        self.mark();
        Ok(())
    }

    /// Sends what a transaction is made of, and the position that goes with it.
    fn fill(number: usize, transaction: &Transaction<'_>) -> Result<()> {
        for (partition, i) in [(0, 0), (1, 0), (0, 1)] {
            let key = format!("{number}.{partition}.{i}");
            let record = ProducerRecord::to("t").partition(partition).key(key);
            transaction.send(record.value(number.to_string())).wait()?;
        }
        let at = [(("t", 0), number as i64 + 1)].into_iter().collect();
        transaction.send_offsets(&at, &GroupMetadata::without_members("g"))
    }

    fn begin(&mut self) -> usize {
        self.promise.transactions.push(Fate::Never);
        self.mark();
        self.promise.transactions.len() - 1
    }

    fn set(&mut self, number: usize, fate: Fate) {
        self.promise.transactions[number] = fate;
        self.mark();
    }

    fn transact(&mut self, id: &str, how: Step) -> Result<()> {
        let kept = if id == "first" { &mut self.first } else { &mut self.other };
        // None yet, or one whose transaction timed out.
        let usable = kept.take().and_then(|mut producer| {
            let begun = producer.begin().is_ok();
            begun.then_some(producer)
        });
        let mut producer = match usable {
            Some(producer) => producer,
            None => self.broker.producer().build_transactional(id)?,
        };
        let number = self.begin();
        let transaction = producer.begin()?;
        Self::fill(number, &transaction)?;
        match how {
            Step::Abort => transaction.abort()?,
            Step::Leave => std::mem::forget(transaction),
            _ => {
                self.set(number, Fate::Open);
                transaction.commit()?;
                self.set(number, Fate::Committed);
            }
        }
        if id == "first" {
            self.first = Some(producer);
        } else {
            self.other = Some(producer);
        }
        Ok(())
    }

    fn step(&mut self, step: Step) {
        self.try_step(step).unwrap();
    }

    fn try_step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Plain => {
                if self.plain.is_none() {
                    self.plain = Some(self.broker.producer().build()?);
                }
                self.promise.plain += 1;
                self.mark();
                let key = format!("plain {}", self.promise.plain);
                let record = ProducerRecord::to("t").partition(0).key(key).value("plain");
                self.plain.as_ref().unwrap().send(record).wait()?;
                self.promise.written += 1;
                self.promise.durable = self.promise.written;
                self.mark();
            }
            Step::Commit | Step::Abort | Step::Leave => self.transact("first", step)?,
            Step::Other => self.transact("other", step)?,
            Step::TakeOver => {
                self.first = Some(self.broker.producer().build_transactional("first")?);
            }
            Step::TimeOut => self.clock.advance(TIMEOUT),
            Step::Compact => self.clock.advance(Duration::from_secs(1)),
            Step::Close => {
                self.forget_clients();
                let closed = self.broker.clone().close();
                self.open_on(self.sim.clone())?;
                assert!(self.broker.recovery_report().clean || self.promise.faulty);
                closed?;
            }
            Step::Kill => self.open_on(self.sim.kill_state(self.sim.op_count()))?,
        }
        Ok(())
    }
}

/// The promises of a trace, by number.
#[derive(Default)]
struct Told(Vec<Promise>);

/// What committed readers see: of each transaction its records, in the order of the partitions, and
/// how many plain ones.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    records: Vec<String>,
    plain: usize,
    position: Option<i64>,
}

impl Seen {
    fn of(broker: &Broker) -> Self {
        let mut seen = Self::default();
        let settings = broker.consumer().auto_offset_reset(OffsetReset::Earliest);
        let consumer = settings.isolation_level(IsolationLevel::ReadCommitted).build().unwrap();
        for partition in 0..2 {
            consumer.assign([("t", partition)]).unwrap();
            loop {
                let records = consumer.poll(Duration::ZERO).unwrap();
                if records.is_empty() {
                    break;
                }
                for record in &records {
                    let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
                    if key.starts_with("plain") {
                        seen.plain += 1;
                    } else {
                        seen.records.push(key);
                    }
                }
            }
        }
        let committed = broker.committed_offsets("g").unwrap();
        seen.position = committed.get(&("t", 0).into()).map(|at| at.offset());
        seen
    }

    fn has(&self, number: usize) -> usize {
        let prefix = format!("{number}.");
        self.records.iter().filter(|key| key.starts_with(&prefix)).count()
    }

    fn check(&self, what: &str, promise: &Promise, settled: bool) {
        let mut last = None;
        for (number, fate) in promise.transactions.iter().enumerate() {
            let found = self.has(number);
            match fate {
                Fate::Never => assert_eq!(found, 0, "{what}: {number} was not committed: {self:?}"),
                Fate::Open if settled => {
                    assert!([0, 3].contains(&found), "{what}: {number} is torn: {self:?}");
                }
                Fate::Committed if settled => {
                    assert_eq!(found, 3, "{what}: {number} was committed: {self:?}");
                }
                // It may lie behind one that is open.
                Fate::Open | Fate::Committed => {}
            }
            if found == 3 {
                last = Some(number as i64 + 1);
            }
        }
        assert!(self.plain <= promise.plain, "{what}: {self:?}");
        if settled {
            assert!(self.plain >= promise.durable, "{what}: {self:?}");
            let of_a_whole = self.position.is_some_and(|at| self.has(at as usize - 1) == 3);
            let agrees = self.position == last || (promise.faulty && of_a_whole);
            assert!(agrees, "{what}: the position goes with the records: {self:?}, {last:?}");
        }
        let mut all = self.records.clone();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), self.records.len(), "{what}: twice: {self:?}");
    }
}

impl Oracle for Told {
    type Promise = Promise;

    fn promise(&self, trace: &SimStorage, cut: usize) -> Promise {
        let marks = trace.marks_before(cut);
        let told = marks.last().and_then(|number| self.0.get(*number as usize));
        told.cloned().unwrap_or_default()
    }

    fn killed(&self, promise: Promise) -> Promise {
        Promise { durable: promise.written, ..promise }
    }

    fn check(&self, what: &str, state: &SimStorage, promise: &Promise) -> (SimStorage, usize) {
        let opened = state.kill_state(state.op_count());
        let clock = MockClock::at_millis(NOW + 3_600_000);
        let broker = open(&opened, &clock).unwrap();
        let recovered = opened.op_count();
        let report = broker.recovery_report();
        assert_eq!(report.damaged().count(), 0, "{what}: {report:?}");
        let Ok(topic) = broker.topic("t") else {
            assert!(!promise.made, "{what}: the topic is gone");
            return (opened, recovered);
        };
        Seen::of(&broker).check(what, promise, false);
        // What was left open is aborted when its time is over, and holds nobody back then.
        clock.advance(TIMEOUT);
        for partition in topic.partitions() {
            let (stable, end) = (partition.last_stable_offset(), partition.high_watermark());
            assert_eq!(stable, end, "{what}: something stays open");
        }
        let seen = Seen::of(&broker);
        seen.check(what, promise, true);
        // A second open changes nothing.
        let again = opened.kill_state(opened.op_count());
        let second = open(&again, &clock).unwrap();
        assert_eq!(Seen::of(&second), seen, "{what}: the second open");
        // The id goes on, and nothing of before is in its way or joins it.
        let number = promise.transactions.len();
        let mut producer = second.producer().build_transactional("first").unwrap();
        let transaction = producer.begin().unwrap();
        World::fill(number, &transaction).unwrap();
        transaction.commit().unwrap();
        let mut more = promise.clone();
        more.transactions.push(Fate::Committed);
        let after = Seen::of(&second);
        after.check(&format!("{what}, and one more"), &more, true);
        assert_eq!(after.records.len(), seen.records.len() + 3, "{what}");
        (opened, recovered)
    }
}

/// Sequences up to this length are all tried.
const LENGTH: usize = 2;
const RANDOM: usize = 16;
const LONG: usize = 8;
/// So many states must be looked at, or the suite is not what it says.
const STATES_MIN: usize = 100_000;

fn of_length(length: usize) -> Vec<Vec<Step>> {
    (0..length).fold(vec![Vec::new()], |shorter, _| {
        let longer = |path: &Vec<Step>| {
            let path = path.clone();
            Step::ALL.map(|step| path.iter().copied().chain([step]).collect())
        };
        shorter.iter().flat_map(longer).collect()
    })
}

fn random(number: u64) -> Vec<Step> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed();
    let draw = move |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Step::ALL[(state >> 33) as usize % Step::ALL.len()]
    };
    (0..LONG).map(draw).collect()
}

fn explore(explorer: &Explorer, path: &[Step], from_last: bool, plan: Plan) -> Count {
    let mut world = World::new();
    let (last, before) = path.split_last().unwrap();
    before.iter().for_each(|step| world.step(*step));
    let first = if from_last { world.sim.op_count() } else { 0 };
    world.step(*last);
    let (trace, told) = world.finish();
    explorer.explore_from(&format!("{path:?}"), &trace, first, &told, plan)
}

#[test]
fn transactions_are_all_or_nothing_wherever_the_power_goes() {
    let explorer = Explorer::default();
    let mut total = Count::default();
    let plans = [(1, 200, 50), (LENGTH, 40, 200), (LENGTH + 1, 10, 2000)];
    let plans = &plans[..if campaign() > 1 { 3 } else { 2 }];
    for (length, states_per_cut, nested_every) in plans.iter().copied() {
        let plan = Plan { states_per_cut, nested_every, nested_states: 3, kills_every: 5 };
        let started = Instant::now();
        let count = on_two_threads(&of_length(length), |path| explore(&explorer, path, true, plan));
        println!("all sequences of {length}: {count}; {:?}", started.elapsed());
        total.add(count);
    }
    let plan = Plan { states_per_cut: 20, nested_every: 400, nested_states: 3, kills_every: 7 };
    let started = Instant::now();
    let numbers: Vec<u64> = (0..(RANDOM * campaign()) as u64).collect();
    let count =
        on_two_threads(&numbers, |number| explore(&explorer, &random(*number), false, plan));
    println!("random sequences of {LONG}: {count}; {:?}", started.elapsed());
    total.add(count);
    println!("transactions: {total}");
    assert!(total.states >= STATES_MIN, "{} states", total.states);
}

/// Goes through a workload on a disk that fails, and has what a kill and a power cut leave checked.
fn fail(what: &str, workload: &[Step], sim: &SimStorage) -> usize {
    let (trace, told) = match World::on(sim, true) {
        Ok(mut world) => {
            for step in workload {
                // An application that goes on.
                let _ = world.try_step(*step);
            }
            world.finish()
        }
        Err(_) => (sim.kill_state(sim.op_count()), Told::default()),
    };
    let promise = told.promise(&trace, trace.op_count());
    let killed = trace.kill_state(trace.op_count());
    told.check(&format!("{what}, killed"), &killed, &told.killed(promise.clone()));
    let states = trace.power_cut_states(trace.op_count(), 3, 3);
    for state in &states {
        told.check(&format!("{what}, then a power cut"), state, &promise);
    }
    1 + states.len()
}

#[test]
fn every_operation_of_a_transaction_fails_once_and_for_ever() {
    let workloads: [&[Step]; 3] = [
        &[Step::Commit, Step::Plain, Step::Other, Step::Commit],
        &[Step::Leave, Step::Abort, Step::Other, Step::TimeOut, Step::Commit],
        &[Step::Commit, Step::Leave, Step::TakeOver, Step::Commit, Step::Close, Step::Other],
    ];
    let mut faults = Vec::new();
    for kind in [FaultKind::Eio, FaultKind::Enospc] {
        let ops = [FaultOp::Any, FaultOp::Sync];
        faults.extend(ops.iter().flat_map(|op| [(kind, *op, false), (kind, *op, true)]));
    }
    let cases: Vec<_> =
        workloads.iter().flat_map(|workload| faults.iter().map(move |f| (*workload, *f))).collect();
    let count = on_two_threads(&cases, |(workload, (kind, op, sticky))| {
        let mut states = 0;
        for nth in 0.. {
            let sim = SimStorage::new();
            sim.fail(Fault { op: *op, nth, sticky: *sticky, kind: *kind });
            let what = format!("{workload:?}, {kind:?} at {op:?} {nth}, sticky {sticky}");
            states += fail(&what, workload, &sim);
            if sim.fault_hits() == 0 {
                break;
            }
        }
        Count { states, ..Count::default() }
    });
    println!("{} faults of {} workloads: {} cases", faults.len(), workloads.len(), count.states);
    assert!(count.states > 5000);
}
