//! What the coordinator knows of a transactional id, and what may happen to it.
//!
//! Pure state: each event answers what is to be written; once that is written it is the state. The
//! order is Kafka's (KIP-98): Empty, Ongoing, then PrepareCommit or PrepareAbort, which is the
//! point of no return, then CompleteCommit or CompleteAbort, from where the next one begins. Every
//! end raises the epoch (KIP-890), so that nothing late can join or end a later transaction.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorCode, Result};
use crate::record::ControlRecord;
use crate::types::TopicPartition;

/// A producer and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerIdent {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// From this epoch on the next transaction needs another id (Kafka: `isProducerEpochExhausted`):
/// the last epoch is left for the marker that ends this one.
const EPOCH_LAST: i16 = i16::MAX - 1;

/// Where a transaction stands (Kafka's `TransactionState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionState {
    /// Nothing was sent yet.
    Empty,
    Ongoing,
    /// Decided; markers are being written.
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    /// Written by Kafka only, for ids that expire.
    Dead,
    /// Written by Kafka only, for ids that are being fenced.
    PrepareEpochFence,
}

impl TransactionState {
    const ALL: [Self; 8] = [
        Self::Empty,
        Self::Ongoing,
        Self::PrepareCommit,
        Self::PrepareAbort,
        Self::CompleteCommit,
        Self::CompleteAbort,
        Self::Dead,
        Self::PrepareEpochFence,
    ];

    pub(super) fn number(self) -> i8 {
        self as i8
    }

    pub(super) fn from_number(number: i8) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Commit,
    Abort,
}

impl Outcome {
    /// What says so in a partition.
    pub(crate) fn marker(self, coordinator_epoch: i32) -> ControlRecord {
        match self {
            Self::Commit => ControlRecord::Commit { coordinator_epoch },
            Self::Abort => ControlRecord::Abort { coordinator_epoch },
        }
    }
}

/// A transactional id, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransactionMeta {
    /// Once an end is decided, already with the epoch of its markers.
    pub(crate) producer: ProducerIdent,
    /// Who it is after the end that is being written, where its epochs are used up.
    pub(crate) next_id: Option<i64>,
    pub(crate) timeout_ms: i32,
    pub(crate) state: TransactionState,
    /// Where records or offsets of the transaction may be.
    pub(crate) partitions: BTreeSet<TopicPartition>,
    /// In milliseconds since 1970.
    pub(crate) updated_ms: i64,
    pub(crate) started_ms: Option<i64>,
    /// Whether markers carry a higher epoch than what they end; older brokers kept the epoch.
    pub(crate) bumps_epochs: bool,
}

