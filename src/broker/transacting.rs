//! What happens to transactions: they are taken over, grow, and end.
//!
//! A commit is one promise in four steps, each durable before the next: the records in every
//! partition; the decision, which is the point of no return; the markers; that it is complete. What
//! a crash leaves half done is finished at the next open, as the decision says.

use std::sync::Arc;
use std::time::Duration;

use super::offsets::sync_positions;
use super::shared::Shared;
use super::transactions::{Claim, check_id, unknown_id};
use crate::coordinator::{
    CommitValue, GroupMetadata, Outcome, ProducerIdent, TransactionMeta, check_position,
    commit_record,
};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::log::names::CONSUMER_OFFSETS;
use crate::log::{Log, Marker};
use crate::record::BatchBuilder;
use crate::trace::event;
use crate::types::{Offsets, TopicPartition};
use crate::wait::Quiet;

/// When an end that failed is tried again.
const END_AGAIN: Duration = Duration::from_secs(1);

impl Shared {
    /// A producer takes an id over: what the one before left open is aborted, and it is fenced.
    /// Blocks for those who are at it, until `deadline`. Durable on return.
    pub(crate) fn init_transactions(
        &self,
        id: &Arc<str>,
        timeout: Duration,
        deadline: Option<Duration>,
    ) -> Result<ProducerIdent> {
        self.check_writable("a transaction")?;
        check_id(id)?;
        let timeout_ms = self.transaction_timeout(timeout)?;
        let claim = self.claim(id, deadline)?;
        if let Some(meta) = self.transaction(id) {
            if meta.is_ongoing() {
                self.decide(&claim, |meta, fresh, now| {
                    Ok(meta.is_ongoing().then(|| meta.prepare(Outcome::Abort, fresh, now)))
                })?;
            }
            self.finish(&claim)?;
            if let Some(meta) = self.transaction(id) {
                meta.check_settled()?;
            }
        }
        let now = self.context.clock.wall_millis();
        let spent = self.transaction(id).is_none_or(|meta| meta.is_spent());
        let fresh = if spent { Some(self.producer_ids.next(&self.context)?) } else { None };
        let written = self.change_transaction(id, |meta| {
            Ok(match (meta, fresh) {
                (Some(meta), fresh) => Some(meta.initialized(fresh, timeout_ms, now)),
                (None, Some(fresh)) => Some(TransactionMeta::new(fresh, timeout_ms, now)),
                (None, None) => None,
            })
        })?;
        let Some((meta, written)) = written else {
            return Err(Error::kafka(ErrorCode::ConcurrentTransactions, "the id was forgotten"));
        };
        // An epoch that was used must never be given again.
        written.sync()?;
        event!(
            INFO,
            "producer initialised",
            transactional_id = &**id,
            epoch = i32::from(meta.producer.epoch)
        );
        Ok(meta.producer)
    }

    fn transaction_timeout(&self, timeout: Duration) -> Result<i32> {
        let max = self.config.transaction_max_timeout;
        let millis = i32::try_from(timeout.as_millis()).ok();
        millis.filter(|millis| *millis > 0 && timeout <= max).ok_or_else(|| {
            let message = format!(
                "transaction.timeout.ms = {} is outside 1..={} (transaction.max.timeout.ms)",
                timeout.as_millis(),
                max.as_millis()
            );
            Error::kafka(ErrorCode::InvalidTransactionTimeout, message)
        })
    }

    /// The transaction of `who` goes to these partitions, too; it begins with the first. Not
    /// synced: an open finds what was left open in partitions.
    pub(crate) fn add_to_transaction(
        &self,
        id: &Arc<str>,
        who: ProducerIdent,
        tps: &[TopicPartition],
    ) -> Result<()> {
        self.check_writable("a transaction")?;
        let now = self.context.clock.wall_millis();
        self.change_transaction(id, |meta| {
            meta.ok_or_else(|| unknown_id(id, who))?.with_partitions(who, tps, now)
        })?;
        Ok(())
    }

