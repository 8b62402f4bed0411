//! The input is a sequence of what the members of a group do, and of time that passes: no partition
//! is owned twice, generations grow, a commit is what was committed last, nothing panics.

use std::collections::BTreeSet;
use std::time::Duration;

use logreel::testing::MockClock;
use logreel::{Broker, Consumer, NewTopic, OffsetReset, Offsets, ProducerRecord, TopicPartition};

use crate::script::Script;

const NOW: i64 = 1_700_000_000_000;
const MEMBERS: usize = 5;
const OPS_MAX: usize = 80;
const TOPICS: [(&str, i32); 3] = [("a", 1), ("b", 3), ("c", 4)];
const ASSIGNORS: [&str; 4] = ["range", "roundrobin", "sticky", "cooperative-sticky"];

fn member(broker: &Broker, script: &mut Script<'_>) -> Option<Consumer> {
    let choice = script.byte();
    let builder = broker
        .consumer()
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .max_poll_records(2)
        .set("partition.assignment.strategy", ASSIGNORS[usize::from(choice) % 4])
        .set("max.poll.interval.ms", "60000")
        .enable_auto_commit(false);
    let builder = if choice & 8 != 0 {
        builder.set("group.instance.id", format!("static-{}", choice >> 6))
    } else {
        builder
    };
    builder.build().ok()
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script(data);
    let clock = MockClock::at_millis(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    let producer = broker.producer().build().unwrap();
    for (name, partitions) in TOPICS {
        broker.create_topic(NewTopic::new(name).partitions(partitions)).unwrap();
        for partition in 0..partitions {
            for _ in 0..3 {
                let record = ProducerRecord::to(name).partition(partition).value("x");
                producer.send(record).forget();
            }
        }
    }
    producer.flush(Duration::from_secs(5)).unwrap();
    let group = broker.group("g");
    let mut members: Vec<Option<Consumer>> = (0..MEMBERS).map(|_| None).collect();
    let mut generation = 0;
    let mut set: Option<i64> = None;
    let mut ops = 0;
    while !script.is_over() && ops < OPS_MAX {
        ops += 1;
        let op = script.byte();
        let slot = &mut members[usize::from(op >> 4) % MEMBERS];
        match (op & 15, &mut *slot) {
            (0..=2, None) => *slot = member(&broker, &mut script),
            (0 | 1, Some(consumer)) => {
                let chosen = script.byte();
                let topics = TOPICS.iter().enumerate();
                let topics = topics.filter(|(at, _)| chosen >> at & 1 != 0).map(|(_, t)| t.0);
                let _ = consumer.subscribe(topics);
            }
            (2..=6, Some(consumer)) => {
                let wait = Duration::from_millis(u64::from(script.byte()));
                if let Ok(records) = consumer.poll(wait) {
                    let owned: BTreeSet<TopicPartition> =
                        consumer.assignment().into_iter().collect();
                    for record in &records {
                        let tp = TopicPartition::new(record.topic(), record.partition());
                        assert!(owned.contains(&tp), "{tp} is not assigned");
                    }
                }
            }
            (7, Some(consumer)) => {
                let _ = consumer.commit();
                set = None;
            }
            (8, Some(consumer)) => {
                let offset = i64::from(script.byte());
                let offsets: Offsets = [(("b", 1), offset)].into_iter().collect();
                set = consumer.commit_offsets(&offsets).ok().map(|()| offset);
            }
            (9, Some(consumer)) => consumer.unsubscribe().unwrap_or_default(),
            (10, taken) => {
                if let Some(consumer) = taken.take() {
                    let _ = consumer.close();
                    set = None;
                }
            }
            (11, taken) => *taken = None,
            (12, _) => {
                clock.advance(Duration::from_secs(u64::from(script.byte())));
                set = None;
            }
            (13, _) => clock.set_wall_millis(NOW + i64::from(script.byte()) * 100_000),
            (14, _) => {
                let offset = i64::from(script.byte());
                let offsets: Offsets = [(("b", 1), offset)].into_iter().collect();
                if group.alter_offsets(&offsets).is_ok() {
                    set = Some(offset);
                }
            }
            _ => {
                broker.run_due();
            }
        }
        let Ok(description) = group.describe() else { continue };
        assert!(description.generation >= generation, "generations go back");
        // One without members and commits is forgotten, and its name begins anew.
        generation = if description.members.is_empty() { 0 } else { description.generation };
        let mut owned = BTreeSet::new();
        for member in &description.members {
            for tp in &member.assignment {
                assert!(owned.insert(tp.clone()), "{tp} is owned twice: {description:?}");
                assert!(TOPICS.iter().any(|(name, n)| *name == tp.topic() && tp.partition() < *n));
            }
        }
        let live = members.iter().flatten().count();
        assert!(description.members.len() <= live + 4, "members that nobody is");
        if let Some(offset) = set {
            let found = group.committed().unwrap();
            let found = found.get(&("b", 1).into()).map(|committed| committed.offset());
            assert_eq!(found, Some(offset));
        }
    }
    drop(members);
    broker.close().unwrap();
}
