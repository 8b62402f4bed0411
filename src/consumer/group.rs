//! Joining a group and leaving it.

use std::sync::Arc;
use std::thread;

use super::handle::Consumer;
use super::listener::{RebalanceListener, Rebalancing};
use super::state::{State, Wants};
use crate::coordinator::GroupMetadata;
use crate::error::{Error, ErrorKind, Result};
use crate::log::read_only_error;
use crate::types::{OffsetAndMetadata, OffsetSpec, Offsets, TopicPartition};
use crate::wait::{QuietGuard, Waiter};

impl Consumer {
    /// Subscribes to topics: the group shares out their partitions among its members, beginning
    /// with the next [`poll`](Self::poll). Topics that do not exist are made then if both sides
    /// allow it, else taken in when they appear. Another subscription takes the place of the
    /// present one at the next poll; the same one again begins no rebalance, and no topics at all
    /// means to [`unsubscribe`](Self::unsubscribe). An earlier listener is dropped.
    ///
    /// # Errors
    ///
    /// `INVALID_GROUP_ID` without a group; `IllegalState` while partitions are assigned by hand, or
    /// inside a listener; `INVALID_TOPIC_EXCEPTION`; `ReadOnly` on a read-only broker.
    pub fn subscribe<S: AsRef<str>>(&self, topics: impl IntoIterator<Item = S>) -> Result<()> {
        self.set_subscription(named(topics)?, None)
    }

