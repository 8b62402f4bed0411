//! What members tell each other through the coordinator: subscriptions and assignments, in the
//! bytes of Kafka's consumer protocol (version 0 of both, which every client reads).

use std::collections::BTreeMap;

use super::wire::Writer;
use crate::types::TopicPartition;

fn count(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

/// The topics a member wants.
pub(crate) fn encode_subscription(topics: &[impl AsRef<str>]) -> Vec<u8> {
    let mut out = Writer::default();
    out.i16(0).i32(count(topics.len()));
    for topic in topics {
        out.string(topic.as_ref());
    }
    out.i32(-1);
    out.finish()
}

/// The partitions a member gets.
pub(crate) fn encode_assignment(partitions: &[TopicPartition]) -> Vec<u8> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for tp in partitions {
        topics.entry(tp.topic()).or_default().push(tp.partition());
    }
    let mut out = Writer::default();
    out.i16(0).i32(count(topics.len()));
    for (topic, numbers) in topics {
        out.string(topic).i32(count(numbers.len()));
        for number in numbers {
            out.i32(number);
        }
    }
    out.i32(-1);
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_kafkas() {
        assert_eq!(
            encode_subscription(&["t"]),
            [0, 0, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff]
        );
        let assignment = encode_assignment(&[("t", 0).into(), ("t", 2).into()]);
        let head = [0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2];
        assert_eq!(assignment, [&head[..], &[0xff; 4]].concat());
    }
}
