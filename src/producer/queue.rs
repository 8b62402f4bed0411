//! The batches of one producer for one partition, and who runs them.
//!
//! Locks: the *drain token* is held while batches are sealed and appended, so that they cannot
//! swap; under it that of the producer ids, which may write a file, and the log's append lock. The
//! accumulator is a leaf. No user code runs under any of them. A batch that failed and may be
//! tried again stays in front, and nothing overtakes it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::accumulator::{Accumulator, Left, Material, OpenBatch};
use super::at_work::{Rests, Working};
use super::client::Client;
use super::config::Acks;
use super::identity::{Identity, Stamp};
use super::piece::Piece;
use super::round::Round;
use super::slot::{AfterSync, BatchSlot, Home, Run, Runner};
use super::struck::Struck;
use crate::error::{Error, ErrorCode, Result};
use crate::log::{Appended, Log, TopicConfig, check_records};
use crate::metrics::count;
use crate::record::BatchBuilder;
use crate::trace::event;
use crate::wait::Quiet;

/// How many batches are sealed before they are written.
const SEALED_MAX: usize = 64;
/// How often one thread goes on with what others filled, before it is somebody else's turn.
const ROUNDS_MAX: usize = 3;

/// What the holder of the drain token has.
#[derive(Default)]
pub(super) struct Held {
    identity: Identity,
    /// Sealed and not in the log, in order. Only the first may have been tried.
    pub(super) waiting: VecDeque<Piece>,
    /// Nothing is tried before this.
    pub(super) backoff: Option<Duration>,
    /// What the accumulator was last told.
    left: Left,
    /// For the next run, so that it allocates nothing.
    taken: Vec<OpenBatch>,
    placed: Vec<Appended>,
}

/// One producer's batches for one partition. In cache lines of its own: another partition's is
/// written by another processor.
#[repr(align(128))]
pub(super) struct PartitionQueue {
    pub(super) log: Arc<Log>,
    pub(super) client: Arc<Client>,
    pub(super) accumulator: Accumulator,
    /// The drain token.
    pub(super) held: Mutex<Held>,
    home: Arc<Home>,
}

