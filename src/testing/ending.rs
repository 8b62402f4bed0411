//! Ending a broker, well or badly, and what comes after.

use super::control::Testing;
use crate::broker::{Broker, BrokerBuilder};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Storage;

impl Testing {
    /// Closes the broker, and opens another on what it left, with the same settings. The old
    /// broker's handles answer `Closed`.
    ///
    /// # Errors
    ///
    /// Those of closing and of opening.
    pub fn restart(&self) -> Result<Broker> {
        let storage = self.broker.handle().context.storage.clone();
        self.broker.clone().close()?;
        self.again(storage)
    }

    /// Kills the broker as `kill -9` would, and opens another on what was written, with the same
    /// settings. What the old broker's handles still do fails; what was not acknowledged by
    /// then never is.
    ///
    /// For a broker in memory, or on a [`SimStorage`](super::SimStorage).
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let producer = broker.producer().linger(Duration::from_secs(60)).build()?;
    /// producer.send(ProducerRecord::to("t").partition(0).value("acknowledged"));
    /// producer.flush(Duration::from_secs(10))?;
    /// let lingers = producer.send(ProducerRecord::to("t").partition(0).value("lingers"));
    ///
    /// let broker = broker.testing().kill()?;
    /// assert!(lingers.wait().is_err());
    /// assert_eq!(broker.topic("t")?.partition(0)?.log_end_offset(), 1);
    /// assert!(!broker.recovery_report().clean);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IllegalState` for a broker on disk: kill a process of its own instead. Those of opening.
    pub fn kill(&self) -> Result<Broker> {
        let left = self.storage().backend().copy(true);
        self.go_on(left.ok_or_else(|| not_here("killed"))?)
    }

    /// Cuts the power, and opens another broker with the same settings on what is left: everything
    /// that was synced, and any part of the rest, torn writes and all. The seed chooses.
    ///
    /// For a broker on a [`SimStorage`](super::SimStorage), whose
    /// [`power_cut_states`](super::SimStorage::power_cut_states) tell of all that may be left.
    ///
    /// ```
    /// use logreel::testing::SimStorage;
    /// use logreel::{Acks, Broker, ProducerRecord};
    /// let broker = Broker::builder().storage(SimStorage::new().storage()).open()?;
    /// broker.producer().build()?.send(ProducerRecord::to("t").value("synced")).wait()?;
    /// let producer = broker.producer().acks(Acks::Leader).build()?;
    /// producer.send(ProducerRecord::to("t").value("written")).wait()?;
    ///
    /// let broker = broker.testing().cut_power(7)?;
    /// let end = broker.topic("t")?.partition(0)?.log_end_offset();
    /// assert!((1..=2).contains(&end));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IllegalState` for a broker on other storage. Those of opening.
    pub fn cut_power(&self, seed: u64) -> Result<Broker> {
        let left = self.storage().backend().cut_power(seed);
        self.go_on(left.ok_or_else(|| not_here("cut from its power"))?)
    }

    pub(super) fn storage(&self) -> &Storage {
        &self.broker.handle().context.storage
    }

    fn go_on(&self, left: Storage) -> Result<Broker> {
        // Its files are gone: it lets go of who waits, with errors.
        let _ = self.broker.clone().close();
        self.again(left)
    }

    fn again(&self, storage: Storage) -> Result<Broker> {
        BrokerBuilder::like(&self.broker).storage(storage).open()
    }
}

fn not_here(what: &str) -> Error {
    let message = format!("only a broker in memory or on SimStorage can be {what}");
    Error::new(ErrorKind::IllegalState, message)
}
