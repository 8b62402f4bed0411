//! One fault: which operations it strikes, how often, and what it does to them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Blow;
use super::gate::Gate;
use super::operation::{OpKind, Operation};
use crate::error::{Error, ErrorCode};
use crate::time::Clock;
use crate::types::TopicPartition;

/// Kafka's `retry.backoff.ms`.
pub(super) const RETRY_BACKOFF: Duration = Duration::from_millis(100);

pub(super) type Predicate = Arc<dyn Fn(&Operation) -> bool + Send + Sync>;

/// Which operations are meant: all that fit everything that is said.
#[derive(Clone)]
pub(super) struct Selector {
    pub(super) kind: OpKind,
    pub(super) topic: Option<String>,
    pub(super) partition: Option<i32>,
    pub(super) group: Option<String>,
    pub(super) transactional_id: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) when: Option<Predicate>,
}

impl Selector {
    fn takes(&self, tp: &TopicPartition) -> bool {
        self.topic.as_ref().is_none_or(|topic| topic == tp.topic())
            && self.partition.is_none_or(|partition| partition == tp.partition())
    }

    fn matches(&self, operation: &Operation) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let place = match operation.topic() {
            Some(topic) => is(&self.topic, Some(topic)) && self.partition.is_none(),
            None if self.topic.is_none() && self.partition.is_none() => true,
            None => operation.partitions().iter().any(|tp| self.takes(tp)),
        };
        place
            && self.kind == operation.kind()
            && is(&self.group, operation.group())
            && is(&self.transactional_id, operation.transactional_id())
            && is(&self.client_id, operation.client_id())
            && self.when.as_ref().is_none_or(|when| when(operation))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        let parts = [
            ("topic", &self.topic),
            ("group", &self.group),
            ("transactional.id", &self.transactional_id),
            ("client.id", &self.client_id),
        ];
        for (name, value) in parts {
            value.iter().try_for_each(|value| write!(f, " {name}={value}"))?;
        }
        self.partition.iter().try_for_each(|partition| write!(f, " partition={partition}"))?;
        f.write_str(if self.when.is_some() { " when(..)" } else { "" })
    }
}

/// What happens to an operation.
#[derive(Debug)]
pub(super) enum Effect {
    Fail(ErrorCode),
    Surface(ErrorCode),
    ApplyThenFail(ErrorCode),
    Delay(Duration, Mutex<Vec<(Operation, Duration)>>),
    Pause(Arc<Gate>),
    Observe,
}

pub(super) struct Rule {
    pub(super) selector: Selector,
    pub(super) effect: Effect,
    /// How often it still strikes.
    left: AtomicU64,
    hits: Mutex<u64>,
    struck: Condvar,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {} hits)", self.selector, self.effect, self.hits())
    }
}

impl Rule {
    pub(super) fn new(selector: Selector, effect: Effect, times: u64) -> Self {
        let (left, hits) = (AtomicU64::new(times), Mutex::new(0));
        Self { selector, effect, left, hits, struck: Condvar::new() }
    }

    pub(super) fn hits(&self) -> u64 {
        *self.hits.lock()
    }

    /// Waits until it has struck so often; says whether it has.
    pub(super) fn wait(&self, hits: u64, timeout: Duration) -> bool {
        let begun = Clock::system();
        let mut found = self.hits.lock();
        while *found < hits {
            let left = timeout.saturating_sub(begun.monotonic());
            if left.is_zero() {
                return false;
            }
            self.struck.wait_for(&mut found, left);
        }
        true
    }

    /// Whether the operation is meant, and there are strikes left.
    pub(super) fn matches(&self, operation: &Operation) -> bool {
        self.left.load(Ordering::Acquire) > 0 && self.selector.matches(operation)
    }

    /// Whether the operation waits for the end of a delay of this rule.
    pub(super) fn delays(&self, operation: &Operation) -> bool {
        let Effect::Delay(_, waiting) = &self.effect else { return false };
        waiting.lock().iter().any(|(known, _)| known == operation)
    }

    /// Takes one of the strikes, if there is one left.
    pub(super) fn hit(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        let taken = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok();
        if taken {
            *self.hits.lock() += 1;
            self.struck.notify_all();
        }
        taken
    }

    /// Which of the partitions of an operation it strikes.
    pub(super) fn takes(&self, tp: &TopicPartition) -> bool {
        self.selector.takes(tp)
    }

    /// Strikes an operation. Answers what that makes of it; nothing if it is done after all.
    pub(super) fn strike(self: &Arc<Self>, clock: &Clock, operation: &Operation) -> Option<Blow> {
        let now = clock.monotonic();
        if let Effect::Delay(_, waiting) = &self.effect {
            let mut waiting = waiting.lock();
            if let Some(at) = waiting.iter().position(|(known, _)| known == operation) {
                let due = waiting.get(at).map(|(_, due)| *due).filter(|due| *due > now);
                return match due {
                    Some(due) => Some(self.blow(operation, self.later(due), false)),
                    None => {
                        waiting.swap_remove(at);
                        None
                    }
                };
            }
        }
        if !self.hit() {
            return None;
        }
        let (error, is_after) = match &self.effect {
            Effect::Observe => return None,
            Effect::Pause(gate) => {
                gate.pass();
                return None;
            }
            Effect::Delay(by, waiting) => {
                let due = now.saturating_add(*by);
                waiting.lock().push((operation.clone(), due));
                (self.later(due), false)
            }
            Effect::Fail(code) => (self.passing(*code, now), false),
            Effect::ApplyThenFail(code) => (self.passing(*code, now), true),
            Effect::Surface(code) => (Self::error(*code).surfaced(), false),
        };
        Some(self.blow(operation, error, is_after))
    }

    fn blow(self: &Arc<Self>, operation: &Operation, error: Error, is_after: bool) -> Blow {
        let place = operation.partitions().iter().find(|tp| self.takes(tp));
        let error = match place {
            Some(tp) => error.on(tp),
            None => error,
        };
        Blow { error, is_after, rule: Arc::clone(self) }
    }

    fn error(code: ErrorCode) -> Error {
        Error::kafka(code, "a fault set by the test")
    }

    fn later(&self, due: Duration) -> Error {
        Self::error(ErrorCode::RequestTimedOut).held(due)
    }

    fn passing(&self, code: ErrorCode, now: Duration) -> Error {
        let error = Self::error(code);
        // Members join again after these, and not at once.
        let joins = matches!(self.selector.kind, OpKind::JoinGroup | OpKind::SyncGroup);
        let tries_again = code.is_retriable() || (joins && error.is_rebalance());
        if tries_again { error.again(now.saturating_add(RETRY_BACKOFF)) } else { error }
    }
}

impl Blow {
    /// Whether this partition of the operation is struck; the others are answered normally.
    pub(crate) fn takes(&self, tp: &TopicPartition) -> bool {
        self.rule.takes(tp)
    }
}
