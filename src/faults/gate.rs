//! Holding operations back until the test lets them go.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::time::Clock;

/// Where operations wait. Time of the operating system: a test's threads meet here, whatever clock
/// their broker has.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    entered: u64,
    is_open: bool,
}

impl Gate {
    /// Waits until the gate is opened.
    pub(super) fn pass(&self) {
        let mut state = self.state.lock();
        state.entered += 1;
        self.changed.notify_all();
        while !state.is_open {
            self.changed.wait(&mut state);
        }
    }

    pub(super) fn open(&self) {
        self.state.lock().is_open = true;
        self.changed.notify_all();
    }

    pub(super) fn entered(&self) -> u64 {
        self.state.lock().entered
    }

    /// Waits until somebody has come; says whether that was in time.
    pub(super) fn wait_entered(&self, timeout: Duration) -> bool {
        let begun = Clock::system();
        let mut state = self.state.lock();
        while state.entered == 0 {
            let left = timeout.saturating_sub(begun.monotonic());
            if left.is_zero() {
                return false;
            }
            self.changed.wait_for(&mut state, left);
        }
        true
    }
}
