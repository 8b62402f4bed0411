//! `reel configs`: Kafka's `kafka-configs`, for topics.

use std::io::Write;

use clap::ArgGroup;
use logreel::{Broker, ConfigChange, ErrorCode, Topic};

use crate::failure::{Failure, Outcome};
use crate::place::{Place, pair, topic};

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("action").required(true).args(["describe", "alter"])))]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// What is configured; there are topics
    #[arg(long, value_name = "topics", required_unless_present = "topic")]
    entity_type: Option<String>,
    /// The topic; with --entity-type alone --describe shows all
    #[arg(long, value_name = "T", requires = "entity_type")]
    entity_name: Option<String>,
    /// The topic, without --entity-type
    #[arg(long, value_name = "T", conflicts_with_all = ["entity_type", "entity_name"])]
    topic: Option<String>,
    /// Print what was set
    #[arg(long)]
    describe: bool,
    /// Print the defaults too
    #[arg(long, conflicts_with = "alter")]
    all: bool,
    /// Change what is set; at once for a program that opens the directory afterwards
    #[arg(long)]
    alter: bool,
    /// What to set; a value with commas stands in brackets, [a,b]
    #[arg(long, value_name = "K=V,K=V", conflicts_with = "describe")]
    add_config: Option<String>,
    /// What to set back to its default
    #[arg(long, value_name = "K,K", conflicts_with = "describe", value_delimiter = ',')]
    delete_config: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if let Some(kind) = args.entity_type.as_deref().filter(|kind| *kind != "topics") {
        return Err(Failure::new(format!("--entity-type {kind}: only topics have configurations")));
    }
    let name = args.topic.as_deref().or(args.entity_name.as_deref());
    match name {
        _ if args.describe => describe(args, name),
        Some(name) => alter(args, name),
        None => Err(Failure::new("--entity-name is missing")),
    }
}

fn describe(args: &Args, name: Option<&str>) -> Outcome {
    let broker = args.place.look()?;
    let topics = match name {
        Some(name) => vec![topic(&broker, name)?],
        None => broker.topics()?,
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for topic in &topics {
        describe_topic(&mut out, topic, args.all)?;
    }
    Ok(out.flush()?)
}

fn describe_topic(out: &mut impl Write, topic: &Topic, all: bool) -> std::io::Result<()> {
    let which = if all { "All" } else { "Dynamic" };
    writeln!(out, "{which} configs for topic {} are:", topic.name())?;
    for entry in topic.config().entries().filter(|entry| all || entry.is_set) {
        let (key, value) = (entry.name, entry.value);
        let source = if entry.is_set { "DYNAMIC_TOPIC_CONFIG" } else { "DEFAULT_CONFIG" };
        writeln!(out, "  {key}={value} sensitive=false synonyms={{{source}:{key}={value}}}")?;
    }
    Ok(())
}

fn alter(args: &Args, name: &str) -> Outcome {
    let add = additions(args.add_config.as_deref().unwrap_or_default())?;
    let delete: Vec<&str> = args.delete_config.iter().map(|key| key.trim()).collect();
    if add.is_empty() && delete.is_empty() {
        return Err(Failure::new("--alter needs --add-config or --delete-config"));
    }
    let broker = args.place.open(false)?;
    let done = alter_topic(&broker, name, add, &delete);
    // What was done stays done, and the first error is the one that explains.
    let closed = broker.close();
    done?;
    closed?;
    Ok(writeln!(std::io::stdout(), "Completed updating config for topic {name}.")?)
}

fn alter_topic(
    broker: &Broker,
    name: &str,
    add: Vec<(String, String)>,
    delete: &[&str],
) -> Outcome {
    let topic = topic(broker, name)?;
    // Kafka's tool tells of what it does not find set; the library, as Kafka's broker, does not.
    let config = topic.config();
    let is_set = |key: &&&str| config.overrides().any(|(set, _)| set == **key);
    if let Some(key) = delete.iter().find(|key| !is_set(key)) {
        let code = ErrorCode::InvalidConfig;
        return Err(Failure::new(format!("{code}: {key} is not set for topic {name}")));
    }
    let set = add.into_iter().map(|(key, value)| ConfigChange::set(key, value));
    let unset = delete.iter().map(|key| ConfigChange::delete(*key));
    Ok(topic.alter_config(set.chain(unset))?)
}

/// Reads `k=v,k=[v,v]`.
fn additions(text: &str) -> Outcome<Vec<(String, String)>> {
    let mut depth = 0_i32;
    let parts = text.split(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == ',' && depth <= 0
    });
    let read = |part: &str| {
        let (key, value) = pair(part.trim())
            .map_err(|error| Failure::new(format!("--add-config {}: {error}", part.trim())))?;
        let value = value.trim();
        let inner = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        Ok((key.trim().to_owned(), inner.unwrap_or(value).to_owned()))
    };
    parts.filter(|part| !part.trim().is_empty()).map(read).collect()
}
