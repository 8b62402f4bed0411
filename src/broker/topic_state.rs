//! A topic while its broker is open.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::error::{Error, ErrorCode, Result};
use crate::log::{Log, TopicConfig};
use crate::types::TopicId;

/// A topic and the logs of its partitions.
#[derive(Debug)]
pub(crate) struct TopicState {
    pub(crate) name: Arc<str>,
    pub(crate) id: TopicId,
    /// Leaf locks, held for a clone.
    config: RwLock<Arc<TopicConfig>>,
    logs: RwLock<Arc<Vec<Arc<Log>>>>,
}

impl TopicState {
    pub(crate) fn new(
        name: Arc<str>,
        id: TopicId,
        config: Arc<TopicConfig>,
        logs: Vec<Arc<Log>>,
    ) -> Self {
        Self { name, id, config: RwLock::new(config), logs: RwLock::new(Arc::new(logs)) }
    }

    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.config.read())
    }

    /// Puts another configuration in force in all partitions. The caller holds the catalog's lock,
    /// so that no partition is added meanwhile.
    pub(crate) fn set_config(&self, config: &Arc<TopicConfig>) {
        if self.config() == *config {
            return;
        }
        *self.config.write() = Arc::clone(config);
        for log in self.logs().iter() {
            log.set_config(Arc::clone(config));
        }
    }

    pub(crate) fn logs(&self) -> Arc<Vec<Arc<Log>>> {
        Arc::clone(&self.logs.read())
    }

    pub(crate) fn add_logs(&self, more: Vec<Arc<Log>>) {
        let mut logs = self.logs.write();
        *logs = Arc::new(logs.iter().cloned().chain(more).collect());
    }

    pub(crate) fn partition_count(&self) -> i32 {
        i32::try_from(self.logs.read().len()).unwrap_or(i32::MAX)
    }

    /// The log of one partition.
    pub(crate) fn log(&self, partition: i32) -> Result<Arc<Log>> {
        let logs = self.logs.read();
        let found = usize::try_from(partition).ok().and_then(|index| logs.get(index));
        found.cloned().ok_or_else(|| {
            Error::kafka(
                ErrorCode::UnknownTopicOrPartition,
                format!(
                    "topic {} has no partition {partition}, only 0 to {}",
                    self.name,
                    logs.len().saturating_sub(1)
                ),
            )
        })
    }
}
