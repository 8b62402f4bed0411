//! A broker that lives through a history, and the model beside it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use logreel::format::ProducerSnapshotEntry;
use logreel::testing::MockClock;
use logreel::{
    Broker, ConfigChange, IsolationLevel, NewTopic, OffsetReset, Partition, Producer,
    ProducerRecord, RawRecord,
};

use super::files::{Kind, Seg, name, segments};
use super::history::{History, Row, Step, headers, key, make, value};
use super::rules::{self, Known, Model, Producers, Settings, View, note};
use crate::homes::{copy_dir, memory_dir, snapshot};

/// How much of what was met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) passes: u64,
    /// Looks that changed the files.
    pub(super) changed: u64,
    /// Passes after the first of a look: the map was full.
    pub(super) rounds: u64,
    pub(super) merged: u64,
    pub(super) hollow: u64,
    pub(super) horizons: u64,
    pub(super) markers_gone: u64,
    pub(super) tombstones_gone: u64,
    pub(super) retained: u64,
    pub(super) kills: u64,
    pub(super) closes: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.passes += other.passes;
        self.changed += other.changed;
        self.rounds += other.rounds;
        self.merged += other.merged;
        self.hollow += other.hollow;
        self.horizons += other.horizons;
        self.markers_gone += other.markers_gone;
        self.tombstones_gone += other.tombstones_gone;
        self.retained += other.retained;
        self.kills += other.kills;
        self.closes += other.closes;
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Retention and compaction look at every whole second.
fn open(dir: &Path, clock: &MockClock, history: &History) -> Broker {
    Broker::builder()
        .dir(dir)
        .clock(clock)
        .mmap(false)
        .set("log.cleaner.backoff.ms", "1000")
        .set("log.initial.task.delay.ms", "0")
        .set("log.retention.check.interval.ms", "1000")
        .set("producer.id.expiration.ms", "2147483647")
        .set("log.cleaner.dedupe.buffer.size", history.map.0.to_string())
        .open()
        .unwrap()
}

fn config(history: &History) -> Vec<(&'static str, String)> {
    let optional = |value: Option<u64>| value.map_or("-1".to_owned(), |v| v.to_string());
    let max_lag = history.max_lag.unwrap_or(i64::MAX);
    vec![
        ("cleanup.policy", if history.is_deleted { "compact,delete" } else { "compact" }.into()),
        ("segment.bytes", history.segment_bytes.to_string()),
        ("index.interval.bytes", history.index_interval.to_string()),
        ("retention.ms", "-1".to_owned()),
        ("retention.bytes", optional(history.retention_bytes)),
        ("min.compaction.lag.ms", history.min_lag.to_string()),
        ("max.compaction.lag.ms", max_lag.to_string()),
        ("min.cleanable.dirty.ratio", "1".to_owned()),
    ]
}

type Template = Vec<(PathBuf, Vec<u8>)>;

thread_local! {
    /// Directories of ours without records, by what their topic is like.
    static TEMPLATES: RefCell<HashMap<String, Template>> = RefCell::default();
}

/// The files of a directory of ours after a clean close, less what says that it was clean.
fn template(history: &History) -> Template {
    let config = config(history);
    TEMPLATES.with_borrow_mut(|templates| {
        let make = || {
            let dir = memory_dir();
            let broker = Broker::open(dir.path()).unwrap();
            let topic = NewTopic::new("t");
            let topic = config.iter().fold(topic, |topic, (key, value)| topic.set(*key, value));
            broker.create_topic(topic).unwrap();
            broker.close().unwrap();
            let files = snapshot(dir.path()).into_iter().filter_map(|(path, bytes)| {
                let path = path.strip_prefix(dir.path()).unwrap().to_owned();
                let clean = [".kafka_cleanshutdown", "logreel.manifest"];
                (!clean.iter().any(|name| path.ends_with(name))).then_some((path, bytes))
            });
            files.collect()
        };
        templates.entry(format!("{config:?}")).or_insert_with(make).clone()
    })
}

struct Run<'a> {
    history: &'a History,
    dir: tempfile::TempDir,
    clock: MockClock,
    /// Dropped in this order.
    producer: Option<Producer>,
    log: Option<Partition>,
    broker: Option<Broker>,
    model: Model,
    settings: Settings,
    changes: u64,
    counts: &'a mut Counts,
}

