//! Who a consumer is to its group, for those that commit beside it.

use parking_lot::Mutex;

use crate::coordinator::Member;

/// The member that a consumer is at this moment. A leaf among the locks.
#[derive(Debug, Default)]
pub(crate) struct Identity(Mutex<Option<Member>>);

impl Identity {
    pub(crate) fn set(&self, member: Option<Member>) {
        *self.0.lock() = member;
    }

    pub(crate) fn get(&self) -> Option<Member> {
        self.0.lock().clone()
    }
}
