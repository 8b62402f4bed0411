//! Telling that an append failed.

use super::partition::Log;
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::metrics::count;
use crate::trace::event;

impl Log {
    /// An append was refused or failed. What the caller did wrong only the caller needs to know.
    pub(super) fn append_failed(&self, error: &Error) {
        count(self.context.counters.failed_appends());
        let (topic, partition) = (self.tp.topic(), self.tp.partition());
        match (error.kind(), error.code()) {
            (ErrorKind::Io | ErrorKind::StorageFull, _)
            | (_, Some(ErrorCode::KafkaStorageError)) => {
                event!(ERROR, "append failed", topic = topic, partition = partition, error = error);
            }
            (_, Some(ErrorCode::InvalidProducerEpoch)) => {
                event!(
                    WARN,
                    "producer fenced",
                    topic = topic,
                    partition = partition,
                    error = error
                );
            }
            _ => {
                event!(
                    DEBUG,
                    "append refused",
                    topic = topic,
                    partition = partition,
                    error = error
                );
            }
        }
    }
}
