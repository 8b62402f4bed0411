//! The faults and the history of one broker.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::Blow;
use super::history::{History, HistoryEntry};
use super::operation::Operation;
use super::rule::{Effect, RETRY_BACKOFF, Rule};
use crate::error::{Error, ErrorCode, Result};
use crate::time::Clock;

/// The faults of a broker: what goes wrong, for whom, how often.
///
/// The first fault that fits an operation strikes; those that only
/// [observe](super::FaultBuilder::observe) count beside it.
///
/// ```
/// use logreel::testing::OpKind;
/// use logreel::{Broker, ErrorCode, ProducerRecord};
///
/// let broker = Broker::in_memory();
/// let producer = broker.producer().build()?;
/// // The batch is written, the answer is lost, the producer tries again.
/// let lost = broker.testing().faults().on(OpKind::Produce).topic("invoices").times(1);
/// let lost = lost.apply_then_fail(ErrorCode::RequestTimedOut);
/// producer.send(ProducerRecord::to("invoices").value("1")).wait()?;
/// assert_eq!(lost.hits(), 1);
/// // It is written once: the producer is idempotent.
/// assert_eq!(broker.topic("invoices")?.partition(0)?.high_watermark(), 1);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Faults(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// There is something to be done: faults are set, or a history is written.
    is_active: AtomicBool,
    /// Decided transactions get no markers.
    holds_markers: AtomicBool,
    state: Mutex<State>,
}

/// A leaf among the locks.
#[derive(Default)]
struct State {
    rules: Vec<Arc<Rule>>,
    history: Option<History>,
}

impl Faults {
    /// Takes all faults back.
    pub fn clear(&self) {
        self.change(|state| state.rules.clear());
    }

    /// Fails the test if a fault that is set has never struck: it did not mean what the test
    /// thought it would.
    ///
    /// # Panics
    ///
    /// If there is such a fault.
    ///
    /// ```should_panic
    /// use logreel::testing::OpKind;
    /// use logreel::{Broker, ErrorCode};
    /// let broker = Broker::in_memory();
    /// let faults = broker.testing().faults().clone();
    /// faults.on(OpKind::Commit).group("bilings").fail(ErrorCode::RequestTimedOut);
    /// faults.assert_all_hit();
    /// ```
    #[track_caller]
    pub fn assert_all_hit(&self) {
        let never: Vec<String> = {
            let state = self.0.state.lock();
            let never = state.rules.iter().filter(|rule| rule.hits() == 0);
            never.map(|rule| rule.selector.to_string()).collect()
        };
        assert!(never.is_empty(), "faults that never struck: {}", never.join("; "));
    }

    pub(super) fn add(&self, rule: &Arc<Rule>) {
        self.change(|state| state.rules.push(Arc::clone(rule)));
    }

    pub(super) fn remove(&self, rule: &Arc<Rule>) {
        self.change(|state| state.rules.retain(|known| !Arc::ptr_eq(known, rule)));
    }

    pub(crate) fn record_history(&self, clock: &Clock) {
        self.change(|state| state.history = Some(History::new(clock.monotonic())));
    }

    pub(crate) fn history(&self) -> Vec<HistoryEntry> {
        self.0.state.lock().history.as_ref().map(History::entries).unwrap_or_default()
    }

    pub(crate) fn hold_markers(&self, hold: bool) {
        self.0.holds_markers.store(hold, Ordering::Release);
    }

    /// Whether decided transactions get no markers for now.
    pub(crate) fn holds_markers(&self) -> bool {
        self.0.holds_markers.load(Ordering::Acquire)
    }

    /// Kafka's producers wait for the markers of the transaction before: so they do while a test
    /// holds these back.
    pub(crate) fn while_markers_wait(&self, clock: &Clock, error: Error) -> Error {
        if error.code() == Some(ErrorCode::ConcurrentTransactions) && self.holds_markers() {
            return error.again(clock.monotonic().saturating_add(RETRY_BACKOFF));
        }
        error
    }

    fn change(&self, act: impl FnOnce(&mut State)) {
        let mut state = self.0.state.lock();
        act(&mut state);
        let is_active = !state.rules.is_empty() || state.history.is_some();
        self.0.is_active.store(is_active, Ordering::Release);
    }

    /// Whether anything is to be done for operations.
    pub(crate) fn is_active(&self) -> bool {
        self.0.is_active.load(Ordering::Acquire)
    }

    /// Does an operation, or what a test has decided instead.
    pub(crate) fn run<T>(
        &self,
        clock: &Clock,
        operation: impl FnOnce() -> Operation,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if !self.is_active() {
            return act();
        }
        let operation = operation();
        let outcome = match self.strike(clock, &operation) {
            None => act(),
            Some(Blow { error, is_after: false, .. }) => Err(error),
            Some(Blow { error, is_after: true, .. }) => act().and(Err(error)),
        };
        self.note(clock, operation, outcome.as_ref().err());
        outcome
    }

    /// What is decided for an operation. May block, where a test holds it back.
    pub(crate) fn strike(&self, clock: &Clock, operation: &Operation) -> Option<Blow> {
        // Predicates are the user's.
        let rules = self.0.state.lock().rules.clone();
        let mut first = None;
        for rule in rules {
            let delays = first.is_none() && rule.delays(operation);
            if !delays && !rule.matches(operation) {
                continue;
            }
            if matches!(rule.effect, Effect::Observe) {
                rule.hit();
            } else if first.is_none() {
                first = Some(rule);
            }
        }
        first.and_then(|rule| rule.strike(clock, operation))
    }

    /// Writes an operation down that is over.
    pub(crate) fn note(&self, clock: &Clock, operation: Operation, error: Option<&Error>) {
        if error.is_some_and(|error| error.held_until().is_some()) {
            return;
        }
        let now = clock.monotonic();
        if let Some(history) = &mut self.0.state.lock().history {
            history.push(now, operation, error.cloned());
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.state.lock().rules.iter()).finish()
    }
}
