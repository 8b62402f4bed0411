//! What a run of batches came to, kept until the drain token is let go.

use std::ops::Range;
use std::sync::Arc;

use super::client::Client;
use super::config::Acks;
use super::few::Few;
use super::piece::Piece;
use super::slot::{AfterSync, AwaitSync, BatchSlot, Placed};
use crate::error::{Error, Result};
use crate::log::{Appended, Log, Synced as _};

/// What a run of batches came to.
#[derive(Default)]
pub(super) struct Round {
    done: Few<Done>,
    /// How far a sync is wanted.
    pub(super) sync_to: Option<i64>,
}

struct Done {
    slot: Arc<BatchSlot>,
    records: Range<i32>,
    result: Result<Placed>,
    /// Where the sync must reach that makes the result true.
    durable_at: Option<i64>,
}

impl Round {
    pub(super) fn place(&mut self, piece: Piece, appended: Appended, client: &Client) {
        let Piece { batch, slot, records, .. } = piece;
        // A transaction is made durable as a whole.
        let waits = client.config.acks == Acks::All && client.session.is_none();
        if waits || appended.sync_due {
            self.sync_to = self.sync_to.max(Some(appended.end()));
        }
        let Appended { base_offset, log_append_time, .. } = appended;
        let placed = Placed { base_offset, log_append_time };
        let durable_at = waits.then_some(appended.end());
        self.done.push(Done { slot, records, result: Ok(placed), durable_at });
        client.memory.give_buffer(batch.into_bytes());
    }

    pub(super) fn fail(&mut self, slot: Arc<BatchSlot>, records: Range<i32>, error: Error) {
        self.done.push(Done { slot, records, result: Err(error), durable_at: None });
    }

    /// Tells everybody, where nothing was written.
    pub(super) fn give_up(self) {
        for Done { slot, records, result, .. } in self.done {
            slot.finish(records, result);
        }
    }

    /// Tells everybody; says whether anything failed. Wakes futures, runs no callbacks: one of
    /// them may wait for a later batch of this round.
    pub(super) fn settle<Q: AfterSync + 'static>(self, log: &Arc<Log>, queue: &Arc<Q>) -> bool {
        let mut failed = false;
        for Done { slot, records, result, durable_at } in self.done {
            failed |= result.is_err();
            match (result, durable_at) {
                (Ok(placed), Some(end)) => {
                    slot.want_sync(log, end);
                    let waiting = AwaitSync { slot, records, placed, queue: Arc::clone(queue) };
                    let waiting = Arc::new(waiting);
                    if let Some(known) = log.sync.join(end, Arc::clone(&waiting) as _) {
                        waiting.synced(known);
                    }
                }
                (result, _) => slot.finish(records, result),
            }
        }
        failed
    }
}
