//! Where what clients ask for can be made to go wrong, be held back, counted and written down.
//!
//! Every request that a client would send to a broker passes here once. Without the feature
//! `testing`, and while no test has asked for anything, it is just done; that costs one load.

mod operation;

mod again;

#[cfg(feature = "testing")]
mod gate;

#[cfg(feature = "testing")]
mod rule;

#[cfg(feature = "testing")]
mod history;

#[cfg(feature = "testing")]
mod switch;

#[cfg(feature = "testing")]
mod handle;

#[cfg(feature = "testing")]
mod builder;

#[cfg(not(feature = "testing"))]
mod off;

#[cfg(feature = "testing")]
pub use builder::FaultBuilder;
#[cfg(feature = "testing")]
pub use handle::{Barrier, FaultHandle};
#[cfg(feature = "testing")]
pub use history::HistoryEntry;
#[cfg(feature = "testing")]
pub use switch::Faults;
#[cfg(feature = "testing")]
pub use {operation::OpKind, operation::Operation};

#[cfg(not(feature = "testing"))]
pub(crate) use off::Faults;
#[cfg(not(feature = "testing"))]
pub(crate) use {operation::OpKind, operation::Operation};

pub(crate) use again::persist;

/// What a test has decided for one operation.
#[derive(Debug)]
pub(crate) struct Blow {
    /// What the client is told.
    pub(crate) error: crate::error::Error,
    /// It is done first; only the answer is lost.
    pub(crate) is_after: bool,
    #[cfg(feature = "testing")]
    rule: std::sync::Arc<rule::Rule>,
}
