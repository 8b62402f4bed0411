//! `reel topics`: Kafka's `kafka-topics`.

use std::io::Write;

use clap::ArgGroup;
use logreel::{Error, ErrorCode, NewTopic, Topic};

use crate::failure::{Failure, Outcome};
use crate::place::{Place, pair, topic};

#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("action").required(true).args(["create", "list", "describe", "alter", "delete"])
))]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Make a topic
    #[arg(long, requires = "topic")]
    create: bool,
    /// Print the names of all topics
    #[arg(long)]
    list: bool,
    /// Print partitions and settings
    #[arg(long)]
    describe: bool,
    /// Add partitions
    #[arg(long, requires = "topic", requires = "partitions")]
    alter: bool,
    /// Delete a topic with its records
    #[arg(long, requires = "topic")]
    delete: bool,
    /// The topic
    #[arg(long, value_name = "T")]
    topic: Option<String>,
    /// How many partitions
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    partitions: Option<i32>,
    /// How many copies; there is one
    #[arg(long, value_name = "1", allow_negative_numbers = true, requires = "create")]
    replication_factor: Option<i16>,
    /// A setting of the new topic
    #[arg(long, value_name = "K=V", value_parser = pair, requires = "create")]
    config: Vec<(String, String)>,
    /// Do nothing if the topic is there
    #[arg(long, requires = "create")]
    if_not_exists: bool,
    /// Do nothing if the topic is not there
    #[arg(long, conflicts_with_all = ["create", "list"], requires = "topic")]
    if_exists: bool,
}

pub(crate) fn run(args: Args) -> Outcome {
    if args.list || args.describe {
        return if args.list { list(&args) } else { describe(&args) };
    }
    let Some(name) = &args.topic else { return Err(Failure::new("--topic is missing")) };
    let broker = args.place.open(args.create)?;
    let done = if args.create {
        create(&broker, name, &args)
    } else if args.alter {
        forgive(&args, broker.create_partitions(name, args.partitions.unwrap_or_default()))
    } else {
        forgive(&args, broker.delete_topic(name))
    };
    // What was done stays done, and the first error is the one that explains.
    let closed = broker.close();
    done?;
    Ok(closed?)
}

/// With `--if-exists` a topic that is not there is no failure.
fn forgive(args: &Args, done: Result<(), Error>) -> Outcome {
    match done {
        Err(error)
            if args.if_exists && error.code() == Some(ErrorCode::UnknownTopicOrPartition) =>
        {
            Ok(())
        }
        done => Ok(done?),
    }
}

fn create(broker: &logreel::Broker, name: &str, args: &Args) -> Outcome {
    let mut topic = NewTopic::new(name).replication_factor(args.replication_factor.unwrap_or(1));
    if let Some(count) = args.partitions {
        topic = topic.partitions(count);
    }
    for (key, value) in &args.config {
        topic = topic.set(key, value);
    }
    match broker.create_topic(topic) {
        Ok(_) => Ok(writeln!(std::io::stdout(), "Created topic {name}.")?),
        Err(error) if args.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn list(args: &Args) -> Outcome {
    let broker = args.place.look()?;
    let mut out = std::io::stdout().lock();
    for topic in broker.topics()? {
        if args.topic.as_ref().is_none_or(|wanted| wanted == topic.name()) {
            writeln!(out, "{}", topic.name())?;
        }
    }
    Ok(())
}

fn describe(args: &Args) -> Outcome {
    let broker = args.place.look()?;
    let topics = match &args.topic {
        Some(name) if !args.if_exists => vec![topic(&broker, name)?],
        Some(name) => {
            let mut topics = broker.topics()?;
            topics.retain(|topic| topic.name() == name);
            topics
        }
        None => broker.topics()?,
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for topic in &topics {
        describe_topic(&mut out, topic)?;
    }
    Ok(out.flush()?)
}

fn describe_topic(out: &mut impl Write, topic: &Topic) -> std::io::Result<()> {
    let (name, id, count) = (topic.name(), topic.id(), topic.partition_count());
    let config = topic.config();
    let configs: Vec<String> = config.overrides().map(|(k, v)| format!("{k}={v}")).collect();
    let configs = configs.join(",");
    writeln!(
        out,
        "Topic: {name}\tTopicId: {id}\tPartitionCount: {count}\tReplicationFactor: 1\t\
         Configs: {configs}"
    )?;
    for partition in topic.partitions() {
        let number = partition.topic_partition().partition();
        writeln!(out, "\tTopic: {name}\tPartition: {number}\tLeader: 0\tReplicas: 0\tIsr: 0")?;
    }
    Ok(())
}
