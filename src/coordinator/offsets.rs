//! The records of `__consumer_offsets`, in Kafka's bytes.
//!
//! Keys start with a type: 0 and 1 a committed offset, 2 a classic group; the others belong to
//! newer protocols and are passed over. A null value is a tombstone. We write what current brokers
//! write (offset values of version 3, group values of version 3) and read every version they read.

use super::wire::{Reader, Writer};
use crate::types::{OffsetAndMetadata, TopicPartition};

const COMMIT_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;

/// What a record of the topic is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OffsetsKey {
    /// The offset a group committed for a partition.
    Commit { group: String, tp: TopicPartition },
    /// A group itself.
    Group { group: String },
    /// A record of a protocol that is not spoken here.
    Other(i16),
}

impl OffsetsKey {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Commit { group, tp } => {
                out.i16(COMMIT_KEY).string(group).string(tp.topic()).i32(tp.partition());
            }
            Self::Group { group } => {
                out.i16(GROUP_KEY).string(group);
            }
            Self::Other(kind) => {
                out.i16(*kind);
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader(bytes);
        Some(match fields.i16()? {
            0 | COMMIT_KEY => {
                let group = fields.string()?.to_owned();
                let topic = fields.string()?;
                Self::Commit { group, tp: TopicPartition::new(topic, fields.i32()?) }
            }
            GROUP_KEY => Self::Group { group: fields.string()?.to_owned() },
            kind => Self::Other(kind),
        })
    }
}

/// The value of a committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitValue {
    pub(crate) position: OffsetAndMetadata,
    /// When it was committed, in milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// When it expires, where the commit said so.
    pub(crate) expires: Option<i64>,
}

impl CommitValue {
    /// Version 3; version 1 when it has its own expiry, as Kafka writes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self.expires {
            None => out
                .i16(3)
                .i64(self.position.offset())
                .i32(self.position.leader_epoch().unwrap_or(-1))
                .string(self.position.metadata())
                .i64(self.timestamp),
            Some(expires) => out
                .i16(1)
                .i64(self.position.offset())
                .string(self.position.metadata())
                .i64(self.timestamp)
                .i64(expires),
        };
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader(bytes);
        let version = fields.i16()?;
        if !(0..=4).contains(&version) {
            return None;
        }
        let offset = fields.i64()?;
        let epoch = if version >= 3 { fields.i32()? } else { -1 };
        let metadata = if version >= 4 { fields.text(true)? } else { fields.string()? };
        let timestamp = fields.i64()?;
        let expires = if version == 1 { Some(fields.i64()?).filter(|at| *at >= 0) } else { None };
        let position = OffsetAndMetadata::new(offset)
            .with_metadata(metadata)
            .with_leader_epoch(Some(epoch).filter(|epoch| *epoch >= 0));
        Some(Self { position, timestamp, expires })
    }
}

/// The value of a classic group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupValue {
    pub(crate) protocol_type: String,
    pub(crate) generation: i32,
    /// The assignor the members agreed on; `None` when there are none.
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    /// When the group came into its state, in milliseconds since 1970.
    pub(crate) state_timestamp: Option<i64>,
    pub(crate) members: Vec<GroupMember>,
}

/// A member of a classic group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) subscription: Vec<u8>,
    pub(crate) assignment: Vec<u8>,
}

impl GroupValue {
    /// Version 3.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.i16(3)
            .string(&self.protocol_type)
            .i32(self.generation)
            .nullable_string(self.protocol.as_deref())
            .nullable_string(self.leader.as_deref())
            .i64(self.state_timestamp.unwrap_or(-1))
            .i32(i32::try_from(self.members.len()).unwrap_or(i32::MAX));
        for member in &self.members {
            out.string(&member.member_id)
                .nullable_string(member.instance_id.as_deref())
                .string(&member.client_id)
                .string(&member.client_host)
                .i32(member.rebalance_timeout_ms)
                .i32(member.session_timeout_ms)
                .bytes(&member.subscription)
                .bytes(&member.assignment);
        }
        out.finish()
    }

    /// Versions 0 to 3, and the flexible version 4.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Reader(bytes);
        let version = fields.i16()?;
        if !(0..=4).contains(&version) {
            return None;
        }
        let compact = version >= 4;
        let mut value = Self {
            protocol_type: fields.text(compact)?.to_owned(),
            generation: fields.i32()?,
            protocol: fields.nullable_text(compact)?.map(str::to_owned),
            leader: fields.nullable_text(compact)?.map(str::to_owned),
            ..Self::default()
        };
        if version >= 2 {
            value.state_timestamp = Some(fields.i64()?).filter(|at| *at >= 0);
        }
        for _ in 0..fields.count(compact)? {
            value.members.push(GroupMember {
                member_id: fields.text(compact)?.to_owned(),
                instance_id: match version {
                    3.. => fields.nullable_text(compact)?.map(str::to_owned),
                    _ => None,
                },
                client_id: fields.text(compact)?.to_owned(),
                client_host: fields.text(compact)?.to_owned(),
                rebalance_timeout_ms: if version >= 1 { fields.i32()? } else { -1 },
                session_timeout_ms: fields.i32()?,
                subscription: fields.blob(compact)?.to_vec(),
                assignment: fields.blob(compact)?.to_vec(),
            });
            if compact {
                fields.skip_tagged()?;
            }
        }
        Some(value)
    }
}

