//! What tests have a broker do out of turn.

use std::sync::Arc;

use super::shared::Shared;
use crate::coordinator::Forced;
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::log::Log;
use crate::log::cleaner::{Cleanable, Unclean};

impl Shared {
    /// Removes what the configuration of these logs does not keep.
    pub(crate) fn retain_now(&self, logs: &[Arc<Log>]) -> Result<()> {
        let wall = self.context.clock.wall_millis();
        for log in logs {
            log.expire(wall)?;
        }
        self.remove_expired(logs).map(|_| ())
    }

    /// Cleans a compacted log as far as its configuration allows, however little dirt there is.
    pub(crate) fn clean_now(&self, log: &Arc<Log>) -> Result<()> {
        if !log.config().cleanup_policy.is_compacted() {
            let message = "the topic's cleanup.policy is not compact";
            return Err(Error::new(ErrorKind::IllegalState, message).on(&log.tp));
        }
        let wall = self.context.clock.wall_millis();
        loop {
            let first_dirty = self.upkeep.first_dirty.lock().get(&log.tp).copied();
            let what = log.cleanable(first_dirty, wall)?;
            let begun = what.first_dirty;
            match self.clean_counted(log, Cleanable { is_due: true, ..what }, wall) {
                // One with more keys than the map takes goes on.
                Ok(cleaned) if cleaned.end > begun => {}
                Ok(_) => return Ok(()),
                Err(Unclean::Stopped) => return Err(Error::closed("broker")),
                Err(Unclean::Damaged(error) | Unclean::Failed(error)) => return Err(error),
            }
        }
    }

    /// Has an empty log begin at an offset.
    pub(crate) fn begin_at(&self, log: &Arc<Log>, offset: i64) -> Result<()> {
        self.check_writable("seeding a partition")?;
        log.begin_at(offset)?;
        self.store_log_start(log)?;
        self.remove_expired(std::slice::from_ref(log)).map(|_| ())
    }

    /// Writes the markers that a test has held back.
    pub(crate) fn release_markers(&self) -> Result<()> {
        for id in self.prepared_transactions() {
            let claim = self.claim(&id, None)?;
            self.finish(&claim)?;
        }
        Ok(())
    }

    /// Has the members of a group join again.
    pub(crate) fn force_rebalance(&self, group: &str) -> Result<()> {
        let now = self.context.clock.monotonic();
        let (somebody, _) = self.with_group(group, |state, _| Ok(state.force_rebalance(now)))?;
        if somebody { Ok(()) } else { Err(no_members(group)) }
    }

    /// Has another take the place of a static member.
    pub(crate) fn fence_member(&self, group: &str, member: &str) -> Result<()> {
        let now = self.context.clock.monotonic();
        let new: Arc<str> = format!("fenced-{:032x}", self.context.random.next_u128()).into();
        let (is_fenced, _) = self.with_group(group, |state, _| {
            state.check_known(group, member)?;
            Ok(state.fence(member, new, now))
        })?;
        if is_fenced {
            return Ok(());
        }
        let message = format!("member {member} has no group.instance.id: expire it instead");
        Err(Error::kafka(ErrorCode::InvalidRequest, message))
    }

    /// Decides in the place of a group's leaders from now on.
    pub(crate) fn force_assignment(&self, group: &str, to: Option<Forced>) -> Result<()> {
        let now = self.context.clock.monotonic();
        let (somebody, _) = self.with_group(group, |state, _| {
            state.force_assignment(to);
            Ok(state.force_rebalance(now))
        })?;
        if somebody { Ok(()) } else { Err(no_members(group)) }
    }
}

fn no_members(group: &str) -> Error {
    Error::new(ErrorKind::IllegalState, format!("group {group} has no members"))
}
