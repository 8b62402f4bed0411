//! `reel get-offsets`: Kafka's `kafka-get-offsets`.

use std::io::Write;

use logreel::{OffsetSpec, TopicPartition};

use crate::failure::Outcome;
use crate::place::{Place, topic};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The topic
    #[arg(long, value_name = "T")]
    topic: String,
    /// Only these partitions
    #[arg(long, value_name = "P,P", value_delimiter = ',', allow_negative_numbers = true)]
    partitions: Vec<i32>,
    /// Which offset: of the first record from this time on, in milliseconds since 1970; -1 or
    /// latest; -2 or earliest; -3 or max-timestamp
    #[arg(
        long, value_name = "TIME", default_value = "latest", value_parser = time,
        allow_negative_numbers = true
    )]
    time: OffsetSpec,
}

fn time(text: &str) -> Result<OffsetSpec, String> {
    match text {
        "-1" | "latest" => Ok(OffsetSpec::Latest),
        "-2" | "earliest" => Ok(OffsetSpec::Earliest),
        "-3" | "max-timestamp" => Ok(OffsetSpec::MaxTimestamp),
        _ => match text.parse() {
            Ok(millis) if millis >= 0 => Ok(OffsetSpec::Timestamp(millis)),
            _ => Err("-1, -2, -3 or milliseconds since 1970 are needed".to_owned()),
        },
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let broker = args.place.look()?;
    let topic = topic(&broker, &args.topic)?;
    let partitions = if args.partitions.is_empty() {
        topic.partitions()
    } else {
        let tp = |number: &i32| TopicPartition::new(args.topic.as_str(), *number);
        let numbers = args.partitions.iter();
        numbers.map(|number| broker.partition(&tp(number))).collect::<Result<_, _>>()?
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for partition in &partitions {
        let number = partition.topic_partition().partition();
        let found = partition.offset_for(args.time)?;
        let offset = found.map(|found| found.offset.to_string()).unwrap_or_default();
        writeln!(out, "{}:{number}:{offset}", args.topic)?;
    }
    Ok(out.flush()?)
}
