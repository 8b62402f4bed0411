//! A small world with one topic and one group, what it was promised, and whether a state keeps it.

use std::time::Duration;

use logreel::testing::{Fault, FaultKind, FaultOp, MockClock, SimStorage};
use logreel::{
    Acks, Broker, Compression, ConfigChange, ErrorCode, NewTopic, OffsetReset, Offsets, Partition,
    Producer, ProducerRecord, Result,
};

use crate::explore::Oracle;
use crate::workloads::NOW;

/// What a world can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// One record with `Partition::append`.
    Append,
    /// Three records in one zstd batch, acknowledged by all.
    Batch,
    /// One record, acknowledged with `acks=1`.
    Leader,
    /// Records until the segment is full and the next one begun.
    Roll,
    Sync,
    /// The group commits the end of the log.
    Commit,
    /// Time passes, and the cleaner comes by.
    Compact,
    /// All but the last two records are deleted.
    DeleteRecords,
    /// The log may be 500 bytes long from now on, and retention comes by.
    Retain,
    /// The topic is deleted and made anew.
    Recreate,
    /// A clean close, and an open.
    Close,
    /// The process dies, and the next one opens what it left.
    Kill,
    /// A sync fails, the process dies of it, and the next one opens what it left.
    FailedSync,
}

impl Step {
    pub(crate) const ALL: [Self; 13] = [
        Self::Append,
        Self::Batch,
        Self::Leader,
        Self::Roll,
        Self::Sync,
        Self::Commit,
        Self::Compact,
        Self::DeleteRecords,
        Self::Retain,
        Self::Recreate,
        Self::Close,
        Self::Kill,
        Self::FailedSync,
    ];
}

/// A record: its key, and its value if it is no tombstone.
type Row = (String, Option<String>);

/// What may and what must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Promise {
    /// The topic may be missing: it is not made yet, or being deleted.
    may_be_gone: bool,
    /// How often the topic was made before this one.
    incarnation: u32,
    /// What was handed in, whether it was acknowledged or not.
    rows: Vec<Row>,
    /// How many of them a kill must leave,
    written: usize,
    /// and how many a power cut.
    durable: usize,
    /// The log begins at one of these.
    start: (i64, i64),
    /// The cleaner may have come by.
    cleaned: bool,
    /// Retention may take records when time passes.
    bounded: bool,
    committed: i64,
}

impl Promise {
    fn next_row(&self) -> Row {
        let n = self.rows.len();
        let key = format!("key {}", n * 7 % 3);
        // Of every five records one is a tombstone.
        let value = (n % 5 != 3).then(|| format!("value {}.{n}", self.incarnation));
        (key, value)
    }

    /// The records with an offset in this range that no cleaner may take.
    fn needed(&self, start: i64, end: i64) -> Vec<i64> {
        let rows = self.rows.get(start as usize..end as usize).unwrap_or_default();
        let stays = |at: usize| {
            let (key, value) = &rows[at];
            let is_last = rows[at + 1..].iter().all(|(later, _)| later != key);
            !self.cleaned || (is_last && value.is_some())
        };
        (0..rows.len()).filter(|at| stays(*at)).map(|at| start + at as i64).collect()
    }
}

pub(crate) fn open(sim: &SimStorage, clock: &MockClock) -> Result<Broker> {
    Broker::builder()
        .storage(sim.storage())
        .clock(clock)
        .set("log.cleaner.backoff.ms", "1000")
        .set("log.initial.task.delay.ms", "0")
        .set("log.retention.check.interval.ms", "1000")
        .open()
}

