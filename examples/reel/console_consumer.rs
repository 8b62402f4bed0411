//! `reel console-consumer`: Kafka's `kafka-console-consumer`.

use std::io::{BufWriter, StdoutLock, Write};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use logreel::{
    Broker, Consumer, IsolationLevel, OffsetAndMetadata, OffsetReset, OffsetSpec, Offsets, Records,
    TopicPartition,
};

use crate::failure::{Failure, Outcome};
use crate::place::{Place, pair, topic, truth};
use crate::show::Show;

/// How long to wait before looking for new partitions.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// A commit waits for the disk, so many short polls share one.
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The topic
    #[arg(long, value_name = "T")]
    topic: String,
    /// Begin at the oldest record where nothing was committed
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Read as a member of this group and commit what was printed
    #[arg(long, value_name = "G", conflicts_with = "partition")]
    group: Option<String>,
    /// Read only this partition
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    partition: Option<i32>,
    /// Begin here: an offset, earliest, or latest
    #[arg(
        long, value_name = "O", value_parser = offset, requires = "partition",
        allow_negative_numbers = true
    )]
    offset: Option<OffsetSpec>,
    /// End after this many records
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_messages: Option<u64>,
    /// End when no record has come for so long
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    timeout_ms: Option<u64>,
    /// Which records to show while transactions are open
    #[arg(long, value_name = "LEVEL")]
    isolation_level: Option<Isolation>,
    /// A setting of the consumer, by Kafka's name
    #[arg(long, value_name = "K=V", value_parser = pair)]
    consumer_property: Vec<(String, String)>,
    /// What to print: print.timestamp, print.partition, print.offset, print.headers, print.key,
    /// print.value, key.separator, line.separator, headers.separator, null.literal
    #[arg(long, value_name = "K=V", value_parser = pair)]
    property: Vec<(String, String)>,
    /// How to print
    #[arg(long, value_name = "FORM", default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Isolation {
    #[value(name = "read_uncommitted")]
    Uncommitted,
    #[value(name = "read_committed")]
    Committed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn offset(text: &str) -> Result<OffsetSpec, String> {
    match text {
        "earliest" => Ok(OffsetSpec::Earliest),
        "latest" => Ok(OffsetSpec::Latest),
        _ => match text.parse() {
            Ok(offset) if offset >= 0 => Ok(OffsetSpec::At(offset)),
            _ => Err("a number from 0, earliest or latest is needed".to_owned()),
        },
    }
}

pub(crate) fn run(args: Args) -> Outcome {
    let show = Show::new(args.output == Output::Json, &args.property)?;
    let broker = if args.group.is_some() { args.place.open(false)? } else { args.place.look()? };
    let mut printed = Printed::new(show);
    let outcome = consume(&broker, &args, &mut printed);
    let closed = broker.close();
    if !matches!(outcome, Err(Failure::Message(_))) {
        let _ = writeln!(std::io::stderr(), "Processed a total of {} messages", printed.count);
    }
    outcome?;
    Ok(closed?)
}

fn consume(broker: &Broker, args: &Args, printed: &mut Printed) -> Outcome {
    let found = topic(broker, &args.topic)?;
    let mut following = Following::start(broker, args, found.partition_count())?;
    let ended = follow(broker, args, &mut following, printed);
    // However it ended: what was printed was printed.
    let committed = following.commit(&printed.offsets);
    ended?;
    committed?;
    Ok(following.consumer.close()?)
}

fn follow(
    broker: &Broker,
    args: &Args,
    following: &mut Following,
    printed: &mut Printed,
) -> Outcome {
    let mut last_record = Instant::now();
    let timeout = args.timeout_ms.map(Duration::from_millis);
    while args.max_messages.is_none_or(|max| printed.count < max) {
        let left = timeout.map(|timeout| timeout.saturating_sub(last_record.elapsed()));
        let wait = if following.owes { COMMIT_INTERVAL } else { LOOK_AROUND };
        let records = following.consumer.poll(wait.min(left.unwrap_or(wait)))?;
        if records.is_empty() {
            following.commit(&printed.offsets)?;
            if timeout.is_some_and(|timeout| last_record.elapsed() >= timeout) {
                break;
            }
            following.look_around(broker, args)?;
            continue;
        }
        printed.print(&records, args.max_messages)?;
        last_record = Instant::now();
        following.owes = following.commits;
        if following.committed_at.elapsed() >= COMMIT_INTERVAL {
            following.commit(&printed.offsets)?;
        }
    }
    Ok(())
}

