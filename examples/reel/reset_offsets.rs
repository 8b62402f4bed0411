//! `reel consumer-groups --reset-offsets`.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgGroup;
use logreel::ConsumerGroup;
use logreel::admin::{ResetPlan, ResetScope, ResetTo};

use crate::columns::width;
use crate::datetime;
use crate::failure::{Failure, Outcome};

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("way").args([
    "to_earliest", "to_latest", "to_offset", "shift_by", "to_datetime", "by_duration",
    "to_current", "from_file",
])))]
pub(crate) struct Reset {
    /// Of all partitions the group has committed
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    /// To the log start
    #[arg(long)]
    to_earliest: bool,
    /// To the log end
    #[arg(long)]
    to_latest: bool,
    /// To this offset
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    to_offset: Option<i64>,
    /// To so many offsets after what was committed; before it, if negative
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// To the first record from this time on: YYYY-MM-DDTHH:mm:SS.sss[+hh:mm|Z]
    #[arg(long, value_name = "TIME", value_parser = datetime::parse)]
    to_datetime: Option<i64>,
    /// To the first record that is not older than this: PnDTnHnMnS
    #[arg(long, value_name = "DURATION", value_parser = datetime::duration)]
    by_duration: Option<Duration>,
    /// To what was committed, or else the log end
    #[arg(long)]
    to_current: bool,
    /// To what this file says, in lines as --export prints them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["topic", "all_topics"])]
    from_file: Option<PathBuf>,
    /// Only print the new offsets; this is the default
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Reset the offsets
    #[arg(long)]
    pub(crate) execute: bool,
    /// Print topic,partition,offset, or unless one group is named group,topic,partition,offset
    #[arg(long)]
    export: bool,
}

/// A topic, or some of its partitions.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) topic: String,
    pub(crate) partitions: Option<Vec<i32>>,
}

/// Reads `T` or `T:P,P`.
pub(crate) fn scope(text: &str) -> Result<Scope, String> {
    let Some((topic, numbers)) = text.split_once(':') else {
        return Ok(Scope { topic: text.to_owned(), partitions: None });
    };
    let numbers: Result<Vec<i32>, _> = numbers.split(',').map(str::parse).collect();
    match numbers {
        Ok(numbers) => Ok(Scope { topic: topic.to_owned(), partitions: Some(numbers) }),
        Err(_) => Err("a topic, or a topic and partitions as T:P,P is needed".to_owned()),
    }
}

impl Reset {
    /// Whether any of this was asked for.
    pub(crate) fn is_given(&self) -> bool {
        let flags = [self.all_topics, self.dry_run, self.execute, self.export];
        self.way().is_some() || self.from_file.is_some() || flags.contains(&true)
    }

    fn way(&self) -> Option<ResetTo> {
        let flags = [
            (self.to_earliest, ResetTo::Earliest),
            (self.to_latest, ResetTo::Latest),
            (self.to_current, ResetTo::Current),
        ];
        let flag = flags.into_iter().find(|(is_given, _)| *is_given).map(|(_, to)| to);
        flag.or(self.to_offset.map(ResetTo::Offset))
            .or(self.shift_by.map(ResetTo::ShiftBy))
            .or(self.to_datetime.map(ResetTo::Timestamp))
            .or(self.by_duration.map(ResetTo::ByDuration))
    }

    /// Resets these groups. A file need not say for which, if only one was `named`.
    pub(crate) fn run(
        &self,
        groups: &[ConsumerGroup],
        named: &[String],
        scopes: &[Scope],
    ) -> Outcome {
        let is_single = named.len() == 1;
        // Nothing is done unless everything can be.
        let plans = self.plan(groups, is_single, scopes)?;
        if !self.execute && !self.dry_run && !self.export {
            // Nobody may be listening.
            let missing = "No action will be performed as the --execute option is missing.";
            let _ = writeln!(std::io::stderr(), "WARN: {missing}");
        }
        plans.iter().for_each(tell_moved);
        if self.execute {
            plans.iter().try_for_each(ResetPlan::execute)?;
        }
        if self.export { export(&plans, is_single) } else { print(&plans) }
    }

    fn plan(
        &self,
        groups: &[ConsumerGroup],
        is_single: bool,
        scopes: &[Scope],
    ) -> Outcome<Vec<ResetPlan>> {
        if let Some(path) = &self.from_file {
            let shown = path.display();
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::new(format!("cannot read {shown}: {error}")))?;
            if !is_single && text.lines().next().is_some_and(|l| l.split(',').count() == 3) {
                let message = format!("{shown} does not say which of the groups it is for");
                return Err(Failure::new(message));
            }
            let plans = groups.iter().map(|group| group.plan_csv(&text));
            return Ok(plans.collect::<Result<_, _>>()?);
        }
        let Some(to) = self.way() else {
            return Err(Failure::new(
                "one of --to-earliest, --to-latest, --to-offset, --shift-by, --to-datetime, \
                 --by-duration, --to-current, --from-file is needed",
            ));
        };
        if !self.all_topics && scopes.is_empty() {
            return Err(Failure::new("one of --all-topics, --topic is needed"));
        }
        let scope = if self.all_topics {
            ResetScope::all_topics()
        } else {
            let none = ResetScope::topics::<String>([]);
            scopes.iter().fold(none, |all, Scope { topic, partitions }| {
                all.and(match partitions {
                    None => ResetScope::topics([topic.as_str()]),
                    Some(numbers) => {
                        ResetScope::partitions(numbers.iter().map(|n| (topic.as_str(), *n)))
                    }
                })
            })
        };
        let plans = groups.iter().map(|group| group.plan_reset(scope.clone(), to));
        Ok(plans.collect::<Result<_, _>>()?)
    }
}

/// Says where an offset that was asked for lies outside the log.
fn tell_moved(plan: &ResetPlan) {
    for planned in plan.iter().filter(|planned| planned.requested != planned.new_offset) {
        let (tp, new) = (&planned.topic_partition, planned.new_offset);
        let place =
            if planned.requested > new { "higher than latest" } else { "lower than earliest" };
        let _ = writeln!(
            std::io::stderr(),
            "WARN: New offset ({}) is {place} offset for topic partition {tp}. \
             Value will be set to {new}.",
            planned.requested
        );
    }
}

fn export(plans: &[ResetPlan], is_single: bool) -> Outcome {
    let mut out = std::io::stdout().lock();
    for plan in plans {
        let csv = if is_single { plan.to_csv() } else { plan.to_csv_with_group() };
        out.write_all(csv.as_bytes())?;
    }
    Ok(out.flush()?)
}

fn print(plans: &[ResetPlan]) -> Outcome {
    let planned = plans.iter().flat_map(ResetPlan::iter);
    let topic = width(planned.map(|planned| planned.topic_partition.topic()));
    let group = width(plans.iter().map(ResetPlan::group));
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    write!(out, "\n{:group$} {:topic$} {:10} NEW-OFFSET", "GROUP", "TOPIC", "PARTITION")?;
    for plan in plans {
        for planned in plan.iter() {
            let (tp, new) = (&planned.topic_partition, planned.new_offset);
            let (name, number) = (plan.group(), tp.partition());
            write!(out, "\n{name:group$} {:topic$} {number:<10} {new}", tp.topic())?;
        }
    }
    writeln!(out)?;
    Ok(out.flush()?)
}
