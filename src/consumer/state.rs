//! What a consumer does inside a poll: its duties to the group, its positions, its reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::ThreadId;
use std::time::Duration;

use super::config::ConsumerConfig;
use super::identity::{Identity, Who};
use super::membership::{Membership, Phase};
use super::position::{Limits, Position};
use super::records::Records;
use super::reset::OffsetReset;
use crate::broker::Handle;
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::types::{OffsetAndMetadata, OffsetSpec, Offsets, TopicPartition};

/// Kafka's `retry.backoff.ms`: how long an auto-commit that failed is not tried again.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);

/// Which topics a consumer wants, by name.
pub(crate) type Predicate = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What the consumer asked for.
#[derive(Clone, Default)]
pub(crate) enum Wants {
    #[default]
    Nothing,
    /// Its group's share of these topics.
    Topics(Vec<Arc<str>>),
    /// Its group's share of the topics whose names the predicate takes.
    Matching(Predicate),
    /// Exactly these partitions.
    Partitions(Vec<TopicPartition>),
}

/// Whether records are held back for `fetch.min.bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// They are not.
    Free,
    /// There are none yet.
    Empty,
    /// Until more have come, or this moment.
    Until(Duration),
}

/// The state of a consumer, behind its lock.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) wants: Wants,
    /// The topics that the subscription means at present.
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) membership: Membership,
    /// Who that makes the consumer, for those that commit without this state's lock.
    pub(crate) identity: Arc<Identity>,
    /// How many polls go on, on as many threads.
    pub(crate) polls: usize,
    /// The thread that does something for the group with the state unlocked.
    pub(crate) busy: Option<ThreadId>,
    pub(crate) positions: Vec<Position>,
    /// The next poll begins with this one, so that every partition gets its turn.
    turn: usize,
    /// When records were first held back for `fetch.min.bytes`.
    held_since: Option<Duration>,
    /// What is read ahead has been held back long enough.
    answered: bool,
    /// The broker's topics when they were last looked at.
    pub(crate) seen_topics: Option<u64>,
    /// Why the group and the broker are asked for nothing until the moment that the error tells.
    pub(crate) resting: Option<Error>,
    next_auto_commit: Option<Duration>,
    /// What was committed last, so that an idle consumer commits nothing.
    committed: BTreeMap<TopicPartition, i64>,
}

impl State {
    /// The group's name, for what needs one.
    pub(crate) fn group(config: &ConsumerConfig) -> Result<&str> {
        match config.group_id.as_deref() {
            Some("") | None => Err(Error::kafka(
                ErrorCode::InvalidGroupId,
                "this needs a group: set group.id when the consumer is built",
            )),
            Some(group) => Ok(group),
        }
    }

    /// Whether no topic came or went since the last look.
    pub(crate) fn has_seen_topics(&self, broker: &Handle) -> bool {
        self.seen_topics == Some(broker.topics_version.load(Ordering::Acquire))
    }

    /// Tells those that commit beside this state who the consumer is now.
    pub(crate) fn show_identity(&self, config: &ConsumerConfig) {
        let membership = &self.membership;
        let member = membership.member(config.instance_id.as_ref());
        self.identity.set(match (&self.wants, &membership.fenced, member, membership.phase) {
            (Wants::Nothing | Wants::Partitions(_), _, None, _) => Who::Outsider,
            (_, Some(error), ..) => Who::Fenced(error.clone()),
            (_, None, None, _) => Who::Stranger,
            (_, None, Some(member), Phase::Joining) => Who::Joining(member),
            (_, None, Some(member), Phase::Out | Phase::In) => Who::Member(member),
        });
    }

    /// Whether the group wants nothing of the consumer, as far as is known.
    pub(crate) fn is_settled(&self) -> bool {
        match self.wants {
            Wants::Nothing | Wants::Partitions(_) => true,
            Wants::Topics(_) | Wants::Matching(_) => self.membership.is_settled(),
        }
    }

    /// Gives positions their logs, once these exist.
    pub(crate) fn follow_logs(&mut self, broker: &Handle) {
        for position in &mut self.positions {
            let log = broker.log(&position.tp).ok();
            let same = match (&position.log, &log) {
                (Some(old), Some(new)) => Arc::ptr_eq(old, new),
                (None, None) => true,
                _ => false,
            };
            if !same {
                // Made anew: the old position means nothing to it but what the policy says.
                let first = position.log.is_none();
                position.seek(position.offset.filter(|_| first));
                position.log = log;
                self.committed.remove(&position.tp);
            }
        }
    }

