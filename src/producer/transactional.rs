//! Producers that write in transactions.

use std::sync::Arc;
use std::time::Duration;

use super::batch_delivery::BatchDelivery;
use super::builder::ProducerBuilder;
use super::delivery::Delivery;
use super::handle::Producer;
use super::record::ProducerRecord;
use super::send_async::SendAsync;
use super::session::Session;
use crate::coordinator::{GroupMetadata, Outcome};
use crate::error::{Error, Result};
use crate::faults::{OpKind, Operation, persist};
use crate::types::Offsets;

/// Sends records in transactions: what one of them sent to any number of partitions, and the
/// positions it committed for a consumer group, counts as a whole or not at all, also after a crash
/// or a power cut (KIP-98).
///
/// Its `transactional.id` is the name under which it comes back: building a producer of the same id
/// fences the one before, and aborts what that left open.
///
/// Copying one topic into another, each record exactly once:
///
/// ```
/// use std::time::Duration;
/// use logreel::{Broker, OffsetReset, ProducerRecord};
/// # let broker = Broker::in_memory();
/// # let input = broker.producer().build()?;
/// # input.send(ProducerRecord::to("in").value("v")).wait()?;
/// let group = broker.consumer().group_id("copiers").enable_auto_commit(false);
/// let consumer = group.auto_offset_reset(OffsetReset::Earliest).build()?;
/// consumer.subscribe(["in"])?;
/// let mut producer = broker.producer().build_transactional("copier-0")?;
///
/// let records = consumer.poll(Duration::from_secs(1))?;
/// let transaction = producer.begin()?;
/// for record in &records {
///     let value = record.value().unwrap_or_default();
///     transaction.send(ProducerRecord::to("out").value(value)).forget();
/// }
/// if let Some(member) = consumer.group_metadata() {
///     transaction.send_offsets(&records.next_offsets(), &member)?;
/// }
/// transaction.commit()?; // a `?` above would have aborted
/// # assert_eq!(broker.topic("out")?.partition(0)?.last_stable_offset(), 2);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Debug)]
pub struct TransactionalProducer {
    producer: Producer,
    session: Arc<Session>,
}

impl ProducerBuilder {
    /// Makes a producer that writes in transactions, under this `transactional.id`. The one before
    /// it is fenced, and what it left open is aborted. Durable on return; blocks for up to
    /// `max.block.ms` while another thread ends a transaction of the same id.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` naming the key, also when idempotence is off; `INVALID_REQUEST` for an
    /// empty id; `INVALID_TRANSACTION_TIMEOUT`; `CONCURRENT_TRANSACTIONS`;
    /// `COORDINATOR_NOT_AVAILABLE` when what is known of the id cannot be read; `ReadOnly`;
    /// `Closed`; what stops the storage of the transactions' topic, or of a partition in which a
    /// transaction is to be ended.
    ///
    /// ```
    /// let broker = logreel::Broker::in_memory();
    /// let mut producer = broker.producer().build_transactional("payments-1")?;
    /// let transaction = producer.begin()?;
    /// transaction.send(logreel::ProducerRecord::to("payments").value("10")).forget();
    /// transaction.commit()?;
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn build_transactional(self, id: impl Into<Arc<str>>) -> Result<TransactionalProducer> {
        let id = id.into();
        let config = self.checked()?;
        if let Some(set) = config.transactional_id.as_deref().filter(|set| **set != *id) {
            let reason = format!("the producer is built as {id}");
            return Err(Error::invalid_config("transactional.id", set, &reason));
        }
        if !config.idempotence {
            let reason = "a transactional producer is idempotent";
            return Err(Error::invalid_config("enable.idempotence", "false", reason));
        }
        let broker = self.broker.handle().clone();
        let deadline = broker.context.clock.deadline(config.max_block);
        let context = &broker.context;
        let operation = || Operation::new(OpKind::InitProducer).of_transaction(&id);
        let init = || broker.init_transactions(&id, config.transaction_timeout, deadline);
        let init_once = || context.faults.run(&context.clock, operation, init);
        let clock = &context.clock;
        let init = || init_once().map_err(|error| context.faults.while_markers_wait(clock, error));
        let who = persist(clock, init)?;
        let session = Arc::new(Session::new(id, who));
        let producer = Producer::new(broker, config, Some(Arc::clone(&session)))?;
        Ok(TransactionalProducer { producer, session })
    }
}

impl TransactionalProducer {
    /// Begins a transaction. It exists for others with the first record that is sent in it, and is
    /// aborted when it takes longer than `transaction.timeout.ms` from there.
    ///
    /// # Errors
    ///
    /// The producer can do no more: `PRODUCER_FENCED` when another has taken over its id or its
    /// last transaction timed out, or whatever kept the last one from being ended. Build it anew.
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        if self.session.is_open() {
            // Its guard was leaked.
            self.producer.abort_transaction(&self.session)?;
        }
        self.session.begin()?;
        Ok(Transaction { of: self, ended: false })
    }

    /// The `transactional.id`.
    #[must_use]
    pub fn transactional_id(&self) -> &str {
        self.session.id()
    }

    /// Takes no more records, and writes what a leaked transaction has sent.
    ///
    /// # Errors
    ///
    /// As [`Producer::close`].
    pub fn close(self, timeout: Duration) -> Result<()> {
        self.producer.close(timeout)
    }
}

