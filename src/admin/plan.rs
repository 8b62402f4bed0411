//! A reset that was worked out and can be looked at before it is done.

use std::sync::Arc;

use super::csv;
use crate::broker::Broker;
use crate::error::Result;
use crate::types::{Offsets, TopicPartition};

/// Where one partition is to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedOffset {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// What is committed now.
    pub committed: Option<i64>,
    /// What was asked for: differs from `new_offset` where that lies outside the log.
    pub requested: i64,
    /// What is to be committed.
    pub new_offset: i64,
}

/// The offsets a group is to be reset to. Nothing changes until [`execute`](Self::execute), and
/// then what was planned is done, even if the logs have grown.
///
/// ```
/// use logreel::admin::ResetTo;
/// let broker = logreel::Broker::in_memory();
/// broker.create_topic("orders")?;
/// let group = broker.group("billing");
/// let plan = group.plan_reset("orders", ResetTo::Offset(500))?;
/// for planned in plan.iter() {
///     assert_eq!((planned.committed, planned.requested), (None, 500));
///     assert_eq!(planned.new_offset, 0, "the log is empty");
/// }
/// plan.execute()?;
/// assert_eq!(group.committed()?.len(), 1);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a plan changes nothing until it is executed"]
pub struct ResetPlan {
    broker: Broker,
    group: Arc<str>,
    planned: Vec<PlannedOffset>,
}

impl ResetPlan {
    pub(super) fn new(broker: Broker, group: Arc<str>, planned: Vec<PlannedOffset>) -> Self {
        Self { broker, group, planned }
    }

    /// The group that is to be reset.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// What is planned, ordered by topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = &PlannedOffset> {
        self.planned.iter()
    }

    /// The planned offsets.
    #[must_use]
    pub fn offsets(&self) -> Offsets {
        let planned = self.planned.iter();
        planned.map(|planned| (planned.topic_partition.clone(), planned.new_offset)).collect()
    }

    /// Commits the planned offsets: all of them, or nothing. Durable on return, so it blocks for a
    /// sync of the disk.
    ///
    /// # Errors
    ///
    /// As [`ConsumerGroup::alter_offsets`](crate::ConsumerGroup::alter_offsets).
    pub fn execute(&self) -> Result<()> {
        let broker = self.broker.handle();
        for planned in &self.planned {
            broker.log(&planned.topic_partition)?;
        }
        broker.commit_offsets(&self.group, None, &self.offsets())
    }

    /// The plan as `kafka-consumer-groups --export` prints it for one group: lines of
    /// `topic,partition,offset`, which [`plan_csv`](crate::ConsumerGroup::plan_csv) and Kafka's
    /// `--from-file` read.
    #[must_use]
    pub fn to_csv(&self) -> String {
        self.csv(None)
    }

    /// The same as Kafka prints it for several groups: lines of `group,topic,partition,offset`.
    #[must_use]
    pub fn to_csv_with_group(&self) -> String {
        self.csv(Some(&self.group))
    }

    fn csv(&self, group: Option<&str>) -> String {
        let planned = self.planned.iter();
        planned.map(|to| csv::line(group, &to.topic_partition, to.new_offset)).collect()
    }
}
