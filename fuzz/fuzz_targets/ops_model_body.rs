//! The input is a sequence of operations on one broker, checked against the simplest thing that
//! could be right: a vector of records, and how many of them are durable. After each crash the log
//! is a prefix with everything acknowledged in it (I1, I2, I3), opens (I4), opens again the same
//! (I5), and committed offsets are the last acknowledged ones.

use std::time::Duration;

use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{Broker, Compression, ConfigChange, NewTopic, Partition, RawRecord};

use crate::script::Script;

const NOW: i64 = 1_700_000_000_000;
const OPS_MAX: usize = 40;
/// A power cut may leave so many disks that are looked at.
const STATES_MAX: usize = 6;

/// A log as it must be.
#[derive(Clone, Debug, Default)]
struct Log {
    name: &'static str,
    /// Key and value of each record that was ever appended; the index is the offset.
    records: Vec<(u8, Vec<u8>)>,
    /// What a failed append tried to write behind them; it may be there after all.
    tried: Vec<(u8, Vec<u8>)>,
    acked: usize,
    durable: usize,
    /// Acknowledged log start; retention may have moved it further.
    start: usize,
}

struct World {
    disk: SimStorage,
    clock: MockClock,
    broker: Broker,
    plain: Log,
    compacted: Log,
    /// The commit that was acknowledged, and one that failed.
    committed: Option<i64>,
    tried: Option<i64>,
}

fn open(disk: &SimStorage, clock: &MockClock) -> Broker {
    let builder = Broker::builder().storage(disk.storage()).clock(clock);
    builder.set("log.cleaner.backoff.ms", "1000").open().unwrap()
}

fn topic(name: &str) -> NewTopic {
    let small = NewTopic::new(name).set("segment.bytes", "400").set("index.interval.bytes", "100");
    let small = small.set("file.delete.delay.ms", "10");
    if name == "c" {
        let eager = small.set("cleanup.policy", "compact");
        eager.set("min.cleanable.dirty.ratio", "0").set("delete.retention.ms", "1000")
    } else {
        small.set("retention.ms", "100000")
    }
}

impl World {
    fn new() -> Self {
        let (disk, clock) = (SimStorage::new(), MockClock::at_millis(NOW));
        let broker = open(&disk, &clock);
        for name in ["t", "c"] {
            broker.create_topic(topic(name)).unwrap();
        }
        let log = |name| Log { name, ..Log::default() };
        let (plain, compacted) = (log("t"), log("c"));
        Self { disk, clock, broker, plain, compacted, committed: None, tried: None }
    }

    fn log(&self, name: &str) -> Partition {
        self.broker.topic(name).unwrap().partition(0).unwrap()
    }

    fn append(&mut self, compacted: bool, codec: Compression, sizes: &[u8]) -> bool {
        let name = if compacted { "c" } else { "t" };
        let log = self.log(name);
        let wanted = if codec.is_available() { codec.name() } else { "producer" };
        let change = ConfigChange::set("compression.type", wanted);
        if self.broker.topic(name).unwrap().alter_config([change]).is_err() {
            return false;
        }
        let model = if compacted { &mut self.compacted } else { &mut self.plain };
        let first = model.records.len();
        let batch: Vec<(u8, Vec<u8>)> = sizes
            .iter()
            .zip(first..)
            .map(|(size, n)| (size % 4, vec![n as u8; usize::from(*size) % 90]))
            .collect();
        let keys: Vec<[u8; 1]> = batch.iter().map(|(key, _)| [*key]).collect();
        let records = batch.iter().zip(&keys).map(|((_, value), key)| {
            RawRecord::new(Some(key), Some(value)).timestamp(self.clock.wall_millis())
        });
        match log.append(records.collect::<Vec<_>>()) {
            Ok(placed) => {
                assert_eq!(placed.base_offset, first as i64);
                model.records.extend(batch);
                model.acked = model.records.len();
                true
            }
            Err(_) => {
                model.tried = batch;
                false
            }
        }
    }