/// A transaction that was begun. Dropping it aborts it.
///
/// It borrows its producer: there is one at a time, nothing is sent outside of it, and it ends
/// once.
///
/// ```compile_fail,E0499
/// # let broker = logreel::Broker::in_memory();
/// let mut producer = broker.producer().build_transactional("p")?;
/// let first = producer.begin()?;
/// let second = producer.begin()?;
/// first.commit()?;
/// # Ok::<(), logreel::Error>(())
/// ```
///
/// ```compile_fail,E0382
/// # let broker = logreel::Broker::in_memory();
/// let mut producer = broker.producer().build_transactional("p")?;
/// let transaction = producer.begin()?;
/// transaction.commit()?;
/// transaction.commit()?;
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping a Transaction aborts it"]
pub struct Transaction<'a> {
    of: &'a mut TransactionalProducer,
    ended: bool,
}

impl Transaction<'_> {
    /// As [`Producer::send`], in the transaction. The delivery is complete when the record is
    /// written; it survives what the transaction survives. A record that fails keeps the
    /// transaction from being committed.
    ///
    /// Beyond the errors of `send` there are `PRODUCER_FENCED` and `INVALID_PRODUCER_EPOCH`, when
    /// another producer has taken over the id or the transaction timed out.
    pub fn send(&self, record: ProducerRecord<'_>) -> Delivery {
        self.of.producer.send(record)
    }

    /// As [`Producer::send_async`], in the transaction.
    pub fn send_async<'a>(&'a self, record: ProducerRecord<'a>) -> SendAsync<'a> {
        self.of.producer.send_async(record)
    }

    /// As [`Producer::send_batch`], in the transaction.
    pub fn send_batch<'a>(
        &self,
        records: impl IntoIterator<Item = ProducerRecord<'a>>,
    ) -> BatchDelivery {
        self.of.producer.send_batch(records)
    }

    /// Commits positions of a group as a part of the transaction: until it ends others see neither
    /// them nor those before (`UNSTABLE_OFFSET_COMMIT`), and after an abort they are forgotten. The
    /// records below them are durable on return.
    ///
    /// # Errors
    ///
    /// `ILLEGAL_GENERATION`, `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`, `REBALANCE_IN_PROGRESS`
    /// when the member does not have its partitions any more (KIP-447); those of
    /// [`Consumer::commit_offsets`](crate::Consumer::commit_offsets); `PRODUCER_FENCED`. After any
    /// of them the transaction cannot be committed.
    pub fn send_offsets(&self, offsets: &Offsets, group: &GroupMetadata) -> Result<()> {
        self.of.producer.commit_in_transaction(&self.of.session, offsets, group)
    }

    /// Writes what is still to be written, and commits the transaction: durable, and visible to
    /// everybody, on return. Blocks for at most `delivery.timeout.ms`, then for a sync of each
    /// partition's records, one of the decision, and one of each partition's marker.
    ///
    /// # Errors
    ///
    /// What kept a record or positions from being written; the transaction is aborted then.
    /// `PRODUCER_FENCED` when another producer has taken over the id, or the transaction timed out.
    /// After an error of the storage the transaction may have been committed: building a producer
    /// of the same id ends it as it was decided.
    pub fn commit(mut self) -> Result<()> {
        self.of.producer.commit_transaction(&self.of.session)?;
        self.ended = true;
        Ok(())
    }

    /// Drops what is not written yet, whose deliveries fail with `TransactionAborted`, and aborts
    /// the transaction: no reader of committed records will see anything of it.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let mut producer = broker.producer().build_transactional("p")?;
    /// let transaction = producer.begin()?;
    /// transaction.send(ProducerRecord::to("t").value("never seen")).wait()?;
    /// transaction.abort()?;
    /// let log = broker.topic("t")?.partition(0)?;
    /// assert_eq!(log.last_stable_offset(), 2); // the record and its marker
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `PRODUCER_FENCED`; what stops the storage of the transactions' topic or of a partition. The
    /// producer can do no more then, and the transaction is not committed.
    pub fn abort(mut self) -> Result<()> {
        self.ended = true;
        self.of.producer.abort_transaction(&self.of.session)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // The next `begin` tells of an error.
            let _ = self.of.producer.abort_transaction(&self.of.session);
        }
    }
}

impl Producer {
    fn commit_transaction(&self, session: &Session) -> Result<()> {
        let inner = self.inner();
        inner.flush(Duration::MAX)?;
        if let Some(error) = session.failure() {
            return Err(error);
        }
        session.end(&inner.client.broker, Outcome::Commit)
    }

    fn abort_transaction(&self, session: &Session) -> Result<()> {
        if !session.is_open() {
            return Ok(());
        }
        let inner = self.inner();
        inner.discard();
        session.end(&inner.client.broker, Outcome::Abort)
    }

    fn commit_in_transaction(
        &self,
        session: &Session,
        offsets: &Offsets,
        group: &GroupMetadata,
    ) -> Result<()> {
        session.commit_offsets(&self.inner().client.broker, offsets, group)
    }
}
