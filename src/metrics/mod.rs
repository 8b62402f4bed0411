//! What a broker counts: appends, reads, syncs, retention, cleaning, groups, memory.
//!
//! [`Broker::metrics`](crate::Broker::metrics) takes a snapshot, as a struct with a field for each;
//! [`Metrics::named`] tells the same as pairs of names and numbers, under Kafka's names where Kafka
//! has the same metric. Counting is always on. It costs a few instructions a batch and nothing a
//! record; of the appends and the reads of a partition every sixteenth is timed.
//!
//! A snapshot costs a few microseconds for the broker and some nanoseconds for each partition,
//! segment and committed offset. It does no I/O and takes no append lock.
//!
//! ```
//! use logreel::{Broker, ProducerRecord};
//! let broker = Broker::in_memory();
//! let records = ["a", "b"].map(|value| ProducerRecord::to("events").value(value));
//! broker.producer().build()?.send_batch(records).wait()?;
//!
//! let metrics = broker.metrics();
//! assert_eq!((metrics.batches_in, metrics.records_in), (1, 2));
//! assert_eq!(metrics.sync_latency.count(), 1);
//! for (name, value) in metrics.named() {
//!     println!("{name} {value}");
//! }
//! # Ok::<(), logreel::Error>(())
//! ```
//!
//! How far one group is behind says [`ConsumerGroup::lag`](crate::ConsumerGroup::lag), and one
//! consumer [`Consumer::lag`](crate::Consumer::lag).
//!
//! # All metrics
//!
//! Counters and histograms begin at zero when the broker is opened, gauges tell how it is now.
//!
//! | field of [`Metrics`] | name | what |
//! |---|---|---|
//! | [`appends`](Metrics::appends) | `kafka.server:type=BrokerTopicMetrics,name=TotalProduceRequestsPerSec` | counter: Appends to partitions that were tried; one may hold several batches. |
//! | [`failed_appends`](Metrics::failed_appends) | `kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec` | counter: Appends that were refused or failed; a part of what they held may have been written. A producer may have tried again. |
//! | [`batches_in`](Metrics::batches_in) | `logreel:type=BrokerTopicMetrics,name=BatchesIn` | counter: Batches that were written. |
//! | [`records_in`](Metrics::records_in) | `kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec` | counter: Records that were written, those of the coordinators' own topics included. |
//! | [`bytes_in`](Metrics::bytes_in) | `kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec` | counter: Bytes of batches that were written, as they lie on the disk. |
//! | [`append_latency`](Metrics::append_latency) | `logreel:type=BrokerTopicMetrics,name=AppendTimeMs` | histogram: How long appends took, with their wait for others and without the sync: of each partition the first and every sixteenth. |
//! | [`unacknowledged_failures`](Metrics::unacknowledged_failures) | `logreel:type=BrokerTopicMetrics,name=UnacknowledgedFailures` | counter: Batches sent with `acks=0` that were lost; nobody else hears of them. |
//! | [`fetches`](Metrics::fetches) | `logreel:type=BrokerTopicMetrics,name=Fetches` | counter: Reads of partitions that brought something. |
//! | [`failed_fetches`](Metrics::failed_fetches) | `kafka.server:type=BrokerTopicMetrics,name=FailedFetchRequestsPerSec` | counter: Reads of partitions that failed. |
//! | [`bytes_out`](Metrics::bytes_out) | `kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec` | counter: Bytes of batches that were read for consumers and by `Partition::read`, as they lie on the disk. |
//! | [`fetch_latency`](Metrics::fetch_latency) | `logreel:type=BrokerTopicMetrics,name=FetchTimeMs` | histogram: How long reads took that brought something: of each partition the first and every sixteenth. |
//! | [`sync_latency`](Metrics::sync_latency) | `kafka.log:type=LogFlushStats,name=LogFlushRateAndTimeMs` | histogram: How long syncs of partitions took, with their directories. One may sync several segments. |
//! | [`segment_syncs`](Metrics::segment_syncs) | `logreel:type=LogFlushStats,name=SegmentSyncs` | counter: `fdatasync` calls on segments. |
//! | [`failed_syncs`](Metrics::failed_syncs) | `logreel:type=LogFlushStats,name=FailedSyncs` | counter: Syncs of partitions that failed: each stopped one. |
//! | [`checkpoints`](Metrics::checkpoints) | `logreel:type=LogManager,name=Checkpoints` | counter: How often recovery points and log starts were stored. |
//! | [`failed_checkpoints`](Metrics::failed_checkpoints) | `logreel:type=LogManager,name=FailedCheckpoints` | counter: How often they could not be. They are stored again later; until then more is read after a crash. |
//! | [`rolls`](Metrics::rolls) | `logreel:type=LogManager,name=Rolls` | counter: Segments that were full and got a successor. |
//! | [`segments_deleted`](Metrics::segments_deleted) | `logreel:type=LogManager,name=SegmentsDeleted` | counter: Segments removed by retention, or below what `delete_records` deleted. |
//! | [`bytes_deleted`](Metrics::bytes_deleted) | `logreel:type=LogManager,name=BytesDeleted` | counter: Bytes of records in those. |
//! | [`failed_retentions`](Metrics::failed_retentions) | `logreel:type=LogManager,name=FailedRetentions` | counter: Checks of retention that failed for some partition; they are tried again. |
//! | [`indexes_rebuilt`](Metrics::indexes_rebuilt) | `logreel:type=LogManager,name=IndexesRebuilt` | counter: Indexes rebuilt from the log because their file could not be believed. |
//! | [`derived_files_failed`](Metrics::derived_files_failed) | `logreel:type=LogManager,name=DerivedFilesFailed` | counter: Index, snapshot or epoch files that could not be written; they are rebuilt when needed. |
//! | [`topics`](Metrics::topics) | `kafka.controller:type=KafkaController,name=GlobalTopicCount` | gauge: Topics, the coordinators' own included. |
//! | [`partitions`](Metrics::partitions) | `kafka.server:type=ReplicaManager,name=PartitionCount` | gauge: Their partitions. |
//! | [`offline_partitions`](Metrics::offline_partitions) | `kafka.server:type=ReplicaManager,name=OfflineReplicaCount` | gauge: Partitions that take no appends because their storage failed or they are damaged. |
//! | [`segments`](Metrics::segments) | `logreel:type=LogManager,name=Segments` | gauge: Segments of all partitions. |
//! | [`log_bytes`](Metrics::log_bytes) | `logreel:type=LogManager,name=Size` | gauge: Bytes of records in them. |
//! | [`clean_latency`](Metrics::clean_latency) | `logreel:type=LogCleaner,name=CleanTimeMs` | histogram: How long cleanings of compacted logs took. |
//! | [`last_clean`](Metrics::last_clean) | `kafka.log:type=LogCleaner,name=max-clean-time-secs` | gauge: How long the last one took, zero before the first. Kafka's is the largest of its threads'; here there is one. |
//! | [`last_recopy_ratio`](Metrics::last_recopy_ratio) | `kafka.log:type=LogCleaner,name=cleaner-recopy-percent` | gauge: How much of what it read the last one left, 0 to 1. |
//! | [`cleaner_bytes_read`](Metrics::cleaner_bytes_read) | `logreel:type=LogCleaner,name=BytesRead` | counter: Bytes that cleanings read to write them again. |
//! | [`cleaner_bytes_left`](Metrics::cleaner_bytes_left) | `logreel:type=LogCleaner,name=BytesLeft` | counter: Bytes that they left of those. |
//! | [`cleaner_records_read`](Metrics::cleaner_records_read) | `logreel:type=LogCleaner,name=RecordsRead` | counter: Records that cleanings read to write them again. |
//! | [`cleaner_records_left`](Metrics::cleaner_records_left) | `logreel:type=LogCleaner,name=RecordsLeft` | counter: Records that they left of those. |
//! | [`failed_cleanings`](Metrics::failed_cleanings) | `logreel:type=LogCleaner,name=FailedCleanings` | counter: Cleanings that failed, or could not begin: on damage, which makes the partition uncleanable, or on I/O errors, after which it is tried again. |
//! | [`uncleanable_partitions`](Metrics::uncleanable_partitions) | `kafka.log:type=LogCleanerManager,name=uncleanable-partitions-count` | gauge: Partitions that are not cleaned any more because damage was met. |
//! | [`dirtiest_ratio`](Metrics::dirtiest_ratio) | `kafka.log:type=LogCleanerManager,name=max-dirty-percent` | gauge: How much of the dirtiest compacted log was dirty when the cleaner last looked, 0 to 1. |
//! | [`groups`](Metrics::groups) | `kafka.coordinator.group:type=GroupMetadataManager,name=NumGroups` | gauge: Groups with members or commits, as far as the offsets topic has been read: it is when a group is first used. |
//! | [`rebalancing_groups`](Metrics::rebalancing_groups) | `logreel:type=GroupMetadataManager,name=NumGroupsRebalancing` | gauge: Those whose members have not all been given their share. |
//! | [`members`](Metrics::members) | `logreel:type=GroupMetadataManager,name=NumMembers` | gauge: Members of all groups. |
//! | [`committed_offsets`](Metrics::committed_offsets) | `kafka.coordinator.group:type=GroupMetadataManager,name=NumOffsets` | gauge: Positions that groups have committed. |
//! | [`rebalance_latency`](Metrics::rebalance_latency) | `kafka.server:type=group-coordinator-metrics,name=group-completed-rebalance` | histogram: How long rebalances took, from the first change until the assignment was stored. |
//! | [`commits`](Metrics::commits) | `logreel:type=group-coordinator-metrics,name=commit-count` | counter: Commits that were written. |
//! | [`offsets_committed`](Metrics::offsets_committed) | `kafka.server:type=group-coordinator-metrics,name=offset-commit-count` | counter: Positions in those. |
//! | [`lag_sum`](Metrics::lag_sum) | `logreel:type=GroupMetadataManager,name=LagSum` | gauge: How far all groups are behind in all partitions together, where they have committed. |
//! | [`lag_max`](Metrics::lag_max) | `logreel:type=GroupMetadataManager,name=LagMax` | gauge: How far the group that is furthest behind is in one partition. |
//! | [`producers`](Metrics::producers) | `logreel:type=Memory,name=Producers` | gauge: Open producers. |
//! | [`buffered_bytes`](Metrics::buffered_bytes) | `logreel:type=Memory,name=BufferedBytes` | gauge: Bytes of `buffer.memory` that they hold for what is not delivered. |
//! | [`mapped_bytes`](Metrics::mapped_bytes) | `logreel:type=Memory,name=MappedBytes` | gauge: Bytes of segments that are mapped, for reading or because `Records` are kept. |
//! | [`chunk_bytes`](Metrics::chunk_bytes) | `logreel:type=Memory,name=ChunkBytes` | gauge: Bytes in chunks that were read from files and are held by `Records` and consumers. |
//! | [`decompressed_bytes`](Metrics::decompressed_bytes) | `logreel:type=Memory,name=DecompressedBytes` | gauge: Bytes of decompressed batches that are held by `Records` and consumers. |

mod histogram;

mod held;

mod meter;

mod counters;

mod names;

mod snapshot;

pub use histogram::Latency;
pub use snapshot::Metrics;

pub(crate) use counters::{Counters, add, count, get};
pub(crate) use held::{Gauge, Held, Pinned};
pub(crate) use meter::Meter;