    /// Forgets partitions that are not this consumer's any more.
    pub(crate) fn remove_positions(&mut self, gone: &[TopicPartition]) {
        let gone: BTreeSet<&TopicPartition> = gone.iter().collect();
        self.positions.retain(|position| !gone.contains(&position.tp));
        self.committed.retain(|tp, _| !gone.contains(tp));
        self.turn = 0;
    }

    /// Forgets what was asked for before, but for the positions in partitions that stay assigned.
    pub(crate) fn reset(&mut self, wants: Wants) {
        let mut old = std::mem::take(&mut self.positions);
        if let Wants::Partitions(partitions) = &wants {
            for tp in partitions {
                let kept = old.iter().position(|position| position.tp == *tp);
                self.positions.push(match kept {
                    Some(index) => old.swap_remove(index),
                    None => Position::new(tp.clone(), None),
                });
            }
        }
        self.wants = wants;
        self.topics.clear();
        self.seen_topics = None;
        self.turn = 0;
        (self.held_since, self.answered) = (None, false);
        self.committed.clear();
    }

    /// Ends what rests are over.
    pub(crate) fn end_rests(&mut self, now: Duration) {
        let is_over = |error: &mut Error| error.again_at().is_none_or(|at| at <= now);
        self.resting.take_if(is_over);
        for position in &mut self.positions {
            position.resting.take_if(is_over);
        }
    }

    /// When the first rest is over.
    pub(crate) fn rest_end(&self) -> Option<Duration> {
        let positions = self.positions.iter().filter_map(|position| position.resting.as_ref());
        positions.chain(&self.resting).filter_map(Error::again_at).min()
    }

    /// Finds out where to read in every partition that does not know it yet.
    pub(crate) fn resolve(&mut self, broker: &Handle, config: &ConsumerConfig) -> Result<()> {
        for position in &mut self.positions {
            let Some(log) = position.log.clone() else { continue };
            if position.resting.is_some() {
                continue;
            }
            if let Some(offset) = position.offset
                && offset >= log.start_offset()
                && offset <= log.end_offset()
            {
                continue;
            }
            let committed = match (position.offset, config.group_id.as_deref()) {
                (None, Some(group)) if !group.is_empty() => {
                    match config.committed(broker, group, &position.tp) {
                        // It waits for the transaction to end (KIP-447).
                        Err(error) if is_unstable(&error) => continue,
                        Err(error) if error.again_at().is_some() => {
                            position.resting = Some(error);
                            continue;
                        }
                        committed => committed?.map(|committed| committed.offset()),
                    }
                }
                _ => None,
            };
            let in_range =
                |offset: &i64| *offset >= log.start_offset() && *offset <= log.end_offset();
            if let Some(offset) = committed.filter(in_range) {
                position.seek(Some(offset));
                continue;
            }
            let spec = match config.offset_reset {
                OffsetReset::Earliest => OffsetSpec::Earliest,
                OffsetReset::Latest => OffsetSpec::Latest,
                OffsetReset::ByDuration(age) => {
                    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                    let now = broker.context.clock.wall_millis();
                    OffsetSpec::Timestamp(now.saturating_sub(age))
                }
                OffsetReset::None => {
                    return Err(match position.offset.or(committed) {
                        Some(offset) => {
                            Error::offset_out_of_range(offset, log.start_offset(), log.end_offset())
                        }
                        None => Error::new(
                            ErrorKind::NoOffsetForPartition,
                            "there is no committed offset, and auto.offset.reset is none",
                        ),
                    }
                    .on(&position.tp));
                }
            };
            let found = match config.offset_for(&log, spec) {
                Err(_) if log.is_deleted() => continue,
                Err(error) if error.again_at().is_some() => {
                    position.resting = Some(error);
                    continue;
                }
                found => found?,
            };
            let end = || log.readable_end(config.isolation);
            position.seek(Some(found.map_or_else(end, |found| found.offset)));
        }
        Ok(())
    }

    /// Whether a position waits for a transaction that is about to move the group's commit.
    pub(crate) fn is_unstable(&self) -> bool {
        self.positions.iter().any(Position::is_unstable)
    }

