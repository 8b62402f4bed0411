//! Trying again, as Kafka's clients do by themselves.

use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};
use crate::time::Clock;
use crate::wait::Waiter;

/// Kafka's `default.api.timeout.ms`: how long a blocking call of a client tries.
const API_TIMEOUT: Duration = Duration::from_secs(60);

/// Does something until it succeeds, fails for good, or a minute has passed. Only what a test has
/// made fail in passing is tried again: within one process nothing else passes by itself.
pub(crate) fn persist<T>(clock: &Clock, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut until = None;
    loop {
        let error = match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let Some(again) = error.again_at() else { return Err(error) };
        let until = *until.get_or_insert_with(|| clock.monotonic().saturating_add(API_TIMEOUT));
        Waiter::new().park(clock, Some(again.min(until)));
        if clock.monotonic() >= until {
            let message = format!("given up after {} s", API_TIMEOUT.as_secs());
            return Err(Error::kafka(ErrorCode::RequestTimedOut, message).because(error));
        }
    }
}
