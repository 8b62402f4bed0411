//! `reel consumer-groups --describe`, and what `--list --state` shows.

use std::collections::BTreeMap;
use std::io::Write;

use logreel::admin::{GroupDescription, GroupMember, GroupState, PartitionLag};
use logreel::{Broker, ConsumerGroup, ErrorCode, TopicPartition};

use crate::columns::width;
use crate::failure::{Failure, Outcome};

/// Kafka's sign for what is not known.
const MISSING: &str = "-";

#[derive(Debug, clap::Args)]
#[command(group(
    clap::ArgGroup::new("view").multiple(false).args(["offsets", "members", "state"])
))]
pub(crate) struct View {
    /// Describe the offsets; this is the default
    #[arg(long, requires = "describe")]
    offsets: bool,
    /// Describe the members
    #[arg(long, requires = "describe")]
    members: bool,
    /// Describe, or list, the state
    #[arg(long)]
    state: bool,
}

impl View {
    pub(crate) fn is_given(&self) -> bool {
        self.offsets || self.members || self.state
    }

    pub(crate) fn list(&self, broker: &Broker) -> Outcome {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let groups = broker.groups()?;
        if self.state {
            let name = width(groups.iter().map(String::as_str)) + 10;
            writeln!(out, "{:name$} {:20}", "GROUP", "STATE")?;
            for group in &groups {
                let state = broker.group(group.as_str()).state()?;
                writeln!(out, "{group:name$} {:20}", state.to_string())?;
            }
        } else {
            for group in &groups {
                writeln!(out, "{group}")?;
            }
        }
        Ok(out.flush()?)
    }

    pub(crate) fn describe(&self, groups: &[ConsumerGroup]) -> Outcome {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut unknown = Vec::new();
        for group in groups {
            let described = match group.describe() {
                Ok(described) => described,
                Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => {
                    unknown.push(format!("Consumer group '{}' does not exist.", group.name()));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            // The order in which both streams are seen is that of Kafka's tool.
            out.flush()?;
            tell_state(group, described.state);
            if self.members {
                members(&mut out, group, &described)?;
            } else if self.state {
                state(&mut out, group, &described)?;
            } else {
                offsets(&mut out, group, &described)?;
            }
        }
        out.flush()?;
        if unknown.is_empty() { Ok(()) } else { Err(Failure::new(unknown.join(" "))) }
    }
}

fn tell_state(group: &ConsumerGroup, state: GroupState) {
    let (name, mut out) = (group.name(), std::io::stderr());
    // Nobody may be listening.
    let _ = match state {
        GroupState::Empty => writeln!(out, "\nConsumer group '{name}' has no active members."),
        GroupState::Stable => Ok(()),
        _ => writeln!(out, "\nWarning: Consumer group '{name}' is rebalancing."),
    };
}

/// One line a partition: those of the members, the one with the most first, then the others.
fn offsets(out: &mut impl Write, group: &ConsumerGroup, described: &GroupDescription) -> Outcome {
    let lags = group.lag()?;
    let mut owners: BTreeMap<&TopicPartition, &GroupMember> = BTreeMap::new();
    for member in &described.members {
        owners.extend(member.assignment.iter().map(|tp| (tp, member)));
    }
    let mut rows: Vec<(&PartitionLag, Option<&GroupMember>)> = Vec::new();
    for lag in &lags {
        rows.push((lag, owners.get(&lag.topic_partition).copied()));
    }
    rows.sort_by_key(|(_, owner)| {
        let owned = owner.map_or(0, |owner| owner.assignment.len());
        (std::cmp::Reverse(owned), owner.map(|owner| &owner.member_id))
    });
    if rows.is_empty() {
        return Ok(());
    }
    let topic = width(lags.iter().map(|lag| lag.topic_partition.topic()));
    let name = width([group.name()]);
    let id = width(owners.values().map(|owner| &*owner.member_id));
    let host = width(owners.values().map(|owner| owner.host));
    write!(
        out,
        "\n{:name$} {:topic$} {:10} {:15} {:15} {:15} {:id$} {:host$} CLIENT-ID",
        "GROUP",
        "TOPIC",
        "PARTITION",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST"
    )?;
    for (PartitionLag { topic_partition: tp, committed, log_end_offset, lag, .. }, owner) in rows {
        write!(
            out,
            "\n{:name$} {:topic$} {:<10} {:15} {:15} {:15} {:id$} {:host$} {}",
            group.name(),
            tp.topic(),
            tp.partition(),
            shown(committed),
            shown(log_end_offset),
            shown(lag),
            owner.map_or(MISSING, |owner| &owner.member_id),
            owner.map_or(MISSING, |owner| owner.host),
            owner.map_or(MISSING, |owner| &owner.client_id)
        )?;
    }
    Ok(writeln!(out)?)
}

fn shown(number: &Option<impl ToString>) -> String {
    number.as_ref().map_or(MISSING.to_owned(), ToString::to_string)
}

/// One line a member. The column for static members is there if there are any.
fn members(out: &mut impl Write, group: &ConsumerGroup, described: &GroupDescription) -> Outcome {
    let members = &described.members;
    if members.is_empty() {
        return Ok(());
    }
    let instance = |member: &GroupMember| member.instance_id.as_deref().unwrap_or("").to_owned();
    let instances: Vec<String> = members.iter().map(instance).collect();
    let has_static = instances.iter().any(|instance| !instance.is_empty());
    let name = width([group.name()]);
    let id = width(members.iter().map(|member| &*member.member_id));
    let host = width(members.iter().map(|member| member.host));
    let client = width(members.iter().map(|member| &*member.client_id));
    let static_width = width(instances.iter().map(String::as_str)).max(17);
    let column = |instance: &str| {
        if has_static { format!("{instance:static_width$} ") } else { String::new() }
    };
    write!(out, "\n{:name$} {:id$} ", "GROUP", "CONSUMER-ID")?;
    write!(out, "{}{:host$} ", column("GROUP-INSTANCE-ID"), "HOST")?;
    writeln!(out, "{:client$} {:15} ", "CLIENT-ID", "#PARTITIONS")?;
    for (member, instance) in members.iter().zip(&instances) {
        write!(out, "{:name$} {:id$} ", group.name(), member.member_id)?;
        write!(out, "{}{:host$} ", column(instance), member.host)?;
        writeln!(out, "{:client$} {:<15} ", member.client_id, member.assignment.len())?;
    }
    Ok(())
}

/// There is no coordinator to name: the group is wherever its log is.
fn state(out: &mut impl Write, group: &ConsumerGroup, described: &GroupDescription) -> Outcome {
    let name = width([group.name()]);
    let (coordinator, strategy) = ("COORDINATOR (ID)", "ASSIGNMENT-STRATEGY");
    write!(out, "\n{:name$} {coordinator:25} {strategy:20} {:20} #MEMBERS", "GROUP", "STATE")?;
    let strategy = described.assignor.as_deref().unwrap_or(MISSING);
    let (state, members) = (described.state.to_string(), described.members.len());
    write!(out, "\n{:name$} {MISSING:25} {strategy:20} {state:20} {members}", group.name())?;
    Ok(writeln!(out)?)
}
