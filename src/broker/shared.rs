//! What all handles of one broker share, and the counting of those handles.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::background::{Background, Duty, Role, Work};
use super::catalog::Catalog;
use super::closing::Closing;
use super::config::BrokerConfig;
use super::groups::Groups;
use super::producer_ids::ProducerIds;
use super::report::RecoveryReport;
use super::topic_state::TopicState;
use super::transactions::Transactions;
use super::upkeep::Upkeep;
use crate::error::{Error, Result};
use crate::log::checkpoint;
use crate::log::manifest::{self, CLEAN_MARKER, CLEAN_MARKER_TEXT, Manifest, PartitionManifest};
use crate::log::{Log, LogContext, read_only_error};
use crate::storage::Lock;
use crate::types::TopicPartition;
use crate::wait::{WaitQueue, contain};

/// One broker.
pub(crate) struct Shared {
    pub(crate) config: BrokerConfig,
    pub(crate) context: Arc<LogContext>,
    pub(crate) read_only: bool,
    pub(crate) report: RecoveryReport,
    /// First in the lock order; held while topics' directories are made and removed.
    pub(super) catalog: Mutex<Catalog>,
    /// Leaf.
    pub(crate) topics: RwLock<BTreeMap<Arc<str>, Arc<TopicState>>>,
    /// Goes up whenever a topic or partition comes or goes, so that clients may cache them.
    pub(crate) topics_version: AtomicU64,
    /// Consumers that wait for a topic to appear.
    pub(crate) topics_changed: WaitQueue,
    pub(super) groups: Groups,
    pub(super) transactions: Transactions,
    pub(crate) producer_ids: ProducerIds,
    pub(super) background: Background,
    pub(super) cleaner: Background,
    pub(super) upkeep: Upkeep,
    /// The directory lock, until the broker is closed.
    pub(crate) lock: Mutex<Option<Box<dyn Lock>>>,
    pub(crate) duties: Mutex<Vec<Weak<dyn Duty>>>,
    pub(crate) closed: AtomicBool,
    pub(super) closing: Closing,
    pub(crate) handles: AtomicUsize,
    pub(crate) this: Weak<Shared>,
}

