//! Waiting for the callbacks of deliveries.
//!
//! A producer that was flushed or closed has delivered, but the thread that calls back may not be
//! done: a command that ended now would lose the last outcomes.

use std::sync::mpsc::{Receiver, Sender};

/// Every callback holds one until it has run.
pub(crate) type Owed = Sender<()>;

/// Blocks until all callbacks have let go of theirs; this one is the last.
pub(crate) fn wait_until_told(owed: Owed, all_told: &Receiver<()>) {
    drop(owed);
    // Nothing is ever sent: this ends when no sender is left.
    let _ = all_told.recv();
}