impl PartitionQueue {
    pub(super) fn new(log: Arc<Log>, client: Arc<Client>) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let home = Arc::new(Home {
                tp: log.tp.clone(),
                runner: this.clone() as Weak<dyn Runner>,
                clock: client.clock().clone(),
                threads: client.broker.config.has_threads(),
                session: client.session.clone(),
            });
            Self { log, client, accumulator: Accumulator::new(), held: Mutex::default(), home }
        })
    }

    /// What batches of this partition are made of.
    pub(super) fn material(&self) -> Material<'_> {
        let Client { config, memory, .. } = &*self.client;
        Material { config, memory, log: &self.log, home: &self.home }
    }

    fn token(&self, patience: Option<Duration>) -> Option<MutexGuard<'_, Held>> {
        match patience {
            None => Some(self.held.lock()),
            Some(Duration::ZERO) => self.held.try_lock(),
            Some(patience) => self.held.try_lock_for(patience),
        }
    }

    /// Runs batches on this thread, until `goal` has what it needs, unless another thread holds the
    /// token for longer than `patience`: that one looks again after it let go. Gives up what is
    /// past its deadline and runs callbacks. The offset up to which a sync is wanted comes back;
    /// the caller does it, has it done, or leaves it to who waits. `now` is what the clock shows.
    pub(super) fn run(
        self: &Arc<Self>,
        which: Run,
        mut now: Duration,
        mut patience: Option<Duration>,
        goal: Option<&BatchSlot>,
    ) -> Option<i64> {
        let _working = self.client.work();
        let mut sync_to = None;
        let mut wake = false;
        for rounds in 0.. {
            if rounds > 0 {
                now = self.client.clock().monotonic();
            }
            self.expire_before(now);
            // An append wakes readers; futures among them only once the token is let go.
            let quiet = Quiet::new();
            let Some(mut held) = self.token(patience) else { break };
            let mut round = Round::default();
            let again = self.drain(&mut held, which, now, &mut round);
            wake = !held.waiting.is_empty();
            // Who waits for the token waits for one round, not for all of them.
            MutexGuard::unlock_fair(held);
            drop(quiet);
            sync_to = sync_to.max(round.sync_to);
            // What runs user code runs without the token.
            if round.settle(&self.log, self) {
                self.log.fail_waiting();
            }
            // Who filled a batch in between found the token taken and left the batch to us.
            if !again && !self.accumulator.has_full(now) {
                break;
            }
            let enough = goal.is_some_and(|goal| goal.is_decided() || goal.wanted_sync().is_some())
                || (!again && rounds >= ROUNDS_MAX);
            if enough && which != Run::Last {
                wake = true;
                break;
            }
            if which != Run::Last {
                patience = Some(Duration::ZERO);
            }
        }
        if wake {
            // For a retry, or for what others filled. Without the thread it is done by who waits,
            // flushes or closes.
            let _ = self.client.broker.wake_background();
        }
        self.look_after();
        sync_to
    }

    /// Gives up what is past its deadline. What waited behind it may be run now.
    fn expire(&self, now: Duration) {
        let expired = self.accumulator.expire(now);
        if self.client.config.acks == Acks::None {
            let failures = self.log.context.counters.unacknowledged_failures();
            (0..expired).for_each(|_| count(failures));
        }
        if expired > 0 {
            let (topic, partition) = (self.log.tp.topic(), self.log.tp.partition());
            event!(
                WARN,
                "delivery timed out",
                topic = topic,
                partition = partition,
                batches = expired
            );
            let _ = self.client.broker.wake_background();
        }
    }

    /// Gives up what should have been given up before: else it would be written, and given up all
    /// the same. What is due at this very moment is run.
    pub(super) fn expire_before(&self, now: Duration) {
        self.expire(now.saturating_sub(Duration::from_nanos(1)));
    }

    /// Seals and appends what is to be run. Says whether there is more to be tried at once.
    fn drain(&self, held: &mut Held, which: Run, now: Duration, round: &mut Round) -> bool {
        self.drop_decided(held);
        if let Some(session) = &self.client.session {
            held.identity.follow(session.who());
        }
        let (mut again, mut took) = (false, false);
        if which == Run::Last || held.backoff.is_none_or(|until| until <= now) {
            held.backoff = None;
            let mut taken = std::mem::take(&mut held.taken);
            let room = SEALED_MAX.saturating_sub(held.waiting.len());
            self.accumulator.take(which, now, room, &mut taken);
            took = !taken.is_empty();
            for batch in taken.drain(..) {
                self.seal(held, batch, round);
            }
            held.taken = taken;
            again = !held.waiting.is_empty() && self.append(held, which, round);
        }
        let sealed = !held.waiting.is_empty();
        self.leave(held, Left { sealed, backoff: held.backoff });
        // The last run ends when it finds nothing: others may have taken what it saw before.
        (again && sealed) || (took && which == Run::Last)
    }

    /// Tells who fills batches what the holder of the token leaves, if that is news.
    pub(super) fn leave(&self, held: &mut Held, left: Left) {
        if left != Left::default() || held.left != Left::default() {
            self.accumulator.leave(left);
            held.left = left;
        }
    }

    fn seal(&self, held: &mut Held, batch: OpenBatch, round: &mut Round) {
        let OpenBatch { mut builder, slot, .. } = batch;
        if slot.is_decided() {
            return;
        }
        let count = i32::try_from(builder.len()).unwrap_or(i32::MAX);
        // The topic may have been altered since the batch was opened.
        let topic = self.log.config();
        let (codec, level) = self.material().codec(&topic);
        builder.set_compression(codec, level);
        let checked = self.check(&builder, &topic);
        let mut stamp = None;
        if checked.is_ok() {
            stamp = held.identity.stamp(count);
        }
        if let Some(Stamp { id, epoch, sequence }) = stamp {
            builder.set_producer(id, epoch, sequence);
        }
        match checked.and_then(|()| Piece::seal(builder, Arc::clone(&slot), &self.client.memory)) {
            Ok(piece) => held.waiting.push_back(Piece { stamp, ..piece }),
            Err(error) => {
                if let Some(stamp) = stamp {
                    held.identity.give_back(stamp);
                }
                slot.set_count(count);
                self.fail(round, slot, 0..count, error);
            }
        }
    }

    fn check(&self, builder: &BatchBuilder, topic: &TopicConfig) -> Result<()> {
        if self.client.config.acks == Acks::All && topic.min_insync_replicas > 1 {
            return Err(Error::kafka(
                ErrorCode::NotEnoughReplicas,
                format!("min.insync.replicas = {}, there is one copy", topic.min_insync_replicas),
            )
            .on(&self.log.tp));
        }
        let now = self.client.clock().wall_millis();
        check_records(builder, topic, now)
            .inspect_err(|_| count(self.log.context.counters.refused_appends()))
            .map_err(|error| error.on(&self.log.tp))
    }

    /// Appends what is sealed. Says whether the next try may come at once.
    fn append(&self, held: &mut Held, which: Run, round: &mut Round) -> bool {
        if let Err(error) = self.identify(held) {
            return self.failed(held, error, false, which, round);
        }
        let id = self.client.session.as_ref().map(|session| session.id());
        let struck = Struck::of(&self.log, id);
        if let Some(error) = struck.as_ref().and_then(Struck::instead) {
            return self.failed(held, error, false, which, round);
        }
        // An answer can only be lost for the last batch that was tried.
        let tried = if struck.is_some() { 1 } else { held.waiting.len() };
        let mut placed = std::mem::take(&mut held.placed);
        placed.clear();
        let pieces = held.waiting.make_contiguous().get_mut(..tried).unwrap_or_default();
        let appended = self.log.append_all(pieces, &mut placed);
        if let Some(error) = struck.and_then(|struck| struck.answer(&self.log, &appended)) {
            return self.failed(held, error, true, which, round);
        }
        for appended in placed.drain(..) {
            if let Some(piece) = held.waiting.pop_front() {
                round.place(piece, appended, &self.client);
            }
        }
        held.placed = placed;
        match appended {
            Ok(()) => true,
            Err(error) => self.failed(held, error, false, which, round),
        }
    }

    /// Gives the producer its id, and batches their numbers, the first time.
    fn identify(&self, held: &mut Held) -> Result<()> {
        if self.client.session.is_none()
            && self.client.config.idempotence
            && !held.identity.is_known()
        {
            let spent = held.identity.is_spent();
            held.identity.set_id(if spent { self.client.new_id()? } else { self.client.id()? });
            Self::number(held, 0);
        }
        Ok(())
    }

    /// Numbers the batches from this one on.
    fn number(held: &mut Held, from: usize) {
        for piece in held.waiting.iter_mut().skip(from) {
            piece.set_stamp(held.identity.stamp(piece.count()));
        }
    }

    /// The first batch was not appended, or nobody knows whether it was: splits it, has it tried
    /// again, or fails it. Says whether the next try may come at once.
    fn failed(
        &self,
        held: &mut Held,
        error: Error,
        lost: bool,
        which: Run,
        round: &mut Round,
    ) -> bool {
        if let Some(at) = error.held_until().filter(|_| which != Run::Last) {
            held.backoff = Some(at);
            return false;
        }
        let Some(piece) = held.waiting.front_mut() else { return false };
        piece.lost |= lost;
        piece.attempts = piece.attempts.saturating_add(1);
        let (attempts, is_lost) = (piece.attempts, piece.lost);
        let too_large = error.code() == Some(ErrorCode::MessageTooLarge);
        if too_large && !is_lost && piece.count() > 1 && self.split(held) {
            return true;
        }
        let lost_count = error.code() == Some(ErrorCode::OutOfOrderSequenceNumber)
            && !is_lost
            && self.client.config.idempotence;
        let may_retry = which != Run::Last
            && attempts <= self.client.config.retries
            && !error.is_surfaced()
            && self.log.halt().is_none();
        if may_retry && (lost_count || error.is_retriable()) {
            if lost_count {
                // The log has lost count of us; nothing of this batch is in it.
                self.renumber(held, 0, None);
            }
            if let Some(piece) = held.waiting.front() {
                piece.slot.note_error(error);
            }
            let now = self.client.clock().monotonic();
            held.backoff = Some(now.saturating_add(self.client.backoff(attempts)));
            return false;
        }
        if let Some(piece) = held.waiting.pop_front() {
            let stamp = piece.stamp.filter(|_| !piece.lost);
            self.fail(round, piece.slot, piece.records, error);
            self.renumber(held, 0, stamp);
        }
        true
    }

    /// Puts two halves in the place of the first batch; says whether that was possible.
    fn split(&self, held: &mut Held) -> bool {
        let (codec, level) = self.material().codec(&self.log.config());
        let whole = held.waiting.front();
        let Some(halves) = whole.and_then(|piece| piece.split(codec, level).ok()) else {
            return false;
        };
        if let Some(whole) = held.waiting.pop_front()
            && let Some(stamp) = whole.stamp
        {
            held.identity.give_back(stamp);
        }
        let [first, second] = halves;
        held.waiting.push_front(second);
        held.waiting.push_front(first);
        Self::number(held, 0);
        true
    }

    /// Numbers the batches from `from` on again because the one before them is gone: they follow
    /// `stamp` if it was certainly not written, else a new epoch begins.
    fn renumber(&self, held: &mut Held, from: usize, stamp: Option<Stamp>) {
        if self.client.config.idempotence && held.identity.is_known() {
            match stamp {
                Some(stamp) => held.identity.give_back(stamp),
                // The transaction cannot be committed any more; its end raises the epoch.
                None if self.client.session.is_some() => {}
                None => held.identity.bump(),
            }
            Self::number(held, from);
        }
    }

    /// Lets go of batches that were given up while they waited.
    fn drop_decided(&self, held: &mut Held) {
        let given_up = |piece: &Piece| piece.slot.is_decided();
        let Some(first) = held.waiting.iter().position(given_up) else { return };
        let lost = held.waiting.iter().any(|piece| given_up(piece) && piece.lost);
        let stamp = held.waiting.get(first).and_then(|piece| piece.stamp);
        held.waiting.retain(|piece| !given_up(piece));
        if first == 0 {
            held.backoff = None;
        }
        self.renumber(held, first, stamp.filter(|_| !lost));
    }

    pub(super) fn fail(
        &self,
        round: &mut Round,
        slot: Arc<BatchSlot>,
        records: Range<i32>,
        error: Error,
    ) {
        if self.client.config.acks == Acks::None {
            count(self.log.context.counters.unacknowledged_failures());
        }
        round.fail(slot, records, error);
    }

    /// Gives up everything that is not in the log. What another thread is writing at this moment
    /// fails too, and may be written all the same.
    pub(super) fn abort(&self, error: &Error) {
        let mut given_up: Vec<Arc<BatchSlot>> =
            self.accumulator.take_all().into_iter().map(|batch| batch.slot).collect();
        let mut round = Round::default();
        match self.held.try_lock() {
            Some(mut held) => {
                for piece in held.waiting.drain(..) {
                    self.fail(&mut round, piece.slot, piece.records, error.clone());
                }
                held.backoff = None;
                self.leave(&mut held, Left::default());
            }
            None => {
                let unwritten = |slot: &Arc<BatchSlot>| slot.wanted_sync().is_none();
                given_up.extend(self.accumulator.outstanding().into_iter().filter(unwritten));
            }
        }
        given_up.iter().for_each(|slot| slot.fail(error.clone()));
        round.give_up();
        self.look_after();
    }
}

