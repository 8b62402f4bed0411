//! What a partition remembers of its producers: epoch, the last five batches, the open transaction.
//!
//! This is what makes a retry harmless: a batch that was written already is answered with the
//! offsets it has, and one that leaves a gap is refused. The rules are those of Kafka's
//! `ProducerStateManager` (KIP-98, KIP-360). State is rebuilt from the log, helped by snapshots:
//! `<offset>.snapshot` holds the state as of that offset, with the last batch of each producer.

use std::collections::{BTreeMap, VecDeque};

use crate::error::{Error, ErrorCode, Result};
use crate::record::{BatchHeader, ControlRecord, crc32c, increment_sequence};

/// How many batches of a producer are remembered (Kafka: `NUM_BATCHES_TO_RETAIN`).
const BATCHES_MAX: usize = 5;
const SNAPSHOT_VERSION: i16 = 1;
const SNAPSHOT_HEADER_LEN: usize = 10;
const SNAPSHOT_ENTRY_LEN: usize = 46;

/// A batch of a producer that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchMeta {
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: i64,
    pub(crate) offset_delta: i32,
    pub(crate) timestamp: i64,
}

impl BatchMeta {
    fn first_sequence(&self) -> i32 {
        crate::record::decrement_sequence(self.last_sequence, self.offset_delta)
    }

    pub(crate) fn first_offset(&self) -> i64 {
        self.last_offset.saturating_sub(i64::from(self.offset_delta))
    }
}

/// The state of one producer in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct ProducerEntry {
    pub(crate) epoch: i16,
    pub(crate) batches: VecDeque<BatchMeta>,
    pub(crate) coordinator_epoch: Option<i32>,
    pub(crate) last_timestamp: Option<i64>,
    pub(crate) txn_first_offset: Option<i64>,
}

impl ProducerEntry {
    fn check_epoch(&self, id: i64, epoch: i16) -> Result<()> {
        if epoch >= self.epoch {
            return Ok(());
        }
        Err(Error::kafka(
            ErrorCode::InvalidProducerEpoch,
            format!("producer {id} has epoch {}, epoch {epoch} is over", self.epoch),
        ))
    }

    pub(crate) fn last_sequence(&self) -> Option<i32> {
        self.batches.back().map(|batch| batch.last_sequence)
    }
}

/// By which batch a producer is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastBatch {
    /// The last offset of its last data batch; `None` when only a marker tells of it.
    pub(crate) last_offset: Option<i64>,
    pub(crate) epoch: i16,
}

/// What an append of a producer's batch amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Append it.
    New,
    /// It is in the log already, as this batch.
    Duplicate(BatchMeta),
}

/// A transaction that a marker ended in this partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompletedTxn {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    pub(crate) marker_offset: i64,
    pub(crate) aborted: bool,
}

/// All producers of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProducerStates {
    entries: BTreeMap<i64, ProducerEntry>,
    /// First offset of each open transaction, and whose it is.
    open: BTreeMap<i64, i64>,
}

impl ProducerStates {
    /// The first offset of the oldest open transaction.
    pub(crate) fn first_open_offset(&self) -> Option<i64> {
        self.open.first_key_value().map(|(offset, _)| *offset)
    }

    /// The last stable offset right after this transaction ended.
    pub(crate) fn stable_after(&self, txn: &CompletedTxn) -> i64 {
        self.first_open_offset().unwrap_or(txn.marker_offset + 1)
    }

    /// The last batch of each producer.
    pub(crate) fn last_batches(&self) -> BTreeMap<i64, LastBatch> {
        let last = |entry: &ProducerEntry| LastBatch {
            last_offset: entry.batches.back().map(|batch| batch.last_offset),
            epoch: entry.epoch,
        };
        self.entries.iter().map(|(id, entry)| (*id, last(entry))).collect()
    }

    /// The producers that have a transaction open, with its epoch.
    pub(crate) fn open_transactions(&self) -> Vec<(i64, i16)> {
        let epoch = |id: &i64| Some((*id, self.entries.get(id)?.epoch));
        self.open.values().filter_map(epoch).collect()
    }

