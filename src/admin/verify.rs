//! Checking a directory from the outside.

use std::path::Path;

use crate::broker::verify_directory;
use crate::error::Result;
use crate::log::verify::Verification;
use crate::storage::Storage;

/// Checks a log directory, ours or one that Kafka wrote, without changing a byte and without taking
/// its lock: a program that has it open goes on undisturbed.
///
/// Every batch is read: header, checksum, every record decompressed and decoded, offsets in order.
/// Indexes, producer snapshots, leader epochs, topic ids, checkpoints, the catalog and the manifest
/// of a clean close are compared with it; what they say must be true, not equal to what we would
/// write. What is wrong is a [`Finding`](super::Finding) with file and byte. A segment is read up
/// to the first bytes that are no batch; the others are checked nevertheless.
///
/// Leftovers of interrupted operations, unknown files and the torn end of a log that was not closed
/// cleanly, which the next open cuts off, are notes. While somebody has the directory open, bytes
/// behind the last whole batch of a newest segment are not yet written, and its indexes are not
/// looked at.
///
/// Blocks for as long as it takes to read everything once. Memory is needed for one batch,
/// uncompressed, and for the producers and aborted transactions of one partition.
///
/// ```
/// use logreel::{Broker, ProducerRecord, admin};
///
/// # let home = tempfile::tempdir().map_err(|_| std::fmt::Error)?;
/// # let dir = home.path().join("data");
/// let broker = Broker::open(&dir)?;
/// broker.producer().build()?.send(ProducerRecord::to("orders").value("1")).wait()?;
/// broker.close()?;
///
/// let verified = admin::verify(&dir)?;
/// assert!(verified.is_sound() && verified.clean);
/// assert_eq!(verified.counts.records, 1);
///
/// let log = dir.join("orders-0/00000000000000000000.log");
/// let mut bytes = std::fs::read(&log).map_err(|_| std::fmt::Error)?;
/// bytes[65] ^= 1;
/// std::fs::write(&log, bytes).map_err(|_| std::fmt::Error)?;
/// let verified = admin::verify(&dir)?;
/// assert_eq!(verified.findings[0].path, log);
/// assert_eq!(verified.findings[0].position, Some(0), "the batch whose checksum is wrong");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// `InvalidDirectory` when there is no such directory or a newer release wrote it; I/O errors of
/// the directory itself. A file that cannot be read is a finding.
pub fn verify(dir: impl AsRef<Path>) -> Result<Verification> {
    verify_directory(&Storage::disk(dir))
}

/// Checks the log directory in a [`Storage`], as [`verify`] does: one in memory, or one that a test
/// has crashed.
///
/// ```
/// use logreel::{Broker, ProducerRecord, Storage, admin};
/// let storage = Storage::memory();
/// let broker = Broker::builder().storage(storage.clone()).open()?;
/// broker.producer().build()?.send(ProducerRecord::to("orders").value("1")).wait()?;
/// let verified = admin::verify_storage(&storage)?;
/// assert!(verified.is_sound() && verified.owned, "the broker is still open");
/// # Ok::<(), logreel::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`verify`].
pub fn verify_storage(storage: &Storage) -> Result<Verification> {
    verify_directory(storage)
}
