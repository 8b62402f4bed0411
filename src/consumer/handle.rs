//! The handle to a consumer.

use std::sync::Arc;
use std::time::Duration;

use super::commits::Commits;
use super::config::{ConsumerBuilder, ConsumerConfig};
use super::membership::is_about_membership;
use super::records::{Placed, Records};
use super::state::{State, Wants};
use super::wakeup::{WakeupHandle, Wakeups};
use crate::broker::Handle;
use crate::error::{Error, ErrorKind, Result};
use crate::faults::persist;
use crate::types::{IsolationLevel, OffsetAndMetadata, Offsets, TopicPartition};
use crate::wait::{QuietGuard, QuietMutex};

/// Reads records, by itself or as a member of a group. Methods take `&self`; calls from several
/// threads queue up.
///
/// Dropping a consumer leaves its group and commits nothing, so that a panic cannot commit what was
/// not processed; [`close`](Self::close) commits if auto-commit is on.
///
/// Members of one group share the partitions of its topics. A member takes part in its group only
/// inside its calls, as in Kafka: one that has not polled for `max.poll.interval.ms` has left.
///
/// ```
/// use std::time::Duration;
/// use logreel::{Broker, OffsetReset, ProducerRecord};
///
/// let broker = Broker::in_memory();
/// broker.producer().build()?.send(ProducerRecord::to("orders").value("1")).wait()?;
///
/// let consumer =
///     broker.consumer().group_id("billing").auto_offset_reset(OffsetReset::Earliest).build()?;
/// consumer.subscribe(["orders"])?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// for record in &records {
///     assert_eq!(record.value(), Some(&b"1"[..]));
/// }
/// consumer.commit()?; // at least once: after the work is done
/// assert_eq!(consumer.position(&("orders", 0).into())?, 1);
/// # Ok::<(), logreel::Error>(())
/// ```
pub struct Consumer {
    pub(super) broker: Handle,
    pub(super) config: ConsumerConfig,
    pub(super) state: QuietMutex<State>,
    pub(super) wakeups: Arc<Wakeups>,
    pub(super) commits: Arc<Commits>,
    pub(crate) client_id: Arc<str>,
}

impl ConsumerBuilder {
    /// Makes the consumer.
    ///
    /// # Errors
    ///
    /// `INVALID_CONFIG` naming the key; `Closed`.
    pub fn build(self) -> Result<Consumer> {
        let config = self.checked()?;
        Consumer::new(self.broker.handle().clone(), config)
    }
}

impl Consumer {
    fn new(broker: Handle, mut config: ConsumerConfig) -> Result<Self> {
        broker.check_open()?;
        let client_id = match (&config.client_id, &config.group_id) {
            (Some(client_id), _) => Arc::clone(client_id),
            (None, Some(group)) => format!("consumer-{group}-{}", broker.next_client()).into(),
            (None, None) => format!("consumer-{}", broker.next_client()).into(),
        };
        config.client_id = Some(Arc::clone(&client_id));
        let (state, wakeups) = (State::default(), Arc::<Wakeups>::default());
        let group = State::group(&config).map(str::to_owned);
        let identity = Arc::clone(&state.identity);
        let commits =
            Commits::new(broker.shared(), group, identity, Arc::clone(&wakeups), &client_id);
        Ok(Self { broker, config, state: QuietMutex::new(state), wakeups, commits, client_id })
    }