    /// [Subscribes](Self::subscribe), and has a listener told when partitions come and go. It takes
    /// the place of an earlier one.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_with<S: AsRef<str>>(
        &self,
        topics: impl IntoIterator<Item = S>,
        listener: impl RebalanceListener + 'static,
    ) -> Result<()> {
        self.set_subscription(named(topics)?, Some(Box::new(listener)))
    }

    /// Subscribes to all topics whose names a predicate takes, those that are made later included
    /// (Kafka: a pattern). It is asked again whenever topics come or go, inside this consumer's
    /// calls, with no lock held. It makes no topics and is not asked about the coordinators' own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::Broker;
    /// let broker = Broker::in_memory();
    /// let consumer = broker.consumer().group_id("audit").build()?;
    /// consumer.subscribe_matching(|topic| topic.starts_with("orders."))?;
    /// consumer.poll(Duration::ZERO)?;
    /// assert!(consumer.assignment().is_empty());
    /// broker.create_topic("orders.eu")?;
    /// broker.create_topic("bills")?;
    /// consumer.poll(Duration::ZERO)?;
    /// assert_eq!(consumer.assignment(), [("orders.eu", 0).into()]);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_matching(
        &self,
        predicate: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<()> {
        self.set_subscription(Wants::Matching(Arc::new(predicate)), None)
    }

    /// [Subscribes by predicate](Self::subscribe_matching) with a listener.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::Broker;
    /// use logreel::consumer::RebalanceListener;
    /// struct Quiet;
    /// impl RebalanceListener for Quiet {}
    /// let broker = Broker::in_memory();
    /// broker.create_topic("orders.eu")?;
    /// let consumer = broker.consumer().group_id("billing").build()?;
    /// consumer.subscribe_matching_with(|topic| topic.starts_with("orders."), Quiet)?;
    /// consumer.poll(Duration::ZERO)?;
    /// assert_eq!(consumer.assignment(), [("orders.eu", 0).into()]);
    /// consumer.unsubscribe()?;
    /// assert!(consumer.assignment().is_empty());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_matching_with(
        &self,
        predicate: impl Fn(&str) -> bool + Send + Sync + 'static,
        listener: impl RebalanceListener + 'static,
    ) -> Result<()> {
        self.set_subscription(Wants::Matching(Arc::new(predicate)), Some(Box::new(listener)))
    }

    fn set_subscription(
        &self,
        wants: Wants,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<()> {
        State::group(&self.config)?;
        self.broker.check_open()?;
        if self.broker.read_only {
            return Err(read_only_error("joining a group"));
        }
        if matches!(&wants, Wants::Topics(topics) if topics.is_empty()) {
            return self.unsubscribe();
        }
        let mut state = self.enter()?;
        if matches!(state.wants, Wants::Partitions(_)) {
            return Err(Error::new(
                ErrorKind::IllegalState,
                "partitions are assigned by hand; unsubscribe first",
            ));
        }
        // The topics are looked at anew; if they are the same, nothing happens.
        state.seen_topics = None;
        let old = (
            std::mem::replace(&mut state.wants, wants),
            std::mem::replace(&mut state.membership.listener, listener),
        );
        state.show_identity(&self.config);
        drop(state);
        self.wakeups.waiting.wake_all();
        // Dropping them may run anything.
        drop(old);
        Ok(())
    }

    /// Gives back everything: leaves the group (after an auto-commit, if that is on, and after
    /// `on_revoked`), or forgets the assigned partitions. A member with a `group.instance.id` stays
    /// in the group until its session ends.
    ///
    /// # Errors
    ///
    /// Those of a commit, but for [those that a rebalance explains](crate::Error::is_rebalance),
    /// and of a listener. The consumer has left all the same.
    pub fn unsubscribe(&self) -> Result<()> {
        let mut state = self.enter()?;
        let departed = self.depart(&mut state);
        let old = (std::mem::take(&mut state.wants), state.membership.listener.take());
        state.reset(Wants::Nothing);
        state.membership.fenced = None;
        state.show_identity(&self.config);
        drop(state);
        drop(old);
        self.wakeups.waiting.wake_all();
        departed
    }

    /// Finishes the commits that were asked for, commits if auto-commit is on, leaves the group, as
    /// [`unsubscribe`](Self::unsubscribe) does, and runs the callbacks of commits.
    ///
    /// # Errors
    ///
    /// As [`unsubscribe`](Self::unsubscribe). The consumer has left all the same.
    pub fn close(self) -> Result<()> {
        let outcome = self.unsubscribe();
        self.commits.end();
        // What another thread is still making.
        self.commits.finish_earlier();
        self.commits.report();
        self.commits.leave(false);
        outcome
    }

    /// The topics subscribed to; with a predicate those it took when it was last asked.
    #[must_use]
    pub fn subscription(&self) -> Vec<Arc<str>> {
        let state = self.state.lock();
        match &state.wants {
            Wants::Topics(topics) => topics.clone(),
            Wants::Matching(_) => state.topics.clone(),
            Wants::Nothing | Wants::Partitions(_) => Vec::new(),
        }
    }

    /// The group, and which member of it in which generation the consumer is; `None` before it has
    /// joined. Every completed rebalance raises the generation by one.
    ///
    /// ```
    /// use std::time::Duration;
    /// let broker = logreel::Broker::in_memory();
    /// let consumer = broker.consumer().group_id("g").build()?;
    /// consumer.subscribe(["t"])?;
    /// assert!(consumer.group_metadata().is_none());
    /// consumer.poll(Duration::ZERO)?;
    /// assert_eq!(consumer.group_metadata().and_then(|group| group.generation()), Some(1));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        let group_id = self.config.group_id.clone()?;
        let member = self.state.lock().membership.member(self.config.instance_id.as_ref())?;
        Some(GroupMetadata { group_id, member: Some(member) })
    }

    /// The state, when no other thread does something for the group. Blocks while one does. Fails
    /// inside a listener.
    pub(super) fn enter(&self) -> Result<QuietGuard<'_, State>> {
        loop {
            if let Some(state) = self.try_enter()? {
                return Ok(state);
            }
            if self.commits.runs_here() {
                // The other thread may wait for this very commit.
                return Err(Error::new(
                    ErrorKind::IllegalState,
                    "this callback runs inside a commit of the consumer that it calls",
                ));
            }
            let waiter = Waiter::new();
            self.wakeups.waiting.add(&waiter);
            if self.state.lock().busy.is_some() {
                waiter.park(&self.broker.context.clock, None);
            }
            self.wakeups.waiting.remove(&waiter);
        }
    }

    /// The same; `None` while another thread does something for the group.
    pub(super) fn try_enter(&self) -> Result<Option<QuietGuard<'_, State>>> {
        let state = self.state.lock();
        match state.busy {
            None => Ok(Some(state)),
            Some(thread) if thread == thread::current().id() => Err(Error::new(
                ErrorKind::IllegalState,
                "the consumer was called from inside one of its own calls: a listener goes \
                 through its context",
            )),
            Some(_) => Ok(None),
        }
    }
}

fn named<S: AsRef<str>>(topics: impl IntoIterator<Item = S>) -> Result<Wants> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for topic in topics {
        crate::log::names::check_topic_name(topic.as_ref())?;
        names.push(Arc::from(topic.as_ref()));
    }
    names.sort();
    names.dedup();
    Ok(Wants::Topics(names))
}

impl Rebalancing for Consumer {
    fn commit(&self) -> Result<()> {
        Consumer::commit(self)
    }

    fn commit_offsets(&self, offsets: &Offsets) -> Result<()> {
        Consumer::commit_offsets(self, offsets)
    }

    fn committed(&self, tp: &TopicPartition) -> Result<Option<OffsetAndMetadata>> {
        Consumer::committed(self, tp)
    }

    fn position(&self, tp: &TopicPartition) -> Result<i64> {
        Consumer::position(self, tp)
    }

    fn seek(&self, tp: TopicPartition, to: OffsetSpec) -> Result<()> {
        Consumer::seek(self, tp, to)
    }

    fn pause(&self, tp: TopicPartition) -> Result<()> {
        Consumer::pause(self, [tp])
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        Consumer::assignment(self)
    }

    fn group_metadata(&self) -> Option<GroupMetadata> {
        Consumer::group_metadata(self)
    }
}
