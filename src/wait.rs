//! One wait queue for threads and futures.
//!
//! A [`Waiter`] is whoever wants to know that something changed; a [`WaitQueue`] is the place
//! where the change happens. Waking costs one atomic load when nobody waits.
//!
//! The protocol that loses no wake-up: the waiter adds itself to the queue, *then* looks whether
//! the thing it waits for is there, then parks; the other side makes the change, *then* wakes.
//! Both sides put a sequentially consistent fence in between.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::time::{Clock, Idle};
use crate::trace::{Hold, hold};

/// Runs a user's code where others depend on what comes after it: a panic in it hurts nobody else.
pub(crate) fn contain(user_code: impl FnOnce()) {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(user_code));
    caught.unwrap_or_else(discard);
}

/// Drops what a user's code panicked with. The panic has been reported by the panic hook; there is
/// nobody to hand it to. Dropping it is the user's code, too.
pub(crate) fn discard(panic: Box<dyn std::any::Any + Send>) {
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(panic)));
    // One that panics even then is left where it is.
    dropped.unwrap_or_else(std::mem::forget);
}

thread_local! {
    /// How many [`Quiet`]s this thread has, and the wakers that wait for the last of them to go.
    static QUIET: Cell<usize> = const { Cell::new(0) };
    static HELD: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, this thread wakes threads but no futures: a waker is the user's code, and may
/// call whatever the locks of this thread guard. Made before the lock is taken, so that it goes
/// after the lock, and wakes them then. Nothing of the user's may run meanwhile: it could wait for
/// a future that is held back here.
#[derive(Debug)]
pub(crate) struct Quiet(PhantomData<*const ()>, Hold);

impl Quiet {
    pub(crate) fn new() -> Self {
        QUIET.set(QUIET.get() + 1);
        Self(PhantomData, hold())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(QUIET.get().saturating_sub(1));
        if QUIET.get() == 0 {
            // A thread that ends has let go of its wakers; others come to what they were for.
            for waker in HELD.try_with(RefCell::take).unwrap_or_default() {
                contain(|| waker.wake());
            }
        }
    }
}

/// Wakes a future, as soon as that is allowed.
pub(crate) fn wake(waker: Waker) {
    if QUIET.get() > 0 {
        let held = HELD.try_with(|held| held.borrow_mut().push(waker.clone()));
        if held.is_err() {
            // The thread ends, and can hold nothing back any more.
            contain(|| waker.wake());
        }
    } else {
        contain(|| waker.wake());
    }
}

/// A lock under which no future is woken; see [`Quiet`].
#[derive(Debug, Default)]
pub(crate) struct QuietMutex<T>(Mutex<T>);

/// The lock while it is held. The fields go in this order.
#[derive(Debug)]
pub(crate) struct QuietGuard<'a, T> {
    guard: MutexGuard<'a, T>,
    quiet: Option<Quiet>,
}

impl<T> QuietMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> QuietGuard<'_, T> {
        let quiet = Quiet::new();
        QuietGuard { guard: self.0.lock(), quiet: Some(quiet) }
    }
}

impl<T> QuietGuard<'_, T> {
    /// Lets go of the lock while `act` runs, which may be the user's code.
    pub(crate) fn unlocked<R>(&mut self, act: impl FnOnce() -> R) -> R {
        let quiet = &mut self.quiet;
        MutexGuard::unlocked(&mut self.guard, || {
            drop(quiet.take());
            let answer = act();
            *quiet = Some(Quiet::new());
            answer
        })
    }
}

impl<T> Deref for QuietGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for QuietGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Somebody who can be woken: a thread that parks, or a future that left its waker.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    state: Mutex<WaiterState>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct WaiterState {
    signalled: bool,
    waker: Option<Waker>,
}