    /// Whether the transaction that one of those waits for has ended.
    pub(crate) fn has_become_stable(&self, broker: &Handle, config: &ConsumerConfig) -> bool {
        let Some(group) = config.group_id.as_deref() else { return false };
        let waiting = self.positions.iter().filter(|position| position.is_unstable());
        waiting
            .map(|position| broker.committed(group, &position.tp))
            .any(|committed| !committed.is_err_and(|error| is_unstable(&error)))
    }

    /// The positions that are not paused.
    fn active(&mut self) -> impl Iterator<Item = &mut Position> {
        self.positions.iter_mut().filter(|position| !position.paused)
    }

    /// Holds back what there is while `fetch.min.bytes` wants more.
    pub(crate) fn hold(&mut self, config: &ConsumerConfig, now: Duration) -> Hold {
        let wanted = config.fetch_min_bytes.min(config.fetch_max_bytes);
        let has_ahead = self.active().any(|position| position.has_ahead());
        self.answered = self.answered && has_ahead;
        if wanted <= 1 || self.answered {
            return Hold::Free;
        }
        let mut bytes = 0;
        for position in self.active() {
            match position.gather(config) {
                Ok(Some(size)) => bytes += size,
                Err(error) if error.again_at().is_some() => position.resting = Some(error),
                // No more will come.
                Ok(None) | Err(_) => return Hold::Free,
            }
        }
        if bytes == 0 {
            self.held_since = None;
            return Hold::Empty;
        }
        let until = self.held_since.get_or_insert(now).saturating_add(config.fetch_max_wait);
        if bytes >= wanted || now >= until { Hold::Free } else { Hold::Until(until) }
    }

    /// Reads up to `max` records, beginning with the partition after the one that gave the last
    /// ones.
    pub(crate) fn fetch(&mut self, config: &ConsumerConfig, max: usize) -> Result<Records> {
        let mut records = Records::default();
        let mut bytes = 0;
        let count = self.positions.len();
        let first = self.turn.checked_rem(count).unwrap_or(0);
        for index in (first..count).chain(0..first) {
            let Some(position) = self.positions.get_mut(index) else { continue };
            if position.paused {
                continue;
            }
            let before = records.len();
            let room = config.fetch_max_bytes.saturating_sub(bytes);
            if before == max || (before > 0 && room == 0) {
                break;
            }
            let limits = Limits {
                records: max - before,
                bytes: config.max_partition_fetch_bytes.min(room),
                at_least_one: before == 0,
                until: i64::MAX,
            };
            match position.fetch(config, limits, &mut records) {
                Ok(read) => bytes += read,
                Err(error) if error.again_at().is_some() => position.resting = Some(error),
                // What others gave is handed out first; the error comes again.
                Err(_) if before > 0 => break,
                Err(error) => {
                    // The others get their turn before it comes again.
                    self.turn = index + 1;
                    return Err(error);
                }
            }
            if records.len() > before {
                self.turn = index + 1;
            } else if before > 0 && position.is_ready(config) {
                // Its first batch is too large for what room there is: it comes first next time.
                self.turn = index;
                break;
            }
        }
        if !records.is_empty() {
            (self.held_since, self.answered) = (None, true);
        }
        Ok(records)
    }

    /// Reads everything up to where the partitions end now. After an error the positions are where
    /// they were.
    pub(crate) fn read_to_end(&mut self, config: &ConsumerConfig) -> Result<Records> {
        let mut records = Records::default();
        let begun: Vec<Option<i64>> = self.positions.iter().map(|p| p.offset).collect();
        let end =
            |position: &Position| position.log.as_ref().map(|l| l.readable_end(config.isolation));
        let ends: Vec<Option<i64>> = self.positions.iter().map(end).collect();
        let read = || -> Result<()> {
            for (position, end) in self.positions.iter_mut().zip(ends) {
                let Some(until) = end.filter(|_| !position.paused) else { continue };
                let (records_limit, bytes) = (usize::MAX, config.max_partition_fetch_bytes);
                let limits = Limits { records: records_limit, bytes, at_least_one: true, until };
                while let Some(at) = position.offset.filter(|at| *at < until) {
                    position.fetch(config, limits, &mut records)?;
                    if position.offset == Some(at) {
                        break;
                    }
                }
            }
            Ok(())
        };
        if let Err(error) = read() {
            for (position, offset) in self.positions.iter_mut().zip(begun) {
                position.seek(offset);
            }
            return Err(error);
        }
        (self.held_since, self.answered) = (None, false);
        Ok(records)
    }