/// A world at work. Its promises are numbered; the trace holds the numbers.
///
/// A step that fails promises nothing more, and the next one is tried, as an application might.
pub(crate) struct World {
    sim: SimStorage,
    clock: MockClock,
    broker: Broker,
    log: Partition,
    producers: Option<(Producer, Producer)>,
    /// The storage may fail: time may pass while a step waits, and upkeep with it.
    faulty: bool,
    preallocate: bool,
    promise: Promise,
    promises: Vec<Promise>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(&SimStorage::new(), false, false).unwrap()
    }

    /// Begins on a disk that may be `faulty`.
    pub(crate) fn on(sim: &SimStorage, faulty: bool, preallocate: bool) -> Result<Self> {
        let clock = MockClock::at_millis(NOW);
        let broker = open(sim, &clock)?;
        let mut promise = Promise { may_be_gone: true, cleaned: faulty, ..Promise::default() };
        let mut promises = Vec::new();
        mark(sim, &mut promises, &promise);
        let log = create(&broker, preallocate)?;
        promise.may_be_gone = false;
        mark(sim, &mut promises, &promise);
        let sim = sim.clone();
        Ok(Self {
            sim,
            clock,
            broker,
            log,
            producers: None,
            faulty,
            preallocate,
            promise,
            promises,
        })
    }

    /// How long the trace is.
    pub(crate) fn op_count(&self) -> usize {
        self.sim.op_count()
    }

    /// The trace so far, and what was promised along it. The world ends.
    pub(crate) fn finish(self) -> (SimStorage, Told) {
        (self.sim.kill_state(self.sim.op_count()), Told(self.promises))
    }

    fn mark(&mut self) {
        mark(&self.sim, &mut self.promises, &self.promise);
    }

    /// Promises what is written from here on to those whose process dies.
    fn written(&mut self) {
        let end = self.log.log_end_offset() as usize;
        self.promise.written = end.min(self.promise.rows.len());
        self.mark();
    }

    fn durable(&mut self) {
        self.promise.durable = self.log.log_end_offset() as usize;
        self.written();
    }

    /// Hands in the next rows: from here on they may be there. What a row is follows from its
    /// offset, so that one that failed and is handed in again is the same.
    fn hand_in(&mut self, count: usize) -> Vec<Row> {
        let first = self.log.log_end_offset() as usize;
        while self.promise.rows.len() < first + count {
            self.promise.rows.push(self.promise.next_row());
        }
        if self.faulty && self.promise.bounded {
            self.promise.start.1 = (first + count) as i64;
        }
        self.mark();
        self.promise.rows[first..first + count].to_vec()
    }

    fn append(&mut self) -> Result<()> {
        let rows = self.hand_in(1);
        let (key, value) = &rows[0];
        self.log.append([(Some(key.as_str()), value.as_deref())])?;
        self.written();
        Ok(())
    }

    fn producers(&mut self) -> Result<&(Producer, Producer)> {
        if self.producers.is_none() {
            let all = self.broker.producer().compression(Compression::Zstd).build()?;
            self.producers = Some((all, self.broker.producer().acks(Acks::Leader).build()?));
        }
        Ok(self.producers.as_ref().unwrap())
    }

    fn send(&mut self, count: usize, acks: Acks) -> Result<()> {
        // A producer begins with an id of its own, before anything is handed in.
        self.producers()?;
        let rows = self.hand_in(count);
        let records = rows.iter().map(|(key, value)| {
            let record = ProducerRecord::to("t").partition(0).key(key);
            match value {
                Some(value) => record.value(value),
                None => record,
            }
        });
        let (all, leader) = self.producers()?;
        let producer = if acks == Acks::All { all } else { leader };
        producer.send_batch(records).wait()?;
        if acks == Acks::All {
            self.durable()
        } else {
            self.written()
        }
        Ok(())
    }

    /// The next process opens what this one left on `sim`.
    fn open_on(&mut self, sim: SimStorage) -> Result<()> {
        self.producers = None;
        self.broker = open(&sim, &self.clock)?;
        self.sim = sim;
        // What cannot be read now counts as damaged until the next open.
        assert!(self.is_whole() || self.faulty, "{:?}", self.broker.recovery_report());
        self.log = self.broker.topic("t")?.partition(0)?;
        if self.is_whole() {
            let end = self.log.log_end_offset();
            assert!(end >= self.promise.written as i64, "a process that dies loses nothing");
            // Whatever an open serves is synced.
            self.durable();
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.broker.recovery_report().damaged().count() == 0
    }

    /// What the dead one does while it is dropped happens on a disk that nobody looks at.
    fn die(&mut self) -> Result<()> {
        self.open_on(self.sim.kill_state(self.sim.op_count()))
    }

    pub(crate) fn step(&mut self, step: Step) {
        self.try_step(step).unwrap();
    }

    pub(crate) fn try_step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Append => self.append()?,
            Step::Batch => self.send(3, Acks::All)?,
            Step::Leader => self.send(1, Acks::Leader)?,
            Step::Roll => {
                let segments = self.log.segments().len();
                while self.log.segments().len() == segments {
                    self.append()?;
                }
            }
            Step::Sync => {
                self.log.sync()?;
                self.durable();
            }
            Step::Commit => {
                let end = self.log.log_end_offset();
                let consumer = self.broker.consumer().group_id("g").build()?;
                let offsets: Offsets = [(("t", 0), end)].into_iter().collect();
                consumer.commit_offsets(&offsets)?;
                self.promise.committed = end;
                // A commit syncs what it points into.
                self.durable();
            }
            Step::Compact => self.time_passes(),
            Step::DeleteRecords => {
                let to = (self.log.log_end_offset() - 2).max(self.log.log_start_offset());
                self.promise.start.1 = self.promise.start.1.max(to);
                self.mark();
                assert_eq!(self.log.delete_records(to)?, to);
                self.promise.start.0 = to;
                self.mark();
            }
            Step::Retain => {
                let set = ConfigChange::set("retention.bytes", "500");
                self.broker.topic("t")?.alter_config([set])?;
                self.promise.bounded = true;
                self.time_passes();
            }
            Step::Recreate => self.recreate()?,
            Step::Close => {
                self.producers = None;
                let closed = self.broker.clone().close();
                if closed.is_ok() && self.is_whole() {
                    self.durable();
                }
                self.open_on(self.sim.clone())?;
                assert!(self.broker.recovery_report().clean || self.faulty);
                closed?;
            }
            Step::Kill => self.die()?,
            Step::FailedSync => {
                let eio = Fault { op: FaultOp::Sync, nth: 0, sticky: false, kind: FaultKind::Eio };
                self.sim.fail(eio);
                let failed = self.log.sync().is_err();
                self.sim.clear_faults();
                assert!(failed || self.log.recovery_point() == self.log.log_end_offset());
                self.die()?;
            }
        }
        Ok(())
    }

    /// One second, in which the cleaner and retention come by.
    fn time_passes(&mut self) {
        self.promise.cleaned = true;
        if self.promise.bounded {
            self.promise.start.1 = self.log.log_end_offset();
        }
        self.mark();
        self.clock.advance(Duration::from_secs(1));
        if !self.faulty {
            let start = self.log.log_start_offset();
            self.promise.start = (start, start);
        }
        self.mark();
    }

    fn recreate(&mut self) -> Result<()> {
        self.producers = None;
        self.promise.may_be_gone = true;
        self.mark();
        self.broker.delete_topic("t")?;
        let incarnation = self.promise.incarnation + 1;
        let cleaned = self.faulty;
        self.promise = Promise { may_be_gone: true, incarnation, cleaned, ..Promise::default() };
        self.mark();
        self.log = create(&self.broker, self.preallocate)?;
        self.promise.may_be_gone = false;
        self.mark();
        Ok(())
    }
}

