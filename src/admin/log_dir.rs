//! How much room the partitions take, and how much there is.

use std::path::PathBuf;

use crate::broker::Broker;
use crate::error::Result;
use crate::types::TopicPartition;

/// What a broker's directory holds, and the room around it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogDirDescription {
    /// The directory; `None` where the files live in no file system.
    pub path: Option<PathBuf>,
    /// The partitions, in the order of topic and number.
    pub partitions: Vec<PartitionSize>,
    /// Bytes in all `.log` files.
    pub size: u64,
    /// Bytes of the file system that the directory is in; `None` in memory.
    pub total_bytes: Option<u64>,
    /// How many of these a user without privileges may still take; `None` in memory.
    pub usable_bytes: Option<u64>,
}

/// How large a partition is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionSize {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// Bytes in its `.log` files, as Kafka counts them: without indexes.
    pub size: u64,
}

impl Broker {
    /// How large every partition is, the coordinators' own included, and how much room there is:
    /// Kafka's `Admin.describeLogDirs`. Reads no records.
    ///
    /// ```
    /// use logreel::Broker;
    /// let broker = Broker::in_memory();
    /// broker.create_topic("t")?.partition(0)?.append([(None, Some("x"))])?;
    /// let described = broker.describe_log_dir()?;
    /// assert_eq!(described.partitions[0].topic_partition, ("t", 0).into());
    /// assert_eq!((described.partitions[0].size, described.size), (69, 69));
    /// assert_eq!((described.path, described.total_bytes), (None, None));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the broker is closed, or the file system does not answer.
    pub fn describe_log_dir(&self) -> Result<LogDirDescription> {
        let broker = self.handle();
        broker.check_open()?;
        self.refresh()?;
        let mut partitions = Vec::new();
        for log in broker.logs() {
            if broker.read_only {
                log.refresh()?;
            }
            partitions.push(PartitionSize { topic_partition: log.tp.clone(), size: log.size() });
        }
        let storage = &broker.context.storage;
        let space = storage.space()?;
        Ok(LogDirDescription {
            path: space.map(|_| storage.dir_path(None)),
            size: partitions.iter().map(|partition| partition.size).sum(),
            partitions,
            total_bytes: space.map(|space| space.total),
            usable_bytes: space.map(|space| space.usable),
        })
    }
}
