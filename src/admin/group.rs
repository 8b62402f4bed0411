//! The handle to a consumer group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::csv;
use super::lag::PartitionLag;
use super::plan::{PlannedOffset, ResetPlan};
use super::reset::{Part, ResetScope, ResetTo};
use crate::broker::Broker;
use crate::consumer::{Consumer, ConsumerBuilder};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::log::Log;
use crate::types::{IsolationLevel, OffsetSpec, Offsets, TopicPartition};
use crate::wait::Waiter;

/// How often a directory that another process writes is looked at while somebody waits.
pub(super) const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// A consumer group: its members-to-be, what it has committed, and how far behind it is. Cheap to
/// clone; it keeps the broker open. A group need not exist to be named: it begins with its first
/// member or commit.
///
/// ```
/// use std::time::Duration;
/// use logreel::{Broker, OffsetReset, ProducerRecord};
///
/// let broker = Broker::in_memory();
/// broker.producer().build()?.send(ProducerRecord::to("orders").value("1")).wait()?;
///
/// let group = broker.group("billing");
/// let member = group.member().auto_offset_reset(OffsetReset::Earliest).build()?;
/// member.subscribe(["orders"])?;
/// assert_eq!(member.poll(Duration::from_secs(1))?.len(), 1);
/// member.commit()?;
/// group.wait_drained(Duration::from_secs(1))?;
/// assert_eq!(group.total_lag()?, 0);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConsumerGroup {
    pub(super) broker: Broker,
    pub(super) name: Arc<str>,
}

impl Broker {
    /// The consumer group with this `group.id`. Asks nothing: the group need not exist.
    ///
    /// ```
    /// let group = logreel::Broker::in_memory().group("billing");
    /// assert_eq!(group.name(), "billing");
    /// ```
    pub fn group(&self, id: impl Into<Arc<str>>) -> ConsumerGroup {
        ConsumerGroup { broker: self.clone(), name: id.into() }
    }
}

impl ConsumerGroup {
    /// The group's name, Kafka's `group.id`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Settings of a consumer that is to be a member: `group.id` is set.
    pub fn member(&self) -> ConsumerBuilder {
        self.broker.consumer().group_id(Arc::clone(&self.name))
    }

    /// A consumer with default settings that is subscribed to these topics. It becomes a member at
    /// its first poll, and reads from the end where the group has committed nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let group = logreel::Broker::in_memory().group("billing");
    /// let member = group.join(["orders"])?;
    /// assert!(member.poll(Duration::ZERO)?.is_empty());
    /// assert_eq!(member.assignment(), [("orders", 0).into()]);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Consumer::subscribe`].
    pub fn join<S: AsRef<str>>(&self, topics: impl IntoIterator<Item = S>) -> Result<Consumer> {
        let member = self.member().build()?;
        member.subscribe(topics)?;
        Ok(member)
    }

    /// What the group has committed; empty for a group that does not exist.
    ///
    /// # Errors
    ///
    /// `COORDINATOR_NOT_AVAILABLE` when the group's part of the offsets topic is damaged; `Closed`.
    pub fn committed(&self) -> Result<Offsets> {
        self.broker.handle().all_committed(&self.name)
    }

    /// How far the group is behind in every partition that it has committed or that a member was
    /// given, ordered by topic and partition. Reads no records and waits for nothing. What lingers
    /// in a producer does not count.
    ///
    /// # Errors
    ///
    /// As [`committed`](Self::committed).
    pub fn lag(&self) -> Result<Vec<PartitionLag>> {
        self.follow_topics()?;
        let committed = self.committed()?;
        let described = self.broker.handle().describe_group(&self.name)?;
        let members = described.into_iter().flat_map(|described| described.members);
        let mut partitions: BTreeSet<TopicPartition> =
            members.flat_map(|member| member.assignment).collect();
        partitions.extend(committed.iter().map(|(tp, _)| tp.clone()));
        let mut lags = Vec::new();
        for tp in partitions {
            let end = match self.log(&tp) {
                Ok(log) => Some(log.readable_end(IsolationLevel::ReadUncommitted)),
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => None,
                Err(error) => return Err(error),
            };
            let position = committed.get(&tp).map(|position| position.offset());
            lags.push(PartitionLag::new(tp, position, end));
        }
        Ok(lags)
    }

    /// The sum of all [`lag`](Self::lag)s that are known. Partitions without a commit do not count:
    /// a group that has just begun is 0 behind. To wait for the end of its work, take
    /// [`wait_drained`](Self::wait_drained).
    ///
    /// # Errors
    ///
    /// As [`committed`](Self::committed).
    pub fn total_lag(&self) -> Result<u64> {
        let known = self.lag()?.into_iter().filter_map(|partition| partition.lag);
        Ok(known.fold(0, u64::saturating_add))
    }

