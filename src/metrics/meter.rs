//! What each log counts for itself: counters of its own cost less than ones that all logs share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Of so many appends or reads of a log one is timed: looking at the clock costs more than the rest
/// of the counting.
const TIMED_EVERY: u64 = 16;

/// The counters of one log, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Meter {
    appends: AtomicU64,
    batches_in: AtomicU64,
    records_in: AtomicU64,
    bytes_in: AtomicU64,
    fetches: AtomicU64,
    bytes_out: AtomicU64,
}

/// What meters have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) appends: u64,
    pub(crate) batches_in: u64,
    pub(crate) records_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) fetches: u64,
    pub(crate) bytes_out: u64,
}

impl Meter {
    /// Whether the next append is one to be timed.
    pub(crate) fn times_append(&self) -> bool {
        self.appends.load(Ordering::Relaxed).is_multiple_of(TIMED_EVERY)
    }

    /// Whether the next read that brings something is one to be timed.
    pub(crate) fn times_fetch(&self) -> bool {
        self.fetches.load(Ordering::Relaxed).is_multiple_of(TIMED_EVERY)
    }

    /// An append begins. Only the holder of the append lock counts, so that nothing is added to in
    /// between.
    pub(crate) fn appends(&self) {
        add_alone(&self.appends, 1);
    }

    /// Something was written, by the holder of the append lock.
    pub(crate) fn wrote(&self, batches: u64, records: u64, bytes: u64) {
        add_alone(&self.batches_in, batches);
        add_alone(&self.records_in, records);
        add_alone(&self.bytes_in, bytes);
    }

    /// A read brought something.
    pub(crate) fn fetched(&self, bytes: u64) {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    fn add_to(&self, totals: &mut Totals) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        totals.appends += get(&self.appends);
        totals.batches_in += get(&self.batches_in);
        totals.records_in += get(&self.records_in);
        totals.bytes_in += get(&self.bytes_in);
        totals.fetches += get(&self.fetches);
        totals.bytes_out += get(&self.bytes_out);
    }
}

fn add_alone(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// The meters of all logs, those that are gone included: a sum never goes back.
#[derive(Debug, Default)]
pub(crate) struct Meters(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    live: Vec<Arc<Meter>>,
    /// What the others had come to.
    gone: Totals,
    /// How many there may be before those of logs that are gone are looked for.
    limit: usize,
}

impl Meters {
    /// The meter of a new log.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        let meter = Arc::new(Meter::default());
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.live.len() >= list.limit {
            list.sweep();
            list.limit = (list.live.len() * 2).max(64);
        }
        list.live.push(Arc::clone(&meter));
        meter
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.sweep();
        let mut totals = list.gone;
        list.live.iter().for_each(|meter| meter.add_to(&mut totals));
        totals
    }
}

impl List {
    fn sweep(&mut self) {
        let gone = &mut self.gone;
        self.live.retain(|meter| {
            let is_live = Arc::strong_count(meter) > 1;
            if !is_live {
                meter.add_to(gone);
            }
            is_live
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logs_counted_stays_when_they_go() {
        let meters = Meters::default();
        let (first, second) = (meters.meter(), meters.meter());
        first.appends();
        first.wrote(2, 20, 200);
        second.fetched(7);
        let wanted = Totals {
            appends: 1,
            batches_in: 2,
            records_in: 20,
            bytes_in: 200,
            fetches: 1,
            bytes_out: 7,
        };
        assert_eq!(meters.totals(), wanted);
        drop((first, second));
        assert_eq!(meters.totals(), wanted);
        for _ in 0..1000 {
            meters.meter().wrote(1, 1, 1);
        }
        assert!(meters.0.lock().unwrap().live.len() <= 64, "those of dead logs go");
        assert_eq!(meters.totals().records_in, 1020);
    }

    #[test]
    fn the_first_append_and_every_sixteenth_are_timed() {
        let meter = Meter::default();
        let timed = |_: &u64| {
            let timed = meter.times_append();
            meter.appends();
            timed
        };
        let timed: Vec<u64> = (0..40).filter(timed).collect();
        assert_eq!(timed, [0, 16, 32]);
    }
}
