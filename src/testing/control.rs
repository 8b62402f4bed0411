//! What a test may do to a broker.

use crate::broker::Broker;
use crate::faults::{Faults, HistoryEntry};

impl Broker {
    /// What a test may do to this broker.
    ///
    /// ```
    /// use logreel::Broker;
    /// use logreel::testing::OpKind;
    /// let broker = Broker::in_memory();
    /// let fault = broker.testing().faults().on(OpKind::Produce).topic("orders");
    /// let handle = fault.times(1).fail(logreel::ErrorCode::RequestTimedOut);
    /// assert_eq!(handle.hits(), 0);
    /// ```
    #[must_use]
    pub fn testing(&self) -> Testing {
        Testing { broker: self.clone() }
    }
}

/// What a test may do to a broker. Like every handle it keeps the broker open.
#[derive(Clone, Debug)]
pub struct Testing {
    pub(super) broker: Broker,
}

impl Testing {
    /// The faults that operations of this broker's clients meet.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.broker.handle().context.faults
    }

    /// Writes down from here on what clients ask for, and what they are told: the newest 100 000
    /// operations. What was written down before is forgotten.
    ///
    /// The same calls on a [`MockClock`](super::MockClock), with one thread, give the same history,
    /// byte for byte.
    pub fn record_history(&self) {
        let context = &self.broker.handle().context;
        context.faults.record_history(&context.clock);
    }

    /// What was written down so far, the oldest first; nothing without
    /// [`record_history`](Self::record_history).
    ///
    /// ```
    /// use logreel::testing::MockClock;
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::builder().clock(MockClock::at_millis(0)).topic("t").open()?;
    /// broker.testing().record_history();
    /// broker.producer().build()?.send(ProducerRecord::to("t").value("v")).wait()?;
    /// let lines: Vec<String> =
    ///     broker.testing().history().iter().map(|entry| entry.to_string()).collect();
    /// assert_eq!(lines, ["         0 us  InitProducerId: ok", "         0 us  Produce t-0: ok"]);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn history(&self) -> Vec<HistoryEntry> {
        self.faults().history()
    }
}
