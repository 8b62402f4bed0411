//! `reel dump-log`: Kafka's `kafka-dump-log`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use logreel::format::{AbortedTxn, ProducerSnapshotEntry};
use logreel::record::decrement_sequence;

use crate::batches::{Batches, Found};
use crate::failure::{Failure, Outcome};
use crate::indexes;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The files: .log, .index, .timeindex, .txnindex, .snapshot
    #[arg(long, value_name = "F,F", value_delimiter = ',', required = true)]
    files: Vec<PathBuf>,
    /// Print keys and values too
    #[arg(long)]
    print_data_log: bool,
    /// Print the records of each batch
    #[arg(long)]
    deep_iteration: bool,
    /// Compare indexes with the log beside them instead of printing them
    #[arg(long)]
    index_sanity_check: bool,
}

/// What a file holds, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Log,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    Snapshot,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for path in &args.files {
        writeln!(out, "Dumping {}", path.display())?;
        let (kind, base) = named(path)?;
        match kind {
            Kind::Log => dump_log(&mut out, path, base, args)?,
            Kind::OffsetIndex if args.index_sanity_check => {
                indexes::check_offsets(&mut out, path, base)?;
            }
            Kind::TimeIndex if args.index_sanity_check => {
                indexes::check_times(&mut out, path, base)?;
            }
            Kind::OffsetIndex => indexes::dump_offsets(&mut out, path, base)?,
            Kind::TimeIndex => indexes::dump_times(&mut out, path, base)?,
            Kind::TxnIndex => dump_transactions(&mut out, path)?,
            Kind::Snapshot => dump_snapshot(&mut out, path)?,
        }
    }
    Ok(out.flush()?)
}

/// What the name says: the kind of file and its base offset. Names of files on their way to be
/// deleted count too.
fn named(path: &Path) -> Outcome<(Kind, i64)> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = [".deleted", ".cleaned", ".swap"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let kind = match extension {
        "log" => Kind::Log,
        "index" => Kind::OffsetIndex,
        "timeindex" => Kind::TimeIndex,
        "txnindex" => Kind::TxnIndex,
        "snapshot" => Kind::Snapshot,
        _ => {
            let text = format!("{} is not a file of a partition's segment", path.display());
            return Err(Failure::new(text));
        }
    };
    match stem.parse() {
        Ok(base) if base >= 0 => Ok((kind, base)),
        _ => Err(Failure::new(format!("the name of {} holds no base offset", path.display()))),
    }
}

pub(crate) fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(|error| unreadable(path, &error))
}

pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", path.display()))
}

fn dump_log(out: &mut impl Write, path: &Path, base: i64, args: &Args) -> Outcome {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    writeln!(out, "Log starting offset: {base}")?;
    let mut batches = Batches::new(file).map_err(|error| unreadable(path, &error))?;
    loop {
        match batches.next().map_err(|error| unreadable(path, &error))? {
            Some(Found::Batch { position, batch }) => {
                crate::batches::write_header(out, &batch, position)?;
                if args.deep_iteration || args.print_data_log {
                    crate::batches::write_records(out, &batch, args.print_data_log)?;
                }
            }
            Some(Found::Ahead { bytes }) => {
                let path = path.display();
                writeln!(out, "Found {bytes} zero bytes, written ahead, at the end of {path}")?;
                return Ok(());
            }
            Some(Found::Rest { bytes, reason }) => {
                let path = path.display();
                writeln!(out, "Found {bytes} invalid bytes at the end of {path}: {reason}")?;
                return Ok(());
            }
            None => return Ok(()),
        }
    }
}

fn dump_transactions(out: &mut impl Write, path: &Path) -> Outcome {
    let bytes = read(path)?;
    let mut entries = 0;
    for txn in AbortedTxn::read_all(&bytes) {
        let AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset, .. } = txn;
        writeln!(
            out,
            "version: 0 producerId: {producer_id} firstOffset: {first_offset} \
             lastOffset: {last_offset} lastStableOffset: {last_stable_offset}"
        )?;
        entries += 1;
    }
    let rest = bytes.len() - entries * 34;
    if rest > 0 {
        writeln!(out, "Found {rest} invalid bytes at the end of {}", path.display())?;
    }
    Ok(())
}

fn dump_snapshot(out: &mut impl Write, path: &Path) -> Outcome {
    let Some(entries) = ProducerSnapshotEntry::read_all(&read(path)?) else {
        let text = format!("{} is damaged: its checksum or length is wrong", path.display());
        return Err(Failure::new(text));
    };
    for entry in entries {
        let timestamp = entry.last_timestamp.unwrap_or(-1);
        write!(
            out,
            "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {} \
             lastTimestamp: {timestamp} ",
            entry.producer_id,
            entry.epoch,
            entry.coordinator_epoch.unwrap_or(-1),
            optional(entry.txn_first_offset),
        )?;
        if let (Some(last), Some(offset)) = (entry.last_sequence, entry.last_offset) {
            let delta = entry.offset_delta;
            let first = decrement_sequence(last, delta);
            write!(
                out,
                "firstSequence: {first} lastSequence: {last} lastOffset: {offset} \
                 offsetDelta: {delta} timestamp: {timestamp}"
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// A number that may be missing, as Java prints it.
pub(crate) fn optional(number: Option<i64>) -> String {
    match number {
        Some(number) => format!("OptionalLong[{number}]"),
        None => "OptionalLong.empty".to_owned(),
    }
}
