//! What a broker tells subscribers of `tracing` about its opening and its end.

use super::report::RecoveryReport;
use super::shared::Shared;
use crate::error::Result;
use crate::trace::event;

impl Shared {
    /// The directory is open, and this was done to it.
    pub(super) fn tell_opened(&self) {
        let RecoveryReport { clean, partitions, adopted, repaired, .. } = &self.report;
        event!(INFO, "broker opened", clean = *clean, partitions = partitions.len());
        for topic in adopted {
            event!(INFO, "topic adopted", topic = topic.as_str());
        }
        for what in repaired {
            event!(WARN, "repaired", what = what.as_str());
        }
        for found in partitions {
            let (topic, partition) =
                (found.topic_partition.topic(), found.topic_partition.partition());
            if let Some(cut) = &found.truncated {
                event!(
                    WARN,
                    "log was cut",
                    topic = topic,
                    partition = partition,
                    offset = cut.offset,
                    bytes = cut.bytes,
                    reason = cut.reason.as_str(),
                );
            }
            if let Some(damage) = &found.damaged {
                event!(
                    ERROR,
                    "partition is damaged",
                    topic = topic,
                    partition = partition,
                    offset = damage.offset,
                    position = damage.position,
                    reason = damage.reason.as_str(),
                );
            }
            if !found.rebuilt.is_empty() {
                let files = found.rebuilt.len();
                event!(INFO, "files rebuilt", topic = topic, partition = partition, files = files);
            }
        }
    }

    /// The broker is closed.
    pub(super) fn tell_closed(&self, outcome: &Result<()>) {
        match outcome {
            Ok(()) => event!(INFO, "broker closed"),
            Err(error) => event!(ERROR, "broker closed with an error", error = error),
        }
    }
}
