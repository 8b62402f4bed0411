//! What a broker has counted, at one moment.

use std::time::Duration;

use super::histogram::Latency;
use super::names::{self, Value};

/// What a broker has counted since it was opened, and how it is at the moment. Made by
/// [`Broker::metrics`](crate::Broker::metrics); the [module](crate::metrics) has a table.
///
/// ```
/// use logreel::{Broker, ProducerRecord};
/// let broker = Broker::in_memory();
/// let before = broker.metrics();
/// broker.producer().build()?.send(ProducerRecord::to("t").value("x")).wait()?;
/// let after = broker.metrics();
/// assert_eq!(after.records_in - before.records_in, 1);
/// assert_eq!((after.topics, after.offline_partitions), (1, 0));
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Appends to partitions that were tried; one may hold several batches.
    pub appends: u64,
    /// Appends that were refused or failed; a part of what they held may have been written.
    /// A producer may have tried again.
    pub failed_appends: u64,
    /// Batches that were written.
    pub batches_in: u64,
    /// Records that were written, those of the coordinators' own topics included.
    pub records_in: u64,
    /// Bytes of batches that were written, as they lie on the disk.
    pub bytes_in: u64,
    /// How long appends took, with their wait for others and without the sync: of each
    /// partition the first and every sixteenth.
    pub append_latency: Latency,
    /// Batches sent with `acks=0` that were lost; nobody else hears of them.
    pub unacknowledged_failures: u64,
    /// Reads of partitions that brought something.
    pub fetches: u64,
    /// Reads of partitions that failed.
    pub failed_fetches: u64,
    /// Bytes of batches that were read for consumers and by `Partition::read`, as they lie
    /// on the disk.
    pub bytes_out: u64,
    /// How long reads took that brought something: of each partition the first and every
    /// sixteenth.
    pub fetch_latency: Latency,
    /// How long syncs of partitions took, with their directories. One may sync several
    /// segments.
    pub sync_latency: Latency,
    /// `fdatasync` calls on segments.
    pub segment_syncs: u64,
    /// Syncs of partitions that failed: each stopped one.
    pub failed_syncs: u64,
    /// How often recovery points and log starts were stored.
    pub checkpoints: u64,
    /// How often they could not be. They are stored again later; until then more is read
    /// after a crash.
    pub failed_checkpoints: u64,
    /// Segments that were full and got a successor.
    pub rolls: u64,
    /// Segments removed by retention, or below what `delete_records` deleted.
    pub segments_deleted: u64,
    /// Bytes of records in those.
    pub bytes_deleted: u64,
    /// Checks of retention that failed for some partition; they are tried again.
    pub failed_retentions: u64,
    /// Indexes rebuilt from the log because their file could not be believed.
    pub indexes_rebuilt: u64,
    /// Index, snapshot or epoch files that could not be written; they are rebuilt when
    /// needed.
    pub derived_files_failed: u64,
    /// Topics, the coordinators' own included. Now.
    pub topics: u64,
    /// Their partitions. Now.
    pub partitions: u64,
    /// Partitions that take no appends because their storage failed or they are damaged.
    /// Now.
    pub offline_partitions: u64,
    /// Segments of all partitions. Now.
    pub segments: u64,
    /// Bytes of records in them. Now.
    pub log_bytes: u64,
    /// How long cleanings of compacted logs took.
    pub clean_latency: Latency,
    /// How long the last one took, zero before the first. Kafka's is the largest of its
    /// threads'; here there is one.
    pub last_clean: Duration,
    /// How much of what it read the last one left, 0 to 1.
    pub last_recopy_ratio: f64,
    /// Bytes that cleanings read to write them again.
    pub cleaner_bytes_read: u64,
    /// Bytes that they left of those.
    pub cleaner_bytes_left: u64,
    /// Records that cleanings read to write them again.
    pub cleaner_records_read: u64,
    /// Records that they left of those.
    pub cleaner_records_left: u64,
    /// Cleanings that failed, or could not begin: on damage, which makes the partition
    /// uncleanable, or on I/O errors, after which it is tried again.
    pub failed_cleanings: u64,
    /// Partitions that are not cleaned any more because damage was met. Now.
    pub uncleanable_partitions: u64,
    /// How much of the dirtiest compacted log was dirty when the cleaner last looked, 0 to
    /// 1.
    pub dirtiest_ratio: f64,
    /// Groups with members or commits, as far as the offsets topic has been read: it is
    /// when a group is first used. Now.
    pub groups: u64,
    /// Those whose members have not all been given their share. Now.
    pub rebalancing_groups: u64,
    /// Members of all groups. Now.
    pub members: u64,
    /// Positions that groups have committed. Now.
    pub committed_offsets: u64,
    /// How long rebalances took, from the first change until the assignment was stored.
    pub rebalance_latency: Latency,
    /// Commits that were written.
    pub commits: u64,
    /// Positions in those.
    pub offsets_committed: u64,
    /// How far all groups are behind in all partitions together, where they have committed.
    /// Now.
    pub lag_sum: u64,
    /// How far the group that is furthest behind is in one partition. Now.
    pub lag_max: u64,
    /// Open producers. Now.
    pub producers: u64,
    /// Bytes of `buffer.memory` that they hold for what is not delivered. Now.
    pub buffered_bytes: u64,
    /// Bytes of segments that are mapped, for reading or because `Records` are kept. Now.
    pub mapped_bytes: u64,
    /// Bytes in chunks that were read from files and are held by `Records` and consumers.
    /// Now.
    pub chunk_bytes: u64,
    /// Bytes of decompressed batches that are held by `Records` and consumers. Now.
    pub decompressed_bytes: u64,
}

