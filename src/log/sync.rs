//! Group commit: one `fdatasync` covers every batch written before it began.
//!
//! Whoever needs durability and finds no sync running becomes the leader: it notes the log end,
//! syncs every segment with bytes past the recovery point, oldest first, then the directory if
//! files were made, and only then moves the recovery point. The others wait for it; those who wrote
//! after it began lead the next one. No append lock is held, and a failed sync is never retried:
//! afterwards the page cache says "clean" about bytes that never reached the disk.
//!
//! Threads that wait for one sync after the other come back together, a moment after it. Whoever is
//! the first of them would sync for itself alone and keep the others waiting for all of it, so it
//! lets them run until there are as many as there were, for no longer than a sync takes. It stays
//! awake: to be woken would take longer than they need. One that is alone never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::Result;
use crate::time::let_others_run;
use crate::wait::{Quiet, contain};

/// A sync waits for company for as long as the last one took, which is what it may save, and for no
/// longer than this.
const GATHER_MAX: Duration = Duration::from_millis(1);

/// Somebody to be told when everything below an offset is durable, or when that failed.
pub(crate) trait Synced: Send + Sync {
    /// Takes the outcome. Runs no user code but wakers: others wait for theirs.
    fn synced(&self, result: Result<()>);
    /// Everybody has the outcome; user code may run now, with no lock held.
    fn after_sync(&self);
}

/// The durable part of a partition, and who waits for more.
pub(crate) struct GroupSync {
    /// Everything below is durable. Moves only after a sync that succeeded.
    recovery_point: AtomicI64,
    /// Files were made since the directory was last synced.
    dir_dirty: AtomicBool,
    state: Mutex<State>,
    /// How long the last sync took, in nanoseconds.
    took: AtomicU64,
}

#[derive(Default)]
struct State {
    running: bool,
    /// A thread that will lead waits for others.
    gathering: bool,
    /// How many threads were here when the last sync ended.
    expected: usize,
    failed: Option<crate::error::Error>,
    waiting: Vec<Told>,
    sleepers: Vec<Sleeper>,
}

/// Who is told, and up to where it must be durable.
type Told = (i64, Arc<dyn Synced>);
/// A thread that sleeps until a sync has reached there, or until it is to lead one.
type Sleeper = (i64, Arc<Condvar>);

impl GroupSync {
    pub(crate) fn new(recovery_point: i64) -> Self {
        Self {
            recovery_point: AtomicI64::new(recovery_point),
            dir_dirty: AtomicBool::new(false),
            state: Mutex::default(),
            took: AtomicU64::new(0),
        }
    }

    pub(crate) fn recovery_point(&self) -> i64 {
        self.recovery_point.load(Ordering::Acquire)
    }

    /// A file was made in the directory, so the next sync includes it.
    pub(crate) fn mark_dir(&self) {
        self.dir_dirty.store(true, Ordering::Release);
    }

    /// Has `waiter` told once everything below `end` is durable. Where that is known already the
    /// answer comes back at once, and nobody is told: user code may hang on being told.
    pub(crate) fn join(&self, end: i64, waiter: Arc<dyn Synced>) -> Option<Result<()>> {
        let mut state = self.state.lock();
        match &state.failed {
            Some(error) => Some(Err(error.clone())),
            None if self.recovery_point() >= end => Some(Ok(())),
            None => {
                state.waiting.push((end, waiter));
                None
            }
        }
    }

    /// Whether the directory must be synced too. A sync asks *after* it noted the log end: a file
    /// is marked before bytes in it are published, so it cannot cover those without the mark.
    pub(crate) fn take_dir_mark(&self) -> bool {
        self.dir_dirty.swap(false, Ordering::AcqRel)
    }

    /// Takes note of how long a sync took.
    pub(crate) fn note_time(&self, took: Duration) {
        self.took.store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns when everything below `end` is durable, or when another thread's sync, and what it
    /// waits for, have taken longer than `patience` (`false`). `sync` makes durable what is in the
    /// log when it is called and answers up to which offset. It runs without any lock of this type.
    pub(crate) fn sync_to(
        &self,
        end: i64,
        patience: Option<Duration>,
        sync: impl Fn() -> Result<i64>,
    ) -> Result<bool> {
        let mut state = self.state.lock();
        let mut may_gather = true;
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if self.recovery_point() >= end {
                return Ok(true);
            }
            if !state.running && !state.gathering {
                if may_gather {
                    may_gather = false;
                    self.gather(&mut state);
                    continue;
                }
                state.running = true;
                MutexGuard::unlocked(&mut state, || self.lead(&sync));
            } else if !wait(&mut state, end, patience) {
                return Ok(false);
            }
        }
    }