    /// Commits offsets for the group without being a member: all of them, or nothing. They need not
    /// lie in the log. Durable on return, so it blocks for a sync of the disk; partitions that are
    /// not named keep what they have. The group is made if it does not exist.
    ///
    /// ```
    /// use logreel::{Broker, NewTopic, Offsets};
    /// let broker = Broker::in_memory();
    /// broker.create_topic(NewTopic::new("orders").partitions(2))?;
    /// let group = broker.group("billing");
    /// group.alter_offsets(&Offsets::from_iter([(("orders", 0), 7), (("orders", 1), 0)]))?;
    /// assert_eq!(group.committed()?.get(&("orders", 0).into()).map(|at| at.offset()), Some(7));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `UNKNOWN_MEMBER_ID` while the group has members: only they may commit;
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `INVALID_GROUP_ID` for an empty name;
    /// `OFFSET_METADATA_TOO_LARGE` over 4096 bytes; a negative offset;
    /// `COORDINATOR_NOT_AVAILABLE`; `ReadOnly`; `Closed`; what stops the offsets topic's storage.
    pub fn alter_offsets(&self, offsets: &Offsets) -> Result<()> {
        self.check_name()?;
        for (tp, _) in offsets {
            self.log(tp)?;
        }
        self.broker.handle().commit_offsets(&self.name, None, offsets)
    }

    /// Removes what the group has committed for these partitions: all of it, or nothing. Members
    /// that read other topics may stay. Durable on return, so it blocks for a sync of the disk.
    ///
    /// Kafka removes what it can and answers for each partition by itself; here an error means that
    /// nothing was removed.
    ///
    /// ```
    /// let broker = logreel::Broker::in_memory();
    /// broker.create_topic("orders")?;
    /// let group = broker.group("billing");
    /// group.alter_offsets(&[(("orders", 0), 7)].into_iter().collect())?;
    /// group.delete_offsets([("orders", 0)])?;
    /// assert!(group.committed()?.is_empty());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `GROUP_ID_NOT_FOUND`; `GROUP_SUBSCRIBED_TO_TOPIC` while a member reads the topic;
    /// `UNKNOWN_TOPIC_OR_PARTITION` for a partition that neither exists nor was committed;
    /// `COORDINATOR_NOT_AVAILABLE`; `ReadOnly`; `Closed`; what stops the offsets topic's storage.
    pub fn delete_offsets<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<()> {
        self.check_name()?;
        let partitions: BTreeSet<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        let partitions: Vec<TopicPartition> = partitions.into_iter().collect();
        self.broker.handle().delete_commits(&self.name, &partitions)
    }

    /// Removes the group with everything it has committed. Durable on return, so it blocks for a
    /// sync of the disk. A member that joins later begins anew.
    ///
    /// ```
    /// let broker = logreel::Broker::in_memory();
    /// broker.create_topic("orders")?;
    /// let group = broker.group("billing");
    /// group.alter_offsets(&[(("orders", 0), 7)].into_iter().collect())?;
    /// group.delete()?;
    /// assert!(broker.groups()?.is_empty());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NON_EMPTY_GROUP` while it has members; `GROUP_ID_NOT_FOUND`; `COORDINATOR_NOT_AVAILABLE`;
    /// `ReadOnly`; `Closed`; what stops the offsets topic's storage.
    pub fn delete(&self) -> Result<()> {
        self.check_name()?;
        self.broker.handle().delete_group(&self.name)
    }

    /// Works out a reset without doing it, as Kafka's dry run does. Reads the index, and where a
    /// time is looked for some records.
    ///
    /// ```
    /// use logreel::admin::{ResetScope, ResetTo};
    /// use logreel::{Broker, NewTopic};
    /// let broker = Broker::in_memory();
    /// broker.create_topic(NewTopic::new("orders").partitions(3))?;
    /// let two = ResetScope::partitions([("orders", 0), ("orders", 2)]);
    /// let plan = broker.group("billing").plan_reset(two, ResetTo::Latest)?;
    /// assert_eq!(plan.to_csv_with_group(), "billing,orders,0,0\nbilling,orders,2,0\n");
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `NON_EMPTY_GROUP` while the group has members; `UNKNOWN_TOPIC_OR_PARTITION`;
    /// `NoOffsetForPartition` for a shift where nothing was committed; `INVALID_GROUP_ID` for an
    /// empty name; `COORDINATOR_NOT_AVAILABLE`; `CORRUPT_MESSAGE` where a time is looked for in
    /// damage; `Closed`.
    pub fn plan_reset(&self, scope: impl Into<ResetScope>, to: ResetTo) -> Result<ResetPlan> {
        self.check_resettable()?;
        let committed = self.committed()?;
        let mut partitions = BTreeSet::new();
        for part in scope.into().0 {
            match part {
                Part::Committed => partitions.extend(committed.iter().map(|(tp, _)| tp.clone())),
                Part::Partition(tp) => {
                    partitions.insert(tp);
                }
                Part::Topic(name) => {
                    let topic = self.broker.topic(&name)?;
                    let numbers = 0..topic.partition_count();
                    partitions.extend(numbers.map(|n| TopicPartition::new(Arc::clone(&name), n)));
                }
            }
        }
        let position = |tp: &TopicPartition| committed.get(tp).map(|position| position.offset());
        self.plan(partitions, position, |log, committed| self.target(log, committed, to))
    }