fn create(broker: &Broker, preallocate: bool) -> Result<Partition> {
    let topic = NewTopic::new("t")
        .set("segment.bytes", "300")
        .set("index.interval.bytes", "100")
        .set("cleanup.policy", "compact,delete")
        .set("retention.ms", "-1")
        .set("min.cleanable.dirty.ratio", "0")
        .set("delete.retention.ms", "0")
        .set("preallocate", preallocate.to_string());
    broker.create_topic(topic)?.partition(0)
}

fn mark(sim: &SimStorage, promises: &mut Vec<Promise>, promise: &Promise) {
    sim.mark(promises.len() as u64);
    promises.push(promise.clone());
}

/// The promises of a trace, by number.
#[derive(Default)]
pub(crate) struct Told(Vec<Promise>);

/// Everything in the log, by offset.
fn read(broker: &Broker) -> Vec<(i64, Row)> {
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut rows = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return rows;
        }
        rows.extend(records.iter().map(|record| {
            (record.offset(), (record.key().map(text).unwrap(), record.value().map(text)))
        }));
    }
}

fn committed(broker: &Broker) -> Option<i64> {
    let offsets = broker.committed_offsets("g").unwrap();
    offsets.get(&("t", 0).into()).map(|position| position.offset())
}

impl Oracle for Told {
    type Promise = Promise;

