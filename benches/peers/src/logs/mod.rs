//! Logs of others, and a database used as one, behind what the workloads ask of a log.

pub mod commitlog;
pub mod kafko;
#[cfg(feature = "raft-engine")]
pub mod raft;
pub mod redb;
pub mod seglog;
pub mod yaque;

use std::ops::Range;
use std::path::Path;

use crate::work::limits::Touch;
use crate::work::payload::{Payload, Sum};

/// The key of every record.
pub type Key = [u8; 8];

/// One log on disk, with one writer.
pub trait Log: Sized {
    const NAME: &'static str;

    /// A new log in an empty directory. Those that must know it are told how many bytes will come.
    fn create(dir: &Path, room: usize) -> Self;

    /// Appends a record with the call that the log has for one record.
    fn append(&mut self, key: &Key, value: &[u8]);

    /// Appends records with the call that it has for several, so that they are in the page cache
    /// when it returns.
    fn append_batch(&mut self, payload: &Payload, records: Range<usize>);

    /// Hands over to the system what is still buffered.
    fn finish(&mut self) {}

    /// Reads every record in order, in the fastest way that it has.
    fn scan(&mut self, each: impl FnMut(&[u8], &[u8]));

    /// Count and checksum of what was written.
    fn read_back(&mut self) -> Sum {
        let mut sum = Sum::default();
        self.scan(|key, value| sum.add(key, value));
        sum
    }
}

/// A log that reads one record by its number.
pub trait Indexed: Log {
    fn get(&mut self, i: usize, touch: &mut Touch);
}

/// A log with as many writers as there are threads, each record synced before its call returns.
pub trait Durable: Sized + Sync {
    const NAME: &'static str;

    fn create(dir: &Path, room: usize) -> Self;

    /// Appends a record. The threads are numbered, for logs that hold several.
    fn append(&self, thread: usize, key: &Key, value: &[u8]);

    fn read_back(&mut self, threads: usize) -> Sum;
}
