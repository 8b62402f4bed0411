//! `reel verify`: checks a whole directory without changing it. Kafka has no such tool.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use logreel::admin;

use crate::failure::{Failure, Outcome};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The log directory
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let verified = admin::verify(&args.dir)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for note in &verified.notes {
        writeln!(out, "note: {note}")?;
    }
    for finding in &verified.findings {
        writeln!(out, "{finding}")?;
    }
    let counts = verified.counts;
    let state = match (verified.owned, verified.clean) {
        (true, _) => "open in another process",
        (false, true) => "closed cleanly",
        (false, false) => "not closed cleanly",
    };
    writeln!(
        out,
        "{} findings, {} notes in {} partitions, {} segments, {} batches, {} records, {} bytes; {}",
        verified.findings.len(),
        verified.notes.len(),
        counts.partitions,
        counts.segments,
        counts.batches,
        counts.records,
        counts.bytes,
        state,
    )?;
    out.flush()?;
    if verified.is_sound() {
        return Ok(());
    }
    let dir = args.dir.display();
    Err(Failure::new(format!("{dir} has {} findings", verified.findings.len())))
}
