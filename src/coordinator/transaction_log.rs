//! The records of `__transaction_state`, in Kafka's bytes.
//!
//! A key is a version, 0, and the transactional id; a null value is a tombstone. Values are written
//! in the flexible version 1, as by brokers with `transaction.version` 2 (KIP-890): what a plain
//! field cannot say is in tagged fields. Version 0, which older brokers wrote, is read as well.

use std::collections::{BTreeMap, BTreeSet};

use super::transaction::{ProducerIdent, TransactionMeta, TransactionState};
use super::wire::{Reader, Writer};
use crate::types::TopicPartition;

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 1;
/// Tags of the flexible version's optional fields. 0 is the id before, which nobody needs.
const NEXT_ID: usize = 1;
const CLIENT_VERSION: usize = 2;
/// The protocol in which every transaction ends with the next epoch (KIP-890).
const BUMPS_EPOCHS: i16 = 2;

/// The key of a transactional id's records.
pub(crate) fn encode_key(id: &str) -> Vec<u8> {
    let mut out = Writer::default();
    out.i16(KEY_VERSION).string(id);
    out.finish()
}

/// The transactional id of a key; `None` for a key of another kind.
pub(crate) fn decode_key(bytes: &[u8]) -> Option<&str> {
    let mut fields = Reader(bytes);
    if fields.i16()? != KEY_VERSION {
        return None;
    }
    fields.string()
}

