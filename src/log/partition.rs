//! The log of one partition: its segments, its offsets, and what stops it.
//!
//! Locks, in order: `writer` (the append lock), then the leaves `halt` and those inside a segment.
//! Readers take only leaves, for the time of a clone. The log end is published after the bytes
//! below it are in the file, so a reader that sees an offset can read it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::ahead::Ahead;
use super::checkpoint::EpochEntry;
use super::config::TopicConfig;
use super::context::LogContext;
use super::producers::ProducerStates;
use super::provenance::Provenance;
use super::report::DamageReport;
use super::reserve::Reserve;
use super::segment::Segment;
use super::sync::GroupSync;
use crate::error::{Error, ErrorCode, Result};
use crate::metrics::{Meter, count};
use crate::storage::FileName;
use crate::trace::event;
use crate::types::{IsolationLevel, TopicPartition};
use crate::wait::{Quiet, WaitQueue};

/// Damage in the log below its recovery point: bytes that were durable and are not what they were.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    /// The first offset that cannot be read.
    pub(crate) offset: i64,
    pub(crate) path: PathBuf,
    pub(crate) position: u64,
    pub(crate) reason: String,
}

impl Damage {
    pub(crate) fn report(&self) -> DamageReport {
        DamageReport {
            offset: self.offset,
            path: self.path.clone(),
            position: self.position,
            reason: self.reason.clone(),
        }
    }

    pub(crate) fn error(&self, tp: &TopicPartition) -> Error {
        Error::kafka(
            ErrorCode::CorruptMessage,
            format!("the log is damaged at offset {}: {}", self.offset, self.reason),
        )
        .on(tp)
        .at(&self.path, Some(self.position))
    }
}

/// Why a log takes no more appends.
#[derive(Clone, Debug)]
pub(crate) enum Halt {
    /// A sync failed, or a failed write could not be cut back.
    Poisoned(Error),
    /// Damage was found when it was opened; what lies before is served.
    Damaged(Damage),
    /// The broker is closed.
    Closed,
    /// The topic was deleted.
    Deleted,
    /// The broker is read-only.
    ReadOnly,
}

/// What only the holder of the append lock touches.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Loaded at the first append after a clean open, which reads no more than it must.
    pub(crate) producers: Option<ProducerStates>,
    /// The epochs of the log; appends carry the last.
    pub(crate) epochs: Vec<EpochEntry>,
    /// Whether the epochs' file holds them.
    pub(crate) epochs_saved: bool,
    /// Whether the last segment is ready for appends.
    pub(crate) active: bool,
    /// The largest timestamp of the active segment's first batch, which time rolling counts from.
    pub(crate) first_timestamp: Option<i64>,
    /// When the active segment was made or opened, for segments without timestamps.
    pub(crate) active_since: i64,
    /// Drawn once per segment from `segment.jitter.ms`.
    pub(crate) jitter: i64,
    /// Zeros behind the log.
    pub(super) ahead: Ahead,
    /// Room behind the log.
    pub(super) reserve: Reserve,
    /// Records appended since the last sync that `flush.messages` asked for.
    pub(crate) unflushed: i64,
    /// In a log that is followed: the last batch that was taken in.
    pub(crate) followed: Option<Followed>,
    /// In a log that is followed: how many segments were opened.
    pub(crate) opened: u32,
    /// The offset of the newest producer snapshot on disk.
    pub(crate) snapshot_offset: Option<i64>,
}

/// A batch by which a reader recognises the file it followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Followed {
    pub(crate) segment: i64,
    pub(crate) position: u64,
    pub(crate) crc: u32,
}

