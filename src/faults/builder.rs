//! Describing a fault.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::gate::Gate;
use super::handle::{Barrier, FaultHandle};
use super::operation::{OpKind, Operation};
use super::rule::{Effect, Rule, Selector};
use super::switch::Faults;
use crate::error::ErrorCode;

/// A fault being described: which operations, then what happens to them, which sets it.
///
/// ```
/// use std::time::Duration;
/// use logreel::testing::OpKind;
/// use logreel::{Broker, ErrorCode, Offsets};
///
/// let broker = Broker::in_memory();
/// broker.create_topic("orders")?;
/// let consumer = broker.consumer().group_id("billing").build()?;
/// let position: Offsets = [(("orders", 0), 1)].into_iter().collect();
///
/// // Retriable: the consumer tries again, the application notices nothing.
/// let commits = || broker.testing().faults().on(OpKind::Commit).group("billing").times(1);
/// let fault = commits().fail(ErrorCode::CoordinatorLoadInProgress);
/// consumer.commit_offsets(&position)?;
/// assert_eq!(fault.hits(), 1);
///
/// // Straight to the application.
/// let fault = commits().surface(ErrorCode::CoordinatorLoadInProgress);
/// assert!(consumer.commit_offsets(&position).is_err());
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a fault is set by what happens: `fail`, `surface`, `delay`, `pause`, `observe`, .."]
pub struct FaultBuilder {
    faults: Faults,
    selector: Selector,
    times: u64,
}

impl Faults {
    /// Begins a fault of this kind of operation.
    pub fn on(&self, kind: OpKind) -> FaultBuilder {
        FaultBuilder::new(self.clone(), kind)
    }
}

impl FaultBuilder {
    fn new(faults: Faults, kind: OpKind) -> Self {
        let selector = Selector {
            kind,
            topic: None,
            partition: None,
            group: None,
            transactional_id: None,
            client_id: None,
            when: None,
        };
        Self { faults, selector, times: u64::MAX }
    }

    /// Only what is about this topic. The other partitions of a commit are committed.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.selector.topic = Some(topic.into());
        self
    }

    /// Only what is about partitions with this number.
    pub fn partition(mut self, partition: i32) -> Self {
        self.selector.partition = Some(partition);
        self
    }

    /// Only what members of this group ask for.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.selector.group = Some(group.into());
        self
    }

    /// Only what the producer with this id asks for.
    pub fn transactional_id(mut self, id: impl Into<String>) -> Self {
        self.selector.transactional_id = Some(id.into());
        self
    }

    /// Only what the consumer with this `client.id` asks for.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.selector.client_id = Some(id.into());
        self
    }

    /// Only what the predicate takes. It is asked with locks of the operation held: it looks at the
    /// operation and calls nothing of the broker.
    pub fn when(mut self, when: impl Fn(&Operation) -> bool + Send + Sync + 'static) -> Self {
        self.selector.when = Some(Arc::new(when));
        self
    }

    /// Only so many times. Default: until it is removed.
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// The operation is not done, and the client is told this error. It does what Kafka's client
    /// does: after a [retriable](ErrorCode::is_retriable) one it tries again, within its limits
    /// (`delivery.timeout.ms`, the time of the poll, a minute for other calls that block), and the
    /// application notices nothing; others come out.
    pub fn fail(self, code: ErrorCode) -> FaultHandle {
        self.set(Effect::Fail(code))
    }

    /// The operation is not done, and this error comes out of the call: the client does not try
    /// again, even if it is retriable.
    pub fn surface(self, code: ErrorCode) -> FaultHandle {
        self.set(Effect::Surface(code))
    }

    /// The operation is done, but its answer is lost: the client is told this error, as with
    /// [`fail`](Self::fail).
    pub fn apply_then_fail(self, code: ErrorCode) -> FaultHandle {
        self.set(Effect::ApplyThenFail(code))
    }

    /// The operation is done so much later, by the broker's clock. A poll that ends before returns
    /// without it; a blocking call waits.
    pub fn delay(self, by: Duration) -> FaultHandle {
        self.set(Effect::Delay(by, Mutex::default()))
    }

    /// The operation waits, on the thread that does it, until the [`Barrier`] is let go. No time
    /// passes on a mock clock meanwhile. Other calls on the same consumer wait with a poll that is
    /// held back.
    pub fn pause(self) -> Barrier {
        let gate = Arc::new(Gate::default());
        let handle = self.set(Effect::Pause(Arc::clone(&gate)));
        Barrier { gate, handle }
    }

    /// The operation is done as if nothing were set, and counted.
    pub fn observe(self) -> FaultHandle {
        self.set(Effect::Observe)
    }

    fn set(self, effect: Effect) -> FaultHandle {
        let rule = Arc::new(Rule::new(self.selector, effect, self.times));
        self.faults.add(&rule);
        FaultHandle { faults: self.faults, rule }
    }
}

impl fmt::Debug for FaultBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultBuilder({})", self.selector)
    }
}
