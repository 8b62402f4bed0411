//! Where a consumer stands in its group.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::listener::RebalanceListener;
use crate::broker::Seat;
use crate::coordinator::Member;
use crate::error::{Error, ErrorCode};
use crate::types::TopicPartition;

/// How far a consumer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has to join, for the first time or again.
    #[default]
    Out,
    /// It has joined and waits for the others.
    Joining,
    /// It has its partitions.
    In,
}

/// A consumer's membership in its group.
#[derive(Default)]
pub(crate) struct Membership {
    pub(super) phase: Phase,
    pub(super) seat: Option<Seat>,
    /// The generation it has its partitions of.
    pub(super) generation: Option<i32>,
    /// How often the group had moved when it was last looked at.
    pub(super) seen: Option<u64>,
    /// The topics it told the group.
    pub(super) joined: Vec<Arc<str>>,
    /// What it was assigned last, and in which generation, for assignors that keep things in place.
    pub(super) previous: (Vec<TopicPartition>, Option<i32>),
    /// The leader's: how many partitions the topics had when it decided.
    pub(super) counts: Option<BTreeMap<String, i32>>,
    /// The topics when those numbers were last compared with what there is.
    pub(super) counted: Option<u64>,
    /// Another member has taken its place for good.
    pub(super) fenced: Option<Error>,
    /// What a listener failed with, until it comes out of a call.
    pub(super) failed: Option<Error>,
    pub(super) listener: Option<Box<dyn RebalanceListener>>,
}

impl Membership {
    /// Who the consumer is in its group.
    pub(super) fn member(&self, instance_id: Option<&Arc<str>>) -> Option<Member> {
        let seat = self.seat.as_ref()?;
        Some(Member {
            id: Arc::clone(&seat.member_id),
            instance_id: instance_id.cloned(),
            generation: self.generation,
        })
    }

    /// Whether nothing has happened in the group since the last look.
    pub(super) fn is_settled(&self) -> bool {
        let moves = self.seat.as_ref().map(|seat| seat.signs.moves());
        self.phase != Phase::Out && moves.is_some() && moves == self.seen
    }

    /// It is no member any more.
    pub(super) fn forget(&mut self) {
        self.phase = Phase::Out;
        (self.seat, self.generation, self.seen, self.counts) = (None, None, None, None);
    }
}

/// Whether an error says that the group has moved on, which the next poll takes care of.
pub(super) fn is_about_membership(error: &Error) -> bool {
    let codes = [ErrorCode::FencedInstanceId, ErrorCode::UnknownTopicOrPartition];
    error.is_rebalance() || error.code().is_some_and(|code| codes.contains(&code))
}
