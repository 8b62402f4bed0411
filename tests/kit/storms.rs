//! Whatever requests meet, idempotent producers write once and in order, and a group reads all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use logreel::testing::{MockClock, OpKind, Testing};
use logreel::{
    Broker, Consumer, Delivery, ErrorCode, NewTopic, OffsetReset, Producer, ProducerRecord,
};

const PARTITIONS: i32 = 3;

/// A source of choices that repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

fn set_fault(t: &Testing, dice: &mut Dice) {
    let kind = dice.one_of(&[
        OpKind::Produce,
        OpKind::Produce,
        OpKind::Fetch,
        OpKind::Commit,
        OpKind::FetchOffsets,
        OpKind::ListOffsets,
        OpKind::JoinGroup,
        OpKind::SyncGroup,
        OpKind::InitProducer,
    ]);
    let code = dice.one_of(&[
        ErrorCode::RequestTimedOut,
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::NetworkException,
        ErrorCode::CoordinatorNotAvailable,
    ]);
    let fault = t.faults().on(kind).times(1 + dice.roll(3));
    let fault = match dice.roll(3) {
        0 if matches!(kind, OpKind::Produce | OpKind::Fetch | OpKind::Commit) => {
            fault.partition(i32::try_from(dice.roll(3)).unwrap())
        }
        _ => fault,
    };
    match dice.roll(4) {
        0 => fault.fail(code),
        1 => fault.apply_then_fail(code),
        2 => fault.delay(Duration::from_millis(dice.roll(700))),
        _ => fault.observe(),
    };
}

struct Group<'a> {
    broker: &'a Broker,
    members: Vec<Consumer>,
    read: BTreeMap<(i32, i64), usize>,
}

impl Group<'_> {
    fn join(&mut self) {
        let settings = self.broker.consumer().group_id("g").enable_auto_commit(false);
        let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        self.members.push(consumer);
    }

    fn poll(&mut self, member: usize, timeout: Duration) -> bool {
        let consumer = &self.members[member];
        let records = consumer.poll(timeout).unwrap();
        for record in &records {
            *self.read.entry((record.partition(), record.offset())).or_default() += 1;
        }
        // What another generation owns by now is read again there.
        let committed = consumer.commit_offsets(&records.next_offsets());
        assert!(committed.as_ref().err().is_none_or(logreel::Error::is_rebalance), "{committed:?}");
        !records.is_empty()
    }
}

fn settle(sent: Vec<(String, i32, Delivery)>) -> Vec<(String, i32, i64)> {
    let placed = |(value, partition, delivery): (String, i32, Delivery)| {
        let offset = delivery.wait().unwrap().offset().unwrap();
        (value, partition, offset)
    };
    sent.into_iter().map(placed).collect()
}

fn storm(seed: u64) -> usize {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let clock = MockClock::at_millis(1_700_000_000_000);
    let topic = NewTopic::new("t").partitions(PARTITIONS);
    let broker = Broker::builder().clock(&clock).seed(seed).topic(topic).open().unwrap();
    let t = broker.testing();
    let producers: Vec<Producer> = (0..2)
        .map(|n| broker.producer().linger(Duration::from_millis(n * 3)).build().unwrap())
        .collect();
    let mut group = Group { broker: &broker, members: Vec::new(), read: BTreeMap::new() };
    group.join();
    let mut sent: Vec<Vec<(String, i32, Delivery)>> = vec![Vec::new(), Vec::new()];
    for step in 0..60 {
        match dice.roll(10) {
            0..4 => {
                let (by, partition) = (dice.roll(2), i32::try_from(dice.roll(3)).unwrap());
                let by = usize::try_from(by).unwrap();
                let value = format!("{by}-{step}");
                let record = ProducerRecord::to("t").partition(partition).value(value.clone());
                sent[by].push((value, partition, producers[by].send(record)));
            }
            4..7 => {
                let member = usize::try_from(dice.roll(group.members.len() as u64)).unwrap();
                group.poll(member, Duration::from_millis(dice.roll(300)));
            }
            7 => set_fault(&t, &mut dice),
            8 if group.members.len() < 3 => group.join(),
            8 => drop(group.members.swap_remove(0)),
            _ => drop(t.group("g").trigger_rebalance()),
        }
    }
    t.faults().clear();
    let placed: Vec<_> = sent.into_iter().map(settle).collect();
    // Every record is where its delivery says, once, and in the order in which it was sent.
    let records = t.topic("t").records().unwrap();
    let there: BTreeSet<(String, i32, i64)> = records
        .iter()
        .map(|record| {
            let value = String::from_utf8(record.value.as_ref().unwrap().to_vec()).unwrap();
            (value, record.partition, record.offset)
        })
        .collect();
    let expected: BTreeSet<_> = placed.iter().flatten().cloned().collect();
    assert_eq!((&there, records.len()), (&expected, expected.len()), "seed {seed}");
    for by in &placed {
        for partition in 0..PARTITIONS {
            let own = by.iter().filter(|(_, of, _)| *of == partition);
            assert!(own.map(|(_, _, offset)| offset).is_sorted(), "seed {seed}");
        }
    }
    // The group reads all of it.
    let mut idle = 0;
    while idle < 10 {
        let found: Vec<bool> = (0..group.members.len())
            .map(|member| group.poll(member, Duration::from_millis(200)))
            .collect();
        idle = if found.contains(&true) { 0 } else { idle + 1 };
    }
    let read: BTreeSet<_> = group.read.keys().copied().collect();
    let wanted: BTreeSet<_> = expected.iter().map(|(_, tp, offset)| (*tp, *offset)).collect();
    assert_eq!(read, wanted, "seed {seed}");
    assert_eq!(broker.group("g").total_lag().unwrap(), 0, "seed {seed}");
    expected.len()
}

#[test]
fn whatever_requests_meet_nothing_is_lost_or_written_twice() {
    let count = std::env::var("LOGREEL_STORMS").map_or(300, |count| count.parse().unwrap());
    let written: usize = (1..=count).map(storm).sum();
    assert!(written > 5 * usize::try_from(count).unwrap(), "{written}");
}
