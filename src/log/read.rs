//! Reading: whole batches from an offset on, lookups by time, and what committed readers skip.

use std::sync::Arc;

use super::partition::{Halt, Log};
use super::scan::{Scanned, Stop};
use super::segment::{ScanStart, Segment};
use super::transactions::AbortedTxn;
use super::walk::{Cursor, damage};
use crate::error::{Error, Result};
use crate::record::RecordBatch;
use crate::types::{IsolationLevel, OffsetAndTimestamp, OffsetSpec};

/// What a read may bring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadOptions {
    pub(crate) max_bytes: usize,
    /// The first batch comes whole, however large (KIP-74).
    pub(crate) at_least_one: bool,
    /// Verify checksums (`check.crcs`).
    pub(crate) crc: bool,
    pub(crate) isolation: IsolationLevel,
    /// Bring control batches too: for coordinators, never for applications.
    pub(crate) control: bool,
}

impl Log {
    /// Reads batches from the cursor on and moves it behind them. Empty at the end; may also be
    /// empty before the end when all it met was to be skipped, the cursor has moved then. Damage
    /// behind sound batches is reported by the read that begins there.
    pub(crate) fn read(
        &self,
        cursor: &mut Cursor,
        options: ReadOptions,
    ) -> Result<Vec<RecordBatch>> {
        let mut looks = 0;
        loop {
            let began_at = cursor.offset();
            match self.read_from(cursor, options) {
                Ok(batches) => return Ok(batches),
                Err(error) => {
                    // Past segments of which compaction left nothing.
                    if cursor.offset() > began_at {
                        looks = 0;
                    }
                    self.look_again(error, &mut looks, Some(cursor.offset()))?;
                }
            }
        }
    }

    /// Reads once. A failure leaves the cursor where it was, or where nothing lay in between.
    fn read_from(&self, cursor: &mut Cursor, options: ReadOptions) -> Result<Vec<RecordBatch>> {
        let segments = self.segments();
        let (start, end) = (self.start_offset(), self.end_offset());
        if matches!(self.halt(), Some(Halt::Closed | Halt::Deleted))
            && let Some(error) = self.end_error()
        {
            return Err(error);
        }
        // Damage below the log start leaves nothing in range: say why.
        if start > end
            && cursor.offset() >= start
            && let Some(error) = self.end_error()
        {
            return Err(error);
        }
        // Behind damage there may be records; whoever asks for them is not out of range.
        if cursor.offset() > end
            && let Some(error) = self.end_error()
        {
            return Err(error);
        }
        if cursor.offset() < start || cursor.offset() > end {
            return Err(Error::offset_out_of_range(cursor.offset(), start, end).on(&self.tp));
        }
        let limit = self.readable_end(options.isolation);
        if cursor.offset() >= limit {
            // A transaction that is open where a log is damaged never ends: those who wait for it
            // are told.
            return self.end_error().map_or_else(|| Ok(Vec::new()), Err);
        }
        let aborted = match options.isolation {
            IsolationLevel::ReadCommitted => self.aborted_between(cursor.offset(), limit)?,
            IsolationLevel::ReadUncommitted => Vec::new(),
        };
        let began_at = cursor.offset();
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut bytes = 0;
        let mut walk = self.walk_in(segments, cursor, limit, options.crc);
        while bytes < options.max_bytes || batches.is_empty() {
            let batch = match walk.next() {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(_) if cursor.offset() > began_at => break,
                Err(error) => {
                    *cursor = walk.cursor().clone();
                    return Err(error);
                }
            };
            let header = batch.header();
            let wanted = (options.control || !header.is_control())
                && header.records_count() > 0
                && !is_aborted(&batch, &aborted);
            if wanted {
                let optional = !batches.is_empty() || !options.at_least_one;
                if optional && bytes + header.size() > options.max_bytes {
                    return Ok(batches);
                }
                bytes += header.size();
                batches.push(batch);
            }
            *cursor = walk.cursor().clone();
        }
        // Offsets up to the limit may all be gone (compacted, deleted): do not look there again.
        if batches.is_empty() && cursor.offset() < walk.cursor().offset() {
            *cursor = walk.cursor().clone();
            if cursor.offset() >= limit
                && let Some(error) = self.end_error()
            {
                return Err(error);
            }
        }
        Ok(batches)
    }

