//! What members do through the broker: join, ask where they stand, decide, leave.
//!
//! Members live in this process, so there are no requests and no heartbeats. A member looks at its
//! group's signs, which costs one atomic load, and asks only when the group has moved.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::groups::{Loaded, Placed};
use super::heart::{GroupSigns, Heart, nanos};
use super::shared::Shared;
use crate::coordinator::assignor::Assignment;
use crate::coordinator::{
    Group, GroupLimits, GroupView, JoinRequest, Member, OffsetsKey, Standing, unknown_member,
};
use crate::error::{Error, ErrorCode, Result};
use crate::log::Appended;

/// A member, as its consumer holds it.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) member_id: Arc<str>,
    pub(crate) signs: Arc<GroupSigns>,
    heart: Arc<Heart>,
}

/// Something that happened to a group: the partition of the offsets topic it was written to, if it
/// was.
type Written = Option<(i32, Appended)>;

impl Shared {
    /// Lets something happen to a group: stores what it changed, and tells the members. Also while
    /// the broker closes.
    pub(super) fn with_group<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Group, &Placed) -> Result<T>,
    ) -> Result<(T, Written)> {
        let mut moved = None;
        let outcome = self.with_loaded(|loaded| {
            let placed = loaded.place(name)?;
            let mut state = loaded.groups.remove(&placed).unwrap_or_default();
            let (before, owed) = (state.moves(), state.is_unstored());
            let outcome = act(&mut state, &placed);
            let written = match self.store_group(&placed, &mut state) {
                // What could not be stored before is no failure of this.
                Err(_) if owed => Ok(None),
                written => written,
            };
            if state.moves() != before {
                self.note_rebalance(loaded, name, state.state());
                moved = loaded.note_move(name);
            }
            self.note_group_due(state.next_due().map(nanos));
            self.note_retention(&state, loaded.adopted);
            if !state.is_blank() {
                loaded.groups.insert(placed, state);
            }
            Ok((outcome?, written?))
        });
        if let Some(signs) = moved {
            signs.changed.wake_all();
        }
        outcome
    }

    /// Writes down what a group is, if that changed.
    pub(super) fn store_group(&self, placed: &Placed, state: &mut Group) -> Result<Written> {
        let now = self.context.clock.wall_millis();
        if !state.take_unstored(now) {
            return Ok(None);
        }
        let key = OffsetsKey::Group { group: placed.0.clone() }.encode();
        let value = Some(state.value().encode());
        let appended = self.append_offsets(placed.1, &[(key, value)], now);
        if appended.is_err() {
            state.keep_unstored();
        }
        Ok(Some((placed.1, appended?)))
    }

    fn sync_written(&self, written: Written) -> Result<()> {
        let Some((partition, appended)) = written else { return Ok(()) };
        self.offsets_log(partition)?.sync_to(appended.end())
    }

    /// A member joins, or says what it newly wants. It has to poll from now on.
    pub(crate) fn join_group(&self, group: &str, request: JoinRequest) -> Result<Seat> {
        self.check_writable("joining a group")?;
        self.check_session(request.session_timeout)?;
        let limits = GroupLimits {
            max_size: self.config.group_max_size,
            initial_delay: self.config.group_initial_delay,
        };
        let (interval, prefix) = (
            request.rebalance_timeout,
            Arc::clone(request.instance_id.as_ref().unwrap_or(&request.client_id)),
        );
        let now = self.context.clock.monotonic();
        let new_id = || Arc::from(format!("{prefix}-{}", self.new_uuid()));
        let ((member_id, written), _) = self.with_group(group, |state, placed| {
            let id = state.join(group, request, &limits, now, new_id)?;
            let written = self.store_group(placed, state);
            if written.is_err() {
                // Its consumer will not know that it is in.
                state.lose(&id, now);
            }
            Ok((id, written?))
        })?;
        let seat = self.with_groups(|loaded| {
            let signs = loaded.signs.entry(group.to_owned()).or_default();
            let heart = loaded.hearts.entry(Arc::clone(&member_id)).or_insert_with(|| {
                let heart = Heart::new(interval, now);
                heart.begin();
                (Arc::from(group), Arc::new(heart))
            });
            let (signs, heart) = (Arc::clone(signs), Arc::clone(&heart.1));
            Ok(Seat { member_id: Arc::clone(&member_id), signs, heart })
        })?;
        if let Err(error) = self.sync_written(written) {
            let _ = self.leave_group(group, &member_id, true);
            return Err(error);
        }
        Ok(seat)
    }

    fn check_session(&self, timeout: Duration) -> Result<()> {
        let (min, max) = (self.config.group_min_session, self.config.group_max_session);
        if (min..=max).contains(&timeout) {
            return Ok(());
        }
        Err(Error::kafka(
            ErrorCode::InvalidSessionTimeout,
            format!("session.timeout.ms of {timeout:?} is not between {min:?} and {max:?}"),
        ))
    }

    /// A random id in the form of Kafka's.
    fn new_uuid(&self) -> String {
        let hex = format!("{:032x}", self.context.random.next_u128());
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part));
        parts.map(Option::unwrap_or_default).join("-")
    }

    /// Where a member stands.
    pub(crate) fn standing(&self, group: &str, member: &Member) -> Result<Standing> {
        self.check_open()?;
        self.with_group(group, |state, _| state.standing(group, member))
            .map(|(standing, _)| standing)
    }

    /// Fails unless this member is in the group.
    pub(crate) fn check_member(&self, group: &str, member: &Member) -> Result<()> {
        self.with_group(group, |state, _| state.check_member(group, member)).map(|_| ())
    }

    /// A number for a client that has no name of its own.
    pub(crate) fn next_client(&self) -> u64 {
        self.groups.clients.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The leader's decision. Stored and durable on return; without effect when another rebalance
    /// has begun.
    pub(crate) fn assign_group(
        &self,
        group: &str,
        by: &Member,
        generation: i32,
        to: Assignment,
    ) -> Result<()> {
        self.check_open()?;
        let now = self.context.clock.monotonic();
        let decided = self.with_group(group, |state, placed| {
            if !state.assign(by, generation, to, now) {
                return Ok(None);
            }
            let written = self.store_group(placed, state);
            if written.is_err() {
                state.take_back_assignment(now);
            }
            written
        });
        let synced = self.sync_written(decided?.0);
        if synced.is_err() {
            // Nobody goes on with what a power cut may take back.
            let take_back = |state: &mut Group, _: &Placed| {
                state.take_back_assignment(now);
                Ok(())
            };
            self.with_group(group, take_back)?;
        }
        synced
    }

    /// A member goes: for good, or, if it is static and `stay`, until its session ends.
    pub(crate) fn leave_group(&self, group: &str, member: &str, stay: bool) -> Result<()> {
        self.check_open()?;
        let now = self.context.clock.monotonic();
        let left = self.with_group(group, |state, _| {
            Ok(if stay { state.lose(member, now) } else { state.leave(member, now) })
        });
        let beat = self.with_groups(|loaded| Ok(loaded.hearts.remove(member)));
        left.and(beat).map(|_| ())
    }

    /// The broker closes, and its members go with it: what lies on the disk says so.
    pub(super) fn end_members(&self) {
        let now = self.context.clock.monotonic();
        if self.read_only || self.groups.loaded.lock().is_none() {
            return;
        }
        // Where it cannot be written the next open says the same of them.
        let _ = self.with_loaded(|loaded| {
            loaded.hearts.clear();
            let placed: Vec<Placed> = loaded.groups.keys().cloned().collect();
            for placed in placed {
                let Some(state) = loaded.groups.get_mut(&placed) else { continue };
                // A static member's record has to tell what the others had.
                if state.has_static_members() {
                    continue;
                }
                for id in state.member_ids() {
                    state.leave(&id, now);
                }
                let _ = self.store_group(&placed, state);
            }
            Ok(())
        });
    }

    /// Removes a member by the name an administrator knows it by.
    pub(crate) fn remove_member(&self, group: &str, member: &str) -> Result<()> {
        self.check_open()?;
        let now = self.context.clock.monotonic();
        let (left, _) = self.with_group(group, |state, _| Ok(state.leave(member, now)))?;
        if left { Ok(()) } else { Err(unknown_member(group, member)) }
    }

    /// What there is to tell about a group; `None` when there is nothing.
    pub(crate) fn describe_group(&self, group: &str) -> Result<Option<GroupView>> {
        self.with_groups(|loaded| {
            let placed = loaded.place(group)?;
            let known = loaded.groups.get(&placed).filter(|state| !state.is_blank());
            Ok(known.map(Group::view))
        })
    }

    /// Where it shows that a group moved.
    pub(crate) fn group_signs(&self, group: &str) -> Result<Arc<GroupSigns>> {
        self.with_groups(|loaded| Ok(Arc::clone(loaded.signs.entry(group.to_owned()).or_default())))
    }

    /// The group has no such member any more, and its polls mean nothing.
    pub(crate) fn forget_seat(&self, seat: &Seat) {
        // A broker that is closed has forgotten everybody.
        let _ = self.with_groups(|loaded| Ok(loaded.hearts.remove(&seat.member_id)));
    }

    /// A member's poll begins.
    pub(crate) fn poll_begins(&self, seat: &Seat) {
        seat.heart.begin();
    }

    /// A member's poll ends; the next one has to begin in time.
    pub(crate) fn poll_ends(&self, seat: &Seat) {
        let due = seat.heart.end(self.context.clock.monotonic());
        self.note_group_due(Some(due));
    }

    /// Something is to be done for a group at this moment, or another sooner.
    pub(super) fn note_group_due(&self, due: Option<u64>) {
        if let Some(due) = due
            && due < self.groups.due.fetch_min(due, Ordering::SeqCst)
        {
            // Without its thread the broker does it when somebody polls.
            let _ = self.wake_background();
        }
    }
}

impl Loaded {
    /// Shows members that their group moved; answers whom to wake. The signs count for themselves:
    /// a group that was forgotten begins anew, while somebody may still hold what it saw of it.
    pub(super) fn note_move(&self, group: &str) -> Option<Arc<GroupSigns>> {
        let signs = self.signs.get(group)?;
        signs.moves.fetch_add(1, Ordering::Release);
        Some(Arc::clone(signs))
    }
}
