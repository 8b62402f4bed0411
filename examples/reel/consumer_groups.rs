//! `reel consumer-groups`: Kafka's `kafka-consumer-groups`.

use std::collections::BTreeSet;
use std::io::Write;

use clap::ArgGroup;
use logreel::{Broker, ConsumerGroup, ErrorCode, ErrorKind, TopicPartition};

use crate::columns::width;
use crate::describe_groups::View;
use crate::failure::{Failure, Outcome};
use crate::place::Place;
use crate::reset_offsets::{self, Reset, Scope};

const SUCCESSFUL: &str = "Successful";

#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("action")
        .required(true)
        .args(["list", "describe", "reset_offsets", "delete", "delete_offsets"])
))]
#[command(group(ArgGroup::new("groups").multiple(false).args(["group", "all_groups"])))]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Print the names of all groups
    #[arg(long)]
    list: bool,
    /// Print what groups have committed and how far behind they are
    #[arg(long, requires = "groups")]
    describe: bool,
    /// Set groups to other offsets
    #[arg(long, requires = "groups")]
    reset_offsets: bool,
    /// Delete groups with what they have committed
    #[arg(long, requires = "groups")]
    delete: bool,
    /// Delete what a group has committed for topics
    #[arg(long, requires = "group", requires = "topic")]
    delete_offsets: bool,
    /// Remove the static members that an ended process left first; they would keep a group from
    /// being reset or deleted
    #[arg(long)]
    force: bool,
    /// The group; may be given several times
    #[arg(long, value_name = "G")]
    group: Vec<String>,
    /// All groups
    #[arg(long)]
    all_groups: bool,
    /// A topic, or partitions of it as T:P,P; may be given several times
    #[arg(long, value_name = "T[:P,P]", value_parser = reset_offsets::scope)]
    topic: Vec<Scope>,
    #[command(flatten)]
    view: View,
    #[command(flatten)]
    reset: Reset,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if !args.reset_offsets && args.reset.is_given() {
        return Err(Failure::new("what offsets are reset to goes with --reset-offsets"));
    }
    if args.view.is_given() && !args.describe && !args.list {
        return Err(Failure::new("--state goes with --describe or --list"));
    }
    if args.list {
        return args.view.list(&args.place.look()?);
    }
    let is_change = args.delete || args.delete_offsets || args.reset.execute;
    let broker = if is_change { args.place.open(false)? } else { args.place.look()? };
    let done = act(&broker, args);
    // What was done stays done, and the first error is the one that explains.
    let closed = broker.close();
    done?;
    Ok(closed?)
}

fn act(broker: &Broker, args: &Args) -> Outcome {
    let names: BTreeSet<String> = if args.all_groups {
        broker.groups()?.into_iter().collect()
    } else {
        args.group.iter().cloned().collect()
    };
    let groups: Vec<ConsumerGroup> = names.into_iter().map(|name| broker.group(name)).collect();
    let is_change = args.delete || args.delete_offsets || args.reset.execute;
    if args.force && is_change {
        // Whoever holds the directory has no members: they are all of earlier processes.
        groups.iter().try_for_each(remove_members)?;
    }
    if args.describe {
        args.view.describe(&groups)
    } else if args.delete {
        delete(&groups)
    } else if args.delete_offsets {
        groups.iter().try_for_each(|group| delete_offsets(broker, group, &args.topic))
    } else {
        args.reset.run(&groups, &args.group, &args.topic)
    }
}

fn remove_members(group: &ConsumerGroup) -> Outcome {
    let members = match group.members() {
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Vec::new(),
        members => members?,
    };
    Ok(members.iter().try_for_each(|member| group.remove_member(&member.member_id))?)
}

fn delete(groups: &[ConsumerGroup]) -> Outcome {
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for group in groups {
        let name = group.name();
        match group.delete().map_err(Failure::from) {
            Ok(()) => deleted.push(format!("'{name}'")),
            Err(Failure::Message(error)) => {
                failed.push(format!("Group '{name}' could not be deleted due to: {error}"));
            }
            Err(Failure::Unheard) => return Err(Failure::Unheard),
        }
    }
    let (mut out, deleted) = (std::io::stdout(), deleted.join(", "));
    if failed.is_empty() {
        let whole = "Deletion of requested consumer groups";
        return Ok(writeln!(out, "{whole} ({deleted}) was successful.")?);
    }
    if !deleted.is_empty() {
        writeln!(out, "These consumer groups were deleted successfully: {deleted}")?;
    }
    Err(Failure::new(failed.join("; ")))
}

fn delete_offsets(broker: &Broker, group: &ConsumerGroup, scopes: &[Scope]) -> Outcome {
    let mut partitions: BTreeSet<TopicPartition> = BTreeSet::new();
    for Scope { topic, partitions: numbers } in scopes {
        let numbers = match numbers {
            Some(numbers) => numbers.clone(),
            None => (0..broker.topic(topic)?.partition_count()).collect(),
        };
        partitions.extend(numbers.iter().map(|n| TopicPartition::new(topic.as_str(), *n)));
    }
    let mut statuses = Vec::new();
    let (mut failed, mut begun) = (false, false);
    for tp in &partitions {
        statuses.push(match group.delete_offsets([tp]) {
            Ok(()) => {
                begun = true;
                SUCCESSFUL.to_owned()
            }
            // It went with the last thing it had committed.
            Err(error) if begun && error.code() == Some(ErrorCode::GroupIdNotFound) => {
                SUCCESSFUL.to_owned()
            }
            Err(error) if is_of_partition(error.kind()) => {
                failed = true;
                format!("Error: {error}")
            }
            Err(error) => return Err(error.into()),
        });
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if !failed {
        writeln!(out, "Request succeeded for deleting offsets from group {}.", group.name())?;
    }
    let topic = width(partitions.iter().map(TopicPartition::topic));
    write!(out, "\n{:topic$} {:10} {:15}", "TOPIC", "PARTITION", "STATUS")?;
    for (tp, status) in partitions.iter().zip(&statuses) {
        write!(out, "\n{:topic$} {:<10} {status:15}", tp.topic(), tp.partition())?;
    }
    writeln!(out)?;
    out.flush()?;
    let whole = "Encountered some partition-level error, see the follow-up details.";
    if failed { Err(Failure::new(whole)) } else { Ok(()) }
}

/// Whether an error is about one partition, so that others may do better.
fn is_of_partition(kind: ErrorKind) -> bool {
    let codes = [ErrorCode::GroupSubscribedToTopic, ErrorCode::UnknownTopicOrPartition];
    matches!(kind, ErrorKind::Kafka(code) if codes.contains(&code))
}
