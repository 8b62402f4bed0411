//! What a consumer does for its group inside its calls: join, decide if it leads, give back, take.
//!
//! One step follows the other until the group waits for somebody else. Whatever takes long or is a
//! user's code runs with the state unlocked and marked as busy, so that other threads' calls wait.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use super::assignors::Known;
use super::handle::Consumer;
use super::leader::{decide, panicked};
use super::listener::{ListenerResult, RebalanceContext, RebalanceListener};
use super::membership::{Phase, is_about_membership};
use super::position::Position;
use super::state::{State, Wants};
use crate::coordinator::assignor::RebalanceProtocol;
use crate::coordinator::{JoinRequest, Lead, MemberMetadata, Standing};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::faults::OpKind;
use crate::types::TopicPartition;
use crate::wait::{QuietGuard, discard};

type Locked<'a> = QuietGuard<'a, State>;

/// What a listener is told.
#[derive(Clone, Copy)]
pub(super) enum News {
    Assigned,
    Revoked,
    Lost,
}

impl Consumer {
    /// Does everything that the group asks for now and that does not wait for others.
    pub(super) fn attend(&self, state: &mut Locked<'_>) -> Result<()> {
        if let Some(error) = &state.membership.fenced {
            return Err(error.clone());
        }
        let attended = self.take_steps(state);
        if !matches!(attended, Ok(false)) {
            state.show_identity(&self.config);
        }
        attended?;
        match state.membership.failed.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Answers whether there was anything to do.
    fn take_steps(&self, state: &mut Locked<'_>) -> Result<bool> {
        let mut moved = false;
        while self.step(state)? {
            moved = true;
        }
        Ok(moved)
    }

    /// Answers whether there is more to do.
    fn step(&self, state: &mut Locked<'_>) -> Result<bool> {
        self.follow_topics(state)?;
        if !matches!(state.wants, Wants::Topics(_) | Wants::Matching(_)) {
            return Ok(false);
        }
        if state.membership.phase != Phase::Out
            && (state.topics != state.membership.joined || self.sees_old_decision(state))
        {
            if let Some(error) = self.expelled(state)? {
                return self.left_out(state, error);
            }
            self.give_back(state);
        }
        match state.membership.phase {
            Phase::Out => self.join(state),
            Phase::Joining | Phase::In if state.membership.is_settled() => Ok(false),
            Phase::Joining | Phase::In => self.see_standing(state),
        }
    }

    /// Why the group does not have the consumer any more, if so: it has nothing to give back then.
    fn expelled(&self, state: &State) -> Result<Option<Error>> {
        let group = State::group(&self.config)?;
        let member = state.membership.member(self.config.instance_id.as_ref());
        Ok(member.and_then(|member| self.broker.check_member(group, &member).err()))
    }

    /// Takes in topics that came or went.
    pub(super) fn follow_topics(&self, state: &mut Locked<'_>) -> Result<()> {
        if self.broker.read_only {
            self.broker.refresh_topics()?;
        }
        // Making a topic raises the version: look once more then.
        while !state.has_seen_topics(&self.broker) {
            state.seen_topics = Some(self.broker.topics_version.load(Ordering::Acquire));
            let found = self.find_topics(state);
            if found.is_err() {
                state.seen_topics = None;
            }
            found?;
            state.follow_logs(&self.broker);
        }
        Ok(())
    }

    fn find_topics(&self, state: &mut Locked<'_>) -> Result<()> {
        match state.wants.clone() {
            Wants::Nothing => {}
            Wants::Partitions(partitions) => {
                let mut names: Vec<&str> = partitions.iter().map(TopicPartition::topic).collect();
                names.dedup();
                names.into_iter().try_for_each(|name| self.create_missing(name))?;
            }
            Wants::Topics(names) => {
                names.iter().try_for_each(|name| self.create_missing(name))?;
                state.topics = names;
            }
            Wants::Matching(matches) => {
                let names: Vec<Arc<str>> = self.broker.topics.read().keys().cloned().collect();
                let mut visible = names;
                visible.retain(|name| !crate::log::names::is_internal(name));
                let chosen = self.aside(state, || {
                    let choose = || {
                        visible.retain(|name| matches(name));
                        visible
                    };
                    catch_unwind(AssertUnwindSafe(choose)).map_err(discard)
                });
                state.topics = chosen.map_err(|()| panicked("the predicate of a subscription"))?;
            }
        }
        Ok(())
    }

    fn create_missing(&self, name: &str) -> Result<()> {
        let may_create = self.config.allow_auto_create
            && self.broker.config.auto_create_topics
            && !self.broker.read_only;
        if may_create && self.broker.topic(name).is_none() {
            self.broker.topic_or_create(name)?;
        }
        Ok(())
    }

    /// Whether the topics have other partitions than when this consumer, as the leader, decided.
    fn sees_old_decision(&self, state: &mut State) -> bool {
        if state.membership.counted == state.seen_topics {
            return false;
        }
        state.membership.counted = state.seen_topics;
        let is_old = |(name, count): (&String, &i32)| self.partitions(name) != *count;
        state.membership.counts.as_ref().is_some_and(|counts| counts.iter().any(is_old))
    }

    fn partitions(&self, topic: &str) -> i32 {
        let count = self.broker.topic(topic).map_or(0, |topic| topic.logs().len());
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    /// Before it joins again a consumer gives back what it cannot keep: everything, or with
    /// cooperative assignors what it does not want any more.
    fn give_back(&self, state: &mut Locked<'_>) {
        state.membership.phase = Phase::Out;
        state.membership.counts = None;
        self.auto_commit_before_loss(state);
        let goes = |position: &Position, state: &State| {
            !self.config.assignors.are_cooperative()
                || !state.topics.iter().any(|topic| **topic == *position.tp.topic())
        };
        let gone: Vec<TopicPartition> = {
            let positions = state.positions.iter();
            positions.filter(|p| goes(p, state)).map(|p| p.tp.clone()).collect()
        };
        self.take_away(state, News::Revoked, &gone);
    }

    /// Tells the listener, then forgets the partitions.
    fn take_away(&self, state: &mut Locked<'_>, news: News, gone: &[TopicPartition]) {
        if !gone.is_empty() {
            self.tell(state, news, gone);
            state.remove_positions(gone);
        }
    }

    /// The group goes on without this consumer: what it had is lost.
    fn lose(&self, state: &mut Locked<'_>) {
        state.membership.phase = Phase::Out;
        let lost: Vec<TopicPartition> = state.positions.iter().map(|p| p.tp.clone()).collect();
        self.take_away(state, News::Lost, &lost);
        if let Some(seat) = &state.membership.seat {
            self.broker.forget_seat(seat);
        }
        state.membership.forget();
    }

    fn join(&self, state: &mut Locked<'_>) -> Result<bool> {
        let group = State::group(&self.config)?;
        let owned: Vec<TopicPartition> = state.positions.iter().map(|p| p.tp.clone()).collect();
        let membership = &state.membership;
        let (previous, generation) = &membership.previous;
        let metadata = |known: &Known| {
            let owned = match (&*known.name, known.protocol) {
                ("range" | "roundrobin", _) => Vec::new(),
                (_, RebalanceProtocol::Eager) => previous.clone(),
                (_, RebalanceProtocol::Cooperative) => owned.clone(),
            };
            let (topics, generation) = (state.topics.clone(), *generation);
            (Arc::clone(&known.name), MemberMetadata { topics, owned, generation })
        };
        let request = JoinRequest {
            member_id: membership.seat.as_ref().map(|seat| Arc::clone(&seat.member_id)),
            instance_id: self.config.instance_id.clone(),
            client_id: Arc::clone(&self.client_id),
            rebalance_timeout: self.config.max_poll_interval,
            session_timeout: self.config.session_timeout,
            protocols: self.config.assignors.list().iter().map(metadata).collect(),
        };
        let topics = state.topics.clone();
        let mut seated = None;
        let join = || self.broker.join_group(group, request).inspect(|s| seated = Some(s.clone()));
        match self.aside(state, || self.do_operation(OpKind::JoinGroup, join)) {
            Ok(seat) => {
                let membership = &mut state.membership;
                (membership.seat, membership.seen) = (Some(seat), None);
                (membership.phase, membership.joined) = (Phase::Joining, topics);
                Ok(true)
            }
            Err(error) => {
                // If only the answer was lost it joins again as the same (KIP-394).
                if let Some(seat) = seated {
                    state.membership.seat = Some(seat);
                }
                self.left_out(state, error)
            }
        }
    }

    /// Looks where the group stands.
    fn see_standing(&self, state: &mut Locked<'_>) -> Result<bool> {
        let group = State::group(&self.config)?;
        let (Some(member), Some(seat)) =
            (state.membership.member(self.config.instance_id.as_ref()), &state.membership.seat)
        else {
            state.membership.phase = Phase::Out;
            return Ok(true);
        };
        let moves = seat.signs.moves();
        match self.broker.standing(group, &member) {
            Ok(Standing::Joining | Standing::Syncing) => {
                state.membership.seen = Some(moves);
                Ok(false)
            }
            Ok(Standing::MustRejoin) => {
                if state.membership.phase == Phase::In {
                    self.give_back(state);
                }
                state.membership.phase = Phase::Out;
                Ok(true)
            }
            Ok(Standing::Leads(lead)) => {
                let counts = self.counts(&lead);
                let generation = lead.generation;
                let to =
                    self.aside(state, || decide(self.config.assignors.list(), &lead, &counts))?;
                let assign = || self.broker.assign_group(group, &member, generation, to);
                match self.aside(state, || self.do_operation(OpKind::SyncGroup, assign)) {
                    Ok(()) => {}
                    Err(error) => return self.left_out(state, error),
                }
                (state.membership.counts, state.membership.counted) = (Some(counts), None);
                Ok(true)
            }
            Ok(Standing::Stable { generation, assignment, watched, .. }) => {
                if state.membership.phase == Phase::In
                    && state.membership.generation == Some(generation)
                {
                    state.membership.seen = Some(moves);
                    return Ok(false);
                }
                // A leader has been through this when it decided.
                if watched.is_none()
                    && let Err(error) =
                        self.aside(state, || self.do_operation(OpKind::SyncGroup, || Ok(())))
                {
                    return self.left_out(state, error);
                }
                state.membership.seen = Some(moves);
                let membership = &mut state.membership;
                // A leader that comes back has not seen what was added while it was away.
                let counts = watched.map(|given| membership.counts.take().unwrap_or(given));
                (membership.counts, membership.counted) = (counts, None);
                self.take(state, generation, &assignment);
                Ok(true)
            }
            Err(error) => self.left_out(state, error),
        }
    }

    /// The group does not take the consumer for a member.
    fn left_out(&self, state: &mut Locked<'_>, error: Error) -> Result<bool> {
        match error.code() {
            Some(ErrorCode::UnknownMemberId) => {
                if error.again_at().is_some() {
                    self.make_unknown(state);
                }
                self.lose(state);
                // It joins again: not at once, if a test says so.
                if error.again_at().is_some() { Err(error) } else { Ok(true) }
            }
            Some(ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress)
                if error.again_at().is_some() =>
            {
                state.membership.phase = Phase::Out;
                Err(error)
            }
            Some(ErrorCode::FencedInstanceId) => {
                self.lose(state);
                state.membership.fenced = Some(error.clone());
                Err(error)
            }
            _ => Err(error),
        }
    }

    /// A test says that the group does not know this member: so be it.
    fn make_unknown(&self, state: &State) {
        let seat = state.membership.seat.as_ref();
        if let (Some(seat), Some(group)) = (seat, &self.config.group_id) {
            // It may not have been in.
            let _ = self.broker.remove_member(group, &seat.member_id);
        }
    }

    /// How many partitions the topics have that members want.
    fn counts(&self, lead: &Lead) -> BTreeMap<String, i32> {
        let topics = lead.members.iter().flat_map(|(_, _, metadata)| &metadata.topics);
        topics.map(|topic| (topic.to_string(), self.partitions(topic))).collect()
    }

    /// Takes what the consumer was assigned.
    fn take(&self, state: &mut Locked<'_>, generation: i32, assignment: &[TopicPartition]) {
        let membership = &mut state.membership;
        (membership.phase, membership.generation) = (Phase::In, Some(generation));
        membership.previous = (assignment.to_vec(), Some(generation));
        let assigned: BTreeSet<&TopicPartition> = assignment.iter().collect();
        let had: BTreeSet<TopicPartition> = state.positions.iter().map(|p| p.tp.clone()).collect();
        let gone: Vec<TopicPartition> =
            had.iter().filter(|tp| !assigned.contains(tp)).cloned().collect();
        if !gone.is_empty() {
            self.auto_commit_before_loss(state);
            self.take_away(state, News::Revoked, &gone);
        }
        let added: Vec<TopicPartition> =
            assigned.into_iter().filter(|tp| !had.contains(*tp)).cloned().collect();
        for tp in &added {
            state.positions.push(Position::new(tp.clone(), self.broker.log(tp).ok()));
        }
        state.positions.sort_by(|a, b| a.tp.cmp(&b.tp));
        self.tell(state, News::Assigned, &added);
        if !gone.is_empty() {
            // What was given back can be given out now.
            state.membership.phase = Phase::Out;
        }
    }

    /// Runs a listener; what it fails with comes out of the call later.
    fn tell(&self, state: &mut Locked<'_>, news: News, partitions: &[TopicPartition]) {
        let Some(mut listener) = state.membership.listener.take() else { return };
        let heard = self.aside(state, || {
            let context = RebalanceContext::new(self);
            let call = || call(&mut *listener, news, &context, partitions);
            // What it panicked with is dropped here: that, too, is the user's code.
            catch_unwind(AssertUnwindSafe(call)).map_err(discard)
        });
        state.membership.listener = Some(listener);
        let error = match heard {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                Error::new(ErrorKind::UserCode, "a rebalance listener failed").because(error)
            }
            Err(()) => panicked("a rebalance listener"),
        };
        if state.membership.failed.is_none() {
            state.membership.failed = Some(error);
        } else {
            state.unlocked(|| drop(error));
        }
    }

    /// Commits what auto-commit covers before partitions go. A failure does not stop the
    /// rebalance; one that no rebalance explains comes out of the call.
    fn auto_commit_before_loss(&self, state: &mut Locked<'_>) {
        if let Err(error) = self.auto_commit(state, None)
            && !is_about_membership(&error)
        {
            state.membership.failed.get_or_insert(error);
        }
    }

    /// Gives everything back and goes: on unsubscribing and closing.
    pub(super) fn depart(&self, state: &mut Locked<'_>) -> Result<()> {
        let Some(member) = state.membership.member(self.config.instance_id.as_ref()) else {
            let outcome = self.auto_commit(state, None);
            // Being fenced came out of the polls; what its listener failed with did not.
            let failed = state.membership.failed.take();
            return first_error(state, [outcome.err(), failed]);
        };
        let group = State::group(&self.config)?;
        let there = self.broker.check_member(group, &member);
        let had: Vec<TopicPartition> = state.positions.iter().map(|p| p.tp.clone()).collect();
        let mut outcome = Ok(());
        if there.is_ok() {
            if state.membership.phase == Phase::Joining {
                state.membership.phase = Phase::Out;
                if let Ok(Standing::Stable { generation, .. }) =
                    self.broker.standing(group, &member)
                {
                    // What it still has it may commit in the generation it has joined.
                    state.membership.generation = Some(generation);
                }
            }
            outcome = self.auto_commit(state, None);
            if outcome.as_ref().is_err_and(is_about_membership) {
                // Refused because the group changes: it is read again from the last commit on.
                outcome = Ok(());
            }
            self.take_away(state, News::Revoked, &had);
        } else {
            self.take_away(state, News::Lost, &had);
        }
        let stays = self.config.instance_id.is_some();
        let leave = || self.broker.leave_group(group, &member.id, stays);
        let left = self.aside(state, || self.do_operation(OpKind::LeaveGroup, leave));
        // Nobody waits for an answer that is lost: the group finds out by itself.
        let left = left.or_else(|error| error.again_at().map_or(Err(error), |_| Ok(())));
        state.membership.forget();
        let failed = state.membership.failed.take();
        first_error(state, [outcome.err(), left.err(), failed])
    }

    /// Does something for the group, or what a test has decided instead.
    fn do_operation<T>(&self, kind: OpKind, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let context = &self.broker.context;
        context.faults.run(&context.clock, || self.config.operation(kind), act)
    }

    /// Runs something with the state unlocked and marked as busy.
    pub(super) fn aside<R>(&self, state: &mut Locked<'_>, run: impl FnOnce() -> R) -> R {
        state.show_identity(&self.config);
        state.busy = Some(thread::current().id());
        let done = state.unlocked(|| catch_unwind(AssertUnwindSafe(run)));
        state.busy = None;
        // Calls of other threads that waited for this; those of futures are woken after the lock.
        self.wakeups.waiting.wake_all();
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// The first of these. The others may hold what is the user's: they are dropped without the lock.
fn first_error<const N: usize>(state: &mut Locked<'_>, errors: [Option<Error>; N]) -> Result<()> {
    let mut errors = errors.into_iter().flatten();
    let first = errors.next();
    let others: Vec<Error> = errors.collect();
    if !others.is_empty() {
        state.unlocked(|| drop(others));
    }
    first.map_or(Ok(()), Err)
}

fn call(
    listener: &mut dyn RebalanceListener,
    news: News,
    context: &RebalanceContext<'_>,
    partitions: &[TopicPartition],
) -> ListenerResult {
    match news {
        News::Assigned => listener.on_assigned(context, partitions),
        News::Revoked => listener.on_revoked(context, partitions),
        News::Lost => listener.on_lost(context, partitions),
    }
}
