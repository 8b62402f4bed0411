//! What members tell each other through the coordinator: subscriptions and assignments, in the
//! bytes of Kafka's consumer protocol. Subscriptions are written in version 3, as current clients
//! do; every version is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::wire::{Reader, Writer};
use crate::types::TopicPartition;

/// The assignor that keeps what members had in bytes of its own, because it is older than the
/// fields for it.
const STICKY: &str = "sticky";

/// What a member says of itself when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberMetadata {
    /// The topics it wants.
    pub(crate) topics: Vec<Arc<str>>,
    /// The partitions it has.
    pub(crate) owned: Vec<TopicPartition>,
    /// The generation in which it got them.
    pub(crate) generation: Option<i32>,
}

impl MemberMetadata {
    /// The bytes for one assignor.
    pub(crate) fn encode(&self, assignor: &str) -> Vec<u8> {
        let mut out = Writer::default();
        out.i16(3).i32(count(self.topics.len()));
        for topic in &self.topics {
            out.string(topic);
        }
        if assignor == STICKY {
            let mut data = Writer::default();
            partitions(&mut data, &self.owned).i32(self.generation.unwrap_or(-1));
            out.bytes(&data.finish());
            out.i32(0);
        } else {
            out.i32(-1);
            partitions(&mut out, &self.owned);
        }
        out.i32(self.generation.unwrap_or(-1)).i16(-1);
        out.finish()
    }

    /// What bytes say; `None` when they are no subscription.
    pub(crate) fn decode(bytes: &[u8], assignor: &str) -> Option<Self> {
        let mut fields = Reader(bytes);
        let version = fields.i16()?;
        let mut member = Self::default();
        for _ in 0..fields.i32()?.max(0) {
            member.topics.push(Arc::from(fields.string()?));
        }
        let data = fields.nullable_bytes()?;
        if version >= 1 {
            member.owned = read_partitions(&mut fields)?;
        }
        if version >= 2 {
            member.generation = Some(fields.i32()?).filter(|generation| *generation >= 0);
        }
        if assignor == STICKY
            && let Some(data) = data
        {
            let mut data = Reader(data);
            member.owned = read_partitions(&mut data)?;
            member.generation = data.i32().filter(|generation| *generation >= 0);
        }
        Some(member)
    }
}

/// The bytes of the partitions a member gets.
pub(crate) fn encode_assignment(assignment: &[TopicPartition]) -> Vec<u8> {
    let mut out = Writer::default();
    partitions(out.i16(0), assignment).i32(-1);
    out.finish()
}

/// The partitions that bytes say; `None` when they are no assignment. A member that got nothing yet
/// has no bytes at all.
pub(crate) fn decode_assignment(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut fields = Reader(bytes);
    fields.i16()?;
    read_partitions(&mut fields)
}

fn count(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

fn partitions<'w>(out: &'w mut Writer, all: &[TopicPartition]) -> &'w mut Writer {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for tp in all {
        topics.entry(tp.topic()).or_default().push(tp.partition());
    }
    out.i32(count(topics.len()));
    for (topic, numbers) in topics {
        out.string(topic).i32(count(numbers.len()));
        for number in numbers {
            out.i32(number);
        }
    }
    out
}

fn read_partitions(fields: &mut Reader<'_>) -> Option<Vec<TopicPartition>> {
    let mut all = Vec::new();
    for _ in 0..fields.i32()?.max(0) {
        let topic = fields.string()?;
        for _ in 0..fields.i32()?.max(0) {
            all.push(TopicPartition::new(topic, fields.i32()?));
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> MemberMetadata {
        MemberMetadata {
            topics: vec!["t".into(), "u".into()],
            owned: vec![("t", 0).into(), ("t", 2).into()],
            generation: Some(7),
        }
    }

    #[test]
    fn subscriptions_are_kafkas() {
        let bytes = MemberMetadata { owned: Vec::new(), ..member() }.encode("range");
        let head = [0, 3, 0, 0, 0, 2, 0, 1, b't', 0, 1, b'u', 0xff, 0xff, 0xff, 0xff];
        let tail = [0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
        assert_eq!(bytes, [&head[..], &tail].concat());
        for assignor in ["range", "sticky", "cooperative-sticky"] {
            let bytes = member().encode(assignor);
            assert_eq!(MemberMetadata::decode(&bytes, assignor), Some(member()), "{assignor}");
            for len in 0..bytes.len() {
                let _ = MemberMetadata::decode(&bytes[..len], assignor);
            }
        }
    }

    #[test]
    fn older_subscriptions_are_read() {
        let v0 = [0, 0, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff];
        let read = MemberMetadata::decode(&v0, "range").unwrap();
        assert_eq!(read, MemberMetadata { topics: vec!["t".into()], ..MemberMetadata::default() });
        assert_eq!(MemberMetadata::decode(&[0, 1], "range"), None);
    }

    #[test]
    fn assignments_are_kafkas() {
        let all = [("t", 0).into(), ("t", 2).into()];
        let bytes = encode_assignment(&all);
        let head = [0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2];
        assert_eq!(bytes, [&head[..], &[0xff; 4]].concat());
        assert_eq!(decode_assignment(&bytes).as_deref(), Some(&all[..]));
        assert_eq!(decode_assignment(&[]), Some(Vec::new()));
        assert_eq!(decode_assignment(&bytes[..9]), None);
    }
}
