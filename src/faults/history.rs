//! What clients asked for, and what they were told.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::operation::Operation;
use crate::error::Error;

/// How many operations are remembered: the newest. A test that needs more looks in between.
const ENTRIES_MAX: usize = 100_000;

/// An operation that is over.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    at: Duration,
    operation: Operation,
    error: Option<Error>,
}

impl HistoryEntry {
    /// How long after the beginning of the recording it was over, by the broker's clock.
    #[must_use]
    pub fn at(&self) -> Duration {
        self.at
    }

    /// What was asked for.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// What the client was told, if it failed: also where the client tries again by itself.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}

/// One line: the same calls on a mock clock give the same lines.
impl fmt::Display for HistoryEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10} us  {}: ", self.at.as_micros(), self.operation)?;
        match &self.error {
            None => f.write_str("ok"),
            Some(error) => match error.code() {
                Some(code) => write!(f, "{code}"),
                None => write!(f, "{:?}", error.kind()),
            },
        }
    }
}

#[derive(Debug)]
pub(super) struct History {
    began: Duration,
    entries: VecDeque<HistoryEntry>,
}

impl History {
    pub(super) fn new(now: Duration) -> Self {
        Self { began: now, entries: VecDeque::new() }
    }

    pub(super) fn push(&mut self, now: Duration, operation: Operation, error: Option<Error>) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        let at = now.saturating_sub(self.began);
        self.entries.push_back(HistoryEntry { at, operation, error });
    }

    pub(super) fn entries(&self) -> Vec<HistoryEntry> {
        self.entries.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation::OpKind;
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn the_oldest_entries_make_room() {
        let mut history = History::new(Duration::from_secs(1));
        let operation = Operation::new(OpKind::EndTxn).of_transaction("t");
        for n in 0..ENTRIES_MAX as u64 + 2 {
            let error = Error::kafka(ErrorCode::RequestTimedOut, "lost");
            let at = Duration::from_secs(1) + Duration::from_micros(n);
            history.push(at, operation.clone(), (n % 2 == 0).then_some(error));
        }
        let entries = history.entries();
        assert_eq!(entries.len(), ENTRIES_MAX);
        let line = "         2 us  EndTxn transactional.id=t: REQUEST_TIMED_OUT";
        assert_eq!(entries[0].to_string(), line);
        assert_eq!(entries[1].to_string(), "         3 us  EndTxn transactional.id=t: ok");
    }
}
