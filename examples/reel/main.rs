//! Kafka's command-line tools over a logreel directory.
//!
//! ```text
//! cargo run --release --example reel -- topics --dir ./data --create --topic orders --partitions 3
//! ```
//!
//! Flags and output are those of Kafka's own tools, with `--dir DIR` in place of
//! `--bootstrap-server`. It is written against the public API only.

mod batches;
mod columns;
mod configs;
mod console_consumer;
mod console_producer;
mod consumer_groups;
mod consumer_perf;
mod datetime;
mod delete_records;
mod describe_groups;
mod dump_log;
mod end_to_end_latency;
mod failure;
mod get_offsets;
mod indexes;
mod line_format;
mod payloads;
mod perf_report;
mod place;
mod producer_perf;
mod properties;
mod reset_offsets;
mod show;
mod topics;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use failure::{Failure, Outcome};

#[derive(Debug, Parser)]
#[command(name = "reel", about = "Kafka's command-line tools over a logreel directory")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create, list, describe, alter and delete topics (kafka-topics)
    Topics(topics::Args),
    /// Show and change the settings of topics (kafka-configs)
    Configs(configs::Args),
    /// Send lines of the standard input (kafka-console-producer)
    ConsoleProducer(console_producer::Args),
    /// Print records, following the log (kafka-console-consumer)
    ConsoleConsumer(console_consumer::Args),
    /// List and describe groups, reset and delete what they committed (kafka-consumer-groups)
    ConsumerGroups(consumer_groups::Args),
    /// Print offsets of a topic's partitions (kafka-get-offsets)
    GetOffsets(get_offsets::Args),
    /// Delete the records before an offset of each partition (kafka-delete-records)
    DeleteRecords(delete_records::Args),
    /// Measure how fast records are read (kafka-consumer-perf-test)
    ConsumerPerf(consumer_perf::Args),
    /// Measure how fast records are sent (kafka-producer-perf-test)
    ProducerPerf(producer_perf::Args),
    /// Measure how long a record takes to its consumer, in microseconds (kafka-e2e-latency)
    EndToEndLatency(end_to_end_latency::Args),
    /// Show what is in the files of a partition (kafka-dump-log)
    DumpLog(dump_log::Args),
    /// Check a whole directory without changing it
    Verify(verify::Args),
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Topics(args) => topics::run(args),
        Command::Configs(args) => configs::run(&args),
        Command::ConsoleProducer(args) => console_producer::run(args),
        Command::ConsoleConsumer(args) => console_consumer::run(args),
        Command::ConsumerGroups(args) => consumer_groups::run(&args),
        Command::GetOffsets(args) => get_offsets::run(&args),
        Command::DeleteRecords(args) => delete_records::run(&args),
        Command::ConsumerPerf(args) => consumer_perf::run(&args),
        Command::ProducerPerf(args) => producer_perf::run(args),
        Command::EndToEndLatency(args) => end_to_end_latency::run(&args),
        Command::DumpLog(args) => dump_log::run(&args),
        Command::Verify(args) => verify::run(&args),
    }
}

/// One line of what clap says in several: the error itself, without usage and hints.
fn usage_error(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = said.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

fn complain(message: &str) -> ExitCode {
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "reel: {message}");
    ExitCode::FAILURE
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                    let _ = write!(std::io::stdout(), "{error}");
                    ExitCode::SUCCESS
                }
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                    complain("a command is missing; see reel --help")
                }
                _ => complain(&usage_error(&error)),
            };
        }
    };
    match run(cli.command) {
        // Whoever read the output has seen enough.
        Ok(()) | Err(Failure::Unheard) => ExitCode::SUCCESS,
        Err(Failure::Message(message)) => complain(&message),
    }
}