impl Shared {
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed("broker")) } else { Ok(()) }
    }

    pub(crate) fn check_writable(&self, what: &str) -> Result<()> {
        self.check_open()?;
        if self.read_only { Err(read_only_error(what)) } else { Ok(()) }
    }

    pub(crate) fn topic(&self, name: &str) -> Option<Arc<TopicState>> {
        self.topics.read().get(name).cloned()
    }

    /// Tells everybody that there are other topics or partitions than before.
    pub(crate) fn topics_changed(&self) {
        self.topics_version.fetch_add(1, Ordering::AcqRel);
        self.topics_changed.wake_all();
    }

    pub(crate) fn log(&self, tp: &TopicPartition) -> Result<Arc<Log>> {
        let topic = self.topic(tp.topic()).ok_or_else(|| Error::unknown_topic(tp.topic()))?;
        topic.log(tp.partition())
    }

    /// Every log of every topic.
    pub(crate) fn logs(&self) -> Vec<Arc<Log>> {
        let topics: Vec<Arc<TopicState>> = self.topics.read().values().cloned().collect();
        topics.iter().flat_map(|topic| topic.logs().to_vec()).collect()
    }

    /// Has a duty run when it is due, and when the broker closes.
    pub(crate) fn add_duty(&self, duty: &Arc<impl Duty + 'static>) {
        let mut duties = self.duties.lock();
        duties.retain(|duty| duty.strong_count() > 0);
        duties.push(Arc::downgrade(duty) as Weak<dyn Duty>);
    }

    pub(super) fn duties(&self) -> Vec<Arc<dyn Duty>> {
        self.duties.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Tells the background thread that something is due sooner than it knows.
    pub(crate) fn wake_background(&self) -> Result<()> {
        self.background.wake(&self.this)
    }

    /// Tells the thread that keeps the time for the upkeep that some was planned.
    pub(super) fn wake_upkeep(&self) {
        let keeper = if self.cleaner.is_started() { &self.cleaner } else { &self.background };
        // Without a thread whoever runs due work does it.
        let _ = keeper.wake(&self.this);
    }

    fn is_own_thread(&self) -> bool {
        self.background.is_this_thread() || self.cleaner.is_this_thread()
    }

    /// When the next duty is due.
    pub(crate) fn next_duty(&self) -> Option<Duration> {
        let duties = self.duties();
        let coordinators = [self.next_group_due(), self.next_transaction_due()];
        let coordinators = coordinators.into_iter().flatten();
        duties.iter().filter_map(|duty| duty.next_due()).chain(coordinators).min()
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        [self.next_awaited(), self.next_upkeep()].into_iter().flatten().min()
    }

    /// Does everything that is due. Runs on the caller's thread.
    pub(crate) fn run_due(&self) {
        self.run_awaited();
        self.run_upkeep();
    }

    /// When something is due next that somebody may wait for: all but upkeep.
    pub(crate) fn next_awaited(&self) -> Option<Duration> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        [self.next_duty(), self.background.next_sync()].into_iter().flatten().min()
    }

    /// Does what is due that somebody may wait for: all but upkeep.
    pub(crate) fn run_awaited(&self) {
        for duty in self.duties() {
            contain(|| duty.run_due());
        }
        self.run_transactions();
        self.run_groups();
        let now = self.context.clock.monotonic();
        for tp in self.background.take_due_syncs(now) {
            // A failure stops the partition and is told by its next append.
            if let Ok(log) = self.log(&tp) {
                let _ = log.sync_all();
            }
        }
    }

    /// Ends the broker: open batches are run, everything is synced, what the next open needs is
    /// written down, and the directory is let go. Only the first call does anything; the others
    /// wait for it, but for those on a thread that it waits for itself.
    pub(crate) fn close(&self) -> Result<()> {
        let Some(ending) = self.closing.begin() else {
            return if self.is_own_thread() { Ok(()) } else { self.closing.wait() };
        };
        self.closed.store(true, Ordering::Release);
        for duty in self.duties() {
            contain(|| duty.close());
        }
        self.background.stop();
        self.cleaner.stop();
        self.end_members();
        let outcome = if self.read_only { Ok(()) } else { self.close_logs() };
        self.topics_changed.wake_all();
        self.commits_changed().wake_all();
        self.lock.lock().take();
        self.tell_closed(&outcome);
        ending.done(outcome)
    }

    fn close_logs(&self) -> Result<()> {
        // A topic that is being made or deleted is finished first; none begins any more.
        drop(self.catalog.lock());
        // What lies below the log starts need not wait for the next process. Failing costs room.
        let _ = self.remove_expired(&self.logs());
        let mut outcome = Ok(());
        let mut sound = true;
        for log in self.logs() {
            match log.close() {
                Ok(is_sound) => sound &= is_sound,
                Err(error) => {
                    sound = false;
                    outcome = outcome.and(Err(error));
                }
            }
        }
        self.context.trash.empty(&self.context.storage, None);
        self.write_checkpoints().and_then(|()| if sound { self.write_marker() } else { Ok(()) })?;
        outcome
    }

    /// The manifest first, then the marker that makes it count.
    fn write_marker(&self) -> Result<()> {
        let logs = self.logs();
        let manifest: Manifest =
            logs.iter().map(|log| (log.tp.clone(), PartitionManifest::of(log))).collect();
        let storage = &self.context.storage;
        manifest::write(storage, &manifest)?;
        checkpoint::replace(storage, None, CLEAN_MARKER, CLEAN_MARKER_TEXT)
    }
}

/// The sender's thread keeps the time for the upkeep until there is some to do; then the cleaner's
/// thread is started, and keeps it itself.
impl Work for Shared {
    fn next_due(&self, role: Role) -> Option<Duration> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        match role {
            Role::Cleaner => self.next_upkeep(),
            Role::Sender if self.cleaner.is_started() => self.next_awaited(),
            Role::Sender => Shared::next_due(self),
        }
    }

    fn run_due(&self, role: Role) {
        match role {
            Role::Cleaner => self.run_upkeep(),
            Role::Sender => {
                self.run_awaited();
                let now = self.context.clock.monotonic();
                let is_due = self.next_upkeep().is_some_and(|due| due <= now);
                if is_due && !self.cleaner.is_started() && self.cleaner.wake(&self.this).is_err() {
                    // Without a thread of its own.
                    self.run_upkeep();
                }
            }
        }
    }
}

#[cfg(feature = "testing")]
impl crate::time::Timers for Shared {
    fn next_due(&self) -> Option<Duration> {
        Shared::next_due(self)
    }

    fn next_awaited(&self) -> Option<Duration> {
        Shared::next_awaited(self)
    }

    fn run_due(&self) {
        Shared::run_due(self);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.context.storage)
    }
}

/// A reason for the broker to stay open. The last one to go closes it.
#[derive(Debug)]
pub(crate) struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.handles.fetch_add(1, Ordering::AcqRel);
        Self(shared)
    }

    /// The broker without a reason to stay open.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Whoever wants to hear of errors calls `Broker::close`.
            let _ = self.0.close();
        }
    }
}

impl std::ops::Deref for Handle {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