    /// Lets other threads run until as many are here as when the last sync ended.
    fn gather(&self, state: &mut MutexGuard<'_, State>) {
        let limit = GATHER_MAX.min(Duration::from_nanos(self.took.load(Ordering::Relaxed)));
        if limit.is_zero() || state.present() >= state.expected {
            return;
        }
        state.gathering = true;
        let is_complete = || {
            let state = self.state.lock();
            state.present() >= state.expected
        };
        MutexGuard::unlocked(state, || let_others_run(limit, is_complete));
        state.gathering = false;
    }

    /// Syncs, and tells everybody whom that concerns.
    fn lead(&self, sync: &impl Fn() -> Result<i64>) {
        // A sync that fails wakes readers, which may ask for one. Nor are futures woken before all
        // threads are: they are the user's code, and may wait for one of those.
        let quiet = Quiet::new();
        let outcome = sync();
        let (told, sleepers) = {
            let mut state = self.state.lock();
            state.running = false;
            state.expected = state.present();
            match &outcome {
                Ok(durable) => {
                    self.recovery_point.fetch_max(*durable, Ordering::AcqRel);
                    state.take_served(self.recovery_point())
                }
                Err(error) => {
                    state.failed = Some(error.clone());
                    state.take_all()
                }
            }
        };
        tell(&told, &sleepers, &outcome.map(|_| ()), quiet);
    }

    /// Ends all waiting with this error; nothing will be synced any more.
    pub(crate) fn fail(&self, error: &crate::error::Error) {
        let quiet = Quiet::new();
        let (told, sleepers) = {
            let mut state = self.state.lock();
            state.failed.get_or_insert_with(|| error.clone());
            state.take_all()
        };
        tell(&told, &sleepers, &Err(error.clone()), quiet);
    }
}

/// Gives the outcome to all and wakes the threads before any of them runs user code, which may wait
/// for another.
fn tell(told: &[Told], sleepers: &[Sleeper], result: &Result<()>, quiet: Quiet) {
    for (_, waiter) in told {
        contain(|| waiter.synced(result.clone()));
    }
    for (_, thread) in sleepers {
        thread.notify_all();
    }
    drop(quiet);
    for (_, waiter) in told {
        contain(|| waiter.after_sync());
    }
}

/// Sleeps until another thread's sync is over, or asks for a leader; `false` if that takes longer
/// than `patience`.
fn wait(state: &mut MutexGuard<'_, State>, end: i64, patience: Option<Duration>) -> bool {
    // One for each, so that nobody is woken for nothing, or only after another.
    let woken = Arc::new(Condvar::new());
    state.sleepers.push((end, Arc::clone(&woken)));
    let timed_out = match patience {
        None => {
            woken.wait(state);
            false
        }
        Some(patience) => woken.wait_for(state, patience).timed_out(),
    };
    // Who is not there any more was woken, perhaps to lead.
    let known = state.sleepers.iter().position(|(_, other)| Arc::ptr_eq(other, &woken));
    if let Some(at) = known {
        state.sleepers.remove(at);
    }
    known.is_none() || !timed_out
}

impl State {
    /// The leader and those who sleep.
    fn present(&self) -> usize {
        self.sleepers.len() + 1
    }

    /// Takes who waits for what is durable now, and the thread that is to lead the next sync.
    fn take_served(&mut self, durable: i64) -> (Vec<Told>, Vec<Sleeper>) {
        let told = self.waiting.extract_if(.., |(end, _)| *end <= durable).collect();
        let mut sleepers: Vec<_> =
            self.sleepers.extract_if(.., |(end, _)| *end <= durable).collect();
        sleepers.extend(self.sleepers.pop());
        (told, sleepers)
    }

    fn take_all(&mut self) -> (Vec<Told>, Vec<Sleeper>) {
        (std::mem::take(&mut self.waiting), std::mem::take(&mut self.sleepers))
    }
}