    /// The aborted transactions that overlap `from..to`, from the transaction indexes.
    pub(crate) fn aborted_between(&self, from: i64, to: i64) -> Result<Vec<AbortedTxn>> {
        let segments = self.segments();
        let mut found = Vec::new();
        let first = Self::segment_of(&segments, from).unwrap_or(0);
        for (index, segment) in segments.iter().enumerate().skip(first) {
            let rebuild = || Ok(self.replay_segment(&segments, index)?.aborted);
            for entry in segment.aborted(rebuild)? {
                if entry.last_offset >= from && entry.first_offset < to {
                    found.push(entry);
                }
                // Everything below this was decided when the marker was written.
                if entry.last_stable_offset >= to {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// The offset a specification means now; `None` where no record answers it.
    pub(crate) fn offset_for(
        &self,
        spec: OffsetSpec,
        isolation: IsolationLevel,
    ) -> Result<Option<OffsetAndTimestamp>> {
        let mut looks = 0;
        loop {
            match self.find(spec, isolation) {
                Ok(found) => return Ok(found),
                Err(error) => self.look_again(error, &mut looks, None)?,
            }
        }
    }

    fn find(
        &self,
        spec: OffsetSpec,
        isolation: IsolationLevel,
    ) -> Result<Option<OffsetAndTimestamp>> {
        let at = |offset| Ok(Some(OffsetAndTimestamp { offset, timestamp: None }));
        match spec {
            OffsetSpec::Earliest => at(self.start_offset()),
            OffsetSpec::Latest => at(self.readable_end(isolation)),
            OffsetSpec::At(offset) => at(offset),
            OffsetSpec::Timestamp(timestamp) => self.find_time(timestamp, isolation),
            OffsetSpec::MaxTimestamp => {
                let newest = self.max_timestamp(isolation)?;
                newest.map_or(Ok(None), |newest| self.find_time(newest, isolation))
            }
        }
    }

    /// The largest timestamp of the records that can be read.
    fn max_timestamp(&self, isolation: IsolationLevel) -> Result<Option<i64>> {
        let segments = self.segments();
        let (start, limit) = (self.start_offset(), self.readable_end(isolation));
        let mut newest: Option<i64> = None;
        for (index, segment) in segments.iter().enumerate() {
            let end = segments.get(index + 1).map_or(self.end_offset(), |next| next.base_offset);
            if end <= start || segment.base_offset >= limit {
                continue;
            }
            let found = if segment.base_offset >= start && end <= limit {
                segment.max_timestamp()?.map(|(timestamp, _)| timestamp)
            } else {
                self.max_timestamp_in(segment, start, limit)?
            };
            self.check_joint(&segments, index)?;
            newest = newest.max(found);
        }
        // Behind damage there may be later ones.
        self.end_error().map_or(Ok(newest), Err)
    }

    /// The same of a segment that is not read as a whole: its index tells of other records too.
    fn max_timestamp_in(
        &self,
        segment: &Arc<Segment>,
        start: i64,
        limit: i64,
    ) -> Result<Option<i64>> {
        let mut scanner = segment.scan(segment.start(), true)?;
        let mut newest: Option<i64> = None;
        loop {
            let batch = match scanner.next() {
                Ok(Some(scanned)) => scanned.batch,
                Ok(None) => return Ok(newest),
                Err(Stop::Io(error)) => return Err(error.on(&self.tp)),
                Err(Stop::Bad(bad)) => return Err(damage(&self.tp, segment, &bad)),
            };
            let header = batch.header();
            if header.last_offset() < start || header.max_timestamp() <= newest {
                continue;
            }
            if header.base_offset() >= limit {
                return Ok(newest);
            }
            let records = batch.records()?;
            let in_range = records.iter().filter(|r| (start..limit).contains(&r.offset()));
            newest = newest.max(in_range.filter_map(|record| record.timestamp()).max());
        }
    }

    /// The first record, in the order of offsets, whose timestamp is at least this.
    fn find_time(
        &self,
        timestamp: i64,
        isolation: IsolationLevel,
    ) -> Result<Option<OffsetAndTimestamp>> {
        let (start, limit) = (self.start_offset(), self.readable_end(isolation));
        let segments = self.segments();
        let first = Self::segment_of(&segments, start).unwrap_or(0);
        for (index, segment) in segments.iter().enumerate().skip(first) {
            let Some(from) = segment.find_time(timestamp)? else {
                self.check_joint(&segments, index)?;
                continue;
            };
            let found = match self.find_time_in(segment, from, timestamp, start, limit) {
                Err(Stop::Bad(_)) => {
                    // Perhaps only the index is wrong: rebuild it and look once more.
                    segment.find_offset(segment.base_offset, true)?;
                    let from = segment.find_time(timestamp)?.unwrap_or(segment.start());
                    self.find_time_in(segment, from, timestamp, start, limit)
                }
                found => found,
            };
            match found {
                Ok(None) => self.check_joint(&segments, index)?,
                Ok(found) => return Ok(found),
                Err(Stop::Io(error)) => return Err(error.on(&self.tp)),
                Err(Stop::Bad(bad)) => return Err(damage(&self.tp, segment, &bad)),
            }
        }
        // Behind damage there may be one.
        self.end_error().map_or(Ok(None), Err)
    }

    fn find_time_in(
        &self,
        segment: &Arc<Segment>,
        from: ScanStart,
        timestamp: i64,
        start: i64,
        limit: i64,
    ) -> Result<Option<OffsetAndTimestamp>, Stop> {
        let mut scanner = segment.scan(from, true).map_err(Stop::Io)?;
        while let Some(Scanned { batch, .. }) = scanner.next()? {
            let header = batch.header();
            if header.base_offset() >= limit {
                return Ok(None);
            }
            if header.last_offset() < start || header.max_timestamp() < Some(timestamp) {
                continue;
            }
            let records = batch.records().map_err(|error| Stop::Io(error.into()))?;
            let found = records.iter().find(|record| {
                record.timestamp() >= Some(timestamp)
                    && record.offset() >= start
                    && record.offset() < limit
            });
            if let Some(record) = found {
                return Ok(Some(OffsetAndTimestamp {
                    offset: record.offset(),
                    timestamp: record.timestamp(),
                }));
            }
        }
        Ok(None)
    }
}

/// Whether a batch holds data of an aborted transaction.
fn is_aborted(batch: &RecordBatch, aborted: &[AbortedTxn]) -> bool {
    let header = batch.header();
    header.is_transactional()
        && !header.is_control()
        && aborted.iter().any(|txn| {
            Some(txn.producer_id) == header.producer_id()
                && txn.first_offset <= header.base_offset()
                && header.last_offset() < txn.last_offset
        })
}
