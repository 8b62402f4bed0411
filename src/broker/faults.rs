//! Errors put into the clients' paths on purpose, so that a lost answer can be tested.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, ErrorCode};
use crate::types::TopicPartition;

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpKind {
    /// A producer's batch is appended.
    Produce,
}

/// The faults of a broker: which operations fail, how often, and whether they are done first.
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
pub struct Faults(Arc<Mutex<Vec<Arc<Rule>>>>);

struct Rule {
    op: OpKind,
    topic: Option<String>,
    partition: Option<i32>,
    /// How often it still strikes.
    left: AtomicU64,
    hits: AtomicU64,
    code: ErrorCode,
    applies: bool,
}

impl Rule {
    fn matches(&self, op: OpKind, tp: &TopicPartition) -> bool {
        self.op == op
            && self.topic.as_ref().is_none_or(|topic| topic == tp.topic())
            && self.partition.is_none_or(|partition| partition == tp.partition())
            && self.left.load(Ordering::Acquire) > 0
    }

    fn strike(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_err() {
            return false;
        }
        self.hits.fetch_add(1, Ordering::AcqRel);
        true
    }
}

/// When in an operation an injected error comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultPoint {
    /// Nothing has been done.
    Before,
    /// Everything has been done; only the answer is lost.
    After,
}

impl Faults {
    /// Begins a fault of this operation.
    pub fn on(&self, op: OpKind) -> FaultBuilder {
        FaultBuilder { faults: self.clone(), op, topic: None, partition: None, times: u64::MAX }
    }

    /// Whether any fault may strike this partition.
    pub(crate) fn are_set(&self, op: OpKind, tp: &TopicPartition) -> bool {
        self.0.lock().iter().any(|rule| rule.matches(op, tp))
    }

    /// The error that strikes at this point, of the first rule that fits.
    pub(crate) fn strike(
        &self,
        op: OpKind,
        tp: &TopicPartition,
        point: FaultPoint,
    ) -> Option<Error> {
        let applies = point == FaultPoint::After;
        let rules = self.0.lock();
        let rule = rules.iter().find(|rule| rule.matches(op, tp))?;
        let strikes = rule.applies == applies && rule.strike();
        strikes.then(|| Error::kafka(rule.code, "a fault set by the test").on(tp))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults({})", self.0.lock().len())
    }
}

/// A fault being described; [`fail`](Self::fail) or [`apply_then_fail`](Self::apply_then_fail)
/// sets it.
#[derive(Clone, Debug)]
#[must_use = "a fault is set by `fail` or `apply_then_fail`"]
pub struct FaultBuilder {
    faults: Faults,
    op: OpKind,
    topic: Option<String>,
    partition: Option<i32>,
    times: u64,
}

impl FaultBuilder {
    /// Only on this topic.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Only on partitions with this number.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Only so many times. Default: until it is removed.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// The operation is not done, and answers this error to the client, which retries if the error
    /// is retriable.
    pub fn fail(self, code: ErrorCode) -> FaultHandle {
        self.set(code, false)
    }

    /// The operation is done, but its answer is lost: the client sees this error.
    pub fn apply_then_fail(self, code: ErrorCode) -> FaultHandle {
        self.set(code, true)
    }

    fn set(self, code: ErrorCode, applies: bool) -> FaultHandle {
        let rule = Arc::new(Rule {
            op: self.op,
            topic: self.topic,
            partition: self.partition,
            left: AtomicU64::new(self.times),
            hits: AtomicU64::new(0),
            code,
            applies,
        });
        self.faults.0.lock().push(Arc::clone(&rule));
        FaultHandle { faults: self.faults, rule }
    }
}

/// A fault that is set.
#[derive(Clone)]
pub struct FaultHandle {
    faults: Faults,
    rule: Arc<Rule>,
}

impl FaultHandle {
    /// How often it struck.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.rule.hits.load(Ordering::Acquire)
    }

    /// Takes it back.
    pub fn remove(&self) {
        self.faults.0.lock().retain(|rule| !Arc::ptr_eq(rule, &self.rule));
    }
}

impl fmt::Debug for FaultHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultHandle({:?}, hits: {})", self.rule.op, self.hits())
    }
}
