//! The batches of a `.log` file, one after the other, whatever their state.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use logreel::record::{BATCH_HEADER_LEN, BatchHeader, ControlRecord, RecordBatch};

use crate::dump_log::optional;

/// Nobody writes more zeros ahead, and there may be more than anybody can read.
const AHEAD_BYTES_MAX: u64 = i32::MAX as u64;

/// What lies at a place in the file.
pub(crate) enum Found {
    Batch {
        position: u64,
        batch: RecordBatch,
    },
    /// Zeros up to the end: room that `preallocate` keeps ahead of the log.
    Ahead {
        bytes: u64,
    },
    /// Bytes up to the end that are no batch.
    Rest {
        bytes: u64,
        reason: String,
    },
}

/// A walk over a file. One batch is in memory at a time.
pub(crate) struct Batches {
    file: BufReader<File>,
    position: u64,
    len: u64,
}

impl Batches {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file: BufReader::with_capacity(64 * 1024, file), position: 0, len })
    }

    /// The next batch, or what is left; then nothing. Checksums are not looked at.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        match self.parse()? {
            Some(Found::Rest { bytes, .. }) if self.is_zero()? => Ok(Some(Found::Ahead { bytes })),
            found => Ok(found),
        }
    }

    /// Whether there are only zeros from here on.
    fn is_zero(&mut self) -> io::Result<bool> {
        if self.len.saturating_sub(self.position) > AHEAD_BYTES_MAX {
            return Ok(false);
        }
        self.file.seek(SeekFrom::Start(self.position))?;
        let mut block = [0; 64 * 1024];
        loop {
            match self.file.read(&mut block)? {
                0 => return Ok(true),
                read if block.iter().take(read).any(|byte| *byte != 0) => return Ok(false),
                _ => {}
            }
        }
    }

    fn parse(&mut self) -> io::Result<Option<Found>> {
        let left = self.len.saturating_sub(self.position);
        let rest = |reason: String| Ok(Some(Found::Rest { bytes: left, reason }));
        if left == 0 {
            return Ok(None);
        }
        if left < BATCH_HEADER_LEN as u64 {
            return rest("the file ends inside the header of a batch".to_owned());
        }
        let mut bytes = vec![0; BATCH_HEADER_LEN];
        self.file.read_exact(&mut bytes)?;
        let header = match BatchHeader::parse(&bytes) {
            Ok(header) => header,
            Err(error) => return rest(error.to_string()),
        };
        if header.size() as u64 > left {
            return rest(format!("the file ends inside a batch of {} bytes", header.size()));
        }
        bytes.resize(header.size(), 0);
        if let Some(records) = bytes.get_mut(BATCH_HEADER_LEN..) {
            self.file.read_exact(records)?;
        }
        let position = self.position;
        match RecordBatch::parse(Bytes::from(bytes)) {
            Ok(batch) => {
                self.position += header.size() as u64;
                Ok(Some(Found::Batch { position, batch }))
            }
            Err(error) => rest(error.to_string()),
        }
    }
}

/// The line that Kafka prints for a batch.
pub(crate) fn write_header(
    out: &mut impl Write,
    batch: &RecordBatch,
    position: u64,
) -> io::Result<()> {
    let header = batch.header();
    write!(
        out,
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} ",
        header.base_offset(),
        header.last_offset(),
        header.records_count(),
        header.base_sequence().unwrap_or(-1),
        header.last_sequence().unwrap_or(-1),
    )?;
    write!(
        out,
        "producerId: {} producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} \
         isControl: {} deleteHorizonMs: {} ",
        header.producer_id().unwrap_or(-1),
        header.producer_epoch().unwrap_or(-1),
        header.leader_epoch().unwrap_or(-1),
        header.is_transactional(),
        header.is_control(),
        optional(header.delete_horizon()),
    )?;
    writeln!(
        out,
        "position: {position} {}: {} size: {} magic: 2 compresscodec: {} crc: {} isvalid: {}",
        header.timestamp_type().name(),
        header.max_timestamp().unwrap_or(-1),
        header.size(),
        header.compression(),
        header.crc(),
        batch.verify_crc().is_ok(),
    )
}

/// The lines that Kafka prints for the records of a batch, with keys and values if asked for.
pub(crate) fn write_records(
    out: &mut impl Write,
    batch: &RecordBatch,
    payload: bool,
) -> io::Result<()> {
    let records = match batch.records() {
        Ok(records) => records,
        Err(error) => return writeln!(out, "| the records cannot be read: {error}"),
    };
    let kind = batch.header().timestamp_type().name();
    for record in &records {
        write!(
            out,
            "| offset: {} {kind}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [",
            record.offset(),
            record.timestamp().unwrap_or(-1),
            size(record.key()),
            size(record.value()),
            record.sequence().unwrap_or(-1),
        )?;
        for (index, header) in record.headers().enumerate() {
            write!(out, "{}{}", if index > 0 { "," } else { "" }, header.key_lossy())?;
        }
        write!(out, "]")?;
        if batch.header().is_control() {
            write_marker(out, record.key(), record.value())?;
        } else if payload {
            for (name, bytes) in [("key", record.key()), ("payload", record.value())] {
                if let Some(bytes) = bytes {
                    write!(out, " {name}: ")?;
                    out.write_all(bytes)?;
                }
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_marker(out: &mut impl Write, key: Option<&[u8]>, value: Option<&[u8]>) -> io::Result<()> {
    let (kind, epoch) = match ControlRecord::parse(key.unwrap_or_default(), value) {
        Ok(ControlRecord::Commit { coordinator_epoch }) => ("COMMIT", coordinator_epoch),
        Ok(ControlRecord::Abort { coordinator_epoch }) => ("ABORT", coordinator_epoch),
        Ok(other) => return write!(out, " controlType: {other:?}"),
        Err(error) => return write!(out, " malformed marker: {error}"),
    };
    write!(out, " endTxnMarker: {kind} coordinatorEpoch: {epoch}")
}

/// The number of bytes; -1 for null.
fn size(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}