    /// Reads exactly these partitions, without the group's part in sharing them out. Commits still
    /// go to the group if there is one. Partitions that were assigned before stay where they are,
    /// paused or not, as in Kafka.
    ///
    /// # Errors
    ///
    /// `IllegalState` while subscribed; `INVALID_TOPIC_EXCEPTION`; a negative partition.
    pub fn assign<T: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        self.broker.check_open()?;
        let mut wanted: Vec<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        for tp in &wanted {
            crate::log::names::check_topic_name(tp.topic())?;
            if tp.partition() < 0 {
                return Err(Error::kafka(
                    crate::error::ErrorCode::UnknownTopicOrPartition,
                    format!("partition {} is negative", tp.partition()),
                ));
            }
        }
        wanted.sort();
        wanted.dedup();
        let mut state = self.enter()?;
        if matches!(state.wants, Wants::Topics(_) | Wants::Matching(_)) {
            return Err(Error::new(
                ErrorKind::IllegalState,
                "the consumer is subscribed to topics; unsubscribe first",
            ));
        }
        self.auto_commit(&mut state, None)?;
        state.reset(Wants::Partitions(wanted));
        drop(state);
        self.wakeups.waiting.wake_all();
        Ok(())
    }

    /// Returns up to `max.poll.records` records, blocking up to `timeout` while there are none (or
    /// fewer than `fetch.min.bytes` wants). An empty answer is no error. What is left of the
    /// batches that were read comes with the next polls; the partition after the one that gave the
    /// last records comes first. Also does what the group asks for: joining, auto-commit.
    ///
    /// # Errors
    ///
    /// `IllegalState` before `subscribe` or `assign`; `Wakeup`; `NoOffsetForPartition` or
    /// `OFFSET_OUT_OF_RANGE` where `auto.offset.reset` is none; `CORRUPT_MESSAGE` where a partition
    /// is damaged: the position stays, other partitions go on, and a seek may pass the damage;
    /// `GROUP_MAX_SIZE_REACHED`, `COORDINATOR_NOT_AVAILABLE`; `Closed`.
    pub fn poll(&self, timeout: Duration) -> Result<Records> {
        self.poll_until(self.config.max_poll_records, self.broker.deadline(timeout))
    }

    /// Does what comes before reading: auto-commit, what the group asks for, finding out where to
    /// read.
    pub(super) fn prepare(&self, state: &mut QuietGuard<'_, State>, now: Duration) -> Result<()> {
        if matches!(state.wants, Wants::Nothing) {
            return Err(Error::new(
                ErrorKind::IllegalState,
                "the consumer is neither subscribed to topics nor assigned partitions",
            ));
        }
        if let Err(error) = self.auto_commit(state, Some(now))
            && !is_about_membership(&error)
        {
            return Err(error);
        }
        self.attend(state)?;
        self.follow_logs(state)?;
        state.resolve(&self.broker, &self.config)
    }

    /// Ends the [`poll`](Self::poll) that runs on another thread, or else the next one, with
    /// [`ErrorKind::Wakeup`]; see [`WakeupHandle::wakeup`].
    pub fn wakeup(&self) {
        self.wakeup_handle().wakeup();
    }

    /// A handle for waking this consumer that may outlive it.
    #[must_use]
    pub fn wakeup_handle(&self) -> WakeupHandle {
        WakeupHandle::new(Arc::clone(&self.wakeups))
    }

    /// Commits what auto-commit has to: with the time later, else before this returns, and then
    /// after all commits that were asked for.
    pub(super) fn auto_commit(
        &self,
        state: &mut QuietGuard<'_, State>,
        now: Option<Duration>,
    ) -> Result<()> {
        self.see_commits(state);
        let offsets = state.auto_commit_due(&self.broker, &self.config, now);
        if now.is_none() {
            self.aside(state, || self.commits.commit_now(&offsets))?;
        } else if !offsets.is_empty() {
            // A failure takes it back.
            state.note_committed(&offsets);
            self.aside(state, || self.commits.auto_commit(offsets));
            // Without threads it has been made by now.
            self.see_commits(state);
        }
        self.commits.take_auto_error()
    }

    /// Takes note of what became of commits that were made later.
    fn see_commits(&self, state: &mut State) {
        if self.commits.take_outdated() {
            state.forget_committed();
        }
        if let Some(refused) = self.commits.take_refused() {
            state.delay_auto_commit(refused.at, refused.tries_again);
        }
    }

    /// Looks for what another process wrote.
    fn follow_logs(&self, state: &State) -> Result<()> {
        if self.broker.read_only {
            for log in state.positions.iter().filter_map(|position| position.log.as_ref()) {
                log.refresh()?;
            }
        }
        Ok(())
    }

    /// Commits the positions that polls have reached, whether or not the records were processed.
    /// Durable on return, and never before the records below them are. Commits that were asked for
    /// before, [to be done later](Self::commit_async), are finished and called back first. Where
    /// there is no position yet there is nothing to commit, which is no error.
    ///
    /// # Errors
    ///
    /// `INVALID_GROUP_ID` without a group; `REBALANCE_IN_PROGRESS` while the group changes: poll,
    /// then commit again; `UNKNOWN_MEMBER_ID` when the consumer is not in the group (it has not
    /// polled, or not in time), `FENCED_INSTANCE_ID` when another has taken its place;
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `COORDINATOR_NOT_AVAILABLE`; what stops the offsets topic's
    /// storage. Nothing is committed then.
    pub fn commit(&self) -> Result<()> {
        self.commits.check()?;
        self.commits.finish_earlier();
        self.commits.report();
        let (who, offsets) = self.state.lock().positions_to_commit(&self.broker);
        self.commits.commit_now_as(who, &offsets)
    }

    /// Commits these positions: for each partition the offset of the *next* record to read.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit); `OFFSET_METADATA_TOO_LARGE` over 4096 bytes; a negative offset.
    pub fn commit_offsets(&self, offsets: &Offsets) -> Result<()> {
        self.commits.check()?;
        self.commits.finish_earlier();
        self.commits.report();
        self.commits.commit_now(offsets)
    }

    /// Commits that a record and all before it in its partition were processed: its offset + 1.
    /// Other partitions are left alone. Each call waits for a sync, so it is for few, costly
    /// records.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use logreel::{Broker, OffsetReset, ProducerRecord};
    /// # let broker = Broker::in_memory();
    /// # let records = ["a", "b"].map(|value| ProducerRecord::to("t").value(value));
    /// # broker.producer().build()?.send_batch(records).wait()?;
    /// let settings = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
    /// let consumer = settings.build()?;
    /// consumer.subscribe(["t"])?;
    /// let records = consumer.poll(Duration::from_secs(1))?;
    /// for record in records.iter().take(1) {
    ///     consumer.commit_record(&record)?;
    /// }
    /// assert_eq!(consumer.committed(&("t", 0).into())?.map(|c| c.offset()), Some(1));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub fn commit_record(&self, record: &impl Placed) -> Result<()> {
        self.commit_offsets(&[record.next_position()].into_iter().collect())
    }

    /// What the group has committed for a partition; `None` when nothing.
    ///
    /// # Errors
    ///
    /// `INVALID_GROUP_ID` without a group; `COORDINATOR_NOT_AVAILABLE`.
    pub fn committed(&self, tp: &TopicPartition) -> Result<Option<OffsetAndMetadata>> {
        let group = State::group(&self.config)?;
        persist(&self.broker.context.clock, || self.config.committed(&self.broker, group, tp))
    }

    /// The partitions this consumer reads now; empty until a `poll` has joined the group.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.state.lock().positions.iter().map(|position| position.tp.clone()).collect()
    }

    /// Whether only committed records are returned.
    #[must_use]
    pub fn isolation_level(&self) -> IsolationLevel {
        self.config.isolation
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // What was asked for is done, as the member that asked for it.
        self.commits.finish_earlier();
        self.commits.end();
        self.commits.leave(true);
        let seat = self.state.lock().membership.seat.take();
        if let (Some(seat), Some(group)) = (seat, &self.config.group_id) {
            // Nobody is left to hear of errors; a closed broker has let the member go already.
            let stays = self.config.instance_id.is_some();
            let _ = self.broker.leave_group(group, &seat.member_id, stays);
        }
    }
}

/// A poll that goes on: while it does its member need not poll again.
pub(super) struct Polling<'a> {
    consumer: &'a Consumer,
}

impl<'a> Polling<'a> {
    pub(super) fn begin(consumer: &'a Consumer) -> Self {
        let mut state = consumer.state.lock();
        state.polls += 1;
        if let Some(seat) = state.membership.seat.as_ref().filter(|_| state.polls == 1) {
            consumer.broker.poll_begins(seat);
        }
        Self { consumer }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let mut state = self.consumer.state.lock();
        state.polls -= 1;
        if let Some(seat) = state.membership.seat.as_ref().filter(|_| state.polls == 0) {
            self.consumer.broker.poll_ends(seat);
        }
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Consumer(group {:?})", self.config.group_id)
    }
}