/// The log of one partition.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) tp: TopicPartition,
    pub(crate) dir: FileName,
    pub(crate) context: Arc<LogContext>,
    pub(crate) meter: Arc<Meter>,
    config: RwLock<Arc<TopicConfig>>,
    pub(crate) writer: Mutex<Writer>,
    pub(super) segments: ArcSwap<Vec<Arc<Segment>>>,
    start: AtomicI64,
    /// Where the log began when it was opened, if others wrote it.
    untouched_start: i64,
    /// Log end offset; with one copy also the high watermark.
    end: AtomicI64,
    /// Last stable offset: the first offset of the oldest open transaction, else the end.
    stable: AtomicI64,
    pub(crate) sync: GroupSync,
    /// Readers that wait for the end to move.
    pub(crate) readers: WaitQueue,
    halt: RwLock<Option<Halt>>,
    /// Whether there is one.
    is_halted: AtomicBool,
    /// A sync was asked for because of `flush.ms`.
    pub(crate) flush_timer: AtomicBool,
    is_ours: bool,
    /// Segments that begin below it may have gaps.
    gaps_below: AtomicI64,
    /// Held, for longer than any other lock of a log, by whoever cleans or removes segments that
    /// are there, so that one does it at a time. Taken before the append lock.
    pub(crate) upkeep: Mutex<()>,
    /// What the checkpoints beside the partitions say, on the disk.
    stored_start: AtomicI64,
    stored_recovery_point: AtomicI64,
    /// Something happened since the open that the next clean close must write down.
    pub(crate) changed: AtomicBool,
}

/// What opening a partition's directory found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) stable: i64,
    pub(crate) recovery_point: i64,
    pub(crate) producers: Option<ProducerStates>,
    pub(crate) epochs: Vec<EpochEntry>,
    pub(crate) epochs_saved: bool,
    pub(crate) snapshot_offset: Option<i64>,
    pub(crate) halt: Option<Halt>,
    pub(crate) provenance: Provenance,
    pub(crate) stored: Stored,
}

/// What the checkpoints beside the partitions say of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) start: i64,
    pub(crate) recovery_point: i64,
}

impl Log {
    pub(crate) fn new(
        tp: TopicPartition,
        dir: FileName,
        context: Arc<LogContext>,
        config: Arc<TopicConfig>,
        opened: Opened,
    ) -> Self {
        let active_since = context.clock.wall_millis();
        Self {
            tp,
            dir,
            config: RwLock::new(config),
            writer: Mutex::new(Writer {
                producers: opened.producers,
                epochs: opened.epochs,
                epochs_saved: opened.epochs_saved,
                active: false,
                first_timestamp: None,
                active_since,
                jitter: 0,
                ahead: Ahead::default(),
                reserve: Reserve::default(),
                unflushed: 0,
                followed: None,
                opened: 0,
                snapshot_offset: opened.snapshot_offset,
            }),
            segments: ArcSwap::from_pointee(opened.segments),
            start: AtomicI64::new(opened.start),
            untouched_start: if opened.provenance.is_ours() { 0 } else { opened.start },
            end: AtomicI64::new(opened.end),
            stable: AtomicI64::new(opened.stable),
            sync: GroupSync::new(opened.recovery_point),
            readers: WaitQueue::new(),
            is_halted: AtomicBool::new(opened.halt.is_some()),
            halt: RwLock::new(opened.halt),
            flush_timer: AtomicBool::new(false),
            is_ours: opened.provenance.is_ours(),
            gaps_below: AtomicI64::new(match opened.provenance {
                Provenance::Here { gaps_below } => gaps_below,
                Provenance::Elsewhere => 0,
            }),
            upkeep: Mutex::new(()),
            stored_start: AtomicI64::new(opened.stored.start),
            stored_recovery_point: AtomicI64::new(opened.stored.recovery_point),
            changed: AtomicBool::new(false),
            meter: context.counters.meters().meter(),
            context,
        }
    }

    /// The first offset that can be read.
    pub(crate) fn start_offset(&self) -> i64 {
        self.start.load(Ordering::Acquire)
    }

    /// What lies below it was there before we came, and is left alone.
    pub(crate) fn untouched_start(&self) -> i64 {
        self.untouched_start
    }

