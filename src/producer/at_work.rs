//! Who is at work on a producer's batches, where time passes only while somebody waits.
//!
//! On a mock clock whoever waits moves the clock on. A thread that waits for what another one is
//! writing at this moment would move it to the end of its own patience, and give up a record that
//! is delivered the next moment. No time passes while somebody is at work, unless that takes so
//! long that a callback must be waiting for the one who waits.

use std::thread::ThreadId;
use std::time::Duration;

use parking_lot::Mutex;

use crate::time::rest;

/// How often others are waited for, so long each time: a second of the system's time.
const RESTS_MAX: u32 = 10_000;
const REST: Duration = Duration::from_micros(100);

/// The threads that are running batches of one producer.
#[derive(Debug, Default)]
pub(super) struct AtWork(Mutex<Vec<ThreadId>>);

impl AtWork {
    /// Until the guard goes, this thread is at work.
    pub(super) fn begin(&self) -> Working<'_> {
        self.0.lock().push(std::thread::current().id());
        Working(self)
    }

    /// While `wait` lasts, this thread is not at work, whatever it has begun.
    pub(super) fn pause<R>(&self, wait: impl FnOnce() -> R) -> R {
        let this = std::thread::current().id();
        let begun = {
            let mut working = self.0.lock();
            let all = working.len();
            working.retain(|thread| *thread != this);
            all - working.len()
        };
        let answer = wait();
        self.0.lock().extend(std::iter::repeat_n(this, begun));
        answer
    }

    /// Whether another thread is. Its own work no thread waits for: a callback that waits is
    /// inside of it.
    fn others(&self) -> bool {
        let this = std::thread::current().id();
        self.0.lock().iter().any(|working| *working != this)
    }
}

/// How long a wait has let others work.
#[derive(Debug, Default)]
pub(super) struct Rests(u32);

impl Rests {
    /// Lets others work for a moment; `false` if there are none, or this has gone on too long.
    pub(super) fn rest(&mut self, at_work: &AtWork) -> bool {
        let rests = at_work.others() && self.0 < RESTS_MAX;
        if rests {
            self.0 += 1;
            rest(REST);
        }
        rests
    }
}

/// A thread at work.
pub(super) struct Working<'a>(&'a AtWork);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let this = std::thread::current().id();
        let mut working = self.0.0.lock();
        if let Some(index) = working.iter().position(|thread| *thread == this) {
            working.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_at_work_until_they_are_done_and_oneself_never_is() {
        let at_work = AtWork::default();
        let (first, second) = (at_work.begin(), at_work.begin());
        assert!(!at_work.others());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(at_work.others());
                let _third = at_work.begin();
                at_work.pause(|| assert_eq!(at_work.0.lock().len(), 2));
                assert_eq!(at_work.0.lock().len(), 3);
            });
        });
        drop(first);
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(at_work.others()));
        });
        let mut rests = Rests(RESTS_MAX - 1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(rests.rest(&at_work));
                assert!(!rests.rest(&at_work), "for so long only");
            });
        });
        drop(second);
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!at_work.others()));
        });
    }
}