    pub(crate) fn has_open(&self, id: i64) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.txn_first_offset.is_some())
    }

    /// From now on nothing of an earlier epoch is taken from a producer. No record says so: after
    /// a restart nobody is left who could send it.
    pub(crate) fn fence(&mut self, id: i64, epoch: i16, now: i64) {
        let entry = self.entries.entry(id).or_default();
        if entry.epoch < epoch {
            entry.epoch = epoch;
            entry.batches.clear();
            entry.last_timestamp = Some(now);
        }
    }

    /// The highest epoch that is known of a producer.
    pub(crate) fn epoch(&self, id: i64) -> Option<i16> {
        self.entries.get(&id).map(|entry| entry.epoch)
    }

    /// Whether no producer is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The highest id of a producer.
    pub(crate) fn highest_id(&self) -> Option<i64> {
        self.entries.last_key_value().map(|(id, _)| *id)
    }

    /// Checks a client's batch against what is known of its producer.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Verdict> {
        let (Some(id), Some(epoch)) = (header.producer_id(), header.producer_epoch()) else {
            return Ok(Verdict::New);
        };
        let Some(entry) = self.entries.get(&id) else {
            // The head of the log may have been deleted: any sequence is accepted.
            return Ok(Verdict::New);
        };
        let Some(first) = header.base_sequence() else {
            // A coordinator's batch: no sequence, but never of a transaction that is over.
            entry.check_epoch(id, epoch)?;
            return Ok(Verdict::New);
        };
        let last = increment_sequence(first, header.last_offset_delta());
        if epoch == entry.epoch
            && let Some(known) = entry
                .batches
                .iter()
                .find(|b| b.first_sequence() == first && b.last_sequence == last)
        {
            return Ok(Verdict::Duplicate(*known));
        }
        entry.check_epoch(id, epoch)?;
        let expected = match entry.last_sequence() {
            Some(sequence) if epoch == entry.epoch => increment_sequence(sequence, 1),
            _ => 0,
        };
        if first != expected {
            return Err(Error::kafka(
                ErrorCode::OutOfOrderSequenceNumber,
                format!("producer {id} sent sequence {first}, {expected} was expected"),
            ));
        }
        if entry.txn_first_offset.is_some() && !header.is_transactional() {
            return Err(Error::kafka(
                ErrorCode::InvalidTxnState,
                format!("producer {id} has an open transaction and sent a plain batch"),
            ));
        }
        Ok(Verdict::New)
    }

    /// Takes note of a data batch that stands in the log.
    pub(crate) fn append(&mut self, header: &BatchHeader) {
        let (Some(id), Some(epoch)) = (header.producer_id(), header.producer_epoch()) else {
            return;
        };
        let entry = self.entries.entry(id).or_default();
        if entry.epoch != epoch || entry.batches.is_empty() {
            entry.batches.clear();
            entry.epoch = epoch;
        }
        if let Some(last_sequence) = header.last_sequence() {
            if entry.batches.len() == BATCHES_MAX {
                entry.batches.pop_front();
            }
            entry.batches.push_back(BatchMeta {
                last_sequence,
                last_offset: header.last_offset(),
                offset_delta: header.last_offset_delta(),
                timestamp: header.max_timestamp().unwrap_or(-1),
            });
        }
        entry.last_timestamp = header.max_timestamp();
        if header.is_transactional() && entry.txn_first_offset.is_none() {
            entry.txn_first_offset = Some(header.base_offset());
            self.open.insert(header.base_offset(), id);
        }
    }

    /// Takes note of a marker that stands in the log; answers the transaction it ended here.
    pub(crate) fn end_txn(
        &mut self,
        header: &BatchHeader,
        marker: ControlRecord,
    ) -> Option<CompletedTxn> {
        let (aborted, coordinator_epoch) = match marker {
            ControlRecord::Abort { coordinator_epoch } => (true, coordinator_epoch),
            ControlRecord::Commit { coordinator_epoch } => (false, coordinator_epoch),
            _ => return None,
        };
        let (id, epoch) = (header.producer_id()?, header.producer_epoch()?);
        let entry = self.entries.entry(id).or_default();
        // KIP-890: the marker may carry the next epoch; sequences then start again at 0.
        if entry.epoch != epoch {
            entry.epoch = epoch;
            entry.batches.clear();
        }
        entry.coordinator_epoch = Some(coordinator_epoch);
        entry.last_timestamp = header.max_timestamp();
        let first_offset = entry.txn_first_offset.take()?;
        self.open.remove(&first_offset);
        Some(CompletedTxn {
            producer_id: id,
            first_offset,
            marker_offset: header.last_offset(),
            aborted,
        })
    }

    /// Forgets producers that have been silent since before `before` and have nothing open.
    pub(crate) fn expire(&mut self, before: i64) {
        self.entries.retain(|_, entry| {
            entry.txn_first_offset.is_some() || entry.last_timestamp.is_none_or(|t| t >= before)
        });
    }

    /// The bytes of a snapshot file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(4 + self.entries.len() * SNAPSHOT_ENTRY_LEN);
        body.extend_from_slice(
            &i32::try_from(self.entries.len()).unwrap_or(i32::MAX).to_be_bytes(),
        );
        for (id, entry) in &self.entries {
            let last = entry.batches.back();
            body.extend_from_slice(&id.to_be_bytes());
            body.extend_from_slice(&entry.epoch.to_be_bytes());
            body.extend_from_slice(&last.map_or(-1, |b| b.last_sequence).to_be_bytes());
            body.extend_from_slice(&last.map_or(-1, |b| b.last_offset).to_be_bytes());
            body.extend_from_slice(&last.map_or(0, |b| b.offset_delta).to_be_bytes());
            body.extend_from_slice(&entry.last_timestamp.unwrap_or(-1).to_be_bytes());
            body.extend_from_slice(&entry.coordinator_epoch.unwrap_or(-1).to_be_bytes());
            body.extend_from_slice(&entry.txn_first_offset.unwrap_or(-1).to_be_bytes());
        }
        let mut out = Vec::with_capacity(6 + body.len());
        out.extend_from_slice(&SNAPSHOT_VERSION.to_be_bytes());
        out.extend_from_slice(&crc32c(&body).to_be_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// Reads a snapshot file; `None` when it is damaged or of another version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut states = Self::default();
        for entry in ProducerSnapshotEntry::read_all(bytes)? {
            let mut batches = VecDeque::new();
            if let (Some(last_offset), Some(last_sequence)) =
                (entry.last_offset, entry.last_sequence)
            {
                batches.push_back(BatchMeta {
                    last_sequence,
                    last_offset,
                    offset_delta: entry.offset_delta,
                    timestamp: entry.last_timestamp.unwrap_or(-1),
                });
            }
            if let Some(first) = entry.txn_first_offset {
                states.open.insert(first, entry.producer_id);
            }
            states.entries.insert(
                entry.producer_id,
                ProducerEntry {
                    epoch: entry.epoch,
                    batches,
                    coordinator_epoch: entry.coordinator_epoch,
                    last_timestamp: entry.last_timestamp,
                    txn_first_offset: entry.txn_first_offset,
                },
            );
        }
        Some(states)
    }
}

