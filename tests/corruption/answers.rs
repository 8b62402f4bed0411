//! Everything a directory is asked: records in order and from the middle, times, commits, and
//! whether it takes one more.

use std::collections::BTreeMap;
use std::time::Duration;

use logreel::testing::SimStorage;
use logreel::{
    Broker, Consumer, Error, IsolationLevel, OffsetReset, OffsetSpec, Offsets, OnDamage,
    PartitionReport, Record, Result,
};

use crate::corpus::{GROUP, NOW, TOPICS, open};

/// Offsets that are read from directly.
const MIDDLES: [i64; 6] = [1, 2, 4, 5, 7, 11];
/// Times that are looked up, after the first record's.
const TIMES: [i64; 7] = [0, 1, 3, 5, 20, 60, 110];

/// What is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Everything,
    /// One topic, for damage that lies in its directory.
    Topic(&'a str),
}

impl<'a> Asked<'a> {
    /// What a file at this path may have to do with.
    pub(crate) fn of(path: &'a str) -> Self {
        match path.split_once('/') {
            Some((dir, _)) => Self::Topic(dir.rsplit_once('-').unwrap().0),
            None => Self::Everything,
        }
    }

    fn includes(self, topic: &str) -> bool {
        let topic = Asked::Topic(topic);
        matches!(self, Self::Everything) || self == topic
    }
}

/// What one topic answers.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Where committed readers stop.
    pub(crate) stable: i64,
    pub(crate) records: Vec<Record>,
    pub(crate) stopped: Option<Error>,
    pub(crate) committed: Vec<i64>,
    pub(crate) committed_stopped: Option<Error>,
    pub(crate) from: Vec<(i64, Result<Option<Record>>)>,
    pub(crate) times: Vec<(i64, Result<Option<i64>>)>,
    pub(crate) appended: Result<i64>,
}

/// What a directory answers.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) topics: BTreeMap<&'static str, Option<Said>>,
    pub(crate) commits: Option<Result<Offsets>>,
    pub(crate) reports: Vec<PartitionReport>,
    /// What the open told of the files beside the partitions.
    pub(crate) repaired: Vec<String>,
}

impl Answers {
    /// Asks a directory; an error when it does not open.
    pub(crate) fn of(disk: &SimStorage, policy: OnDamage, asked: Asked<'_>) -> Result<Self> {
        Ok(Self::by(open(disk, policy)?, asked))
    }

    /// Asks a broker, and closes it.
    pub(crate) fn by(broker: Broker, asked: Asked<'_>) -> Self {
        let commits = asked.includes("__consumer_offsets").then(|| broker.group(GROUP).committed());
        let mut topics = BTreeMap::new();
        for name in TOPICS.into_iter().filter(|name| asked.includes(name)) {
            topics.insert(name, say(&broker, name));
        }
        let report = broker.recovery_report();
        let (reports, repaired) = (report.partitions.clone(), report.repaired.clone());
        broker.close().ok();
        Self { topics, commits, reports, repaired }
    }

    pub(crate) fn report(&self, topic: &str) -> Option<&PartitionReport> {
        self.reports.iter().find(|report| report.topic_partition.topic() == topic)
    }
}

fn reader(broker: &Broker, topic: &str, isolation: IsolationLevel) -> Consumer {
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.isolation_level(isolation).build().unwrap();
    consumer.assign([(topic, 0)]).unwrap();
    consumer
}

fn drain(consumer: &Consumer) -> (Vec<Record>, Option<Error>) {
    let mut all = Vec::new();
    loop {
        match consumer.poll(Duration::ZERO) {
            Ok(records) if records.is_empty() => return (all, None),
            Ok(records) => all.extend(records.to_vec()),
            Err(error) => return (all, Some(error)),
        }
        assert!(all.len() < 100_000, "it never ends");
    }
}

fn say(broker: &Broker, name: &str) -> Option<Said> {
    let log = broker.topic(name).ok()?.partition(0).ok()?;
    // Lookups first: nothing has been read by then that could have told them of damage.
    let time = |at: i64| log.offset_for(OffsetSpec::Timestamp(NOW + at));
    let times =
        TIMES.map(|at| (at, time(at).map(|found| found.map(|found| found.offset)))).to_vec();
    let middle = |from: i64| -> Result<Option<Record>> {
        let records = log.read(from, 1)?;
        Ok(records.to_vec().into_iter().next())
    };
    let from = MIDDLES.map(|from| (from, middle(from))).to_vec();
    let uncommitted = IsolationLevel::ReadUncommitted;
    let (records, stopped) = drain(&reader(broker, name, uncommitted));
    let (committed, committed_stopped) =
        drain(&reader(broker, name, IsolationLevel::ReadCommitted));
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let appended = log.append([(Some("k"), Some("more"))]).map(|placed| placed.base_offset);
    Some(Said {
        start,
        end,
        stable: log.last_stable_offset(),
        records,
        stopped,
        committed: committed.iter().map(|record| record.offset).collect(),
        committed_stopped,
        from,
        times,
        appended,
    })
}
