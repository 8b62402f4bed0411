//! The one slot that all deliveries of a batch share.
//!
//! A slot is *decided* once every record of its batch has its result: all at once as a rule, piece
//! by piece where the batch had to be split. Waiters wake then; callbacks run after, in order, from
//! the queue of the partition, with no lock held.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::at_work::{Rests, Working};
use super::few::Few;
use super::memory::Reservation;
use super::metadata::RecordMetadata;
use super::session::Session;
use crate::error::{Error, ErrorCode, Result};
use crate::log::{Log, Synced};
use crate::time::Clock;
use crate::types::TopicPartition;
use crate::wait::{Waiter, contain, wake};

/// Where a batch, or a piece of one, stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) base_offset: i64,
    pub(super) log_append_time: Option<i64>,
}

pub(super) type Callback = Box<dyn FnOnce(Result<RecordMetadata>) + Send>;

/// One record of a batch, for the answer to its delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    /// Which record of the batch.
    pub(super) index: i32,
    pub(super) timestamp: i64,
}

#[derive(Default)]
struct State {
    /// The results so far, by the records they are for.
    pieces: Few<(Range<i32>, Result<Placed>)>,
    /// How many records there are, once nothing is added any more.
    count: Option<i32>,
    /// The result of what has none in `pieces`.
    rest: Option<Error>,
    /// Why the last try failed, while there will be another.
    last_error: Option<Error>,
    /// The sync that decides what is written.
    wanted_sync: Option<(Arc<Log>, i64)>,
    waiters: Vec<Arc<Waiter>>,
    wakers: Vec<Waker>,
    callbacks: Vec<(Ticket, Callback)>,
    /// The callbacks have been run; later ones run at once.
    delivered: bool,
    /// Until then.
    reservation: Option<Reservation>,
}

impl State {
    /// Up to which record the result is of the same kind: by one write, or by one error.
    fn same_as(&self, index: i32) -> i32 {
        let bounds = self.pieces.iter().flat_map(|(records, _)| [records.start, records.end]);
        bounds.filter(|bound| *bound > index).min().unwrap_or(i32::MAX)
    }

    /// The result of a record, once all are decided.
    fn result(&self, index: i32) -> Result<(i64, Option<i64>)> {
        let piece = self.pieces.iter().find(|(records, _)| records.contains(&index));
        match (piece, &self.rest) {
            (Some((records, result)), _) => result.clone().map(|placed| {
                (placed.base_offset + i64::from(index - records.start), placed.log_append_time)
            }),
            (None, Some(error)) => Err(error.clone()),
            // Cannot be: a slot is decided when its pieces cover it.
            (None, None) => Err(Error::closed("producer")),
        }
    }
}

/// Which batches to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Those that are full: what they left behind may wait for company.
    Full,
    /// Those that are due.
    Due,
    /// All there are.
    All,
    /// All there are, for the last time: what fails now is not tried again.
    Last,
}

/// Who runs batches: the queue of their partition.
pub(super) trait Runner: Send + Sync {
    /// Runs batches on this thread until `goal` has what it needs, and syncs them; not for longer
    /// than `patience` behind other threads. The caller has just looked at the clock.
    fn run_for(
        self: Arc<Self>,
        which: Run,
        now: Duration,
        patience: Option<Duration>,
        goal: &BatchSlot,
    );
    /// When something is to be done next.
    fn next_due(&self) -> Option<Duration>;
    /// Until the guard goes, this thread is at work.
    fn work(&self) -> Option<Working<'_>>;
    /// Lets other threads work for a moment, on a mock clock; `false` if time may pass.
    fn let_others_work(&self, rests: &mut Rests) -> bool;
    /// Gives up what is past its deadline, and runs the callbacks of decided batches.
    fn look_after(&self);
}

/// Where batches come from.
pub(super) struct Home {
    pub(super) tp: TopicPartition,
    /// Gone when the producer is; its batches have been run by then.
    pub(super) runner: Weak<dyn Runner>,
    pub(super) clock: Clock,
    /// Whether a thread of the broker runs what nobody waits for.
    pub(super) threads: bool,
    /// That of a transactional producer: what fails keeps its transaction from being committed.
    pub(super) session: Option<Arc<Session>>,
}

