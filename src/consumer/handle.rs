//! The handle to a consumer.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::config::{ConsumerBuilder, ConsumerConfig};
use super::membership::is_about_membership;
use super::records::{RecordRef, Records};
use super::state::{Hold, State, Wants};
use super::wakeup::{WakeupHandle, Wakeups};
use crate::broker::{GroupSigns, Handle, Seat};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::types::{IsolationLevel, OffsetAndMetadata, Offsets, TopicPartition};
use crate::wait::Waiter;

/// How often a directory that another process writes is looked at while a consumer waits.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

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
    pub(super) state: Mutex<State>,
    pub(super) wakeups: Arc<Wakeups>,
    pub(super) client_id: Arc<str>,
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
    fn new(broker: Handle, config: ConsumerConfig) -> Result<Self> {
        broker.check_open()?;
        let client_id = match (&config.client_id, &config.group_id) {
            (Some(client_id), _) => Arc::clone(client_id),
            (None, Some(group)) => format!("consumer-{group}-{}", broker.next_client()).into(),
            (None, None) => format!("consumer-{}", broker.next_client()).into(),
        };
        let (state, wakeups) = (Mutex::default(), Arc::default());
        Ok(Self { broker, config, state, wakeups, client_id })
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

    /// Polls for up to `max` records until the monotonic `deadline`.
    pub(super) fn poll_until(&self, max: usize, deadline: Option<Duration>) -> Result<Records> {
        let _polling = Polling::begin(self);
        let mut first = true;
        loop {
            self.broker.check_open()?;
            self.wakeups.check()?;
            let now = self.broker.context.clock.monotonic();
            let Some(mut state) = self.enter_until(deadline)? else {
                return Ok(Records::default());
            };
            self.prepare(&mut state, std::mem::take(&mut first).then_some(now))?;
            let hold = state.hold(&self.config, now);
            if hold == Hold::Free {
                let records = state.fetch(&self.config, max)?;
                if !records.is_empty() {
                    return Ok(records);
                }
                let ready = state.is_ready(&self.config, hold);
                if ready && deadline.is_none_or(|deadline| now < deadline) {
                    continue;
                }
            }
            let logs: Vec<Arc<Log>> =
                state.positions.iter().filter_map(|p| p.log.clone()).collect();
            let signs = state.membership.seat.as_ref().map(|seat| Arc::clone(&seat.signs));
            drop(state);
            // Perhaps what is to be read lies in a batch that lingers past its time.
            self.broker.run_due();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(Records::default());
            }
            self.park(&logs, signs.as_deref(), deadline, hold);
        }
    }

    /// Does what comes before reading: auto-commit, if it is given the time, what the group asks
    /// for, finding out where to read.
    pub(super) fn prepare(
        &self,
        state: &mut MutexGuard<'_, State>,
        now: Option<Duration>,
    ) -> Result<()> {
        if matches!(state.wants, Wants::Nothing) {
            return Err(Error::new(
                ErrorKind::IllegalState,
                "the consumer is neither subscribed to topics nor assigned partitions",
            ));
        }
        if now.is_some()
            && let Err(error) = self.auto_commit(state, now)
            && !is_about_membership(&error)
        {
            return Err(error);
        }
        self.attend(state)?;
        self.follow_logs(state)?;
        state.resolve(&self.broker, &self.config)
    }

    fn seat(&self) -> Option<Seat> {
        self.state.lock().membership.seat.clone()
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

    /// Commits what auto-commit has to. The state is unlocked meanwhile: a commit may lead a sync,
    /// and the callbacks of producers that follow may call this consumer.
    pub(super) fn auto_commit(
        &self,
        state: &mut MutexGuard<'_, State>,
        now: Option<Duration>,
    ) -> Result<()> {
        let offsets = state.auto_commit_due(&self.broker, &self.config, now);
        if offsets.is_empty() {
            return Ok(());
        }
        let member = state.membership.member(self.config.instance_id.as_ref());
        let group = State::group(&self.config)?;
        self.aside(state, || self.broker.commit_offsets(group, member.as_ref(), &offsets))?;
        state.note_committed(&offsets);
        Ok(())
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

    /// Waits for more to read, a topic, a wake-up, the end of the broker, the end of what holds
    /// records back, or the deadline.
    fn park(
        &self,
        logs: &[Arc<Log>],
        signs: Option<&GroupSigns>,
        deadline: Option<Duration>,
        hold: Hold,
    ) {
        let waiter = Waiter::new();
        if let Some(signs) = signs {
            signs.changed.add(&waiter);
        }
        for log in logs {
            log.readers.add(&waiter);
        }
        self.broker.topics_changed.add(&waiter);
        self.wakeups.waiting.add(&waiter);
        let follow = self.broker.read_only.then(|| self.broker.deadline(FOLLOW_INTERVAL)).flatten();
        let held = match hold {
            Hold::Until(until) => Some(until),
            Hold::Free | Hold::Empty => None,
        };
        let until = [deadline, follow, held].into_iter().flatten().min();
        let nothing_new = {
            let state = self.state.lock();
            !state.is_ready(&self.config, hold)
                && state.has_seen_topics(&self.broker)
                && state.is_settled()
        };
        if nothing_new && !self.wakeups.is_pending() && self.broker.check_open().is_ok() {
            waiter.park(&self.broker.context.clock, until);
        }
        for log in logs {
            log.readers.remove(&waiter);
        }
        if let Some(signs) = signs {
            signs.changed.remove(&waiter);
        }
        self.broker.topics_changed.remove(&waiter);
        self.wakeups.waiting.remove(&waiter);
    }

    /// Commits the positions that polls have reached, whether or not the records were processed.
    /// Durable on return, and never before the records below them are.
    ///
    /// # Errors
    ///
    /// `INVALID_GROUP_ID` without a group; `REBALANCE_IN_PROGRESS` while the group changes: poll,
    /// then commit again; `UNKNOWN_MEMBER_ID` when the consumer is not in the group (it has not
    /// polled, or not in time), `FENCED_INSTANCE_ID` when another has taken its place;
    /// `UNKNOWN_TOPIC_OR_PARTITION`; `COORDINATOR_NOT_AVAILABLE`; what stops the offsets topic's
    /// storage. Nothing is committed then.
    pub fn commit(&self) -> Result<()> {
        let offsets = self.state.lock().to_commit();
        if offsets.is_empty() {
            return State::group(&self.config).map(|_| ());
        }
        self.commit_offsets(&offsets)
    }

    /// Commits these positions: for each partition the offset of the *next* record to read.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit); `OFFSET_METADATA_TOO_LARGE` over 4096 bytes; a negative offset.
    pub fn commit_offsets(&self, offsets: &Offsets) -> Result<()> {
        let group = State::group(&self.config)?;
        let member = self.committing_member(group)?;
        self.broker.commit_offsets(group, member.as_ref(), offsets)
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
    pub fn commit_record(&self, record: &RecordRef<'_>) -> Result<()> {
        let next = OffsetAndMetadata::new(record.offset() + 1);
        let mut offsets = Offsets::new();
        let tp = record.topic_partition().clone();
        offsets.set(tp, next.with_leader_epoch(record.leader_epoch()));
        self.commit_offsets(&offsets)
    }

    /// What the group has committed for a partition; `None` when nothing.
    ///
    /// # Errors
    ///
    /// `INVALID_GROUP_ID` without a group; `COORDINATOR_NOT_AVAILABLE`.
    pub fn committed(&self, tp: &TopicPartition) -> Result<Option<OffsetAndMetadata>> {
        self.broker.committed(State::group(&self.config)?, tp)
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
        let state = self.state.get_mut();
        if let (Some(seat), Some(group)) = (&state.membership.seat, &self.config.group_id) {
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
        if let Some(seat) = consumer.seat() {
            consumer.broker.poll_begins(&seat);
        }
        Self { consumer }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.consumer.seat() {
            self.consumer.broker.poll_ends(&seat);
        }
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Consumer(group {:?})", self.config.group_id)
    }
}
