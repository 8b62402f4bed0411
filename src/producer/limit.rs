//! `max.block.ms`: how long one call to `send` may block in all.

use std::time::Duration;

use crate::error::{Error, ErrorCode};
use crate::time::Clock;

/// How long one call may still block. The clock is only read once something blocks.
pub(super) struct BlockLimit<'a> {
    clock: &'a Clock,
    max: Duration,
    /// Set when the call first blocks; `None` inside: never.
    deadline: Option<Option<Duration>>,
}

impl<'a> BlockLimit<'a> {
    pub(super) fn new(clock: &'a Clock, max: Duration) -> Self {
        Self { clock, max, deadline: None }
    }

    pub(super) fn never_blocks(&self) -> bool {
        self.max.is_zero()
    }

    /// The moment on the monotonic clock at which it must return.
    pub(super) fn deadline(&mut self) -> Option<Duration> {
        let (clock, max) = (self.clock, self.max);
        *self.deadline.get_or_insert_with(|| clock.deadline(max))
    }

    pub(super) fn is_over(&mut self) -> bool {
        let now = self.clock.monotonic();
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// What is said when a topic has not come until then.
    pub(super) fn no_topic(&self, name: &str) -> Error {
        let max = self.max.as_millis();
        let message = format!("topic {name} did not appear in {max} ms (max.block.ms)");
        Error::kafka(ErrorCode::UnknownTopicOrPartition, message)
    }

    /// What is said when memory has been full until then.
    pub(super) fn no_memory(&self, full: Error) -> Error {
        let max = self.max.as_millis();
        full.because(format!("nothing came free within {max} ms (max.block.ms)"))
    }
}