/// The slot of one batch.
pub(super) struct BatchSlot {
    pub(super) home: Arc<Home>,
    /// On the monotonic clock: `delivery.timeout.ms` after the batch was opened.
    pub(super) deadline: Duration,
    /// Every record has its result. Set under the lock, read without it.
    decided: AtomicBool,
    state: Mutex<State>,
}

impl BatchSlot {
    pub(super) fn new(deadline: Duration, reservation: Reservation, home: Arc<Home>) -> Arc<Self> {
        let state = State { reservation: Some(reservation), ..State::default() };
        let decided = AtomicBool::new(false);
        Arc::new(Self { home, deadline, decided, state: Mutex::new(state) })
    }

    /// The answer to one record's delivery, if there is one yet.
    pub(super) fn answer(&self, ticket: Ticket) -> Option<Result<RecordMetadata>> {
        self.answers().map(|answers| answers.of(ticket))
    }

    /// The answers to all deliveries, if there are any yet.
    pub(super) fn answers(&self) -> Option<Answers<'_>> {
        self.is_decided().then(|| Answers { slot: self, state: self.state.lock() })
    }

    /// The answer where nobody asked for an acknowledgement.
    pub(super) fn unasked(&self, Ticket { timestamp, .. }: Ticket) -> RecordMetadata {
        RecordMetadata { topic_partition: self.home.tp.clone(), offset: None, timestamp }
    }

    fn metadata(
        &self,
        ticket: Ticket,
        result: Result<(i64, Option<i64>)>,
    ) -> Result<RecordMetadata> {
        result.map(|(offset, log_append_time)| RecordMetadata {
            topic_partition: self.home.tp.clone(),
            offset: Some(offset),
            timestamp: log_append_time.unwrap_or(ticket.timestamp),
        })
    }

    #[inline]
    pub(super) fn is_decided(&self) -> bool {
        self.decided.load(Ordering::Acquire)
    }

    /// Whether the callbacks have been run, too.
    pub(super) fn is_delivered(&self) -> bool {
        self.state.lock().delivered
    }

    /// No record is added any more.
    pub(super) fn set_count(&self, count: i32) {
        self.state.lock().count = Some(count);
    }

    /// Gives these records their result. The last of them decides the slot.
    pub(super) fn finish(&self, records: Range<i32>, result: Result<Placed>) {
        if let (Some(session), Err(error)) = (&self.home.session, &result) {
            session.note(error);
        }
        self.update(|state| {
            state.pieces.push((records, result));
            let covered: i32 = state.pieces.iter().map(|(r, _)| r.end - r.start).sum();
            state.count.is_some_and(|count| covered >= count)
        });
    }

    /// Fails every record that has no result yet.
    pub(super) fn fail(&self, error: Error) {
        if let Some(session) = &self.home.session {
            session.note(&error);
        }
        self.update(|state| {
            state.rest = Some(error);
            true
        });
    }

    /// Fails what is not delivered in time; says whether it did.
    pub(super) fn expire(&self, now: Duration) -> bool {
        if now < self.deadline || self.is_decided() {
            return false;
        }
        let cause = self.state.lock().last_error.take();
        let message = "the record was not delivered within delivery.timeout.ms";
        let mut error = Error::kafka(ErrorCode::RequestTimedOut, message).on(&self.home.tp);
        if let Some(cause) = cause {
            error = error.because(cause);
        }
        self.fail(error);
        true
    }

    /// Changes a slot that is not decided; `change` says whether it is now.
    fn update(&self, change: impl FnOnce(&mut State) -> bool) {
        let (waiters, wakers) = {
            let mut state = self.state.lock();
            if self.is_decided() || !change(&mut state) {
                return;
            }
            self.decided.store(true, Ordering::Release);
            state.wanted_sync = None;
            (std::mem::take(&mut state.waiters), std::mem::take(&mut state.wakers))
        };
        for waiter in waiters {
            waiter.signal();
        }
        for waker in wakers {
            wake(waker);
        }
    }

    /// A try failed and there will be another.
    pub(super) fn note_error(&self, error: Error) {
        self.state.lock().last_error = Some(error);
    }

    /// A piece is written; a sync up to `end` decides it. Who waits may do that sync.
    pub(super) fn want_sync(&self, log: &Arc<Log>, end: i64) {
        let waiters = {
            let mut state = self.state.lock();
            if self.is_decided() {
                return;
            }
            state.wanted_sync = Some((Arc::clone(log), end));
            std::mem::take(&mut state.waiters)
        };
        for waiter in waiters {
            waiter.signal();
        }
    }

    /// The sync that would decide this slot, if that is all it waits for.
    pub(super) fn wanted_sync(&self) -> Option<(Arc<Log>, i64)> {
        self.state.lock().wanted_sync.clone()
    }

    /// Has the waiter signalled at the next change; look at the slot again after this. `false` if
    /// it is registered already.
    pub(super) fn add_waiter(&self, waiter: &Arc<Waiter>) -> bool {
        let mut state = self.state.lock();
        let is_new = !state.waiters.iter().any(|known| Arc::ptr_eq(known, waiter));
        if is_new {
            state.waiters.push(Arc::clone(waiter));
        }
        is_new
    }

    /// Leaves a waker; `false` if the slot is decided already.
    pub(super) fn add_waker(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if self.is_decided() {
            return false;
        }
        if !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        true
    }

    /// Has a callback run in its turn; at once if that has passed.
    pub(super) fn add_callback(&self, ticket: Ticket, callback: Callback) {
        let mut state = self.state.lock();
        if state.delivered {
            let result = state.result(ticket.index);
            drop(state);
            run(callback, self.metadata(ticket, result));
        } else {
            state.callbacks.push((ticket, callback));
        }
    }

    /// Runs the callbacks of a decided slot, in the order of the records.
    pub(super) fn deliver(&self) {
        loop {
            let (mut callbacks, waiters, reservation) = {
                let mut state = self.state.lock();
                let callbacks = std::mem::take(&mut state.callbacks);
                state.delivered = callbacks.is_empty();
                let reservation = state.reservation.take_if(|_| callbacks.is_empty());
                (callbacks, std::mem::take(&mut state.waiters), reservation)
            };
            drop(reservation);
            for waiter in waiters {
                waiter.signal();
            }
            if callbacks.is_empty() {
                return;
            }
            // Those of one record keep the order in which they were added.
            callbacks.sort_by_key(|(ticket, _)| ticket.index);
            for (ticket, callback) in callbacks {
                let result = self.state.lock().result(ticket.index);
                run(callback, self.metadata(ticket, result));
            }
        }
    }
}

