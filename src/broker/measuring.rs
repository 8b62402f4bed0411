//! A snapshot of what is counted, with what can only be told at the moment.

use super::handle::Broker;
use super::shared::Shared;
use crate::coordinator::GroupState;
use crate::log::Halt;
use crate::metrics::{Metrics, get};
use crate::types::TopicPartition;

impl Broker {
    /// What the broker has counted since it was opened, and how it is now: appends, reads, syncs,
    /// cleanings, groups and their lag, memory. [`metrics`](crate::metrics) lists everything.
    ///
    /// Does no I/O and takes no append lock; a commit may wait while what groups have committed is
    /// copied. A few microseconds, and some nanoseconds for each partition, segment and committed
    /// offset. Also answers after the broker was closed.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let records = ["a", "b", "c"].map(|value| ProducerRecord::to("t").value(value));
    /// broker.producer().build()?.send_batch(records).wait()?;
    /// broker.group("g").alter_offsets(&[(("t", 0), 1)].into_iter().collect())?;
    /// assert_eq!(broker.metrics().lag_sum, 2);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.handle().counted();
        self.handle().measure_logs(&mut metrics);
        self.handle().measure_groups(&mut metrics);
        self.handle().measure_memory(&mut metrics);
        metrics
    }
}

impl Shared {
    /// What was counted on the way.
    fn counted(&self) -> Metrics {
        let counters = &self.context.counters;
        let (totals, refused) = (counters.meters().totals(), get(counters.refused_appends()));
        let cleaned = counters.cleaned();
        let (read, left) = cleaned.last_bytes();
        Metrics {
            appends: totals.appends.saturating_add(refused),
            failed_appends: get(counters.failed_appends()).saturating_add(refused),
            batches_in: totals.batches_in,
            records_in: totals.records_in,
            bytes_in: totals.bytes_in,
            append_latency: counters.append_latency().summary(),
            unacknowledged_failures: get(counters.unacknowledged_failures()),
            fetches: totals.fetches,
            failed_fetches: get(counters.failed_fetches()),
            bytes_out: totals.bytes_out,
            fetch_latency: counters.fetch_latency().summary(),
            sync_latency: counters.sync_latency().summary(),
            segment_syncs: get(counters.segment_syncs()),
            failed_syncs: get(counters.failed_syncs()),
            checkpoints: get(counters.checkpoints()),
            failed_checkpoints: get(counters.failed_checkpoints()),
            rolls: get(counters.rolls()),
            segments_deleted: get(counters.segments_deleted()),
            bytes_deleted: get(counters.bytes_deleted()),
            failed_retentions: get(counters.failed_retentions()),
            indexes_rebuilt: get(counters.indexes_rebuilt()),
            derived_files_failed: get(counters.derived_files_failed()),
            clean_latency: counters.clean_latency().summary(),
            last_clean: cleaned.last(),
            last_recopy_ratio: ratio(left, read),
            cleaner_bytes_read: get(&cleaned.bytes_read),
            cleaner_bytes_left: get(&cleaned.bytes_left),
            cleaner_records_read: get(&cleaned.records_read),
            cleaner_records_left: get(&cleaned.records_left),
            failed_cleanings: get(counters.failed_cleanings()),
            dirtiest_ratio: cleaned.dirtiest(),
            rebalance_latency: counters.rebalance_latency().summary(),
            commits: get(counters.commits()),
            offsets_committed: get(counters.offsets_committed()),
            ..Metrics::default()
        }
    }

    fn measure_logs(&self, metrics: &mut Metrics) {
        metrics.topics = self.topics.read().len() as u64;
        metrics.uncleanable_partitions = self.upkeep.uncleanable.lock().len() as u64;
        for log in self.logs() {
            let segments = log.segments();
            metrics.partitions += 1;
            metrics.segments += segments.len() as u64;
            metrics.log_bytes += segments.iter().map(|segment| segment.size()).sum::<u64>();
            let is_offline = matches!(log.halt(), Some(Halt::Poisoned(_) | Halt::Damaged(_)));
            metrics.offline_partitions += u64::from(is_offline);
        }
    }

    fn measure_groups(&self, metrics: &mut Metrics) {
        let mut committed: Vec<(TopicPartition, i64)> = Vec::new();
        {
            // What is not loaded is not loaded for this.
            let groups = self.groups.loaded.lock();
            for (_, group) in groups.iter().flat_map(|loaded| loaded.known()) {
                metrics.groups += 1;
                metrics.members += group.member_count() as u64;
                let rebalances = !matches!(group.state(), GroupState::Empty | GroupState::Stable);
                metrics.rebalancing_groups += u64::from(rebalances);
                committed.extend(group.commits.iter().map(|(tp, at)| (tp.clone(), at.offset())));
            }
        }
        metrics.committed_offsets = committed.len() as u64;
        let behind = |(tp, at): &(TopicPartition, i64)| {
            let end = self.log(tp).ok()?.end_offset();
            u64::try_from(end.saturating_sub(*at)).ok()
        };
        for lag in committed.iter().filter_map(behind) {
            metrics.lag_sum = metrics.lag_sum.saturating_add(lag);
            metrics.lag_max = metrics.lag_max.max(lag);
        }
    }

    fn measure_memory(&self, metrics: &mut Metrics) {
        for bytes in self.duties().iter().filter_map(|duty| duty.buffered_bytes()) {
            metrics.producers += 1;
            metrics.buffered_bytes += bytes as u64;
        }
        let pinned = self.context.storage.backend().pinned();
        metrics.mapped_bytes = pinned.maps.get();
        metrics.chunk_bytes = pinned.chunks.get();
        metrics.decompressed_bytes = self.context.counters.decompressed_bytes().get();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of byte counts needs no last digit")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