    /// Whether a fetch would bring something, or fail, without waiting; when records are held back,
    /// whether more has come.
    pub(crate) fn is_ready(&self, config: &ConsumerConfig, hold: Hold) -> bool {
        self.positions.iter().filter(|position| !position.paused).any(|position| match hold {
            Hold::Free => position.is_ready(config),
            Hold::Empty | Hold::Until(_) => position.has_more(config),
        })
    }

    /// The positions, as a commit takes them. One in a topic that was deleted means nothing to
    /// another of its name.
    pub(crate) fn to_commit(&self, broker: &Handle) -> Offsets {
        let is_current = |position: &&Position| {
            let log = broker.log(&position.tp).ok();
            log.is_some_and(|log| position.log.as_ref().is_some_and(|l| Arc::ptr_eq(l, &log)))
        };
        let positions = self.positions.iter().filter(is_current);
        positions.filter_map(|p| Some((p.tp.clone(), p.to_commit()?))).collect()
    }

    /// The positions, and who has them: a rebalance must not come between the two.
    pub(crate) fn positions_to_commit(&self, broker: &Handle) -> (Who, Offsets) {
        (self.identity.get(), self.to_commit(broker))
    }

    /// What auto-commit has to commit now: the positions that earlier polls reached and that were
    /// not committed yet. With `now` only when it is time.
    pub(crate) fn auto_commit_due(
        &mut self,
        broker: &Handle,
        config: &ConsumerConfig,
        now: Option<Duration>,
    ) -> Offsets {
        let has_group = config.group_id.as_deref().is_some_and(|group| !group.is_empty());
        if !config.auto_commit || !has_group || broker.read_only {
            return Offsets::new();
        }
        if self.membership.phase == Phase::Joining {
            // Not while the group changes; what moves was committed before.
            return Offsets::new();
        }
        if let Some(now) = now {
            let due = *self.next_auto_commit.get_or_insert(now + config.auto_commit_interval);
            if now < due {
                return Offsets::new();
            }
            self.next_auto_commit = Some(now + config.auto_commit_interval);
        }
        let offsets = self.to_commit(broker);
        let new = |(tp, position): &(&TopicPartition, &OffsetAndMetadata)| {
            self.committed.get(tp) != Some(&position.offset())
        };
        offsets.iter().filter(new).map(|(tp, p)| (tp.clone(), p.clone())).collect()
    }

    /// An auto-commit failed: the next one is not at once, whatever the interval is.
    pub(crate) fn delay_auto_commit(&mut self, failed_at: Duration, tries_again: bool) {
        let soonest = failed_at.saturating_add(RETRY_BACKOFF);
        let next = |at: Duration| if tries_again { soonest } else { at.max(soonest) };
        self.next_auto_commit = self.next_auto_commit.map(next);
    }

    /// When auto-commit has something to do next, as far as that is known.
    pub(crate) fn next_auto_commit(&self, config: &ConsumerConfig) -> Option<Duration> {
        let new = |position: &Position| {
            position.offset.is_some()
                && self.committed.get(&position.tp) != position.offset.as_ref()
        };
        let is_idle = !config.auto_commit || self.membership.phase == Phase::Joining;
        let has_new = !is_idle && self.positions.iter().any(new);
        self.next_auto_commit.filter(|_| has_new)
    }

    /// Takes note of what was committed.
    pub(crate) fn note_committed(&mut self, offsets: &Offsets) {
        for (tp, position) in offsets.iter() {
            self.committed.insert(tp.clone(), position.offset());
        }
    }

    /// An auto-commit failed: all of it is committed again.
    pub(crate) fn forget_committed(&mut self) {
        self.committed.clear();
    }

    pub(crate) fn position_mut(&mut self, tp: &TopicPartition) -> Result<&mut Position> {
        self.positions.iter_mut().find(|position| position.tp == *tp).ok_or_else(|| {
            Error::new(ErrorKind::IllegalState, format!("{tp} is not assigned to this consumer"))
        })
    }
}

fn is_unstable(error: &Error) -> bool {
    error.code() == Some(ErrorCode::UnstableOffsetCommit)
}
