//! What a test may do to a broker.

use crate::broker::Broker;
use crate::error::Result;
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

    /// Holds back the markers of transactions that are committed or aborted from here on, as a
    /// coordinator of Kafka that answers before it has written them: until they are let go, readers
    /// of committed records do not see what was committed, nor that it was aborted, and the
    /// producer's next transaction waits. `false` lets go of them, and writes them before it
    /// returns.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let t = broker.testing();
    /// t.hold_transaction_markers(true)?;
    /// let mut producer = broker.producer().build_transactional("p")?;
    /// let transaction = producer.begin()?;
    /// transaction.send(ProducerRecord::to("t").value("v")).wait()?;
    /// transaction.commit()?;
    /// t.topic("t").expect().never();
    /// t.hold_transaction_markers(false)?;
    /// t.topic("t").expect().once();
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What keeps the markers from being written.
    pub fn hold_transaction_markers(&self, hold: bool) -> Result<()> {
        self.faults().hold_markers(hold);
        if hold { Ok(()) } else { self.broker.handle().release_markers() }
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
