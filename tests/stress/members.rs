//! Members of one group come and go on threads of their own while a producer writes: no partition
//! has two owners at a time, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use logreel::consumer::{
    CooperativeStickyAssignor, ListenerResult, RangeAssignor, RebalanceContext, RebalanceListener,
};
use logreel::{Broker, Consumer, NewTopic, OffsetReset, ProducerRecord, TopicPartition};

use crate::senders::Draw;

const PARTITIONS: i32 = 7;
const RECORDS: u64 = 20_000;
const THREADS: u64 = 6;
const ROUNDS: u64 = 25;

/// Who owns what, as the listeners tell it.
#[derive(Clone, Default)]
struct Owners(Arc<Mutex<BTreeMap<TopicPartition, u64>>>);

struct Register {
    owners: Owners,
    me: u64,
}

impl RebalanceListener for Register {
    fn on_assigned(&mut self, _: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        let mut owners = self.owners.0.lock().unwrap();
        for tp in p {
            if let Some(other) = owners.insert(tp.clone(), self.me) {
                return Err(format!("{tp} is {other}'s, and {}'s too", self.me).into());
            }
        }
        Ok(())
    }

    fn on_revoked(&mut self, c: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        // Refused between the join and the end of a rebalance, where a member may close.
        let _ = c.commit();
        let mut owners = self.owners.0.lock().unwrap();
        for tp in p {
            if owners.remove(tp) != Some(self.me) {
                return Err(format!("{tp} was not {}'s", self.me).into());
            }
        }
        Ok(())
    }
}

impl Owners {
    /// A member that dies tells nobody.
    fn bury(&self, member: u64) {
        self.0.lock().unwrap().retain(|_, owner| *owner != member);
    }
}

type Seen = BTreeSet<(i32, i64)>;

fn work(consumer: &Consumer, seen: &mut Seen, polls: u64) {
    for _ in 0..polls {
        let records = consumer.poll(Duration::from_millis(2)).unwrap();
        seen.extend(records.iter().map(|record| (record.partition(), record.offset())));
        if !records.is_empty() {
            // Refused while the group changes; the listener commits then.
            let _ = consumer.commit();
        }
    }
}

fn members_come_and_go(seed: u64, cooperative: bool) {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("t").partitions(PARTITIONS)).unwrap();
    let owners = Owners::default();
    let join = |me: u64| {
        let settings = broker.consumer().group_id("g").client_id(format!("m{me}"));
        let settings = match cooperative {
            true => settings.assignor(CooperativeStickyAssignor),
            false => settings.assignor(RangeAssignor),
        };
        let settings = settings.enable_auto_commit(false).max_poll_records(50);
        let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
        consumer.subscribe_with(["t"], Register { owners: owners.clone(), me }).unwrap();
        consumer
    };
    let is_sent = AtomicBool::new(false);
    let mut seen: Seen = thread::scope(|scope| {
        scope.spawn(|| {
            let producer = broker.producer().build().unwrap();
            for number in 0..RECORDS {
                let record = ProducerRecord::to("t").partition((number % 7) as i32);
                producer.send(record.value(number.to_string())).forget();
                if number % 500 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            producer.flush(Duration::from_secs(60)).unwrap();
            is_sent.store(true, Ordering::SeqCst);
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (join, owners) = (&join, &owners);
                scope.spawn(move || {
                    let mut draw = Draw(seed * 100 + number);
                    let mut seen = Seen::new();
                    for round in 0..ROUNDS {
                        let me = number * 1000 + round;
                        let consumer = join(me);
                        work(&consumer, &mut seen, 1 + draw.below(20));
                        if draw.below(3) == 0 {
                            // Buried first: others are told of its partitions from its drop on.
                            owners.bury(me);
                            drop(consumer);
                        } else {
                            consumer.close().unwrap();
                        }
                    }
                    seen
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(is_sent.load(Ordering::SeqCst));
    let last = join(99);
    while last.assignment().is_empty() {
        work(&last, &mut seen, 1);
    }
    work(&last, &mut seen, 1);
    let rest = last.iter().until_idle(Duration::from_millis(300)).map(Result::unwrap);
    seen.extend(rest.map(|record| (record.partition, record.offset)));
    assert_eq!(last.assignment().len(), PARTITIONS as usize);
    let lost: Vec<(i32, i64)> = (0..PARTITIONS)
        .flat_map(|number| {
            let partition = broker.topic("t").unwrap().partition(number).unwrap();
            (0..partition.log_end_offset()).map(move |offset| (number, offset))
        })
        .filter(|place| !seen.contains(place))
        .collect();
    assert!(lost.is_empty(), "seed {seed}: {} records were lost: {:?}", lost.len(), &lost[..5]);
}

#[test]
fn eager_members_come_and_go_on_threads_and_nothing_is_lost() {
    for seed in 1..4 {
        members_come_and_go(seed, false);
    }
}

#[test]
fn cooperative_members_come_and_go_on_threads_and_nothing_is_lost() {
    for seed in 1..4 {
        members_come_and_go(seed, true);
    }
}
