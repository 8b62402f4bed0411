//! Group commit: one `fdatasync` covers every batch written before it began.
//!
//! Whoever needs durability and finds no sync running becomes the leader: it notes the log end,
//! syncs every segment with bytes past the recovery point, oldest first, then the directory if
//! files were made, and only then moves the recovery point. The others wait for it; those who wrote
//! after it began lead the next one. No append lock is held, and a failed sync is never retried:
//! afterwards the page cache says "clean" about bytes that never reached the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::Result;
use crate::wait::{Quiet, contain};

/// Somebody to be told when everything below an offset is durable, or when that failed.
pub(crate) trait Synced: Send + Sync {
    /// Takes the outcome. Runs no user code but wakers: others wait for theirs.
    fn synced(&self, result: Result<()>);
    /// Everybody has the outcome; user code may run now, with no lock held.
    fn after_sync(&self);
}

/// Gives the outcome to all before any of them runs user code, which may wait for another.
fn tell(told: &[(i64, Arc<dyn Synced>)], result: &Result<()>) {
    for (_, waiter) in told {
        contain(|| waiter.synced(result.clone()));
    }
    for (_, waiter) in told {
        contain(|| waiter.after_sync());
    }
}

/// The durable part of a partition, and who waits for more.
pub(crate) struct GroupSync {
    /// Everything below is durable. Moves only after a sync that succeeded.
    recovery_point: AtomicI64,
    /// Files were made since the directory was last synced.
    dir_dirty: AtomicBool,
    state: Mutex<State>,
    finished: Condvar,
}

#[derive(Default)]
struct State {
    running: bool,
    failed: Option<crate::error::Error>,
    waiting: Vec<(i64, Arc<dyn Synced>)>,
}

impl GroupSync {
    pub(crate) fn new(recovery_point: i64) -> Self {
        Self {
            recovery_point: AtomicI64::new(recovery_point),
            dir_dirty: AtomicBool::new(false),
            state: Mutex::default(),
            finished: Condvar::new(),
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

    /// Returns when everything below `end` is durable, or when another thread's sync has taken
    /// longer than `patience` (`false`). `sync` makes durable what is in the log when it is called
    /// and answers up to which offset. It runs without any lock of this type.
    pub(crate) fn sync_to(
        &self,
        end: i64,
        patience: Option<Duration>,
        sync: impl Fn() -> Result<i64>,
    ) -> Result<bool> {
        loop {
            {
                let mut state = self.state.lock();
                loop {
                    if let Some(error) = &state.failed {
                        return Err(error.clone());
                    }
                    if self.recovery_point() >= end {
                        return Ok(true);
                    }
                    if !state.running {
                        break;
                    }
                    match patience {
                        None => self.finished.wait(&mut state),
                        Some(patience) => {
                            if self.finished.wait_for(&mut state, patience).timed_out() {
                                return Ok(false);
                            }
                        }
                    }
                }
                state.running = true;
            }
            // A sync that fails wakes readers, which may ask for one.
            let quiet = Quiet::new();
            let outcome = sync();
            self.finish(outcome, quiet);
        }
    }

    fn finish(&self, outcome: Result<i64>, quiet: Quiet) {
        let (told, result): (Vec<_>, _) = {
            let mut state = self.state.lock();
            state.running = false;
            let told = match &outcome {
                Ok(durable) => {
                    self.recovery_point.fetch_max(*durable, Ordering::AcqRel);
                    let durable = self.recovery_point();
                    let waiting = std::mem::take(&mut state.waiting);
                    let (told, rest) = waiting.into_iter().partition(|(end, _)| *end <= durable);
                    state.waiting = rest;
                    told
                }
                Err(error) => {
                    state.failed = Some(error.clone());
                    std::mem::take(&mut state.waiting)
                }
            };
            self.finished.notify_all();
            (told, outcome.map(|_| ()))
        };
        drop(quiet);
        tell(&told, &result);
    }

    /// Ends all waiting with this error; nothing will be synced any more.
    pub(crate) fn fail(&self, error: &crate::error::Error) {
        let told = {
            let mut state = self.state.lock();
            state.failed.get_or_insert_with(|| error.clone());
            self.finished.notify_all();
            std::mem::take(&mut state.waiting)
        };
        tell(&told, &Err(error.clone()));
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