impl Waiter {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Wakes the thread or future; remembered when nobody is parked yet.
    pub(crate) fn signal(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.signalled = true;
            self.woken.notify_all();
            state.waker.take()
        };
        if let Some(waker) = waker {
            wake(waker);
        }
    }

    /// Leaves a waker for the next signal; `false` if there was one already, which is consumed.
    pub(crate) fn leave(&self, waker: &Waker) -> bool {
        // Cloning and dropping wakers is the user's code as well.
        let mut waker = Some(waker.clone());
        let mut state = self.state.lock();
        let signalled = std::mem::take(&mut state.signalled);
        if !signalled {
            std::mem::swap(&mut state.waker, &mut waker);
        }
        drop(state);
        !signalled
    }

    /// Blocks until signalled (`true`) or until the monotonic `deadline` has passed (`false`).
    /// Consumes the signal.
    pub(crate) fn park(self: &Arc<Self>, clock: &Clock, deadline: Option<Duration>) -> bool {
        loop {
            let mut state = self.state.lock();
            if std::mem::take(&mut state.signalled) {
                return true;
            }
            let left = match deadline {
                None => None,
                Some(deadline) => match deadline.checked_sub(clock.monotonic()) {
                    None | Some(Duration::ZERO) => return false,
                    left => left,
                },
            };
            match clock.idle() {
                Idle::Sleep => match left {
                    Some(left) => {
                        self.woken.wait_for(&mut state, left);
                    }
                    None => self.woken.wait(&mut state),
                },
                #[cfg(feature = "testing")]
                Idle::Advance(mock) => {
                    drop(state);
                    // Nothing due and no deadline: only another thread can help.
                    if !mock.run_next(deadline) && deadline.is_none() {
                        let mut state = self.state.lock();
                        if !state.signalled {
                            self.woken.wait(&mut state);
                        }
                    }
                }
                #[cfg(feature = "testing")]
                Idle::Parked(mock) => {
                    let thread: Arc<dyn crate::time::Poke> = Arc::clone(self) as _;
                    mock.park(Arc::clone(&thread));
                    // Moving the clock pokes under this lock, so it is seen either by the check
                    // or by the wait.
                    if deadline.is_none_or(|deadline| clock.monotonic() < deadline) {
                        self.woken.wait(&mut state);
                    }
                    drop(state);
                    mock.unpark(&thread);
                }
            }
        }
    }
}

#[cfg(feature = "testing")]
impl crate::time::Poke for Waiter {
    fn poke(&self) {
        let _state = self.state.lock();
        self.woken.notify_all();
    }
}

/// The waiters of one thing.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    /// How many wait; read without the lock by those who wake.
    count: AtomicUsize,
    waiters: Mutex<Vec<Arc<Waiter>>>,
}

impl WaitQueue {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a waiter; it must look at what it waits for after this and before parking.
    pub(crate) fn add(&self, waiter: &Arc<Waiter>) {
        let mut waiters = self.waiters.lock();
        waiters.push(Arc::clone(waiter));
        self.count.store(waiters.len(), Ordering::SeqCst);
        drop(waiters);
        fence(Ordering::SeqCst);
    }

    /// Removes one entry of this waiter.
    pub(crate) fn remove(&self, waiter: &Arc<Waiter>) {
        let mut waiters = self.waiters.lock();
        if let Some(index) = waiters.iter().position(|w| Arc::ptr_eq(w, waiter)) {
            waiters.swap_remove(index);
        }
        self.count.store(waiters.len(), Ordering::SeqCst);
    }

    /// Wakes everybody in the queue; they stay in it until they remove themselves.
    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Wakers are user code: call them without the lock.
        let waiters: Vec<Arc<Waiter>> = self.waiters.lock().clone();
        for waiter in waiters {
            waiter.signal();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_signal_before_parking_is_not_lost() {
        let waiter = Waiter::new();
        waiter.signal();
        assert!(waiter.park(&Clock::system(), None));
    }

    #[test]
    fn parking_ends_at_the_deadline() {
        let clock = Clock::system();
        let deadline = clock.deadline(Duration::from_millis(5));
        assert!(!Waiter::new().park(&clock, deadline));
        assert!(clock.monotonic() >= deadline.unwrap());
    }

    #[test]
    fn every_waiter_is_woken_across_threads() {
        let queue = WaitQueue::new();
        let ready = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let waiter = Waiter::new();
                    queue.add(&waiter);
                    while !ready.load(Ordering::SeqCst) {
                        waiter.park(&Clock::system(), None);
                    }
                    queue.remove(&waiter);
                });
            }
            ready.store(true, Ordering::SeqCst);
            queue.wake_all();
        });
        assert_eq!(queue.count.load(Ordering::SeqCst), 0);
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_future_is_woken_once_the_last_lock_is_let_go() {
        let (first, second) = (QuietMutex::<()>::default(), QuietMutex::<()>::default());
        let count = Arc::new(Count::default());
        let (waiter, waker) = (Waiter::new(), Waker::from(Arc::clone(&count)));
        assert!(waiter.leave(&waker));
        let outer = first.lock();
        let inner = second.lock();
        waiter.signal();
        drop(inner);
        assert_eq!(count.0.load(Ordering::SeqCst), 0, "the first lock is held");
        drop(outer);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(!waiter.leave(&waker), "the signal is remembered");
        assert!(waiter.leave(&waker), "once");
    }

    #[test]
    fn a_waker_left_again_is_woken_once() {
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let waiter = Waiter::new();
        for count in &counts {
            assert!(waiter.leave(&Waker::from(Arc::clone(count))));
        }
        waiter.signal();
        waiter.signal();
        let woken = counts.map(|count| count.0.load(Ordering::SeqCst));
        assert_eq!(woken, [0, 1]);
    }

    #[test]
    fn waking_nobody_takes_no_lock() {
        let queue = WaitQueue::new();
        let held = queue.waiters.lock();
        queue.wake_all();
        drop(held);
    }
}
