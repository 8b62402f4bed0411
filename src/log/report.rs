//! What opening a directory did, so that nothing is repaired in silence.

use std::path::PathBuf;

use crate::types::TopicPartition;

/// What an open does with a partition that is damaged below its recovery point, where bytes were
/// durable once and are not what they were.
///
/// ```
/// use logreel::{Broker, OnDamage};
/// # let dir = tempfile::tempdir()?;
/// let broker = Broker::builder().dir(dir.path()).on_damage(OnDamage::Refuse).open()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// Serve what lies before the damage; answer `CORRUPT_MESSAGE` there and take no appends.
    #[default]
    Serve,
    /// Fail the open, naming file and position.
    Refuse,
    /// Cut the log at the damage; the bytes cut are kept in a side file.
    Truncate,
}

/// Bytes that were cut off the end of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Truncation {
    /// The log now ends here.
    pub offset: i64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// What was wrong with the first of them.
    pub reason: String,
    /// Where they were kept, if they held whole batches.
    pub kept_in: Option<PathBuf>,
}

/// Damage that was found and left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamageReport {
    /// The first offset that cannot be read.
    pub offset: i64,
    /// The file.
    pub path: PathBuf,
    /// The byte where the damage begins.
    pub position: u64,
    /// What is wrong there.
    pub reason: String,
}

/// What opening one partition did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionReport {
    /// Which partition.
    pub topic_partition: TopicPartition,
    /// Whether it was closed cleanly, so that no record had to be read.
    pub clean: bool,
    /// Bytes of batches that were read and verified.
    pub scanned_bytes: u64,
    /// Bytes past the recovery point that were written again and synced before being served.
    pub rewritten_bytes: u64,
    /// What was cut off the end.
    pub truncated: Option<Truncation>,
    /// What was found damaged and left as it is.
    pub damaged: Option<DamageReport>,
    /// Files that could not be believed and are rebuilt.
    pub rebuilt: Vec<String>,
    /// Files of an interrupted operation that were removed or finished.
    pub leftovers: Vec<String>,
    /// Names that belong to no log; left alone.
    pub ignored: Vec<String>,
}

impl PartitionReport {
    pub(crate) fn new(topic_partition: TopicPartition) -> Self {
        Self {
            topic_partition,
            clean: false,
            scanned_bytes: 0,
            rewritten_bytes: 0,
            truncated: None,
            damaged: None,
            rebuilt: Vec::new(),
            leftovers: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// Whether the report says anything a person would want to know.
    #[must_use]
    pub fn is_remarkable(&self) -> bool {
        self.truncated.is_some()
            || self.damaged.is_some()
            || !self.rebuilt.is_empty()
            || !self.ignored.is_empty()
    }
}
