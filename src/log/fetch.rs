//! Reading for those whose reads count.

use super::partition::Log;
use super::read::ReadOptions;
use super::segment::Picked;
use super::walk::Cursor;
use crate::error::Result;
use crate::metrics::count;
use crate::record::RecordBatch;

impl Log {
    /// [`read`](Log::read) for an application: counted.
    pub(crate) fn fetch(
        &self,
        cursor: &mut Cursor,
        options: ReadOptions,
    ) -> Result<Vec<RecordBatch>> {
        let counters = &self.context.counters;
        // At the end, where an idle consumer looks again and again, there is nothing to time.
        let has_more = cursor.offset() < self.readable_end(options.isolation);
        let timed = has_more && self.meter.times_fetch();
        let began = timed.then(|| self.context.clock.monotonic());
        let batches =
            self.read(cursor, options).inspect_err(|_| count(counters.failed_fetches()))?;
        if !batches.is_empty() {
            self.meter.fetched(batches.iter().map(|batch| batch.bytes().len() as u64).sum());
            if let Some(began) = began {
                let took = self.context.clock.monotonic().saturating_sub(began);
                counters.fetch_latency().record(took);
            }
        }
        Ok(batches)
    }

    /// What `take` finds in the batch that holds an offset, if that is found the short way; else
    /// [`fetch`](Self::fetch) tells what there is. Counted when it finds something.
    pub(crate) fn pick<T>(
        &self,
        offset: i64,
        crc: bool,
        take: impl FnOnce(&Picked) -> Option<T>,
    ) -> Option<T> {
        let began = self.meter.times_fetch().then(|| self.context.clock.monotonic());
        // The segments first: they still hold what is found to be above the log start.
        let segments = self.segments_now();
        if self.is_halted() || !(self.start_offset()..self.end_offset()).contains(&offset) {
            return None;
        }
        let segment = segments.get(Self::segment_of(&segments, offset)?)?;
        let picked = segment.pick(offset, crc)?;
        let found = take(&picked)?;
        self.meter.fetched(picked.header.size() as u64);
        if let Some(began) = began {
            let took = self.context.clock.monotonic().saturating_sub(began);
            self.context.counters.fetch_latency().record(took);
        }
        Some(found)
    }
}
