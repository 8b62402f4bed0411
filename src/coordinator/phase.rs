//! How far a rebalance has come.

use std::time::Duration;

/// How far a rebalance has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Empty,
    PreparingRebalance {
        /// When those that have not joined are given up; `None` while nobody is there to wait.
        until: Option<Duration>,
        /// A group that was empty waits for others to come, too.
        gathering: Option<Gathering>,
    },
    CompletingRebalance,
    Stable,
}

/// How long a group that was empty waits for more members (KIP-134).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gathering {
    pub(super) until: Duration,
    /// How much longer it waits when somebody has come meanwhile.
    pub(super) step: Duration,
    /// How much longer it may wait in all.
    pub(super) left: Duration,
    pub(super) has_newcomer: bool,
}

/// What the broker allows groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupLimits {
    /// Kafka's `group.max.size`.
    pub(crate) max_size: usize,
    /// Kafka's `group.initial.rebalance.delay.ms`.
    pub(crate) initial_delay: Duration,
}
