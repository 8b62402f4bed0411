//! Giving up what a transaction has not written.

use super::accumulator::Left;
use super::queue::PartitionQueue;
use super::round::Round;
use super::slot::Runner as _;
use crate::error::Error;

impl PartitionQueue {
    /// Gives up what is not in the log, after what is being written is.
    pub(super) fn discard(&self, error: &Error) {
        let mut round = Round::default();
        {
            let mut held = self.held.lock();
            for piece in held.waiting.drain(..) {
                self.fail(&mut round, piece.slot, piece.records, error.clone());
            }
            held.backoff = None;
            let open = self.accumulator.take_all();
            self.leave(&mut held, Left::default());
            drop(held);
            open.into_iter().for_each(|batch| batch.slot.fail(error.clone()));
        }
        round.give_up();
        self.look_after();
    }
}
