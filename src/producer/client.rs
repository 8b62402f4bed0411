//! What all partitions of a producer share.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::at_work::{AtWork, Rests, Working};
use super::config::ProducerConfig;
use super::memory::Memory;
use super::session::Session;
use crate::broker::Shared;
use crate::error::{Error, Result};
use crate::faults::{OpKind, Operation};
use crate::time::Clock;
use crate::wait::Waiter;

/// Without a wait a clock that only moves while somebody waits would stand still.
const BACKOFF_MIN: Duration = Duration::from_millis(1);

/// What all partitions of a producer share.
pub(super) struct Client {
    /// No handle: the background thread holds a producer for a moment, and must not be the one that
    /// keeps the broker open.
    pub(super) broker: Arc<Shared>,
    pub(super) config: ProducerConfig,
    pub(super) memory: Arc<Memory>,
    /// The producer's id, once it is needed.
    id: Mutex<Option<i64>>,
    /// The transactions of a transactional producer.
    pub(super) session: Option<Arc<Session>>,
    at_work: AtWork,
}

impl Client {
    pub(super) fn new(
        broker: Arc<Shared>,
        config: ProducerConfig,
        session: Option<Arc<Session>>,
    ) -> Arc<Self> {
        let memory = Memory::new(config.buffer_memory);
        Arc::new(Self {
            broker,
            config,
            memory,
            id: Mutex::new(None),
            session,
            at_work: AtWork::default(),
        })
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.broker.context.clock
    }

    /// A record was refused: its transaction cannot be committed.
    pub(super) fn note_failure(&self, error: &Error) {
        if let Some(session) = &self.session {
            session.note(error);
        }
    }

    /// Until the guard goes, this thread is at work. Only a mock clock needs to know.
    pub(super) fn work(&self) -> Option<Working<'_>> {
        self.clock().is_mock().then(|| self.at_work.begin())
    }

    /// Parks until signalled or until `deadline`, which a mock clock moves to.
    pub(super) fn park(&self, waiter: &Arc<Waiter>, deadline: Option<Duration>) {
        self.at_work.pause(|| waiter.park(self.clock(), deadline));
    }

    /// Lets other threads work for a moment; `false` if time may pass.
    pub(super) fn let_others_work(&self, rests: &mut Rests) -> bool {
        self.clock().is_mock() && rests.rest(&self.at_work)
    }

    /// The producer's id. The first call may write a file.
    pub(super) fn id(&self) -> Result<i64> {
        let mut id = self.id.lock();
        match *id {
            Some(id) => Ok(id),
            None => Ok(*id.insert(self.new_id()?)),
        }
    }

    /// An id that nobody has had.
    pub(super) fn new_id(&self) -> Result<i64> {
        let context = &self.broker.context;
        let operation = || Operation::new(OpKind::InitProducer);
        let next = || self.broker.producer_ids.next(context);
        context.faults.run(&context.clock, operation, next)
    }

    /// How long to wait after so many failures: doubling, give or take a fifth so that many who
    /// failed together do not come back together, up to a limit (KIP-580).
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = self.config.retry_backoff.saturating_mul(doubled);
        let wait = wait.min(self.config.retry_backoff_max);
        let per_mille = u32::try_from(self.broker.context.random.below(401)).unwrap_or(200) + 800;
        let wait = wait.checked_mul(per_mille).map_or(wait, |scaled| scaled / 1000);
        wait.min(self.config.retry_backoff_max).max(BACKOFF_MIN)
    }
}