/// The consumer and what it reads.
struct Following {
    consumer: Consumer,
    commits: bool,
    /// Whether something printed is not committed yet.
    owes: bool,
    committed_at: Instant,
    /// How many partitions of the topic are assigned by hand; none in a group.
    assigned: i32,
}

impl Following {
    fn start(broker: &Broker, args: &Args, partitions: i32) -> Outcome<Self> {
        // Commits are ours: of what was printed, not of what was fetched.
        let mut builder = broker
            .consumer()
            .auto_offset_reset(if args.from_beginning {
                OffsetReset::Earliest
            } else {
                OffsetReset::Latest
            })
            .allow_auto_create_topics(false);
        if let Some(group) = &args.group {
            builder = builder.group_id(group.as_str());
        }
        if let Some(level) = args.isolation_level {
            builder = builder.isolation_level(match level {
                Isolation::Uncommitted => IsolationLevel::ReadUncommitted,
                Isolation::Committed => IsolationLevel::ReadCommitted,
            });
        }
        let mut commits = args.group.is_some();
        for (key, value) in &args.consumer_property {
            match key.as_str() {
                "enable.auto.commit" => commits &= truth(key, value)?,
                "group.id" => return Err(Failure::new("group.id is given with --group")),
                "auto.offset.reset" if args.from_beginning && value != "earliest" => {
                    let text = format!("--from-beginning and {key}={value} contradict each other");
                    return Err(Failure::new(text));
                }
                _ => {}
            }
            builder = builder.set(key, value);
        }
        let consumer = builder.set("enable.auto.commit", "false").build()?;
        if args.group.is_some() {
            consumer.subscribe([&args.topic])?;
            return Ok(Self::new(consumer, commits, 0));
        }
        if let Some(number) = args.partition {
            let tp = TopicPartition::new(args.topic.as_str(), number);
            broker.partition(&tp)?;
            consumer.assign([&tp])?;
            if let Some(spec) = args.offset {
                consumer.seek(&tp, spec)?;
            }
            return Ok(Self::new(consumer, commits, 0));
        }
        consumer.assign((0..partitions).map(|number| (args.topic.as_str(), number)))?;
        Ok(Self::new(consumer, commits, partitions))
    }

    fn new(consumer: Consumer, commits: bool, assigned: i32) -> Self {
        Self { consumer, commits, owes: false, committed_at: Instant::now(), assigned }
    }

    /// Commits what was printed, if there is anything new.
    fn commit(&mut self, printed: &Offsets) -> Outcome {
        if self.owes {
            self.consumer.commit_offsets(printed)?;
            self.owes = false;
            self.committed_at = Instant::now();
        }
        Ok(())
    }

    /// Takes in partitions that were added, from their beginning.
    fn look_around(&mut self, broker: &Broker, args: &Args) -> Outcome {
        let count = topic(broker, &args.topic)?.partition_count();
        if self.assigned == 0 || count <= self.assigned {
            return Ok(());
        }
        let mut positions = Vec::new();
        for tp in self.consumer.assignment() {
            let position = self.consumer.position(&tp)?;
            positions.push((tp, OffsetSpec::At(position)));
        }
        let added = (self.assigned..count).map(|n| TopicPartition::new(args.topic.as_str(), n));
        positions.extend(added.map(|tp| (tp, OffsetSpec::Earliest)));
        self.consumer.assign(positions.iter().map(|(tp, _)| tp))?;
        for (tp, position) in positions {
            self.consumer.seek(tp, position)?;
        }
        self.assigned = count;
        Ok(())
    }
}

/// What was printed so far.
struct Printed {
    show: Show,
    out: BufWriter<StdoutLock<'static>>,
    count: u64,
    /// Behind the last record of each partition.
    offsets: Offsets,
}

impl Printed {
    fn new(show: Show) -> Self {
        let out = BufWriter::new(std::io::stdout().lock());
        Self { show, out, count: 0, offsets: Offsets::new() }
    }

    /// Prints records up to the limit; they count once they have left this process.
    fn print(&mut self, records: &Records, limit: Option<u64>) -> Outcome {
        let room = limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.count));
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let mut behind = Vec::new();
        for record in records.iter().take(room) {
            self.show.write(&mut self.out, &record)?;
            let next = OffsetAndMetadata::new(record.offset().saturating_add(1));
            let next = next.with_leader_epoch(record.leader_epoch());
            behind.push((record.topic_partition().clone(), next));
        }
        self.out.flush()?;
        for (tp, next) in behind {
            self.offsets.set(tp, next);
            self.count += 1;
        }
        Ok(())
    }
}
