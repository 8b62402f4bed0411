//! Kafka's rules of retention and compaction, applied to lists in memory as naively as they read.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use bytes::Bytes;
use logreel::record::{BatchBuilder, Compression, SealedBatch};

use super::files::{Batch, Fields, Kind, Rec, Seg};

/// What the configuration says.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) is_deleted: bool,
    pub(super) segment_bytes: u64,
    pub(super) retention_bytes: Option<u64>,
    /// How many keys the map takes before it is full.
    pub(super) map_entries: usize,
    pub(super) delete_retention: i64,
    pub(super) ratio: f64,
    pub(super) min_lag: i64,
    pub(super) max_lag: Option<i64>,
}

/// What is known of a producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) epoch: i16,
    /// The last offset of its last data batch.
    pub(super) last: Option<i64>,
    /// Where its open transaction began.
    pub(super) open: Option<i64>,
}

pub(super) type Producers = BTreeMap<i64, Known>;

pub(super) fn note(producers: &mut Producers, batch: &Fields) {
    let (Some(id), Some(epoch)) = (batch.id, batch.epoch) else { return };
    if batch.kind == Kind::HollowMarker {
        return;
    }
    let known = producers.entry(id).or_default();
    if known.epoch != epoch {
        known.epoch = epoch;
        known.last = None;
    }
    if batch.kind != Kind::Data {
        known.open = None;
        return;
    }
    known.last = Some(batch.last);
    if batch.transactional && known.open.is_none() {
        known.open = Some(batch.base);
    }
}

/// One partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) segs: Vec<Seg>,
    pub(super) start: i64,
    /// What lies below it was there before the open, and is left alone: Kafka wrote the log.
    pub(super) untouched: i64,
    pub(super) first_dirty: Option<i64>,
    pub(super) producers: Producers,
}

/// What a reader sees: offset, key, value.
pub(super) type Row = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

pub(super) type View = Vec<Row>;

/// What is true of a batch by those around it.
struct Around {
    aborted: bool,
    /// A marker whose transaction has no data batch any more.
    bare: bool,
}

fn around(all: &[Rc<Batch>], at: usize) -> Around {
    let me = &all[at].is;
    let ends = |batch: &&Rc<Batch>| {
        batch.is.id == me.id && matches!(batch.is.kind, Kind::Abort | Kind::Commit)
    };
    if me.kind == Kind::Data {
        let end = all[at + 1..].iter().find(ends).map(|batch| batch.is.kind);
        return Around { aborted: me.transactional && end == Some(Kind::Abort), bare: false };
    }
    let data =
        all[..at].iter().rev().take_while(|batch| !ends(batch)).any(|batch| {
            batch.is.id == me.id && batch.is.kind == Kind::Data && batch.is.transactional
        });
    Around { aborted: false, bare: !data }
}

impl Model {
    pub(super) fn all(&self) -> Vec<Rc<Batch>> {
        self.segs.iter().flat_map(|seg| seg.batches.iter().cloned()).collect()
    }

    pub(super) fn end(&self) -> i64 {
        let last = self.segs.last().unwrap();
        last.batches.last().map_or(last.base, |batch| batch.is.last + 1)
    }

    pub(super) fn last_stable(&self) -> i64 {
        let open = self.producers.values().filter_map(|known| known.open).min();
        open.unwrap_or(self.end()).max(self.start)
    }

    pub(super) fn views(&self) -> [View; 2] {
        let all = self.all();
        let stable = self.last_stable();
        let (mut every, mut committed) = (View::new(), View::new());
        for (at, batch) in all.iter().enumerate().filter(|(_, b)| b.is.kind == Kind::Data) {
            let aborted = around(&all, at).aborted;
            for record in batch.is.records.iter().filter(|record| record.offset >= self.start) {
                let row = (record.offset, record.key.clone(), record.value.clone());
                if !aborted && record.offset < stable {
                    committed.push(row.clone());
                }
                every.push(row);
            }
        }
        [every, committed]
    }

