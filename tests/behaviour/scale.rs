//! Groups with many members, topics with many groups.

use std::time::Duration;

use crate::homes::*;
use logreel::consumer::{Assignor, CooperativeStickyAssignor, RangeAssignor};
use logreel::testing::MockClock;
use logreel::{Broker, Consumer, NewTopic, OffsetReset, ProducerRecord};

fn member(broker: &Broker, group: &str, assignor: impl Assignor + 'static) -> Consumer {
    let settings = broker.consumer().group_id(group).assignor(assignor);
    let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

fn broker(partitions: i32) -> Broker {
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    broker.create_topic(NewTopic::new("t").partitions(partitions)).unwrap();
    broker
}

fn settle(members: &[Consumer]) {
    // With a cooperative assignor what moves is given back in one rebalance and taken in the next.
    let mut quiet = 0;
    for _ in 0..20 {
        let before: Vec<_> = members.iter().map(Consumer::group_metadata).collect();
        for member in members {
            member.poll(Duration::ZERO).unwrap();
        }
        let after: Vec<_> = members.iter().map(Consumer::group_metadata).collect();
        quiet = if before == after { quiet + 1 } else { 0 };
        if quiet == 2 {
            return;
        }
    }
    panic!("the group does not settle");
}

fn assert_even(members: &[Consumer], partitions: usize) {
    let mut all: Vec<_> = members.iter().flat_map(|member| member.assignment()).collect();
    assert_eq!(all.len(), partitions);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), partitions, "each once");
    let counts: Vec<usize> = members.iter().map(|member| member.assignment().len()).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 1, "{counts:?}");
}

#[test]
fn two_hundred_members_share_a_thousand_partitions() {
    for cooperative in [false, true] {
        let broker = broker(1000);
        let join = || match cooperative {
            true => member(&broker, "g", CooperativeStickyAssignor),
            false => member(&broker, "g", RangeAssignor),
        };
        let mut members: Vec<Consumer> = (0..200).map(|_| join()).collect();
        settle(&members);
        assert_even(&members, 1000);
        drop(members.drain(..13));
        settle(&members);
        assert_even(&members, 1000);
        members.push(join());
        settle(&members);
        assert_even(&members, 1000);
    }
}

#[test]
fn a_thousand_groups_read_one_topic() {
    let broker = broker(1);
    let groups: Vec<Consumer> =
        (0..1000).map(|n| member(&broker, &format!("g{n}"), RangeAssignor)).collect();
    let producer = broker.producer().build().unwrap();
    let records = (0..10).map(|n| ProducerRecord::to("t").value(n.to_string()));
    producer.send_batch(records).wait().unwrap();
    for group in &groups {
        assert_eq!(group.poll(Duration::ZERO).unwrap().len(), 10);
        group.commit().unwrap();
    }
    assert_eq!(broker.groups().unwrap().len(), 1000);
    let offsets = broker.topic("__consumer_offsets").unwrap().partition(0).unwrap();
    let before = offsets.log_end_offset();
    for group in &groups {
        assert!(group.poll(Duration::ZERO).unwrap().is_empty());
    }
    assert_eq!(offsets.log_end_offset(), before, "an idle group writes nothing");
}
