//! What all partitions of a broker share: where files live, what time it is, and common limits.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::producers::ProducerStates;
use super::trash::Trash;
use crate::faults::Faults;
use crate::metrics::{Counters, count};
use crate::random::Random;
use crate::storage::{FilePath, Open, Storage};
use crate::time::Clock;
use crate::types::TopicPartition;

/// How many segments are mapped at a time. Linux allows 65 530 maps a process by default;
/// a broker takes a small part of them.
const MAPS_MAX: usize = 4096;

/// What the partitions of a broker share.
#[derive(Debug)]
pub(crate) struct LogContext {
    pub(crate) storage: Storage,
    pub(crate) clock: Clock,
    /// What tests have go wrong.
    pub(crate) faults: Faults,
    pub(crate) random: Random,
    pub(crate) counters: Counters,
    pub(crate) maps: Maps,
    /// Whether segments are read through maps.
    pub(crate) mmap: bool,
    /// Kafka's `producer.id.expiration.ms`: producers silent for longer are forgotten.
    pub(crate) producer_expiration_ms: i64,
    /// The highest producer id met in a log; -1 before the first.
    pub(crate) highest_producer_id: AtomicI64,
    /// Asks for a sync that nobody waits for.
    pub(crate) attention: Attention,
    /// Files that wait to be removed.
    pub(crate) trash: Trash,
}

impl LogContext {
    /// Producers whose last record is older than this are forgotten.
    pub(crate) fn producers_expire_before(&self) -> i64 {
        self.clock.wall_millis().saturating_sub(self.producer_expiration_ms)
    }

    /// Takes note of the producers of a log that was loaded.
    pub(crate) fn saw_producers(&self, producers: &ProducerStates) {
        if let Some(id) = producers.highest_id() {
            self.highest_producer_id.fetch_max(id, Ordering::AcqRel);
        }
    }

    /// Writes a file that can be rebuilt: failing costs a rebuild, nothing else. Half a file would
    /// be taken for a whole one by Kafka, so it goes. Says whether it was written.
    pub(crate) fn write_derived(&self, path: &FilePath, bytes: &[u8]) -> bool {
        let written = self
            .storage
            .remove_if_exists(path)
            .and_then(|_| self.storage.open(path, Open::CreateNew))
            .and_then(|file| file.write_all_at(0, bytes));
        if written.is_err() {
            count(self.counters.derived_files_failed());
            let _ = self.storage.remove_if_exists(path);
        }
        written.is_ok()
    }
}

/// Something that holds a map it can let go of.
pub(crate) trait Unmap: Send + Sync {
    fn unmap(&self);
}

/// The maps that are held, oldest first; the oldest goes when there are too many.
pub(crate) struct Maps {
    held: Mutex<VecDeque<Weak<dyn Unmap>>>,
    limit: usize,
}

impl Default for Maps {
    fn default() -> Self {
        Self::new(MAPS_MAX)
    }
}

impl Maps {
    pub(crate) fn new(limit: usize) -> Self {
        Self { held: Mutex::default(), limit }
    }

    /// Takes note of a map. The caller holds no lock of a segment: the oldest map may be its own.
    pub(crate) fn add<T: Unmap + 'static>(&self, holder: &Arc<T>) {
        let oldest = {
            let mut held = self.held.lock();
            held.push_back(Arc::downgrade(holder) as Weak<dyn Unmap>);
            if held.len() > self.limit { held.pop_front() } else { None }
        };
        if let Some(holder) = oldest.and_then(|holder| holder.upgrade()) {
            holder.unmap();
        }
    }
}

impl fmt::Debug for Maps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Maps({})", self.held.lock().len())
    }
}

/// How a log asks for what nobody waits for. Set once by the broker.
#[derive(Default)]
pub(crate) struct Attention {
    ask: std::sync::OnceLock<Ask>,
    /// A recovery point moved, and storing it is planned.
    checkpoint_planned: AtomicBool,
    /// Something was appended since retention was last checked, and the next check is planned.
    check_planned: AtomicBool,
}

/// What a log asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    /// Sync this partition when the monotonic clock shows this.
    Sync(&'a TopicPartition, Duration),
    /// A recovery point moved: store it at the usual time.
    Synced,
    /// A segment was sealed: store the recovery point soon; the log may be cleaned now, if it is
    /// one that is compacted.
    Rolled { is_compacted: bool },
    /// There is something new that will expire.
    Grew,
}