    /// Ends the transaction of `who`. Answers as whom the producer begins the next. A commit is
    /// durable on return; after an error that is no `PRODUCER_FENCED` it may have been decided, and
    /// the next open tells. A retry finds what the first try did. Runs callbacks of producers.
    pub(crate) fn end_transaction(
        &self,
        id: &Arc<str>,
        who: ProducerIdent,
        outcome: Outcome,
        is_retry: bool,
    ) -> Result<ProducerIdent> {
        self.check_writable("a transaction")?;
        let claim = self.claim(id, None)?;
        let meta = self.transaction(id).ok_or_else(|| unknown_id(id, who))?;
        if is_retry && meta.was_ended_by(who, outcome) {
            return Ok(meta.producer);
        }
        meta.check_owner(who)?;
        if outcome == Outcome::Commit && meta.is_ongoing() {
            self.sync_transaction(&meta)?;
        }
        self.decide(&claim, |meta, fresh, now| meta.ended_by(who, outcome, fresh, now))?;
        self.finish(&claim)?;
        Ok(self.transaction(id).map_or(who, |meta| meta.producer))
    }

    /// Makes what a transaction wrote durable. What was sent to a topic that is gone is gone.
    fn sync_transaction(&self, meta: &TransactionMeta) -> Result<()> {
        for tp in &meta.partitions {
            if let Ok(log) = self.log(tp) {
                match log.sync_to(log.end_offset()) {
                    Err(_) if log.is_deleted() => {}
                    synced => synced?,
                }
            }
        }
        Ok(())
    }

    /// Writes how a transaction ends, durably: from here on it ends so.
    fn decide(
        &self,
        claim: &Claim<'_>,
        end: impl FnOnce(&TransactionMeta, Option<i64>, i64) -> Result<Option<TransactionMeta>>,
    ) -> Result<()> {
        let now = self.context.clock.wall_millis();
        let spent = self.transaction(&claim.id).is_some_and(|meta| meta.is_spent());
        let fresh = if spent { Some(self.producer_ids.next(&self.context)?) } else { None };
        let decided = self.change_transaction(&claim.id, |meta| match meta {
            Some(meta) => end(meta, fresh, now),
            None => Ok(None),
        })?;
        decided.map_or(Ok(()), |(_, written)| written.sync())
    }

    /// Writes the markers that a decision asks for, and that it is done; nothing where there is
    /// none. What fails is tried again later, or by the next open.
    pub(super) fn finish(&self, claim: &Claim<'_>) -> Result<()> {
        let Some(meta) = self.transaction(&claim.id) else { return Ok(()) };
        let Some(outcome) = meta.prepared() else { return Ok(()) };
        if self.context.faults.holds_markers() {
            return Ok(());
        }
        // One whose sync failed may not be what the next open finds.
        let log = self.transactions_log(&claim.id)?;
        let durable = log.sync_to(log.end_offset());
        let marked = durable.and_then(|()| self.mark_all(&claim.id, &meta, outcome));
        let finished = marked.and_then(|()| {
            let now = self.context.clock.wall_millis();
            self.change_transaction(&claim.id, |meta| Ok(meta.map(|meta| meta.completed(now))))
        });
        if let Err(error) = &finished
            && error.kind() == ErrorKind::StorageFull
        {
            let now = self.context.clock.monotonic();
            self.look_at_transactions_at(now.saturating_add(END_AGAIN));
        }
        finished.map(|_| ())
    }

