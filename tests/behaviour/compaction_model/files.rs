//! Batches and segments as they stand in the files.

use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use logreel::TimestampType;
use logreel::record::{Compression, ControlRecord, RecordBatch};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rec {
    pub(super) offset: i64,
    pub(super) time: Option<i64>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What a batch is to the cleaner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Commit,
    Abort,
    /// A marker whose record is gone.
    HollowMarker,
}

/// Everything a batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) base: i64,
    pub(super) last: i64,
    pub(super) leader_epoch: Option<i32>,
    pub(super) codec: Compression,
    pub(super) append_time: bool,
    pub(super) transactional: bool,
    pub(super) kind: Kind,
    pub(super) horizon: Option<i64>,
    /// The field as it stands there: a time, a horizon, or -1.
    pub(super) base_time: i64,
    pub(super) max_time: i64,
    pub(super) id: Option<i64>,
    pub(super) epoch: Option<i16>,
    pub(super) sequence: Option<i32>,
    pub(super) records: Vec<Rec>,
}

#[derive(Clone)]
pub(super) struct Batch {
    pub(super) is: Fields,
    pub(super) parsed: RecordBatch,
}

impl Batch {
    pub(super) fn parse(bytes: Bytes) -> Self {
        let parsed = RecordBatch::parse(bytes).unwrap();
        parsed.verify_crc().unwrap();
        let header = parsed.header();
        let number = |at: usize| i64::from_be_bytes(parsed.bytes()[at..at + 8].try_into().unwrap());
        let records: Vec<Rec> = parsed
            .records()
            .unwrap()
            .iter()
            .map(|record| Rec {
                offset: record.offset(),
                time: record.timestamp(),
                key: record.key().map(Into::into),
                value: record.value().map(Into::into),
                headers: record
                    .headers()
                    .map(|header| (header.key().into(), header.value().map(Into::into)))
                    .collect(),
            })
            .collect();
        assert_eq!(records.len(), header.records_count());
        let kind = match records.first() {
            _ if !header.is_control() => Kind::Data,
            None => Kind::HollowMarker,
            Some(record) => {
                let key = record.key.as_deref().unwrap();
                match ControlRecord::parse(key, record.value.as_deref()).unwrap() {
                    ControlRecord::Abort { .. } => Kind::Abort,
                    _ => Kind::Commit,
                }
            }
        };
        let is = Fields {
            base: header.base_offset(),
            last: header.last_offset(),
            leader_epoch: header.leader_epoch(),
            codec: header.compression(),
            append_time: header.timestamp_type() == TimestampType::LogAppendTime,
            transactional: header.is_transactional(),
            kind,
            horizon: header.delete_horizon(),
            base_time: number(27),
            max_time: number(35),
            id: header.producer_id(),
            epoch: header.producer_epoch(),
            sequence: header.base_sequence(),
            records,
        };
        Self { is, parsed }
    }

    pub(super) fn size(&self) -> u64 {
        self.parsed.bytes().len() as u64
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is = &self.is;
        write!(f, "{}..={} {:?}", is.base, is.last, is.kind)?;
        if let (Some(id), Some(epoch)) = (is.id, is.epoch) {
            write!(f, " of {id}/{epoch} from {:?}", is.sequence)?;
        }
        write!(f, " txn {} horizon {:?} [", is.transactional, is.horizon)?;
        for record in &is.records {
            let key = record.key.as_deref().map(String::from_utf8_lossy);
            let sign = if record.value.is_some() { "=" } else { "x" };
            write!(f, " {}:{key:?}{sign}", record.offset)?;
        }
        write!(f, " ] {:?} {} B", is.codec, self.size())
    }
}

/// One segment.
#[derive(Clone, Debug)]
pub(super) struct Seg {
    pub(super) base: i64,
    pub(super) batches: Vec<Rc<Batch>>,
}

impl Seg {
    pub(super) fn parse(base: i64, bytes: Bytes) -> Self {
        let mut rest = bytes;
        let mut batches = Vec::new();
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[8..12].try_into().unwrap());
            let batch = rest.split_to(usize::try_from(length).unwrap() + 12);
            batches.push(Rc::new(Batch::parse(batch)));
        }
        Self { base, batches }
    }

    pub(super) fn size(&self) -> u64 {
        self.batches.iter().map(|batch| batch.size()).sum()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for batch in &self.batches {
            bytes.extend_from_slice(batch.parsed.bytes());
        }
        bytes
    }
}

pub(super) fn name(dir: &Path, base: i64, extension: &str) -> std::path::PathBuf {
    dir.join(format!("t-0/{base:020}.{extension}"))
}

/// The `.log` files of a directory in the order of their offsets. Nothing half-done is there.
pub(super) fn segments(dir: &Path) -> Vec<(i64, Bytes)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir.join("t-0")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(!name.ends_with(".cleaned") && !name.ends_with(".swap"), "{name} is left");
        if let Some(base) = name.strip_suffix(".log") {
            found.push((base.parse().unwrap(), Bytes::from(std::fs::read(&path).unwrap())));
        }
    }
    found.sort();
    found
}
