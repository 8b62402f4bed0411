//! The end of a broker: one thread does it, and whoever else asks for it waits until it is done.

use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};

/// How far the end of a broker has come.
#[derive(Debug, Default)]
pub(super) struct Closing {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Open,
    /// This thread is at it.
    By(ThreadId),
    Ended(Result<()>),
}

impl Closing {
    /// The end for whoever asks first; `None` for all others.
    pub(super) fn begin(&self) -> Option<Ending<'_>> {
        let mut state = self.state.lock();
        if !matches!(*state, State::Open) {
            return None;
        }
        *state = State::By(thread::current().id());
        Some(Ending { closing: self, outcome: Err(Error::closed("broker")) })
    }

    /// Waits for the end and answers how it went. The thread that is at it, here inside a callback,
    /// cannot wait for itself.
    pub(super) fn wait(&self) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            match &*state {
                State::Open => return Ok(()),
                State::By(thread) if *thread == thread::current().id() => return Ok(()),
                State::Ended(outcome) => return outcome.clone(),
                State::By(_) => self.ended.wait(&mut state),
            }
        }
    }
}

/// The end while it is under way; it has ended when this goes, also by a panic.
pub(super) struct Ending<'a> {
    closing: &'a Closing,
    outcome: Result<()>,
}

impl Ending<'_> {
    pub(super) fn done(mut self, outcome: Result<()>) -> Result<()> {
        self.outcome.clone_from(&outcome);
        outcome
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Ok(()));
        *self.closing.state.lock() = State::Ended(outcome);
        self.closing.ended.notify_all();
    }
}
