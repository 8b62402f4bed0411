//! Where a consumer stands in its partitions, where it can go, and where it rests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::handle::Consumer;
use super::position::Position;
use super::state::{State, Wants};
use crate::error::{Error, ErrorCode, Result};
use crate::faults::persist;
use crate::log::Log;
use crate::types::{OffsetAndTimestamp, OffsetSpec, TopicPartition};
use crate::wait::QuietGuard;

fn collected<T: Into<TopicPartition>>(
    partitions: impl IntoIterator<Item = T>,
) -> Vec<TopicPartition> {
    partitions.into_iter().map(Into::into).collect()
}

impl Consumer {
    /// The offset of the next record that `poll` returns from a partition: where reading stands,
    /// else the committed offset, else what `auto.offset.reset` says.
    ///
    /// # Errors
    ///
    /// `IllegalState` when the partition is not assigned; as [`poll`](Self::poll) where the
    /// position has to be found out.
    pub fn position(&self, tp: &TopicPartition) -> Result<i64> {
        persist(&self.broker.context.clock, || self.position_once(tp))
    }

    fn position_once(&self, tp: &TopicPartition) -> Result<i64> {
        let mut state = self.state.lock();
        self.see_topics(&mut state)?;
        if state.position_mut(tp)?.offset.is_none() {
            state.end_rests(self.broker.context.clock.monotonic());
            state.resolve(&self.broker, &self.config)?;
        }
        let position = state.position_mut(tp)?;
        if let (None, Some(error)) = (position.offset, &position.resting) {
            return Err(error.clone());
        }
        let offset = position.offset;
        if let (None, Some(group)) = (offset, self.config.group_id.as_deref()) {
            // A transaction is about to move it.
            self.broker.committed(group, tp)?;
        }
        offset.ok_or_else(|| Error::unknown_topic(tp.topic()).on(tp))
    }

    /// Goes on at another place at the next `poll`: an offset, or a place given by meaning, which
    /// is looked up now; a time after the last record means the end. Records read ahead are
    /// dropped. An offset out of range is found out by that poll.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::{Broker, OffsetSpec, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let records = (0..10).map(|n| ProducerRecord::to("t").timestamp(1000 + n).value("x"));
    /// broker.producer().build()?.send_batch(records).wait()?;
    /// let consumer = broker.consumer().build()?;
    /// consumer.assign([("t", 0)])?;
    /// consumer.seek(("t", 0), 7)?;
    /// assert_eq!(consumer.poll(Duration::ZERO)?.len(), 3);
    /// consumer.seek(("t", 0), OffsetSpec::Timestamp(1004))?;
    /// assert_eq!(consumer.position(&("t", 0).into())?, 4);
    /// consumer.seek_to_beginning([("t", 0)])?;
    /// assert_eq!(consumer.poll(Duration::ZERO)?.len(), 10);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IllegalState` when the partition is not assigned; a negative offset; what keeps the log
    /// from being read. Nothing has changed then.
    pub fn seek(&self, tp: impl Into<TopicPartition>, to: impl Into<OffsetSpec>) -> Result<()> {
        self.seek_each(Some(vec![tp.into()]), to.into())
    }

