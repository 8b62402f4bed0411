//! What the upkeep of a broker knows: what is planned, and how far logs are clean.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::config::BrokerConfig;
use super::timetable::{Grid, Timetable};
use crate::error::Error;
use crate::log::checkpoint::PartitionOffsets;
use crate::types::TopicPartition;

/// Kafka's `producer.id.expiration.check.interval.ms`.
const PRODUCER_CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// The state of the upkeep. Leaf locks.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(super) timetable: Mutex<Timetable>,
    pub(super) retention: Grid,
    pub(super) cleaning: Grid,
    pub(super) producers: Grid,
    /// Where the last cleaning of each partition ended.
    pub(super) first_dirty: Mutex<PartitionOffsets>,
    /// Partitions whose cleaning met damage, and which.
    pub(super) uncleanable: Mutex<BTreeMap<TopicPartition, Error>>,
}

impl Upkeep {
    pub(super) fn new(config: &BrokerConfig, first_dirty: PartitionOffsets) -> Self {
        let now = config.clock.monotonic();
        let grid = |first, interval| Grid { first: now.saturating_add(first), interval };
        Self {
            timetable: Mutex::default(),
            retention: grid(config.initial_task_delay, config.retention_check),
            cleaning: grid(Duration::ZERO, config.cleaner_backoff),
            producers: grid(Duration::ZERO, PRODUCER_CHECK_INTERVAL),
            first_dirty: Mutex::new(first_dirty),
            uncleanable: Mutex::default(),
        }
    }
}