impl TransactionMeta {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.i16(VALUE_VERSION)
            .i64(self.producer.id)
            .i16(self.producer.epoch)
            .i32(self.timeout_ms)
            .i8(self.state.number());
        // An id that has sent nothing has no list, as in Kafka.
        if self.state == TransactionState::Empty {
            out.varint(0);
        } else {
            let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
            for tp in &self.partitions {
                topics.entry(tp.topic()).or_default().push(tp.partition());
            }
            out.varint(topics.len() + 1);
            for (topic, numbers) in topics {
                out.text(topic).varint(numbers.len() + 1);
                numbers.iter().for_each(|number| {
                    out.i32(*number);
                });
                out.varint(0);
            }
        }
        out.i64(self.updated_ms).i64(self.started_ms.unwrap_or(-1));
        let mut tagged: Vec<(usize, Vec<u8>)> = Vec::new();
        if let Some(next) = self.next_id {
            tagged.push((NEXT_ID, next.to_be_bytes().to_vec()));
        }
        if self.bumps_epochs {
            tagged.push((CLIENT_VERSION, BUMPS_EPOCHS.to_be_bytes().to_vec()));
        }
        out.varint(tagged.len());
        for (tag, bytes) in tagged {
            out.varint(tag).varint(bytes.len()).raw(&bytes);
        }
        out.finish()
    }

    /// Reads a value; `None` if it is of a newer version or makes no sense.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader(bytes);
        let version = fields.i16()?;
        if !(0..=VALUE_VERSION).contains(&version) {
            return None;
        }
        let flexible = version >= 1;
        let (id, epoch) = (fields.i64()?, fields.i16()?);
        let timeout_ms = fields.i32()?;
        let state = TransactionState::from_number(fields.i8()?)?;
        let mut partitions = BTreeSet::new();
        for _ in 0..fields.count(flexible)? {
            let topic = fields.text(flexible)?;
            for _ in 0..fields.count(flexible)? {
                partitions.insert(TopicPartition::new(topic, fields.i32()?));
            }
            if flexible {
                fields.skip_tagged()?;
            }
        }
        let (updated_ms, started) = (fields.i64()?, fields.i64()?);
        let (mut next_id, mut client_version) = (None, 0);
        if flexible {
            for _ in 0..fields.varint()? {
                let tag = fields.varint()?;
                let len = fields.varint()?;
                let mut field = Reader(fields.take(len)?);
                match tag {
                    NEXT_ID => next_id = Some(field.i64()?).filter(|id| *id >= 0),
                    CLIENT_VERSION => client_version = field.i16()?,
                    // What the id was before is of no use here; others are of later versions.
                    _ => {}
                }
            }
        }
        Some(Self {
            producer: ProducerIdent { id, epoch },
            next_id,
            timeout_ms,
            state,
            partitions,
            updated_ms,
            started_ms: Some(started).filter(|at| *at >= 0),
            bumps_epochs: client_version >= BUMPS_EPOCHS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    fn ongoing() -> TransactionMeta {
        let tps = [("a", 1), ("b", 0), ("b", 2)].map(TopicPartition::from);
        TransactionMeta {
            producer: ProducerIdent { id: 4000, epoch: 3 },
            next_id: None,
            timeout_ms: 60_000,
            state: TransactionState::Ongoing,
            partitions: tps.into_iter().collect(),
            updated_ms: 1_700_000_000_001,
            started_ms: Some(1_700_000_000_000),
            bumps_epochs: true,
        }
    }

    #[test]
    fn keys_are_kafkas() {
        assert_eq!(encode_key("copier"), hex("0000 0006 636f70696572"));
        assert_eq!(decode_key(&encode_key("copier")), Some("copier"));
        assert_eq!(decode_key(&hex("0001 0001 61")), None);
        assert_eq!(decode_key(&[0]), None);
    }

    /// By the schema of Kafka's `TransactionLogValue`, version 1.
    #[test]
    fn values_are_kafkas() {
        let value = "0001 0000000000000fa0 0003 0000ea60 01
            03 0261 02 00000001 00 0262 03 00000000 00000002 00
            0000018bcfe56801 0000018bcfe56800 01 02 02 0002";
        assert_eq!(ongoing().encode(), hex(value));
        assert_eq!(TransactionMeta::decode(&hex(value)), Some(ongoing()));
        let mut empty = TransactionMeta::new(4000, 60_000, 1_700_000_000_000);
        empty.bumps_epochs = false;
        let value = "0001 0000000000000fa0 0000 0000ea60 00 00
            0000018bcfe56800 ffffffffffffffff 00";
        assert_eq!(empty.encode(), hex(value));
        assert_eq!(TransactionMeta::decode(&hex(value)), Some(empty));
    }

    #[test]
    fn the_older_version_is_read() {
        let value = "0000 0000000000000fa0 0003 0000ea60 01
            00000002 0001 61 00000001 00000001 0001 62 00000002 00000000 00000002
            0000018bcfe56801 0000018bcfe56800";
        let expected = TransactionMeta { bumps_epochs: false, ..ongoing() };
        assert_eq!(TransactionMeta::decode(&hex(value)), Some(expected));
        let none = "0000 0000000000000fa0 0003 0000ea60 00 ffffffff
            0000018bcfe56801 ffffffffffffffff";
        assert!(TransactionMeta::decode(&hex(none)).unwrap().partitions.is_empty());
    }

    #[test]
    fn every_state_and_the_next_id_round_trip() {
        for number in 0..=7 {
            let state = TransactionState::from_number(number).unwrap();
            let mut meta = TransactionMeta { state, next_id: Some(77), ..ongoing() };
            if state == TransactionState::Empty {
                meta.partitions.clear();
            }
            assert_eq!(TransactionMeta::decode(&meta.encode()), Some(meta));
        }
    }

    #[test]
    fn what_is_cut_or_newer_is_not_read() {
        let bytes = ongoing().encode();
        for len in 0..bytes.len() {
            assert_eq!(TransactionMeta::decode(&bytes[..len]), None, "{len} bytes");
        }
        assert_eq!(TransactionMeta::decode(&[&[0, 2], &bytes[2..]].concat()), None);
        let mut odd = bytes;
        odd[16] = 8;
        assert_eq!(TransactionMeta::decode(&odd), None, "no such state");
    }
}
