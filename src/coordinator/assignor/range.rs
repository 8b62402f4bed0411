//! Range: each topic by itself, in consecutive pieces.

use std::collections::BTreeMap;

use super::{Assignment, Assignor, Subscription, empty};
use crate::types::TopicPartition;

/// Each topic by itself: its partitions in consecutive pieces, one a member, the first members
/// getting one more where it does not come out even. Topics with as many partitions and the same
/// members are split alike, so that records with one key meet in one member. Kafka's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &'static str {
        "range"
    }

    fn assign(&self, partitions: &BTreeMap<String, i32>, members: &[Subscription]) -> Assignment {
        let mut assignment = empty(members);
        for (topic, count) in partitions {
            let mut takers: Vec<&Subscription> =
                members.iter().filter(|member| member.wants(topic)).collect();
            takers.sort_by_key(|member| member.order());
            let Ok(among) = i32::try_from(takers.len()) else { continue };
            let (Some(each), Some(more)) = (count.checked_div(among), count.checked_rem(among))
            else {
                continue;
            };
            let mut next = 0;
            for (index, member) in (0..).zip(takers) {
                let end = next + each + i32::from(index < more);
                let piece = (next..end).map(|number| TopicPartition::new(topic.as_str(), number));
                assignment.entry(member.member_id.clone()).or_default().extend(piece);
                next = end;
            }
        }
        assignment
    }
}