    /// Works out a reset to these offsets, each moved into its log (`--from-file`).
    ///
    /// ```
    /// let broker = logreel::Broker::in_memory();
    /// broker.create_topic("orders")?.partition(0)?.append([(None, Some("x")); 9])?;
    /// let far = [(("orders", 0), 99)].into_iter().collect();
    /// let plan = broker.group("billing").plan_offsets(&far)?;
    /// assert_eq!(plan.to_csv(), "orders,0,9\n");
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`plan_reset`](Self::plan_reset).
    pub fn plan_offsets(&self, offsets: &Offsets) -> Result<ResetPlan> {
        self.check_resettable()?;
        let committed = self.committed()?;
        let position = |tp: &TopicPartition| committed.get(tp).map(|position| position.offset());
        let partitions = offsets.iter().map(|(tp, _)| tp.clone()).collect();
        self.plan(partitions, position, |log, _| {
            let wanted = offsets.get(&log.tp).map(|position| position.offset());
            Ok(Target { offset: wanted.unwrap_or(log.end_offset()), is_exact: false })
        })
    }

    /// The same for what [`ResetPlan::to_csv`] or Kafka's `--export` wrote: lines of
    /// `topic,partition,offset`, or of `group,topic,partition,offset`, of which those of this group
    /// count. The form of the first line is that of all.
    ///
    /// ```
    /// let broker = logreel::Broker::in_memory();
    /// broker.create_topic("orders")?.partition(0)?.append([(None, Some("x")); 9])?;
    /// let group = broker.group("billing");
    /// let plan = group.plan_csv("billing,orders,0,4\nother,orders,0,8\n")?;
    /// assert_eq!(plan.to_csv(), "orders,0,4\n");
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `INVALID_REQUEST` naming the line, or when none is for this group; as
    /// [`plan_reset`](Self::plan_reset).
    pub fn plan_csv(&self, csv: &str) -> Result<ResetPlan> {
        self.plan_offsets(&csv::parse(csv, &self.name)?)
    }

    /// Resets what the group has committed, and answers what it is now: a
    /// [`plan_reset`](Self::plan_reset) that is executed at once. Durable on return, so it blocks
    /// for a sync of the disk.
    ///
    /// ```
    /// use logreel::admin::ResetTo;
    /// let broker = logreel::Broker::in_memory();
    /// broker.create_topic("orders")?.partition(0)?.append([(None, Some("x")); 9])?;
    /// let group = broker.group("billing");
    /// group.reset_offsets("orders", ResetTo::Earliest)?;
    /// assert_eq!(group.total_lag()?, 9);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`plan_reset`](Self::plan_reset) and [`alter_offsets`](Self::alter_offsets).
    pub fn reset_offsets(&self, scope: impl Into<ResetScope>, to: ResetTo) -> Result<Offsets> {
        let plan = self.plan_reset(scope, to)?;
        plan.execute()?;
        Ok(plan.offsets())
    }

    /// Blocks until the group has committed the end of every partition that it has committed at all
    /// or that a member was given, for up to `timeout`. A group that has committed nothing yet is
    /// waited for, and so are partitions with records that it has not committed, even if it began
    /// behind them; partitions that are gone are not. Records that come later, or still linger in a
    /// producer, make it lag again.
    ///
    /// # Errors
    ///
    /// `REQUEST_TIMED_OUT`; as [`committed`](Self::committed).
    pub fn wait_drained(&self, timeout: Duration) -> Result<()> {
        let broker = self.broker.handle();
        let deadline = broker.deadline(timeout);
        loop {
            let waiter = Waiter::new();
            broker.commits_changed().add(&waiter);
            broker.topics_changed.add(&waiter);
            let lags = self.lag();
            let now = broker.context.clock.monotonic();
            let begun = |lag: &PartitionLag| lag.committed.is_some();
            let lagging = |lag: &PartitionLag| self.is_behind(lag);
            let outcome = match lags {
                Err(error) => Some(Err(error)),
                Ok(lags) if lags.iter().any(begun) && !lags.iter().any(lagging) => Some(Ok(())),
                Ok(lags) if deadline.is_some_and(|deadline| now >= deadline) => {
                    Some(Err(self.not_drained(&lags)))
                }
                Ok(_) => None,
            };
            if outcome.is_none() {
                let follow = broker.read_only.then(|| broker.deadline(FOLLOW_INTERVAL)).flatten();
                let until = [deadline, follow].into_iter().flatten().min();
                waiter.park(&broker.context.clock, until);
            }
            broker.commits_changed().remove(&waiter);
            broker.topics_changed.remove(&waiter);
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    /// Whether there is something that the group has not committed; also where it has committed
    /// nothing yet.
    fn is_behind(&self, lag: &PartitionLag) -> bool {
        let holds_records = || {
            let log = self.log(&lag.topic_partition).ok();
            log.is_some_and(|log| log.start_offset() < log.end_offset())
        };
        lag.lag.map_or_else(|| lag.committed.is_none() && holds_records(), |lag| lag > 0)
    }

    fn not_drained(&self, lags: &[PartitionLag]) -> Error {
        let most = lags.iter().max_by_key(|lag| lag.lag);
        let Some((lag, tp)) = most.and_then(|most| Some((most.lag?, &most.topic_partition))) else {
            let message = format!("group {} has committed nothing in time", self.name);
            return Error::kafka(ErrorCode::RequestTimedOut, message);
        };
        let message = format!("group {} is still {lag} behind", self.name);
        Error::kafka(ErrorCode::RequestTimedOut, message).on(tp)
    }

    fn check_name(&self) -> Result<()> {
        if self.name.is_empty() {
            return Err(Error::kafka(ErrorCode::InvalidGroupId, "the group's name is empty"));
        }
        Ok(())
    }

    fn check_resettable(&self) -> Result<()> {
        self.check_name()?;
        self.follow_topics()?;
        self.broker.handle().check_inactive(&self.name)
    }

    /// Looks for the topics that another process made.
    fn follow_topics(&self) -> Result<()> {
        let broker = self.broker.handle();
        if broker.read_only { broker.refresh_topics() } else { Ok(()) }
    }

    /// A partition, with what another process wrote to it.
    fn log(&self, tp: &TopicPartition) -> Result<Arc<Log>> {
        let broker = self.broker.handle();
        let log = broker.log(tp)?;
        if broker.read_only {
            log.refresh()?;
        }
        Ok(log)
    }

    fn plan(
        &self,
        partitions: BTreeSet<TopicPartition>,
        committed: impl Fn(&TopicPartition) -> Option<i64>,
        target: impl Fn(&Log, Option<i64>) -> Result<Target>,
    ) -> Result<ResetPlan> {
        let mut planned = Vec::new();
        for tp in partitions {
            let log = self.log(&tp)?;
            let committed = committed(&tp);
            let target = target(&log, committed)?;
            let (start, end) = (log.start_offset(), readable_end(&log));
            let requested = target.offset;
            // As Kafka: what lies past the end becomes the end, before the start is looked at.
            let new_offset = match requested {
                offset if target.is_exact => offset,
                offset if offset > end => end,
                offset => offset.max(start),
            };
            planned.push(PlannedOffset { topic_partition: tp, committed, requested, new_offset });
        }
        Ok(ResetPlan::new(self.broker.clone(), Arc::clone(&self.name), planned))
    }

    /// Where a reset leads in one partition.
    fn target(&self, log: &Log, committed: Option<i64>, to: ResetTo) -> Result<Target> {
        let exact = |offset| Target { offset, is_exact: true };
        let at_time = |timestamp| {
            let spec = OffsetSpec::Timestamp(timestamp);
            let found = log.offset_for(spec, IsolationLevel::ReadUncommitted)?;
            Ok(exact(found.map_or_else(|| readable_end(log), |found| found.offset)))
        };
        match to {
            ResetTo::Earliest => Ok(exact(log.start_offset())),
            ResetTo::Latest => Ok(exact(readable_end(log))),
            ResetTo::Offset(offset) => Ok(Target { offset, is_exact: false }),
            ResetTo::ShiftBy(by) => match committed {
                Some(from) => Ok(Target { offset: from.saturating_add(by), is_exact: false }),
                None => Err(Error::new(
                    ErrorKind::NoOffsetForPartition,
                    format!("group {} has committed nothing to shift", self.name),
                )
                .on(&log.tp)),
            },
            ResetTo::Timestamp(timestamp) => at_time(timestamp),
            ResetTo::ByDuration(duration) => {
                let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                let now = self.broker.handle().context.clock.wall_millis();
                at_time(now.saturating_sub(millis))
            }
            ResetTo::Current => Ok(exact(committed.unwrap_or_else(|| readable_end(log)))),
        }
    }
}

/// A place in a log, and whether it is right as it is, wherever it lies.
struct Target {
    offset: i64,
    is_exact: bool,
}

fn readable_end(log: &Log) -> i64 {
    log.readable_end(IsolationLevel::ReadUncommitted)
}