/// One producer in a `.snapshot` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerSnapshotEntry {
    /// The producer's id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The sequence number of its last record, if it wrote one in this epoch.
    pub last_sequence: Option<i32>,
    /// The offset of its last record.
    pub last_offset: Option<i64>,
    /// Last minus first offset of its last batch.
    pub offset_delta: i32,
    /// The largest timestamp of its last batch, in milliseconds since 1970.
    pub last_timestamp: Option<i64>,
    /// The epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction began.
    pub txn_first_offset: Option<i64>,
}

impl ProducerSnapshotEntry {
    /// The producers in a `.snapshot` file; `None` when its checksum, length or version is wrong.
    #[must_use]
    pub fn read_all(bytes: &[u8]) -> Option<Vec<Self>> {
        let (version, rest) = bytes.split_first_chunk::<2>()?;
        let (crc, body) = rest.split_first_chunk::<4>()?;
        let (count, entries) = body.split_first_chunk::<4>()?;
        let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
        let (entries, left) = entries.as_chunks::<SNAPSHOT_ENTRY_LEN>();
        let intact = i16::from_be_bytes(*version) == SNAPSHOT_VERSION
            && u32::from_be_bytes(*crc) == crc32c(body)
            && entries.len() == count
            && left.is_empty();
        intact.then(|| entries.iter().filter_map(Self::read).collect())
    }

    fn read(entry: &[u8; SNAPSHOT_ENTRY_LEN]) -> Option<Self> {
        let (producer_id, rest) = entry.split_first_chunk::<8>()?;
        let (epoch, rest) = rest.split_first_chunk::<2>()?;
        let (last_sequence, rest) = rest.split_first_chunk::<4>()?;
        let (last_offset, rest) = rest.split_first_chunk::<8>()?;
        let (offset_delta, rest) = rest.split_first_chunk::<4>()?;
        let (timestamp, rest) = rest.split_first_chunk::<8>()?;
        let (coordinator_epoch, rest) = rest.split_first_chunk::<4>()?;
        let first = rest.first_chunk::<8>()?;
        let long = |bytes: &[u8; 8]| Some(i64::from_be_bytes(*bytes)).filter(|n| *n >= 0);
        let int = |bytes: &[u8; 4]| Some(i32::from_be_bytes(*bytes)).filter(|n| *n >= 0);
        Some(Self {
            producer_id: i64::from_be_bytes(*producer_id),
            epoch: i16::from_be_bytes(*epoch),
            last_sequence: int(last_sequence),
            last_offset: long(last_offset),
            offset_delta: i32::from_be_bytes(*offset_delta),
            last_timestamp: long(timestamp),
            coordinator_epoch: int(coordinator_epoch),
            txn_first_offset: long(first),
        })
    }
}

const _: () = assert!(SNAPSHOT_HEADER_LEN == 2 + 4 + 4);

#[cfg(test)]
mod tests;
