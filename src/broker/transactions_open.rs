//! What an open makes of transactions that the process before left behind.
//!
//! A decided one is finished as it was decided. An ongoing one stays open until it times out or its
//! id is initialised again. What partitions have open decides where records of the coordinator were
//! lost, which are not synced while a transaction grows.

use std::sync::Arc;

use super::shared::Shared;
use crate::coordinator::Outcome;
use crate::error::Result;
use crate::log::names::TRANSACTION_STATE;
use crate::log::{Log, Marker};
use crate::types::IsolationLevel;

impl Shared {
    /// Finishes and takes up what was left. Fails only where the whole directory fails: what cannot
    /// be ended now is told to who initialises the id.
    pub(super) fn recover_transactions(&self) -> Result<()> {
        let Some(topic) = self.topic(TRANSACTION_STATE) else { return Ok(()) };
        self.load_transactions(&topic.logs());
        for id in self.prepared_transactions() {
            if let Some(claim) = self.transactions.try_claim(&id) {
                let _ = self.finish(&claim);
            }
        }
        let producers = self.transactional_producers();
        if producers.is_empty() {
            return Ok(());
        }
        for log in self.logs() {
            let stable = log.readable_end(IsolationLevel::ReadCommitted);
            if stable == log.end_offset() || log.halt().is_some() {
                continue;
            }
            let Ok(open) = log.open_transactions() else { continue };
            for (producer, epoch) in open {
                if let Some(id) = producers.get(&producer) {
                    let _ = self.settle_open(id, &log, (producer, epoch));
                }
            }
        }
        Ok(())
    }

    /// A partition has a transaction open: it is the id's present one, or one that was aborted
    /// before and whose marker was lost. One that was committed has its markers: they are durable
    /// before that it is complete is known.
    fn settle_open(&self, id: &Arc<str>, log: &Log, of: (i64, i16)) -> Result<()> {
        let (producer_id, epoch) = of;
        let Some(meta) = self.transaction(id).filter(|meta| meta.prepared().is_none()) else {
            return Ok(());
        };
        if epoch < meta.producer.epoch && meta.bumps_epochs {
            let coordinator = self.transactions_log(id)?.leader_epoch();
            let says = Outcome::Abort.marker(coordinator);
            let marker = Marker { producer_id, epoch: meta.producer.epoch, says, bumps: true };
            log.append_marker(marker)?;
            return Ok(());
        }
        let now = self.context.clock.wall_millis();
        self.change_transaction(
            id,
            |meta| Ok(meta.and_then(|meta| meta.found_open(&log.tp, now))),
        )?;
        Ok(())
    }
}
