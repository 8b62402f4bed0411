//! What a test may do to a broker.

use crate::broker::{Broker, Faults};

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
        Testing { faults: self.handle().faults.clone() }
    }
}

/// What a test may do to a broker. It does not keep the broker open.
#[derive(Clone, Debug)]
pub struct Testing {
    faults: Faults,
}

impl Testing {
    /// The faults that operations of this broker's clients meet.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}