type Ask = Box<dyn Fn(Request<'_>) + Send + Sync>;

impl Attention {
    pub(crate) fn set(&self, ask: Ask) {
        // Only the broker that made the context sets it, once.
        let _ = self.ask.set(ask);
    }

    pub(crate) fn ask(&self, tp: &TopicPartition, due: Duration) {
        if let Some(ask) = self.ask.get() {
            ask(Request::Sync(tp, due));
        }
    }

    /// A segment was rolled: the recovery point will move past it.
    pub(crate) fn rolled(&self, is_compacted: bool) {
        if let Some(ask) = self.ask.get() {
            ask(Request::Rolled { is_compacted });
        }
    }

    /// Something was appended. Costs a load while the next check is planned.
    pub(crate) fn grew(&self) {
        if !self.check_planned.load(Ordering::Relaxed)
            && !self.check_planned.swap(true, Ordering::AcqRel)
            && let Some(ask) = self.ask.get()
        {
            ask(Request::Grew);
        }
    }

    /// Retention is about to be checked: what is appended from now on plans the next check.
    pub(crate) fn check_begins(&self) {
        self.check_planned.store(false, Ordering::Release);
    }

    /// A recovery point moved: the first since the last checkpoint plans the next.
    pub(crate) fn recovery_point_moved(&self) {
        if !self.checkpoint_planned.swap(true, Ordering::AcqRel)
            && let Some(ask) = self.ask.get()
        {
            ask(Request::Synced);
        }
    }

    /// The recovery points are about to be stored.
    pub(crate) fn checkpoint_begins(&self) {
        self.checkpoint_planned.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attention")
    }
}

#[cfg(test)]
impl LogContext {
    /// One with a clock of its own, which maps.
    pub(crate) fn for_tests(storage: Storage, maps: Maps) -> Arc<Self> {
        Arc::new(Self {
            storage,
            clock: Clock::system(),
            faults: Faults::default(),
            random: Random::seeded(1),
            counters: Counters::default(),
            maps,
            mmap: true,
            highest_producer_id: AtomicI64::new(-1),
            producer_expiration_ms: 86_400_000,
            attention: Attention::default(),
            trash: Trash::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::SegmentFile;
    use super::super::scan::Demand;
    use super::super::segment::{Segment, Trust};
    use super::*;
    use crate::record::BatchBuilder;
    use crate::storage::FileName;

    /// Fails instead of hanging.
    fn must_end(body: impl FnOnce() + Send + 'static) {
        let (done, wait) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            body();
            let _ = done.send(());
        });
        let ended = wait.recv_timeout(Duration::from_secs(20)).is_ok() || thread.is_finished();
        assert!(ended, "it hangs");
        thread.join().unwrap();
    }

    /// Sealed segments of one batch each, on a disk that can map them.
    fn segments(count: i64, limit: usize) -> (tempfile::TempDir, Vec<Arc<Segment>>) {
        let home = tempfile::tempdir().unwrap();
        let context = LogContext::for_tests(Storage::disk(home.path()), Maps::new(limit));
        let dir = FileName::new("t-0").unwrap();
        context.storage.create_dir(&dir).unwrap();
        let demand = Demand { crc: true, continuous: true, epoch: None };
        let segment = |base| {
            let path = FilePath::within(&dir, SegmentFile::Log.name(base));
            let file = context.storage.open(&path, Open::CreateNew).unwrap();
            let mut batch = BatchBuilder::new();
            batch.append(Some(1), None, Some(b"x"), &[]).unwrap();
            let mut batch = batch.seal().unwrap();
            batch.assign(base, 0);
            file.write_all_at(0, batch.bytes()).unwrap();
            let size = batch.bytes().len() as u64;
            let file = (file, size);
            Arc::new(Segment::existing(&context, &dir, base, file, Trust::Never, 4096, demand))
        };
        let segments = (0..count).map(segment).collect();
        (home, segments)
    }

    /// A segment that took a map while it was locked waited for itself when the oldest map, the one
    /// to go, was its own, and for another that did the same with it.
    #[test]
    fn more_maps_than_may_be_held_lock_nobody_out() {
        for limit in [0, 1, 2] {
            must_end(move || {
                let (_home, segments) = segments(4, limit);
                std::thread::scope(|scope| {
                    for first in 0..3 {
                        let segments = &segments;
                        scope.spawn(move || {
                            for turn in 0..1000 {
                                let segment = &segments[(first + turn) % segments.len()];
                                let mut scanner = segment.scan(segment.start(), true).unwrap();
                                let scanned = scanner.next().unwrap().unwrap();
                                let base = scanned.batch.header().base_offset();
                                assert_eq!(base, segment.base_offset);
                            }
                        });
                    }
                });
                assert!(segments.iter().all(|segment| segment.is_sealed()));
            });
        }
    }
}
