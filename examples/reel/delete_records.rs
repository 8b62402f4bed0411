//! `reel delete-records`: Kafka's `kafka-delete-records`.

use std::io::Write;
use std::path::PathBuf;

use logreel::{OffsetSpec, TopicPartition};
use serde::Deserialize;

use crate::failure::{Failure, Outcome};
use crate::place::Place;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Before which offset records go: {"partitions": [{"topic": "t", "partition": 0, "offset":
    /// 7}], "version": 1}; offset -1 is the end
    #[arg(long, value_name = "F")]
    offset_json_file: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    partitions: Vec<Item>,
    #[serde(default = "first_version")]
    version: u32,
}

fn first_version() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
struct Item {
    topic: String,
    partition: i32,
    offset: i64,
}

impl Item {
    fn before(&self) -> (TopicPartition, OffsetSpec) {
        let offset = match self.offset {
            -1 => OffsetSpec::Latest,
            offset => OffsetSpec::At(offset),
        };
        (TopicPartition::new(self.topic.as_str(), self.partition), offset)
    }
}

fn read(args: &Args) -> Outcome<Wanted> {
    let path = args.offset_json_file.display();
    let text = std::fs::read_to_string(&args.offset_json_file)
        .map_err(|error| Failure::new(format!("cannot read {path}: {error}")))?;
    let wanted: Wanted = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("{path} is not what it should be: {error}")))?;
    if wanted.version != 1 {
        return Err(Failure::new(format!("{path} has version {}, not 1", wanted.version)));
    }
    let mut places: Vec<_> = wanted.partitions.iter().map(|i| (&i.topic, i.partition)).collect();
    places.sort_unstable();
    if let Some([(topic, partition), _]) = places.array_windows().find(|[a, b]| a == b) {
        return Err(Failure::new(format!("{path} names partition {topic}-{partition} twice")));
    }
    Ok(wanted)
}

pub(crate) fn run(args: &Args) -> Outcome {
    let wanted = read(args)?;
    let broker = args.place.open(false)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "Executing records delete operation")?;
    let deleted = broker.delete_records(wanted.partitions.iter().map(Item::before));
    writeln!(out, "Records delete operation completed:")?;
    let mut failed = 0;
    for (tp, outcome) in deleted {
        match outcome {
            Ok(start) => writeln!(out, "partition: {tp}\tlow_watermark: {start}")?,
            Err(error) => {
                failed += 1;
                let code = error.code().map(|code| format!("{code}: ")).unwrap_or_default();
                writeln!(out, "partition: {tp}\terror: {code}{error}")?;
            }
        }
    }
    out.flush()?;
    broker.close()?;
    match failed {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} partitions failed"))),
    }
}
