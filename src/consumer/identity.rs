//! Who a consumer is to its group, for those that commit beside it.

use parking_lot::Mutex;

use crate::broker::Shared;
use crate::coordinator::Member;
use crate::error::{Error, ErrorCode, Result};

/// Who a consumer is at this moment.
#[derive(Clone, Debug, Default)]
pub(crate) enum Who {
    /// Nobody in particular: its partitions were assigned by hand, or it has none.
    #[default]
    Outsider,
    /// It has subscribed and not joined yet.
    Stranger,
    /// A member with partitions.
    Member(Member),
    /// A member that waits for the end of a rebalance.
    Joining(Member),
    /// Another has taken its place.
    Fenced(Error),
}

/// Who a consumer is, shared. A leaf among the locks.
#[derive(Debug, Default)]
pub(crate) struct Identity(Mutex<Who>);

impl Identity {
    pub(crate) fn set(&self, who: Who) {
        *self.0.lock() = who;
    }

    pub(crate) fn get(&self) -> Who {
        self.0.lock().clone()
    }
}

impl Who {
    /// As whom a commit is made; fails where none can be.
    pub(crate) fn committer(self, broker: &Shared, group: &str) -> Result<Option<Member>> {
        match self {
            Who::Outsider => Ok(None),
            Who::Member(member) => Ok(Some(member)),
            Who::Stranger => Err(Error::kafka(
                ErrorCode::UnknownMemberId,
                format!("the consumer is not in group {group}: poll first"),
            )),
            Who::Joining(member) => {
                broker.check_member(group, &member)?;
                Err(Error::kafka(
                    ErrorCode::RebalanceInProgress,
                    format!("group {group} is rebalancing; poll, then commit again"),
                ))
            }
            Who::Fenced(error) => Err(error),
        }
    }
}
