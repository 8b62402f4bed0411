//! `buffer.memory`: how many bytes a producer may hold that are not delivered yet.
//!
//! Every batch reserves its size when it is opened and gives it back when it is decided and its
//! callbacks have run, as in Kafka: slow callbacks hold senders back. Whoever finds nothing free
//! queues up, so that a large batch is not starved by small ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use parking_lot::Mutex;

use crate::wait::{WaitQueue, Waiter};

/// The memory of one producer.
pub(super) struct Memory {
    total: usize,
    /// How many wait; read without the lock by those who wake.
    waiting: AtomicUsize,
    /// Futures that wait. They have no turn: one that nobody polls would hold up all behind it.
    pub(super) awaiting: WaitQueue,
    state: Mutex<State>,
}

struct State {
    /// May be more than there is, by what callbacks took.
    used: usize,
    /// Who waits, in the order they came.
    queue: VecDeque<Arc<Waiter>>,
    /// Buffers of batches that are done, for batches to come.
    buffers: Vec<Vec<u8>>,
    /// Bytes in `buffers`.
    kept: usize,
}

impl Memory {
    pub(super) fn new(total: usize) -> Arc<Self> {
        let state = State { used: 0, queue: VecDeque::new(), buffers: Vec::new(), kept: 0 };
        let (waiting, awaiting) = (AtomicUsize::new(0), WaitQueue::new());
        Arc::new(Self { total, waiting, awaiting, state: Mutex::new(state) })
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Bytes that are not reserved.
    pub(super) fn free(&self) -> usize {
        self.total.saturating_sub(self.state.lock().used)
    }

    /// Reserves memory if it is free and nobody has waited longer.
    pub(super) fn try_reserve(self: &Arc<Self>, size: usize) -> Option<Reservation> {
        let mut state = self.state.lock();
        if !state.queue.is_empty() {
            return None;
        }
        self.take(&mut state, size)
    }

    fn take(self: &Arc<Self>, state: &mut State, size: usize) -> Option<Reservation> {
        let used = state.used.checked_add(size).filter(|used| *used <= self.total)?;
        state.used = used;
        Some(Reservation { memory: Arc::clone(self), size })
    }

    /// Reserves memory that may not be there: for a callback, which must not wait for memory that
    /// comes free when it returns.
    pub(super) fn overdraw(self: &Arc<Self>, size: usize) -> Reservation {
        let mut state = self.state.lock();
        state.used = state.used.saturating_add(size);
        Reservation { memory: Arc::clone(self), size }
    }

    /// Takes a place at the end of the queue.
    pub(super) fn queue(self: &Arc<Self>) -> Place {
        let waiter = Waiter::new();
        let mut state = self.state.lock();
        state.queue.push_back(Arc::clone(&waiter));
        self.waiting.store(state.queue.len(), Ordering::SeqCst);
        drop(state);
        // Who comes looks for batches to run after this.
        fence(Ordering::SeqCst);
        Place { memory: Arc::clone(self), waiter }
    }

    /// Wakes who waits longest, if anybody does: a batch was opened that it can run to free memory.
    pub(super) fn wake_first(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) == 0 {
            self.awaiting.wake_all();
            return;
        }
        let first = self.state.lock().queue.front().cloned();
        self.wake_next(first);
    }

    /// Wakes who is next in the queue, or the futures if nobody is in it.
    fn wake_next(&self, next: Option<Arc<Waiter>>) {
        match next {
            Some(next) => next.signal(),
            None => self.awaiting.wake_all(),
        }
    }

    /// Wakes everybody in the queue, because nothing will come free any more.
    pub(super) fn wake_all(&self) {
        let waiting = self.state.lock().queue.clone();
        waiting.iter().for_each(|waiter| waiter.signal());
        self.awaiting.wake_all();
    }

    /// An empty buffer: that of an earlier batch if there is one, else one of this capacity.
    pub(super) fn take_buffer(&self, capacity: usize) -> Vec<u8> {
        let mut state = self.state.lock();
        let Some(buffer) = state.buffers.pop() else {
            drop(state);
            return Vec::with_capacity(capacity);
        };
        state.kept -= buffer.capacity().min(state.kept);
        buffer
    }

    /// Keeps the buffer of a batch that is written, within a quarter of the memory.
    pub(super) fn give_buffer(&self, buffer: Vec<u8>) {
        let mut state = self.state.lock();
        let kept = state.kept.saturating_add(buffer.capacity());
        if kept <= self.total / 4 {
            state.kept = kept;
            state.buffers.push(buffer);
        }
    }
}

/// Reserved memory; free again when this is dropped.
pub(super) struct Reservation {
    memory: Arc<Memory>,
    size: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let next = {
            let mut state = self.memory.state.lock();
            state.used = state.used.saturating_sub(self.size);
            state.queue.front().cloned()
        };
        self.memory.wake_next(next);
    }
}

/// A place in the queue for memory; given up when this is dropped.
pub(super) struct Place {
    memory: Arc<Memory>,
    pub(super) waiter: Arc<Waiter>,
}

impl Place {
    fn leads(&self, state: &State) -> bool {
        state.queue.front().is_some_and(|first| Arc::ptr_eq(first, &self.waiter))
    }

    /// Whether nobody has waited longer.
    pub(super) fn is_first(&self) -> bool {
        self.leads(&self.memory.state.lock())
    }

    /// Reserves memory if it is free and this place is the first.
    pub(super) fn try_reserve(&self, size: usize) -> Option<Reservation> {
        let mut state = self.memory.state.lock();
        if self.leads(&state) { self.memory.take(&mut state, size) } else { None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = {
            let mut state = self.memory.state.lock();
            state.queue.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
            self.memory.waiting.store(state.queue.len(), Ordering::SeqCst);
            state.queue.front().cloned()
        };
        self.memory.wake_next(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_when_its_reservation_goes() {
        let memory = Memory::new(100);
        let held = memory.try_reserve(60).unwrap();
        assert!(memory.try_reserve(41).is_none());
        let rest = memory.try_reserve(40).unwrap();
        assert_eq!(memory.free(), 0);
        drop((held, rest));
        assert_eq!(memory.free(), 100);
    }

    #[test]
    fn a_callback_may_take_more_than_there_is() {
        let memory = Memory::new(100);
        let (held, more) = (memory.try_reserve(100).unwrap(), memory.overdraw(50));
        drop(held);
        assert_eq!(memory.free(), 50);
        drop(more);
        assert_eq!(memory.free(), 100);
    }

    #[test]
    fn who_waits_longer_goes_first() {
        let memory = Memory::new(100);
        let held = memory.try_reserve(60).unwrap();
        let (large, small) = (memory.queue(), memory.queue());
        assert!(large.try_reserve(80).is_none());
        assert!(small.try_reserve(10).is_none(), "there is room, but not its turn");
        assert!(memory.try_reserve(10).is_none(), "nor that of a newcomer");
        drop(held);
        let held = large.try_reserve(80).unwrap();
        drop(large);
        let other = small.try_reserve(10).unwrap();
        drop((small, held, other));
        assert!(memory.try_reserve(100).is_some());
    }

    #[test]
    fn buffers_are_used_again_within_the_limit() {
        let memory = Memory::new(1000);
        memory.give_buffer(Vec::with_capacity(200));
        memory.give_buffer(Vec::with_capacity(100));
        assert_eq!(memory.take_buffer(50).capacity(), 200);
        assert_eq!(memory.take_buffer(50).capacity(), 50);
    }
}