    fn sync(&mut self) -> bool {
        let mut ok = true;
        for compacted in [false, true] {
            let name = if compacted { "c" } else { "t" };
            let log = self.log(name);
            let model = if compacted { &mut self.compacted } else { &mut self.plain };
            match log.sync() {
                Ok(()) => model.durable = model.acked,
                Err(_) => ok = false,
            }
        }
        ok
    }

    fn commit(&mut self, offset: i64) -> bool {
        let group = self.broker.group("g");
        match group.alter_offsets(&[(("t", 0), offset)].into_iter().collect()) {
            Ok(()) => {
                self.committed = Some(offset);
                self.tried = None;
                // It waits for the partitions it points into.
                self.plain.durable = self.plain.acked;
                true
            }
            Err(_) => {
                self.tried = Some(offset);
                false
            }
        }
    }

    /// Everything ends, and begins anew on this disk. `all` was not lost.
    fn reopen(&mut self, disk: SimStorage, all: bool) {
        disk.clear_faults();
        let old = std::mem::replace(&mut self.broker, Broker::in_memory());
        // The old one writes to a disk that nobody looks at any more.
        self.disk.clear_faults();
        drop(old);
        self.disk = disk;
        self.broker = open(&self.disk, &self.clock);
        let report = self.broker.recovery_report();
        assert_eq!(report.damaged().count(), 0, "{report:?}");
        for compacted in [false, true] {
            let log = self.log(if compacted { "c" } else { "t" });
            let model = if compacted { &mut self.compacted } else { &mut self.plain };
            let left = usize::try_from(log.log_end_offset()).unwrap();
            let needed = if all { model.acked } else { model.durable };
            let most = model.records.len() + model.tried.len();
            assert!((needed..=most).contains(&left), "{}: {left} of {needed}..={most}", model.name);
            let tried = std::mem::take(&mut model.tried);
            model.records.extend(tried);
            model.records.truncate(left);
            model.acked = left;
            model.durable = left;
        }
        let found = self.broker.group("g").committed().unwrap();
        let found = found.get(&("t", 0).into()).map(|committed| committed.offset());
        let possible = found == self.committed || (found.is_some() && found == self.tried);
        assert!(possible, "{found:?} instead of {:?} or {:?}", self.committed, self.tried);
        self.committed = found;
        self.tried = None;
        self.check();
    }

    fn check(&mut self) {
        let log = self.log("t");
        let end = log.log_end_offset();
        assert_eq!(end, self.plain.records.len() as i64);
        let start = usize::try_from(log.log_start_offset()).unwrap();
        assert!(start >= self.plain.start && start <= self.plain.records.len());
        self.plain.start = start;
        let seen = read(&log, start);
        let expected = self.plain.records.iter().enumerate().skip(start);
        assert!(expected.map(|(at, (key, value))| (at, *key, value.clone())).eq(seen));
        let log = self.log("c");
        let seen = read(&log, 0);
        let history = &self.compacted.records;
        assert!(seen.is_sorted_by(|a, b| a.0 < b.0));
        for (at, key, value) in &seen {
            assert_eq!(history.get(*at), Some(&(*key, value.clone())), "at {at}");
        }
        for key in 0..4 {
            let last = history.iter().rposition(|(of, _)| *of == key);
            let found = seen.iter().filter(|(_, of, _)| *of == key).map(|(at, ..)| *at).max();
            assert_eq!(found, last, "the last record of key {key}");
        }
    }
}