    /// Goes to the log start of these partitions, as [`seek`](Self::seek) does.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek), for any of them; then none has moved.
    pub fn seek_to_beginning<T: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        self.seek_each(Some(collected(partitions)), OffsetSpec::Earliest)
    }

    /// Goes to the end of these partitions (the last stable offset with `read_committed`), as
    /// [`seek`](Self::seek) does.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek), for any of them; then none has moved.
    pub fn seek_to_end<T: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        self.seek_each(Some(collected(partitions)), OffsetSpec::Latest)
    }

    /// Goes to a place in every assigned partition, as [`seek`](Self::seek) does.
    ///
    /// ```
    /// use logreel::{Broker, OffsetSpec};
    /// let broker = Broker::in_memory();
    /// let log = broker.create_topic("events")?.partition(0)?;
    /// log.append([(None, Some("a")), (None, Some("b")), (None, Some("c"))])?;
    /// let consumer = broker.consumer().build()?;
    /// consumer.assign([("events", 0)])?;
    /// consumer.seek_all(OffsetSpec::Earliest)?;
    /// assert_eq!(consumer.read_to_end()?.len(), 3);
    /// consumer.seek_to_beginning([("events", 0)])?;
    /// consumer.seek_to_end([("events", 0)])?;
    /// assert_eq!(consumer.position(&("events", 0).into())?, 3);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek), for any of them; then none has moved.
    pub fn seek_all(&self, to: impl Into<OffsetSpec>) -> Result<()> {
        self.seek_each(None, to.into())
    }

    fn seek_each(&self, targets: Option<Vec<TopicPartition>>, spec: OffsetSpec) -> Result<()> {
        let clock = &self.broker.context.clock;
        persist(clock, || self.seek_each_once(targets.as_deref(), spec))
    }

    fn seek_each_once(&self, targets: Option<&[TopicPartition]>, spec: OffsetSpec) -> Result<()> {
        let mut state = self.state.lock();
        self.see_topics(&mut state)?;
        let targets = match targets {
            Some(targets) => targets.to_vec(),
            None => state.positions.iter().map(|p| p.tp.clone()).collect(),
        };
        let find = |tp| self.find(state.position_mut(tp)?, spec);
        let found: Vec<i64> = targets.iter().map(find).collect::<Result<_>>()?;
        for (tp, offset) in targets.iter().zip(found) {
            state.position_mut(tp)?.seek(Some(offset));
        }
        drop(state);
        self.wakeups.waiting.wake_all();
        Ok(())
    }

    fn find(&self, position: &Position, spec: OffsetSpec) -> Result<i64> {
        let tp = &position.tp;
        match spec {
            OffsetSpec::At(offset) if offset < 0 => {
                let message = format!("offset {offset} is negative");
                Err(Error::kafka(ErrorCode::InvalidRequest, message).on(tp))
            }
            OffsetSpec::At(offset) => Ok(offset),
            spec => {
                let log = position.log.as_ref();
                let log = log.ok_or_else(|| Error::unknown_topic(tp.topic()).on(tp))?;
                let found = self.config.offset_for(log, spec)?;
                let end = || log.readable_end(self.config.isolation);
                Ok(found.map_or_else(end, |found| found.offset))
            }
        }
    }

    /// Rests these partitions: polls return nothing from them until they are resumed, and go on
    /// where they were. They stay assigned.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::{Broker, OffsetReset, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// broker.producer().build()?.send(ProducerRecord::to("t").value("x")).wait()?;
    /// let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build()?;
    /// consumer.assign([("t", 0)])?;
    /// consumer.pause([("t", 0)])?;
    /// assert!(consumer.poll(Duration::ZERO)?.is_empty());
    /// consumer.resume([("t", 0)])?;
    /// assert_eq!(consumer.poll(Duration::ZERO)?.len(), 1);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `IllegalState` when one of them is not assigned; then nothing has changed.
    pub fn pause<T: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        self.set_paused(&collected(partitions), true)
    }

    /// Ends the rest of these partitions; a poll that waits on another thread looks at them.
    ///
    /// # Errors
    ///
    /// `IllegalState` when one of them is not assigned; then nothing has changed.
    pub fn resume<T: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        self.set_paused(&collected(partitions), false)
    }

    fn set_paused(&self, partitions: &[TopicPartition], paused: bool) -> Result<()> {
        let mut state = self.state.lock();
        for tp in partitions {
            state.position_mut(tp)?;
        }
        for tp in partitions {
            state.position_mut(tp)?.paused = paused;
        }
        drop(state);
        self.wakeups.waiting.wake_all();
        Ok(())
    }

    /// The partitions that rest.
    #[must_use]
    pub fn paused(&self) -> Vec<TopicPartition> {
        let state = self.state.lock();
        state.positions.iter().filter(|p| p.paused).map(|p| p.tp.clone()).collect()
    }

    /// Takes in topics that came or went. Those of a group wait for the next poll.
    fn see_topics(&self, state: &mut QuietGuard<'_, State>) -> Result<()> {
        if matches!(state.wants, Wants::Partitions(_)) {
            self.follow_topics(state)?;
        }
        Ok(())
    }

    fn log(&self, tp: &TopicPartition) -> Result<Arc<Log>> {
        let log = self.broker.log(tp)?;
        if self.broker.read_only {
            log.refresh()?;
        }
        Ok(log)
    }

    /// Where reading ends now: the high watermark, or the last stable offset with
    /// `read_committed`. The partition need not be assigned.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    pub fn end_offset(&self, tp: &TopicPartition) -> Result<i64> {
        Ok(self.log(tp)?.readable_end(self.config.isolation))
    }

    /// The [end](Self::end_offset) of each of these partitions.
    ///
    /// ```
    /// use logreel::Broker;
    /// let broker = Broker::in_memory();
    /// let log = broker.create_topic("events")?.partition(0)?;
    /// log.append([(None, Some("a")), (None, Some("b"))])?;
    /// log.delete_records(1)?;
    /// let consumer = broker.consumer().build()?;
    /// let events = ("events", 0).into();
    /// assert_eq!(consumer.end_offset(&events)?, 2);
    /// assert_eq!(consumer.end_offsets([&events])?[&events], 2);
    /// assert_eq!(consumer.beginning_offsets([&events])?[&events], 1);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    pub fn end_offsets<T: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = T>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let end = |tp| Ok((self.end_offset(&tp)?, tp));
        collected(partitions).into_iter().map(end).map(swap).collect()
    }

    /// The log start offset of each of these partitions, which need not be assigned.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    pub fn beginning_offsets<T: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = T>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let start = |tp| Ok((self.log(&tp)?.start_offset(), tp));
        collected(partitions).into_iter().map(start).map(swap).collect()
    }

    /// For each partition the first record, in the order of offsets, whose timestamp is at least
    /// the one given, in milliseconds since 1970; `None` where there is none. The partitions need
    /// not be assigned. With `read_committed` records past the last stable offset do not count.
    /// Costs a search in the time index and a walk over part of a segment.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let records = (0..10).map(|n| ProducerRecord::to("t").timestamp(1000 + n).value("x"));
    /// broker.producer().build()?.send_batch(records).wait()?;
    /// let consumer = broker.consumer().build()?;
    /// let found = consumer.offsets_for_times([(("t", 0), 1004)])?;
    /// assert_eq!(found.get(&("t", 0).into()).and_then(|f| f.map(|f| f.offset)), Some(4));
    /// let found = consumer.offsets_for_times([(("t", 0), 2000)])?;
    /// assert_eq!(found.get(&("t", 0).into()), Some(&None));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `UNKNOWN_TOPIC_OR_PARTITION`; a negative timestamp; what keeps the log from being read.
    pub fn offsets_for_times<T: Into<TopicPartition>>(
        &self,
        times: impl IntoIterator<Item = (T, i64)>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        let find = |(tp, timestamp): (T, i64)| {
            let tp = tp.into();
            if timestamp < 0 {
                let message = format!("timestamp {timestamp} is negative");
                return Err(Error::kafka(ErrorCode::InvalidRequest, message).on(&tp));
            }
            let spec = OffsetSpec::Timestamp(timestamp);
            let log = self.log(&tp)?;
            let clock = &self.broker.context.clock;
            let found = persist(clock, || self.config.offset_for(&log, spec))?;
            Ok((tp, found))
        };
        times.into_iter().map(find).collect()
    }

    /// For each assigned partition how far the group's commit lies behind the
    /// [end](Self::end_offset); `None` without a commit, or where the topic does not exist yet. A
    /// member has partitions from the poll on that gave them to it;
    /// [`ConsumerGroup::lag`](crate::ConsumerGroup::lag) needs none.
    ///
    /// # Errors
    ///
    /// `INVALID_GROUP_ID` without a group; `COORDINATOR_NOT_AVAILABLE`.
    pub fn lag(&self) -> Result<BTreeMap<TopicPartition, Option<u64>>> {
        State::group(&self.config)?;
        let mut state = self.state.lock();
        self.see_topics(&mut state)?;
        let assigned: Vec<_> =
            state.positions.iter().map(|p| (p.tp.clone(), p.log.clone())).collect();
        drop(state);
        let mut lags = BTreeMap::new();
        for (tp, log) in assigned {
            let committed = self.committed(&tp)?;
            let lag = match (log, committed) {
                (Some(log), Some(committed)) => {
                    if self.broker.read_only {
                        log.refresh()?;
                    }
                    let end = log.readable_end(self.config.isolation);
                    // A commit may lie past the end.
                    Some(u64::try_from(end.saturating_sub(committed.offset())).unwrap_or(0))
                }
                _ => None,
            };
            lags.insert(tp, lag);
        }
        Ok(lags)
    }
}

fn swap(found: Result<(i64, TopicPartition)>) -> Result<(TopicPartition, i64)> {
    found.map(|(offset, tp)| (tp, offset))
}
