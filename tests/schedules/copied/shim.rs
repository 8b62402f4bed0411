//! `parking_lot`, `std::thread` and the system's clocks as the source uses them, over `shuttle`.
//!
//! Time is the schedule's: it moves only when a timed wait ends. One of at most [`SHORT`] ends by
//! its timeout as soon as the scheduler runs the thread again, which may be at once or long after
//! whatever it waited for. A longer one never does, so that a wake-up that is lost hangs, and is
//! found, instead of being healed by a timeout.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub(crate) use shuttle::sync::atomic;
use shuttle::sync::{PoisonError, TryLockError};
pub(crate) use shuttle::thread;

/// The longest wait that ends by its timeout.
const SHORT: Duration = Duration::from_secs(1);

std::thread_local! {
    /// A schedule runs all its threads on one thread of the system.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Begins a schedule: the clock stands where it always stands at the beginning.
pub fn begin() {
    NOW.set(Duration::ZERO);
}

/// A timed wait of this length has ended.
fn pass(time: Duration) {
    NOW.set(NOW.get() + time);
}

/// Lets others run, which takes its time.
pub(crate) fn let_pass() {
    thread::yield_now();
    pass(Duration::from_micros(50));
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(NOW.get())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        NOW.get() - self.0
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemTime(Duration);

impl SystemTime {
    pub(crate) const UNIX_EPOCH: Self = Self(Duration::ZERO);

    /// Some time in 2023, and what has passed since.
    pub(crate) fn now() -> Self {
        Self(Duration::from_secs(1_700_000_000) + NOW.get())
    }

    pub(crate) fn duration_since(self, earlier: Self) -> Result<Duration, Before> {
        self.0.checked_sub(earlier.0).ok_or(Before)
    }
}

/// The answer that there never is: this clock does not stand before 1970.
pub(crate) struct Before;

impl Before {
    pub(crate) fn duration(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

pub(crate) struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
    /// Empty only while the lock is let go of.
    held: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    fn hold(&self) -> shuttle::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { lock: self, held: Some(self.hold()) }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = match self.0.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard { lock: self, held: Some(held) })
    }

    pub(crate) fn try_lock_for(&self, patience: Duration) -> Option<MutexGuard<'_, T>> {
        if patience > SHORT {
            return Some(self.lock());
        }
        self.try_lock().or_else(|| {
            thread::yield_now();
            pass(patience);
            self.try_lock()
        })
    }
}

impl<T> MutexGuard<'_, T> {
    pub(crate) fn unlocked<R>(guard: &mut Self, act: impl FnOnce() -> R) -> R {
        struct Relock<'g, 'a, T>(&'g mut MutexGuard<'a, T>);
        impl<T> Drop for Relock<'_, '_, T> {
            fn drop(&mut self) {
                self.0.held = Some(self.0.lock.hold());
            }
        }
        drop(guard.held.take());
        let _relock = Relock(guard);
        act()
    }

    /// Gives the others a chance.
    pub(crate) fn unlock_fair(guard: Self) {
        drop(guard);
        thread::yield_now();
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("the lock is held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("the lock is held")
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

/// Whether a wait ended by its timeout.
pub(crate) struct Outcome(bool);

impl Outcome {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect("the lock is held");
        guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, time: Duration) -> Outcome {
        if time > SHORT {
            self.wait(guard);
            return Outcome(false);
        }
        MutexGuard::unlocked(guard, thread::yield_now);
        pass(time);
        Outcome(true)
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[derive(Default)]
pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

macro_rules! opaque {
    ($($name:ident)+) => {$(
        impl<T> std::fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )+};
}

opaque!(Mutex RwLock);

impl<T> std::fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MutexGuard")
    }
}

/// What the standard library's keys of cells can do.
pub(crate) trait CellKey<T> {
    fn get(&'static self) -> T;
    fn set(&'static self, value: T);
}

impl<T: Copy> CellKey<T> for thread::LocalKey<Cell<T>> {
    fn get(&'static self) -> T {
        self.with(Cell::get)
    }

    fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }
}

macro_rules! locals {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = const { $init:expr };)+) => {
        #[allow(unused_imports)]
        use crate::schedules::CellKey as _;
        shuttle::thread_local! {
            $($(#[$attribute])* static $name: $type = $init;)+
        }
    };
}

pub(crate) use locals;