/// What became of a batch, for one record after the other. Holds the lock.
pub(super) struct Answers<'a> {
    slot: &'a BatchSlot,
    state: MutexGuard<'a, State>,
}

impl Answers<'_> {
    /// Before which record the answers stop being a run from this one on: placed one after the
    /// other, or failed with the same error.
    pub(super) fn same_as(&self, index: i32) -> i32 {
        self.state.same_as(index)
    }

    /// The answer to one record's delivery.
    pub(super) fn of(&self, ticket: Ticket) -> Result<RecordMetadata> {
        self.slot.metadata(ticket, self.state.result(ticket.index))
    }
}

thread_local! {
    static CALLBACKS: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread is inside a callback: it must not wait for callbacks then.
pub(super) fn in_callback() -> bool {
    CALLBACKS.get() > 0
}

/// Runs a callback. One that panics hurts nobody else.
pub(super) fn run<T>(callback: impl FnOnce(T), argument: T) {
    CALLBACKS.set(CALLBACKS.get() + 1);
    contain(|| callback(argument));
    CALLBACKS.set(CALLBACKS.get() - 1);
}

impl std::fmt::Debug for BatchSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BatchSlot({}, decided: {})", self.home.tp, self.is_decided())
    }
}

/// Records that are written and wait for a sync, with the queue whose callbacks follow.
pub(super) struct AwaitSync<Q: AfterSync> {
    pub(super) slot: Arc<BatchSlot>,
    pub(super) records: Range<i32>,
    pub(super) placed: Placed,
    pub(super) queue: Arc<Q>,
}

/// What is done after a sync decided slots.
pub(super) trait AfterSync: Send + Sync {
    fn after_sync(&self);
}

impl<Q: AfterSync> Synced for AwaitSync<Q> {
    fn synced(&self, result: Result<()>) {
        self.slot.finish(self.records.clone(), result.map(|()| self.placed));
    }

    fn after_sync(&self) {
        self.queue.after_sync();
    }
}