    fn promise(&self, trace: &SimStorage, cut: usize) -> Promise {
        let marks = trace.marks_before(cut);
        let told = marks.last().and_then(|number| self.0.get(*number as usize));
        // A world that did not come to be promised nothing.
        told.cloned().unwrap_or_else(|| Promise { may_be_gone: true, ..Promise::default() })
    }

    fn killed(&self, promise: Promise) -> Promise {
        Promise { durable: promise.written, ..promise }
    }

    fn check(&self, what: &str, state: &SimStorage, promise: &Promise) -> (SimStorage, usize) {
        let opened = state.kill_state(state.op_count());
        let broker = open(&opened, &MockClock::at_millis(NOW)).unwrap();
        let recovered = opened.op_count();
        let report = broker.recovery_report();
        assert_eq!(report.damaged().count(), 0, "{what}: {report:?}");
        let Ok(topic) = broker.topic("t") else {
            let code = broker.topic("t").unwrap_err().code();
            assert_eq!(code, Some(ErrorCode::UnknownTopicOrPartition), "{what}");
            assert!(promise.may_be_gone, "{what}: the topic is gone");
            assert_eq!(committed(&broker), None, "{what}: a commit outlived its topic");
            return (opened, recovered);
        };
        let config = topic.config();
        let size = config.get("retention.bytes");
        assert_eq!(config.get("segment.bytes"), Some("300"), "{what}: its configuration");
        assert!(size == Some("500") || !promise.bounded, "{what}: a change of its configuration");
        let log = topic.partition(0).unwrap();
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        assert!(
            (promise.start.0..=promise.start.1).contains(&start),
            "{what}: the log begins at {start}, not in {:?}",
            promise.start
        );
        assert!(end <= promise.rows.len() as i64, "{what}: records are invented, up to {end}");
        assert!(
            end >= promise.durable as i64,
            "{what}: it ends at {end}, {} were acknowledged",
            promise.durable
        );
        let rows = read(&broker);
        for (offset, row) in &rows {
            assert_eq!(Some(row), promise.rows.get(*offset as usize), "{what}: offset {offset}");
        }
        assert!(rows.is_sorted_by(|(a, _), (b, _)| a < b), "{what}");
        for offset in promise.needed(start, end) {
            let is_there = rows.binary_search_by_key(&offset, |(offset, _)| *offset).is_ok();
            assert!(is_there, "{what}: offset {offset} of {start}..{end} is gone");
        }
        let commit = committed(&broker);
        assert!(commit.unwrap_or(0) >= promise.committed, "{what}: a commit is lost");
        assert!(commit.unwrap_or(0) <= end, "{what}: a commit to {commit:?} outlived its records");
        // A second open changes nothing, and appends go on where the log ends.
        let again = opened.kill_state(opened.op_count());
        let second = open(&again, &MockClock::at_millis(NOW)).unwrap();
        assert_eq!(read(&second), rows, "{what}: the second open reads something else");
        assert_eq!(committed(&second), commit, "{what}: the second open");
        let log = second.topic("t").unwrap().partition(0).unwrap();
        let placed = log.append([(Some("next"), Some("next"))]).unwrap();
        assert_eq!(placed.base_offset, end, "{what}");
        (opened, recovered)
    }
}
