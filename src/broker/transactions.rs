//! The transactional ids of a broker, as the records of `__transaction_state` tell them.
//!
//! Whoever initialises or ends a transaction claims its id meanwhile, so that one does it at a
//! time: that takes syncs and markers, which come without a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::heart::{NEVER, nanos};
use crate::coordinator::{ProducerIdent, TransactionMeta, decode_key};
use crate::error::{Error, ErrorCode, Result};
use crate::log::{Cursor, Log, ReadOptions};
use crate::types::IsolationLevel;
use crate::wait::WaitQueue;

/// How much of the log is read at a time when it is loaded.
const LOAD_BYTES: usize = 1024 * 1024;
/// How long a transactional id may be: Kafka writes its length with 16 bits.
const ID_BYTES_MAX: usize = i16::MAX as usize;

/// The transactional ids of a broker.
#[derive(Debug)]
pub(super) struct Transactions {
    pub(super) known: Mutex<Known>,
    /// Those who wait for an id that is claimed.
    pub(super) released: WaitQueue,
    /// No transaction times out before this moment, in nanoseconds on the monotonic clock.
    pub(super) due: AtomicU64,
}

impl Default for Transactions {
    fn default() -> Self {
        let due = AtomicU64::new(NEVER);
        Self { known: Mutex::default(), released: WaitQueue::new(), due }
    }
}

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) ids: BTreeMap<Arc<str>, Transaction>,
    pub(super) claimed: BTreeSet<Arc<str>>,
    /// Partitions of the log that cannot be read to their end: what is there is unknown.
    pub(super) broken: BTreeMap<i32, Error>,
}

/// A transactional id.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) meta: TransactionMeta,
    /// When it is over, on the monotonic clock, if it is ongoing.
    pub(super) due: Option<Duration>,
}

/// The right to initialise or to end the transactions of an id; given back when this is dropped.
#[must_use]
#[derive(Debug)]
pub(super) struct Claim<'a> {
    transactions: &'a Transactions,
    pub(super) id: Arc<str>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let due = {
            let mut known = self.transactions.known.lock();
            known.claimed.remove(&self.id);
            known.ids.get(&self.id).and_then(|transaction| transaction.due)
        };
        if let Some(due) = due {
            // It was passed over while it was claimed.
            self.transactions.due.fetch_min(nanos(due), Ordering::SeqCst);
        }
        self.transactions.released.wake_all();
    }
}

impl Transactions {
    /// Claims an id, if nobody has it.
    pub(super) fn try_claim(&self, id: &Arc<str>) -> Option<Claim<'_>> {
        let is_free = self.known.lock().claimed.insert(Arc::clone(id));
        is_free.then(|| Claim { transactions: self, id: Arc::clone(id) })
    }

    /// Reads what the log says of every id.
    pub(super) fn load(&self, logs: &[Arc<Log>]) {
        let mut known = self.known.lock();
        for (number, log) in (0..).zip(logs) {
            if let Err(error) = load(&mut known, log) {
                known.broken.insert(number, error.on(&log.tp));
            }
        }
    }
}

fn load(known: &mut Known, log: &Log) -> Result<()> {
    let options = ReadOptions {
        max_bytes: LOAD_BYTES,
        at_least_one: true,
        crc: true,
        isolation: IsolationLevel::ReadUncommitted,
        control: false,
    };
    let mut cursor = Cursor::new(log.start_offset());
    loop {
        let before = cursor.offset();
        let batches = log.read(&mut cursor, options)?;
        if batches.is_empty() && cursor.offset() == before {
            return Ok(());
        }
        for batch in &batches {
            for record in &batch.records()? {
                let Some(id) = record.key().and_then(decode_key) else { continue };
                let Some(value) = record.value() else {
                    known.ids.remove(id);
                    continue;
                };
                let Some(meta) = TransactionMeta::decode(value) else {
                    let message = "a record of the transactions' topic has a value that cannot be \
                                   read, perhaps of a newer version";
                    return Err(Error::kafka(ErrorCode::CorruptMessage, message));
                };
                known.ids.insert(Arc::from(id), Transaction { meta, due: None });
            }
        }
    }
}

/// Checks a transactional id.
pub(super) fn check_id(id: &str) -> Result<()> {
    if (1..=ID_BYTES_MAX).contains(&id.len()) {
        return Ok(());
    }
    let message = format!("a transactional id has 1 to {ID_BYTES_MAX} bytes, not {}", id.len());
    Err(Error::kafka(ErrorCode::InvalidRequest, message))
}

/// What an event on an id that is not known answers.
pub(super) fn unknown_id(id: &str, who: ProducerIdent) -> Error {
    let message = format!("transactional id {id} does not belong to producer {}", who.id);
    Error::kafka(ErrorCode::ProducerFenced, message)
}
