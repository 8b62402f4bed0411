//! What wakes a future at a time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::background::Duty;
use crate::time::Clock;
use crate::wait::Waiter;

/// Wakes a future at a time, as a duty of the broker.
pub(crate) struct Alarm {
    clock: Clock,
    state: Mutex<(Arc<Waiter>, Option<Duration>)>,
}

impl Alarm {
    pub(crate) fn new(clock: &Clock, waiter: &Arc<Waiter>) -> Self {
        Self { clock: clock.clone(), state: Mutex::new((Arc::clone(waiter), None)) }
    }

    pub(crate) fn set(&self, waiter: &Arc<Waiter>, due: Option<Duration>) {
        *self.state.lock() = (Arc::clone(waiter), due);
    }
}

impl Duty for Alarm {
    fn next_due(&self) -> Option<Duration> {
        self.state.lock().1
    }

    fn run_due(&self) {
        let now = self.clock.monotonic();
        let waiter = {
            let mut state = self.state.lock();
            state.1.take_if(|due| *due <= now).map(|_| Arc::clone(&state.0))
        };
        if let Some(waiter) = waiter {
            waiter.signal();
        }
    }

    fn close(&self) {}
}