impl Metrics {
    /// All of them as names and numbers, for whatever collects metrics: under Kafka's names (those
    /// of its JMX beans) where Kafka has the same, under ours where it has not. Rates of Kafka are
    /// told by their counts, ratios that Kafka tells as percentages are percentages, and a latency
    /// is six numbers, in milliseconds: `:Count`, `:Mean`, `:Max`, `:50thPercentile`,
    /// `:99thPercentile` and `:999thPercentile`, zero before the first.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// broker.producer().build()?.send(ProducerRecord::to("t").value("x")).wait()?;
    /// let name = "kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec";
    /// let metrics = broker.metrics();
    /// let (_, value) = metrics.named().find(|(found, _)| found == name).expect("it is there");
    /// assert_eq!(value, 1.0);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn named(&self) -> impl Iterator<Item = (String, f64)> {
        names::numbers(self.values())
    }

    fn values(&self) -> Vec<(&'static str, Value<'_>)> {
        use Value::{Count, Percent, Seconds, Times};
        vec![
            (
                "kafka.server:type=BrokerTopicMetrics,name=TotalProduceRequestsPerSec",
                Count(self.appends),
            ),
            (
                "kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec",
                Count(self.failed_appends),
            ),
            ("logreel:type=BrokerTopicMetrics,name=BatchesIn", Count(self.batches_in)),
            ("kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec", Count(self.records_in)),
            ("kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec", Count(self.bytes_in)),
            ("logreel:type=BrokerTopicMetrics,name=AppendTimeMs", Times(&self.append_latency)),
            (
                "logreel:type=BrokerTopicMetrics,name=UnacknowledgedFailures",
                Count(self.unacknowledged_failures),
            ),
            ("logreel:type=BrokerTopicMetrics,name=Fetches", Count(self.fetches)),
            (
                "kafka.server:type=BrokerTopicMetrics,name=FailedFetchRequestsPerSec",
                Count(self.failed_fetches),
            ),
            ("kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec", Count(self.bytes_out)),
            ("logreel:type=BrokerTopicMetrics,name=FetchTimeMs", Times(&self.fetch_latency)),
            ("kafka.log:type=LogFlushStats,name=LogFlushRateAndTimeMs", Times(&self.sync_latency)),
            ("logreel:type=LogFlushStats,name=SegmentSyncs", Count(self.segment_syncs)),
            ("logreel:type=LogFlushStats,name=FailedSyncs", Count(self.failed_syncs)),
            ("logreel:type=LogManager,name=Checkpoints", Count(self.checkpoints)),
            ("logreel:type=LogManager,name=FailedCheckpoints", Count(self.failed_checkpoints)),
            ("logreel:type=LogManager,name=Rolls", Count(self.rolls)),
            ("logreel:type=LogManager,name=SegmentsDeleted", Count(self.segments_deleted)),
            ("logreel:type=LogManager,name=BytesDeleted", Count(self.bytes_deleted)),
            ("logreel:type=LogManager,name=FailedRetentions", Count(self.failed_retentions)),
            ("logreel:type=LogManager,name=IndexesRebuilt", Count(self.indexes_rebuilt)),
            ("logreel:type=LogManager,name=DerivedFilesFailed", Count(self.derived_files_failed)),
            ("kafka.controller:type=KafkaController,name=GlobalTopicCount", Count(self.topics)),
            ("kafka.server:type=ReplicaManager,name=PartitionCount", Count(self.partitions)),
            (
                "kafka.server:type=ReplicaManager,name=OfflineReplicaCount",
                Count(self.offline_partitions),
            ),
            ("logreel:type=LogManager,name=Segments", Count(self.segments)),
            ("logreel:type=LogManager,name=Size", Count(self.log_bytes)),
            ("logreel:type=LogCleaner,name=CleanTimeMs", Times(&self.clean_latency)),
            ("kafka.log:type=LogCleaner,name=max-clean-time-secs", Seconds(self.last_clean)),
            (
                "kafka.log:type=LogCleaner,name=cleaner-recopy-percent",
                Percent(self.last_recopy_ratio),
            ),
            ("logreel:type=LogCleaner,name=BytesRead", Count(self.cleaner_bytes_read)),
            ("logreel:type=LogCleaner,name=BytesLeft", Count(self.cleaner_bytes_left)),
            ("logreel:type=LogCleaner,name=RecordsRead", Count(self.cleaner_records_read)),
            ("logreel:type=LogCleaner,name=RecordsLeft", Count(self.cleaner_records_left)),
            ("logreel:type=LogCleaner,name=FailedCleanings", Count(self.failed_cleanings)),
            (
                "kafka.log:type=LogCleanerManager,name=uncleanable-partitions-count",
                Count(self.uncleanable_partitions),
            ),
            (
                "kafka.log:type=LogCleanerManager,name=max-dirty-percent",
                Percent(self.dirtiest_ratio),
            ),
            (
                "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroups",
                Count(self.groups),
            ),
            (
                "logreel:type=GroupMetadataManager,name=NumGroupsRebalancing",
                Count(self.rebalancing_groups),
            ),
            ("logreel:type=GroupMetadataManager,name=NumMembers", Count(self.members)),
            (
                "kafka.coordinator.group:type=GroupMetadataManager,name=NumOffsets",
                Count(self.committed_offsets),
            ),
            (
                "kafka.server:type=group-coordinator-metrics,name=group-completed-rebalance",
                Times(&self.rebalance_latency),
            ),
            ("logreel:type=group-coordinator-metrics,name=commit-count", Count(self.commits)),
            (
                "kafka.server:type=group-coordinator-metrics,name=offset-commit-count",
                Count(self.offsets_committed),
            ),
            ("logreel:type=GroupMetadataManager,name=LagSum", Count(self.lag_sum)),
            ("logreel:type=GroupMetadataManager,name=LagMax", Count(self.lag_max)),
            ("logreel:type=Memory,name=Producers", Count(self.producers)),
            ("logreel:type=Memory,name=BufferedBytes", Count(self.buffered_bytes)),
            ("logreel:type=Memory,name=MappedBytes", Count(self.mapped_bytes)),
            ("logreel:type=Memory,name=ChunkBytes", Count(self.chunk_bytes)),
            ("logreel:type=Memory,name=DecompressedBytes", Count(self.decompressed_bytes)),
        ]
    }
}
