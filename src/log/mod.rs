//! The log of a partition: segments in Kafka's bytes, appends, reads, recovery.
//!
//! Words used here: *log start offset*, the first that can be read; *log end offset*, that of the
//! next record; *high watermark*, where readers stop, here always the log end; *last stable
//! offset*, where committed readers stop; *recovery point*, below which everything has been synced.
//!
//! Locks, in order: the append lock (`Log::writer`), then leaves: halt, the locks inside a
//! segment, those of the group commit. No lock is held while user code runs, and of those named
//! only the append lock is held during a write; none is held during a sync.

pub(crate) mod names;

pub(crate) mod config;

pub(crate) mod config_change;

pub(crate) mod checkpoint;

mod framed;

pub(crate) mod gaps;

pub(crate) mod index;

pub(crate) mod transactions;

pub(crate) mod producers;

mod digest;

mod scan;

pub(crate) mod provenance;

pub(crate) mod trash;

pub(crate) mod context;

mod sync;

mod ahead;

mod reserve;

mod segment;

pub(crate) mod report;

mod partition;

mod segments;

mod walk;

mod replay;

mod roll;

mod failed;

mod append;

mod marker;

pub(crate) mod retention;

mod read;

mod fetch;

pub(crate) mod manifest;

mod tail;

mod recovery;

mod leftovers;

mod open;

pub(crate) mod cleaner;

mod follow;

pub(crate) mod verify;

#[cfg(feature = "testing")]
mod forcing;

pub(crate) use append::{Appended, Sealed, check_records};
pub(crate) use config::TopicConfig;
pub(crate) use context::LogContext;
pub(crate) use follow::read_only_error;
pub(crate) use framed::{Decoded, decode as decode_framed, encode as encode_framed};
pub(crate) use marker::Marker;
pub(crate) use open::OpenOptions;
pub(crate) use partition::{Halt, Log, Stored};
pub(crate) use provenance::Provenance;
pub(crate) use read::ReadOptions;
pub(crate) use segment::{Picked, Segment};
pub(crate) use sync::Synced;
pub(crate) use walk::Cursor;