impl TransactionMeta {
    /// A new transactional id.
    pub(crate) fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer: ProducerIdent { id: producer_id, epoch: 0 },
            next_id: None,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            updated_ms: now_ms,
            started_ms: None,
            bumps_epochs: true,
        }
    }

    /// How it was decided, while markers may be missing.
    pub(crate) fn prepared(&self) -> Option<Outcome> {
        match self.state {
            TransactionState::PrepareCommit => Some(Outcome::Commit),
            // Kafka fences by aborting.
            TransactionState::PrepareAbort | TransactionState::PrepareEpochFence => {
                Some(Outcome::Abort)
            }
            _ => None,
        }
    }

    pub(crate) fn is_ongoing(&self) -> bool {
        self.state == TransactionState::Ongoing
    }

    /// Whether the next epoch needs another id.
    pub(crate) fn is_spent(&self) -> bool {
        self.producer.epoch >= EPOCH_LAST
    }

    /// How long an ongoing transaction has left at `now_ms`, in milliseconds.
    pub(crate) fn time_left(&self, now_ms: i64) -> Option<u64> {
        let started = self.started_ms.filter(|_| self.is_ongoing())?;
        let over = started.saturating_add(self.timeout_ms.into());
        Some(u64::try_from(over.saturating_sub(now_ms)).unwrap_or(0))
    }

    /// Fails unless this is the producer that owns the id now.
    pub(crate) fn check_owner(&self, who: ProducerIdent) -> Result<()> {
        if who == self.producer {
            return Ok(());
        }
        Err(Error::kafka(
            ErrorCode::ProducerFenced,
            "another producer has taken over the transactional id, or the transaction timed out; \
             build the producer anew",
        ))
    }

    /// Whether the transaction that `who` had was ended like this, and nothing came after: its
    /// answer may have been lost (KIP-890).
    pub(crate) fn was_ended_by(&self, who: ProducerIdent, outcome: Outcome) -> bool {
        let state = match outcome {
            Outcome::Commit => TransactionState::CompleteCommit,
            Outcome::Abort => TransactionState::CompleteAbort,
        };
        let next = who.epoch.checked_add(1).map(|epoch| ProducerIdent { epoch, ..who });
        self.state == state && next == Some(self.producer)
    }

    /// Fails while markers of its last transaction are missing.
    pub(crate) fn check_settled(&self) -> Result<()> {
        if self.prepared().is_some() {
            let message = "the transaction before is being ended";
            return Err(Error::kafka(ErrorCode::ConcurrentTransactions, message));
        }
        Ok(())
    }

    /// A producer takes the id over, when nothing is open. `fresh` is used if the epochs are.
    pub(crate) fn initialized(&self, fresh: Option<i64>, timeout_ms: i32, now: i64) -> Self {
        let producer = match fresh.filter(|_| self.is_spent()) {
            Some(id) => ProducerIdent { id, epoch: 0 },
            None => self.next_epoch(),
        };
        Self { producer, ..Self::new(producer.id, timeout_ms, now) }
    }

    /// The transaction goes to these partitions, too; `None` if it did already.
    pub(crate) fn with_partitions(
        &self,
        who: ProducerIdent,
        tps: &[TopicPartition],
        now: i64,
    ) -> Result<Option<Self>> {
        self.check_owner(who)?;
        self.check_settled()?;
        if self.is_ongoing() && tps.iter().all(|tp| self.partitions.contains(tp)) {
            return Ok(None);
        }
        let mut next = self.ongoing(now);
        next.partitions.extend(tps.iter().cloned());
        Ok(Some(next))
    }

    /// The same with a transaction under way, begun now if it is not.
    fn ongoing(&self, now: i64) -> Self {
        let mut next = Self { updated_ms: now, bumps_epochs: true, ..self.clone() };
        if !self.is_ongoing() {
            next.state = TransactionState::Ongoing;
            next.started_ms = Some(now);
            next.partitions.clear();
        }
        next
    }

    /// The owner ends its transaction; `None` if nothing was sent in it.
    pub(crate) fn ended_by(
        &self,
        who: ProducerIdent,
        outcome: Outcome,
        fresh: Option<i64>,
        now: i64,
    ) -> Result<Option<Self>> {
        self.check_owner(who)?;
        self.check_settled()?;
        Ok(self.is_ongoing().then(|| self.prepare(outcome, fresh, now)))
    }

    /// The decision. `fresh` is who the producer is next if its epochs are used up.
    pub(crate) fn prepare(&self, outcome: Outcome, fresh: Option<i64>, now: i64) -> Self {
        let state = match outcome {
            Outcome::Commit => TransactionState::PrepareCommit,
            Outcome::Abort => TransactionState::PrepareAbort,
        };
        let next_id = fresh.filter(|_| self.is_spent());
        Self {
            producer: self.next_epoch(),
            next_id,
            state,
            updated_ms: now,
            bumps_epochs: true,
            ..self.clone()
        }
    }

    /// All markers are written.
    pub(crate) fn completed(&self, now: i64) -> Self {
        let state = match self.prepared() {
            Some(Outcome::Commit) => TransactionState::CompleteCommit,
            _ => TransactionState::CompleteAbort,
        };
        let producer = match self.next_id {
            Some(id) => ProducerIdent { id, epoch: 0 },
            None => self.producer,
        };
        Self {
            producer,
            next_id: None,
            state,
            partitions: BTreeSet::new(),
            updated_ms: now,
            started_ms: None,
            ..self.clone()
        }
    }

    /// At open: a partition has this producer's transaction open and the record that says so was
    /// lost. `None` if it is known.
    pub(crate) fn found_open(&self, tp: &TopicPartition, now: i64) -> Option<Self> {
        if self.is_ongoing() && self.partitions.contains(tp) {
            return None;
        }
        let mut next = self.ongoing(now);
        next.partitions.insert(tp.clone());
        Some(next)
    }

    fn next_epoch(&self) -> ProducerIdent {
        ProducerIdent { epoch: self.producer.epoch.saturating_add(1), ..self.producer }
    }
}

#[cfg(test)]
mod tests;
