//! The manifest of a clean close: what every partition looked like, so that the next open need not
//! read it. Written and synced only by a clean close, before Kafka's marker; removed, marker first,
//! by the next writing open before its first write.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::checkpoint::{Damaged, EpochEntry};
use super::framed::{self, Decoded};
use super::partition::Log;
use super::segment::IndexProof;
use crate::error::Result;
use crate::storage::Storage;
use crate::types::TopicPartition;

pub(crate) const MANIFEST: &str = "logreel.manifest";
/// Kafka's own marker of a clean shutdown; only its presence matters.
pub(crate) const CLEAN_MARKER: &str = ".kafka_cleanshutdown";
/// What Kafka 3.7 and later write into it.
pub(crate) const CLEAN_MARKER_TEXT: &str = "{\"version\":0,\"brokerEpoch\":-1}";
const VERSION: u32 = 1;
/// A hundred thousand partitions of a few segments fit many times.
const MANIFEST_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One segment at a clean close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentManifest {
    pub(crate) base_offset: i64,
    pub(crate) size: u64,
    /// `None` when its indexes were never looked at: nothing vouches for them.
    pub(crate) proof: Option<IndexProof>,
}

/// One partition at a clean close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionManifest {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) stable: i64,
    pub(crate) segments: Vec<SegmentManifest>,
    pub(crate) epochs: Vec<EpochEntry>,
}

/// All partitions at a clean close.
pub(crate) type Manifest = BTreeMap<TopicPartition, PartitionManifest>;

impl PartitionManifest {
    /// What a log looks like now; call it when nothing appends any more.
    pub(crate) fn of(log: &Log) -> Self {
        let segments = log
            .segments()
            .iter()
            .map(|segment| SegmentManifest {
                base_offset: segment.base_offset,
                size: segment.size(),
                proof: segment.proof(),
            })
            .collect();
        Self {
            start: log.start_offset(),
            end: log.end_offset(),
            stable: log.readable_end(crate::types::IsolationLevel::ReadCommitted),
            segments,
            epochs: log.writer.lock().epochs.clone(),
        }
    }
}

fn format(manifest: &Manifest) -> String {
    let mut out = String::new();
    for (tp, p) in manifest {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "partition {} {} {} {} {}",
            tp.topic(),
            tp.partition(),
            p.start,
            p.end,
            p.stable
        );
        for epoch in &p.epochs {
            let _ = writeln!(out, "epoch {} {}", epoch.epoch, epoch.start_offset);
        }
        for s in &p.segments {
            let _ = write!(out, "segment {} {}", s.base_offset, s.size);
            if let Some(proof) = s.proof {
                let _ = write!(out, " {:08x} {:08x}", proof.offset, proof.time);
                let _ = proof.txn.map(|txn| write!(out, " {txn:08x}"));
            }
            out.push('\n');
        }
    }
    out
}

fn parse(body: &str) -> Option<Manifest> {
    let mut manifest = Manifest::new();
    let mut current: Option<(TopicPartition, PartitionManifest)> = None;
    for line in body.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match (words.as_slice(), &mut current) {
            (["partition", topic, number, start, end, stable], _) => {
                manifest.extend(current.take());
                let partition = PartitionManifest {
                    start: start.parse().ok()?,
                    end: end.parse().ok()?,
                    stable: stable.parse().ok()?,
                    ..PartitionManifest::default()
                };
                current = Some((TopicPartition::new(*topic, number.parse().ok()?), partition));
            }
            (["epoch", epoch, start], Some((_, partition))) => {
                let (epoch, start_offset) = (epoch.parse().ok()?, start.parse().ok()?);
                partition.epochs.push(EpochEntry { epoch, start_offset });
            }
            (["segment", base, size, proof @ ..], Some((_, partition))) => {
                let crc = |text: &&str| u32::from_str_radix(text, 16).ok();
                let proof = match proof {
                    [] => None,
                    [offset, time, txn @ ..] => Some(IndexProof {
                        offset: crc(offset)?,
                        time: crc(time)?,
                        txn: match txn {
                            [] => None,
                            [txn] => Some(crc(txn)?),
                            _ => return None,
                        },
                    }),
                    _ => return None,
                };
                let (base_offset, size) = (base.parse().ok()?, size.parse().ok()?);
                partition.segments.push(SegmentManifest { base_offset, size, proof });
            }
            _ => return None,
        }
    }
    manifest.extend(current);
    Some(manifest)
}

/// Writes the manifest; durable on return.
pub(crate) fn write(storage: &Storage, manifest: &Manifest) -> Result<()> {
    let text = framed::encode("manifest", VERSION, &format(manifest));
    super::checkpoint::replace(storage, None, MANIFEST, &text)
}

/// Reads the manifest. A missing one is `None`; a damaged or newer one too, as far as trust goes:
/// every partition is then recovered.
pub(crate) fn read(storage: &Storage) -> Result<Option<Result<Manifest, Damaged>>> {
    let path = super::checkpoint::path(None, MANIFEST);
    let bytes = match storage.read_all(&path, MANIFEST_BYTES_MAX)? {
        Some(Ok(bytes)) => bytes,
        Some(Err(too_large)) => return Ok(Some(Err(too_large.into()))),
        None => return Ok(None),
    };
    Ok(Some(match framed::decode("manifest", VERSION, &bytes) {
        Ok(Decoded::Body(body)) => parse(body).ok_or(Damaged),
        Ok(Decoded::Newer(_)) | Err(Damaged) => Err(Damaged),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_round_trip() {
        let proof = IndexProof { offset: 1, time: 0xffff_ffff, txn: Some(7) };
        let segment = |base_offset, proof| SegmentManifest { base_offset, size: 100, proof };
        let full = PartitionManifest {
            start: 5,
            end: 20,
            stable: 18,
            segments: vec![
                segment(0, Some(proof)),
                segment(10, Some(IndexProof { txn: None, ..proof })),
                segment(15, None),
            ],
            epochs: vec![EpochEntry { epoch: 0, start_offset: 0 }],
        };
        let manifest: Manifest =
            [(("a-b", 3).into(), full), (("z", 0).into(), PartitionManifest::default())].into();
        assert_eq!(parse(&format(&manifest)), Some(manifest));
        assert_eq!(parse("segment 0 1"), None);
        assert_eq!(parse("partition a 0 0 0"), None);
    }
}