pub(super) fn run(history: &History, counts: &mut Counts) {
    let dir = memory_dir();
    let made = make(history);
    if !history.adopted {
        for (path, bytes) in template(history) {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let point = format!("0\n1\nt 0 {}\n", made.end);
        std::fs::write(dir.path().join("recovery-point-offset-checkpoint"), point).unwrap();
    }
    std::fs::create_dir_all(dir.path().join("t-0")).unwrap();
    for (base, bytes) in &made.segments {
        std::fs::write(name(dir.path(), *base, "log"), bytes).unwrap();
    }
    let clock = MockClock::at_millis(made.now);
    let settings = Settings {
        is_deleted: history.is_deleted,
        segment_bytes: history.segment_bytes,
        retention_bytes: history.retention_bytes,
        map_entries: history.map.1,
        delete_retention: 86_400_000,
        ratio: 1.0,
        min_lag: history.min_lag,
        max_lag: history.max_lag,
    };
    let mut run = Run {
        history,
        dir,
        clock,
        producer: None,
        log: None,
        broker: None,
        model: Model::default(),
        settings,
        changes: 0,
        counts,
    };
    run.open(false);
    if history.adopted {
        let topic = run.broker.as_ref().unwrap().topic("t").unwrap();
        let set = |(key, value): &(&'static str, String)| ConfigChange::set(*key, value);
        topic.alter_config(config(history).iter().map(set)).unwrap();
    }
    for step in &history.steps {
        run.step(step);
    }
    run.check_views();
    run.close();
    run.check_files();
}

impl Run<'_> {
    fn log(&self) -> &Partition {
        self.log.as_ref().unwrap()
    }

    fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }

    fn open(&mut self, clean: bool) {
        let producers = self.producers_after_open(clean);
        let broker = open(self.dir.path(), &self.clock, self.history);
        assert_eq!(broker.recovery_report().damaged().count(), 0);
        assert!(broker.recovery_report().partitions[0].truncated.is_none());
        self.log = Some(broker.topic("t").unwrap().partition(0).unwrap());
        self.broker = Some(broker);
        self.model.producers = Producers::new();
        self.model.untouched = if self.history.adopted { self.model.start } else { 0 };
        self.take_in_files();
        self.model.producers = producers;
        self.take_in();
    }

    /// What producers are known by after an open: the newest snapshot, and what came since.
    fn producers_after_open(&self, clean: bool) -> Producers {
        let found: Vec<Seg> = segments(self.dir.path())
            .into_iter()
            .map(|(base, bytes)| Seg::parse(base, bytes))
            .collect();
        let upto = if clean {
            i64::MAX
        } else {
            let points = self.dir.path().join("recovery-point-offset-checkpoint");
            let points = std::fs::read_to_string(points).unwrap_or_default();
            let point = points.lines().nth(2).and_then(|line| line.split(' ').nth(2));
            let point: i64 = point.map_or(0, |offset| offset.parse().unwrap());
            let bases = found.iter().map(|seg| seg.base);
            bases.clone().filter(|base| *base <= point).max().or(bases.min()).unwrap_or(0)
        };
        let mut newest: Option<i64> = None;
        for entry in std::fs::read_dir(self.dir.path().join("t-0")).unwrap() {
            let file = entry.unwrap().file_name().to_string_lossy().into_owned();
            if let Some(offset) = file.strip_suffix(".snapshot") {
                let offset: i64 = offset.parse().unwrap();
                if offset > self.model.start && offset <= upto {
                    newest = newest.max(Some(offset));
                }
            }
        }
        let mut producers = Producers::new();
        if let Some(offset) = newest {
            let bytes = std::fs::read(name(self.dir.path(), offset, "snapshot")).unwrap();
            for entry in ProducerSnapshotEntry::read_all(&bytes).unwrap() {
                let known = Known {
                    epoch: entry.epoch,
                    last: entry.last_offset,
                    open: entry.txn_first_offset,
                };
                producers.insert(entry.producer_id, known);
            }
        }
        let from = newest.unwrap_or(if clean { self.model.start } else { 0 });
        for batch in found.iter().flat_map(|seg| &seg.batches) {
            // Without a snapshot a walk begins with the batch that holds the offset.
            if batch.is.base >= from || (newest.is_none() && batch.is.last >= from) {
                note(&mut producers, &batch.is);
            }
        }
        producers
    }

    /// What was appended since, as it stands in the files; nothing else has changed.
    fn take_in(&mut self) {
        self.take_in_files();
        assert_eq!(self.log().log_start_offset(), self.model.start);
        assert_eq!(self.log().log_end_offset(), self.model.end());
        assert_eq!(self.log().last_stable_offset(), self.model.last_stable());
    }

    fn take_in_files(&mut self) {
        let found = segments(self.dir.path());
        let known = self.model.segs.len();
        assert!(found.len() >= known, "{found:?}");
        for (index, (base, bytes)) in found.into_iter().enumerate() {
            let new = match self.model.segs.get_mut(index) {
                Some(seg) => {
                    assert_eq!(seg.base, base);
                    let old = seg.bytes();
                    assert!(bytes.starts_with(&old), "segment {base} changed");
                    assert!(bytes.len() == old.len() || index + 1 == known, "{base} is sealed");
                    let new = Seg::parse(base, bytes.slice(old.len()..)).batches;
                    seg.batches.extend(new.clone());
                    new
                }
                None => {
                    let seg = Seg::parse(base, bytes);
                    self.model.segs.push(seg.clone());
                    seg.batches
                }
            };
            for batch in new {
                note(&mut self.model.producers, &batch.is);
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(rows) => self.append(rows),
            Step::Send(row) => self.send(row),
            Step::Jump(by) => self.clock.set_wall_millis(self.clock.wall_millis() + by),
            Step::Pass { ratio, delete_retention } => self.pass(ratio, *delete_retention),
            Step::Close => {
                self.counts.closes += 1;
                self.take_in();
                self.close();
                self.model.remove_below_start();
                self.open(true);
            }
            Step::Kill => {
                self.counts.kills += 1;
                self.take_in();
                let copy = memory_dir();
                copy_dir(self.dir.path(), copy.path());
                self.close();
                self.dir = copy;
                self.check_files();
                self.open(false);
            }
            Step::Delete(thousandths) => {
                let (start, end) = (self.log().log_start_offset(), self.log().log_end_offset());
                let before = start + (end - start) * thousandths / 1000;
                assert_eq!(self.log().delete_records(before).unwrap(), before);
                self.model.start = before;
            }
        }
    }

    fn close(&mut self) {
        self.producer = None;
        self.log = None;
        self.broker.take().unwrap().close().unwrap();
    }

    fn check_files(&self) {
        let mut found = logreel::admin::verify(self.dir.path()).unwrap().findings;
        // Where a transaction begins that reaches below the log start is told in more than one way.
        let is_txn = |path: &Path| path.extension().is_some_and(|kind| kind == "txnindex");
        found.retain(|finding| self.model.start == 0 || !is_txn(&finding.path));
        assert!(found.is_empty(), "{found:?}");
    }

    fn append(&mut self, rows: &[Row]) {
        let (end, now) = (self.log().log_end_offset(), self.clock.wall_millis());
        let texts: Vec<_> = rows
            .iter()
            .zip(end..)
            .map(|(row, offset)| (key(row), value(row, offset), headers(row), now + row.time))
            .collect();
        let records = texts.iter().map(|(key, value, headers, time)| {
            let (key, value) = (key.as_ref(), value.as_ref());
            RawRecord::new(key.map(String::as_bytes), value.map(String::as_bytes))
                .timestamp(*time)
                .headers(headers)
        });
        let placed = self.log().append(records).unwrap();
        assert_eq!(placed.base_offset, end);
    }

    fn send(&mut self, row: &Row) {
        if self.producer.is_none() {
            self.producer = Some(self.broker().producer().build().unwrap());
        }
        let end = self.log().log_end_offset();
        let record = ProducerRecord::to("t").key(key(row).unwrap());
        let record = record.timestamp(self.clock.wall_millis() + row.time);
        let record = match value(row, end) {
            Some(value) => record.value(value),
            None => record,
        };
        let sent = self.producer.as_ref().unwrap().send(record).wait().unwrap();
        assert_eq!(sent.offset(), Some(end));
        assert_eq!(self.log().log_end_offset(), end + 1);
    }

    fn pass(&mut self, ratio: &str, delete_retention: i64) {
        self.take_in();
        let before = self.model.clone();
        let views = before.views();
        self.changes += 1;
        let limit = (1_000_000 + self.changes).to_string();
        let changes = [
            ConfigChange::set("min.cleanable.dirty.ratio", ratio),
            ConfigChange::set("delete.retention.ms", delete_retention.to_string()),
            ConfigChange::set("max.message.bytes", limit),
        ];
        self.broker().topic("t").unwrap().alter_config(changes).unwrap();
        self.settings.ratio = ratio.parse().unwrap();
        self.settings.delete_retention = delete_retention;
        self.clock.advance(SECOND);
        let now = self.clock.wall_millis();
        self.model.retain(&self.settings);
        self.counts.retained += u64::from(self.model.start > before.start);
        let passes = self.model.clean_while_due(&self.settings, now) as u64;
        self.counts.passes += passes;
        self.counts.rounds += passes.saturating_sub(1);

        assert!(self.log().uncleanable().is_none(), "{:?}", self.log().uncleanable());
        let found = segments(self.dir.path());
        let is = |base: i64, bytes: &Bytes| Seg::parse(base, bytes.clone());
        let same = found.len() == self.model.segs.len()
            && found
                .iter()
                .zip(&self.model.segs)
                .all(|((base, bytes), seg)| *base == seg.base && **bytes == *seg.bytes());
        if !same {
            let found: Vec<Seg> = found.iter().map(|(base, bytes)| is(*base, bytes)).collect();
            panic!(
                "at {now}, clean up to {:?}\nbefore {:#?}\nfound {found:#?}\nwanted {:#?}",
                self.model.first_dirty, before.segs, self.model.segs
            );
        }
        self.count(&before);
        self.check_promises(&before, &views);
        self.check_views();
    }

    fn count(&mut self, before: &Model) {
        let (old, new) = (before.all(), self.model.all());
        let size = |model: &Model| model.segs.iter().map(Seg::size).sum::<u64>();
        self.counts.changed += u64::from(size(before) != size(&self.model));
        self.counts.merged += u64::from(before.segs.len() > self.model.segs.len());
        let hollow = |all: &[std::rc::Rc<super::files::Batch>]| {
            all.iter().filter(|batch| batch.is.records.is_empty()).count() as u64
        };
        self.counts.hollow += hollow(&new).saturating_sub(hollow(&old));
        let horizons = |all: &[std::rc::Rc<super::files::Batch>]| {
            all.iter().filter(|batch| batch.is.horizon.is_some()).count() as u64
        };
        self.counts.horizons += horizons(&new).saturating_sub(horizons(&old));
        let markers = |all: &[std::rc::Rc<super::files::Batch>]| {
            all.iter().filter(|b| matches!(b.is.kind, Kind::Commit | Kind::Abort)).count() as u64
        };
        self.counts.markers_gone += markers(&old).saturating_sub(markers(&new));
        let due = |all: &[std::rc::Rc<super::files::Batch>]| {
            let due = all.iter().filter(|batch| batch.is.horizon.is_some());
            due.flat_map(|b| &b.is.records).filter(|r| r.value.is_none()).count() as u64
        };
        self.counts.tombstones_gone += due(&old).saturating_sub(due(&new));
    }

    /// What must be true however the rules are read.
    fn check_promises(&self, before: &Model, old: &[View; 2]) {
        assert_eq!(self.model.end(), before.end());
        let new = self.model.views();
        for (old, new) in old.iter().zip(&new) {
            let mut rest = old.iter();
            assert!(new.iter().all(|row| rest.any(|old| old == row)), "{old:?} became {new:?}");
        }
        // Of the records that are committed the last of each key is there, unless it is a tombstone
        // or lies below the log start.
        let mut last: HashMap<&[u8], &rules::Row> = HashMap::new();
        for row in &old[1] {
            if let (_, Some(key), _) = row {
                last.insert(key, row);
            }
        }
        for row in last.into_values().filter(|row| row.2.is_some() && row.0 >= self.model.start) {
            assert!(new[1].contains(row), "{row:?} is gone");
        }
    }

    /// Readers see what the model says.
    fn check_views(&mut self) {
        self.take_in();
        let levels = [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted];
        for (wanted, level) in self.model.views().into_iter().zip(levels) {
            let consumer = self.broker().consumer().isolation_level(level);
            let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
            consumer.assign([("t", 0)]).unwrap();
            let mut found = View::new();
            loop {
                let records = consumer.poll(Duration::ZERO).unwrap();
                if records.is_empty() {
                    break;
                }
                for record in &records {
                    let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                    found.push((record.offset(), own(record.key()), own(record.value())));
                }
            }
            assert_eq!(found, wanted, "{level:?}");
        }
    }
}