    /// Marks every partition, and makes the markers durable: that the transaction is complete must
    /// not be known before.
    fn mark_all(&self, id: &str, meta: &TransactionMeta, outcome: Outcome) -> Result<()> {
        let coordinator = self.transactions_log(id)?.leader_epoch();
        let marker = Marker {
            producer_id: meta.producer.id,
            epoch: meta.producer.epoch,
            says: outcome.marker(coordinator),
            bumps: meta.bumps_epochs,
        };
        let mut marked: Vec<(Arc<Log>, i64)> = Vec::new();
        let mut failed = Ok(());
        for tp in &meta.partitions {
            // One that fails does not hold back the others.
            match self.mark(tp, marker, outcome) {
                Ok(end) => marked.extend(end),
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        for (log, end) in marked {
            match log.sync_to(end) {
                Err(_) if log.is_deleted() => {}
                synced => failed = failed.and(synced),
            }
        }
        failed
    }

    /// Marks one partition; `None` if it is gone.
    fn mark(
        &self,
        tp: &TopicPartition,
        marker: Marker,
        outcome: Outcome,
    ) -> Result<Option<(Arc<Log>, i64)>> {
        let Ok(log) = self.log(tp) else { return Ok(None) };
        let marked = if tp.topic() == CONSUMER_OFFSETS {
            let marked = self.mark_offsets(&log, marker, outcome);
            self.commits_changed().wake_all();
            marked
        } else {
            log.append_marker(marker)
        };
        match marked {
            Ok(end) => Ok(Some((log, end))),
            Err(_) if log.is_deleted() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A marker decides what groups have committed in the transaction. Their lock is held over
    /// append and change, as for commits.
    fn mark_offsets(&self, log: &Log, marker: Marker, outcome: Outcome) -> Result<i64> {
        let _quiet = Quiet::new();
        let mut groups = self.groups.loaded.lock();
        let end = log.append_marker(marker)?;
        if let Some(loaded) = groups.as_mut() {
            let commit = outcome == Outcome::Commit;
            loaded.end_transaction(log.tp.partition(), marker.producer_id, commit);
        }
        Ok(end)
    }

    /// What is over is aborted, and the producer fenced; what could not be ended before is.
    pub(super) fn run_transactions(&self) {
        let now = self.context.clock.monotonic();
        for (id, over) in self.transactions_to_end(now, now.saturating_add(END_AGAIN)) {
            let Some(claim) = self.transactions.try_claim(&id) else { continue };
            let decided = over.map_or(Ok(()), |who| {
                event!(INFO, "transaction timed out", transactional_id = &*id);
                self.decide(&claim, |meta, fresh, at| {
                    // It may have ended meanwhile, and another have begun.
                    let is_it = meta.is_ongoing() && meta.producer == who;
                    Ok(is_it.then(|| meta.prepare(Outcome::Abort, fresh, at)))
                })
            });
            // What fails is tried again later, or by the next open.
            let _ = decided.and_then(|()| self.finish(&claim));
        }
    }

    /// Commits positions of a group as a part of the transaction of `who`: pending until it ends.
    pub(crate) fn commit_in_transaction(
        &self,
        id: &Arc<str>,
        who: ProducerIdent,
        group: &GroupMetadata,
        offsets: &Offsets,
    ) -> Result<()> {
        self.check_writable("committing")?;
        if offsets.is_empty() {
            return Ok(());
        }
        let (name, by) = (group.group_id(), group.member.as_ref());
        let logs = self.logs_of(offsets)?;
        self.check_commit(name, by, offsets)?;
        // A commit must not be durable before the records it points past.
        sync_positions(offsets, &logs)?;
        let partition = self.with_groups(|loaded| Ok(loaded.place(name)?.1))?;
        self.add_to_transaction(id, who, &[TopicPartition::new(CONSUMER_OFFSETS, partition)])?;
        let now = self.context.clock.wall_millis();
        let written = self.with_group(name, |state, placed| {
            state.check_commit(name, by)?;
            let mut batch = BatchBuilder::new().producer(who.id, who.epoch, None).transactional();
            let mut values = Vec::new();
            for (tp, position) in offsets.iter() {
                check_position(tp, position)?;
                let value =
                    CommitValue { position: position.clone(), timestamp: now, expires: None };
                let (key, bytes) = commit_record(name, tp, &value);
                batch.append(Some(now), Some(&key), bytes.as_deref(), &[])?;
                values.push((tp.clone(), value));
            }
            self.offsets_log(placed.1)?.append(batch.seal()?)?;
            for (tp, value) in values {
                state.commits.replay(tp, Some(value), Some(who.id));
            }
            Ok(())
        });
        written.map(|_| ())
    }
}