fn read(log: &Partition, start: usize) -> Vec<(usize, u8, Vec<u8>)> {
    let mut seen = Vec::new();
    let mut from = start as i64;
    while from < log.log_end_offset() {
        let records = log.read(from, 700).unwrap();
        let before = from;
        for record in records.iter().filter(|record| record.offset() >= before) {
            let at = usize::try_from(record.offset()).unwrap();
            let key = record.key().unwrap()[0];
            seen.push((at, key, record.value().unwrap().to_vec()));
            from = record.offset() + 1;
        }
        if from == before {
            // Only what compaction emptied is left.
            break;
        }
    }
    seen
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script(data);
    let mut world = World::new();
    let codecs: Vec<Compression> =
        Compression::ALL.iter().copied().filter(|codec| codec.is_available()).collect();
    let mut ops = 0;
    while !script.is_over() && ops < OPS_MAX {
        ops += 1;
        let op = script.byte();
        let ok = match op % 16 {
            0..=2 => {
                let size = script.byte();
                world.append(op & 16 != 0, Compression::None, &[size])
            }
            3 | 4 => {
                let codec = codecs[script.below(codecs.len())];
                let count = 1 + script.below(6);
                let sizes = [script.bytes(count), &[7]].concat();
                world.append(op & 16 != 0, codec, &sizes)
            }
            5 => world.sync(),
            6 => world.commit(i64::from(script.byte())),
            7 => {
                let to = script.below(world.plain.records.len() + 1);
                let outcome = world.log("t").delete_records(to as i64);
                if outcome.is_ok() {
                    world.plain.start = world.plain.start.max(to);
                }
                outcome.is_ok()
            }
            8 => {
                // Retention, compaction and what is left to be removed.
                world.clock.advance(Duration::from_secs(u64::from(script.byte())));
                world.broker.run_due();
                true
            }
            9 => {
                let name = if op & 16 != 0 { "c" } else { "t" };
                let gone = world.broker.delete_topic(name);
                let made = world.broker.create_topic(topic(name));
                if gone.is_err() || made.is_err() {
                    // What is left of it is for the tests of deletion to say.
                    return;
                }
                let model = if name == "c" { &mut world.compacted } else { &mut world.plain };
                *model = Log { name: model.name, ..Log::default() };
                if name == "t" {
                    world.committed = None;
                    world.tried = None;
                }
                true
            }
            10 => {
                let broker = std::mem::replace(&mut world.broker, Broker::in_memory());
                let ok = broker.close().is_ok();
                if ok {
                    world.plain.durable = world.plain.acked;
                    world.compacted.durable = world.compacted.acked;
                }
                let disk = world.disk.clone();
                world.broker = Broker::in_memory();
                world.reopen(disk.kill_state(disk.op_count()), true);
                ok
            }
            11 => {
                let disk = world.disk.kill_state(world.disk.op_count());
                world.reopen(disk, true);
                true
            }
            12 | 13 => {
                let count = world.disk.op_count();
                let mut states = world.disk.power_cut_states(count, STATES_MAX, 1);
                let state = states.swap_remove(script.below(states.len()));
                world.reopen(state, false);
                true
            }
            _ => {
                let kinds = [
                    FaultOp::Write,
                    FaultOp::Sync,
                    FaultOp::SyncDir,
                    FaultOp::Create,
                    FaultOp::Rename,
                    FaultOp::Remove,
                    FaultOp::SetLen,
                    FaultOp::Any,
                ];
                let choice = script.byte();
                let kind = match choice >> 6 {
                    0 => FaultKind::Eio,
                    1 => FaultKind::Enospc,
                    2 => FaultKind::Eintr,
                    _ => FaultKind::ShortWrite(usize::from(script.byte())),
                };
                let op = kinds[usize::from(choice) % kinds.len()];
                // Not every operation may answer EINTR.
                let kind = if op == FaultOp::Write { kind } else { FaultKind::Eio };
                let nth = script.below(8);
                // A write that is interrupted for ever is one that nobody lets go on.
                let sticky = choice & 32 != 0 && kind != FaultKind::Eintr;
                world.disk.fail(Fault { op, nth, sticky, kind });
                true
            }
        };
        if !ok {
            // Whatever failed, the next process goes on.
            let disk = world.disk.kill_state(world.disk.op_count());
            world.reopen(disk, true);
        }
    }
    world.disk.clear_faults();
    let disk = world.disk.kill_state(world.disk.op_count());
    world.reopen(disk, true);
    let left = (world.plain.records.clone(), world.compacted.records.clone());
    let disk = world.disk.kill_state(world.disk.op_count());
    world.reopen(disk, true);
    assert_eq!(left, (world.plain.records, world.compacted.records));
}
