//! Administration: of consumer groups, who is in them, what they have committed, how far behind
//! they are, and setting them back; and of topics. [`verify`](verify()) checks a directory without
//! changing it.
//!
//! # Topics
//!
//! Topics are administered through [`Broker`](crate::Broker) and [`Topic`](crate::Topic). What
//! Kafka's `Admin` calls these is:
//!
//! | Kafka | here |
//! |---|---|
//! | `createTopics`, with `validateOnly` | [`create_topic`](crate::Broker::create_topic), [`validate_topic`](crate::Broker::validate_topic) |
//! | `deleteTopics` | [`delete_topic`](crate::Broker::delete_topic) |
//! | `createPartitions` | [`create_partitions`](crate::Broker::create_partitions) |
//! | `listTopics`, `describeTopics` | [`topics`](crate::Broker::topics), [`topic`](crate::Broker::topic) |
//! | `describeConfigs` | [`TopicConfig::entries`](crate::TopicConfig::entries) |
//! | `incrementalAlterConfigs` | [`Topic::alter_config`](crate::Topic::alter_config) |
//! | `listOffsets` | [`list_offsets`](crate::Broker::list_offsets) |
//! | `describeLogDirs` | [`describe_log_dir`](crate::Broker::describe_log_dir) |
//!
//! # Groups
//!
//! [`Broker::group`](crate::Broker::group) gives the handle, [`ConsumerGroup`]. What changes a
//! group's offsets needs the group to be without members, as in Kafka; its members take them up
//! when they join again.
//!
//! # Resetting offsets
//!
//! The ways are those of Kafka's `kafka-consumer-groups --reset-offsets`:
//!
//! | Kafka | here | the new offset of a partition |
//! |---|---|---|
//! | `--to-earliest` | [`ResetTo::Earliest`] | the log start |
//! | `--to-latest` | [`ResetTo::Latest`] | the log end |
//! | `--to-offset N` | [`ResetTo::Offset`] | N, moved into the log |
//! | `--shift-by N` | [`ResetTo::ShiftBy`] | N from what was committed, moved into the log |
//! | `--to-datetime T` | [`ResetTo::Timestamp`] | the first record from then on, else the log end |
//! | `--by-duration D` | [`ResetTo::ByDuration`] | the same, for so long ago |
//! | `--to-current` | [`ResetTo::Current`] | what was committed, else the log end |
//! | `--from-file F` | [`ConsumerGroup::plan_csv`] | what the file says, moved into the log |
//! | `--export` | [`ResetPlan::to_csv`] | |
//!
//! [`ConsumerGroup::plan_reset`] is Kafka's dry run: it answers a [`ResetPlan`] that changes
//! nothing until [`execute`](ResetPlan::execute).
//!
//! ```
//! use logreel::admin::{ResetScope, ResetTo};
//! use logreel::{Broker, ProducerRecord};
//!
//! let broker = Broker::in_memory();
//! let jobs = ["a", "b", "c"].map(|job| ProducerRecord::to("jobs").value(job));
//! broker.producer().build()?.send_batch(jobs).wait()?;
//!
//! let group = broker.group("workers");
//! group.alter_offsets(&[(("jobs", 0), 3)].into_iter().collect())?;
//! let plan = group.plan_reset(ResetScope::all_topics(), ResetTo::ShiftBy(-2))?;
//! assert_eq!(plan.to_csv(), "jobs,0,1\n");
//! assert_eq!(group.total_lag()?, 0, "nothing has happened yet");
//! plan.execute()?;
//! assert_eq!(group.total_lag()?, 2);
//! # Ok::<(), logreel::Error>(())
//! ```

mod records;

mod list_offsets;

mod log_dir;

mod csv;

mod lag;

mod reset;

mod plan;

mod group;

mod describe;

mod verify;

pub use crate::coordinator::GroupState;
pub use crate::log::verify::{Finding, Verification, VerifiedCounts};
pub use describe::{GroupDescription, GroupMember};
pub use group::ConsumerGroup;
pub use lag::PartitionLag;
pub use log_dir::{LogDirDescription, PartitionSize};
pub use plan::{PlannedOffset, ResetPlan};
pub use reset::{ResetScope, ResetTo};
pub use verify::{verify, verify_storage};