    /// The offset of the next record.
    pub(crate) fn end_offset(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Where reading ends: with one copy, the high watermark is the log end.
    pub(crate) fn readable_end(&self, isolation: IsolationLevel) -> i64 {
        match isolation {
            IsolationLevel::ReadUncommitted => self.end_offset(),
            // A transaction that is open may lie below the log start by now.
            IsolationLevel::ReadCommitted => {
                self.stable.load(Ordering::Acquire).max(self.start_offset())
            }
        }
    }

    pub(crate) fn recovery_point(&self) -> i64 {
        self.sync.recovery_point()
    }

    /// Publishes a new end, after the bytes below it are in the file.
    pub(crate) fn publish(&self, end: i64, stable: i64) {
        self.stable.store(stable, Ordering::Release);
        self.end.store(end, Ordering::Release);
    }

    /// Moves the log start up; readers below it are out of range from now on.
    pub(crate) fn set_start(&self, offset: i64) {
        self.start.fetch_max(offset, Ordering::AcqRel);
    }

    /// Who wrote the log, and where it may have gaps.
    pub(crate) fn provenance(&self) -> Provenance {
        if !self.is_ours {
            return Provenance::Elsewhere;
        }
        Provenance::Here { gaps_below: self.gaps_below.load(Ordering::Acquire) }
    }

    /// From now on segments that begin below `offset` may have gaps.
    pub(crate) fn expect_gaps_below(&self, offset: i64) {
        self.gaps_below.fetch_max(offset, Ordering::AcqRel);
    }

    /// What the checkpoints beside the partitions say.
    pub(crate) fn stored(&self) -> Stored {
        Stored {
            start: self.stored_start.load(Ordering::Acquire),
            recovery_point: self.stored_recovery_point.load(Ordering::Acquire),
        }
    }

    /// Takes note that the checkpoints were written with this.
    pub(crate) fn set_stored(&self, stored: Stored) {
        self.stored_start.fetch_max(stored.start, Ordering::AcqRel);
        self.stored_recovery_point.store(stored.recovery_point, Ordering::Release);
    }

    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.config.read())
    }

    /// Puts another configuration in force, for the next append, roll and clean.
    pub(crate) fn set_config(&self, config: Arc<TopicConfig>) {
        let flush_ms = config.flush_ms;
        *self.config.write() = config;
        // A timer that runs by the old `flush.ms` may be far off.
        self.flush_timer.store(false, Ordering::Release);
        let is_due = flush_ms < i64::MAX && self.recovery_point() < self.end_offset();
        if is_due && self.halt().is_none() {
            self.start_flush_timer(flush_ms);
        }
    }

    pub(crate) fn halt(&self) -> Option<Halt> {
        self.halt.read().clone()
    }

    /// Whether anything keeps the log from its normal work.
    pub(crate) fn is_halted(&self) -> bool {
        self.is_halted.load(Ordering::Acquire)
    }

    /// Whether its topic was deleted.
    pub(crate) fn is_deleted(&self) -> bool {
        matches!(*self.halt.read(), Some(Halt::Deleted))
    }

    /// Stops appends for good. The first reason stays.
    pub(crate) fn stop(&self, reason: Halt) {
        let mut halt = self.halt.write();
        let replaces = matches!(reason, Halt::Closed | Halt::Deleted);
        let is_new = halt.is_none();
        if is_new || replaces {
            *halt = Some(reason.clone());
            self.is_halted.store(true, Ordering::Release);
        }
        drop(halt);
        if let (true, Halt::Poisoned(error)) = (is_new, &reason) {
            let (topic, partition) = (self.tp.topic(), self.tp.partition());
            event!(ERROR, "partition stopped", topic = topic, partition = partition, error = error);
        }
        self.readers.wake_all();
    }

    /// The error that stops a read at the end of what can be read.
    pub(crate) fn end_error(&self) -> Option<Error> {
        match self.halt.read().as_ref()? {
            Halt::Damaged(damage) => Some(damage.error(&self.tp)),
            Halt::Closed => Some(Error::closed("broker")),
            Halt::Deleted => Some(Error::unknown_topic(self.tp.topic())),
            Halt::Poisoned(_) | Halt::ReadOnly => None,
        }
    }

    /// The error that stops an append, if any.
    pub(crate) fn append_error(&self) -> Option<Error> {
        match self.halt.read().as_ref()? {
            Halt::Poisoned(cause) => Some(self.storage_error(cause.clone())),
            Halt::Damaged(damage) => Some(
                Error::kafka(
                    ErrorCode::KafkaStorageError,
                    format!(
                        "the partition takes no appends: it is damaged at offset {}; open with \
                         on_damage Truncate to cut it there",
                        damage.offset
                    ),
                )
                .on(&self.tp)
                .at(&damage.path, Some(damage.position)),
            ),
            Halt::Closed => Some(Error::closed("broker")),
            Halt::Deleted => Some(Error::unknown_topic(self.tp.topic())),
            Halt::ReadOnly => Some(Error::new(
                crate::error::ErrorKind::ReadOnly,
                "the broker was opened read-only",
            )),
        }
    }

    /// Returns when everything below `end` is durable, syncing on this thread if nobody else does.
    pub(crate) fn sync_to(&self, end: i64) -> Result<()> {
        self.sync.sync_to(end, None, || self.sync_now()).map(|_| ())
    }

    /// The same, waiting for a sync of another thread no longer than `patience`. Says whether
    /// everything below `end` is durable.
    pub(crate) fn sync_within(&self, end: i64, patience: Option<Duration>) -> Result<bool> {
        self.sync.sync_to(end, patience, || self.sync_now())
    }

    /// After a failed append: if it stopped the log, those who wait for a sync are told. Runs user
    /// code; the caller holds no lock.
    pub(crate) fn fail_waiting(&self) {
        if let Some(Halt::Poisoned(cause)) = self.halt() {
            self.sync.fail(&self.storage_error(cause));
        }
    }

    fn storage_error(&self, cause: Error) -> Error {
        Error::kafka(
            ErrorCode::KafkaStorageError,
            "the partition takes no appends since its storage failed; \
             close the broker and open it again",
        )
        .on(&self.tp)
        .because(cause)
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync_all(&self) -> Result<()> {
        // Before the sync looks at the end: what is appended after that asks for another.
        self.flush_timer.store(false, Ordering::Release);
        self.sync_to(self.end_offset())
    }

    fn sync_now(&self) -> Result<i64> {
        // In this order: bytes below the end are in these segments, and a segment's file is marked
        // in the directory before bytes in it are published.
        let began = self.context.clock.monotonic();
        let end = self.end_offset();
        let segments = self.segments();
        let dir = self.sync.take_dir_mark();
        let synced = self.recovery_point();
        // A roll may have cut the segment that ends at the recovery point since it was synced.
        let first = segments.partition_point(|s| s.base_offset < synced).saturating_sub(1);
        let outcome = segments.iter().skip(first).try_for_each(|segment| {
            count(self.context.counters.segment_syncs());
            segment.file().sync()
        });
        let outcome = match outcome {
            Ok(()) if dir => self.context.storage.sync_dir(Some(&self.dir)),
            outcome => outcome,
        };
        let took = self.context.clock.monotonic().saturating_sub(began);
        self.context.counters.sync_latency().record(took);
        self.sync.note_time(took);
        let (topic, partition) = (self.tp.topic(), self.tp.partition());
        let (offset, ms) = (end, took.as_secs_f64() * 1e3);
        event!(DEBUG, "synced", topic = topic, partition = partition, offset = offset, ms = ms);
        match outcome {
            Ok(()) => {
                self.context.attention.recovery_point_moved();
                Ok(end)
            }
            Err(error) => {
                count(self.context.counters.failed_syncs());
                self.stop(Halt::Poisoned(error.clone()));
                Err(self.storage_error(error))
            }
        }
    }

    /// Ends the log for good: nothing is appended any more, everything is synced, and the derived
    /// files are written so that the next open need not read the log. Answers whether the log may
    /// be trusted as it is on disk.
    pub(crate) fn close(&self) -> Result<bool> {
        let stopped = {
            let _quiet = Quiet::new();
            // Whoever cleans the log sees that the broker is closing, and ends; nobody begins.
            let _upkeep = self.upkeep.lock();
            // An append that has passed its check holds this lock until it is through.
            let _writer = self.writer.lock();
            let stopped = self.halt();
            self.stop(Halt::Closed);
            stopped
        };
        match stopped {
            // What it could not sync is not on the disk; the deliveries said so, and so does this.
            Some(Halt::Poisoned(cause)) => return Err(self.storage_error(cause)),
            Some(Halt::Damaged(_)) => return Ok(false),
            Some(_) => return Ok(true),
            None => {}
        }
        if self.changed.load(Ordering::Relaxed) {
            self.sync_all()?;
        }
        self.sync_cuts()?;
        // A segment whose first append failed is in no sync: the next open trusts its name too.
        if self.sync.take_dir_mark() {
            self.context.storage.sync_dir(Some(&self.dir))?;
        }
        for segment in self.segments().iter() {
            segment.seal();
        }
        let mut writer = self.writer.lock();
        self.write_snapshot(&mut writer);
        self.write_epochs(&mut writer);
        Ok(true)
    }

    /// The epoch that appends carry: the last one of the log, never raised by us.
    pub(crate) fn current_epoch(writer: &Writer) -> i32 {
        writer.epochs.last().map_or(0, |entry| entry.epoch)
    }
}
