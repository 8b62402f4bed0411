//! Copies of a broker, to begin tests from.

use crate::broker::{Broker, BrokerBuilder};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Storage;

impl Broker {
    /// A copy of a broker in memory: its topics, records, committed offsets and groups. The copy
    /// shares the bytes of what was written so far, so that it costs little; what either side
    /// writes later is its own. The members of groups stay here.
    ///
    /// So a costly fixture is built once, and every test begins from it.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let fixture = Broker::in_memory();
    /// fixture.producer().build()?.send(ProducerRecord::to("t").value("1")).wait()?;
    /// let snapshot = fixture.snapshot()?;
    ///
    /// let (one, two) = (snapshot.open()?, snapshot.open()?);
    /// one.producer().build()?.send(ProducerRecord::to("t").value("2")).wait()?;
    /// assert_eq!(one.topic("t")?.partition(0)?.log_end_offset(), 2);
    /// assert_eq!(two.topic("t")?.partition(0)?.log_end_offset(), 1);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IllegalState` for a broker on disk; what keeps the copy from being opened.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let of = self.testing();
        let copy = || Error::new(ErrorKind::IllegalState, "only a broker in memory can be copied");
        let storage = of.storage().backend().copy(false).ok_or_else(copy)?;
        // Recovered once here, so that each test opens what was closed cleanly.
        let settings = BrokerBuilder::like(self);
        settings.clone().storage(storage.clone()).open()?.close()?;
        Ok(Snapshot { settings, storage })
    }
}

/// A broker in memory as it was at one moment; made by [`Broker::snapshot`].
#[derive(Clone, Debug)]
pub struct Snapshot {
    settings: BrokerBuilder,
    storage: Storage,
}

impl Snapshot {
    /// A broker of its own that begins as the other one was, with the other one's settings: its
    /// clock too, unless [`settings`](Self::settings) say something else.
    ///
    /// # Errors
    ///
    /// As [`BrokerBuilder::open`].
    pub fn open(&self) -> Result<Broker> {
        self.settings().open()
    }

    /// The same, before it is opened.
    ///
    /// ```
    /// use logreel::testing::MockClock;
    /// use logreel::Broker;
    /// let snapshot = Broker::in_memory().snapshot()?;
    /// let clock = MockClock::at_millis(1_700_000_000_000);
    /// let broker = snapshot.settings().clock(&clock).open()?;
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn settings(&self) -> BrokerBuilder {
        let settings = self.settings.clone();
        match self.storage.backend().copy(false) {
            Some(storage) => settings.storage(storage),
            None => settings,
        }
    }
}
