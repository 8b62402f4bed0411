//! Looking at transactional ids, and changing them.
//!
//! The lock is held over check, append and change, so that the log and the state agree on the
//! order. It is on the same floor as that of the groups: neither is taken under the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::heart::{NEVER, nanos};
use super::shared::Shared;
use super::transactions::{Claim, Known, Transaction, unknown_id};
use crate::coordinator::{ProducerIdent, TransactionMeta, encode_key, group_partition};
use crate::error::{Error, ErrorCode, Result};
use crate::log::Log;
use crate::record::BatchBuilder;
use crate::wait::{Quiet, Waiter};

impl Shared {
    /// Claims an id, behind whoever has it, until `deadline`.
    pub(super) fn claim(&self, id: &Arc<str>, deadline: Option<Duration>) -> Result<Claim<'_>> {
        if let Some(claim) = self.transactions.try_claim(id) {
            return Ok(claim);
        }
        let waiter = Waiter::new();
        self.transactions.released.add(&waiter);
        let claim = loop {
            if let Some(claim) = self.transactions.try_claim(id) {
                break Ok(claim);
            }
            if let Err(closed) = self.check_open() {
                break Err(closed);
            }
            if !waiter.park(&self.context.clock, deadline) {
                let message = format!("transactional id {id} is being initialised or ended");
                break Err(Error::kafka(ErrorCode::ConcurrentTransactions, message));
            }
        };
        self.transactions.released.remove(&waiter);
        claim
    }

    /// Fails unless `who` owns the id now; else answers who that is.
    pub(crate) fn check_owner(&self, id: &str, who: ProducerIdent) -> Result<ProducerIdent> {
        self.check_open()?;
        let meta = self.transaction(id).ok_or_else(|| unknown_id(id, who))?;
        meta.check_owner(who).map(|()| who)
    }

    /// What is known of an id.
    pub(super) fn transaction(&self, id: &str) -> Option<TransactionMeta> {
        self.transactions.known.lock().ids.get(id).map(|known| known.meta.clone())
    }

    /// Writes what becomes of an id, and makes it so. `change` sees what is; if it answers `None`
    /// nothing happens. Answers what is now, and up to where its log is to be synced.
    pub(super) fn change_transaction(
        &self,
        id: &Arc<str>,
        change: impl FnOnce(Option<&TransactionMeta>) -> Result<Option<TransactionMeta>>,
    ) -> Result<Option<(TransactionMeta, Written)>> {
        let log = self.transactions_log(id)?;
        let partition = log.tp.partition();
        // An append wakes readers of that topic.
        let _quiet = Quiet::new();
        let mut known = self.transactions.known.lock();
        if let Some(error) = known.broken.get(&partition) {
            let message = format!("the state of transactional id {id} is unknown");
            return Err(
                Error::kafka(ErrorCode::CoordinatorNotAvailable, message).because(error.clone())
            );
        }
        let Some(meta) = change(known.ids.get(id).map(|known| &known.meta))? else {
            return Ok(None);
        };
        let mut batch = BatchBuilder::new();
        batch.append(Some(meta.updated_ms), Some(&encode_key(id)), Some(&meta.encode()), &[])?;
        let end = log.append(batch.seal()?)?.end();
        let due = self.due_of(&meta);
        known.ids.insert(Arc::clone(id), Transaction { meta: meta.clone(), due });
        drop(known);
        self.note_transaction_due(due);
        Ok(Some((meta, Written { log, end })))
    }

    /// The log that an id is written to: where its hash says.
    pub(super) fn transactions_log(&self, id: &str) -> Result<Arc<Log>> {
        let topic = self.transactions_topic()?;
        topic.log(group_partition(id, topic.partition_count()))
    }

    fn due_of(&self, meta: &TransactionMeta) -> Option<Duration> {
        let left = meta.time_left(self.context.clock.wall_millis())?;
        Some(self.context.clock.monotonic().saturating_add(Duration::from_millis(left)))
    }

    fn note_transaction_due(&self, due: Option<Duration>) {
        if let Some(due) = due {
            let before = self.transactions.due.fetch_min(nanos(due), Ordering::SeqCst);
            if nanos(due) < before {
                // Without a thread it is done by who waits.
                let _ = self.wake_background();
            }
        }
    }

    /// When a transaction is over next.
    pub(super) fn next_transaction_due(&self) -> Option<Duration> {
        let due = self.transactions.due.load(Ordering::SeqCst);
        (due != NEVER).then(|| Duration::from_nanos(due))
    }

    /// The ids whose transactions are over at `now`, with whose they are, or decided and not
    /// complete. They are looked at again at `again`, if they are still there. Those that are
    /// claimed are being ended: they are looked at when they are given back.
    pub(super) fn transactions_to_end(
        &self,
        now: Duration,
        again: Duration,
    ) -> Vec<(Arc<str>, Option<ProducerIdent>)> {
        if self.transactions.due.load(Ordering::SeqCst) > nanos(now) {
            return Vec::new();
        }
        // First, so that what is noted from here on counts.
        self.transactions.due.store(NEVER, Ordering::SeqCst);
        let mut guard = self.transactions.known.lock();
        let Known { ids, claimed, .. } = &mut *guard;
        let (mut found, mut next) = (Vec::new(), None);
        for (id, transaction) in ids.iter_mut().filter(|(id, _)| !claimed.contains(*id)) {
            let is_over = transaction.due.is_some_and(|due| due <= now);
            if is_over {
                transaction.due = Some(again);
                found.push((Arc::clone(id), Some(transaction.meta.producer)));
            } else if transaction.meta.prepared().is_some() {
                found.push((Arc::clone(id), None));
            }
            next = [next, transaction.due].into_iter().flatten().min();
        }
        drop(guard);
        self.note_transaction_due(next);
        found
    }

    /// What could not be ended is looked at again then.
    pub(super) fn look_at_transactions_at(&self, at: Duration) {
        self.note_transaction_due(Some(at));
    }

    /// Who owns what, by producer id.
    pub(super) fn transactional_producers(&self) -> BTreeMap<i64, Arc<str>> {
        let known = self.transactions.known.lock();
        known.ids.iter().map(|(id, known)| (known.meta.producer.id, Arc::clone(id))).collect()
    }

    /// The ids whose end is decided and not complete.
    pub(super) fn prepared_transactions(&self) -> Vec<Arc<str>> {
        let known = self.transactions.known.lock();
        let prepared = known.ids.iter().filter(|(_, known)| known.meta.prepared().is_some());
        prepared.map(|(id, _)| Arc::clone(id)).collect()
    }

    /// Reads what the log says of every id, and how much time each transaction has left.
    pub(super) fn load_transactions(&self, logs: &[Arc<Log>]) {
        self.transactions.load(logs);
        let mut known = self.transactions.known.lock();
        for transaction in known.ids.values_mut() {
            transaction.due = self.due_of(&transaction.meta);
        }
        let next = known.ids.values().filter_map(|known| known.due).min();
        drop(known);
        self.note_transaction_due(next);
    }
}

/// A record of the log, and up to where a sync makes it durable.
#[derive(Debug)]
pub(super) struct Written {
    log: Arc<Log>,
    end: i64,
}

impl Written {
    /// Makes it durable. Runs callbacks of producers.
    pub(super) fn sync(&self) -> Result<()> {
        self.log.sync_to(self.end)
    }
}