    pub(super) fn retain(&mut self, settings: &Settings) {
        if settings.is_deleted
            && let Some(limit) = settings.retention_bytes
        {
            let sizes: Vec<u64> = self
                .segs
                .iter()
                .enumerate()
                .filter(|(i, _)| self.segs.get(i + 1).is_none_or(|next| next.base > self.start))
                .map(|(_, seg)| seg.size())
                .collect();
            let skipped = self.segs.len() - sizes.len();
            let total: u64 = sizes.iter().sum();
            let mut gone = 0;
            if total >= limit {
                let mut over = total - limit;
                while gone < sizes.len() && sizes[gone] <= over {
                    over -= sizes[gone];
                    gone += 1;
                }
            }
            assert!(skipped + gone < self.segs.len());
            self.start = self.start.max(self.segs[skipped + gone].base);
        }
        self.remove_below_start();
    }

    /// What a check of retention does last, and a close.
    pub(super) fn remove_below_start(&mut self) {
        while self.start > self.untouched && self.segs.len() > 1 && self.segs[1].base <= self.start
        {
            self.segs.remove(0);
        }
    }

    /// Everything a look for dirty logs does; says how many passes there were.
    pub(super) fn clean_while_due(&mut self, settings: &Settings, now: i64) -> usize {
        let mut passes = 0;
        while let Some((first_dirty, until)) = self.due(settings, now) {
            let end = self.pass(settings, first_dirty, until, now);
            self.first_dirty = Some(end);
            passes += 1;
            if end <= first_dirty {
                break;
            }
        }
        passes
    }

    /// The dirty range that is to be cleaned now.
    fn due(&self, settings: &Settings, now: i64) -> Option<(i64, i64)> {
        let (start, end) = (self.start, self.end());
        let first = self.first_dirty.filter(|at| *at >= start && *at <= end).unwrap_or(start);
        let (active, sealed) = self.segs.split_last().unwrap();
        let reaches = |index: usize, offset: i64| {
            self.segs.get(index + 1).is_none_or(|next| next.base > offset)
        };
        let dirty: Vec<&Seg> = sealed
            .iter()
            .enumerate()
            .filter(|(index, _)| reaches(*index, first))
            .map(|(_, seg)| seg)
            .collect();
        let mut limit = active.base.min(self.last_stable());
        if settings.min_lag > 0 {
            let newest = |seg: &Seg| seg.batches.iter().map(|batch| batch.is.max_time).max();
            let young = dirty
                .iter()
                .find(|seg| newest(seg).is_some_and(|newest| newest > now - settings.min_lag));
            limit = limit.min(young.map_or(i64::MAX, |seg| seg.base));
        }
        // Down to the beginning of the segment that it lies in.
        let until = self.segs.iter().map(|s| s.base).filter(|base| *base <= limit).max();
        let until = until.unwrap_or(self.segs[0].base);
        let clean: u64 = sealed.iter().filter(|seg| seg.base < first).map(Seg::size).sum();
        let cleanable: u64 = dirty.iter().filter(|s| s.base < until).map(|s| s.size()).sum();
        if cleanable == 0 {
            return None;
        }
        let ratio = cleanable as f64 / (clean + cleanable) as f64;
        let firsts = dirty.iter().filter_map(|seg| seg.batches.first());
        let earliest = firsts.map(|batch| batch.is.max_time).filter(|time| *time > 0).min();
        let late = settings.max_lag.zip(earliest).is_some_and(|(lag, at)| now - at > lag);
        (ratio > settings.ratio || late).then_some((first, until))
    }

