//! What a producer knows of its own transaction.
//!
//! A lock above those of the catalog and of the coordinator, held while a partition joins the
//! transaction, which writes a record; and a leaf under the drain token, where batches look for
//! their epoch. Failed ones leave their error here.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::broker::Shared;
use crate::coordinator::{GroupMetadata, Outcome, ProducerIdent};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::faults::{OpKind, Operation, persist};
use crate::types::{Offsets, TopicPartition};
use crate::wait::Quiet;

/// The transactions of one producer.
#[derive(Debug)]
pub(super) struct Session {
    id: Arc<str>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    who: ProducerIdent,
    /// Between the begin of a transaction and its end.
    open: bool,
    /// Where the transaction has sent something.
    partitions: BTreeSet<TopicPartition>,
    /// Whether the transaction exists for the coordinator.
    known: bool,
    /// Why the transaction cannot be committed.
    failed: Option<Error>,
    /// Why there can be no further transaction.
    ended: Option<Error>,
}

impl Session {
    pub(super) fn new(id: Arc<str>, who: ProducerIdent) -> Self {
        let state = State {
            who,
            open: false,
            partitions: BTreeSet::new(),
            known: false,
            failed: None,
            ended: None,
        };
        Self { id, state: Mutex::new(state) }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// As whom batches are written now.
    pub(super) fn who(&self) -> ProducerIdent {
        self.state.lock().who
    }

    /// Whether a transaction was begun and not ended: its guard was leaked.
    pub(super) fn is_open(&self) -> bool {
        self.state.lock().open
    }

    pub(super) fn begin(&self) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(error) = &state.ended {
            return Err(error.clone());
        }
        state.open = true;
        Ok(())
    }

    /// Takes a partition into the transaction before anything is sent to it.
    pub(super) fn join(&self, broker: &Shared, tp: &TopicPartition) -> Result<()> {
        if self.state.lock().partitions.contains(tp) {
            return Ok(());
        }
        let add = || self.join_once(broker, tp);
        self.ask(broker, |operation| operation.on(tp), OpKind::AddPartitionsToTxn, add)
    }

    /// Asks the coordinator for something, or meets what a test has decided instead.
    fn ask<T>(
        &self,
        broker: &Shared,
        about: impl Fn(Operation) -> Operation,
        kind: OpKind,
        act: impl Fn() -> Result<T>,
    ) -> Result<T> {
        let context = &broker.context;
        let operation = || about(Operation::new(kind).of_transaction(&self.id));
        let once = || context.faults.run(&context.clock, operation, &act);
        let clock = &context.clock;
        persist(clock, || once().map_err(|error| context.faults.while_markers_wait(clock, error)))
    }

    fn join_once(&self, broker: &Shared, tp: &TopicPartition) -> Result<()> {
        // The record that is written wakes who reads the coordinator's log.
        let _quiet = Quiet::new();
        let mut state = self.state.lock();
        if state.partitions.contains(tp) {
            return Ok(());
        }
        if !state.open {
            return Err(Error::new(ErrorKind::IllegalState, "no transaction was begun"));
        }
        broker.add_to_transaction(&self.id, state.who, std::slice::from_ref(tp))?;
        state.partitions.insert(tp.clone());
        state.known = true;
        Ok(())
    }

    /// Something of the transaction was not written: it cannot be committed.
    pub(super) fn note(&self, error: &Error) {
        let mut state = self.state.lock();
        if state.open && state.failed.is_none() {
            state.failed = Some(error.clone());
        }
    }

    pub(super) fn commit_offsets(
        &self,
        broker: &Shared,
        offsets: &Offsets,
        group: &GroupMetadata,
    ) -> Result<()> {
        let who = {
            let mut state = self.state.lock();
            // Also if that fails: the coordinator may know of it.
            state.known = true;
            state.who
        };
        let about = |operation: Operation| {
            operation.of_group(group.group_id()).on_all(offsets.iter().map(|(tp, _)| tp))
        };
        let commit = || broker.commit_in_transaction(&self.id, who, group, offsets);
        let sent = self.ask(broker, about, OpKind::TxnOffsetCommit, commit);
        sent.inspect_err(|error| self.note(error))
    }

    /// Why the transaction cannot be committed.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state.lock().failed.clone()
    }

    /// Ends the transaction. After an error it is still open, and the producer can do no more if
    /// it was an abort or the producer is fenced.
    pub(super) fn end(&self, broker: &Shared, outcome: Outcome) -> Result<()> {
        let (who, known) = {
            let state = self.state.lock();
            (state.who, state.known)
        };
        let is_retry = Cell::new(false);
        let end = || match known {
            true => broker.end_transaction(&self.id, who, outcome, is_retry.replace(true)),
            false => broker.check_owner(&self.id, who),
        };
        let ended = self.ask(broker, |operation| operation, OpKind::EndTxn, end);
        let mut state = self.state.lock();
        match ended {
            Ok(next) => {
                state.who = next;
                Self::close(&mut state);
                Ok(())
            }
            Err(error) => {
                let fenced = error.code() == Some(ErrorCode::ProducerFenced);
                if fenced || outcome == Outcome::Abort {
                    state.ended.get_or_insert_with(|| error.clone());
                    Self::close(&mut state);
                }
                Err(error)
            }
        }
    }

    fn close(state: &mut State) {
        state.open = false;
        state.known = false;
        state.failed = None;
        state.partitions.clear();
    }
}
