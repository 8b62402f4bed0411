//! The one slot that all deliveries of a batch share.
//!
//! A slot is *decided* once. Waiters wake then; callbacks run after, in order, from the queue of
//! the partition, with no lock held.

use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use super::record::RecordMetadata;
use crate::error::Result;
use crate::log::{Log, Synced};
use crate::types::TopicPartition;
use crate::wait::Waiter;

/// What became of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) base_offset: i64,
    pub(crate) log_append_time: Option<i64>,
}

type Callback = Box<dyn FnOnce(Result<RecordMetadata>) + Send>;

/// One record of a batch, for the answer to its delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// Which record of the batch.
    pub(crate) index: i32,
    pub(crate) timestamp: i64,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<Placed>>,
    /// Written, but not yet synced: where the batch ends.
    written: Option<(Arc<Log>, i64, Placed)>,
    waiters: Vec<Arc<Waiter>>,
    wakers: Vec<Waker>,
    callbacks: Vec<(Ticket, Callback)>,
    /// The callbacks have been run; later ones run at once.
    delivered: bool,
}

/// The slot of one batch.
pub(crate) struct BatchSlot {
    tp: TopicPartition,
    state: Mutex<State>,
}

impl BatchSlot {
    pub(crate) fn new(tp: TopicPartition) -> Arc<Self> {
        Arc::new(Self { tp, state: Mutex::default() })
    }

    /// The answer to one record's delivery, if there is one yet.
    pub(crate) fn answer(&self, ticket: Ticket) -> Option<Result<RecordMetadata>> {
        let outcome = self.state.lock().outcome.clone()?;
        Some(self.metadata(ticket, outcome))
    }

    fn metadata(&self, ticket: Ticket, outcome: Result<Placed>) -> Result<RecordMetadata> {
        outcome.map(|placed| RecordMetadata {
            topic_partition: self.tp.clone(),
            offset: Some(placed.base_offset + i64::from(ticket.index)),
            timestamp: placed.log_append_time.unwrap_or(ticket.timestamp),
        })
    }

    pub(crate) fn is_decided(&self) -> bool {
        self.state.lock().outcome.is_some()
    }

    /// Decides the slot and wakes who waits. Only the first decision counts.
    pub(crate) fn decide(&self, outcome: Result<Placed>) {
        let (waiters, wakers) = {
            let mut state = self.state.lock();
            if state.outcome.is_some() {
                return;
            }
            state.outcome = Some(outcome);
            state.written = None;
            (std::mem::take(&mut state.waiters), std::mem::take(&mut state.wakers))
        };
        for waiter in waiters {
            waiter.signal();
        }
        for waker in wakers {
            waker.wake();
        }
    }

    /// The batch is written; a sync up to `end` decides it. Who waits may do that sync.
    pub(crate) fn written(&self, log: &Arc<Log>, end: i64, placed: Placed) {
        let waiters = {
            let mut state = self.state.lock();
            if state.outcome.is_none() {
                state.written = Some((Arc::clone(log), end, placed));
            }
            state.waiters.clone()
        };
        for waiter in waiters {
            waiter.signal();
        }
    }

    /// The sync that would decide this slot, if that is all it waits for.
    pub(crate) fn wanted_sync(&self) -> Option<(Arc<Log>, i64)> {
        self.state.lock().written.as_ref().map(|(log, end, _)| (Arc::clone(log), *end))
    }

    /// Has the waiter signalled when something changes; look at the slot again after this.
    pub(crate) fn add_waiter(&self, waiter: &Arc<Waiter>) {
        self.state.lock().waiters.push(Arc::clone(waiter));
    }

    /// Leaves a waker; `false` if the slot is decided already.
    pub(crate) fn add_waker(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return false;
        }
        if !state.wakers.iter().any(|known| known.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        true
    }

    /// Has a callback run in its turn; at once if that has passed.
    pub(crate) fn add_callback(&self, ticket: Ticket, callback: Callback) {
        let mut state = self.state.lock();
        match (state.delivered, state.outcome.clone()) {
            (true, Some(outcome)) => {
                drop(state);
                run(callback, self.metadata(ticket, outcome));
            }
            _ => state.callbacks.push((ticket, callback)),
        }
    }

    /// Runs the callbacks of a decided slot, in the order of the records.
    pub(crate) fn deliver(&self) {
        loop {
            let (callbacks, outcome) = {
                let mut state = self.state.lock();
                let Some(outcome) = state.outcome.clone() else { return };
                let mut callbacks = std::mem::take(&mut state.callbacks);
                if callbacks.is_empty() {
                    state.delivered = true;
                    return;
                }
                callbacks.sort_by_key(|(ticket, _)| ticket.index);
                (callbacks, outcome)
            };
            for (ticket, callback) in callbacks {
                run(callback, self.metadata(ticket, outcome.clone()));
            }
        }
    }
}

/// A callback that panics hurts nobody else.
fn run(callback: Callback, answer: Result<RecordMetadata>) {
    let call = std::panic::AssertUnwindSafe(|| callback(answer));
    // The panic has been reported by the panic hook; there is nobody to hand it to.
    let _ = std::panic::catch_unwind(call);
}

impl std::fmt::Debug for BatchSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BatchSlot({}, decided: {})", self.tp, self.is_decided())
    }
}

/// A slot waiting for the sync of its batch, with the queue whose callbacks follow.
pub(crate) struct AwaitSync<Q: AfterSync> {
    pub(crate) slot: Arc<BatchSlot>,
    pub(crate) queue: Arc<Q>,
}

/// What is done after a sync decided slots.
pub(crate) trait AfterSync: Send + Sync {
    fn after_sync(&self);
}

impl<Q: AfterSync> Synced for AwaitSync<Q> {
    fn synced(&self, result: Result<()>) {
        let placed = self.slot.state.lock().written.take().map(|(_, _, placed)| placed);
        if let Some(placed) = placed {
            self.slot.decide(result.map(|()| placed));
        }
    }

    fn after_sync(&self) {
        self.queue.after_sync();
    }
}