    fn pass(&mut self, settings: &Settings, first_dirty: i64, until: i64, now: i64) -> i64 {
        let all = self.all();
        let mut last: HashMap<&[u8], i64> = HashMap::new();
        let mut end = first_dirty;
        let mut at = 0;
        'read: for (index, seg) in self.segs.iter().enumerate() {
            for batch in &seg.batches {
                let here = at;
                at += 1;
                if batch.is.last < first_dirty || seg.base >= until {
                    continue;
                }
                if last.len() >= settings.map_entries {
                    break 'read;
                }
                if batch.is.kind == Kind::Data && !around(&all, here).aborted {
                    for record in batch.is.records.iter().filter(|r| r.offset >= first_dirty) {
                        if let Some(key) = &record.key {
                            last.insert(key, record.offset);
                        }
                    }
                }
                end = end.max(batch.is.last + 1);
            }
            if seg.base < until
                && let Some(next) = self.segs.get(index + 1)
                && next.base > first_dirty
            {
                end = end.max(next.base);
            }
        }
        if end <= first_dirty {
            return end;
        }
        let count = self.segs.iter().filter(|seg| seg.base < end).count();
        // Ours: no gap in front of the first segment that is left alone.
        let ends = [end, self.segs.get(count).map_or(end, |next| next.base)];
        let mut groups: Vec<(u64, Seg)> = Vec::new();
        let mut at = 0;
        for seg in &self.segs[..count] {
            let joins =
                groups.last().is_some_and(|(size, _)| size + seg.size() <= settings.segment_bytes);
            if !joins {
                groups.push((0, Seg { base: seg.base, batches: Vec::new() }));
            }
            let (size, group) = groups.last_mut().unwrap();
            *size += seg.size();
            for batch in &seg.batches {
                let left = self.left(batch, &around(&all, at), &last, ends, settings, now);
                group.batches.extend(left);
                at += 1;
            }
        }
        let new = groups.into_iter().map(|(_, seg)| seg);
        self.segs.splice(..count, new);
        end
    }

    /// What is left of a batch.
    fn left(
        &self,
        batch: &Rc<Batch>,
        around: &Around,
        last: &HashMap<&[u8], i64>,
        ends: [i64; 2],
        settings: &Settings,
        now: i64,
    ) -> Option<Rc<Batch>> {
        let is = &batch.is;
        let due = is.horizon.is_some_and(|horizon| now >= horizon);
        let discards = if is.kind == Kind::Data { around.aborted } else { around.bare && due };
        let stays = |record: &&Rec| {
            if discards {
                return false;
            }
            if is.kind != Kind::Data || record.offset >= ends[0] {
                return true;
            }
            let Some(key) = record.key.as_deref() else { return false };
            last.get(key).is_none_or(|newest| record.offset >= *newest)
                && (record.value.is_some() || !due)
        };
        let records: Vec<Rec> = is.records.iter().filter(stays).cloned().collect();
        if records.is_empty() {
            let known = is.id.and_then(|id| self.producers.get(&id));
            let remembers = known.is_some_and(|known| match known.last {
                Some(offset) => offset == is.last,
                None => is.kind != Kind::Data && Some(known.epoch) == is.epoch,
            });
            let kind = if is.kind == Kind::Data { Kind::Data } else { Kind::HollowMarker };
            let hollow = Fields {
                codec: Compression::None,
                kind,
                horizon: None,
                base_time: -1,
                records,
                ..is.clone()
            };
            return (remembers || ends.contains(&(is.last + 1))).then(|| encode(batch, hollow));
        }
        let tombstone = records.iter().any(|record| record.value.is_none());
        let waits = (tombstone || around.bare) && is.horizon.is_none();
        if records.len() == is.records.len() && !waits {
            return Some(Rc::clone(batch));
        }
        let horizon = if waits { Some(now + settings.delete_retention) } else { is.horizon };
        let newest = records.iter().filter_map(|record| record.time).max().unwrap_or(-1);
        let rewritten = Fields {
            horizon,
            base_time: horizon.unwrap_or_else(|| records[0].time.unwrap_or(-1)),
            max_time: if is.append_time { is.max_time } else { newest },
            records,
            ..is.clone()
        };
        Some(encode(batch, rewritten))
    }
}

/// The bytes of a batch that takes the place of another; they say what is wanted.
fn encode(old: &Batch, wanted: Fields) -> Rc<Batch> {
    let header = old.parsed.header();
    let sealed = if wanted.records.is_empty() {
        SealedBatch::hollow(header)
    } else {
        let mut builder = BatchBuilder::replacing(header, wanted.horizon);
        for record in &old.parsed.records().unwrap() {
            if wanted.records.iter().any(|wanted| wanted.offset == record.offset()) {
                builder.copy(&record).unwrap();
            }
        }
        builder.seal().unwrap()
    };
    let new = Batch::parse(Bytes::from(sealed.into_bytes()));
    assert_eq!(new.is, wanted, "the record layer makes something else of {old:?}");
    Rc::new(new)
}