/// Java's `String.hashCode`, over UTF-16 code units.
pub(crate) fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The partition of `__consumer_offsets` a group belongs to; Kafka's `abs` of the smallest integer
/// is 0.
pub(crate) fn group_partition(group: &str, partitions: i32) -> i32 {
    let hash = java_string_hash(group);
    let positive = if hash == i32::MIN { 0 } else { hash.abs() };
    positive.checked_rem(partitions).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_700_000_000_000;

    fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        (0..digits.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
            .collect()
    }

    fn position() -> OffsetAndMetadata {
        OffsetAndMetadata::new(42).with_metadata("m")
    }

    #[test]
    fn keys_match_kafkas_bytes() {
        let key = OffsetsKey::Commit { group: "g1".into(), tp: ("t", 3).into() };
        assert_eq!(key.encode(), hex("00010002673100017400000003"));
        assert_eq!(OffsetsKey::decode(&key.encode()), Some(key));
        let key = OffsetsKey::Group { group: "g1".into() };
        assert_eq!(key.encode(), hex("000200026731"));
        assert_eq!(OffsetsKey::decode(&key.encode()), Some(key));
        assert_eq!(OffsetsKey::decode(&hex("0003")), Some(OffsetsKey::Other(3)));
        assert_eq!(OffsetsKey::decode(&hex("00010002")), None);
    }

    #[test]
    fn commit_values_match_kafkas_bytes_in_every_version() {
        let v0 = CommitValue { position: position(), timestamp: T, expires: None };
        let v1 = CommitValue { expires: Some(0x018b_f3f1_ec00), ..v0.clone() };
        let v3 = CommitValue { position: position().with_leader_epoch(Some(5)), ..v0.clone() };
        let bytes = [
            ("0000 000000000000002a 0001 6d 0000018bcfe56800", &v0),
            ("0001 000000000000002a 0001 6d 0000018bcfe56800 0000018bf3f1ec00", &v1),
            ("0002 000000000000002a 0001 6d 0000018bcfe56800", &v0),
            ("0003 000000000000002a 00000005 0001 6d 0000018bcfe56800", &v3),
            ("0004 000000000000002a 00000005 02 6d 0000018bcfe56800 00", &v3),
        ];
        for (text, value) in bytes {
            assert_eq!(CommitValue::decode(&hex(text)).as_ref(), Some(value), "{text}");
        }
        assert_eq!(v3.encode(), hex(bytes[3].0));
        assert_eq!(v1.encode(), hex(bytes[1].0));
        assert_eq!(CommitValue::decode(&hex("0005 00")), None);
    }

    #[test]
    fn group_values_match_kafkas_bytes() {
        let member = GroupMember {
            member_id: "m1".into(),
            instance_id: None,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: vec![0, 1],
            assignment: vec![0, 2],
        };
        let full = GroupValue {
            protocol_type: "consumer".into(),
            generation: 7,
            protocol: Some("range".into()),
            leader: Some("m1".into()),
            state_timestamp: Some(T),
            members: vec![member],
        };
        let bytes = hex(
            "00030008636f6e73756d657200000007000572616e676500026d310000018bcfe568000000000100026d31\
             ffff000163000a2f3132372e302e302e31000493e00000afc8000000020001000000020002",
        );
        assert_eq!(full.encode(), bytes);
        assert_eq!(GroupValue::decode(&bytes), Some(full));
        let empty = GroupValue {
            protocol_type: "consumer".into(),
            generation: 8,
            state_timestamp: Some(T),
            ..GroupValue::default()
        };
        let bytes = hex("00030008636f6e73756d657200000008ffffffff0000018bcfe5680000000000");
        assert_eq!(empty.encode(), bytes);
        assert_eq!(GroupValue::decode(&bytes), Some(empty));
    }

    #[test]
    fn group_values_of_the_flexible_version_are_read() {
        let bytes = hex(
            "0004 09636f6e73756d6572 00000007 0672616e6765 036d31 0000018bcfe56800 02 036d31 00 \
             0263 0b2f3132372e302e302e31 000493e0 0000afc8 030001 030002 01 05 02 abcd 00",
        );
        let value = GroupValue::decode(&bytes).unwrap();
        assert_eq!((value.generation, value.protocol.as_deref()), (7, Some("range")));
        let member = &value.members[0];
        assert_eq!((member.member_id.as_str(), &member.instance_id), ("m1", &None));
        assert_eq!(
            (member.client_host.as_str(), member.session_timeout_ms),
            ("/127.0.0.1", 45_000)
        );
        assert_eq!((&member.subscription[..], &member.assignment[..]), (&[0, 1][..], &[0, 2][..]));
        for len in 0..bytes.len() {
            let _ = GroupValue::decode(&bytes[..len]);
        }
    }

    #[test]
    fn no_bytes_panic() {
        let value =
            hex("00030008636f6e73756d657200000007000572616e676500026d310000018bcfe5680000ffff01");
        for len in 0..value.len() {
            let _ = (GroupValue::decode(&value[..len]), CommitValue::decode(&value[..len]));
            let _ = OffsetsKey::decode(&value[..len]);
        }
    }

    #[test]
    fn groups_hash_to_partitions_as_in_java() {
        for (group, hash, partition) in [
            ("test", 3_556_498, 48),
            ("my-group", -1_906_497_762, 12),
            ("group1", -1_237_460_590, 40),
            ("orders-service", 23_943_117, 17),
            ("a", 97, 47),
            ("", 0, 0),
            ("polygenelubricants", i32::MIN, 0),
            ("\u{e9}\u{1f600}", 1_996_812, 12),
        ] {
            assert_eq!(java_string_hash(group), hash, "{group}");
            assert_eq!(group_partition(group, 50), partition, "{group}");
        }
    }
}
