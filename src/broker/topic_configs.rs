//! Changing topics' configurations while they are in use.

use std::sync::Arc;

use super::shared::Shared;
use crate::error::{Error, Result};
use crate::log::config_change::{ConfigChange, altered};
use crate::trace::event;
use crate::types::TopicId;

impl Shared {
    /// Makes all of these changes or none. They are stored before they are in force. With an id
    /// only the topic that had it is meant, not one made later under its name.
    pub(crate) fn alter_config(
        &self,
        name: &str,
        id: Option<TopicId>,
        changes: &[ConfigChange],
    ) -> Result<()> {
        self.check_writable("altering a topic")?;
        let mut catalog = self.catalog.lock();
        self.check_open()?;
        let is_meant = |found: TopicId| id.is_none_or(|id| id == found);
        let topic = self.topic(name).filter(|topic| is_meant(topic.id));
        let topic = topic.ok_or_else(|| Error::unknown_topic(name))?;
        let (overrides, config) = altered(&topic.config(), changes)?;
        let mut changed = catalog.clone();
        let Some(entry) = changed.topics.get_mut(name) else {
            return Err(Error::unknown_topic(name));
        };
        entry.config = overrides;
        if let Err(error) = changed.store(&self.context.storage) {
            // It may be on the disk all the same: the next open should not find what is not true.
            let _ = catalog.store(&self.context.storage);
            return Err(error);
        }
        *catalog = changed;
        topic.set_config(&Arc::new(config));
        drop(catalog);
        self.config_changed();
        event!(INFO, "topic altered", topic = name, changes = changes.len());
        Ok(())
    }
}
