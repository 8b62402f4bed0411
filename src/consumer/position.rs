//! Where a consumer is in one partition, and what it has read ahead there.

use std::collections::VecDeque;
use std::sync::Arc;

use super::config::ConsumerConfig;
use super::records::Records;
use super::runs::Unread;
use crate::error::{Error, Result};
use crate::faults::OpKind;
use crate::log::{Cursor, Log, ReadOptions};
use crate::types::{OffsetAndMetadata, TopicPartition};

/// How much a fetch may take of a partition.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    /// To be read, when nothing was read ahead.
    pub(crate) bytes: usize,
    /// One batch is read however large.
    pub(crate) at_least_one: bool,
    /// Only batches that begin below this offset.
    pub(crate) until: i64,
}

/// A partition that is read.
pub(crate) struct Position {
    pub(crate) tp: TopicPartition,
    /// `None` until the topic exists.
    pub(crate) log: Option<Arc<Log>>,
    /// The offset of the next record to return; `None` until it is resolved.
    pub(crate) offset: Option<i64>,
    /// The epoch of the last record returned, which a commit carries.
    epoch: Option<i32>,
    cursor: Cursor,
    ahead: VecDeque<Unread>,
    /// Gives nothing until it is resumed.
    pub(crate) paused: bool,
    /// Why nothing is asked for until the moment that the error tells.
    pub(crate) resting: Option<Error>,
}

impl Position {
    pub(crate) fn new(tp: TopicPartition, log: Option<Arc<Log>>) -> Self {
        let cursor = Cursor::new(0);
        let (ahead, paused, resting) = (VecDeque::new(), false, None);
        Self { tp, log, offset: None, epoch: None, cursor, ahead, paused, resting }
    }

    /// Goes to another place; what was read ahead is dropped.
    pub(crate) fn seek(&mut self, offset: Option<i64>) {
        self.offset = offset;
        self.cursor = Cursor::new(offset.unwrap_or(0));
        self.ahead.clear();
        self.epoch = None;
    }

    /// What a commit of this position says.
    pub(crate) fn to_commit(&self) -> Option<OffsetAndMetadata> {
        self.offset.map(|offset| OffsetAndMetadata::new(offset).with_leader_epoch(self.epoch))
    }

    /// Whether there is something to return or to find out without waiting.
    pub(crate) fn is_ready(&self, config: &ConsumerConfig) -> bool {
        let (Some(log), Some(offset)) = (&self.log, self.offset) else { return false };
        let has_news = offset < log.readable_end(config.isolation)
            || self.is_lost()
            || (offset == log.end_offset() && log.end_error().is_some());
        !self.ahead.is_empty() || (has_news && self.resting.is_none() && !log.is_deleted())
    }

    /// Whether there is more than was read ahead.
    pub(crate) fn has_more(&self, config: &ConsumerConfig) -> bool {
        let Some(log) = &self.log else { return false };
        self.offset.is_some()
            && (self.cursor.offset() < log.readable_end(config.isolation) || self.is_lost())
            && self.resting.is_none()
            && !log.is_deleted()
    }

    /// Whether the position is out of range.
    fn is_lost(&self) -> bool {
        let (Some(log), Some(offset)) = (&self.log, self.offset) else { return false };
        offset < log.start_offset() || offset > log.end_offset()
    }

    /// Whether it waits for a transaction that is about to move the group's commit.
    pub(crate) fn is_unstable(&self) -> bool {
        self.log.is_some() && self.offset.is_none() && self.resting.is_none()
    }

    pub(crate) fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Reads ahead what has come. Answers how many bytes are ready; `None` when no more fits.
    pub(crate) fn gather(&mut self, config: &ConsumerConfig) -> Result<Option<usize>> {
        let Some(log) = self.log.clone() else { return Ok(Some(0)) };
        let end = log.readable_end(config.isolation);
        let size = |ahead: &VecDeque<Unread>| -> usize {
            ahead.iter().map(|batch| batch.header().size()).sum()
        };
        let room = config.max_partition_fetch_bytes.saturating_sub(size(&self.ahead));
        self.read_ahead(config, &log, room, self.ahead.is_empty())?;
        let is_full = self.offset.is_some() && self.cursor.offset() < end;
        Ok((!is_full).then(|| size(&self.ahead)))
    }

    /// Reads on behind what was read ahead. Answers how many bytes were read.
    fn read_ahead(
        &mut self,
        config: &ConsumerConfig,
        log: &Log,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<usize> {
        let Some(offset) = self.offset else { return Ok(0) };
        if self.resting.is_some() {
            return Ok(0);
        }
        let options = ReadOptions {
            max_bytes,
            at_least_one,
            crc: config.check_crcs,
            isolation: config.isolation,
            control: false,
        };
        if self.ahead.is_empty() && self.cursor.offset() != offset {
            self.cursor = Cursor::new(offset);
        }
        let (begun, cursor) = (self.cursor.clone(), &mut self.cursor);
        let operation = || config.operation(OpKind::Fetch).on(&self.tp);
        let fetch = || log.fetch(cursor, options);
        let fetched = log.context.faults.run(&log.context.clock, operation, fetch);
        if fetched.is_err() && log.context.faults.is_active() {
            // Perhaps it was read, and the answer was lost.
            self.cursor = begun;
        }
        let batches = match fetched {
            // Just now: the next look finds that the topic is gone, and waits for another.
            Err(_) if log.is_deleted() => return Ok(0),
            fetched => fetched?,
        };
        let mut bytes = 0;
        for batch in batches {
            match Unread::new(&batch, log) {
                Ok(unread) => {
                    bytes += batch.header().size();
                    self.ahead.push_back(unread);
                }
                Err(error) => {
                    // What came before is handed out; the next read begins at this batch.
                    self.cursor = Cursor::new(batch.header().base_offset());
                    if self.ahead.is_empty() {
                        return Err(error.on(&self.tp));
                    }
                    break;
                }
            }
        }
        if self.ahead.is_empty() {
            // Markers, aborted and compacted records are passed over.
            self.offset = Some(self.cursor.offset());
        }
        Ok(bytes)
    }

    /// Moves records to `records`, reading more if nothing was read ahead. Answers how many bytes
    /// were read.
    pub(crate) fn fetch(
        &mut self,
        config: &ConsumerConfig,
        limits: Limits,
        records: &mut Records,
    ) -> Result<usize> {
        let (Some(log), Some(mut offset)) = (self.log.clone(), self.offset) else { return Ok(0) };
        let mut bytes = 0;
        if self.ahead.is_empty() {
            bytes = self.read_ahead(config, &log, limits.bytes, limits.at_least_one)?;
        }
        let mut taken = 0;
        while taken < limits.records
            && let Some(batch) = self.ahead.front_mut()
            && batch.header().base_offset() < limits.until
        {
            let run = match batch.take(&self.tp, offset, limits.records - taken) {
                Ok(run) => run,
                Err(error) => {
                    self.ahead.clear();
                    self.cursor = Cursor::new(offset);
                    if taken > 0 {
                        // Those are handed out first; the error comes with the next read.
                        return Ok(bytes);
                    }
                    return Err(error);
                }
            };
            self.epoch = batch.header().leader_epoch().or(self.epoch);
            if let Some(run) = run {
                taken += run.len();
                offset = run.next_offset();
                records.push(run);
            } else {
                offset = offset.max(batch.header().next_offset());
            }
            if batch.is_done() {
                self.ahead.pop_front();
            }
            self.offset = Some(offset);
        }
        if self.ahead.is_empty() && taken > 0 {
            self.offset = Some(self.cursor.offset().max(offset));
        }
        Ok(bytes)
    }
}