impl std::fmt::Debug for GroupSync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GroupSync(recovery point {})", self.recovery_point())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Told(Mutex<Vec<Result<()>>>);

    impl Synced for Told {
        fn synced(&self, result: Result<()>) {
            self.0.lock().push(result);
        }

        fn after_sync(&self) {}
    }

    #[test]
    fn one_sync_covers_everybody_who_wrote_before_it_began() {
        let sync = GroupSync::new(0);
        let (early, late) = (Arc::new(Told::default()), Arc::new(Told::default()));
        assert!(sync.join(5, Arc::clone(&early) as _).is_none());
        assert!(sync.join(9, Arc::clone(&late) as _).is_none());
        assert!(sync.sync_to(3, None, || Ok(5)).is_ok());
        assert_eq!(early.0.lock().len(), 1);
        assert!(late.0.lock().is_empty(), "written after the sync began");
        assert!(sync.sync_to(9, None, || Ok(9)).is_ok());
        assert_eq!(late.0.lock().len(), 1);
        assert!(matches!(sync.join(9, Arc::clone(&late) as _), Some(Ok(()))));
        assert_eq!(late.0.lock().len(), 1, "who knows already is not told");
    }

    #[test]
    fn a_failed_sync_is_never_retried_and_everybody_hears_of_it() {
        let sync = GroupSync::new(0);
        let waiter = Arc::new(Told::default());
        assert!(sync.join(5, Arc::clone(&waiter) as _).is_none());
        let calls = AtomicUsize::new(0);
        let fails = || {
            calls.fetch_add(1, Ordering::SeqCst);
            Err(Error::new(ErrorKind::Io, "disk gone"))
        };
        assert!(sync.sync_to(1, None, fails).is_err());
        assert!(sync.sync_to(1, None, fails).is_err());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert!(waiter.0.lock().first().unwrap().is_err());
        assert_eq!(sync.recovery_point(), 0);
    }

    #[test]
    fn nobody_waits_longer_for_anothers_sync_than_they_have_patience() {
        let sync = GroupSync::new(0);
        let (began, go) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sync.sync_to(5, None, || {
                    began.wait();
                    go.wait();
                    Ok(5)
                })
            });
            began.wait();
            let patience = Some(Duration::from_millis(1));
            assert!(!sync.sync_to(5, patience, || Ok(9)).unwrap());
            go.wait();
        });
        assert_eq!(sync.recovery_point(), 5);
    }

    /// A sync that ends wakes whom it served, and one more if there are others: that one leads.
    #[test]
    fn who_wrote_too_late_for_a_sync_leads_the_next() {
        let sync = GroupSync::new(0);
        let (began, go) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        let calls = AtomicUsize::new(0);
        let late = || {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok(9)
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sync.sync_to(5, None, || {
                    began.wait();
                    go.wait();
                    Ok(5)
                })
            });
            began.wait();
            for end in [4, 8, 9] {
                let (sync, late) = (&sync, &late);
                scope.spawn(move || assert!(sync.sync_to(end, None, late).unwrap()));
            }
            while sync.state.lock().sleepers.len() < 3 {
                std::thread::yield_now();
            }
            go.wait();
        });
        assert_eq!(calls.load(Ordering::SeqCst), 1, "one of the two leads, for both");
        assert_eq!(sync.recovery_point(), 9);
    }

    #[test]
    fn a_leader_waits_for_as_many_as_there_were_but_not_for_long() {
        let sync = GroupSync::new(0);
        sync.state.lock().expected = 2;
        sync.note_time(Duration::from_secs(1));
        let began = std::time::Instant::now();
        assert!(sync.sync_to(1, None, || Ok(1)).unwrap());
        assert!(began.elapsed() >= GATHER_MAX);
        assert_eq!(sync.state.lock().expected, 1, "the next one finds itself alone");
    }

    #[test]
    fn who_comes_while_another_waits_for_company_is_in_its_sync() {
        let sync = GroupSync::new(0);
        sync.state.lock().expected = 3;
        sync.note_time(Duration::from_secs(1));
        let calls = AtomicUsize::new(0);
        let count = || {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok(9)
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| sync.sync_to(1, None, count));
            while !sync.state.lock().gathering && !first.is_finished() {
                std::thread::yield_now();
            }
            let second = scope.spawn(|| sync.sync_to(2, None, count));
            for thread in [first, second] {
                assert!(thread.join().unwrap().unwrap());
            }
        });
        let state = sync.state.lock();
        // Where the second was late, each has led one.
        assert!((1..=2).contains(&calls.load(Ordering::SeqCst)));
        assert!(!state.gathering && !state.running && state.sleepers.is_empty());
    }

    #[test]
    fn threads_share_syncs() {
        let sync = GroupSync::new(0);
        let end = AtomicI64::new(0);
        let calls = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let mine = end.fetch_add(1, Ordering::SeqCst) + 1;
                        sync.sync_to(mine, None, || {
                            calls.fetch_add(1, Ordering::SeqCst);
                            let upto = end.load(Ordering::SeqCst);
                            std::thread::yield_now();
                            Ok(upto)
                        })
                        .unwrap();
                        assert!(sync.recovery_point() >= mine);
                    }
                });
            }
        });
        assert!(calls.load(Ordering::SeqCst) <= 800);
        assert_eq!(sync.recovery_point(), 800);
    }
}
