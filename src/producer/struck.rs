//! The faults that tests set where batches are written.

use crate::error::{Error, Result};
use crate::faults::{Blow, OpKind, Operation};
use crate::log::Log;

/// An append that tests look at, and what they have decided for it.
pub(super) struct Struck {
    operation: Operation,
    blow: Option<Blow>,
}

impl Struck {
    /// Meets what tests have set for the next append to a log; `None` if nobody looks.
    pub(super) fn of(log: &Log, transactional_id: Option<&str>) -> Option<Self> {
        let (faults, clock) = (&log.context.faults, &log.context.clock);
        if !faults.is_active() {
            return None;
        }
        let mut operation = Operation::new(OpKind::Produce).on(&log.tp);
        if let Some(id) = transactional_id {
            operation = operation.of_transaction(id);
        }
        let blow = faults.strike(clock, &operation);
        let struck = Self { operation, blow };
        if let Some(error) = struck.instead() {
            faults.note(clock, struck.operation.clone(), Some(&error));
        }
        Some(struck)
    }

    /// The error that comes in the place of the append.
    pub(super) fn instead(&self) -> Option<Error> {
        self.blow.as_ref().filter(|blow| !blow.is_after).map(|blow| blow.error.clone())
    }

    /// What the producer is told of the append; an error if the answer is lost.
    pub(super) fn answer(self, log: &Log, appended: &Result<()>) -> Option<Error> {
        let lost = self.blow.filter(|blow| blow.is_after && appended.is_ok());
        let lost = lost.map(|blow| blow.error);
        let told = lost.as_ref().or(appended.as_ref().err());
        log.context.faults.note(&log.context.clock, self.operation, told);
        lost
    }
}