impl Runner for PartitionQueue {
    fn run_for(
        self: Arc<Self>,
        which: Run,
        now: Duration,
        patience: Option<Duration>,
        goal: &BatchSlot,
    ) {
        let _working = self.client.work();
        if let Some(end) = self.run(which, now, patience, Some(goal)) {
            sync(&self.log, end, patience);
        }
    }

    fn next_due(&self) -> Option<Duration> {
        self.accumulator.next_due()
    }

    fn work(&self) -> Option<Working<'_>> {
        self.client.work()
    }

    fn let_others_work(&self, rests: &mut Rests) -> bool {
        self.client.let_others_work(rests)
    }

    /// With the sender thread, another one runs the callbacks that are there now: it must not be
    /// kept by what others go on sending.
    fn look_after(&self) {
        let _working = self.client.work();
        if self.accumulator.has_undecided() {
            self.expire(self.client.clock().monotonic());
        }
        if self.accumulator.deliver(self.home.threads) {
            let _ = self.client.broker.wake_background();
        }
    }
}

/// Syncs a partition, or leaves it to the sender thread if another thread's sync takes too long.
/// A failure is told by the deliveries it fails; who synced for us tells them, too.
pub(super) fn sync(log: &Log, end: i64, patience: Option<Duration>) {
    if matches!(log.sync_within(end, patience), Ok(false)) {
        log.sync_later();
    }
}

impl AfterSync for PartitionQueue {
    fn after_sync(&self) {
        self.look_after();
    }
}
